//! Which of those that are ready is run next.
//!
//! Owns the fairness between tasks of those who were let in and of strangers: neither keeps the other waiting for long.

use std::collections::VecDeque;

use super::task::Class;

/// So many steps of those who were let in go before one of a stranger, where both wait.
const KNOWN_FOR_ONE_STRANGER: u32 = 3;

/// The keys of tasks that are to be run.
#[derive(Debug, Default)]
pub(super) struct RunQueue {
    known: VecDeque<u64>,
    strangers: VecDeque<u64>,
    /// Steps of known ones since one of a stranger.
    preferred: u32,
}

impl RunQueue {
    pub(super) fn push(&mut self, key: u64, class: Class) {
        match class {
            Class::Known => self.known.push_back(key),
            Class::Stranger => self.strangers.push_back(key),
        }
    }

    pub(super) fn pop(&mut self) -> Option<u64> {
        if self.preferred >= KNOWN_FOR_ONE_STRANGER
            && let Some(stranger) = self.strangers.pop_front()
        {
            self.preferred = 0;
            return Some(stranger);
        }
        match self.known.pop_front() {
            Some(known) => {
                self.preferred += 1;
                Some(known)
            }
            None => {
                self.preferred = 0;
                self.strangers.pop_front()
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len() + self.strangers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_either_kind_leaves_turns_to_the_other() {
        let mut queue = RunQueue::default();
        (0..8).for_each(|key| queue.push(key, Class::Known));
        (100..104).for_each(|key| queue.push(key, Class::Stranger));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 1, 2, 100, 3, 4, 5, 101, 6, 7, 102, 103]);
        assert!(queue.is_empty());
    }
}
