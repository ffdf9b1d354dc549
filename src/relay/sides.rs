//! What an exchange and its transfers work on: the two sides, what holds for both, and what is counted of them.

use super::backend::Link;
use super::context::Relay;
use super::response::ResponseReader;
use crate::gate::Grant;
use crate::http::{Input, RequestHead};
use crate::reactor::Context;
use crate::stream::Stream;

/// What holds for an exchange from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether the client reached us by TLS; then a `Location` can name our own origin.
    pub by_tls: bool,
    /// Whether the connection may serve another request after this one.
    pub may_keep: bool,
}

/// What a backend is to see.
#[derive(Debug)]
pub struct Outgoing {
    /// The head of the request.
    pub head: Vec<u8>,
    /// Fields of questions that the gate has on its behalf, each with its line end; empty where it has none.
    pub own_fields: Vec<u8>,
}

/// A backend that has the request, or part of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) link: Link,
    pub(super) reader: ResponseReader,
}

/// What a stage works with.
pub(super) struct Sides<'a, 'cx> {
    pub(super) relay: &'a Relay,
    pub(super) head: &'a RequestHead,
    pub(super) grant: &'a Grant,
    pub(super) client: &'a mut Input<Stream>,
    pub(super) cx: &'a mut Context<'cx>,
}

/// What the log will say of it.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Body bytes that reached the backend.
    pub(super) up: u64,
    /// Body bytes of the answer that reached the client's socket.
    pub(super) down: u64,
    pub(super) digest: Option<Vec<u8>>,
    pub(super) note: Option<String>,
}
