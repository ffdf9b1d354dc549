//! The two things that are counted with: a number that grows, and a histogram.
//!
//! Owns how a number is counted by many threads at once: by relaxed atomics and nothing else, so that it costs a few
//! nanoseconds, takes no lock, allocates nothing and never waits. A reader may see a histogram between two of its
//! additions, which the next look mends.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Begins at nothing.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many values of which size there were.
#[derive(Debug)]
pub struct Histogram<const BOUNDS: usize> {
    /// Ascending; a value belongs to the first bound that is not below it.
    bounds: &'static [u64; BOUNDS],
    counts: [Counter; BOUNDS],
    beyond: Counter,
    sum: Counter,
}

/// What a histogram has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Each bound with how many values belong to it.
    pub counts: Vec<(u64, u64)>,
    /// How many are beyond them all.
    pub beyond: u64,
    /// All values together.
    pub sum: u64,
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    /// An empty one with these bounds, which ascend.
    pub const fn new(bounds: &'static [u64; BOUNDS]) -> Histogram<BOUNDS> {
        Histogram {
            bounds,
            counts: [const { Counter::new() }; BOUNDS],
            beyond: Counter::new(),
            sum: Counter::new(),
        }
    }

    /// Counts one value.
    pub fn count(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(place).unwrap_or(&self.beyond).one();
        self.sum.add(value);
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        let counts = self.counts.iter().map(Counter::value);
        Counted {
            counts: self.bounds.iter().copied().zip(counts).collect(),
            beyond: self.beyond.value(),
            sum: self.sum(),
        }
    }

    /// All values together.
    pub fn sum(&self) -> u64 {
        self.sum.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_first_bound_that_is_not_below_it() {
        static SOME: Histogram<3> = Histogram::new(&[0, 10, 100]);
        for value in [0, 1, 10, 11, 100, 101, 1000] {
            SOME.count(value);
        }
        let counted = Counted {
            counts: vec![(0, 1), (10, 2), (100, 2)],
            beyond: 2,
            sum: 1223,
        };
        assert_eq!(SOME.counted(), counted);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        static MANY: Counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| MANY.one()));
            }
        });
        assert_eq!(MANY.value(), 40_000);
    }
}
