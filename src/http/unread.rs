//! How much of a request's body is still to come when it is answered.

use super::framing::Framing;
use super::request::RequestHead;

/// How much of a request's body has not been read, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Exactly this much.
    Exactly(u64),
    /// All of a chunked body.
    Chunks,
    /// Nobody knows, or the client waits to be asked for it.
    Unknown,
}

impl Unread {
    /// Of a body that was not touched.
    pub fn whole(head: &RequestHead) -> Unread {
        match head.framing() {
            Framing::Empty => Unread::Exactly(0),
            // A client that waits to be asked for its body may send it all the same, or not.
            _ if head.expects_continue() => Unread::Unknown,
            Framing::Length(length) => Unread::Exactly(length),
            Framing::Chunked => Unread::Chunks,
            Framing::UntilClose => Unread::Unknown,
        }
    }
}
