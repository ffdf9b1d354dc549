//! The addresses of names.
//!
//! Owns what was looked up a moment ago. A look-up is the system's own call, which takes as long as it likes: whoever makes it
//! must be on a thread that may wait.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::LookUp;
use super::{Host, HostPort};

use crate::lock::EvenIfPoisoned;

/// An answer is good for this long: a service that moves is found again soon, and a crowd asks once.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// That a name was not found is believed for this long, so that a crowd does not wait for the same silence one after the other.
const LOST_FOR: Duration = Duration::from_secs(1);
/// Names that are remembered; there are as many as are configured.
const MOST: usize = 64;

/// What was looked up.
#[derive(Debug, Default)]
pub struct Resolver {
    found: Mutex<HashMap<HostPort, (Instant, Vec<SocketAddr>)>>,
    /// What could not be found.
    lost: Mutex<HashMap<HostPort, (Instant, io::ErrorKind, String)>>,
}

impl Resolver {
    /// The addresses of a place, where that needs no look-up: it is an address, or was looked up a moment ago.
    pub fn known(&self, place: &HostPort, now: Instant) -> Option<Vec<SocketAddr>> {
        if let Host::Address(address) = place.host {
            return Some(vec![SocketAddr::new(address, place.port)]);
        }
        let found = self.found.lock().even_if_poisoned();
        let (since, addresses) = found.get(place)?;
        let is_good = now.saturating_duration_since(*since) < GOOD_FOR;
        is_good.then(|| addresses.clone())
    }

    /// The addresses of a place, by `deadline`. Waits; that there was no time is [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// Those of the system's resolver, and that there is no address.
    pub fn find(&self, place: &HostPort, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.known(place, Instant::now()) {
            return Ok(addresses);
        }
        let addresses = LookUp::begin(place.clone()).wait_until(deadline)?;
        self.remember(place, &addresses);
        Ok(addresses)
    }

    /// Whether a place could not be found a moment ago; the error says why.
    ///
    /// # Errors
    /// Why it was not found.
    pub fn is_lost(&self, place: &HostPort, now: Instant) -> io::Result<()> {
        let lost = self.lost.lock().even_if_poisoned();
        match lost.get(place) {
            Some((since, kind, why)) if now.saturating_duration_since(*since) < LOST_FOR => {
                Err(io::Error::new(*kind, why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Looks a place up, by `deadline`. Waits. Where that fails, the addresses that it had before are good enough.
    ///
    /// # Errors
    /// Those of the system's resolver, and that it did not answer in time.
    pub fn look_up(&self, place: &HostPort, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        // Others may have waited for the same thread, and found out.
        if let Some(addresses) = self.known(place, Instant::now()) {
            return Ok(addresses);
        }
        self.is_lost(place, Instant::now())?;
        match LookUp::begin(place.clone()).wait_until(deadline) {
            Ok(addresses) => {
                self.remember(place, &addresses);
                Ok(addresses)
            }
            Err(error) => {
                let found = self.found.lock().even_if_poisoned();
                let before = found.get(place).map(|(_, addresses)| addresses.clone());
                drop(found);
                if let Some(addresses) = before {
                    self.remember(place, &addresses);
                    return Ok(addresses);
                }
                let mut lost = self.lost.lock().even_if_poisoned();
                if lost.len() >= MOST {
                    lost.clear();
                }
                let entry = (Instant::now(), error.kind(), error.to_string());
                lost.insert(place.clone(), entry);
                Err(error)
            }
        }
    }

    fn remember(&self, place: &HostPort, addresses: &[SocketAddr]) {
        let mut found = self.found.lock().even_if_poisoned();
        if found.len() >= MOST {
            found.clear();
        }
        found.insert(place.clone(), (Instant::now(), addresses.to_vec()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_at_once_and_a_name_for_a_while_after_it_was_looked_up() {
        let resolver = Resolver::default();
        let now = Instant::now();
        let address = HostPort::parse("127.0.0.1:80", None).unwrap();
        assert_eq!(resolver.known(&address, now).unwrap().len(), 1);
        let name = HostPort::parse("localhost:80", None).unwrap();
        assert_eq!(resolver.known(&name, now), None);
        let found = resolver.look_up(&name, Instant::now() + GOOD_FOR).unwrap();
        assert_eq!(resolver.known(&name, Instant::now()), Some(found));
        assert_eq!(resolver.known(&name, Instant::now() + GOOD_FOR), None);
    }

    #[test]
    fn what_is_known_is_found_without_any_time_and_what_is_not_is_looked_up_and_then_known() {
        let resolver = Resolver::default();
        let now = Instant::now();
        for address in ["127.0.0.1:80", "[::1]:80"] {
            let address = HostPort::parse(address, None).unwrap();
            assert_eq!(resolver.find(&address, now).unwrap().len(), 1);
        }
        let name = HostPort::parse("localhost:80", None).unwrap();
        let found = resolver.find(&name, now + Duration::from_secs(20)).unwrap();
        assert_eq!(resolver.find(&name, now).unwrap(), found);
        let none = HostPort::parse("no-such-name.invalid:80", None).unwrap();
        assert!(resolver.find(&none, now + Duration::from_secs(20)).is_err());
        assert_eq!(resolver.known(&none, Instant::now()), None);
    }
}
