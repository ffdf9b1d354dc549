//! When a network is closed, and for whom.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::gate::auth::remembered::Seal;
use std::net::Ipv4Addr;

struct Bench {
    throttle: Throttle,
    guesses: Guesses,
    seal: Seal,
    start: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Guesses::default())
    }

    fn with(guesses: Guesses) -> Bench {
        Bench {
            throttle: Throttle::new(&guesses),
            guesses,
            seal: Seal::new(),
            start: Instant::now(),
        }
    }

    /// One whose network 1 is shared by the users `u0`, `u1` and so on.
    fn shared(users: usize) -> Bench {
        let mut bench = Bench::new();
        for n in 0..users {
            bench.login(1, &format!("u{n}"), 0);
        }
        bench
    }

    fn login(&mut self, from: u16, user: &str, at: u64) {
        let (user, now) = (self.user(user), self.at(at));
        self.throttle.logged_in(network(from), &user, now);
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn source(&self, from: u16) -> Source {
        self.guesses.source(address(from))
    }

    fn user(&self, user: &str) -> Digest {
        self.seal.digest([user.as_bytes()])
    }

    fn count(&mut self, from: u16, user: &str, password: &str, at: u64) -> Counted {
        let wrong = self.seal.digest([user.as_bytes(), password.as_bytes()]);
        let (source, user, now) = (self.source(from), self.user(user), self.at(at));
        self.throttle.count(source, &user, &wrong, now)
    }

    /// The seconds that the network is closed for by this one.
    fn wrong(&mut self, from: u16, user: &str, password: &str, at: u64) -> Option<u64> {
        let counted = self.count(from, user, password, at);
        counted.closes.map(|penalty| penalty.as_secs())
    }

    fn priority(&self, from: u16, user: &str, at: u64) -> Priority {
        self.throttle
            .priority(network(from), &self.user(user), self.at(at))
    }

    /// For somebody of whom nothing is known.
    fn closed(&self, from: u16, at: u64) -> Option<u64> {
        self.closed_for(from, "somebody", at)
    }

    fn closed_for(&self, from: u16, user: &str, at: u64) -> Option<u64> {
        let (source, user) = (self.source(from), self.user(user));
        let left = self.throttle.closed(source, &user, self.at(at));
        left.map(|left| left.as_secs())
    }

    fn left(&self, from: u16, at: u64) -> usize {
        self.throttle.left(self.source(from), self.at(at))
    }
}

fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

fn network(number: u16) -> Network {
    Network::of(address(number))
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
    assert_eq!(bench.priority(999, "alice", 0), Priority::Clean);
    for n in 0..500 {
        assert_eq!(bench.wrong(n, "alice", &n.to_string(), 0), None);
    }
    assert_eq!(bench.closed(999, 0), None);
    assert_eq!(bench.priority(999, "alice", 0), Priority::Wanted);
    assert_eq!(bench.priority(999, "bob", 0), Priority::Clean);
    assert_eq!(bench.priority(999, "alice", 60), Priority::Clean);
}

#[test]
fn one_slip_puts_a_network_behind_the_others_for_a_minute() {
    let mut bench = Bench::new();
    bench.wrong(1, "alice", "slip", 0);
    assert_eq!(bench.priority(1, "bob", 59), Priority::Erred);
    assert_eq!(bench.priority(1, "bob", 60), Priority::Clean);
    assert_eq!(bench.priority(2, "bob", 1), Priority::Clean);
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
    assert_eq!(bench.left(999, 1), 9);
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
        .recall(&bench.user("alice"), bench.start);
    assert_eq!(longest.unwrap().0.len(), MOST_WRONG);
}

#[test]
fn how_many_there_are_can_be_set_and_whoever_is_exempt_has_no_end() {
    let three = Guesses {
        most: Some(3),
        exempt: vec!["10.0.0.7/32".parse().unwrap()],
    };
    let mut bench = Bench::with(three);
    assert_eq!(bench.left(1, 0), 3);
    let closes: Vec<_> = (0..3)
        .map(|n| bench.wrong(1, "alice", &n.to_string(), 0))
        .collect();
    assert_eq!(closes, [None, None, Some(60)]);
    for n in 0..500 {
        assert_eq!(bench.wrong(7, "alice", &n.to_string(), 0), None);
    }
    assert_eq!((bench.closed(7, 0), bench.left(7, 0)), (None, usize::MAX));
    // Their checks wait behind those of others all the same.
    assert_eq!(bench.priority(7, "bob", 0), Priority::Erred);
    let mut off = Bench::with(Guesses {
        most: None,
        exempt: Vec::new(),
    });
    assert!((0..500).all(|n| off.wrong(1, "alice", &n.to_string(), 0).is_none()));
    assert_eq!(off.closed(1, 0), None);
    assert!(off.throttle.held_back(off.start).is_empty());
}

#[test]
fn a_network_that_many_share_closes_one_name_and_not_the_others() {
    let mut bench = Bench::shared(8);
    let mut part = Vec::new();
    for n in 0..10 {
        assert_eq!(bench.left(1, 1), 10 - n);
        let counted = bench.count(1, "u3", &n.to_string(), 1);
        assert_eq!((counted.closes, counted.later), (None, None));
        part.push(counted.closes_in_part.map(|penalty| penalty.as_secs()));
    }
    assert_eq!(part.pop(), Some(Some(60)));
    assert!(part.iter().all(Option::is_none));
    assert_eq!(bench.closed_for(1, "u3", 2), Some(59));
    assert_eq!(bench.closed_for(1, "u4", 2), None);
    assert_eq!(bench.closed_for(2, "u3", 2), None);
    // It is as many for each of the others again.
    assert_eq!(bench.left(1, 2), 10);
    let held = bench.throttle.held_back(bench.at(2));
    let expected = HeldBack {
        network: network(1),
        until: bench.at(61),
        in_part: true,
    };
    assert_eq!(held, [expected]);
    assert!(bench.throttle.held_back(bench.at(61)).is_empty());
}

#[test]
fn names_that_are_strange_to_a_shared_network_have_as_many_together() {
    let mut bench = Bench::shared(8);
    for n in 0..10 {
        let counted = bench.count(1, &format!("nobody{n}"), "guess", 1);
        assert_eq!(counted.closes_in_part.is_some(), n == 9);
        assert_eq!(counted.later, None);
    }
    // A further one is told to come later, and whoever is at home there is not.
    let later = Some(Duration::from_secs(59));
    assert_eq!(bench.count(1, "nobody", "guess", 2).later, later);
    assert_eq!(bench.count(1, "nobody0", "guess", 2).later, later);
    assert_eq!(bench.count(1, "u3", "guess", 2).later, None);
    // Looked at it is still, so that one who has not logged in there of late gets in.
    assert_eq!(bench.closed_for(1, "nobody", 2), None);
    assert_eq!(bench.count(1, "nobody", "another", 61).later, None);
}

#[test]
fn a_shared_network_has_as_many_as_all_its_users_and_no_more() {
    for (users, expected) in [(7, 10), (8, 80), (20, 200), (256, 2_560), (400, 2_560)] {
        let mut bench = Bench::shared(users);
        let closes = (0..3_000)
            .position(|n| {
                let user = format!("u{}", n % 500);
                bench.wrong(1, &user, &n.to_string(), 0).is_some()
            })
            .unwrap();
        assert_eq!(closes + 1, expected, "{users} users");
        assert_eq!(bench.closed_for(1, "u0", 0), Some(60));
    }
}

#[test]
fn a_network_is_shared_for_a_day_and_the_same_user_is_one() {
    const HOUR: u64 = 60 * 60;
    let mut bench = Bench::new();
    for n in 0..7 {
        bench.login(1, &format!("u{n}"), n * HOUR);
        bench.login(1, "u0", n * HOUR);
    }
    assert_eq!(
        bench.throttle.logins.here(network(1), bench.start).users(),
        0
    );
    bench.login(1, "u7", 7 * HOUR);
    let users = |hour: u64| {
        let here = bench
            .throttle
            .logins
            .here(network(1), bench.at(hour * HOUR));
        here.users()
    };
    assert_eq!((users(7), users(24), users(25)), (8, 8, 0));
    assert_eq!(
        bench.throttle.logins.here(network(2), bench.start).users(),
        0
    );
}

#[test]
fn one_account_with_many_addresses_pushes_out_no_network_that_many_share() {
    let mut bench = Bench::shared(8);
    for n in 0..70_000_u32 {
        let address = Ipv4Addr::from_bits(0x2000_0000 + n);
        let (user, now) = (bench.user("insider"), bench.at(1));
        bench
            .throttle
            .logged_in(Network::of(address.into()), &user, now);
    }
    let here = bench.throttle.logins.here(network(1), bench.at(2));
    assert_eq!(here.users(), 8);
}
