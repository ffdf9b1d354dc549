//! Where clients come in.
//!
//! Owns the listeners, and makes a connection of each client that has a place. Must not know loops.

use std::sync::Arc;

use rustls::server::ClientHello;

use super::listener::Listener;
use crate::connection::{Connection, ConnectionLimiter, Service};
use crate::metrics;
use crate::net::{Peer, is_trusted};
use crate::reactor::Doors;
use crate::stream::{Choose, Poll};
use crate::tls;

/// The listeners of a gate.
pub struct Entrance {
    /// Where clients connect to.
    pub listeners: Vec<Listener>,
    /// What their connections share.
    pub service: Arc<Service>,
    /// How TLS is spoken to each, where a listener does.
    pub choose: Option<Arc<Choose>>,
    /// How many there may be.
    pub limiter: Arc<ConnectionLimiter>,
}

/// Which configuration of TLS is for a client: `plain`, unless the site that it names asks for certificates. An authority that looks at a
/// challenge has none.
pub fn choose(service: &Arc<Service>, plain: Arc<rustls::ServerConfig>) -> Arc<Choose> {
    let service = Arc::clone(service);
    Arc::new(move |hello: &ClientHello<'_>| {
        let mut protocols = hello.alpn().into_iter().flatten();
        let looks_at_challenge = protocols.any(|protocol| protocol == tls::ACME_TLS);
        let site = match hello.server_name() {
            Some(name) => service.sites.of(name),
            None => service.sites.main().cloned(),
        };
        let asking = site.filter(|_| !looks_at_challenge);
        let asking = asking.and_then(|site| Some(site.clients.as_ref()?.config()));
        asking.unwrap_or_else(|| Arc::clone(&plain))
    })
}

impl Doors<Connection> for Entrance {
    fn watch(&self, poll: &Poll) {
        for (number, listener) in self.listeners.iter().enumerate() {
            if let Err(error) = poll.add_listener(listener, number) {
                ::log::error!("{listener} cannot be watched: {error}");
            }
        }
    }

    fn leave(&self, poll: &Poll) {
        for listener in &self.listeners {
            poll.remove_listener(listener);
        }
    }

    fn accept(&self, number: usize) -> rustix::io::Result<Option<Box<Connection>>> {
        let Some(listener) = self.listeners.get(number) else {
            return Ok(None);
        };
        let Some((stream, peer)) = listener.accept(self.choose.as_ref())? else {
            return Ok(None);
        };
        let counted = match peer {
            // Many clients come through these. A balancer's are counted once they are known.
            _ if self.service.balancers.have(peer) => None,
            Peer::Address(address) if !is_trusted(&self.service.trusted, address) => Some(address),
            Peer::Address(_) | Peer::Unix => None,
        };
        // Without a place it is closed: everybody is busy.
        let Some(place) = self.limiter.enter(counted) else {
            return Ok(None);
        };
        metrics::CONNECTIONS.one();
        let service = Arc::clone(&self.service);
        Ok(Some(Box::new(Connection::new(
            service,
            stream,
            peer,
            place,
            listener.redirects(),
        ))))
    }

    fn end_with_us(&self) -> Vec<usize> {
        let listeners = self.listeners.iter().enumerate();
        listeners
            .filter(|(_, listener)| !listener.is_handed_over())
            .map(|(number, _)| number)
            .collect()
    }
}
