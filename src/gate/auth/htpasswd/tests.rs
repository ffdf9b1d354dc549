//! What is hashed, how often, and what is only remembered. Work is counted and not timed.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::gate::auth::passwords::count;
use std::net::Ipv4Addr;
use std::thread;

/// Both have the password "correct horse".
const FILE: &str = "alice:$2y$04$Rv1V/zQaiFUIGfTtte8ROu4Okb3JZDvJbDLnQyi2Mqz2/JGv7aVHK\n\
                    bob:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n";
/// "secret"
const OTHER_LINE: &str = "alice:{SSHA}+RFhsab2AfzZ0VfEdyknXtUT06RhYmNk\n";

fn users(text: &str) -> Users {
    Users::parse(text.as_bytes()).ok().unwrap()
}

fn htpasswd() -> Arc<Htpasswd> {
    gate_with(1)
}

fn gate_with(at_once: usize) -> Arc<Htpasswd> {
    Htpasswd::new(
        users(FILE),
        Guesses::default(),
        Hashes(hashes(at_once, MOST_QUEUED)),
    )
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn network(last: u8) -> Network {
    Network::of(address(last))
}

fn claim<'a>(gate: &Arc<Htpasswd>, credentials: &'a Credentials, from: u8) -> Claim<'a> {
    let (_, digest) = gate.recognise(&gate.snapshot(), credentials);
    Claim {
        credentials,
        source: gate.guesses.source(address(from)),
        digest,
    }
}

/// Takes the only permit, for a network of nobody else.
fn take_the_permit(gate: &Arc<Htpasswd>) -> Permit {
    let applicant = HashApplicant {
        network: network(99),
        priority: Priority::Clean,
        most: usize::MAX,
    };
    match gate.checks.apply(applicant) {
        HashAdmission::Granted(permit) => permit,
        HashAdmission::Queued(_) | HashAdmission::Refused => panic!("somebody else has it"),
    }
}

/// The verdict in a word, and how many hashes it took.
fn ask(htpasswd: &Arc<Htpasswd>, user: &str, password: &str, from: u8) -> (&'static str, usize) {
    count::take();
    let verdict = htpasswd.verify(
        &Credentials::of(user.as_bytes(), password.as_bytes()),
        address(from),
    );
    let word = match verdict {
        Verdict::Known(principal) => {
            assert_eq!(principal.user(), user.as_bytes());
            "known"
        }
        Verdict::Wrong => "wrong",
        Verdict::Busy => "busy",
        Verdict::Throttled { retry_after } => {
            assert!((1..=61).contains(&retry_after));
            "throttled"
        }
    };
    (word, count::take().len())
}

#[test]
fn a_right_password_is_hashed_once_for_each_network() {
    let gate = htpasswd();
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 1));
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 0));
    assert_eq!(ask(&gate, "alice", "correct horse", 2), ("known", 1));
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 0));
    assert_eq!(ask(&gate, "bob", "correct horse", 1), ("known", 1));
}

#[test]
fn a_wrong_password_is_hashed_once_and_pushes_out_no_login() {
    let gate = htpasswd();
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 1));
    for user in ["alice", "bob", "nobody"] {
        let (verdict, hashes) = ask(&gate, user, "guess", 1);
        assert_eq!((verdict, hashes > 0), ("wrong", true));
        assert_eq!(ask(&gate, user, "guess", 1), ("wrong", 0));
    }
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 0));
}

#[test]
fn a_failed_check_does_the_same_work_for_every_user_and_for_none() {
    let gate = htpasswd();
    let work = |user: &str, password: &str| {
        count::take();
        let credentials = Credentials::of(user.as_bytes(), password.as_bytes());
        assert!(matches!(
            gate.verify(&credentials, address(1)),
            Verdict::Wrong
        ));
        let mut work: Vec<String> = count::take()
            .iter()
            .map(|scheme| format!("{scheme:?}"))
            .collect();
        work.sort();
        work
    };
    let expected = ["Bcrypt { cost: 4 }", "Sha1"];
    for user in ["alice", "bob", "nobody", ""] {
        assert_eq!(work(user, "guess"), expected, "{user}");
        assert_eq!(work(user, "correct horse\0"), expected, "{user}");
    }
}

#[test]
fn the_memory_for_wrong_ones_is_bounded() {
    let gate = htpasswd();
    let mut memory = gate.memory.lock().unwrap();
    let seal = Seal::new();
    for n in 0..WRONG_CAPACITY + 100 {
        memory.wrong.remember(
            seal.digest([b"".as_slice(), &n.to_be_bytes()]),
            0,
            Instant::now(),
        );
    }
    assert_eq!(memory.wrong.len(), WRONG_CAPACITY);
}

#[test]
fn a_new_file_counts_at_once_for_new_users_changed_ones_and_removed_ones() {
    let gate = htpasswd();
    assert_eq!(ask(&gate, "alice", "correct horse", 1).0, "known");
    assert_eq!(ask(&gate, "bob", "correct horse", 1).0, "known");
    assert_eq!(ask(&gate, "alice", "secret", 1).0, "wrong");
    assert_eq!(ask(&gate, "carol", "correct horse", 1).0, "wrong");
    let carol = FILE.lines().next().unwrap().replace("alice", "carol");
    gate.replace(users(&format!("{OTHER_LINE}{carol}\n")));
    assert_eq!(ask(&gate, "alice", "secret", 1).0, "known");
    assert_eq!(ask(&gate, "alice", "correct horse", 1).0, "wrong");
    assert_eq!(ask(&gate, "carol", "correct horse", 1).0, "known");
    assert_eq!(ask(&gate, "bob", "correct horse", 1).0, "wrong");
    // An unchanged line is remembered over a change of the file, a wrong password is not.
    gate.replace(users(FILE));
    assert_eq!(ask(&gate, "bob", "correct horse", 1), ("known", 0));
    let (verdict, hashes) = ask(&gate, "carol", "correct horse", 1);
    assert_eq!((verdict, hashes > 0), ("wrong", true));
}

#[test]
fn a_wrong_one_of_an_old_generation_that_comes_late_is_not_believed() {
    let gate = htpasswd();
    let credentials = Credentials::of(b"carol", b"guess");
    let (_, digest) = gate.recognise(&gate.snapshot(), &credentials);
    gate.replace(users(FILE));
    gate.memory().wrong.remember(digest, 0, Instant::now());
    assert!(ask(&gate, "carol", "guess", 1).1 > 0);
}

/// Starts `askers` with the same credentials while the only slot is taken, so that all of them meet in one flight.
fn meet(
    gate: &Arc<Htpasswd>,
    password: &str,
    askers: u8,
    network_of: fn(u8) -> u8,
) -> Vec<(&'static str, usize)> {
    let slot = take_the_permit(gate);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..askers)
            .map(|n| scope.spawn(move || ask(gate, "alice", password, network_of(n))))
            .collect();
        // The memory, the leader and each waiter hold the flight.
        let holders = || {
            gate.memory()
                .flights
                .values()
                .map(Arc::strong_count)
                .sum::<usize>()
        };
        while holders() < usize::from(askers) + 1 {
            thread::yield_now();
        }
        drop(slot);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn the_same_credentials_asked_at_once_are_hashed_once() {
    for (password, word, hashes) in [("correct horse", "known", 1), ("guess", "wrong", 2)] {
        for network_of in [|_| 1, |n| n] {
            let gate = htpasswd();
            let verdicts = meet(&gate, password, 16, network_of);
            assert!(
                verdicts.iter().all(|(verdict, _)| *verdict == word),
                "{verdicts:?}"
            );
            assert_eq!(
                verdicts.iter().map(|(_, hashes)| hashes).sum::<usize>(),
                hashes
            );
            assert!(gate.memory().flights.is_empty());
            // All of the networks know it now.
            assert_eq!(ask(&gate, "alice", password, network_of(7)), (word, 0));
        }
    }
}

#[test]
fn so_many_checks_of_a_network_wait_and_one_more_is_turned_away_and_not_remembered() {
    let gate = htpasswd();
    let slot = take_the_permit(&gate);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..QUEUED_OF_A_NETWORK)
            .map(|n| {
                let gate = &gate;
                scope.spawn(move || ask(gate, &format!("nobody{n}"), "guess", 1).0)
            })
            .collect();
        while gate.checks.waiting() < QUEUED_OF_A_NETWORK {
            thread::yield_now();
        }
        assert_eq!(ask(&gate, "alice", "correct horse", 1), ("busy", 0));
        let newcomer = scope.spawn(|| ask(&gate, "alice", "correct horse", 2));
        while gate.checks.waiting() <= QUEUED_OF_A_NETWORK {
            thread::yield_now();
        }
        drop(slot);
        assert_eq!(newcomer.join().unwrap(), ("known", 1));
        let verdicts: Vec<_> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
        let wrong = verdicts.iter().filter(|verdict| **verdict == "wrong");
        assert_eq!(wrong.count(), 10);
        let throttled = verdicts.iter().filter(|verdict| **verdict == "throttled");
        assert_eq!(throttled.count(), QUEUED_OF_A_NETWORK - 10);
    });
    assert_eq!(ask(&gate, "alice", "correct horse", 2), ("known", 0));
}

#[test]
fn those_who_wait_for_a_leader_who_is_lost_go_on_by_themselves() {
    let gate = htpasswd();
    let credentials = Credentials::of(b"alice", b"correct horse");
    thread::scope(|scope| {
        let snapshot = gate.snapshot();
        let (known, _) = gate.recognise(&snapshot, &credentials);
        let claim = claim(&gate, &credentials, 1);
        let Lookup::Lead(leader, _) = gate.receive(known, &claim, snapshot.generation) else {
            panic!("nobody else is there");
        };
        drop(snapshot);
        let waiters: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| ask(&gate, "alice", "correct horse", 1)))
            .collect();
        while Arc::strong_count(&leader.flight) < 6 {
            thread::yield_now();
        }
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _leader = leader;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        let verdicts: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect();
        assert!(verdicts.iter().all(|(verdict, _)| *verdict == "known"));
        assert_eq!(verdicts.iter().map(|(_, hashes)| hashes).sum::<usize>(), 1);
    });
}

#[test]
fn those_who_wait_for_a_leader_of_another_network_are_not_turned_away_with_it() {
    let gate = htpasswd();
    let credentials = Credentials::of(b"alice", b"correct horse");
    thread::scope(|scope| {
        let snapshot = gate.snapshot();
        let (known, _) = gate.recognise(&snapshot, &credentials);
        let claim = claim(&gate, &credentials, 1);
        let Lookup::Lead(leader, _) = gate.receive(known, &claim, snapshot.generation) else {
            panic!("nobody else is there");
        };
        drop(snapshot);
        let waiters: Vec<_> = [1, 2]
            .into_iter()
            .map(|from| {
                let waiter = scope.spawn({
                    let gate = &gate;
                    move || ask(gate, "alice", "correct horse", from).0
                });
                while Arc::strong_count(&leader.flight) < 2 + usize::from(from) {
                    thread::yield_now();
                }
                waiter
            })
            .collect();
        leader.flight.finish(FlightOutcome::Busy);
        drop(leader);
        let verdicts: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect();
        assert_eq!(verdicts, ["busy", "known"]);
    });
}

/// Not a test but a measurement: `cargo test --release -- --ignored --nocapture how_long`.
#[test]
#[ignore = "a measurement, to be read by a person"]
fn how_long_failed_checks_take() {
    let line = |name: &str, scheme| {
        format!(
            "{name}:{}\n",
            crate::gate::auth::passwords::Hash::decoy(scheme).text()
        )
    };
    use crate::gate::auth::passwords::Scheme::*;
    let ten = [("ten", Bcrypt { cost: 10 })];
    let mixed = [
        ("ten", Bcrypt { cost: 10 }),
        ("five", Bcrypt { cost: 5 }),
        ("apr1", Apr1),
        ("md5", Md5),
        ("sha256", Sha256 { rounds: 5000 }),
        ("sha512", Sha512 { rounds: 5000 }),
        ("more512", Sha512 { rounds: 20_000 }),
        ("sha", Sha1),
        ("ssha", SaltedSha1),
    ];
    let md5 = [("apr1", Apr1), ("md5", Md5)];
    for (title, file) in [
        ("bcrypt 10", &ten[..]),
        ("mixed", &mixed),
        ("md5 crypts", &md5),
    ] {
        let text: String = file
            .iter()
            .map(|(name, scheme)| line(name, *scheme))
            .collect();
        let users = users(&text);
        let names: Vec<&str> = file
            .iter()
            .map(|(name, _)| *name)
            .chain(["nobody"])
            .collect();
        let mut times = vec![Vec::new(); names.len()];
        for round in 0..60u32 {
            for (name, times) in names.iter().zip(&mut times) {
                let start = Instant::now();
                assert!(!users.check(
                    name.as_bytes(),
                    &round.to_be_bytes().map(|byte| byte | 0x40)
                ));
                times.push(start.elapsed());
            }
        }
        for (name, times) in names.iter().zip(&mut times) {
            times.sort_unstable();
            println!(
                "{title:>10} {name:>8} median {:?} min {:?}",
                times[times.len() / 2],
                times[0]
            );
        }
    }
    let text: String = (0..100_000)
        .map(|n| line(&format!("user{n}"), Bcrypt { cost: 10 }))
        .collect();
    let start = Instant::now();
    assert_eq!(users(&text).len(), 100_000);
    println!("100,000 users loaded: {:?}", start.elapsed());
    let gate = Htpasswd::new(users(FILE), Guesses::default(), Hashes::default());
    let credentials = Credentials::of(b"alice", b"correct horse");
    let _ = gate.verify(&credentials, address(1));
    let start = Instant::now();
    for _ in 0..100_000 {
        assert!(matches!(
            gate.verify(&credentials, address(1)),
            Verdict::Known(_)
        ));
    }
    println!("a remembered one: {:?}", start.elapsed() / 100_000);
}

#[test]
fn whoever_guesses_is_not_listened_to_and_whoever_is_in_stays_in() {
    let gate = htpasswd();
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 1));
    for n in 0..10 {
        assert_eq!(ask(&gate, "bob", &n.to_string(), 1).0, "wrong");
    }
    // Neither a guess, nor one that is known to be wrong, nor a right one that was never seen from there is looked at.
    for (user, password) in [("bob", "10"), ("bob", "0"), ("bob", "correct horse")] {
        assert_eq!(ask(&gate, user, password, 1), ("throttled", 0));
    }
    assert_eq!(ask(&gate, "alice", "correct horse", 1), ("known", 0));
    assert_eq!(ask(&gate, "bob", "correct horse", 2), ("known", 1));
}

#[test]
fn what_is_remembered_as_wrong_counts_for_whoever_else_tries_it() {
    let gate = htpasswd();
    for n in 0..9 {
        for from in [1, 2] {
            assert_eq!(ask(&gate, "alice", &n.to_string(), from).0, "wrong");
            assert_eq!(ask(&gate, "alice", &n.to_string(), from), ("wrong", 0));
        }
    }
    assert_eq!(ask(&gate, "alice", "last", 1).0, "wrong");
    assert_eq!(ask(&gate, "alice", "last", 1).0, "throttled");
    assert_eq!(ask(&gate, "alice", "last", 2), ("wrong", 0));
    assert_eq!(ask(&gate, "alice", "last", 2), ("throttled", 0));
}

#[test]
fn a_check_that_waited_while_its_network_was_closed_is_not_done() {
    let gate = htpasswd();
    let slot = take_the_permit(&gate);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&gate, "alice", "late guess", 1));
        while gate.checks.waiting() == 0 {
            thread::yield_now();
        }
        for n in 0_u8..10 {
            let credentials = Credentials::of(b"alice", &[n]);
            let _ = gate.wrong(&claim(&gate, &credentials, 1));
        }
        drop(slot);
        assert_eq!(waiting.join().unwrap(), ("throttled", 0));
    });
    assert!(gate.memory().flights.is_empty());
}

#[test]
fn no_more_are_checked_at_once_for_a_network_than_may_be_wrong() {
    let gate = gate_with(64);
    for n in 0..8 {
        assert_eq!(ask(&gate, "bob", &n.to_string(), 1).0, "wrong");
    }
    let snapshot = Arc::clone(&gate.snapshot());
    let late: Vec<_> = ["8", "9", "10"]
        .map(|guess| Credentials::of(b"bob", guess.as_bytes()))
        .into();
    let claims: Vec<_> = late.iter().map(|late| claim(&gate, late, 1)).collect();
    let mut received = claims.iter().map(|one| {
        let name = snapshot.users.find(b"bob").map(|(name, _)| name);
        match gate.receive(name, one, 0) {
            Lookup::Lead(leader, admission) => (leader, admission),
            _ => panic!("nobody else asks this"),
        }
    });
    let (first, second, third) = (
        received.next().unwrap(),
        received.next().unwrap(),
        received.next().unwrap(),
    );
    let (HashAdmission::Granted(one), HashAdmission::Granted(other)) = (first.1, second.1) else {
        panic!("two may be wrong yet");
    };
    let HashAdmission::Queued(mut ticket) = third.1 else {
        panic!("the third waits for how it goes");
    };
    // Another network has all of its own.
    assert_eq!(ask(&gate, "bob", "correct horse", 2), ("known", 1));
    let noop = std::task::Waker::noop();
    assert!(matches!(
        first.0.check(&snapshot, &claims[0], one),
        Verdict::Wrong
    ));
    assert!(
        ticket.poll(noop).is_pending(),
        "one may be wrong yet, and one is under way"
    );
    assert!(matches!(
        second.0.check(&snapshot, &claims[1], other),
        Verdict::Wrong
    ));
    let std::task::Poll::Ready(Ok(permit)) = ticket.poll(noop) else {
        panic!("its turn has come");
    };
    count::take();
    let verdict = third.0.check(&snapshot, &claims[2], permit);
    assert!(matches!(verdict, Verdict::Throttled { .. }));
    assert!(count::take().is_empty());
}

#[test]
fn where_many_are_at_home_a_name_that_is_guessed_shuts_out_nobody_else() {
    let line = FILE.lines().nth(1).unwrap();
    let names: Vec<_> = (0..9).map(|n| format!("u{n}")).collect();
    let file: String = names
        .iter()
        .map(|name| format!("{}\n", line.replace("bob", name)))
        .collect();
    let gate = Htpasswd::new(users(&file), Guesses::default(), Hashes(hashes(1, 64)));
    for name in &names[..8] {
        assert_eq!(ask(&gate, name, "correct horse", 1).0, "known");
    }
    for n in 0..10 {
        assert_eq!(ask(&gate, "u0", &n.to_string(), 1).0, "wrong");
        assert_eq!(ask(&gate, &format!("nobody{n}"), "guess", 1).0, "wrong");
    }
    assert_eq!(ask(&gate, "u0", "10", 1), ("throttled", 0));
    // Whoever was in there stays in, also the one who is guessed.
    assert_eq!(ask(&gate, "u0", "correct horse", 1), ("known", 0));
    assert_eq!(ask(&gate, "u1", "wrong", 1).0, "wrong");
    // By the answer nobody can tell which names there are, and who has the right password gets in for the first time.
    for name in ["nobody", "u8"] {
        assert_eq!(ask(&gate, name, "guess", 1), ("throttled", 1), "{name}");
    }
    assert_eq!(ask(&gate, "u8", "correct horse", 1), ("known", 1));
    assert_eq!(gate.held_back().len(), 1);
}
