//! Starting and stopping: what `serve` says, and that it ends when and as it should.

use crate::support::acceptor::Refusing;
use crate::support::{AUTH, Backend, Client, Dir, Gate};
use rustix::process::Signal;
use std::net::TcpStream;

const BACKEND: &[&str] = &["--backend", "http://127.0.0.1:5000"];

#[test]
fn it_says_what_it_guards_and_where() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let said = gate.messages.all().join("\n");
    for part in [
        backend.acceptor.authority(),
        gate.authority("http"),
        gate.authority("https"),
        &gate.dir.path("htpasswd"),
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let warned = gate.messages.all().iter().any(|line| {
        line.contains(backend.acceptor.authority()) && line.to_lowercase().contains("warn")
    });
    assert!(!warned, "a loopback backend is no reason to warn:\n{said}");
    assert!(
        gate.log.all().is_empty(),
        "messages belong to standard error"
    );
}

#[test]
fn it_warns_of_a_backend_that_can_be_reached_past_the_gate() {
    let gate = Gate::start(&["--backend", "http://192.0.2.1:5000"]);
    gate.messages.wait_for("a warning about 192.0.2.1", |line| {
        line.contains("192.0.2.1") && line.to_lowercase().contains("warn")
    });
}

#[test]
fn weak_hashes_are_named_once_at_start() {
    let gate = Gate::start(BACKEND);
    let named = gate
        .messages
        .all()
        .iter()
        .filter(|line| line.contains("{SHA}"))
        .count();
    assert_eq!(named, 1, "{:#?}", gate.messages.all());
}

#[test]
fn every_listener_serves() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--listen",
        "http://127.0.0.1:0",
        "--listen",
        "https://127.0.0.1:0",
        "--listen",
        "http://127.0.0.2:0",
        "--tls-self-signed",
        Dir::new().path("tls").as_str(),
        "--backend",
        backend.url(),
    ]);
    assert_eq!(gate.urls.len(), 3);
    for url in gate
        .urls
        .iter()
        .filter_map(|url| url.strip_prefix("http://"))
    {
        assert_eq!(Client::clear(url).ask("GET /", &[AUTH]).status(), 200);
    }
}

#[test]
fn a_unix_listener_serves() {
    use std::io::{Read, Write};
    let dir = Dir::new();
    let path = dir.path("gate.sock");
    let gate = Gate::start_in(
        dir,
        &["--listen", &format!("unix:{path}"), BACKEND[0], BACKEND[1]],
    );
    assert_eq!(gate.urls, [format!("unix:{path}")]);
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    client
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn a_request_in_flight_is_finished_after_sigterm() {
    for signal in [Signal::TERM, Signal::INT] {
        let backend = Backend::script(|mut peer| {
            peer.request()?;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")?;
            peer.pause()?;
            peer.say("lf")?;
            peer.until_closed().map(drop)
        });
        let gate = Gate::start(&["--backend", backend.url()]);
        let mut client = gate.https();
        client.request("GET /", &[AUTH]);
        client.answer_head();
        assert_eq!(client.exactly(2), b"ha");
        gate.signal(signal);
        backend.go();
        assert_eq!(client.exactly(2), b"lf");
        client.assert_closed();
        let outcome = gate.wait();
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
        assert!(
            outcome
                .stdout
                .iter()
                .any(|line| line.contains("\"GET /\" 200")),
            "{outcome:#?}"
        );
    }
}

#[test]
fn draining_is_bounded() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--drain-timeout", "1"]);
    let mut client = gate.http();
    client.request("GET /", &[AUTH]);
    backend.wait_for_request(0);
    assert_eq!(gate.terminate().code(), Some(0));
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut served = gate.https();
    assert_eq!(served.ask("GET /", &[AUTH]).status(), 200);
    let mut fresh = gate.http();
    fresh.send("GET / HT");
    // The default of 30 s to drain is longer than `terminate` waits.
    assert_eq!(gate.terminate().code(), Some(0));
}

#[test]
fn after_the_end_nobody_listens() {
    let gate = Gate::start(BACKEND);
    let authority = gate.authority("http").to_owned();
    assert_eq!(gate.terminate().code(), Some(0));
    assert!(TcpStream::connect(authority).is_err());
}

#[test]
fn a_backend_that_is_down_does_not_keep_it_from_starting() {
    let nobody = Refusing::new();
    let mut gate = Gate::start(&["--backend", &format!("http://{}", nobody.authority)]);
    let mut client = gate.http();
    let answer = client.ask("GET /v2/", &[AUTH]);
    assert_eq!(answer.status(), 502);
    answer.assert_oci("UNAVAILABLE");
    client.assert_open();
    gate.log.wait_for("the backend that is down", |line| {
        line.contains(&nobody.authority) && line.contains("refused")
    });
    gate.assert_alive();
}

#[test]
fn without_file_descriptors_accepting_pauses_and_nothing_dies() {
    let backend = Backend::echo();
    let mut gate = Gate::start(&["--backend", backend.url()]);
    let mut early = gate.http();
    early.assert_open();
    gate.limit_files(40);
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(gate.authority("http")).unwrap())
        .collect();
    early.assert_open();
    drop(crowd);
    gate.http().assert_open();
    gate.https().assert_open();
    gate.assert_alive();
}
