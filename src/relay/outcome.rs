//! What became of a request.

use super::listing::Listed;
use super::tunnel::Tunnel;
use crate::http::{Refusal, Unread};
use std::time::Duration;

/// What the log says of a client that did not wait for the end.
pub const CLIENT_WENT_AWAY: &str = "client went away";

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Body bytes that reached the backend.
    pub up: u64,
    /// Body bytes of the answer that reached the client's socket.
    pub down: u64,
    /// Until the heads of the backends' answers were there; nothing where none was asked.
    pub wait: Option<Duration>,
    /// What went wrong, for the log.
    pub note: Option<String>,
    /// The answer's `Docker-Content-Digest`, for the log.
    pub digest: Option<Vec<u8>>,
    /// Whether the backend wants a password of its own.
    pub asks_for_password: bool,
}

/// How a request ended.
#[derive(Debug)]
pub enum End {
    /// The backend's answer was passed on.
    Answered(u16, Then),
    /// A catalogue was asked for, and this is what the client may see of it. Nothing was sent to it yet.
    Listed(Listed),
    /// Both have switched to another protocol.
    Switched(Box<Tunnel>),
    /// The backend's answer had no client to be passed on to.
    Unheard(u16),
    /// Nothing was sent to the client: this is to be said, with this much of its body unread.
    Refused(Refusal, Unread),
    /// The client went away first.
    ClientGone,
}

/// What may happen with the client's connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request may come.
    Keep,
    /// It ends properly, even while the client still sends.
    Close,
    /// It ends so that nobody takes the answer for whole.
    Abort,
}
