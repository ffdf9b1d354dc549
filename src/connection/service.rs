//! What all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::admission::Admission;
use super::detached::Detached;
use super::hold::Hold;
use super::{Balancers, HealthPath, Mode, Redirect, RequestIds, Sites};
use crate::net::Cidr;
use crate::tls::Certificates;

/// What every connection needs to serve requests.
pub struct Service {
    /// Who may do what at which host, and what is behind it.
    pub sites: Sites,
    /// What follows a grant.
    pub mode: Mode,
    /// The requests in flight.
    pub admission: Arc<Admission>,
    /// The WebSockets, each of which keeps a connection for as long as it likes.
    pub tunnels: Arc<Admission>,
    /// So many of them there are descriptors for.
    pub most_tunnels: usize,
    /// The requests that go on without their clients.
    pub detached: Arc<Detached>,
    /// Whether writes are held back.
    pub hold: Arc<Hold>,
    /// Peers that are believed about their clients.
    pub trusted: Vec<Cidr>,
    /// Peers whose connections begin with the address of their clients.
    pub balancers: Balancers,
    /// Where the gate itself says whether it is ready.
    pub health: Option<HealthPath>,
    /// What those are told who come to a listener that sends everybody elsewhere.
    pub redirect: Redirect,
    /// Bounds on waiting for clients.
    pub timeouts: Timeouts,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// Set once the service is to end: no connection is kept after its request.
    pub draining: AtomicBool,
    /// What clients are shown that speak TLS.
    pub certificates: Arc<Certificates>,
}

impl Service {
    /// Whether requests could be served now; the error says why not. May take as long as a connection to a backend.
    pub fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Acquire) {
            return Err("stopping".to_owned());
        }
        self.sites.ready()
    }
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Handshake and first head together, and every later head from its first byte.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
}
