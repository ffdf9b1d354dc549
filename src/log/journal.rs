//! systemd's journal: whether messages go there, and how it learns what weight they have.

use std::env;
use std::io;

use ::log::Level;

/// Whether standard error is the stream that the journal has given this process (systemd.exec(5), `JOURNAL_STREAM`). A
/// child whose output goes elsewhere inherits the variable, and is not meant.
pub(super) fn is_there() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stream) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    named == format!("{}:{}", stream.st_dev, stream.st_ino)
}

/// What a line begins with there (sd-daemon(3)); the journal takes it off.
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}
