//! How many checks run at once, and who is next.
//!
//! Owns the permits and the queue. Must not know whether a check is a hash or a call of an API. Who may not run at once has a
//! ticket, which is polled and wakes whoever holds it: nothing in here blocks. Permits and tickets are owned, and give back what they stand for when they are dropped.
//!
//! Permits go round the networks in turn, so that whoever floods from one of them delays a newcomer from another by one
//! check at most for each such network; and those with a bad record wait in lanes of their own, so that guesses from many
//! networks do not stand before newcomers either. No network and no neighbourhood has more than its share of what runs and of
//! what waits, and the last permits are for networks that have none. Where there is no room to wait, the worst priority makes it,
//! and then whoever has most: however many places somebody fills, whoever comes from elsewhere with less finds one.

#[cfg(test)]
use super::wake::wait_for;
use crate::lock::EvenIfPoisoned;
use crate::net::Network;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
#[cfg(test)]
use std::time::Instant;

/// A priority whose turn comes behind that of a better one has it after so many that went before; none is ever starved.
const LONGEST_WAIT: [u32; Priority::COUNT] = [0, 3, 6];

/// Grants permits, and keeps those who wait for one.
#[derive(Clone)]
pub(in crate::gate::auth) struct HashLimiter(Arc<Shared>);

struct Shared {
    bounds: HashLimits,
    queue: Mutex<Queue>,
}

/// How many may run and wait.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate::auth) struct HashLimits {
    /// Permits in all.
    pub(in crate::gate::auth) at_once: usize,
    /// Of these, those of one network...
    pub(in crate::gate::auth) of_network: usize,
    /// ...and of one neighbourhood.
    pub(in crate::gate::auth) of_neighbourhood: usize,
    /// The last ones, which only a network gets that has none.
    pub(in crate::gate::auth) reserved: usize,
    /// Those who wait, in all...
    pub(in crate::gate::auth) waiting: usize,
    /// ...from one network...
    pub(in crate::gate::auth) waiting_of_network: usize,
    /// ...and from one neighbourhood.
    pub(in crate::gate::auth) waiting_of_neighbourhood: usize,
}

/// Who wants a permit.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate::auth) struct HashApplicant {
    pub(in crate::gate::auth) network: Network,
    pub(in crate::gate::auth) priority: Priority,
    /// So many permits may its network have at once from now on, if that is less than its share; at least one.
    pub(in crate::gate::auth) most: usize,
}

/// Where one waits, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gate::auth) enum Priority {
    /// Nothing is known against them.
    Clean,
    /// Their user is being guessed from somewhere.
    Wanted,
    /// A wrong password came from their network a moment ago.
    Erred,
}

impl Priority {
    const COUNT: usize = 3;
}

/// What an applicant is told.
#[must_use]
pub(in crate::gate::auth) enum HashAdmission {
    /// To go on at once.
    Granted(Permit),
    /// To wait.
    Queued(Ticket),
    /// That there is no room to wait.
    Refused,
}

/// The right to check now. The next one's turn comes when it is dropped, also by unwinding.
pub(in crate::gate::auth) struct Permit {
    shared: Arc<Shared>,
    network: Network,
}

/// A place in the queue, or the permit that has come of it; either is given back when it is dropped.
pub(in crate::gate::auth) struct Ticket {
    shared: Arc<Shared>,
    number: u64,
}

/// Somebody who waited had to make room for others.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gate::auth) struct Displaced;

#[derive(Default)]
struct Queue {
    running: usize,
    waiting: usize,
    /// Those that have something running or waiting, and only those.
    networks: HashMap<Network, Standing>,
    neighbourhoods: HashMap<Network, Standing>,
    /// By [`Priority`].
    lines: [Line; Priority::COUNT],
    /// All tickets that are held, by number.
    turns: HashMap<u64, Turn>,
    next_number: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    running: usize,
    waiting: usize,
    /// What its last applicant said, if it is a network.
    most: usize,
}

/// Those who wait in one priority.
#[derive(Default)]
struct Line {
    /// Each network that has somebody waiting, once, the next one first.
    order: VecDeque<Network>,
    waiting: HashMap<Network, VecDeque<u64>>,
    /// How often another priority went before since the last turn of this one.
    passed_over: u32,
}

/// One who waits.
struct Turn {
    network: Network,
    priority: Priority,
    word: Word,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Wait,
    /// A permit is reserved for them.
    Come,
    /// Somebody who goes first needed the place.
    Leave,
}

impl HashLimiter {
    /// At least one permit there is, whatever the bounds say.
    pub(in crate::gate::auth) fn new(bounds: HashLimits) -> HashLimiter {
        let bounds = HashLimits {
            at_once: bounds.at_once.max(1),
            of_network: bounds.of_network.max(1),
            of_neighbourhood: bounds.of_neighbourhood.max(1),
            ..bounds
        };
        HashLimiter(Arc::new(Shared {
            bounds,
            queue: Mutex::default(),
        }))
    }

    /// Asks for a permit, without waiting.
    pub(in crate::gate::auth) fn apply(&self, applicant: HashApplicant) -> HashAdmission {
        let HashApplicant {
            network, priority, ..
        } = applicant;
        let bounds = &self.0.bounds;
        let mut queue = self.0.lock();
        // Whoever waits cannot run now, or they would: nobody is overtaken.
        if queue.may_run(network, applicant.most, bounds) {
            queue.run(network);
            queue.hold_to(network, applicant.most);
            return HashAdmission::Granted(Permit {
                shared: Arc::clone(&self.0),
                network,
            });
        }
        let displaced = match queue.room_for(network, priority, bounds) {
            Room::Free => None,
            Room::Of(number) => queue.displace(number),
            Room::None => return HashAdmission::Refused,
        };
        let number = queue.join(network, priority);
        queue.hold_to(network, applicant.most);
        drop(queue);
        displaced.into_iter().for_each(Waker::wake);
        HashAdmission::Queued(Ticket {
            shared: Arc::clone(&self.0),
            number,
        })
    }

    /// From now on this network, if it has anything in here, has no more permits at once than this; at least one.
    pub(in crate::gate::auth) fn hold_to(&self, network: Network, most: usize) {
        self.0.lock().hold_to(network, most);
    }

    #[cfg(test)]
    pub(in crate::gate::auth) fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    #[cfg(test)]
    pub(in crate::gate::auth) fn running(&self) -> usize {
        self.0.lock().running
    }
}

impl HashAdmission {
    /// The permit, once there is one; `None` where there will be none. Until then `waker` is called when there is something new.
    pub(in crate::gate::auth) fn poll(&mut self, waker: &Waker) -> Poll<Option<Permit>> {
        match std::mem::replace(self, HashAdmission::Refused) {
            HashAdmission::Granted(permit) => Poll::Ready(Some(permit)),
            HashAdmission::Refused => Poll::Ready(None),
            HashAdmission::Queued(mut ticket) => match ticket.poll(waker) {
                Poll::Ready(word) => Poll::Ready(word.ok()),
                Poll::Pending => {
                    *self = HashAdmission::Queued(ticket);
                    Poll::Pending
                }
            },
        }
    }

    /// Waits for the permit on this thread. `None` if there is no room to wait, if somebody who goes first needed the place, and
    /// at `deadline`.
    #[cfg(test)]
    pub(in crate::gate::auth) fn wait_until(self, deadline: Instant) -> Option<Permit> {
        match self {
            HashAdmission::Granted(permit) => Some(permit),
            HashAdmission::Queued(mut ticket) => {
                wait_for(deadline, |waker| ticket.poll(waker))?.ok()
            }
            HashAdmission::Refused => None,
        }
    }
}

impl Ticket {
    /// The permit, once there is one. Until then `waker` is called when there is something new, and no other that was given
    /// before. A ticket that has said its last word waits for ever.
    pub(in crate::gate::auth) fn poll(&mut self, waker: &Waker) -> Poll<Result<Permit, Displaced>> {
        let mut queue = self.shared.lock();
        let Some(turn) = queue.turns.get_mut(&self.number) else {
            return Poll::Pending;
        };
        let network = turn.network;
        match turn.word {
            Word::Wait => {
                turn.waker = Some(waker.clone());
                return Poll::Pending;
            }
            Word::Leave => {
                queue.turns.remove(&self.number);
                return Poll::Ready(Err(Displaced));
            }
            Word::Come => queue.turns.remove(&self.number),
        };
        drop(queue);
        Poll::Ready(Ok(Permit {
            shared: Arc::clone(&self.shared),
            network,
        }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        let woken = match queue.turns.remove(&self.number) {
            Some(turn) if turn.word == Word::Come => queue.end(turn.network, &self.shared.bounds),
            Some(turn) if turn.word == Word::Wait => {
                queue.leave(turn.priority, turn.network, self.number);
                Vec::new()
            }
            _ => Vec::new(),
        };
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let woken = self.shared.lock().end(self.network, &self.shared.bounds);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().even_if_poisoned()
    }
}

/// Whether there is a place to wait.
enum Room {
    Free,
    /// If this one leaves.
    Of(u64),
    None,
}

impl Queue {
    fn of(&self, network: Network) -> Standing {
        self.networks.get(&network).copied().unwrap_or_default()
    }

    fn of_neighbours(&self, network: Network) -> Standing {
        let neighbours = self.neighbourhoods.get(&network.neighbourhood());
        neighbours.copied().unwrap_or_default()
    }

    /// Whether one more of this network may run, which has `most` at once.
    fn may_run(&self, network: Network, most: usize, bounds: &HashLimits) -> bool {
        let free = bounds.at_once.saturating_sub(self.running);
        let running = self.of(network).running;
        free > 0
            && running < most.clamp(1, bounds.of_network)
            && self.of_neighbours(network).running < bounds.of_neighbourhood
            && (free > bounds.reserved || running == 0)
    }

    fn run(&mut self, network: Network) {
        self.running += 1;
        self.change(network, |standing| standing.running += 1);
    }

    /// Takes back a permit, and gives out what can be given. Returns whom to wake when the lock is released.
    fn end(&mut self, network: Network, bounds: &HashLimits) -> Vec<Waker> {
        self.running = self.running.saturating_sub(1);
        self.change(network, |standing| {
            standing.running = standing.running.saturating_sub(1);
        });
        let mut woken = Vec::new();
        while let Some((network, number)) = self.next(bounds) {
            self.run(network);
            woken.extend(self.say(number, Word::Come));
        }
        woken
    }

    fn hold_to(&mut self, network: Network, most: usize) {
        if let Some(standing) = self.networks.get_mut(&network) {
            standing.most = most;
        }
    }

    fn change(&mut self, network: Network, change: impl Fn(&mut Standing)) {
        for (standings, of) in [
            (&mut self.networks, network),
            (&mut self.neighbourhoods, network.neighbourhood()),
        ] {
            let standing = standings.entry(of).or_default();
            change(standing);
            if (standing.running, standing.waiting) == (0, 0) {
                standings.remove(&of);
            }
        }
    }

    fn line(&mut self, priority: Priority) -> &mut Line {
        let [clean, wanted, erred] = &mut self.lines;
        match priority {
            Priority::Clean => clean,
            Priority::Wanted => wanted,
            Priority::Erred => erred,
        }
    }

    fn join(&mut self, network: Network, priority: Priority) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let turn = Turn {
            network,
            priority,
            word: Word::Wait,
            waker: None,
        };
        self.turns.insert(number, turn);
        self.line(priority).join(network, number);
        self.waiting += 1;
        self.change(network, |standing| standing.waiting += 1);
        number
    }

    /// Takes out one who waits no longer.
    fn leave(&mut self, priority: Priority, network: Network, number: u64) {
        if self.line(priority).leave(network, number) {
            self.wait_no_longer(network);
        }
    }

    fn wait_no_longer(&mut self, network: Network) {
        self.waiting = self.waiting.saturating_sub(1);
        self.change(network, |standing| {
            standing.waiting = standing.waiting.saturating_sub(1);
        });
    }

    /// Sends one away who waits. Returns whom to wake when the lock is released.
    fn displace(&mut self, number: u64) -> Option<Waker> {
        let turn = self.turns.get(&number)?;
        self.leave(turn.priority, turn.network, number);
        self.say(number, Word::Leave)
    }

    fn say(&mut self, number: u64, word: Word) -> Option<Waker> {
        let turn = self.turns.get_mut(&number)?;
        turn.word = word;
        turn.waker.take()
    }

    fn room_for(&self, network: Network, priority: Priority, bounds: &HashLimits) -> Room {
        let (own, neighbours) = (self.of(network), self.of_neighbours(network));
        if own.waiting >= bounds.waiting_of_network {
            return Room::None;
        }
        let neighbourhood = network.neighbourhood();
        let found = if neighbours.waiting >= bounds.waiting_of_neighbourhood {
            self.who_leaves(network, priority, |other| {
                other.neighbourhood() == neighbourhood
            })
        } else if self.waiting >= bounds.waiting {
            self.who_leaves(network, priority, |_| true)
        } else {
            return Room::Free;
        };
        found.map_or(Room::None, Room::Of)
    }

    /// Of those from networks that `may_leave`, the one who makes room for one more of `network` in this priority: one from a worse
    /// priority, or from a neighbourhood, or in the same one a network, that has more even then.
    fn who_leaves(
        &self,
        network: Network,
        priority: Priority,
        may_leave: impl Fn(Network) -> bool,
    ) -> Option<u64> {
        // What a network has, and before it what its neighbourhood has.
        let has = |network| {
            let (own, neighbours) = (self.of(network), self.of_neighbours(network));
            (neighbours.waiting, own.waiting)
        };
        let neighbourhood = network.neighbourhood();
        let has_more = |other: Network| {
            let ((neighbours, theirs), (own_neighbours, own)) = (has(other), has(network));
            match other.neighbourhood() == neighbourhood {
                true => theirs > own + 1,
                false => neighbours > own_neighbours + 1,
            }
        };
        let all = [Priority::Clean, Priority::Wanted, Priority::Erred];
        let lanes = all.into_iter().zip(&self.lines).rev();
        lanes
            .filter(|(other, _)| *other >= priority)
            .find_map(|(other, line)| {
                let networks = line.order.iter().copied();
                let leaves = networks
                    .filter(|one| may_leave(*one) && (other > priority || has_more(*one)))
                    .max_by_key(|one| has(*one))?;
                line.waiting.get(&leaves)?.back().copied()
            })
    }

    /// Who has the next turn, if anybody who waits may run.
    fn next(&mut self, bounds: &HashLimits) -> Option<(Network, u64)> {
        let first = self.lines.each_ref().map(|line| {
            line.order.iter().position(|network| {
                let most = self.of(*network).most;
                self.may_run(*network, most, bounds)
            })
        });
        let mut ready = first
            .iter()
            .enumerate()
            .filter_map(|(priority, first)| Some((priority, (*first)?)));
        let best = ready.next()?;
        let due = ready.rfind(|(priority, _)| {
            let passed_over = self.lines.get(*priority).map(|line| line.passed_over);
            passed_over >= LONGEST_WAIT.get(*priority).copied()
        });
        let (chosen, at) = due.unwrap_or(best);
        for (priority, line) in self.lines.iter_mut().enumerate() {
            line.passed_over = match priority == chosen || line.order.is_empty() {
                true => 0,
                false => line.passed_over.saturating_add(1),
            };
        }
        let (network, number) = self.lines.get_mut(chosen)?.take(at)?;
        self.wait_no_longer(network);
        Some((network, number))
    }
}

impl Line {
    fn join(&mut self, network: Network, number: u64) {
        let turns = self.waiting.entry(network).or_default();
        if turns.is_empty() {
            self.order.push_back(network);
        }
        turns.push_back(number);
    }

    /// Whether that one was here.
    fn leave(&mut self, network: Network, number: u64) -> bool {
        let Some(turns) = self.waiting.get_mut(&network) else {
            return false;
        };
        let before = turns.len();
        turns.retain(|other| *other != number);
        let was_here = turns.len() < before;
        if turns.is_empty() {
            self.waiting.remove(&network);
            self.order.retain(|other| *other != network);
        }
        was_here
    }

    /// The first of the network at this place of the order, which then goes to the end.
    fn take(&mut self, at: usize) -> Option<(Network, u64)> {
        let network = self.order.remove(at)?;
        let turns = self.waiting.get_mut(&network)?;
        let number = turns.pop_front()?;
        if turns.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.order.push_back(network);
        }
        Some((network, number))
    }
}

#[cfg(test)]
mod tests;
