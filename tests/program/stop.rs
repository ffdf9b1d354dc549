//! The end, when somebody is in the middle of something: it comes in time, and nothing looks whole that is not.

use crate::support::{AUTH, Backend, Dir, End, Gate};
use rustix::process::Signal;
use std::path::Path;

#[test]
fn an_answer_until_close_that_the_drain_time_cuts_never_looks_whole() {
    let backend = Backend::script(|mut peer| {
        let framing = match peer.index {
            0 => "X-Until: close\r\n\r\nhello",
            _ => "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        };
        peer.request()?;
        peer.say(format!("HTTP/1.1 200 OK\r\n{framing}"))?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--drain-timeout", "1"]);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = gate.http();
        client.send(format!("GET / HTTP/1.0\r\nHost: x\r\n{AUTH}\r\n\r\n"));
        assert_eq!(client.answer_head().status(), 200);
        assert_eq!(client.exactly(5), b"hello");
        clients.push(client);
    }
    assert_eq!(gate.terminate().code(), Some(0));
    for mut client in clients {
        let (rest, end) = client.rest();
        assert!(
            rest.is_empty() && matches!(end, End::Cut(_)),
            "{end:?} after {:?}",
            crate::support::readable(&rest)
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM]] {
        let backend = Backend::script(|mut peer| {
            peer.request()?;
            peer.until_closed().map(drop)
        });
        let gate = Gate::start(&["--backend", backend.url()]);
        let mut client = gate.http();
        client.request("GET /", &[AUTH]);
        backend.wait_for_request(0);
        gate.signal(signals[0]);
        gate.messages.wait_for_text("stopping: no new connections");
        // The default of 30 s to drain is longer than `wait` waits.
        gate.signal(signals[1]);
        let outcome = gate.wait();
        assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
        assert!(outcome.text().contains("at once"), "{outcome:#?}");
    }
}

#[test]
fn until_everybody_knows_clients_may_come_and_each_is_told_with_its_answer() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut idle = gate.http();
    assert_eq!(idle.ask("GET /", &[AUTH]).status(), 200);
    gate.signal(Signal::TERM);
    gate.messages
        .wait_for_text("stopping: no new connections after 5 s");
    let mut late = gate.https();
    for client in [&mut idle, &mut late] {
        let answer = client.ask("GET /", &[AUTH]);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.field("Connection"), Some("close"));
        client.assert_closed();
    }
    let outcome = gate.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn at_a_terminal_it_ends_at_once_where_nobody_is_there() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    gate.signal(Signal::INT);
    gate.messages.wait_for_text("stopping: no new connections,");
    assert_eq!(gate.wait().code(), Some(0));
}

#[test]
fn a_refused_client_whose_small_body_never_comes_does_not_hold_up_the_end() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let (mut length, mut chunks) = (gate.http(), gate.https());
    length.request("POST /v2/a", &["Content-Length: 100"]);
    chunks.request("POST /v2/a", &["Transfer-Encoding: chunked"]);
    for client in [&mut length, &mut chunks] {
        assert_eq!(client.answer().status(), 401);
    }
    // Sooner than the drain time of 30 s, which is longer than `wait` waits.
    gate.signal(Signal::INT);
    let outcome = gate.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn a_refused_client_that_is_silent_does_not_use_up_the_drain_time() {
    // Such a client is given five seconds, but not at the end.
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000", "--drain-timeout", "4"]);
    let mut clients = [gate.http(), gate.https()];
    for client in &mut clients {
        client.request_with("POST /v2/a", &["Content-Length: 9999999"], b"x");
        assert_eq!(client.answer().status(), 401);
    }
    let outcome = gate.terminate();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(!outcome.text().contains("were cut"), "{outcome:#?}");
}

#[test]
fn a_request_whose_client_had_connected_before_the_end_is_answered() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut half = gate.http();
    half.send("GET / HTTP/1.1\r\n");
    let mut silent = gate.http();
    let mut kept = gate.http();
    kept.request("GET /", &[AUTH]);
    assert_eq!(kept.answer().status(), 200);
    gate.signal(Signal::TERM);
    gate.messages.wait_for_text("stopping: no new connections");
    half.send(format!("Host: x\r\n{AUTH}\r\n\r\n"));
    silent.request("GET /", &[AUTH]);
    for client in [&mut half, &mut silent] {
        let answer = client.answer();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.field("connection"), Some("close"));
    }
    let outcome = gate.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn who_is_in_the_queue_at_the_end_is_answered() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    gate.halt();
    let mut clients: Vec<_> = (0..100).map(|_| gate.http()).collect();
    for client in &mut clients {
        client.request("GET /", &[AUTH]);
    }
    gate.signal(Signal::TERM);
    gate.go_on();
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(gate.wait().code(), Some(0));
}

#[test]
fn a_client_that_never_asks_does_not_use_up_the_drain_time() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000", "--drain-timeout", "8"]);
    let _silent = [gate.http(), gate.http()];
    let outcome = gate.terminate();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(!outcome.text().contains("were cut"), "{outcome:#?}");
}

#[test]
fn unix_sockets_are_gone_after_the_end() {
    let dir = Dir::new();
    let (listener, admin) = (dir.path("gate.sock"), dir.path("admin.sock"));
    let gate = Gate::start_in(
        dir,
        &[
            "--listen",
            &format!("unix:{listener}"),
            "--admin",
            &format!("unix:{admin}"),
            "--backend",
            "http://127.0.0.1:5000",
        ],
    );
    let sockets = [Path::new(&listener), Path::new(&admin)];
    assert!(sockets.iter().all(|socket| socket.exists()));
    // Its directory goes with the gate, so who is still there is asked while that stands.
    gate.signal(Signal::TERM);
    assert!(gate.messages.wait_for_end(crate::support::PATIENCE));
    let left: Vec<_> = sockets.iter().filter(|socket| socket.exists()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(gate.wait().code(), Some(0));
}
