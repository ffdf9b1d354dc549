//! Transfers that end early: cut by either side, or refused while they are still coming. None may ever look whole, and
//! every refusal must be seen.

use crate::support::{AUTH, Backend, Dir, End, Gate, Peer, behind_head};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gate before this backend.
fn before(backend: &Backend) -> Gate {
    Gate::start(&["--backend", backend.url()])
}

#[test]
fn an_upload_cut_by_the_client_never_looks_whole_to_the_backend() {
    let backend = Backend::script(Peer::head_and_rest);
    let gate = before(&backend);
    let mut index = 0;
    for reset in [false, true] {
        for tls in [false, true] {
            for (framing, sent) in [
                ("Content-Length: 10", "hello"),
                ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
                ("Transfer-Encoding: chunked", "a\r\nhello"),
            ] {
                let mut client = if tls { gate.https() } else { gate.http() };
                client.request_with(
                    "PUT /v2/a/blobs/uploads/x",
                    &[AUTH, framing],
                    sent.as_bytes(),
                );
                backend.wait_for_head(index);
                if reset {
                    client.reset()
                } else {
                    drop(client)
                }
                let received = backend.received(index);
                let body = behind_head(&received);
                assert!(
                    !body.ends_with(b"0\r\n\r\n"),
                    "a last chunk was made up: {:?}",
                    crate::support::readable(body)
                );
                assert!(body.len() < 20, "{:?}", crate::support::readable(body));
                index += 1;
            }
        }
    }
    assert_eq!(
        backend.connections(),
        index,
        "a cut upload was tried again, or its connection used again"
    );
}

#[test]
fn an_answer_cut_by_the_backend_never_looks_whole_to_the_client() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello",
    ] {
        for reset in [false, true] {
            let backend = Backend::script(move |mut peer| {
                peer.request()?;
                peer.say(head)?;
                peer.pause()?;
                if reset {
                    peer.reset()
                } else {
                    peer.close()
                }
                Ok(())
            });
            let gate = before(&backend);
            for mut client in gate.both() {
                client.request("GET /", &[AUTH]);
                client.answer_head();
                backend.go();
                let (body, end) = client.rest();
                assert!(
                    matches!(end, End::Cut(_)),
                    "{end:?} after {:?}",
                    crate::support::readable(&body)
                );
                assert!(
                    !body.ends_with(b"0\r\n\r\n"),
                    "{:?}",
                    crate::support::readable(&body)
                );
            }
            gate.http().assert_open();
        }
    }
}

#[test]
fn an_answer_until_close_cut_by_a_reset_never_looks_whole() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say("HTTP/1.1 200 OK\r\n\r\nhello")?;
        peer.pause()?;
        peer.reset();
        Ok(())
    });
    let gate = before(&backend);
    for mut client in gate.both() {
        client.request("GET /", &[AUTH]);
        client.answer_head();
        assert_eq!(client.exactly(10), b"5\r\nhello\r\n");
        backend.go();
        let (rest, end) = client.rest();
        assert!(
            rest.is_empty() && matches!(end, End::Cut(_)),
            "{end:?} after {:?}",
            crate::support::readable(&rest)
        );
    }
}

/// Answers 413 as soon as it has read a head, and reads no more.
fn too_large(mut peer: Peer) -> std::io::Result<()> {
    let head = peer.head()?;
    if !head.start.starts_with("PUT") {
        peer.say(OK)?;
        return peer.until_closed().map(drop);
    }
    peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n")?;
    peer.pause()
}

#[test]
fn an_early_refusal_of_the_backend_reaches_a_client_that_sends_all_before_it_reads() {
    const SIZE: usize = 16 << 20;
    let backend = Backend::script(too_large);
    let gate = before(&backend);
    let chunk = vec![b'x'; 1 << 16];
    for (index, mut client) in gate.both().into_iter().enumerate() {
        client.request(
            "PUT /v2/a/blobs/uploads/x",
            &[AUTH, &format!("Content-Length: {SIZE}")],
        );
        for _ in 0..SIZE / chunk.len() {
            client.send(&chunk);
        }
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (413, "big\n"));
        assert!(
            answer
                .field("Connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        );
        client.assert_closed();
        drop(client);
        backend.go();
        backend.wait_for_end(index).unwrap();
    }
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    assert_eq!(
        backend.connections(),
        3,
        "a connection with an unfinished upload was used again"
    );
}

#[test]
fn an_early_refusal_stops_the_upload() {
    // Nothing of the body was sent when the answer came: a client that waits for it must get it.
    let backend = Backend::script(too_large);
    let gate = before(&backend);
    for mut client in gate.both() {
        client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 100000000"], b"x");
        assert_eq!(client.answer().status(), 413);
        backend.go();
        client.assert_closed();
    }
}

#[test]
fn our_own_refusal_reaches_a_client_that_is_still_sending() {
    const SIZE: usize = 16 << 20;
    let backend = Backend::echo();
    let gate = before(&backend);
    let chunk = vec![b'x'; 1 << 16];
    for mut client in gate.both() {
        client.request(
            "PUT /v2/a/blobs/uploads/x",
            &[&format!("Content-Length: {SIZE}")],
        );
        for _ in 0..SIZE / chunk.len() {
            client.send(&chunk);
        }
        assert_eq!(client.answer().status(), 401);
        client.assert_closed();
    }
    backend.assert_untouched();
}

#[test]
fn a_chunked_upload_refused_early_never_gets_its_last_chunk() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")?;
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let mut client = gate.http();
    client.request_with(
        "PUT /v2/a",
        &[AUTH, "Transfer-Encoding: chunked"],
        b"5\r\nhello\r\n",
    );
    assert_eq!(client.answer().status(), 413);
    let _ = client.try_send("5\r\nworld\r\n0\r\n\r\n");
    let received = backend.received(0);
    assert!(
        !behind_head(&received).ends_with(b"0\r\n\r\n"),
        "{:?}",
        crate::support::readable(&received)
    );
}

#[test]
fn an_answer_over_tls_without_a_close_notify_is_not_whole() {
    let backend = Backend::script_tls(|mut peer| {
        peer.request()?;
        peer.say("HTTP/1.1 200 OK\r\n\r\nhello")?;
        if peer.index == 0 {
            peer.close();
        }
        Ok(())
    });
    let dir = Dir::new();
    let ca = dir.file("ca.pem", backend.ca.as_ref().unwrap());
    let gate = Gate::start(&["--backend", backend.url(), "--backend-ca", &ca]);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).body, b"hello");
    let mut client = gate.http();
    client.request("GET /", &[AUTH]);
    let answer = client.try_answer(false).unwrap().unwrap();
    assert!(
        answer.cut.is_some(),
        "{}",
        crate::support::readable(&answer.raw)
    );
}
