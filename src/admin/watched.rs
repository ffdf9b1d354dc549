//! What the admin endpoint tells of.

use std::path::PathBuf;
use std::sync::Arc;

use crate::connection::Service;
use crate::metrics::Standing;

/// What there is to be told.
pub struct Watched {
    /// What every connection shares.
    pub service: Arc<Service>,
    /// Where clients are accepted.
    pub listening: Vec<String>,
    /// The password file, if one decides.
    pub password_file: Option<PathBuf>,
    /// Has every connection see whether it may go on.
    pub interrupt: Box<dyn Fn() + Send>,
    /// How things stand at the moment.
    pub standing: Box<dyn Fn() -> Standing + Send>,
}
