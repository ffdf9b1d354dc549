//! How many checks run at once, and who is next.
//!
//! Owns the slots and the queue. Must not know whether a check is a hash or a call of an API. Free slots go round the
//! networks in turn, so that whoever floods from one of them delays a newcomer from another by one check at most for
//! each such network.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::network::Network;

/// Enough for a client that opens two connections at once; the rest of a flood is turned away and not kept.
const WAITING_PER_NETWORK: usize = 2;

pub(super) struct Checks {
    at_once: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    running: usize,
    /// Each network that has somebody waiting, once, the next one first.
    order: VecDeque<Network>,
    waiting: HashMap<Network, VecDeque<Arc<Turn>>>,
}

/// One who waits.
#[derive(Default)]
struct Turn {
    /// Written and read under the queue's lock.
    has_come: AtomicBool,
    bell: Condvar,
}

/// The right to check now. The next one's turn comes when it is dropped, also by unwinding.
pub(super) struct Slot<'a>(&'a Checks);

impl Checks {
    /// For hashing: fewer at once than this machine, or what is granted of it, has cores, so that hashing never takes it
    /// away from those who are in already.
    pub(super) fn for_this_machine() -> Checks {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Checks::new(cores.saturating_sub(1))
    }

    /// At least one at once.
    pub(super) fn new(at_once: usize) -> Checks {
        Checks {
            at_once: at_once.max(1),
            queue: Mutex::default(),
        }
    }

    /// Waits for a slot. `None` at once if too many of the same network wait already, and at `deadline` if there is one.
    pub(super) fn begin(&self, network: Network, deadline: Option<Instant>) -> Option<Slot<'_>> {
        let mut queue = self.lock();
        if queue.running < self.at_once {
            queue.running += 1;
            return Some(Slot(self));
        }
        let Queue { order, waiting, .. } = &mut *queue;
        let line = waiting.entry(network).or_default();
        if line.len() >= WAITING_PER_NETWORK {
            return None;
        }
        if line.is_empty() {
            order.push_back(network);
        }
        let turn = Arc::new(Turn::default());
        line.push_back(Arc::clone(&turn));
        while !turn.has_come.load(Ordering::Relaxed) {
            let Some(deadline) = deadline else {
                queue = turn
                    .bell
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                queue.leave(network, &turn);
                return None;
            }
            (queue, _) = turn
                .bell
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(Slot(self))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.values().map(VecDeque::len).sum()
    }
}

impl Queue {
    /// Takes out one who waits no longer.
    fn leave(&mut self, network: Network, turn: &Arc<Turn>) {
        let Some(line) = self.waiting.get_mut(&network) else {
            return;
        };
        line.retain(|other| !Arc::ptr_eq(other, turn));
        if line.is_empty() {
            self.waiting.remove(&network);
            self.order.retain(|other| *other != network);
        }
    }

    /// Whose turn it is now: the first of the network that is next, which then goes to the end.
    fn next(&mut self) -> Option<Arc<Turn>> {
        while let Some(network) = self.order.pop_front() {
            let Some(line) = self.waiting.get_mut(&network) else {
                continue;
            };
            let turn = line.pop_front();
            if line.is_empty() {
                self.waiting.remove(&network);
            } else {
                self.order.push_back(network);
            }
            if turn.is_some() {
                return turn;
            }
        }
        None
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        // The slot is handed over and never free in between, so that nobody who comes later overtakes.
        match queue.next() {
            Some(turn) => {
                turn.has_come.store(true, Ordering::Relaxed);
                turn.bell.notify_one();
            }
            None => queue.running -= 1,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::thread;

    fn network(last: u8) -> Network {
        Network::of(Ipv4Addr::new(10, 0, 0, last).into())
    }

    #[test]
    fn networks_take_turns_and_only_two_of_each_wait() {
        let checks = Checks::new(1);
        let (report, order) = mpsc::channel();
        thread::scope(|scope| {
            let running = checks.begin(network(1), None).unwrap();
            // The flood is first, the others come later.
            for (count, last) in [1, 1, 2, 3, 2].into_iter().enumerate() {
                let (checks, report) = (&checks, report.clone());
                scope.spawn(move || {
                    let slot = checks.begin(network(last), None).unwrap();
                    report.send(last).unwrap();
                    drop(slot);
                });
                while checks.waiting() <= count {
                    thread::yield_now();
                }
            }
            assert!(checks.begin(network(1), None).is_none());
            assert!(checks.begin(network(2), None).is_none());
            drop(running);
        });
        drop(report);
        assert_eq!(order.iter().collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
        assert_eq!(checks.waiting(), 0);
        assert!(checks.begin(network(1), None).is_some());
        let queue = checks.lock();
        assert!(queue.running == 0 && queue.waiting.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn no_more_run_at_once_than_are_allowed_and_one_always_may() {
        let checks = Checks::new(2);
        let slots = [
            checks.begin(network(1), None),
            checks.begin(network(1), None),
        ];
        assert!(slots.iter().all(Option::is_some));
        assert_eq!(checks.lock().running, 2);
        drop(slots);
        assert_eq!(checks.lock().running, 0);
        assert_eq!(Checks::new(0).at_once, 1);
    }

    #[test]
    fn who_waits_until_a_deadline_leaves_nothing_in_the_queue() {
        let checks = Checks::new(1);
        let running = checks.begin(network(1), None).unwrap();
        assert!(checks.begin(network(1), Some(Instant::now())).is_none());
        let soon = Instant::now() + std::time::Duration::from_millis(1);
        assert!(checks.begin(network(2), Some(soon)).is_none());
        {
            let queue = checks.lock();
            assert!(queue.waiting.is_empty() && queue.order.is_empty());
        }
        drop(running);
        assert!(checks.begin(network(2), Some(soon)).is_some());
    }

    #[test]
    fn a_slot_is_given_back_by_unwinding() {
        let checks = Checks::new(1);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _slot = checks.begin(network(1), None);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert!(checks.begin(network(1), None).is_some());
    }
}
