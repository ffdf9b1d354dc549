//! What all connections share.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{Duty, RequestIds};
use crate::config::Cidr;
use crate::gate::Gatekeeper;

/// What every connection needs to serve requests.
pub struct Service {
    /// Who may do what.
    pub gatekeeper: Gatekeeper,
    /// What follows a grant.
    pub duty: Duty,
    /// Peers that are believed about their clients.
    pub trusted: Vec<Cidr>,
    /// Bounds on waiting for clients.
    pub patience: Timeouts,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// Set once the service is to end: no connection is kept after its request.
    pub draining: AtomicBool,
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Handshake and first head together, and every later head from its first byte.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Silence within a body, in either direction.
    pub body: Duration,
}
