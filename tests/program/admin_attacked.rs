//! The admin endpoint with clients that mean ill or do not care: whatever they do, a probe has its answer.

use crate::support::acceptor::Refusing;
use crate::support::gate::run;
use crate::support::{Backend, Client, Dir, End, Gate, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What the endpoint holds at once.
const MOST: usize = 16;

fn started(dir: Dir, admin: &str, more: &[&str]) -> Gate {
    let args = ["--backend", "http://127.0.0.1:1", "--admin", admin];
    Gate::start_in(dir, &[&args[..], more].concat())
}

/// Where the admin endpoint of a gate is.
fn place(gate: &Gate) -> String {
    let said = gate.messages.wait_for_text("health on http://");
    let (_, url) = said.split_once("health on http://").unwrap();
    url.split(": ").next().unwrap().to_owned()
}

/// How a request with this `Host` is answered.
fn status(mut client: Client, path: &str, host: &str) -> u16 {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.answer().status()
}

#[track_caller]
fn assert_well(place: &str) {
    let begun = Instant::now();
    assert_eq!(status(Client::clear(place), "/healthz", "localhost"), 200);
    // A probe gives up after some seconds; this is far more than it takes.
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn those_who_ask_on_and_on_and_read_nothing_keep_nobody_from_an_answer() {
    let gate = started(Dir::new(), "http://127.0.0.1:0", &[]);
    let place = place(&gate);
    let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let mut greedy = Vec::new();
    for _ in 0..2 * MOST {
        let mut client = TcpStream::connect(&place).unwrap();
        client.set_nonblocking(true).unwrap();
        // As much as there is room for.
        for _ in 0..64 {
            if client.write(asked.as_bytes()).is_err() {
                break;
            }
        }
        greedy.push(client);
        assert_well(&place);
    }
}

#[test]
fn half_requests_make_no_threads_and_the_oldest_of_them_go() {
    let gate = started(Dir::new(), "http://127.0.0.1:0", &[]);
    let place = place(&gate);
    assert_well(&place);
    let before = gate.threads();
    let mut halves: Vec<_> = (0..400)
        .map(|_| {
            let mut half = TcpStream::connect(&place).unwrap();
            half.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc")
                .unwrap();
            half.set_read_timeout(Some(PATIENCE)).unwrap();
            half
        })
        .collect();
    assert_well(&place);
    assert_eq!(gate.threads(), before);
    // Closed without an answer, in the order in which they came.
    for half in halves.iter_mut().take(400 - MOST) {
        let mut said = Vec::new();
        let _ = half.read_to_end(&mut said);
        assert_eq!(said, b"");
    }
    // One of those that are left still has its turn.
    let last = halves.last_mut().unwrap();
    last.write_all(b"alhost\r\n\r\n").unwrap();
    let mut said = String::new();
    last.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[test]
fn half_requests_on_a_unix_socket_keep_nobody_from_an_answer() {
    let dir = Dir::new();
    let path = dir.path("admin.sock");
    let gate = started(dir, &format!("unix:{path}"), &[]);
    gate.messages.wait_for_text("health on");
    let halves: Vec<_> = (0..400)
        .map(|_| {
            let mut half = UnixStream::connect(&path).unwrap();
            half.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc")
                .unwrap();
            half
        })
        .collect();
    assert_eq!(status(Client::unix(&path), "/healthz", "localhost"), 200);
    drop(halves);
}

#[test]
fn a_head_is_read_up_to_16_kib_and_no_longer_than_a_few_seconds() {
    let gate = started(Dir::new(), "http://127.0.0.1:0", &[]);
    let place = place(&gate);
    let padded = |length: usize| {
        let begin = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ";
        let end = "\r\n\r\n";
        format!(
            "{begin}{}{end}",
            "a".repeat(length - begin.len() - end.len())
        )
    };
    for (length, expected) in [(16 << 10, 200), ((16 << 10) + 1, 431), (1 << 20, 431)] {
        let mut client = Client::clear(&place);
        // It may be refused before it has sent all.
        let _ = client.try_send(padded(length));
        assert_eq!(client.answer().status(), expected, "{length}");
    }
    let mut slow = Client::clear(&place);
    slow.send("GET /healthz HTTP/1.1\r\n");
    let (said, end) = slow.rest();
    assert!(said.is_empty() && end == End::Clean, "{said:?} {end:?}");
}

#[test]
fn an_answer_ends_its_connection_and_what_follows_is_not_read() {
    let gate = started(Dir::new(), "http://127.0.0.1:0", &[]);
    for (request, begin, has_body) in [
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            true,
        ),
        (
            "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            false,
        ),
        (
            "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
            "HTTP/1.0 200 OK\r\n",
            true,
        ),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 ", true),
    ] {
        let mut client = Client::clear(&place(&gate));
        client.send(request.repeat(3));
        let (said, end) = client.rest();
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with(begin) && end == End::Clean,
            "{end:?} {said}"
        );
        assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{said}");
        let (_, body) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(!body.is_empty(), has_body, "{said}");
    }
}

#[test]
fn all_who_ask_at_once_whether_it_is_ready_are_told() {
    let nobody = Refusing::new();
    let backend = Backend::echo();
    for (url, expected) in [
        (backend.url().to_owned(), 200),
        (format!("http://{}", nobody.authority), 503),
    ] {
        let gate = Gate::start(&["--backend", &url, "--admin", "http://127.0.0.1:0"]);
        let place = place(&gate);
        let mut clients: Vec<_> = (0..MOST).map(|_| Client::clear(&place)).collect();
        for client in &mut clients {
            client.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), expected);
        }
    }
}

#[test]
fn on_loopback_a_name_that_somebody_else_may_own_is_refused_on_every_path() {
    let gate = started(Dir::new(), "http://127.0.0.1:0", &[]);
    let place = place(&gate);
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing"] {
        for (host, is_own) in [
            ("rebound.example", false),
            ("localhost.rebound.example:9100", false),
            ("", false),
            ("localhost", true),
            (place.as_str(), true),
            ("[::1]:9100", true),
        ] {
            // An empty one is no name at all.
            let refused = matches!(status(Client::clear(&place), path, host), 400 | 403);
            assert_eq!(refused, !is_own, "{path} {host}");
        }
    }
}

#[test]
fn any_name_is_fine_on_a_unix_socket_and_with_insecure_admin() {
    let dir = Dir::new();
    let path = dir.path("admin.sock");
    let gate = started(dir, &format!("unix:{path}"), &[]);
    gate.messages.wait_for_text("health on");
    assert_eq!(status(Client::unix(&path), "/metrics", "gate.example"), 200);
    let gate = started(Dir::new(), "http://127.0.0.1:0", &["--insecure-admin"]);
    let place = place(&gate);
    assert_eq!(
        status(Client::clear(&place), "/metrics", "gate.example"),
        200
    );
}

#[test]
fn health_finds_a_gate_ready_whose_admin_endpoint_is_crowded() {
    let (dir, backend) = (Dir::new(), Backend::echo());
    let admin = format!("unix:{}", dir.path("admin.sock"));
    let listener = format!("unix:{}", dir.path("gate.sock"));
    let args = [
        "--listen",
        &listener,
        "--backend",
        backend.url(),
        "--admin",
        &admin,
    ];
    let gate = Gate::start_in(dir, &args);
    gate.messages.wait_for_text("health on");
    let path = admin.strip_prefix("unix:").unwrap();
    let _crowd: Vec<_> = (0..3 * MOST)
        .map(|_| {
            let mut one = UnixStream::connect(path).unwrap();
            one.write_all(b"GET /readyz HTTP/1.1\r\nHost").unwrap();
            one
        })
        .collect();
    let users = gate.dir.path("htpasswd");
    let outcome = run(&[&["health", "--htpasswd", &users], &args[..]].concat());
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}
