//! How many connections there are, in all and from each source network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::gate::auth::Network;

/// The count of open connections.
#[derive(Debug, Default)]
pub struct Seats {
    taken: Mutex<Taken>,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_network: HashMap<Network, usize>,
}

/// One connection's place; dropped, it is free again.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    network: Option<Network>,
}

impl Seats {
    /// A place for a connection from `address`. `None` when there are `most` from its network
    /// already; `most` of zero, or no address, counts for nothing.
    pub fn take(self: &Arc<Seats>, address: Option<IpAddr>, most: usize) -> Option<Seat> {
        let network = address.filter(|_| most > 0).map(Network::of);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = network {
            let count = taken.by_network.entry(network).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        taken.total += 1;
        Some(Seat {
            seats: Arc::clone(self),
            network,
        })
    }

    /// Open connections.
    pub fn taken(&self) -> usize {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
    }

    /// Waits until no connection is open; `false` when `until` came first.
    pub fn wait_until_empty(&self, until: Instant) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.total > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            taken = self
                .emptied
                .wait_timeout(taken, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self
            .seats
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(count) = taken.by_network.get_mut(&network)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_network.remove(&network);
            }
        }
        if taken.total == 0 {
            self.seats.emptied.notify_all();
        }
    }
}
