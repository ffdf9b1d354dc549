//! Who has logged in from which network of late.
//!
//! Owns that memory, by which a network that many users share is told from one that somebody guesses from. Only a right
//! password gets anybody into it. It is bounded; networks with many users are apart from those with few, so that whoever has
//! one account and many addresses pushes out none of them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::gate::auth::remembered::{Aging, Mark};
use crate::net::Network;

/// Who has not come back within this time counts no more.
const LATELY: Duration = Duration::from_secs(24 * 60 * 60);
/// A family has fewer, an office more.
const MANY: usize = 8;
/// Users that are told apart for one network, 24 bytes each.
const MOST_USERS: usize = 256;
/// Networks with fewer than [`MANY`].
const NETWORKS: usize = 65_536;
/// Networks with as many.
const SHARED_NETWORKS: usize = 1_024;

pub(in crate::gate::auth) struct Logins {
    few: Aging<Network, Users>,
    many: Aging<Network, Users>,
}

/// The last first.
#[derive(Default)]
struct Users(Vec<(Mark, Instant)>);

/// Who has logged in from one network of late, if they are many; nobody if not.
#[derive(Default)]
pub(in crate::gate::auth) struct Here(HashSet<Mark>);

impl Logins {
    pub(in crate::gate::auth) fn new() -> Logins {
        Logins {
            few: Aging::new(NETWORKS, LATELY),
            many: Aging::new(SHARED_NETWORKS, LATELY),
        }
    }

    pub(in crate::gate::auth) fn note(&mut self, network: Network, user: Mark, now: Instant) {
        let known = self.many.take(&network, now);
        let known = known.or_else(|| self.few.take(&network, now));
        let Users(mut users) = known.unwrap_or_default();
        users.retain(|(other, since)| *other != user && is_lately(*since, now));
        users.truncate(MOST_USERS - 1);
        users.insert(0, (user, now));
        let table = match users.len() >= MANY {
            true => &mut self.many,
            false => &mut self.few,
        };
        table.remember(network, Users(users), now);
    }

    pub(in crate::gate::auth) fn here(&self, network: Network, now: Instant) -> Here {
        let Some(Users(users)) = self.many.recall(&network, now) else {
            return Here::default();
        };
        let users = users.iter().filter(|(_, since)| is_lately(*since, now));
        let users: HashSet<_> = users.map(|(user, _)| *user).collect();
        match users.len() >= MANY {
            true => Here(users),
            false => Here::default(),
        }
    }
}

impl Here {
    /// Whether many users share the network.
    pub(in crate::gate::auth) fn is_shared(&self) -> bool {
        !self.0.is_empty()
    }

    pub(in crate::gate::auth) fn users(&self) -> usize {
        self.0.len()
    }

    pub(in crate::gate::auth) fn knows(&self, user: Mark) -> bool {
        self.0.contains(&user)
    }
}

fn is_lately(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < LATELY
}
