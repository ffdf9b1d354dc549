//! How many checks run at once, and who is next.
//!
//! Owns the slots and the queue. Must not know whether a check is a hash or a call of an API. Free slots go round the
//! networks in turn, so that whoever floods from one of them delays a newcomer from another by one check at most for
//! each such network; and those with a bad record wait in a lane of their own, so that guesses from many networks do not
//! stand before newcomers either.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::network::Network;

/// Enough for a client that opens two connections at once; the rest of a flood is turned away and not kept.
const WAITING_PER_NETWORK: usize = 2;
/// So many from the first lane go before one from the last, which is slow there and never starved.
const FIRST_FOR_ONE_LAST: u32 = 3;

pub(super) struct Checks {
    at_once: usize,
    most_waiting: usize,
    queue: Mutex<Queue>,
}

/// Where one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Nothing is known against them.
    First,
    /// A wrong password came from there a moment ago, or many for this user.
    Last,
}

#[derive(Default)]
struct Queue {
    running: usize,
    first: Line,
    last: Line,
    /// Turns of the first lane since one of the last.
    preferred: u32,
}

/// Those who wait in one lane.
#[derive(Default)]
struct Line {
    /// Each network that has somebody waiting, once, the next one first.
    order: VecDeque<Network>,
    waiting: HashMap<Network, VecDeque<Arc<Turn>>>,
    count: usize,
}

/// One who waits.
#[derive(Default)]
struct Turn {
    /// Written under the queue's lock.
    word: OnceLock<Word>,
    bell: Condvar,
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Come,
    /// Somebody who goes first needed the place.
    Leave,
}

/// The right to check now. The next one's turn comes when it is dropped, also by unwinding.
pub(super) struct Slot<'a>(&'a Checks);

impl Checks {
    /// For hashing: fewer at once than this machine, or what is granted of it, has cores, so that hashing never takes it
    /// away from those who are in already.
    pub(super) fn for_this_machine(most_waiting: usize) -> Checks {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Checks::new(cores.saturating_sub(1), most_waiting)
    }

    /// At least one at once, while up to `most_waiting` wait.
    pub(super) fn new(at_once: usize, most_waiting: usize) -> Checks {
        Checks {
            at_once: at_once.max(1),
            most_waiting,
            queue: Mutex::default(),
        }
    }

    /// How many there can be in here, running and waiting.
    pub(super) fn most(&self) -> usize {
        self.at_once.saturating_add(self.most_waiting)
    }

    /// Waits for a slot. `None` if too many wait already, in all or of the same network, if somebody who goes first needs
    /// the place, and at `deadline` if there is one.
    pub(super) fn begin(
        &self,
        network: Network,
        lane: Lane,
        deadline: Option<Instant>,
    ) -> Option<Slot<'_>> {
        let mut queue = self.lock();
        if queue.running < self.at_once {
            queue.running += 1;
            return Some(Slot(self));
        }
        if queue.first.of(network) + queue.last.of(network) >= WAITING_PER_NETWORK {
            return None;
        }
        if queue.first.count + queue.last.count >= self.most_waiting
            && (lane == Lane::Last || !queue.last.send_one_away())
        {
            return None;
        }
        let turn = Arc::new(Turn::default());
        queue.line(lane).join(network, Arc::clone(&turn));
        loop {
            match turn.word.get() {
                Some(Word::Come) => return Some(Slot(self)),
                Some(Word::Leave) => return None,
                None => {}
            }
            let Some(deadline) = deadline else {
                queue = turn
                    .bell
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                queue.line(lane).leave(network, &turn);
                return None;
            }
            (queue, _) = turn
                .bell
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let queue = self.lock();
        queue.first.count + queue.last.count
    }
}

impl Queue {
    fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::First => &mut self.first,
            Lane::Last => &mut self.last,
        }
    }

    /// Whose turn it is now.
    fn next(&mut self) -> Option<Arc<Turn>> {
        let is_last_due = self.preferred >= FIRST_FOR_ONE_LAST && self.last.count > 0;
        let first = match is_last_due {
            true => None,
            false => self.first.next(),
        };
        if first.is_some() {
            self.preferred += 1;
            return first;
        }
        self.preferred = 0;
        self.last.next()
    }
}

impl Line {
    /// How many of this network wait here.
    fn of(&self, network: Network) -> usize {
        self.waiting.get(&network).map_or(0, VecDeque::len)
    }

    fn join(&mut self, network: Network, turn: Arc<Turn>) {
        let turns = self.waiting.entry(network).or_default();
        if turns.is_empty() {
            self.order.push_back(network);
        }
        turns.push_back(turn);
        self.count += 1;
    }

    /// Takes out one who waits no longer.
    fn leave(&mut self, network: Network, turn: &Arc<Turn>) {
        let Some(turns) = self.waiting.get_mut(&network) else {
            return;
        };
        let before = turns.len();
        turns.retain(|other| !Arc::ptr_eq(other, turn));
        self.count -= before - turns.len();
        if turns.is_empty() {
            self.waiting.remove(&network);
            self.order.retain(|other| *other != network);
        }
    }

    /// The first of the network that is next, which then goes to the end.
    fn next(&mut self) -> Option<Arc<Turn>> {
        let network = self.order.pop_front()?;
        let turns = self.waiting.get_mut(&network)?;
        let turn = turns.pop_front()?;
        self.count -= 1;
        if turns.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.order.push_back(network);
        }
        Some(turn)
    }

    /// Ends the wait of the one whose turn would come last. `false` if nobody waits here.
    fn send_one_away(&mut self) -> bool {
        let Some(network) = self.order.back().copied() else {
            return false;
        };
        let Some(turn) = self.waiting.get(&network).and_then(VecDeque::back).cloned() else {
            return false;
        };
        self.leave(network, &turn);
        turn.end(Word::Leave);
        true
    }
}

impl Turn {
    fn end(&self, word: Word) {
        // Only the first word counts, and there is one: who has one is in no line any more.
        let _ = self.word.set(word);
        self.bell.notify_one();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        // The slot is handed over and never free in between, so that nobody who comes later overtakes.
        match queue.next() {
            Some(turn) => turn.end(Word::Come),
            None => queue.running -= 1,
        }
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
