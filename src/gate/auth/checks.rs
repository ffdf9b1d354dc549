//! How many checks run at once, and who is next.
//!
//! Owns the slots and the queue. Must not know whether a check is a hash or a call of an API. Free slots go round the
//! networks in turn, so that whoever floods from one of them delays a newcomer from another by one check at most for
//! each such network; and those with a bad record wait in lanes of their own, so that guesses from many networks do not
//! stand before newcomers either. Where there is no room, the worst lane makes it, and no neighbourhood has more than a
//! quarter of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::network::Network;

/// Enough for a client that opens two connections at once; the rest of a flood is turned away and not kept.
const WAITING_PER_NETWORK: usize = 2;
/// A lane whose turn comes behind that of a better one has it after so many that went before; none is ever starved.
const PATIENCE: [u32; Lane::COUNT] = [0, 3, 6];

pub(super) struct Checks {
    at_once: usize,
    most_waiting: usize,
    queue: Mutex<Queue>,
}

/// Where one waits, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Nothing is known against them.
    Clean,
    /// Their user is being guessed from somewhere.
    Wanted,
    /// A wrong password came from their network a moment ago.
    Erred,
}

impl Lane {
    const COUNT: usize = 3;
}

#[derive(Default)]
struct Queue {
    running: usize,
    /// By [`Lane`].
    lines: [Line; Lane::COUNT],
    /// Who waits, by neighbourhood.
    neighbours: HashMap<Network, usize>,
}

/// Those who wait in one lane.
#[derive(Default)]
struct Line {
    /// Each network that has somebody waiting, once, the next one first.
    order: VecDeque<Network>,
    waiting: HashMap<Network, VecDeque<Arc<Turn>>>,
    count: usize,
    /// How often another lane went before since the last turn of this one.
    passed_over: u32,
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
        if queue.of(network) >= WAITING_PER_NETWORK
            || queue.of_neighbours(network) >= self.most_waiting.div_ceil(4)
            || queue.len() >= self.most_waiting && !queue.make_room_for(lane)
        {
            return None;
        }
        let turn = Arc::new(Turn::default());
        queue.join(lane, network, Arc::clone(&turn));
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
                queue.leave(lane, network, &turn);
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
        self.lock().len()
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.lines.iter().map(|line| line.count).sum()
    }

    /// How many of this network wait.
    fn of(&self, network: Network) -> usize {
        self.lines.iter().map(|line| line.of(network)).sum()
    }

    fn of_neighbours(&self, network: Network) -> usize {
        let neighbours = self.neighbours.get(&network.neighbourhood());
        neighbours.copied().unwrap_or_default()
    }

    fn line(&mut self, lane: Lane) -> &mut Line {
        let [clean, wanted, erred] = &mut self.lines;
        match lane {
            Lane::Clean => clean,
            Lane::Wanted => wanted,
            Lane::Erred => erred,
        }
    }

    fn join(&mut self, lane: Lane, network: Network, turn: Arc<Turn>) {
        self.line(lane).join(network, turn);
        *self.neighbours.entry(network.neighbourhood()).or_default() += 1;
    }

    /// Takes out one who waits no longer.
    fn leave(&mut self, lane: Lane, network: Network, turn: &Arc<Turn>) {
        if self.line(lane).leave(network, turn) {
            self.forget_neighbour(network);
        }
    }

    fn forget_neighbour(&mut self, network: Network) {
        let neighbourhood = network.neighbourhood();
        if let Some(count) = self.neighbours.get_mut(&neighbourhood) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.neighbours.remove(&neighbourhood);
            }
        }
    }

    /// Sends one away who waits in a worse lane than `lane`. `false` if there is none.
    fn make_room_for(&mut self, lane: Lane) -> bool {
        for worse in [Lane::Erred, Lane::Wanted] {
            if worse > lane
                && let Some((network, turn)) = self.line(worse).last_to_come()
            {
                self.leave(worse, network, &turn);
                turn.end(Word::Leave);
                return true;
            }
        }
        false
    }

    /// Whose turn it is now.
    fn next(&mut self) -> Option<Arc<Turn>> {
        let mut waiting = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.count > 0);
        let best = waiting.next()?.0;
        let due = waiting
            .rfind(|(at, line)| {
                PATIENCE
                    .get(*at)
                    .is_some_and(|most| line.passed_over >= *most)
            })
            .map(|(at, _)| at);
        let chosen = due.unwrap_or(best);
        for (at, line) in self.lines.iter_mut().enumerate() {
            line.passed_over = match at == chosen || line.count == 0 {
                true => 0,
                false => line.passed_over.saturating_add(1),
            };
        }
        let (network, turn) = self.lines.get_mut(chosen)?.next()?;
        self.forget_neighbour(network);
        Some(turn)
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

    /// Whether that one was here.
    fn leave(&mut self, network: Network, turn: &Arc<Turn>) -> bool {
        let Some(turns) = self.waiting.get_mut(&network) else {
            return false;
        };
        let before = turns.len();
        turns.retain(|other| !Arc::ptr_eq(other, turn));
        let was_here = turns.len() < before;
        self.count -= usize::from(was_here);
        if turns.is_empty() {
            self.waiting.remove(&network);
            self.order.retain(|other| *other != network);
        }
        was_here
    }

    /// The first of the network that is next, which then goes to the end.
    fn next(&mut self) -> Option<(Network, Arc<Turn>)> {
        let network = self.order.pop_front()?;
        let turns = self.waiting.get_mut(&network)?;
        let turn = turns.pop_front()?;
        self.count -= 1;
        if turns.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.order.push_back(network);
        }
        Some((network, turn))
    }

    /// The one whose turn would come last, of a network that has another waiting if there is one.
    fn last_to_come(&self) -> Option<(Network, Arc<Turn>)> {
        let mut backwards = self.order.iter().rev();
        let network = backwards
            .find(|network| self.of(**network) > 1)
            .or(self.order.back())?;
        let turn = self.waiting.get(network)?.back()?;
        Some((*network, Arc::clone(turn)))
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
