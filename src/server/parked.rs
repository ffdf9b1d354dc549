//! The connections that wait in the poller, and which of them has to leave where there is no room.
//!
//! Owns their order: strangers leave before those who were let in, the oldest first. Must not know epoll.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::connection::{Connection, Held};

/// Connections that are only being read to their end; beyond it the oldest are closed.
const MOST_DISCARDING: usize = 1024;
/// What all connections together hold of heads and handshakes that are not whole, in bytes: a thousand of the longest. Over
/// it those that hold something and were never let in are closed, the oldest first.
const MOST_HELD: usize = 64 * 1024 * 1024;

/// The parked connections, by their id.
#[derive(Default)]
pub(super) struct Parked {
    connections: HashMap<u64, Box<Connection>>,
    /// Those that are only being read to their end, the oldest first.
    discarding: BTreeSet<u64>,
    /// Those that were never let in, the oldest first. In order, because a flood of them makes room for one another at
    /// every accept.
    strangers: BTreeSet<u64>,
    /// Those of them that hold something of a head or a handshake, the oldest first. Closing the others frees nothing.
    holders: BTreeSet<u64>,
    /// Those that were let in and are between two requests, the longest idle first.
    idle: BTreeSet<(Instant, u64)>,
    /// Those that are paused, the first to go on first.
    paused: BTreeSet<(Instant, u64)>,
    /// What all connections hold, those that are not here included.
    held: Arc<Held>,
    /// How many of them are here until a backend answers.
    served: usize,
}

impl Parked {
    /// What new connections have a share of.
    pub(super) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Takes one in; what has to leave for it is returned.
    #[allow(clippy::vec_box)] // They stay where they are, and only change hands.
    pub(super) fn insert(&mut self, mut connection: Box<Connection>) -> Vec<Box<Connection>> {
        let id = connection.id;
        let mut leavers = Vec::new();
        let holds_something = connection.weigh() > 0;
        if connection.is_served() {
            self.served += 1;
        } else if !connection.is_known() {
            self.strangers.insert(id);
        } else if connection.is_idle() {
            self.idle.insert((connection.deadline(), id));
        }
        if let Some(until) = connection.paused_until() {
            self.paused.insert((until, id));
        }
        if holds_something && self.strangers.contains(&id) {
            self.holders.insert(id);
        }
        let is_discarding = connection.is_discarding() && self.discarding.insert(id);
        self.connections.insert(id, connection);
        if is_discarding && self.discarding.len() > MOST_DISCARDING {
            let mut oldest = self.discarding.iter().copied();
            let stranger = oldest.find(|id| self.strangers.contains(id));
            let surplus = stranger.or(self.discarding.first().copied());
            leavers.extend(surplus.and_then(|id| self.remove(id)));
        }
        while self.held.total() > MOST_HELD
            && let Some(id) = self.holders.first().copied()
            && let Some(mut leaver) = self.remove(id)
        {
            // Counted as gone from now on: others look at the sum before the caller has dropped it.
            leaver.give_up_share();
            leavers.push(leaver);
        }
        leavers
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Box<Connection>> {
        let connection = self.connections.remove(&id)?;
        self.forget(&connection);
        Some(connection)
    }

    fn forget(&mut self, connection: &Connection) {
        self.served -= usize::from(connection.is_served());
        self.discarding.remove(&connection.id);
        self.strangers.remove(&connection.id);
        self.holders.remove(&connection.id);
        if let Some(until) = connection.paused_until() {
            self.paused.remove(&(until, connection.id));
        }
        self.idle.remove(&(connection.deadline(), connection.id));
    }

    /// Takes out all that `leaves` is true for.
    #[allow(clippy::vec_box)] // They stay where they are, and only change hands.
    pub(super) fn split(&mut self, leaves: impl Fn(&Connection) -> bool) -> Vec<Box<Connection>> {
        let gone = self.connections.extract_if(|_, one| leaves(one));
        let gone: Vec<_> = gone.map(|(_, one)| one).collect();
        gone.iter().for_each(|one| self.forget(one));
        gone
    }

    /// The first that has to leave where there is no room: the oldest of those that were never let in, else the one that
    /// has been idle longest.
    pub(super) fn first_to_leave(&self) -> Option<u64> {
        let idle = self.idle.first().map(|(_, id)| *id);
        self.strangers.first().copied().or(idle)
    }

    /// Leaves those that are only read to their end little time.
    pub(super) fn hurry(&mut self) {
        self.connections.values_mut().for_each(|one| one.hurry());
    }

    /// How many there are for which nobody does anything.
    pub(super) fn resting(&self) -> usize {
        self.connections.len() - self.served
    }

    /// Takes out those whose pause is over.
    #[allow(clippy::vec_box)] // They stay where they are, and only change hands.
    pub(super) fn rested(&mut self, now: Instant) -> Vec<Box<Connection>> {
        let mut rested = Vec::new();
        while let Some(&(until, id)) = self.paused.first()
            && until <= now
        {
            self.paused.remove(&(until, id));
            rested.extend(self.remove(id));
        }
        rested
    }

    /// The first of their deadlines and of the ends of their pauses.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.connections.values().map(|one| one.deadline());
        deadlines
            .chain(self.paused.first().map(|(until, _)| *until))
            .min()
    }
}
