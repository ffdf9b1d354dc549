//! People who guess passwords: how many guesses they have, who suffers for it, and what is said about it.

use crate::support::{AUTH, Backend, Dir, Gate, Message, basic};
use std::time::{Duration, Instant};

/// alice:secret and bob:secret.
const FILE: &str =
    "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const BELIEVED: &[&str] = &["--trusted-proxy", "127.0.0.1/32"];
/// Distinct wrong ones that a network has in a minute.
const GUESSES: usize = 10;

/// A gate with these users that believes this test about where it comes from.
fn gate_with(users: &str, backend: &Backend, args: &[&str]) -> Gate {
    let dir = Dir::new();
    let file = dir.file("users", users);
    let own = ["--htpasswd", &file, "--backend", backend.url()];
    Gate::start_in(dir, &[&own, BELIEVED, args].concat())
}

fn gate(backend: &Backend) -> Gate {
    gate_with(FILE, backend, &[])
}

fn ask(gate: &Gate, from: &str, auth: &str) -> Message {
    let from = format!("X-Forwarded-For: {from}");
    gate.http().ask("GET /v2/", &[auth, &from])
}

fn guess(gate: &Gate, from: &str, user: &str, number: usize) -> u16 {
    let auth = basic(user.as_bytes(), number.to_string().as_bytes());
    ask(gate, from, &auth).status()
}

#[test]
fn the_eleventh_wrong_password_is_not_looked_at_and_the_client_is_told_when_to_come_again() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    assert!((0..GUESSES).all(|n| guess(&gate, "9.9.9.9", "alice", n) == 401));
    let answer = ask(&gate, "9.9.9.9", &basic(b"bob", b"another"));
    assert_eq!(answer.status(), 429);
    answer.assert_oci("TOOMANYREQUESTS");
    let wait: u32 = answer.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(!answer.has("WWW-Authenticate"));
    // Also a right one, which would tell a guesser that it is right; and what is no guess is still only asked for one.
    assert_eq!(ask(&gate, "9.9.9.9", AUTH).status(), 429);
    assert_eq!(ask(&gate, "9.9.9.9", "X-None: 1").status(), 401);
    let messages = gate
        .messages
        .wait_for_text("9.9.9.9: too many wrong passwords");
    assert!(messages.contains("60 s"), "{messages}");
    assert!(backend.requests().is_empty());
}

#[test]
fn who_does_not_listen_is_answered_a_few_times_a_second_on_a_connection() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    assert!((0..GUESSES).all(|n| guess(&gate, "9.9.9.9", "alice", n) == 401));
    let mut client = gate.https();
    let from = "X-Forwarded-For: 9.9.9.9";
    assert_eq!(client.ask("GET /v2/", &[AUTH, from]).status(), 429);
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /v2/", &[AUTH, from]).status(), 429);
    }
    // Never sooner than after the pause of a quarter of a second, however fast the machine is.
    assert!(begun.elapsed() >= 3 * Duration::from_millis(250));
}

#[test]
fn a_network_that_guesses_shuts_out_neither_others_nor_those_who_are_in() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    let bob = basic(b"bob", b"secret");
    assert_eq!(ask(&gate, "9.9.9.9", &bob).status(), 200);
    assert!((0..GUESSES).all(|n| guess(&gate, "9.9.9.9", "alice", n) == 401));
    assert_eq!(guess(&gate, "9.9.9.9", "alice", 99), 429);
    assert_eq!(ask(&gate, "9.9.9.9", &bob).status(), 200);
    assert_eq!(ask(&gate, "9.9.9.8", AUTH).status(), 200);
    assert_eq!(ask(&gate, "9.9.9.9", AUTH).status(), 429);
}

#[test]
fn guesses_from_everywhere_never_lock_their_user_out() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    for n in 0..5 * GUESSES {
        assert_eq!(guess(&gate, &format!("9.9.{n}.9"), "alice", n), 401);
    }
    assert_eq!(ask(&gate, "7.7.7.7", AUTH).status(), 200);
}

#[test]
fn a_robot_with_a_stale_password_is_not_taken_for_somebody_who_guesses() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    assert!((0..5 * GUESSES).all(|_| guess(&gate, "9.9.9.9", "alice", 1) == 401));
    assert_eq!(ask(&gate, "9.9.9.9", AUTH).status(), 200);
}

#[test]
fn names_that_do_not_exist_count_alike_and_an_ipv6_neighbour_is_the_same_network() {
    let backend = Backend::echo();
    let gate = gate(&backend);
    for n in 0..GUESSES {
        let from = format!("2001:db8:1:2::{n}");
        assert_eq!(guess(&gate, &from, &format!("nobody{n}"), 1), 401);
    }
    assert_eq!(ask(&gate, "2001:db8:1:2:ffff::1", AUTH).status(), 429);
    assert_eq!(ask(&gate, "2001:db8:1:3::1", AUTH).status(), 200);
}

#[test]
fn an_auth_service_says_401_to_the_throttled_so_that_nginx_makes_no_500_of_it() {
    let dir = Dir::new();
    let file = dir.file("users", FILE);
    let gate = Gate::auth_service(dir, &[&["--htpasswd", &file], BELIEVED].concat());
    for n in 0..GUESSES {
        assert_eq!(guess(&gate, "9.9.9.9", "alice", n), 401);
    }
    let answer = ask(&gate, "9.9.9.9", AUTH);
    assert_eq!(answer.status(), 401);
    assert!(answer.has("WWW-Authenticate"));
    assert_eq!(ask(&gate, "9.9.9.8", AUTH).status(), 200);
}

#[test]
fn those_whose_guesses_wait_take_no_turn_from_those_who_are_in() {
    const STRANGERS: usize = 20;
    let backend = Backend::echo();
    // A failed check costs what the second user's hash costs, some tenths of a second.
    let users =
        format!("{FILE}slow:$2y$12$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n");
    let gate = gate_with(&users, &backend, &["--workers", "1"]);
    let mut known = gate.http();
    assert_eq!(known.ask("GET /v2/", &[AUTH]).status(), 200);
    let mut strangers: Vec<_> = (0..STRANGERS).map(|_| gate.http()).collect();
    for (n, stranger) in strangers.iter_mut().enumerate() {
        let from = format!("X-Forwarded-For: 9.9.{n}.9");
        let auth = basic(b"alice", n.to_string().as_bytes());
        stranger.request("GET /v2/", &[&auth, &from]);
    }
    assert_eq!(known.ask("GET /v2/", &[AUTH]).status(), 200);
    let is_no = |line: &String| line.contains(" 401 ");
    let answered = gate.log.all().iter().filter(|line| is_no(line)).count();
    assert!(answered < STRANGERS, "{answered} had their turn first");
    for stranger in &mut strangers {
        assert_eq!(stranger.answer().status(), 401);
    }
}
