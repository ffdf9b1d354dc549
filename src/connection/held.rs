//! What all connections together hold of what is not whole: heads, and what TLS cannot use yet.
//!
//! Owns the sum. Each connection holds its share of it, wherever it is, and gives it back when it ends; it must not know which
//! of them has to leave where that is too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum, in bytes.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

/// One connection's part of it.
#[derive(Debug)]
pub struct Share {
    held: Arc<Held>,
    size: usize,
}

impl Held {
    /// A part that is nothing yet.
    pub fn share(self: &Arc<Held>) -> Share {
        Share {
            held: Arc::clone(self),
            size: 0,
        }
    }

    /// What all hold.
    pub fn total(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Is so much from now on.
    pub(super) fn set(&mut self, size: usize) {
        let before = std::mem::replace(&mut self.size, size);
        // Wraps where it becomes less, and so does what is added.
        let change = size.wrapping_sub(before);
        self.held.0.fetch_add(change, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_all_shares_that_are_left() {
        let held = Arc::new(Held::default());
        let (mut one, mut other) = (held.share(), held.share());
        one.set(7);
        other.set(5);
        one.set(3);
        assert_eq!(held.total(), 8);
        drop(one);
        assert_eq!(held.total(), 5);
        other.set(0);
        assert_eq!(held.total(), 0);
    }
}
