//! What is remembered of earlier checks.
//!
//! Owns a table whose entries age, and the key under which credentials are remembered. Knows no plaintext after it has
//! returned. The tables are bounded because strangers fill them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// What stands for one credential, or for a question about it, in the memory: useless to whoever reads it without the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// Its beginning is spread as well as the whole.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mark().hash(state);
    }
}

impl Digest {
    /// Compares in constant time.
    pub(super) fn is_same(&self, other: &Digest) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// What is enough of it to count by, where two that are taken for one do no harm.
    pub(super) fn mark(&self) -> Mark {
        let (mark, _) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        Mark(u64::from_be_bytes(*mark))
    }
}

/// The beginning of a digest, to save room.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

/// The key, made at start and never written anywhere.
///
/// It stands before what is hashed. That would not do for a digest that others see, who could go on from it; nobody sees these,
/// and an HMAC costs each request three times as much.
pub(super) struct Seal([u8; 32]);

impl Seal {
    /// # Panics
    /// If the system has no random numbers, without which nothing else here is safe either.
    pub(super) fn new() -> Seal {
        let mut key = [0; 32];
        match rand::fill(&mut key) {
            Ok(()) => Seal(key),
            Err(_) => panic!("the system has no random numbers"),
        }
    }

    /// Binds the parts to one another. Each is preceded by its length, so that no two lists of parts are the same because
    /// they differ only in where one part ends.
    pub(super) fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let parts: Vec<&[u8]> = parts.into_iter().collect();
        let length: usize = parts.iter().map(|part| 8 + part.len()).sum();
        // Room for all at once: a vector that grows leaves copies of a password behind.
        let mut all = Zeroizing::new(Vec::with_capacity(self.0.len() + length));
        all.extend_from_slice(&self.0);
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        match digest(&SHA256, &all).as_ref().try_into() {
            Ok(bytes) => Digest(bytes),
            Err(_) => unreachable!("a SHA-256 has 32 bytes"),
        }
    }
}

/// A bounded table whose entries are forgotten a fixed time after they were put in, and the oldest first if it is full.
pub(super) struct Aging<K, V> {
    entries: HashMap<K, Aged<V>>,
    /// The same keys in the order in which they were put in.
    order: BTreeMap<u64, K>,
    next: u64,
    capacity: usize,
    lifetime: Duration,
}

struct Aged<V> {
    place: u64,
    since: Instant,
    value: V,
}

impl<K: Hash + Eq + Clone, V> Aging<K, V> {
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Aging<K, V> {
        Aging {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            capacity,
            lifetime,
        }
    }

    pub(super) fn recall(&self, key: &K, now: Instant) -> Option<&V> {
        let aged = self.entries.get(key)?;
        let age = now.saturating_duration_since(aged.since);
        (age < self.lifetime).then_some(&aged.value)
    }

    /// Puts in or replaces; the time counts from `now`.
    pub(super) fn remember(&mut self, key: K, value: V, now: Instant) {
        if let Some(old) = self.entries.remove(&key) {
            self.order.remove(&old.place);
        }
        while let Some((_, oldest)) = self.order.first_key_value()
            && (self.entries.len() >= self.capacity || self.recall(oldest, now).is_none())
        {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.entries.remove(&oldest);
            }
        }
        let place = self.next;
        self.next += 1;
        self.order.insert(place, key.clone());
        self.entries.insert(
            key,
            Aged {
                place,
                since: now,
                value,
            },
        );
    }

    /// Takes out what has not been forgotten.
    pub(super) fn take(&mut self, key: &K, now: Instant) -> Option<V> {
        self.recall(key, now)?;
        let aged = self.entries.remove(key)?;
        self.order.remove(&aged.place);
        Some(aged.value)
    }

    /// All that has not been forgotten, in no order.
    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = (&K, &V)> {
        let lifetime = self.lifetime;
        let is_young = move |aged: &Aged<V>| now.saturating_duration_since(aged.since) < lifetime;
        self.entries
            .iter()
            .filter(move |(_, aged)| is_young(aged))
            .map(|(key, aged)| (key, &aged.value))
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_forgotten_after_its_time_which_a_look_does_not_prolong() {
        let start = Instant::now();
        let mut table = Aging::new(10, Duration::from_secs(60));
        table.remember('a', 1, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(table.recall(&'a', at(59)), Some(&1));
        assert_eq!(table.recall(&'a', at(60)), None);
        table.remember('a', 2, at(61));
        assert_eq!(table.recall(&'a', at(120)), Some(&2));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_the_aged_make_room_by_themselves() {
        let start = Instant::now();
        let mut table = Aging::new(3, Duration::from_secs(60));
        for key in ['a', 'b', 'c', 'a', 'd'] {
            table.remember(key, (), start);
        }
        assert_eq!(table.len(), 3);
        assert!(table.recall(&'b', start).is_none());
        assert!(
            ['c', 'a', 'd']
                .iter()
                .all(|key| table.recall(key, start).is_some())
        );
        table.remember('e', (), start + Duration::from_secs(60));
        assert_eq!(table.len(), 1);
        for n in 0..1000 {
            table.remember(char::from_u32(n).unwrap_or('x'), (), start);
            assert!(table.len() <= 3);
        }
    }

    #[test]
    fn what_is_taken_out_is_gone_and_what_is_listed_is_not_aged() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut table = Aging::new(10, Duration::from_secs(60));
        table.remember('a', 1, start);
        table.remember('b', 2, at(30));
        assert_eq!(table.iter(at(59)).count(), 2);
        assert_eq!(table.iter(at(60)).collect::<Vec<_>>(), [(&'b', &2)]);
        assert_eq!(table.take(&'a', at(60)), None);
        assert_eq!(table.take(&'b', at(60)), Some(2));
        assert_eq!(table.take(&'b', at(60)), None);
        assert!(table.len() <= 1);
    }

    #[test]
    fn digests_differ_in_every_part_and_in_where_one_ends() {
        let seal = Seal::new();
        let of =
            |seal: &Seal, parts: &[&str]| seal.digest(parts.iter().map(|part| part.as_bytes()));
        let digest = of(&seal, &["alice", "secret", "$2y$"]);
        assert!(digest.is_same(&of(&seal, &["alice", "secret", "$2y$"])));
        for other in [
            of(&seal, &["alic", "esecret", "$2y$"]),
            of(&seal, &["alices", "ecret", "$2y$"]),
            of(&seal, &["alice", "secret$", "2y$"]),
            of(&seal, &["alice", "secret", ""]),
            of(&seal, &["alice", "secret"]),
            of(&seal, &["", "alice", "secret", "$2y$"]),
            of(&Seal::new(), &["alice", "secret", "$2y$"]),
        ] {
            assert!(!digest.is_same(&other));
        }
    }
}
