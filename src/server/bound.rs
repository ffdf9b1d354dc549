//! What a server is, and what of it listens.

use super::listener::Listener;
use crate::admin::Admin;

/// What the process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Stands before backends.
    Gate,
    /// Answers proxies that do the rest themselves.
    AuthService,
}

/// Everything that listens.
pub(super) struct Bound {
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Option<Admin>,
}
