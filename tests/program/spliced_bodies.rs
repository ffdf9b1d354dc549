//! Big bodies in the clear, which pass the gate through a pipe: what holds for every byte holds for these too.

use crate::support::backend::sha256;
use crate::support::{AUTH, Backend, Client, End, Gate, PATIENCE, behind_head};
use std::io::{ErrorKind, Write};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n";
/// Enough for a pipe, and no multiple of anything.
const SIZE: usize = 3 * 1024 * 1024 + 11;
/// What comes one by one at the end.
const DRIP: usize = 20;
/// More than all the buffers on the way hold.
const ENDLESS: usize = 1 << 26;

fn before(backend: &Backend) -> Gate {
    Gate::start(&["--backend", backend.url()])
}

/// A backend, and the ends of pipes that a body to or from it takes: it pays between TCP sockets alone.
fn listening(
    unix: bool,
    script: impl Fn(crate::support::Peer) -> std::io::Result<()> + Send + Sync + 'static,
) -> (Backend, usize) {
    match unix {
        true => (Backend::script_unix(script), 0),
        false => (Backend::script(script), 2),
    }
}

/// No two stretches of it are alike.
fn content(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    for number in (0..size as u64).step_by(8) {
        bytes.extend_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn length(size: usize) -> String {
    format!("Content-Length: {size}")
}

fn ok(size: usize) -> String {
    format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", length(size))
}

#[test]
fn no_byte_of_a_big_answer_waits_for_the_next() {
    for unix in [false, true] {
        let script = |mut peer: crate::support::Peer| {
            while peer.try_request()?.is_some() {
                let body = content(SIZE);
                let (most, last) = body.split_at(SIZE - DRIP);
                peer.say(ok(SIZE))?;
                peer.say(most)?;
                for byte in last {
                    peer.pause()?;
                    peer.say([*byte])?;
                }
            }
            Ok(())
        };
        let (backend, ends) = listening(unix, script);
        let gate = before(&backend);
        let idle = gate.pipes();
        let mut client = gate.http();
        for _ in 0..2 {
            client.request("GET /", &[AUTH]);
            client.answer_head();
            let mut got = client.exactly(SIZE - DRIP);
            assert_eq!(gate.pipes(), idle + ends, "both ends of one, or none");
            for _ in 0..DRIP {
                backend.go();
                got.extend(client.exactly(1));
            }
            assert!(got == content(SIZE), "changed on the way");
        }
        client.assert_open();
        assert_eq!(gate.pipes(), idle);
        assert_eq!(
            backend.connections(),
            1,
            "the connection to the backend was not used again"
        );
    }
}

#[test]
fn no_byte_of_a_big_upload_waits_for_the_next() {
    for unix in [false, true] {
        let script = |mut peer: crate::support::Peer| {
            for _ in 0..2 {
                peer.head()?;
                peer.exactly(SIZE - DRIP)?;
                for _ in 0..DRIP {
                    peer.exactly(1)?;
                }
                peer.say(OK)?;
            }
            peer.until_closed().map(drop)
        };
        let (backend, ends) = listening(unix, script);
        let gate = before(&backend);
        let idle = gate.pipes();
        let body = content(SIZE);
        let (most, last) = body.split_at(SIZE - DRIP);
        let mut client = gate.http();
        for _ in 0..2 {
            client.request_with("PUT /", &[AUTH, &length(SIZE)], most);
            for (index, byte) in last.iter().enumerate() {
                // The next byte is sent only when this one has arrived.
                backend.wait_for_bytes(0, |bytes| bytes.ends_with(&body[..most.len() + index]));
                client.send([*byte]);
                assert!(index + 1 == DRIP || gate.pipes() == idle + ends);
            }
            assert_eq!(client.answer().status(), 200);
        }
        client.assert_open();
        assert_eq!(gate.pipes(), idle);
        assert_eq!(backend.connections(), 1);
    }
}

#[test]
fn what_follows_a_big_body_at_once_is_no_part_of_it() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            let body = match request.start.starts_with("PUT") {
                true => sha256(&request.body).into_bytes(),
                false => content(SIZE),
            };
            peer.say([ok(body.len()).as_bytes(), &body].concat())?;
        }
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    let put = |body: &[u8]| {
        let fields = format!("Host: x\r\n{AUTH}\r\n");
        let length = length(body.len());
        let head = format!("PUT /a HTTP/1.1\r\n{fields}{length}\r\n\r\n");
        [
            head.as_bytes(),
            body,
            format!("GET /b HTTP/1.1\r\n{fields}\r\n").as_bytes(),
        ]
        .concat()
    };
    let body = content(SIZE);
    let both = [put(&body), put(&body[..SIZE - 1])].concat();
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || writer.write_all(&both));
    for size in [SIZE, SIZE - 1] {
        assert_eq!(client.answer().text(), sha256(&body[..size]));
        assert!(client.answer().body == body, "changed on the way");
    }
    sending.join().unwrap().unwrap();
    client.assert_open();
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_early_answer_reaches_a_client_that_pauses_within_a_big_upload() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.exactly(SIZE)?;
        peer.say(TOO_LARGE)?;
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let mut client = gate.http();
    client.request_with("PUT /", &[AUTH, &length(2 * SIZE)], &content(SIZE));
    assert_eq!(client.answer().status(), 413);
    // It still owes this much, and may send it.
    client.send(content(SIZE));
    client.assert_closed();
    assert!(behind_head(&backend.received(0)) == content(SIZE));
}

#[test]
fn an_early_answer_reaches_a_client_whose_upload_finds_no_room() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.pause()?;
        peer.say(TOO_LARGE)?;
        // It makes no room before the client has heard.
        peer.pause()?;
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let sending = content(ENDLESS);
    let mut client = gate.http();
    client.request("PUT /", &[AUTH, &length(ENDLESS)]);
    let sent = fill(&client, &sending);
    backend.go();
    assert_eq!(client.answer().status(), 413);
    backend.go();
    drop((client, gate));
    let received = backend.received(0);
    let body = behind_head(&received);
    assert!(
        sending[..sent].starts_with(body),
        "changed on the way, or something left out"
    );
}

#[test]
fn an_interim_answer_does_not_disturb_a_big_upload() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.pause()?;
        peer.say("HTTP/1.1 1")?;
        peer.pause()?;
        peer.say("02 Processing\r\n\r\n")?;
        peer.exactly(SIZE)?;
        peer.say("HTTP/1.1 102 Processing\r\n\r\n")?;
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let sending = content(ENDLESS);
    let mut client = gate.http();
    client.request("PUT /", &[AUTH, &length(ENDLESS)]);
    let sent = fill(&client, &sending);
    backend.go();
    backend.go();
    drop(client);
    assert!(behind_head(&backend.received(0)) == &sending[..sent]);
}

/// Sends this until nobody takes any more for half a second; how much that was.
fn fill(client: &Client, body: &[u8]) -> usize {
    let mut writer = client.writer();
    writer
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    loop {
        match writer.write(&body[sent..]) {
            Ok(taken) => sent += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
        assert!(sent < body.len(), "somebody keeps all this");
    }
    writer.set_write_timeout(Some(PATIENCE)).unwrap();
    sent
}

#[test]
fn the_log_counts_what_a_client_took_of_a_big_answer_before_it_went() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say(ok(ENDLESS))?;
        peer.say(content(SIZE))?;
        peer.pause()?;
        let _ = peer.say(content(SIZE));
        peer.until_closed().map(drop)
    });
    let gate = before(&backend);
    let mut client = gate.http();
    client.request("GET /", &[AUTH]);
    client.answer_head();
    assert!(client.exactly(SIZE) == content(SIZE));
    // It is gone before more comes.
    client.reset();
    backend.go();
    let line = gate.log.wait_for_text("client went away");
    assert!(line.contains(&format!(" down={SIZE} ")), "{line}");
}

#[test]
fn a_big_body_cut_by_one_side_does_not_look_whole_on_the_other() {
    let backend = Backend::script(|mut peer| {
        if peer.head()?.start.starts_with("PUT") {
            return peer.until_closed().map(drop);
        }
        peer.say(ok(2 * SIZE))?;
        peer.say(content(SIZE))?;
        peer.close();
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    client.request("GET /", &[AUTH]);
    client.answer_head();
    let (body, end) = client.rest();
    assert!(matches!(end, End::Cut(_)), "{end:?}");
    assert!(body == content(SIZE)[..body.len()]);

    let mut client = gate.http();
    client.request_with("PUT /", &[AUTH, &length(2 * SIZE)], &content(SIZE));
    drop(client);
    assert!(behind_head(&backend.received(1)) == content(SIZE));
    gate.log.wait_for_text("client cut its body short");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn whoever_falls_silent_within_a_big_body_is_named() {
    let backend = Backend::script(|mut peer| {
        match peer.head()?.start.as_bytes() {
            [b'P', b'U', b'T', b' ', b'/', b'a', ..] => {}
            [b'P', ..] => return peer.pause(),
            [b'G', b'E', b'T', b' ', b'/', b'a', ..] => {
                peer.say(ok(2 * SIZE))?;
                peer.say(content(SIZE))?;
            }
            _ => {
                peer.say(ok(ENDLESS))?;
                while peer.say(content(SIZE)).is_ok() {}
                return Ok(());
            }
        }
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--body-timeout", "3"]);
    let told = |count: usize, words: &str| {
        let lines = gate.log.wait_for_count(count);
        let line = lines.last().unwrap();
        assert!(line.contains(words) && !line.contains("os error"), "{line}");
    };

    let mut client = gate.http();
    client.request("GET /a", &[AUTH]);
    client.answer_head();
    let (body, end) = client.rest();
    assert!(
        body == content(SIZE) && matches!(end, End::Cut(_)),
        "{end:?}"
    );
    told(1, "answer cut short by the backend: nothing moved in time");

    let mut client = gate.http();
    client.request("GET /b", &[AUTH]);
    told(2, "client took nothing for too long");
    drop(client);

    let mut client = gate.http();
    client.request_with("PUT /a", &[AUTH, &length(2 * SIZE)], &content(SIZE));
    client.rest();
    told(3, "client fell silent within its body");

    let sending = content(ENDLESS);
    let mut client = gate.http();
    client.request("PUT /b", &[AUTH, &length(ENDLESS)]);
    fill(&client, &sending);
    assert_eq!(client.answer().status(), 504);
    backend.go();
    drop(client);
    told(4, " 504 ");
}

#[test]
fn an_urgent_byte_neither_stops_a_big_upload_nor_keeps_a_processor_busy() {
    use rustix::net::{SendFlags, send};
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            peer.say(ok(request.body.len()))?;
            peer.say(&request.body)?;
        }
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    let body = content(SIZE);
    let (first, rest) = body.split_at(100_000);
    client.request("PUT /", &[AUTH, &length(SIZE)]);
    client.send(first);
    // It is not part of what a server reads.
    send(client.writer(), b"!", SendFlags::OOB).unwrap();
    client.send(rest);
    assert!(client.answer().body == body);
}

#[test]
fn a_big_body_passes_without_a_pipe_when_no_descriptor_is_left() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            peer.pause()?;
            peer.say([ok(request.body.len()).as_bytes(), &request.body].concat())?;
        }
        Ok(())
    });
    let gate = before(&backend);
    let mut client = gate.http();
    let body = content(SIZE);
    for _ in 0..2 {
        client.request_with("PUT /", &[AUTH, &length(SIZE)], &body);
        backend.wait_for_request(0);
        gate.limit_files(gate.highest_descriptor() + 1);
        backend.go();
        assert!(client.answer().body == body);
    }
    assert_eq!(backend.connections(), 1);
}
