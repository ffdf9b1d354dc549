//! What waits for a worker, and in which order it is taken.
//!
//! Owns the fairness between those who were let in, those who were not yet, and those who were without credentials. Must
//! not know threads or locks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::connection::{Admitted, Connection};

/// A request waits this long for its turn before it is told to come again.
const WAIT_AT_MOST: Duration = Duration::from_secs(10);
/// So many steps of those who were let in before go before one of a stranger.
const KNOWN_FOR_ONE_STRANGER: u32 = 3;

/// The queues, and the count of the requests in flight.
pub(super) struct Queues {
    most_requests: usize,
    steps: VecDeque<Box<Connection>>,
    /// The same of connections that were never let in, which go behind the others.
    first_steps: VecDeque<Box<Connection>>,
    /// Steps of those who are known since one of a stranger.
    preferred: u32,
    waiting: VecDeque<Waiting>,
    /// The same of those who may pass without credentials, whom an API may let in.
    anonymous: VecDeque<Waiting>,
    requests: usize,
    /// Those of `requests` that were let in without credentials.
    anonymous_requests: usize,
}

/// A request that may pass and has no turn yet.
struct Waiting {
    connection: Box<Connection>,
    admitted: Box<Admitted>,
    since: Instant,
}

/// What a worker is to do.
pub(super) enum Job {
    /// To go on with a connection.
    Step(Box<Connection>),
    /// To serve a request, which has its turn.
    Request(Box<Connection>, Box<Admitted>),
    /// To say that there was no turn in time.
    Overdue(Box<Connection>, Box<Admitted>),
}

impl Queues {
    pub(super) fn new(most_requests: usize) -> Queues {
        Queues {
            most_requests,
            steps: VecDeque::new(),
            first_steps: VecDeque::new(),
            preferred: 0,
            waiting: VecDeque::new(),
            anonymous: VecDeque::new(),
            requests: 0,
            anonymous_requests: 0,
        }
    }

    /// Has a connection go on.
    pub(super) fn add_step(&mut self, connection: Box<Connection>) {
        match connection.is_known() || connection.is_served() {
            true => self.steps.push_back(connection),
            false => self.first_steps.push_back(connection),
        }
    }

    /// Has a request wait for its turn.
    pub(super) fn add_request(&mut self, connection: Box<Connection>, admitted: Box<Admitted>) {
        let is_anonymous = admitted.is_anonymous();
        self.queue(is_anonymous).push_back(Waiting {
            connection,
            admitted,
            since: Instant::now(),
        });
    }

    /// What is to be done next.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.first_overdue() == Some(Duration::ZERO)
            && let Some(late) = self.next_overdue()
        {
            return Some(Job::Overdue(late.connection, late.admitted));
        }
        if let Some(connection) = self.next_step() {
            return Some(Job::Step(connection));
        }
        let next = self.next_request()?;
        Some(Job::Request(next.connection, next.admitted))
    }

    /// Takes a turn, if nobody waits for it already.
    pub(super) fn try_begin(&mut self, is_anonymous: bool) -> bool {
        let is_free = self.has_turn(is_anonymous)
            && match is_anonymous {
                true => self.requests_waiting() == 0,
                false => self.waiting.is_empty(),
            };
        if is_free {
            self.begin(is_anonymous);
        }
        is_free
    }

    /// Gives a turn back.
    pub(super) fn end(&mut self, is_anonymous: bool) {
        self.requests = self.requests.saturating_sub(1);
        let anonymous = usize::from(is_anonymous);
        self.anonymous_requests = self.anonymous_requests.saturating_sub(anonymous);
    }

    /// Requests in flight.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Whether nothing can be done next but a step of a stranger.
    pub(super) fn is_for_strangers(&self) -> bool {
        self.steps.is_empty() && !self.first_steps.is_empty()
    }

    pub(super) fn steps_waiting(&self) -> usize {
        self.steps.len() + self.first_steps.len()
    }

    pub(super) fn requests_waiting(&self) -> usize {
        self.waiting.len() + self.anonymous.len()
    }

    /// Those who are known first, but strangers are not starved.
    fn next_step(&mut self) -> Option<Box<Connection>> {
        let is_strangers_turn =
            self.preferred >= KNOWN_FOR_ONE_STRANGER && !self.first_steps.is_empty();
        if !is_strangers_turn && let Some(connection) = self.steps.pop_front() {
            self.preferred = self.preferred.saturating_add(1);
            return Some(connection);
        }
        self.preferred = 0;
        self.first_steps.pop_front()
    }

    /// Whether there is a turn. Three quarters are for everybody, the rest for those with credentials.
    fn has_turn(&self, is_anonymous: bool) -> bool {
        let most = self.most_requests;
        let most_anonymous = most - most / 4;
        self.requests < most && (!is_anonymous || self.anonymous_requests < most_anonymous)
    }

    fn begin(&mut self, is_anonymous: bool) {
        self.requests += 1;
        self.anonymous_requests += usize::from(is_anonymous);
    }

    /// One of those who wait, with a turn.
    fn next_request(&mut self) -> Option<Waiting> {
        for is_anonymous in [false, true] {
            if self.has_turn(is_anonymous)
                && let Some(waiting) = self.queue(is_anonymous).pop_front()
            {
                self.begin(is_anonymous);
                return Some(waiting);
            }
        }
        None
    }

    /// How long the one that has waited longest may wait still.
    pub(super) fn first_overdue(&self) -> Option<Duration> {
        let first = [self.waiting.front(), self.anonymous.front()];
        let since = first.into_iter().flatten().map(|waiting| waiting.since);
        let left = WAIT_AT_MOST.checked_sub(since.min()?.elapsed());
        Some(left.unwrap_or_default())
    }

    fn next_overdue(&mut self) -> Option<Waiting> {
        let since = |queue: &VecDeque<Waiting>| queue.front().map(|waiting| waiting.since);
        let is_anonymous = match (since(&self.waiting), since(&self.anonymous)) {
            (Some(known), Some(anonymous)) => anonymous < known,
            (known, _) => known.is_none(),
        };
        self.queue(is_anonymous).pop_front()
    }

    fn queue(&mut self, is_anonymous: bool) -> &mut VecDeque<Waiting> {
        match is_anonymous {
            true => &mut self.anonymous,
            false => &mut self.waiting,
        }
    }
}
