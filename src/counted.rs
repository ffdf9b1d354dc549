//! How much of something each of many has, and all of them together.
//!
//! Owns the two bounds. What somebody has is given back when its permit is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::EvenIfPoisoned;

/// Who has how much.
#[derive(Debug)]
pub(crate) struct CountedBy<K> {
    most_of_one: usize,
    most: usize,
    counts: Arc<Mutex<Counts<K>>>,
}

#[derive(Debug)]
struct Counts<K> {
    total: usize,
    by_key: HashMap<K, usize>,
}

/// What one has.
#[derive(Debug)]
pub(crate) struct Counted<K: Hash + Eq> {
    counts: Arc<Mutex<Counts<K>>>,
    key: K,
    amount: usize,
}

impl<K: Hash + Eq + Clone> CountedBy<K> {
    /// Nobody has anything; each may have `most_of_one`, and all together `most`.
    pub(crate) fn new(most_of_one: usize, most: usize) -> CountedBy<K> {
        let counts = Counts {
            total: 0,
            by_key: HashMap::new(),
        };
        CountedBy {
            most_of_one,
            most,
            counts: Arc::new(Mutex::new(counts)),
        }
    }

    /// So much more for `key`, if that is within the bounds.
    pub(crate) fn take(&self, key: &K, amount: usize) -> Option<Counted<K>> {
        let mut counts = self.counts();
        let of_key = counts.by_key.get(key).copied().unwrap_or_default();
        let (total, of_key) = (
            counts.total.checked_add(amount)?,
            of_key.checked_add(amount)?,
        );
        if total > self.most || of_key > self.most_of_one {
            return None;
        }
        counts.total = total;
        counts.by_key.insert(key.clone(), of_key);
        Some(Counted {
            counts: Arc::clone(&self.counts),
            key: key.clone(),
            amount,
        })
    }

    /// What all have together.
    pub(crate) fn total(&self) -> usize {
        self.counts().total
    }

    fn counts(&self) -> MutexGuard<'_, Counts<K>> {
        self.counts.lock().even_if_poisoned()
    }
}

impl<K: Hash + Eq> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().even_if_poisoned();
        counts.total = counts.total.saturating_sub(self.amount);
        if let Some(of_key) = counts.by_key.get_mut(&self.key) {
            *of_key = of_key.saturating_sub(self.amount);
            if *of_key == 0 {
                counts.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_has_so_much_and_all_together_have_more() {
        let counted = CountedBy::new(32, 256);
        let mut held: Vec<_> = (0..40).filter_map(|_| counted.take(&500, 1)).collect();
        assert_eq!(held.len(), 32);
        for key in 0..100 {
            held.extend((0..8).filter_map(|_| counted.take(&key, 1)));
        }
        assert_eq!((held.len(), counted.total()), (256, 256));
        held.clear();
        assert_eq!(counted.total(), 0);
        assert!(counted.counts().by_key.is_empty());
        let most = counted.take(&500, 32);
        assert!(most.is_some() && counted.take(&500, 1).is_none());
        assert!(counted.take(&1, usize::MAX).is_none());
    }
}
