//! Who guesses passwords, and how long they are not listened to.
//!
//! Owns the counts of distinct wrong passwords. Must not know how a check is done or what a throttled client is told. All
//! that is counted comes from strangers, so the tables are bounded, and a count costs the stranger a check.
//!
//! Whoever has too many wrong ones from a network closes that network for all who have not logged in from it; that
//! includes whoever guesses one user's from there. A count for a user over all networks closes nothing, or anybody could
//! lock a user out: it only says that checks for this user can wait.

use std::time::{Duration, Instant};

use super::checks::Lane;
use super::memory::{Aging, Digest};
use super::network::Network;

/// A person who has forgotten a password stays below it, and so does a robot with a stale one: the same one counts once.
const MOST_WRONG: usize = 10;
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

pub(super) struct Throttle {
    networks: Aging<Network, Misses>,
    /// Apart, so that they cannot be pushed out by what costs nobody anything.
    closed: Aging<Network, Closed>,
    users: Aging<Digest, Misses>,
}

/// A network that had too many.
#[derive(Clone, Copy)]
struct Closed {
    until: Instant,
    penalties: u32,
}

/// The last distinct wrong passwords, as many as matter.
#[derive(Clone, Default)]
struct Misses(Vec<(Digest, Instant)>);

impl Throttle {
    pub(super) fn new() -> Throttle {
        Throttle {
            networks: Aging::new(CAPACITY, WINDOW),
            closed: Aging::new(CAPACITY, FORGIVEN_AFTER),
            users: Aging::new(CAPACITY, WINDOW),
        }
    }

    /// How long this network is not listened to from now on, if so.
    pub(super) fn closed(&self, network: Network, now: Instant) -> Option<Duration> {
        let until = self.closed.recall(&network, now)?.until;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// How many more wrong ones may come from this network.
    pub(super) fn left(&self, network: Network, now: Instant) -> usize {
        let misses = self.networks.recall(&network, now);
        MOST_WRONG.saturating_sub(misses.map_or(0, |misses| misses.within_the_window(now)))
    }

    /// Where a check of this user's from this network waits.
    pub(super) fn lane(&self, network: Network, user: &Digest, now: Instant) -> Lane {
        let count =
            |misses: Option<&Misses>| misses.map_or(0, |misses| misses.within_the_window(now));
        if count(self.networks.recall(&network, now)) > 0 {
            Lane::Erred
        } else if count(self.users.recall(user, now)) >= MOST_WRONG {
            Lane::Wanted
        } else {
            Lane::Clean
        }
    }

    /// Counts a wrong password, `wrong` standing for it and its user. Returns the time that the network is not listened to
    /// if this one was one too many.
    pub(super) fn count(
        &mut self,
        network: Network,
        user: Digest,
        wrong: Digest,
        now: Instant,
    ) -> Option<Duration> {
        let known = self.users.recall(&user, now);
        if known.is_none_or(|misses| !misses.contains(&wrong, now)) {
            let mut misses = known.cloned().unwrap_or_default();
            misses.add(wrong, now);
            self.users.remember(user, misses, now);
        }
        // What was under way when it was closed is one and the same offence.
        if self.closed(network, now).is_some() {
            return None;
        }
        let known = self.networks.recall(&network, now);
        if known.is_some_and(|misses| misses.contains(&wrong, now)) {
            return None;
        }
        let mut misses = known.cloned().unwrap_or_default();
        misses.add(wrong, now);
        if misses.0.len() < MOST_WRONG {
            self.networks.remember(network, misses, now);
            return None;
        }
        let before = self.closed.recall(&network, now);
        let penalties = before.map_or(0, |closed| closed.penalties);
        let doubled = 1_u32.checked_shl(penalties).unwrap_or(u32::MAX);
        let penalty = FIRST_PENALTY.saturating_mul(doubled).min(LONGEST_PENALTY);
        let closed = Closed {
            until: now + penalty,
            penalties: penalties.saturating_add(1),
        };
        self.networks.remember(network, Misses::default(), now);
        self.closed.remember(network, closed, now);
        Some(penalty)
    }
}

impl Misses {
    fn contains(&self, wrong: &Digest, now: Instant) -> bool {
        self.recent(now).any(|(other, _)| other == wrong)
    }

    fn within_the_window(&self, now: Instant) -> usize {
        self.recent(now).count()
    }

    fn add(&mut self, wrong: Digest, now: Instant) {
        self.0.retain(|(_, since)| is_recent(*since, now));
        if self.0.len() >= MOST_WRONG {
            self.0.remove(0);
        }
        self.0.push((wrong, now));
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = &(Digest, Instant)> {
        self.0
            .iter()
            .filter(move |(_, since)| is_recent(*since, now))
    }
}

fn is_recent(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < WINDOW
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::gate::auth::memory::Seal;
    use std::net::Ipv4Addr;

    struct Bench {
        throttle: Throttle,
        seal: Seal,
        start: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench {
                throttle: Throttle::new(),
                seal: Seal::new(),
                start: Instant::now(),
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// The seconds that the network is closed for by this one.
        fn wrong(&mut self, from: u16, user: &str, password: &str, at: u64) -> Option<u64> {
            let of = |parts: &[&str]| self.seal.digest(parts.iter().map(|part| part.as_bytes()));
            let (user, wrong) = (of(&[user]), of(&[user, password]));
            let now = self.at(at);
            let penalty = self.throttle.count(network(from), user, wrong, now);
            penalty.map(|penalty| penalty.as_secs())
        }

        fn lane(&self, from: u16, user: &str, at: u64) -> Lane {
            let user = self.seal.digest([user.as_bytes()]);
            self.throttle.lane(network(from), &user, self.at(at))
        }

        fn closed(&self, from: u16, at: u64) -> Option<u64> {
            let left = self.throttle.closed(network(from), self.at(at));
            left.map(|left| left.as_secs())
        }
    }

    fn network(number: u16) -> Network {
        let [high, low] = number.to_be_bytes();
        Network::of(Ipv4Addr::new(10, 0, high, low).into())
    }

    #[test]
    fn ten_distinct_ones_within_a_minute_close_a_network_and_no_other() {
        let mut bench = Bench::new();
        for n in 0..9 {
            assert_eq!(
                bench.wrong(1, &format!("user{}", n % 3), &n.to_string(), n),
                None
            );
        }
        assert_eq!(bench.closed(1, 9), None);
        assert_eq!(bench.wrong(1, "user", "last", 9), Some(60));
        assert_eq!(bench.closed(1, 10), Some(59));
        assert_eq!(bench.closed(1, 69), None);
        assert_eq!(bench.closed(2, 10), None);
    }

    #[test]
    fn the_same_stale_one_counts_once_and_slow_ones_never_come_together() {
        let mut bench = Bench::new();
        for n in 0..100 {
            assert_eq!(bench.wrong(1, "robot", "stale", n), None);
        }
        for n in 0..100 {
            assert_eq!(bench.wrong(2, "slow", &n.to_string(), n * 7), None);
        }
        // The same password is another credential with another name.
        for n in 0..9 {
            assert_eq!(bench.wrong(3, &n.to_string(), "123456", 0), None);
        }
        assert_eq!(bench.wrong(3, "9", "123456", 0), Some(60));
    }

    #[test]
    fn it_takes_longer_each_time_up_to_a_bound_and_is_forgiven_after_a_while() {
        let mut bench = Bench::new();
        let mut at = 0;
        for expected in [60, 120, 240, 480, 900, 900] {
            let penalties: Vec<u64> = (0..10)
                .filter_map(|n| bench.wrong(1, "alice", &format!("{at} {n}"), at))
                .collect();
            assert_eq!(penalties, [expected]);
            at += expected;
        }
        at += FORGIVEN_AFTER.as_secs();
        assert!((0..9).all(|n| bench.wrong(1, "alice", &format!("{at} {n}"), at).is_none()));
        assert_eq!(bench.wrong(1, "alice", "last", at), Some(60));
    }

    #[test]
    fn a_user_who_is_guessed_from_everywhere_waits_and_is_never_refused() {
        let mut bench = Bench::new();
        assert_eq!(bench.lane(999, "alice", 0), Lane::Clean);
        for n in 0..500 {
            assert_eq!(bench.wrong(n, "alice", &n.to_string(), 0), None);
        }
        assert_eq!(bench.closed(999, 0), None);
        assert_eq!(bench.lane(999, "alice", 0), Lane::Wanted);
        assert_eq!(bench.lane(999, "bob", 0), Lane::Clean);
        assert_eq!(bench.lane(999, "alice", 60), Lane::Clean);
    }

    #[test]
    fn one_slip_puts_a_network_behind_the_others_for_a_minute() {
        let mut bench = Bench::new();
        bench.wrong(1, "alice", "slip", 0);
        assert_eq!(bench.lane(1, "bob", 59), Lane::Erred);
        assert_eq!(bench.lane(1, "bob", 60), Lane::Clean);
        assert_eq!(bench.lane(2, "bob", 1), Lane::Clean);
    }

    #[test]
    fn what_costs_nothing_opens_no_network_that_was_closed_and_a_burst_is_one_offence() {
        let mut bench = Bench::new();
        bench.throttle.networks = Aging::new(100, WINDOW);
        let penalties: Vec<u64> = (0..40)
            .filter_map(|n| bench.wrong(1, "alice", &n.to_string(), 0))
            .collect();
        assert_eq!(penalties, [60]);
        for n in 2..1_000 {
            bench.wrong(n, "alice", "known to be wrong", 1);
        }
        assert_eq!(bench.closed(1, 1), Some(59));
        assert_eq!(bench.throttle.left(network(999), bench.at(1)), 9);
    }

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        let mut bench = Bench::new();
        bench.throttle.networks = Aging::new(100, WINDOW);
        bench.throttle.users = Aging::new(100, WINDOW);
        for n in 0..1_000 {
            bench.wrong(n, &n.to_string(), "guess", 0);
            for repeat in 0..30 {
                bench.wrong(0, "alice", &format!("{n} {repeat}"), 0);
            }
        }
        assert_eq!(
            (bench.throttle.networks.len(), bench.throttle.users.len()),
            (100, 100)
        );
        let longest = bench
            .throttle
            .users
            .recall(&bench.seal.digest([b"alice".as_slice()]), bench.start);
        assert_eq!(longest.unwrap().0.len(), MOST_WRONG);
    }
}
