//! Room for those who wait for an answer that somebody else works out: the API, or another request of the same client.
//!
//! Owns the bound. No network and no neighbourhood may fill what there is, and the last places are for neighbourhoods that
//! have hardly any, or whoever floods the gate from a few addresses would keep everybody else out. Those who find the answer
//! out have places of their own, in `admission`.

use crate::lock::EvenIfPoisoned;
use crate::net::Network;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Of all places, one neighbourhood has one in so many...
const NEIGHBOURHOOD: usize = 4;
/// ...and one in so many is for those that have few...
const RESERVE: usize = 4;
/// ...which is one in so many: ten connections of one push fit in.
const FEW: usize = 32;

/// Who waits.
#[derive(Clone)]
pub(in crate::gate::auth) struct WaitLimiter(Arc<Shared>);

struct Shared {
    counts: Mutex<Counts>,
    most: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    networks: HashMap<Network, usize>,
    neighbourhoods: HashMap<Network, usize>,
}

/// One that waits, until it is dropped.
pub(in crate::gate::auth) struct WaitPermit {
    waiting: WaitLimiter,
    network: Network,
}

impl WaitLimiter {
    /// Room for so many, but at least for one.
    pub(in crate::gate::auth) fn new(most: usize) -> WaitLimiter {
        WaitLimiter(Arc::new(Shared {
            counts: Mutex::default(),
            most: most.max(1),
        }))
    }

    /// A place, unless `share` of them are taken by this network, or what others may have by all.
    pub(in crate::gate::auth) fn place(
        &self,
        network: Network,
        share: usize,
    ) -> Option<WaitPermit> {
        let most = self.0.most;
        let mut counts = self.counts();
        let of = |counts: &HashMap<Network, usize>, one| counts.get(&one).copied().unwrap_or(0);
        let own = of(&counts.networks, network);
        let neighbours = of(&counts.neighbourhoods, network.neighbourhood());
        let few = most.div_ceil(FEW);
        let is_refused = own >= share
            || neighbours >= most.div_ceil(NEIGHBOURHOOD)
            || counts.all >= most
            || counts.all >= most - most / RESERVE && neighbours >= few;
        if is_refused {
            return None;
        }
        counts.all += 1;
        counts.networks.insert(network, own + 1);
        counts
            .neighbourhoods
            .insert(network.neighbourhood(), neighbours + 1);
        Some(WaitPermit {
            waiting: self.clone(),
            network,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().even_if_poisoned()
    }
}

impl Drop for WaitPermit {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.all = counts.all.saturating_sub(1);
        one_less(&mut counts.networks, self.network);
        one_less(&mut counts.neighbourhoods, self.network.neighbourhood());
    }
}

fn one_less(counts: &mut HashMap<Network, usize>, of: Network) {
    if let Some(count) = counts.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(third: u8, last: u8) -> Network {
        Network::of(IpAddr::from([192, 0, third, last]))
    }

    /// So many of these as find a place.
    fn places(
        waiting: &WaitLimiter,
        those: impl IntoIterator<Item = Network>,
        share: usize,
    ) -> Vec<WaitPermit> {
        those
            .into_iter()
            .filter_map(|one| waiting.place(one, share))
            .collect()
    }

    #[test]
    fn one_network_takes_its_share_of_the_places_and_gives_them_back() {
        let waiting = WaitLimiter::new(64);
        let own = places(&waiting, [network(1, 1); 9], 3);
        assert_eq!(own.len(), 3);
        drop(own);
        assert_eq!(places(&waiting, [network(1, 1); 9], 3).len(), 3);
        let counts = waiting.counts();
        assert!(counts.networks.is_empty() && counts.neighbourhoods.is_empty());
        assert_eq!(counts.all, 0);
    }

    #[test]
    fn a_neighbourhood_has_a_quarter_and_whoever_has_few_the_last_one() {
        let waiting = WaitLimiter::new(128);
        let neighbours = places(&waiting, (0..99).map(|last| network(1, last)), 9);
        assert_eq!(neighbours.len(), 32);
        // Three of five addresses far apart have all that they can get together.
        let five = (0..=254).map(|n: u8| network(100 + n % 5, 1));
        assert_eq!(places(&waiting, five, 99).len(), 64);
        let five = (0..=254).map(|n: u8| network(100 + n % 5, 1));
        let _held = places(&waiting, five, 99);
        for third in 10..20 {
            assert!(waiting.place(network(third, 1), 99).is_some());
        }
        assert!(waiting.place(network(1, 1), 99).is_none());
        let few = places(&waiting, [network(30, 1); 9], 99);
        assert_eq!(few.len(), 4);
    }
}
