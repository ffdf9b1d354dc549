//! How many connections there are, and which of them has to leave where there is no room.
//!
//! Owns their count, in all and of strangers from each source network, and the memory that strangers hold. Those who were never
//! granted a request leave first, unfinished handshakes before others, chosen at random, so that neither a fleet behind one
//! address nor a neighbour of a flood is turned away for good; then whoever has been idle longest. Must not know sockets.

use crate::lock::EvenIfPoisoned;
use crate::net::Network;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What all strangers together hold of heads and handshakes that are not whole, in bytes: two thousand of the longest heads.
const MOST_HELD: usize = 64 * 1024 * 1024;
/// Connections that are only being read to their end.
const MOST_LINGERING: usize = 1024;
/// The idle time of a connection that is not idle.
const BUSY: u64 = u64::MAX;

/// What has a connection leave.
pub type Eviction = Box<dyn Fn() + Send + Sync>;

/// The count of open connections.
pub struct ConnectionLimiter {
    most: usize,
    most_strangers: usize,
    started: Instant,
    table: Mutex<Table>,
    emptied: Condvar,
}

#[derive(Default)]
struct Table {
    total: usize,
    next_id: u64,
    /// All that can be told to leave.
    entries: HashMap<u64, Entry>,
    /// What strangers hold of heads and handshakes that are not whole, in bytes, the oldest first. Of others nothing is freed.
    holders: BTreeMap<u64, usize>,
    all: Crowd,
    by_network: HashMap<Network, Crowd>,
    /// Those that are only being read to their end, the oldest first.
    lingering: BTreeSet<u64>,
    held: usize,
    random: RandomState,
}

struct Entry {
    /// It was told to leave.
    is_leaving: bool,
    network: Option<Network>,
    evict: Eviction,
    idle_since: Arc<AtomicU64>,
}

/// Strangers, by whether their handshake is over.
#[derive(Default)]
struct Crowd {
    shaking: Bag,
    shaken: Bag,
}

/// Some ids, of which one can be drawn.
#[derive(Default)]
struct Bag {
    ids: Vec<u64>,
    places: HashMap<u64, usize>,
}

/// One connection's place; dropped, it is free again.
pub struct Place {
    limiter: Arc<ConnectionLimiter>,
    id: u64,
    network: Option<Network>,
    standing: Standing,
    held: usize,
    idle_since: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Shaking,
    Shaken,
    Granted,
}

impl ConnectionLimiter {
    /// At most so many connections in all, and so many of strangers from one network; zero is no bound on these.
    pub fn new(most: usize, most_strangers: usize) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter {
            most,
            most_strangers,
            started: Instant::now(),
            table: Mutex::default(),
            emptied: Condvar::new(),
        })
    }

    /// A place for a connection from `address`; `None` where it counts for nobody. `None` is returned where everybody is busy
    /// and nobody can leave.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let network = address.filter(|_| self.most_strangers > 0).map(Network::of);
        let mut table = self.table();
        if table.total >= self.most && !table.make_room() {
            return None;
        }
        table.total += 1;
        let id = table.next_id;
        table.next_id += 1;
        drop(table);
        Some(Place {
            limiter: Arc::clone(self),
            id,
            network,
            standing: Standing::Shaking,
            held: 0,
            idle_since: Arc::new(AtomicU64::new(BUSY)),
        })
    }

    /// How many there can be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Open connections.
    pub fn taken(&self) -> usize {
        self.table().total
    }

    /// Waits until no connection is open; `false` when `until` came first.
    pub fn wait_until_empty(&self, until: Instant) -> bool {
        let mut table = self.table();
        while table.total > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            let waited = self.emptied.wait_timeout(table, left);
            table = waited.even_if_poisoned().0;
        }
        true
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().even_if_poisoned()
    }
}

impl Place {
    /// From now on it can be told to leave. Where its network has too many strangers with it, one of them is.
    pub fn attach(&mut self, evict: Eviction) {
        let mut table = self.limiter.table();
        let entry = Entry {
            is_leaving: false,
            network: self.network,
            evict,
            idle_since: Arc::clone(&self.idle_since),
        };
        table.entries.insert(self.id, entry);
        table.all.shaking.insert(self.id);
        if let Some(network) = self.network {
            self.count(&mut table, network);
        }
    }

    /// It turns out, before its handshake, to be of a client at this address, and counts for that network.
    pub fn counts_for(&mut self, address: IpAddr) {
        if self.limiter.most_strangers == 0 || self.network.is_some() {
            return;
        }
        let mut table = self.limiter.table();
        // One that is told to leave counts as gone.
        if let Some(entry) = table.entries.get_mut(&self.id)
            && !entry.is_leaving
        {
            let network = Network::of(address);
            entry.network = Some(network);
            self.network = Some(network);
            self.count(&mut table, network);
        }
    }

    /// Counts it among the strangers of its network, of whom one leaves where they are too many.
    fn count(&self, table: &mut Table, network: Network) {
        let dice = table.random.hash_one(self.id);
        let crowd = table.by_network.entry(network).or_default();
        crowd.shaking.insert(self.id);
        if crowd.len() > self.limiter.most_strangers
            && let Some(leaver) = crowd.draw(dice)
        {
            table.evict(leaver);
        }
    }

    /// Its handshake is over.
    pub fn shaken(&mut self) {
        if self.standing != Standing::Shaking {
            return;
        }
        self.standing = Standing::Shaken;
        let mut table = self.limiter.table();
        table.all.is_shaken(self.id);
        if let Some(crowd) = self.network.and_then(|one| table.by_network.get_mut(&one)) {
            crowd.is_shaken(self.id);
        }
    }

    /// A request of it was granted: it is no stranger any more.
    pub fn granted(&mut self) {
        if self.standing == Standing::Granted {
            return;
        }
        self.standing = Standing::Granted;
        let mut table = self.limiter.table();
        table.hold(self.id, 0);
        if let Some(entry) = table.entries.get_mut(&self.id) {
            entry.is_leaving = false;
        }
        table.no_stranger(self.id, self.network);
    }

    /// It was told to leave when it had something to do again, and stays.
    pub fn stays(&mut self) {
        if let Some(entry) = self.limiter.table().entries.get_mut(&self.id) {
            entry.is_leaving = false;
        }
    }

    /// A stranger's request is being decided on: meanwhile it does not count as one.
    pub fn is_asking(&mut self) {
        if self.standing != Standing::Granted {
            self.limiter.table().no_stranger(self.id, self.network);
        }
    }

    /// A stranger's request was refused: it counts as one again.
    pub fn was_refused(&mut self) {
        if self.standing == Standing::Granted {
            return;
        }
        let mut table = self.limiter.table();
        if !table.is_leaving(self.id) {
            table.all.shaken.insert(self.id);
            if let Some(network) = self.network {
                let crowd = table.by_network.entry(network).or_default();
                crowd.shaken.insert(self.id);
            }
        }
    }

    /// Whether a request of it was ever granted.
    pub fn is_granted(&self) -> bool {
        self.standing == Standing::Granted
    }

    /// A stranger holds so many bytes of what is not whole. Where all together hold too much, the oldest leave.
    pub fn holds(&mut self, bytes: usize) {
        if self.standing == Standing::Granted || bytes == self.held {
            return;
        }
        self.held = bytes;
        let mut table = self.limiter.table();
        if table.is_leaving(self.id) {
            // It counts as gone.
            return;
        }
        table.hold(self.id, bytes);
        while table.held > MOST_HELD
            && let Some(oldest) = table.holders.keys().next().copied()
        {
            table.evict(oldest);
        }
    }

    /// It is only being read to its end. Where too many are, the oldest leaves.
    pub fn lingers(&mut self) {
        let mut table = self.limiter.table();
        table.lingering.insert(self.id);
        if table.lingering.len() > MOST_LINGERING
            && let Some(oldest) = table.lingering.pop_first()
        {
            table.evict(oldest);
        }
    }

    /// It is between two requests since `now`.
    pub fn idles(&self, now: Instant) {
        let since = now.saturating_duration_since(self.limiter.started);
        let millis = u64::try_from(since.as_millis()).unwrap_or(BUSY - 1);
        self.idle_since.store(millis, Ordering::Relaxed);
    }

    /// It has something to do.
    pub fn is_busy(&self) {
        self.idle_since.store(BUSY, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.limiter.table();
        table.total = table.total.saturating_sub(1);
        table.hold(self.id, 0);
        if self.standing != Standing::Granted {
            table.no_stranger(self.id, self.network);
        }
        table.lingering.remove(&self.id);
        table.entries.remove(&self.id);
        if table.total == 0 {
            self.limiter.emptied.notify_all();
        }
    }
}

impl Table {
    /// Has somebody leave. `false` where everybody is busy.
    fn make_room(&mut self) -> bool {
        let dice = self.random.hash_one(self.next_id);
        let stranger = self.all.draw(dice);
        let Some(leaver) = stranger.or_else(|| self.longest_idle()) else {
            return false;
        };
        self.evict(leaver);
        true
    }

    fn longest_idle(&self) -> Option<u64> {
        let since = |entry: &Entry| entry.idle_since.load(Ordering::Relaxed);
        let staying = self.entries.iter().filter(|(_, entry)| !entry.is_leaving);
        let idle = staying.map(|(id, entry)| (since(entry), *id));
        idle.filter(|(since, _)| *since != BUSY)
            .min()
            .map(|(_, id)| id)
    }

    /// Tells one to leave, once.
    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && !std::mem::replace(&mut entry.is_leaving, true)
        {
            (entry.evict)();
            let network = entry.network;
            self.no_stranger(id, network);
        }
        self.hold(id, 0);
    }

    fn is_leaving(&self, id: u64) -> bool {
        self.entries.get(&id).is_none_or(|entry| entry.is_leaving)
    }

    /// Somebody holds so much from now on.
    fn hold(&mut self, id: u64, bytes: usize) {
        let before = match bytes {
            0 => self.holders.remove(&id),
            _ => self.holders.insert(id, bytes),
        };
        self.held = (self.held + bytes).saturating_sub(before.unwrap_or_default());
    }

    fn no_stranger(&mut self, id: u64, network: Option<Network>) {
        self.all.remove(id);
        if let Some(network) = network
            && let Some(crowd) = self.by_network.get_mut(&network)
        {
            crowd.remove(id);
            if crowd.len() == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

impl Crowd {
    fn len(&self) -> usize {
        self.shaking.ids.len() + self.shaken.ids.len()
    }

    fn is_shaken(&mut self, id: u64) {
        if self.shaking.remove(id) {
            self.shaken.insert(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let _ = self.shaking.remove(id) || self.shaken.remove(id);
    }

    fn draw(&self, dice: u64) -> Option<u64> {
        self.shaking.draw(dice).or_else(|| self.shaken.draw(dice))
    }
}

impl Bag {
    fn insert(&mut self, id: u64) {
        if !self.places.contains_key(&id) {
            self.places.insert(id, self.ids.len());
            self.ids.push(id);
        }
    }

    fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.places.remove(&id) else {
            return false;
        };
        self.ids.swap_remove(place);
        if let Some(moved) = self.ids.get(place) {
            self.places.insert(*moved, place);
        }
        true
    }

    fn draw(&self, dice: u64) -> Option<u64> {
        let count = u64::try_from(self.ids.len())
            .ok()
            .filter(|count| *count > 0)?;
        self.ids.get(usize::try_from(dice % count).ok()?).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    type Left = Arc<Mutex<Vec<u8>>>;

    fn entered(limiter: &Arc<ConnectionLimiter>, left: &Left, name: u8) -> Place {
        let mut place = limiter
            .enter(Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, name))))
            .unwrap();
        let left = Arc::clone(left);
        place.attach(Box::new(move || left.lock().unwrap().push(name)));
        place
    }

    #[test]
    fn unfinished_handshakes_leave_first_then_strangers_then_whoever_is_idle_longest() {
        let limiter = ConnectionLimiter::new(4, 512);
        let left = Left::default();
        let mut places: Vec<_> = (0..4).map(|name| entered(&limiter, &left, name)).collect();
        let now = Instant::now();
        for (name, place) in (0_u8..).zip(&mut places) {
            if name > 0 {
                place.shaken();
            }
            if name > 1 {
                place.granted();
                place.idles(now + Duration::from_secs(u64::from(9 - name)));
            }
        }
        for _ in 0..4 {
            drop(limiter.enter(None).unwrap());
        }
        assert_eq!(*left.lock().unwrap(), [0, 1, 3, 2]);
        assert!(limiter.enter(None).is_none());
        places.clear();
        assert_eq!(limiter.taken(), 0);
    }

    #[test]
    fn a_network_has_so_many_strangers_and_as_many_others_as_it_likes() {
        let limiter = ConnectionLimiter::new(1000, 3);
        let left = Left::default();
        let mut places: Vec<_> = (0..9).map(|_| entered(&limiter, &left, 1)).collect();
        assert_eq!(left.lock().unwrap().len(), 6);
        places.clear();
        left.lock().unwrap().clear();
        for _ in 0..9 {
            let mut place = entered(&limiter, &left, 1);
            place.granted();
            places.push(place);
        }
        assert!(left.lock().unwrap().is_empty());
        assert_eq!(limiter.taken(), 9);
    }

    #[test]
    fn one_whose_client_becomes_known_counts_for_its_network_from_then_on() {
        let limiter = ConnectionLimiter::new(1000, 2);
        let left = Left::default();
        let mut places: Vec<_> = (0..6)
            .map(|name| {
                let mut place = limiter.enter(None).unwrap();
                let left = Arc::clone(&left);
                place.attach(Box::new(move || left.lock().unwrap().push(name)));
                place
            })
            .collect();
        assert!(left.lock().unwrap().is_empty());
        for place in places.iter_mut().skip(2) {
            place.counts_for([10, 0, 0, 1].into());
        }
        assert_eq!(left.lock().unwrap().len(), 2);
        assert!(left.lock().unwrap().iter().all(|name| *name >= 2));
        places.clear();
        assert!(limiter.table().by_network.is_empty());
    }

    #[test]
    fn strangers_that_hold_too_much_leave_the_oldest_first() {
        let limiter = ConnectionLimiter::new(1000, 0);
        let left = Left::default();
        let mut places: Vec<_> = (0..4).map(|name| entered(&limiter, &left, name)).collect();
        for place in &mut places {
            place.holds(MOST_HELD / 3);
        }
        assert_eq!(*left.lock().unwrap(), [0]);
        places.clear();
        assert_eq!(limiter.table().held, 0);
    }
}
