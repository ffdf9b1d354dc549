//! Steps that stop early at random: sockets that take a few bytes, that find nothing although something is there, that are
//! reported again; copies, exchanges and connections whose turn is over after any move. Whatever stops has to be gone on
//! with, and no byte may be lost, doubled or changed on the way.

use crate::support::{AUTH, Backend, Client, Dir, End, Gate, Message, Peer};
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

/// What the program under test, a debug build, is told the seed with; a test that is told one by it tries that alone.
const VARIABLE: &str = "EARLY_STOPS";
/// Seeds of one run. Each chooses anew how often what stops.
const SEEDS: u64 = 32;
/// Of them at once.
const LANES: u64 = 2;
/// No seed is begun later, so that a slow machine has its time too.
const LATEST: Duration = Duration::from_secs(10);
/// Seeds that every machine gets through in that time.
const LEAST: usize = 4;
/// Enough for a pipe and for buffers that have grown, and no multiple of anything.
const BIG: usize = 3 * 1024 * 1024 + 11;
/// Some records of TLS, some buffers.
const MIDDLE: usize = 150_007;
const SMALL: usize = 777;
/// What the backend's chunks hold.
const CHUNK: usize = 7001;
/// So much of an upload has come when its answer does.
const EARLY: usize = 500;

/// No two stretches of it are alike, and none is like one of another size.
fn content(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    for number in (0..size as u64).step_by(8) {
        let word = (number + size as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + 1024);
    for piece in body.chunks(CHUNK) {
        framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

/// Sends what the last words of the path say; what it was sent has to be the content of its size.
fn answer(mut peer: Peer) -> io::Result<()> {
    loop {
        let head = peer.head()?;
        let start = head.start.clone();
        let words: Vec<&str> = start.split([' ', '/']).collect();
        if words.contains(&"early") {
            peer.exactly(EARLY)?;
            peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n")?;
            return peer.until_closed().map(drop);
        }
        let sent = peer.body(head)?;
        let is_whole = sent == content(sent.len());
        let size = words
            .iter()
            .find_map(|word| word.parse().ok())
            .unwrap_or(SMALL);
        let body = content(size);
        let note = format!("X-Sent: {} {is_whole}\r\n", sent.len());
        if words.contains(&"interim") {
            peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3))?;
        }
        if words.contains(&"chunked") {
            peer.say(format!(
                "HTTP/1.1 200 OK\r\n{note}Transfer-Encoding: chunked\r\n\r\n"
            ))?;
            peer.say(chunked(&body))?;
        } else if words.contains(&"close") {
            peer.say(format!(
                "HTTP/1.1 200 OK\r\n{note}Connection: close\r\n\r\n"
            ))?;
            peer.say(&body)?;
            peer.close();
            return Ok(());
        } else {
            // Head and body apart, as servers of files have them.
            peer.say(format!(
                "HTTP/1.1 200 OK\r\n{note}Content-Length: {size}\r\n\r\n"
            ))?;
            peer.say(&body)?;
        }
    }
}

#[track_caller]
fn assert_good(answer: &Message, what: &str, sent: usize, size: usize) {
    assert_eq!(answer.status(), 200, "{what}: {:?}", answer.start);
    assert_eq!(
        answer.field("X-Sent"),
        Some(format!("{sent} true").as_str()),
        "{what}: what came of the upload"
    );
    assert!(
        answer.body == content(size),
        "{what}: {} of {size} bytes, or others",
        answer.body.len()
    );
}

fn kept(mut client: Client, big: usize) {
    for (path, size) in [
        ("/length", SMALL),
        ("/length", big),
        ("/interim/chunked", MIDDLE),
        ("/chunked", SMALL),
        ("/close", MIDDLE),
        ("/interim", 0),
    ] {
        let line = format!("GET {path}/{size}");
        client.request(&line, &[AUTH]);
        let mut answer = client.answer();
        while answer.status() == 103 {
            answer = client.answer();
        }
        assert_good(&answer, &line, 0, size);
    }
    for (size, by_chunks) in [(SMALL, false), (MIDDLE, true), (big, false), (SMALL, true)] {
        let what = format!("PUT {size} {by_chunks}");
        let body = content(size);
        match by_chunks {
            true => client.request_with(
                "PUT /length/9",
                &[AUTH, "Transfer-Encoding: chunked"],
                &chunked(&body),
            ),
            false => {
                let length = format!("Content-Length: {size}");
                client.request_with("PUT /length/9", &[AUTH, &length], &body);
            }
        }
        assert_good(&client.answer(), &what, size, 9);
    }
    let length = format!("Content-Length: {MIDDLE}");
    client.request("PUT /length/5", &[AUTH, &length, "Expect: 100-continue"]);
    assert_eq!(client.answer().status(), 100);
    client.send(content(MIDDLE));
    assert_good(&client.answer(), "100-continue", MIDDLE, 5);

    // One behind the other in one write, with bodies and without.
    let host = client.host.clone();
    let mut all = Vec::new();
    for _ in 0..20 {
        let head = format!("PUT /length/{SMALL} HTTP/1.1\r\nHost: {host}\r\n{AUTH}\r\n");
        all.extend_from_slice(format!("{head}Content-Length: {SMALL}\r\n\r\n").as_bytes());
        all.extend_from_slice(&content(SMALL));
        let get = format!("GET /chunked/{CHUNK} HTTP/1.1\r\nHost: {host}\r\n");
        all.extend_from_slice(format!("{get}{AUTH}\r\n\r\n{get}\r\n").as_bytes());
    }
    client.send(all);
    for _ in 0..20 {
        assert_good(&client.answer(), "pipelined PUT", SMALL, SMALL);
        assert_good(&client.answer(), "pipelined GET", 0, CHUNK);
        assert_eq!(client.answer().status(), 401, "pipelined, no password");
    }
    client.assert_open();
}

fn closing(connect: impl Fn() -> Client) {
    for path in ["/chunked", "/close", "/length"] {
        let mut client = connect();
        let line = format!("GET {path}/{MIDDLE} HTTP/1.0\r\n{AUTH}\r\n\r\n");
        client.send(&line);
        let answer = client.answer();
        assert_good(&answer, &line, 0, MIDDLE);
        assert_eq!(client.rest(), (Vec::new(), End::Clean), "{line}");
    }
    // Answered before it was all sent.
    let mut client = connect();
    let length = format!("Content-Length: {BIG}");
    client.request_with("PUT /early", &[AUTH, &length], &content(2 * EARLY));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "big\n"));
    assert_eq!(client.rest(), (Vec::new(), End::Clean), "early");
    // Refused, and told so although the client has said its last.
    let mut client = connect();
    let length = format!("Content-Length: {BIG}");
    client.request_with("PUT /refused", &[&length], b"hello");
    client.half_close();
    assert_eq!(client.answer().status(), 401);
    assert_eq!(client.rest(), (Vec::new(), End::Clean), "half-closed");
    // Refused, with a body behind it that is skipped.
    let mut client = connect();
    let length = format!("Content-Length: {CHUNK}");
    client.request_with("PUT /refused", &[&length], &content(CHUNK));
    assert_eq!(client.answer().status(), 401);
    client.request_with(
        "PUT /refused",
        &["Transfer-Encoding: chunked"],
        &chunked(&content(SMALL)),
    );
    assert_eq!(client.answer().status(), 401);
    client.assert_open();
}

fn try_seed(seed: u64) {
    let by_tls = seed % 4 < 2;
    let backend = match by_tls {
        true => Backend::script_tls(answer),
        false => Backend::script(answer),
    };
    let dir = Dir::new();
    let ca = dir.file("backend-ca.crt", backend.ca.as_deref().unwrap_or_default());
    let mut args = vec!["--backend", backend.url()];
    if by_tls {
        args.extend(["--backend-ca", &ca]);
    }
    let gate = Gate::start_with(dir, &[(VARIABLE, &seed.to_string())], &args);
    // Half of the seeds have much more of small steps than a big body has time for.
    let big = match seed % 2 {
        0 => BIG,
        _ => MIDDLE + BIG / 8,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| kept(gate.http(), big));
        scope.spawn(|| kept(gate.https(), big));
        scope.spawn(|| closing(|| gate.http()));
        scope.spawn(|| closing(|| gate.https()));
    });
    let messages = gate.messages.all();
    let told = format!("{VARIABLE}={seed},");
    assert!(
        messages.iter().any(|line| line.contains(&told)),
        "no step of this program stops early: {messages:#?}"
    );
    let bug = messages.iter().find(|line| line.contains("bug"));
    assert_eq!(bug, None);
}

#[test]
fn whatever_stops_early_is_gone_on_with_and_no_byte_is_lost() {
    let asked = std::env::var(VARIABLE).ok();
    let seeds: BTreeSet<u64> = match asked.and_then(|seed| seed.parse().ok()) {
        Some(seed) => [seed].into(),
        None => {
            let first = u64::from(std::process::id()) * SEEDS;
            (first..first + SEEDS).collect()
        }
    };
    println!("seeds {seeds:?}");
    let begun = Instant::now();
    let lane = |lane: u64| {
        let mine = seeds.iter().filter(|seed| *seed % LANES == lane);
        let mut done = 0;
        for seed in mine.take_while(|_| begun.elapsed() < LATEST) {
            let tried = std::panic::catch_unwind(|| try_seed(*seed));
            assert!(
                tried.is_ok(),
                "to see it again: {VARIABLE}={seed} cargo test --test program early_stops"
            );
            done += 1;
        }
        done
    };
    let done: usize = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|each| scope.spawn(move || lane(each)))
            .collect();
        lanes.into_iter().map(|each| each.join().unwrap()).sum()
    });
    println!("{done} seeds in {:?}", begun.elapsed());
    assert!(done >= LEAST.min(seeds.len()), "only {done} seeds");
}
