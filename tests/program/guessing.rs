//! People who guess passwords: how many guesses they have, who suffers for it, and what is said about it.

use crate::support::gate::{refused, run};
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, basic};
use rustix::process::Signal;
use std::sync::Barrier;
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
    let gate = gate_with(&users, &backend, &["--max-requests", "1"]);
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
        // Whoever waits too long for a turn is told to come again.
        assert!(matches!(stranger.answer().status(), 401 | 503));
    }
}

/// The hash of "secret" with a cost that takes some hundredths of a second.
const SLOW: &str = "$2y$09$TKkASR.4t2k.fr.QPDyl4.iiHKavAvJJtmPju.6TMxYViH.OrOWaC";

#[test]
fn twenty_users_behind_one_address_are_all_let_in_after_a_restart() {
    const USERS: usize = 20;
    let backend = Backend::echo();
    let users: String = (0..USERS).map(|n| format!("user{n}:{SLOW}\n")).collect();
    let gate = gate_with(&users, &backend, &[]);
    let start = Barrier::new(USERS);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..USERS)
            .map(|n| {
                let (gate, start) = (&gate, &start);
                scope.spawn(move || {
                    let mut client = gate.http();
                    let login = basic(format!("user{n}").as_bytes(), b"secret");
                    start.wait();
                    client.ask("GET /v2/", &[&login]).status()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    assert_eq!(statuses, [200; USERS]);
}

#[test]
fn how_many_there_are_is_a_setting_and_whoever_is_exempt_has_no_end() {
    let backend = Backend::echo();
    let args = ["--guesses", "3", "--guesses-exempt", "9.9.8.0/24"];
    let gate = gate_with(FILE, &backend, &args);
    assert!((0..3).all(|n| guess(&gate, "9.9.9.9", "alice", n) == 401));
    assert_eq!(ask(&gate, "9.9.9.9", AUTH).status(), 429);
    assert!((0..40).all(|n| guess(&gate, "9.9.8.7", "alice", n) == 401));
    assert_eq!(ask(&gate, "9.9.8.7", AUTH).status(), 200);
    let gate = gate_with(FILE, &backend, &["--guesses", "0"]);
    assert!((0..40).all(|n| guess(&gate, "9.9.9.9", "alice", n) == 401));
    assert_eq!(ask(&gate, "9.9.9.9", AUTH).status(), 200);
}

#[test]
fn guesses_are_a_small_number_and_are_counted_for_a_password_file_alone() {
    let dir = Dir::new();
    let args = [
        "--backend",
        "http://127.0.0.1:5000",
        "--auth-backend",
        "http://127.0.0.1:1",
    ];
    for (more, word) in [
        (["--guesses", "many"], "not a number between 0 and 1000"),
        (["--guesses", "1001"], "not a number between 0 and 1000"),
        (["--guesses-exempt", "office"], "not a network"),
        (["--guesses", "5"], "means something only with htpasswd"),
        (
            ["--guesses-exempt", "9.9.9.9"],
            "means something only with htpasswd",
        ),
    ] {
        let lines = refused(&dir, &[&args[..], &more].concat());
        assert!(lines.iter().any(|line| line.contains(word)), "{lines:?}");
    }
}

#[test]
fn in_an_office_one_name_is_held_back_and_the_others_are_not() {
    const USERS: usize = 9;
    let backend = Backend::echo();
    let hash = FILE.lines().next().unwrap().trim_start_matches("alice");
    let users: String = (0..USERS).map(|n| format!("user{n}{hash}\n")).collect();
    let gate = gate_with(&users, &backend, &[]);
    let login = |n: usize| {
        let login = basic(format!("user{n}").as_bytes(), b"secret");
        ask(&gate, "9.9.9.9", &login).status()
    };
    assert!((0..8).all(|n| login(n) == 200));
    for n in 0..GUESSES {
        assert_eq!(guess(&gate, "9.9.9.9", "user0", n), 401);
    }
    assert_eq!(guess(&gate, "9.9.9.9", "user0", GUESSES), 429);
    assert_eq!(guess(&gate, "9.9.9.9", "user1", 0), 401);
    for n in 0..GUESSES {
        assert_eq!(guess(&gate, "9.9.9.9", &format!("nobody{n}"), 0), 401);
    }
    // No answer tells which names there are; a right password still passes, and those who are in stay in.
    assert_eq!(guess(&gate, "9.9.9.9", "nobody", 0), 429);
    assert_eq!(guess(&gate, "9.9.9.9", "user8", 0), 429);
    assert!((0..USERS).all(|n| login(n) == 200));
    gate.messages.wait_for_text("for a name");
}

#[test]
fn who_is_held_back_is_told_and_neither_a_probe_nor_a_reload_ends_it() {
    let backend = Backend::echo();
    let gate = gate_with(FILE, &backend, &["--admin", "http://127.0.0.1:0"]);
    let said = gate.messages.wait_for_text("health on http://");
    let (_, admin) = said.split_once("health on http://").unwrap();
    let admin = admin.split(": ").next().unwrap();
    let shown = |path: &str| {
        let answer = Client::clear(admin).ask(&format!("GET {path}"), &[]);
        String::from_utf8(answer.body).unwrap()
    };
    let count = |number: usize| {
        let page = shown("/metrics");
        let line = format!("\nportreeve_throttled_networks {number}\n");
        assert!(page.contains(&line), "no {line} in {page}");
    };
    count(0);
    assert!(!shown("/").contains("Held back"));
    for from in ["9.9.9.9", "2001:db8::1", "127.0.0.1"] {
        assert!((0..GUESSES).all(|n| guess(&gate, from, "alice", n) == 401));
    }
    count(3);
    let page = shown("/");
    for network in ["9.9.9.9", "2001:db8::/64", "127.0.0.1"] {
        assert!(page.contains(&format!("<td>{network}<td")), "{page}");
    }
    // From the same address as the last of them.
    let url = format!("http://{}", gate.authority("http"));
    let file = gate.dir.path("users");
    let args = [
        "health",
        "--listen",
        &url,
        "--htpasswd",
        &file,
        "--backend",
        backend.url(),
    ];
    assert_eq!(run(&args).code(), Some(0));
    gate.signal(Signal::HUP);
    gate.messages.wait_for_text("taken anew");
    assert_eq!(ask(&gate, "127.0.0.1", AUTH).status(), 429);
    count(3);
}
