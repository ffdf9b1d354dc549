//! Which requests that may pass are in flight, and who is next where there is no room.
//!
//! Owns the bound on all of them and the shares within it: no user and no source network has more than half, those without
//! credentials have no more than three quarters together, and the last eighth is for users who have few. A turn is an owned
//! permit; dropped, it is given to whoever has waited longest among those who may have it.

use crate::lock::EvenIfPoisoned;
use crate::net::Network;
use crate::reactor::Waker;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A user with fewer requests in flight than this may have one of the last eighth.
const FEW: usize = 16;

/// Applicants that are looked at for one turn: where all of these have what they may, somebody ends soon.
const MOST_LOOKS: usize = 64;

/// In whose name a request is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applicant {
    /// The user, if whoever let it in has named one.
    pub user: Option<Arc<[u8]>>,
    /// Where it comes from.
    pub network: Network,
    /// Whether it showed credentials.
    pub is_known: bool,
}

/// The requests in flight.
pub struct Admission {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    anonymous: usize,
    by_user: Counts<Arc<[u8]>>,
    by_network: Counts<Network>,
    /// Those who wait, by applicant, and the applicants in the order in which they are looked at.
    waiting: HashMap<Applicant, VecDeque<Arc<Ticket>>>,
    order: Orders,
    waits: usize,
    /// Tickets that were given up and not met yet.
    given_up: usize,
}

/// The applicants that wait, those with credentials apart from the others, who may have to wait all together.
#[derive(Default)]
struct Orders {
    known: VecDeque<Applicant>,
    anonymous: VecDeque<Applicant>,
}

/// How many each has.
struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn add(&mut self, key: &K) {
        match self.0.get_mut(key) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(key.clone(), 1)),
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// Somebody who waits.
struct Ticket {
    has_turn: AtomicBool,
    /// Nobody wants it any more. It is taken out when it is met: to look for it would take long in a crowd.
    is_given_up: AtomicBool,
    waker: Waker,
}

/// The right to have a request in flight.
pub struct Turn {
    admission: Arc<Admission>,
    applicant: Applicant,
}

/// A place in the queue. Dropped, it is given up.
pub struct Queued {
    admission: Arc<Admission>,
    applicant: Applicant,
    ticket: Arc<Ticket>,
    is_taken: bool,
}

impl Admission {
    /// At most so many at once.
    pub fn new(most: usize) -> Arc<Admission> {
        Arc::new(Admission {
            most: most.max(1),
            state: Mutex::default(),
        })
    }

    /// A turn, if there is one now.
    ///
    /// # Errors
    /// A place in the queue; what `waker` gives is woken when its turn has come.
    pub fn apply(
        self: &Arc<Self>,
        applicant: Applicant,
        waker: impl FnOnce() -> Waker,
    ) -> Result<Turn, Queued> {
        let mut state = self.state();
        if state.may_begin(&applicant, self.most) {
            state.begin(&applicant);
            drop(state);
            return Ok(self.turn(applicant));
        }
        let ticket = Arc::new(Ticket {
            has_turn: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            waker: waker(),
        });
        state.join(&applicant, &ticket);
        drop(state);
        Err(Queued {
            admission: Arc::clone(self),
            applicant,
            ticket,
            is_taken: false,
        })
    }

    /// Requests in flight, and those that wait.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.total, state.waits)
    }

    /// How many can be in flight.
    pub fn most(&self) -> usize {
        self.most
    }

    fn turn(self: &Arc<Self>, applicant: Applicant) -> Turn {
        Turn {
            admission: Arc::clone(self),
            applicant,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().even_if_poisoned()
    }
}

impl Queued {
    /// The turn, once it has come; else the place again.
    pub fn turn(mut self) -> Result<Turn, Queued> {
        if !self.ticket.has_turn.swap(false, Ordering::AcqRel) {
            return Err(self);
        }
        self.is_taken = true;
        Ok(self.admission.turn(self.applicant.clone()))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.admission.state();
        // Under the lock, where turns are given.
        let had_turn = self.ticket.has_turn.swap(false, Ordering::AcqRel);
        if !had_turn {
            state.give_up(&self.ticket);
        }
        drop(state);
        if had_turn {
            // It was given a turn that it never took.
            drop(self.admission.turn(self.applicant.clone()));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.end(&self.applicant);
        let next = state.next(self.admission.most);
        drop(state);
        if let Some(ticket) = next {
            ticket.waker.wake();
        }
    }
}

impl State {
    fn may_begin(&self, applicant: &Applicant, most: usize) -> bool {
        let half = most.div_ceil(2);
        // Then nobody can have more than a share, and there is no need to look.
        if self.total < half {
            return true;
        }
        let of_user = match &applicant.user {
            Some(user) => self.by_user.of(user),
            None => self.by_network.of(&applicant.network),
        };
        self.total < most
            && of_user < half
            && self.by_network.of(&applicant.network) < half
            && (applicant.is_known || self.anonymous < most - most / 4)
            && (self.total < most - most / 8 || of_user < FEW)
    }

    fn begin(&mut self, applicant: &Applicant) {
        self.total += 1;
        self.anonymous += usize::from(!applicant.is_known);
        if let Some(user) = &applicant.user {
            self.by_user.add(user);
        }
        self.by_network.add(&applicant.network);
    }

    fn end(&mut self, applicant: &Applicant) {
        self.total = self.total.saturating_sub(1);
        self.anonymous = self
            .anonymous
            .saturating_sub(usize::from(!applicant.is_known));
        if let Some(user) = &applicant.user {
            self.by_user.remove(user);
        }
        self.by_network.remove(&applicant.network);
    }

    /// Gives a turn to the next who may have one.
    fn next(&mut self, most: usize) -> Option<Arc<Ticket>> {
        if self.waits == 0 || self.total >= most {
            return None;
        }
        self.next_of(most, true)
            .or_else(|| self.next_of(most, false))
    }

    fn next_of(&mut self, most: usize, is_known: bool) -> Option<Arc<Ticket>> {
        if !is_known && self.anonymous >= most - most / 4 {
            return None;
        }
        let order = self.order.of(is_known);
        for _ in 0..order.len().min(MOST_LOOKS) {
            let applicant = self.order.of(is_known).pop_front()?;
            let Some(tickets) = self.waiting.get_mut(&applicant) else {
                continue;
            };
            while tickets
                .front()
                .is_some_and(|ticket| ticket.is_given_up.load(Ordering::Relaxed))
            {
                tickets.pop_front();
                self.given_up = self.given_up.saturating_sub(1);
            }
            if tickets.is_empty() {
                self.waiting.remove(&applicant);
                continue;
            }
            let ticket = match self.may_begin(&applicant, most) {
                true => self.waiting.get_mut(&applicant)?.pop_front(),
                false => None,
            };
            if self.waiting.get(&applicant).is_some_and(VecDeque::is_empty) {
                self.waiting.remove(&applicant);
            } else {
                self.order.of(is_known).push_back(applicant.clone());
            }
            if let Some(ticket) = ticket {
                self.waits -= 1;
                self.begin(&applicant);
                ticket.has_turn.store(true, Ordering::Release);
                return Some(ticket);
            }
        }
        None
    }

    fn join(&mut self, applicant: &Applicant, ticket: &Arc<Ticket>) {
        let tickets = self.waiting.entry(applicant.clone()).or_default();
        let is_first = tickets.is_empty();
        tickets.push_back(Arc::clone(ticket));
        if is_first {
            self.order
                .of(applicant.is_known)
                .push_back(applicant.clone());
        }
        self.waits += 1;
    }

    fn give_up(&mut self, ticket: &Ticket) {
        ticket.is_given_up.store(true, Ordering::Relaxed);
        self.waits = self.waits.saturating_sub(1);
        self.given_up += 1;
        if self.given_up > self.waits.max(MOST_LOOKS) {
            self.clear();
        }
    }

    /// Takes out all that were given up.
    fn clear(&mut self) {
        self.given_up = 0;
        self.waiting.retain(|_, tickets| {
            tickets.retain(|ticket| !ticket.is_given_up.load(Ordering::Relaxed));
            !tickets.is_empty()
        });
        let Orders { known, anonymous } = &mut self.order;
        for order in [known, anonymous] {
            order.retain(|applicant| self.waiting.contains_key(applicant));
        }
    }
}

impl Orders {
    fn of(&mut self, is_known: bool) -> &mut VecDeque<Applicant> {
        match is_known {
            true => &mut self.known,
            false => &mut self.anonymous,
        }
    }
}
