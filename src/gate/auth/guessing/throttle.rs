//! Who guesses passwords, and how long they are not listened to.
//!
//! Owns the counts of distinct wrong passwords. Must not know how a check is done or what a throttled client is told. All
//! that is counted comes from strangers, so the tables are bounded, and a count costs the stranger a check.
//!
//! Whoever has too many wrong ones from a network closes that network for all who have not logged in from it; that
//! includes whoever guesses one user's from there. Where many users share a network, one who guesses or a robot with a list
//! would close it for all of them, so there each user has as many, each name is closed by itself, and the names that nobody
//! has logged in with from there have as many together. A count for a user over all networks closes nothing, or anybody could
//! lock a user out: it only says that checks for this user can wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::logins::{Here, Logins};
use crate::gate::auth::remembered::{Aging, Digest, Mark};
use crate::gate::auth::waiting::Priority;
use crate::net::{Cidr, Network};

/// A person who has forgotten a password stays below it, and so does a robot with a stale one: the same one counts once.
pub const MOST_WRONG: usize = 10;
/// So many wrong ones from everywhere, and a user's checks can wait.
const WANTED_AFTER: usize = 10;
/// Wrong ones count together that came within this time.
const WINDOW: Duration = Duration::from_secs(60);
/// The first time that a network is not listened to; each further one is twice as long...
const FIRST_PENALTY: Duration = Duration::from_secs(60);
/// ...up to this: addresses are handed on, and whoever gets one should not have to wait for hours.
const LONGEST_PENALTY: Duration = Duration::from_secs(15 * 60);
/// What a network has done is forgotten when it has been quiet for this long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30 * 60);
/// Networks, and users, that are kept in mind; some 400 bytes each at the most.
const CAPACITY: usize = 65_536;
/// What is kept of one network where many share it, however many they are: as many as 256 users have by default.
const MOST_TOGETHER: usize = 2_560;

/// How many distinct wrong passwords a network has within a minute.
#[derive(Clone, Debug)]
pub struct Guesses {
    /// None if nobody counts.
    pub most: Option<usize>,
    /// Where nobody counts.
    pub exempt: Vec<Cidr>,
}

impl Default for Guesses {
    fn default() -> Guesses {
        Guesses {
            most: Some(MOST_WRONG),
            exempt: Vec::new(),
        }
    }
}

/// Where somebody comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate::auth) struct Source {
    pub(in crate::gate::auth) network: Network,
    /// How many wrong ones it has; none if nobody counts.
    most: Option<usize>,
}

impl Guesses {
    pub(in crate::gate::auth) fn source(&self, client: IpAddr) -> Source {
        let is_exempt = self.exempt.iter().any(|one| one.contains(client));
        Source {
            network: Network::of(client),
            most: self.most.filter(|_| !is_exempt),
        }
    }
}

pub(in crate::gate::auth) struct Throttle {
    networks: Aging<Network, Misses>,
    /// Apart, so that they cannot be pushed out by what costs nobody anything.
    closed: Aging<Network, Closed>,
    /// Where many share a network, what is closed there alone.
    closed_in_part: Aging<(Network, Part), Closed>,
    logins: Logins,
    users: Aging<Digest, Misses>,
}

/// What can be closed of a network that many share.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Name(Mark),
    /// All names that nobody has logged in with from there. Still looked at, so that a right one of them passes and nobody can
    /// tell by the answer which names there are; a wrong one is told to come later.
    Strangers,
}

/// Who had too many.
#[derive(Clone, Copy)]
struct Closed {
    until: Instant,
    penalties: u32,
}

/// The last distinct wrong passwords, as many as matter.
#[derive(Clone, Default)]
struct Misses(Vec<Miss>);

#[derive(Clone, Copy)]
struct Miss {
    name: Mark,
    /// Stands for name and password.
    wrong: Mark,
    since: Instant,
}

/// What came of counting a wrong one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::gate::auth) struct Counted {
    /// It was not counted before.
    pub(in crate::gate::auth) is_new: bool,
    /// The network is not listened to for this long, because this one was one too many.
    pub(in crate::gate::auth) closes: Option<Duration>,
    /// The same for this name in it, or for all that are strange to it.
    pub(in crate::gate::auth) closes_in_part: Option<Duration>,
    /// Whoever sent it is to be told to come back after this.
    pub(in crate::gate::auth) later: Option<Duration>,
}

/// A network that is not listened to, or not to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Which.
    pub network: Network,
    /// Until then.
    pub until: Instant,
    /// Whether it is for some names alone.
    pub in_part: bool,
}

impl Throttle {
    pub(in crate::gate::auth) fn new(guesses: &Guesses) -> Throttle {
        // What is kept in all is the same however much is kept of each.
        let more = guesses.most.map_or(1, |most| most.div_ceil(MOST_WRONG));
        Throttle {
            networks: Aging::new((CAPACITY / more.max(1)).max(1), WINDOW),
            closed: Aging::new(CAPACITY, FORGIVEN_AFTER),
            closed_in_part: Aging::new(CAPACITY, FORGIVEN_AFTER),
            logins: Logins::new(),
            users: Aging::new(CAPACITY, WINDOW),
        }
    }

    /// How long nobody listens to this user from there from now on, if so.
    pub(in crate::gate::auth) fn closed(
        &self,
        source: Source,
        user: &Digest,
        now: Instant,
    ) -> Option<Duration> {
        source.most?;
        let part = (source.network, Part::Name(user.mark()));
        left_of(self.closed.recall(&source.network, now), now)
            .or_else(|| left_of(self.closed_in_part.recall(&part, now), now))
    }

    /// How many may be checked for it at once, so that no more are wrong than it has.
    pub(in crate::gate::auth) fn left(&self, source: Source, now: Instant) -> usize {
        let Some(most) = source.most else {
            return usize::MAX;
        };
        let here = self.logins.here(source.network, now);
        let Some(misses) = self.networks.recall(&source.network, now) else {
            return most;
        };
        let counts = misses.counts(&here, now);
        let left = here.allowance(most).saturating_sub(counts.all);
        let parts = counts.by_name.into_values().chain([counts.strangers]);
        let least = parts.filter_map(|count| most.checked_sub(count).filter(|left| *left > 0));
        match here.is_shared() {
            true => least.min().unwrap_or(most).min(left),
            false => left,
        }
        .max(1)
    }

    /// Where a check of this user's from this network waits.
    pub(in crate::gate::auth) fn priority(
        &self,
        network: Network,
        user: &Digest,
        now: Instant,
    ) -> Priority {
        let count =
            |misses: Option<&Misses>| misses.map_or(0, |misses| misses.within_the_window(now));
        if count(self.networks.recall(&network, now)) > 0 {
            Priority::Erred
        } else if count(self.users.recall(user, now)) >= WANTED_AFTER {
            Priority::Wanted
        } else {
            Priority::Clean
        }
    }

    /// Keeps in mind that this user has logged in from there.
    pub(in crate::gate::auth) fn logged_in(
        &mut self,
        network: Network,
        user: &Digest,
        now: Instant,
    ) {
        self.logins.note(network, user.mark(), now);
    }

    /// Counts a wrong password, `wrong` standing for it and its user.
    pub(in crate::gate::auth) fn count(
        &mut self,
        source: Source,
        user: &Digest,
        wrong: &Digest,
        now: Instant,
    ) -> Counted {
        let network = source.network;
        let miss = Miss {
            name: user.mark(),
            wrong: wrong.mark(),
            since: now,
        };
        add(&mut self.users, *user, miss, WANTED_AFTER, now);
        let Some(most) = source.most else {
            // Whoever errs waits behind others, wherever they are.
            add(&mut self.networks, network, miss, MOST_WRONG, now);
            return Counted::default();
        };
        // What was under way when it was closed is one and the same offence.
        if self.closed(source, user, now).is_some() {
            return Counted::default();
        }
        self.count_here(network, most, miss, now)
    }

    /// The same in a network that is listened to.
    fn count_here(&mut self, network: Network, most: usize, miss: Miss, now: Instant) -> Counted {
        let here = self.logins.here(network, now);
        let is_stranger = here.is_shared() && !here.knows(miss.name);
        let strangers = (network, Part::Strangers);
        let later = is_stranger
            .then(|| left_of(self.closed_in_part.recall(&strangers, now), now))
            .flatten();
        let allowance = here.allowance(most);
        if !add(&mut self.networks, network, miss, allowance, now) {
            return Counted {
                later,
                ..Counted::default()
            };
        }
        let misses = self.networks.recall(&network, now);
        let counts = misses.map(|misses| misses.counts(&here, now));
        let counts = counts.unwrap_or_default();
        if counts.all >= allowance {
            self.networks.remember(network, Misses::default(), now);
            return Counted {
                is_new: true,
                closes: Some(close(&mut self.closed, network, now)),
                closes_in_part: None,
                later,
            };
        }
        let closes_name = here.is_shared()
            && counts
                .by_name
                .get(&miss.name)
                .is_some_and(|count| *count >= most);
        let closes_strangers = is_stranger && later.is_none() && counts.strangers >= most;
        let parts = [
            (closes_name, (network, Part::Name(miss.name))),
            (closes_strangers, strangers),
        ];
        let mut closes_in_part = None;
        for (_, part) in parts.into_iter().filter(|(closes, _)| *closes) {
            closes_in_part = Some(close(&mut self.closed_in_part, part, now));
        }
        Counted {
            is_new: true,
            closes: None,
            closes_in_part,
            later,
        }
    }

    /// The networks that are held back now.
    pub(in crate::gate::auth) fn held_back(&self, now: Instant) -> Vec<HeldBack> {
        let mut held: HashMap<Network, HeldBack> = HashMap::new();
        let parts = self.closed_in_part.iter(now);
        let parts = parts.map(|((network, _), closed)| (*network, closed, true));
        let whole = self.closed.iter(now);
        let whole = whole.map(|(network, closed)| (*network, closed, false));
        for (network, closed, in_part) in whole.chain(parts) {
            if closed.until <= now {
                continue;
            }
            let one = HeldBack {
                network,
                until: closed.until,
                in_part,
            };
            let other = held.entry(network).or_insert(one);
            if other.in_part && other.until < one.until {
                *other = one;
            }
        }
        held.into_values().collect()
    }
}

/// Adds one that is not there yet, to at most so many. `false` if it is there.
fn add<K: std::hash::Hash + Eq + Clone>(
    table: &mut Aging<K, Misses>,
    key: K,
    miss: Miss,
    most: usize,
    now: Instant,
) -> bool {
    let known = table.recall(&key, now);
    if known.is_some_and(|misses| misses.recent(now).any(|other| other.wrong == miss.wrong)) {
        return false;
    }
    let mut misses = table.take(&key, now).unwrap_or_default();
    misses.0.retain(|other| is_recent(other, now));
    if misses.0.len() >= most.max(1) {
        misses.0.remove(0);
    }
    misses.0.push(miss);
    table.remember(key, misses, now);
    true
}

fn close<K: std::hash::Hash + Eq + Clone>(
    table: &mut Aging<K, Closed>,
    key: K,
    now: Instant,
) -> Duration {
    let penalties = table.recall(&key, now).map_or(0, |closed| closed.penalties);
    let doubled = 1_u32.checked_shl(penalties).unwrap_or(u32::MAX);
    let penalty = FIRST_PENALTY.saturating_mul(doubled).min(LONGEST_PENALTY);
    let closed = Closed {
        until: now + penalty,
        penalties: penalties.saturating_add(1),
    };
    table.remember(key, closed, now);
    penalty
}

fn left_of(closed: Option<&Closed>, now: Instant) -> Option<Duration> {
    let left = closed?.until.saturating_duration_since(now);
    (!left.is_zero()).then_some(left)
}

impl Here {
    /// How many wrong ones its network has, if a network has `most`.
    fn allowance(&self, most: usize) -> usize {
        match self.is_shared() {
            true => most
                .saturating_mul(self.users())
                .min(MOST_TOGETHER.max(most)),
            false => most,
        }
    }
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_name: HashMap<Mark, usize>,
    /// Of names that nobody has logged in with from there.
    strangers: usize,
}

impl Misses {
    fn within_the_window(&self, now: Instant) -> usize {
        self.recent(now).count()
    }

    fn counts(&self, here: &Here, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for miss in self.recent(now) {
            counts.all += 1;
            if here.is_shared() {
                *counts.by_name.entry(miss.name).or_default() += 1;
                counts.strangers += usize::from(!here.knows(miss.name));
            }
        }
        counts
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = &Miss> {
        self.0.iter().filter(move |miss| is_recent(miss, now))
    }
}

fn is_recent(miss: &Miss, now: Instant) -> bool {
    now.saturating_duration_since(miss.since) < WINDOW
}

#[cfg(test)]
mod tests;
