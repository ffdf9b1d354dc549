//! What happens to a connection behind a no that was said while a body was still to come: kept where the next request's
//! place is known and near, ended where it is not; and the body reaches nobody and is never taken for a request.

use crate::support::acceptor::{Deaf, Refusing};
use crate::support::api::{answer, api, gate};
use crate::support::{AUTH, Backend, Client, Gate, basic, behind_head};

/// A body that looks like a request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends a request with a body that is refused with `status`, and another behind it, in one write.
fn refused_with_another_behind(client: &mut Client, auth: &str, framing: &str, status: u16) {
    let body = match framing {
        "chunked" => format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
        _ => SMUGGLED.to_owned(),
    };
    let framed = match framing {
        "chunked" => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {}", body.len()),
    };
    let next = format!("GET /v2/after HTTP/1.1\r\nHost: {}\r\n\r\n", client.host);
    let both = [body, next].concat();
    client.request_with("PUT /v2/a", &[auth, &framed], both.as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status(), status, "{framing}");
    assert!(!answer.has("Connection"), "{framing} {status}");
}

/// What is too much to be read for the next one's sake, with something behind it.
fn refused_and_ended(client: &mut Client, auth: &str, status: u16) {
    let behind = [vec![b'x'; 70_000], SMUGGLED.into()].concat();
    client.request_with("PUT /v2/a", &[auth, "Content-Length: 70000"], &behind);
    let answer = client.answer();
    assert_eq!(answer.status(), status);
    assert_eq!(answer.field("Connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn whatever_an_api_says_no_with_the_next_request_is_answered() {
    // Who has no password is told so, whoever was refused before.
    let api = api(|request| match request.field("Authorization") {
        None => answer("401 No", &[]),
        Some(_) => {
            let uri = request.field("X-Original-URI").unwrap_or_default();
            assert_eq!(uri, "/v2/a");
            let method = request.field("X-Original-Method").unwrap_or_default();
            assert_eq!(method, "PUT");
            match request.field("Authorization").unwrap_or_default() {
                "Basic NDAz" => answer("403 No", &[]),
                "Basic NDI5" => answer("429 No", &["Retry-After: 7"]),
                _ => answer("503 No", &["Retry-After: 7"]),
            }
        }
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    for (status, word) in [(403, "NDAz"), (429, "NDI5"), (503, "NTAz")] {
        let auth = format!("Authorization: Basic {word}");
        for framing in ["length", "chunked"] {
            for mut client in [gate.http(), gate.https()] {
                refused_with_another_behind(&mut client, &auth, framing, status);
                assert_eq!(client.answer().status(), 401);
                client.assert_open();
            }
        }
        for mut client in [gate.http(), gate.https()] {
            refused_and_ended(&mut client, &auth, status);
        }
    }
    backend.assert_untouched();
}

#[test]
fn the_throttled_are_answered_next_too() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    for number in 0..10 {
        let wrong = basic(b"alice", number.to_string().as_bytes());
        assert_eq!(gate.http().ask("GET /v2/", &[&wrong]).status(), 401);
    }
    let wrong = basic(b"alice", b"another");
    for framing in ["length", "chunked"] {
        let mut client = gate.http();
        refused_with_another_behind(&mut client, &wrong, framing, 429);
        assert_eq!(client.answer().status(), 401);
    }
    refused_and_ended(&mut gate.http(), &wrong, 429);
    backend.assert_untouched();
}

#[test]
fn where_no_backend_can_be_reached_the_next_request_is_answered() {
    let (refusing, deaf) = (Refusing::new(), Deaf::new());
    for authority in [&refusing.authority, &deaf.authority] {
        let backend = format!("http://{authority}");
        let gate = Gate::start(&["--backend", &backend, "--connect-timeout", "1"]);
        for framing in ["length", "chunked"] {
            let mut client = gate.http();
            refused_with_another_behind(&mut client, AUTH, framing, 502);
            assert_eq!(client.answer().status(), 401);
        }
        refused_and_ended(&mut gate.http(), AUTH, 502);
    }
}

#[test]
fn a_backend_that_stops_taking_a_body_and_says_nothing_is_504_and_the_end() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        // Until the gate has given up; what is still to be read tells so.
        peer.pause()
    });
    let gate = Gate::start(&["--backend", backend.url(), "--body-timeout", "1"]);
    for mut client in [gate.http(), gate.https()] {
        client.request("PUT /v2/a", &[AUTH, "Content-Length: 1000000000"]);
        let block = vec![b'x'; 1 << 16];
        // More than the sockets on the way hold.
        for _ in 0..256 {
            client.send(&block);
        }
        let answer = client.answer();
        assert_eq!(answer.status(), 504);
        answer.assert_oci("UNAVAILABLE");
        assert_eq!(answer.field("Connection"), Some("close"));
        client.assert_closed();
        backend.go();
    }
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_silent_backend_that_has_the_whole_body_is_504_and_the_next_request_is_answered() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--response-timeout", "1"]);
    let mut client = gate.http();
    refused_with_another_behind(&mut client, AUTH, "length", 504);
    assert_eq!(client.answer().status(), 401);
    assert_eq!(behind_head(&backend.received(0)), SMUGGLED.as_bytes());
    assert_eq!(backend.connections(), 1);
}
