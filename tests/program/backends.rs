//! Backends that are down, stale or odd, on a Unix socket or behind TLS.

use crate::support::acceptor::Refusing;
use crate::support::certificates::Ca;
use crate::support::{AUTH, Backend, Dir, Gate, PATIENCE};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gate before this backend.
fn before(backend: &Backend) -> Gate {
    Gate::start(&["--backend", backend.url()])
}

#[test]
fn a_backend_that_is_down_is_502_and_comes_back() {
    let nobody = Refusing::new();
    let mut gate = Gate::start(&["--backend", &format!("http://{}", nobody.authority)]);
    for mut client in gate.both() {
        for _ in 0..2 {
            let answer = client.ask("GET /v2/", &[AUTH]);
            assert_eq!(answer.status(), 502);
            answer.assert_oci("UNAVAILABLE");
            assert!(
                !answer.text().contains(&nobody.authority),
                "where the backend is, is nobody's business: {}",
                answer.text()
            );
        }
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 502);
        client.assert_open();
    }
    let mut upload = gate.http();
    upload.request_with(
        "PUT /v2/a",
        &[AUTH, "Content-Length: 300000"],
        &vec![b'x'; 300_000],
    );
    assert_eq!(upload.answer().status(), 502);
    gate.assert_alive();
}

#[test]
fn no_100_is_said_where_no_backend_is() {
    let nobody = Refusing::new();
    let gate = Gate::start(&["--backend", &format!("http://{}", nobody.authority)]);
    let mut client = gate.http();
    client.request(
        "PUT /v2/a",
        &[AUTH, "Expect: 100-continue", "Content-Length: 5"],
    );
    assert_eq!(client.answer().status(), 502);
}

#[test]
fn a_get_that_met_a_stale_connection_is_sent_once_more_and_a_post_is_not() {
    for (method, fields, status, connections) in [
        ("GET", [AUTH, "X: y"], 200, 2),
        ("POST", [AUTH, "Content-Length: 0"], 502, 1),
    ] {
        let backend = Backend::script(|mut peer| {
            if peer.index > 0 {
                peer.request()?;
                peer.say(OK)?;
                return peer.until_closed().map(drop);
            }
            peer.request()?;
            peer.say(OK)?;
            peer.request()?;
            peer.close();
            Ok(())
        });
        let gate = before(&backend);
        let mut client = gate.http();
        assert_eq!(client.ask("GET /first", &[AUTH]).status(), 200);
        assert_eq!(
            client.ask(&format!("{method} /second"), &fields).status(),
            status,
            "{method}"
        );
        assert_eq!(backend.connections(), connections, "{method}");
        client.assert_open();
    }
}

#[test]
fn a_request_is_sent_once_more_at_most() {
    let backend = Backend::script(|mut peer| {
        let request = peer.request()?;
        if request.start.starts_with("GET /first") {
            peer.say(OK)?;
            peer.request()?;
        }
        peer.close();
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /first", &[AUTH]).status(), 200);
    assert_eq!(client.ask("GET /second", &[AUTH]).status(), 502);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_request_whose_answer_has_begun_is_never_sent_again() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say(OK)?;
        peer.request()?;
        peer.say("HTTP/1.1 200 O")?;
        peer.close();
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /first", &[AUTH]).status(), 200);
    assert_eq!(client.ask("GET /second", &[AUTH]).status(), 502);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_pooled_connection_that_was_closed_is_not_used() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say(OK)?;
        if peer.index > 0 {
            return peer.until_closed().map(drop);
        }
        peer.pause()?;
        peer.close();
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /first", &[AUTH]).status(), 200);
    backend.go();
    backend.wait_for_end(0).unwrap();
    // Even for a request that must not be sent twice.
    client.request_with("POST /second", &[AUTH, "Content-Length: 1"], b"x");
    assert_eq!(client.answer().status(), 200);
    assert_eq!(backend.connections(), 2);
}

#[test]
fn bytes_that_a_backend_sends_unasked_are_nobodys_answer() {
    let (said, hear) = std::sync::mpsc::channel();
    let backend = Backend::script(move |mut peer| {
        peer.request()?;
        peer.say(OK)?;
        if peer.index == 0 {
            peer.pause()?;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
            let _ = said.send(());
        }
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /first", &[AUTH]).status(), 200);
    backend.go();
    hear.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.ask("GET /second", &[AUTH]).text(), "ok");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_backend_on_a_unix_socket_is_relayed_to() {
    let backend = Backend::script_unix(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.say(OK)?;
        }
        Ok(())
    });
    let gate = before(&backend);
    for mut client in gate.both() {
        for _ in 0..2 {
            client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 5"], b"hello");
            assert_eq!(client.answer().body, b"ok");
        }
    }
    let request = backend.wait_for_request(0);
    assert_eq!(
        (request.start.as_str(), request.body.as_slice()),
        ("PUT /v2/a HTTP/1.1", b"hello".as_slice())
    );
    assert_eq!(request.field("Host"), Some(gate.authority("http")));
    // Each client's loop keeps its own.
    assert!(backend.connections() <= 2);
}

#[test]
fn a_missing_unix_socket_is_502() {
    let dir = Dir::new();
    let gate = Gate::start(&["--backend", &format!("unix:{}", dir.path("none.sock"))]);
    let answer = gate.http().ask("GET /v2/", &[AUTH]);
    assert_eq!(answer.status(), 502);
    answer.assert_oci("UNAVAILABLE");
}

#[test]
fn a_backend_over_tls_is_verified() {
    let backend = Backend::script_tls(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.say(OK)?;
        }
        Ok(())
    });
    let dir = Dir::new();
    let right = dir.file("right.pem", backend.ca.as_ref().unwrap());
    let wrong = dir.file("wrong.pem", Ca::new().pem());
    let port = backend
        .acceptor
        .authority()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let (by_address, by_name) = (
        backend.url().to_owned(),
        format!("https://localhost:{port}"),
    );
    for (url, ca, status) in [
        (&by_address, Some(&right), 200),
        (&by_name, Some(&right), 200),
        (&by_address, Some(&wrong), 502),
        (&by_address, None, 502),
    ] {
        let mut args = vec!["--backend", url.as_str()];
        args.extend(ca.iter().flat_map(|file| ["--backend-ca", file.as_str()]));
        let gate = Gate::start(&args);
        let before = backend.requests().len();
        let mut client = gate.http();
        for _ in 0..2 {
            assert_eq!(
                client.ask("GET /v2/", &[AUTH]).status(),
                status,
                "{url} {ca:?}"
            );
        }
        client.assert_open();
        let reached = backend.requests().len() - before;
        assert_eq!(reached, if status == 200 { 2 } else { 0 });
        if status == 502 {
            gate.log.wait_for_text("certificate");
            gate.messages.wait_for_text("that has by --backend-ca FILE");
        }
    }
}

#[test]
fn a_backend_that_does_not_speak_tls_is_called_that() {
    let backend = Backend::script(|mut peer| {
        peer.exactly(1)?;
        peer.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    });
    let dir = Dir::new();
    let ca = dir.file("ca.pem", Ca::new().pem());
    let url = backend.url().replace("http", "https");
    let gate = Gate::start(&["--backend", &url, "--backend-ca", &ca]);
    assert_eq!(gate.http().ask("GET /v2/", &[AUTH]).status(), 502);
    gate.messages
        .wait_for_text("is down: it does not answer in TLS; write http:// if");
    gate.log.wait_for_text("write http:// if");
}

#[test]
fn what_a_backend_says_behind_an_answer_is_no_answer_to_the_next_request() {
    // Much more than is read with a head, so that what follows it is met by whoever reads the body.
    const SIZE: usize = 100_000;
    let answers = |mut peer: crate::support::Peer| {
        while peer.try_request()?.is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            let behind = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
            peer.say([head.as_bytes(), &[b'x'; SIZE], behind.as_bytes()].concat())?;
        }
        Ok(())
    };
    for by_tls in [false, true] {
        let backend = match by_tls {
            true => Backend::script_tls(answers),
            false => Backend::script(answers),
        };
        let dir = Dir::new();
        let ca = dir.file("backend-ca.crt", backend.ca.as_deref().unwrap_or_default());
        let mut args = vec!["--backend", backend.url()];
        if by_tls {
            args.extend(["--backend-ca", &ca]);
        }
        let gate = Gate::start_in(dir, &args);
        let mut client = gate.http();
        for number in 0..5 {
            let answer = client.ask("GET /", &[AUTH]);
            assert_eq!(answer.body.len(), SIZE, "request {number}, {by_tls}");
        }
    }
}
