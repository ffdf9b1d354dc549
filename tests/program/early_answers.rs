//! What the backend says before it has all of a request, or before its final answer: it must reach the client in time, and
//! no connection may be used again on which one side still owes the other something.

use crate::support::{AUTH, Backend, Client, Dir, Gate, PATIENCE, behind_head, readable};
use std::sync::mpsc::channel;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gate on a Unix socket before this backend, and the path of that socket.
fn before(backend: &Backend) -> (Gate, String) {
    let dir = Dir::new();
    let path = dir.path("gate.sock");
    let listen = format!("unix:{path}");
    let gate = Gate::start_in(dir, &["--listen", &listen, "--backend", backend.url()]);
    (gate, path)
}

#[test]
fn a_refusal_beside_the_last_bytes_of_an_upload_ends_both_connections() {
    // The gate finds both at once when it goes on: it has read the end of the body and not sent it. Over Unix sockets,
    // where nothing is under way any more once it was written.
    for (framing, first, last) in [
        ("Content-Length: 10", "", "0123456789"),
        ("Content-Length: 10", "01234", "56789"),
        ("Transfer-Encoding: chunked", "", "3\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n", "0\r\n\r\n"),
    ] {
        let (said, heard) = channel();
        let backend = Backend::script_unix(move |mut peer| {
            if peer.index > 0 {
                peer.request()?;
                return peer.say(OK);
            }
            peer.head()?;
            peer.exactly(first.len())?;
            peer.pause()?;
            peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n")?;
            said.send(()).map_err(std::io::Error::other)?;
            peer.until_closed().map(drop)
        });
        let (gate, path) = before(&backend);
        let mut client = Client::unix(&path);
        client.request_with("PUT /v2/a", &[AUTH, framing], first.as_bytes());
        backend.wait_for_bytes(0, |bytes| {
            bytes.windows(4).any(|window| window == b"\r\n\r\n")
                && bytes.ends_with(first.as_bytes())
        });
        gate.halt();
        client.send(last);
        backend.go();
        heard.recv_timeout(PATIENCE).unwrap();
        gate.go_on();

        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (413, "big\n"));
        let connection = answer.field("Connection").unwrap_or_default();
        assert!(
            connection.eq_ignore_ascii_case("close"),
            "the client was not told that its connection ends:\n{}",
            readable(&answer.raw)
        );
        client.assert_closed();
        let mut next = Client::unix(&path);
        next.request("GET /next", &[AUTH]);
        let received = backend.received(0);
        assert_eq!(
            readable(behind_head(&received)),
            readable(first.as_bytes()),
            "more than what came before the answer was sent on this connection"
        );
        assert_eq!(next.answer().status(), 200);
        assert_eq!(backend.connections(), 2);
    }
}

#[test]
fn an_upload_that_is_answered_at_its_last_byte_keeps_both_connections() {
    const UPLOADS: usize = 50;
    let backend = Backend::script_unix(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.say(OK)?;
        }
        Ok(())
    });
    let (_gate, path) = before(&backend);
    let mut client = Client::unix(&path);
    for number in 0..UPLOADS {
        let (framing, body) = match number % 2 {
            0 => ("Content-Length: 5", "hello"),
            _ => ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        };
        client.request("PUT /v2/a", &[AUTH, framing]);
        client.send(body);
        let answer = client.answer();
        assert!(!answer.has("Connection"), "{}", readable(&answer.raw));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn half_an_interim_head_does_not_stop_an_upload() {
    for half in [
        "H",
        "HTTP/1.1 ",
        "HTTP/1.1 1",
        "HTTP/1.1 102 Processing\r\n",
    ] {
        let (said, heard) = channel();
        let backend = Backend::script_unix(move |mut peer| {
            peer.head()?;
            peer.exactly(5)?;
            peer.say(half)?;
            said.send(()).map_err(std::io::Error::other)?;
            peer.exactly(5)?;
            let rest = &"HTTP/1.1 102 Processing\r\n\r\n"[half.len()..];
            peer.say([rest, OK].concat())?;
            peer.until_closed().map(drop)
        });
        let (gate, path) = before(&backend);
        let mut client = Client::unix(&path);
        client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 10"], b"01234");
        heard.recv_timeout(PATIENCE).unwrap();
        client.send("56789");
        assert_eq!(client.answer().status(), 102, "after {half:?}");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        client.assert_open();
        drop(gate);
        assert_eq!(behind_head(&backend.received(0)), b"0123456789");
    }
}

#[test]
fn an_interim_answer_does_not_wait_for_the_final_one() {
    let backend = Backend::script(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
            peer.pause()?;
            peer.say(OK)?;
        }
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    for mut client in [gate.http(), gate.https()] {
        for (line, fields, body) in [
            ("GET /", vec![AUTH], ""),
            ("PUT /", vec![AUTH, "Content-Length: 5"], "hello"),
        ] {
            client.request_with(line, &fields, body.as_bytes());
            let interim = client.answer();
            assert_eq!(
                (interim.status(), interim.field("Link")),
                (103, Some("</a>"))
            );
            backend.go();
            assert_eq!(client.answer().status(), 200);
        }
        client.assert_open();
    }
}
