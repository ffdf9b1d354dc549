//! Who decides, and how far it is with one request.

use std::sync::Arc;
use std::time::Instant;

use super::auth::api::Api;
use super::auth::{self, Htpasswd};
use super::grant::{Denial, Grant};
use crate::http::PathDecides;

/// Who decides.
pub enum Authority {
    /// The users of a password file.
    Htpasswd(Arc<Htpasswd>),
    /// An external API is asked about each request, or was.
    Api(Arc<Api>),
}

/// Where a path has to read the same for everybody, because something is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// Whoever decides who may pass.
    pub always: PathDecides,
    /// Where an API has let a request in, and might have said something else of another path.
    pub asked_about: PathDecides,
}

/// How far it is with one request.
pub enum Decision {
    /// It is decided.
    Made(Result<Grant, Denial>),
    /// It goes on when the waker was called, or at [`Inquiry::deadline`].
    Later(Inquiry),
    /// It goes on at once, on a thread that may block.
    Blocks(Inquiry),
}

/// What has to be found out about one request. Dropped, its place is given to the next.
pub enum Inquiry {
    /// Whether a password is right.
    Check(auth::Check),
    /// What the API says.
    Call(auth::api::Call),
}

impl Inquiry {
    /// When it is to be gone on with although nothing has happened.
    pub fn deadline(&self) -> Instant {
        match self {
            Inquiry::Check(check) => check.deadline(),
            Inquiry::Call(call) => call.deadline(),
        }
    }
}
