//! A request that its backend has not answered yet holds no thread, and comes to its proper end whatever happens meanwhile.
//! And whoever waits, for whatever, keeps nobody else waiting.

use crate::support::api::{answer, api, gate};
use crate::support::certificates::{Ca, server};
use crate::support::{AUTH, Backend, Client, Dir, Gate};
use rustls::ServerConnection;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_hundred_that_await_their_backend_hold_no_thread_and_are_all_answered() {
    let backend = Backend::slow_where_asked();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut clients: Vec<Client> = (0..100)
        .map(|number| match number % 2 {
            0 => gate.http(),
            _ => gate.https(),
        })
        .collect();
    // From then on the password is remembered, and nobody waits for a check.
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    for (number, client) in clients.iter_mut().enumerate() {
        client.request(&format!("GET /slow/{number}"), &[AUTH]);
        // One after the other: whoever connects to the backend does hold a thread.
        backend.wait_for_request(number + 1);
    }
    let threads = gate.threads();
    assert!(threads < 50, "{threads} threads");
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    for _ in &clients {
        backend.go();
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
        client.assert_open();
    }
}

#[test]
fn the_only_turn_comes_back_however_an_awaited_request_ends() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            if request.start.contains(" /hangs-up ") {
                return Ok(());
            }
            if !request.start.contains(" /silent ") {
                peer.say(OK)?;
            }
        }
        Ok(())
    });
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--max-requests",
        "1",
        "--response-timeout",
        "1",
    ]);
    for round in 0..2 {
        let mut gone = gate.http();
        gone.request("GET /silent", &[AUTH]);
        backend.wait_for_request(round * 4);
        gone.reset();
        gate.log.wait_for_text(" 499 ");
        let mut client = gate.http();
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
        assert_eq!(client.ask("GET /silent", &[AUTH]).status(), 504);
        assert_eq!(
            client
                .ask("PUT /hangs-up", &[AUTH, "Content-Length: 0"])
                .status(),
            502
        );
    }
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
}

#[test]
fn a_client_that_has_said_all_and_one_that_says_more_get_their_answers() {
    let backend = Backend::slow_where_asked();
    let gate = Gate::start(&["--backend", backend.url()]);
    for mut client in [gate.http(), gate.https()] {
        client.request("GET /slow", &[AUTH]);
        backend.wait_for_request(backend.requests().len());
        client.request("GET /next", &[AUTH]);
        client.request("GET /last", &[AUTH]);
        client.half_close();
        backend.go();
        for _ in 0..3 {
            assert_eq!(client.answer().text(), "ok");
        }
        client.assert_closed();
    }
}

#[test]
fn who_is_being_served_does_not_leave_for_newcomers() {
    let backend = Backend::slow_where_asked();
    let api = api(|_| answer("200 OK", &[]));
    let gate = gate(&api, &backend, &["--max-connections", "2"]);
    let mut served: Vec<Client> = (0..2).map(|_| gate.http()).collect();
    for client in &mut served {
        client.request("GET /slow", &[]);
    }
    backend.wait_for_request(1);
    gate.http().assert_closed();
    for _ in &served {
        backend.go();
    }
    for client in &mut served {
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn bodies_that_stand_still_keep_nobody_waiting() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            if request.start.contains(" /endless ") {
                peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let piece = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
                loop {
                    peer.say(&piece)?;
                }
            }
            peer.say(OK)?;
        }
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let more_than_processors = 4 * std::thread::available_parallelism().unwrap().get();
    let mut standing = Vec::new();
    for number in 0..more_than_processors {
        for mut client in [gate.http(), gate.https()] {
            match number % 2 {
                0 => client.request("GET /endless", &[AUTH]),
                _ => client.request("PUT /", &[AUTH, "Content-Length: 9999999"]),
            }
            standing.push(client);
        }
    }
    let mut client = gate.https();
    client.set_patience(Duration::from_secs(5));
    for _ in 0..50 {
        assert_eq!(client.ask("GET /", &[AUTH]).text(), "ok");
    }
    assert_eq!(gate.http().ask("GET /", &[]).status(), 401);
}

#[test]
fn an_answer_that_came_with_the_handshake_of_the_backend_is_not_waited_for() {
    let ca = Ca::new();
    let mut config = (*server(&ca.sign(&["127.0.0.1"]))).clone();
    config.send_half_rtt_data = true;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let backend = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        while !session.wants_write() {
            session.read_tls(&mut stream).unwrap();
            session.process_new_packets().unwrap();
        }
        let busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        session.writer().write_all(busy).unwrap();
        let mut flight = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut flight).unwrap();
        }
        stream.write_all(&flight).unwrap();
        // It goes on listening, and says nothing more.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let dir = Dir::new();
    let ca = dir.file("ca.pem", ca.pem());
    let gate = Gate::start(&["--backend", &url, "--backend-ca", &ca]);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 503);
    gate.terminate();
    backend.join().unwrap();
}

#[test]
fn strangers_who_pipeline_without_end_keep_nobody_waiting() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "2"]);
    let mut known = gate.http();
    assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
    let more_than_processors = 2 + std::thread::available_parallelism().unwrap().get();
    let asked = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let floods: Vec<_> = (0..more_than_processors)
        .map(|_| Flood::start(&gate, asked.clone()))
        .collect();
    for flood in &floods {
        flood.await_answers();
    }
    for _ in 0..20 {
        assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
    }
    let mut other = gate.https();
    assert_eq!(other.ask("GET /", &[AUTH]).status(), 200);
    for flood in floods {
        flood.end();
    }
}

/// Somebody who always has another request on its way, and takes what is answered.
struct Flood {
    stream: TcpStream,
    taken: Arc<AtomicUsize>,
    threads: [JoinHandle<()>; 2],
}

impl Flood {
    fn start(gate: &Gate, asked: String) -> Flood {
        let stream = TcpStream::connect(gate.authority("http")).unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let (mut to, mut from) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let count = Arc::clone(&taken);
        let threads = [
            std::thread::spawn(move || while to.write_all(asked.as_bytes()).is_ok() {}),
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    count.fetch_add(read, Ordering::Release);
                }
            }),
        ];
        Flood {
            stream,
            taken,
            threads,
        }
    }

    /// Until many were answered.
    fn await_answers(&self) {
        let begun = Instant::now();
        while self.taken.load(Ordering::Acquire) < 1 << 18 {
            assert!(begun.elapsed() < crate::support::PATIENCE, "no answers");
            std::thread::yield_now();
        }
    }

    fn end(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
