//! Room for those who wait for an answer that somebody else works out: the API, or another request of the same client.
//!
//! Owns the bound. Not all workers may wait at once, since those whose answer is remembered need some too; and no network
//! may fill what there is, or whoever floods the gate from one would keep everybody else out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::gate::auth::Network;

/// Who waits.
pub(super) struct Waiting {
    counts: Mutex<Counts>,
    most: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_network: HashMap<Network, usize>,
}

/// One that waits, until it is dropped.
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    network: Network,
}

impl Waiting {
    /// Room for so many, but at least for two.
    pub(super) fn new(most: usize) -> Waiting {
        Waiting {
            counts: Mutex::default(),
            most: most.max(2),
        }
    }

    /// How many there are in all.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// A place, unless all are taken, or `share` of them by this network.
    pub(super) fn place(&self, network: Network, share: usize) -> Option<Place<'_>> {
        let mut counts = self.counts();
        let own = counts.by_network.get(&network).copied().unwrap_or_default();
        if counts.all >= self.most || own >= share {
            return None;
        }
        counts.all += 1;
        counts.by_network.insert(network, own + 1);
        Some(Place {
            waiting: self,
            network,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.all = counts.all.saturating_sub(1);
        if let Some(own) = counts.by_network.get_mut(&self.network) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_network_takes_its_share_of_the_places_and_gives_them_back() {
        let network = |last| Network::of(IpAddr::from([192, 0, 2, last]));
        let waiting = Waiting::new(5);
        let own: Vec<_> = (0..4)
            .filter_map(|_| waiting.place(network(1), 3))
            .collect();
        assert_eq!(own.len(), 3);
        let others: Vec<_> = (2..9)
            .filter_map(|last| waiting.place(network(last), 3))
            .collect();
        assert_eq!(others.len(), 2);
        drop(others);
        assert!(waiting.place(network(1), 3).is_none());
        drop(own);
        assert!(waiting.place(network(1), 3).is_some());
        assert!(waiting.counts().by_network.is_empty());
    }
}
