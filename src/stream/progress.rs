//! How far a step has come.

use super::socket::Interest;

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done.
    Done,
    /// Go on when the socket can do this.
    Waits(Interest),
}
