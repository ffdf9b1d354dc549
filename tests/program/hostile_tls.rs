//! Peers that keep TLS busy with nothing: records without content, and handshakes that never become whole. They cost others
//! neither time nor memory.

use crate::support::records::{Sealer, Secrets, client};
use crate::support::{AUTH, Backend, Client, Gate, Peer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many in a row end a connection.
const MOST: usize = 64;
/// What connections hold together of what is not whole, in bytes.
const MOST_HELD: usize = 64 * 1024 * 1024;

fn request(client: &Client, line: &str, fields: &[&str]) -> String {
    let fields = fields.join("\r\n");
    format!(
        "{line} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n\r\n",
        client.host
    )
}

/// All at once.
fn send(sealer: &mut Sealer, count: usize) {
    let records = sealer.without_content(count).concat();
    // It may be told no before it has said all.
    let _ = sealer.send(records);
}

/// Sends one record without content after the other, far more often than any time-out, until the connection ends. How long
/// that took.
fn drip(client: &mut Client, sealer: &mut Sealer) -> Duration {
    let begun = Instant::now();
    client.set_patience(Duration::from_millis(100));
    for record in sealer.without_content(MOST - 1) {
        let is_sent = sealer.send(record).is_ok();
        match client.try_rest() {
            Err(error) if is_sent && error.kind() == ErrorKind::TimedOut => {}
            _ => return begun.elapsed(),
        }
    }
    panic!("still open after {:?}", begun.elapsed());
}

#[test]
fn sixty_four_records_without_content_end_a_connection_wherever_they_come() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let ends = |(mut client, mut sealer): (Client, Sealer)| {
        send(&mut sealer, MOST);
        client.rest();
    };
    // One fewer each time, and it is served: behind the handshake, within a head, between two requests, within a body.
    let served = || {
        let (mut client, mut sealer) = client(&gate);
        send(&mut sealer, MOST - 1);
        let get = request(&client, "GET /a", &[AUTH]);
        let (first, rest) = get.split_at(9);
        let first = sealer.content(first);
        sealer.send(first).unwrap();
        send(&mut sealer, MOST - 1);
        let rest = sealer.content(rest);
        sealer.send(rest).unwrap();
        assert_eq!(client.answer().status(), 200);
        send(&mut sealer, MOST - 1);
        let put = request(&client, "PUT /a", &[AUTH, "Content-Length: 2"]) + "a";
        let put = sealer.content(put);
        sealer.send(put).unwrap();
        send(&mut sealer, MOST - 1);
        (client, sealer)
    };
    let (mut client, mut sealer) = served();
    let last = sealer.content("b");
    sealer.send(last).unwrap();
    assert_eq!(client.answer().status(), 200);
    ends((client, sealer));
    ends(crate::support::records::client(&gate));
    let (client, mut sealer) = served();
    send(&mut sealer, 1);
    ends((client, sealer));
    gate.messages
        .wait_for_text("tls: 64 records without content in a row");
    gate.https().assert_open();
}

#[test]
fn who_sends_nothing_but_records_without_content_keeps_nobody_waiting() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut known = gate.https();
    assert_eq!(known.ask("GET /a", &[AUTH]).status(), 200);
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (_client, mut sealer) = client(&gate);
                    // Sooner than any time-out.
                    let until = Instant::now() + Duration::from_secs(5);
                    while Instant::now() < until {
                        let records = sealer.without_content(200).concat();
                        if sealer.send(records).is_err() {
                            return;
                        }
                    }
                    panic!("all of it was read");
                })
            })
            .collect();
        while floods.iter().any(|flood| !flood.is_finished()) {
            let begun = Instant::now();
            assert_eq!(known.ask("GET /a", &[AUTH]).status(), 200);
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
        for flood in floods {
            flood.join().unwrap();
        }
    });
    gate.https().assert_open();
}

#[test]
fn a_head_in_records_of_one_byte_is_read_in_steps_and_none_of_it_is_lost() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let (mut client, mut sealer) = client(&gate);
    let long = format!("X-Long: {}", "a".repeat(8000));
    for _ in 0..2 {
        let get = request(&client, "GET /a", &[AUTH, &long]);
        let records: Vec<_> = get.bytes().map(|byte| sealer.content([byte])).collect();
        sealer.send(records.concat()).unwrap();
        assert_eq!(client.answer().status(), 200);
    }
    // And where it is refused after much of it.
    let endless = format!("GET /{} ", "a".repeat(40_000));
    let records: Vec<_> = endless.bytes().map(|byte| sealer.content([byte])).collect();
    let _ = sealer.send(records.concat());
    assert_eq!(client.answer().status(), 414);
}

#[test]
fn records_without_content_move_no_time_out() {
    let backend = Backend::echo();
    let second = Duration::from_secs(1);
    for (setting, is_known, line) in [
        ("--header-timeout", false, ""),
        ("--header-timeout", false, "GET /a"),
        ("--idle-timeout", true, ""),
        ("--body-timeout", true, "PUT /a"),
    ] {
        let gate = Gate::start(&["--backend", backend.url(), setting, "1"]);
        let (mut client, mut sealer) = client(&gate);
        if is_known {
            let get = request(&client, "GET /a", &[AUTH]);
            let get = sealer.content(get);
            sealer.send(get).unwrap();
            assert_eq!(client.answer().status(), 200);
        }
        if line == "PUT /a" {
            let put = request(&client, line, &[AUTH, "Content-Length: 2"]);
            let put = sealer.content(put);
            sealer.send(put).unwrap();
        } else if !line.is_empty() {
            let part = sealer.content(line);
            sealer.send(part).unwrap();
        }
        let lasted = drip(&mut client, &mut sealer);
        assert!(lasted < second * 4, "{setting} {line:?}: {lasted:?}");
    }
}

/// A gate before a backend that sends so many records without content before each answer.
fn before(count: usize) -> (Gate, Backend) {
    let secrets = Arc::new(Secrets::default());
    let logged = Arc::clone(&secrets);
    let backend = Backend::script_tls_logged(secrets, move |mut peer: Peer| {
        let mut sealer: Option<Sealer> = None;
        while peer.try_request()?.is_some() {
            let label = "SERVER_TRAFFIC_SECRET_0";
            let sealer = sealer.get_or_insert_with(|| Sealer::new(peer.socket(), &logged, label));
            send(sealer, count);
            let answer = sealer.content("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let _ = sealer.send(answer);
        }
        Ok(())
    });
    let dir = crate::support::Dir::new();
    let ca = dir.file("ca", backend.ca.as_deref().unwrap());
    let gate = Gate::start_in(dir, &["--backend", backend.url(), "--backend-ca", &ca]);
    (gate, backend)
}

#[test]
fn a_backend_may_not_send_more_of_them_either() {
    let (gate, _backend) = before(MOST - 1);
    let mut client = gate.http();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /a", &[AUTH]).status(), 200);
    }
    let (gate, _backend) = before(MOST);
    assert_eq!(gate.http().ask("GET /a", &[AUTH]).status(), 502);
}

/// The beginning of a ClientHello of nearly 64 KiB.
fn unfinished_hello() -> Vec<u8> {
    const LENGTH: u32 = 61_000;
    const SENT: usize = 60_000;
    let [_, high, middle, low] = LENGTH.to_be_bytes();
    let mut message = vec![1, high, middle, low];
    message.resize(SENT, 0);
    let mut wire = Vec::new();
    for piece in message.chunks(16_000) {
        let [high, low] = u16::try_from(piece.len()).unwrap().to_be_bytes();
        wire.extend_from_slice(&[22, 3, 1, high, low]);
        wire.extend_from_slice(piece);
    }
    wire
}

fn allow_descriptors(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let limit = Rlimit {
            current: Some(limit.maximum.map_or(count, |most| most.min(count))),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

#[test]
fn handshakes_that_are_not_whole_share_a_bound_and_the_oldest_make_room() {
    // What one of them holds is a buffer of 64 KiB, and a session.
    const EACH: usize = 80 * 1024;
    const SURPLUS: usize = 40;
    let fits = MOST_HELD / EACH;
    allow_descriptors(2 * fits as u64);
    let gate = Gate::start(&[
        "--backend",
        "http://127.0.0.1:5000",
        "--max-connections-per-address",
        "0",
    ]);
    let mut waiting = gate.https();
    let hello = unfinished_hello();
    let mut flood = Vec::new();
    for _ in 0..fits + SURPLUS {
        let mut client = Client::clear(gate.authority("https"));
        // The first ones may be gone, but not this one.
        client.write_all(&hello).unwrap();
        flood.push(client);
    }
    for client in &mut flood[..SURPLUS] {
        client.try_rest().expect("an end");
    }
    let mut left = 0;
    for client in &flood[SURPLUS..] {
        let socket = client.socket();
        socket.set_nonblocking(true).unwrap();
        let peeked = socket.peek(&mut [0]);
        left += usize::from(peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    assert!(left >= fits - 8, "{left} of {fits} are left");
    // Who holds nothing has not had to leave, although it was there first, and newcomers are let in.
    waiting.assert_open();
    gate.https().assert_open();
}
