//! More at once than there is room for: turns, descriptors, and clients that are gone before they are looked at. And that
//! asking whether the gate is ready is no work for its backend.

use crate::support::api::{answer, api, gate};
use crate::support::{AUTH, Backend, Client, Dir, Gate};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[test]
fn who_needs_no_turn_does_not_wait_behind_those_who_do() {
    let backend = Backend::slow_where_asked();
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "1"]);
    let mut slow = gate.http();
    slow.request("GET /slow", &[AUTH]);
    backend.wait_for_request(0);
    let mut waiting: Vec<Client> = (0..3).map(|_| gate.http()).collect();
    for client in &mut waiting {
        client.request("GET /waiting", &[AUTH]);
    }
    // Nobody who is not let in needs a turn, or waits for one.
    for no in [vec![], vec!["Authorization: Basic YWxpY2U6d3Jvbmc="]] {
        assert_eq!(gate.http().ask("GET /v2/", &no).status(), 401);
    }
    for _ in 0..3 {
        let mut malformed = gate.http();
        malformed.send("nonsense\r\n\r\n");
        assert_eq!(malformed.answer().status(), 400);
    }
    assert_eq!(backend.requests().len(), 1, "there is one turn only");
    backend.go();
    assert_eq!(slow.answer().status(), 200);
    for mut client in waiting {
        assert_eq!(client.answer().status(), 200);
        client.assert_open();
    }
}

#[test]
fn strangers_whom_an_api_lets_in_leave_turns_for_those_with_credentials() {
    let backend = Backend::slow_where_asked();
    let api = api(|_| answer("200 OK", &[]));
    let gate = gate(&api, &backend, &["--max-requests", "4"]);
    // Of three networks, since none has more than half.
    let address = gate.authority("http");
    let from = |last| Client::clear_from([127, 0, 0, last], address);
    let mut strangers: Vec<Client> = [2, 2, 3, 4].map(from).into();
    for client in &mut strangers {
        client.request("GET /slow", &[]);
    }
    backend.wait_for_request(2);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    assert_eq!(backend.requests().len(), 4, "three strangers at once");
    for _ in &strangers {
        backend.go();
    }
    for mut client in strangers {
        assert_eq!(client.answer().status(), 200);
    }
}

/// Connects from that address, sends these bytes, and resets.
fn send_and_reset(from: [u8; 4], to: &str, bytes: &[u8]) {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let to: SocketAddr = to.parse().unwrap();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((from, 0))).unwrap();
    connect(&socket, &to).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(bytes).unwrap();
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_client_that_resets_before_it_is_accepted_is_still_who_it_was() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--trusted-proxy",
        "127.0.0.1/32",
    ]);
    gate.halt();
    for (from, auth) in [([127, 0, 0, 3], AUTH), ([127, 0, 0, 4], "X-Nobody: 1")] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: x\r\n{auth}\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
        send_and_reset(from, gate.authority("http"), request.as_bytes());
    }
    gate.go_on();
    gate.log.wait_for_text(" 127.0.0.3 ");
    gate.log.wait_for_text(" 127.0.0.4 ");
    let said = gate.terminate().text();
    assert!(
        !said.contains("9.9.9.9") && !said.contains(" unix "),
        "{said}"
    );
    for request in backend.requests() {
        assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.3"));
    }
}

#[test]
fn running_out_of_descriptors_is_said_once_until_accepting_goes_on() {
    let backend = Backend::echo();
    // The crowd is silent, so its places are free again after a second: ten attempts to accept.
    let gate = Gate::start(&["--backend", backend.url(), "--header-timeout", "1"]);
    gate.limit_files(40);
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(gate.authority("http")).unwrap())
        .collect();
    gate.messages.wait_for_text("accepting goes on");
    drop(crowd);
    gate.http().assert_open();
    gate.https().assert_open();
    let outcome = gate.terminate();
    let pauses: Vec<bool> = outcome
        .stderr
        .iter()
        .filter(|line| line.contains("accepting "))
        .map(|line| line.contains("accepting pauses"))
        .collect();
    let in_turn = pauses.first() == Some(&true) && pauses.windows(2).all(|two| two[0] != two[1]);
    assert!(in_turn, "{:#?}", outcome.stderr);
}

#[test]
fn whether_the_gate_is_ready_is_asked_over_a_new_connection_each_time() {
    for unix in [true, false] {
        let mut backend = Backend::echo();
        let dir = Dir::new();
        let path = dir.path("admin.sock");
        let admin = match unix {
            true => format!("unix:{path}"),
            false => "http://127.0.0.1:0".to_owned(),
        };
        let gate = Gate::start_in(dir, &["--backend", backend.url(), "--admin", &admin]);
        let said = gate.messages.wait_for_text("health on ");
        let url = said.split("health on ").nth(1).unwrap();
        let url = url.split(": /healthz").next().unwrap();
        let ready = || {
            let mut client = match url.strip_prefix("http://") {
                Some(authority) => Client::clear(authority),
                None => Client::unix(&path),
            };
            client.ask("GET /readyz", &[]).status()
        };

        let mut client = gate.http();
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
        for index in 1..=3 {
            assert_eq!(ready(), 200);
            // It is neither used nor kept.
            assert!(backend.received(index).is_empty());
        }
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
        assert_eq!(backend.connections(), 4, "the kept one was not used again");
        // The kept one is open still, and says nothing of whether another can be had.
        backend.stop();
        assert_eq!(ready(), 503);
    }
}
