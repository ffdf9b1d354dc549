//! The limits that are there so that nobody can take everything: connections, turns, checks, and the patience with those
//! who drip or stay. Who is over one is told, or goes; who is not is served as ever.

use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, PATIENCE, basic, readable};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// A client whose request is answered; `None` where the gate has no room, and closes without a word.
fn tries(mut client: Client) -> Option<Client> {
    let host = client.host.clone();
    let request = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n{AUTH}\r\n\r\n");
    client.try_send(request).ok()?;
    match client.try_answer(false) {
        Ok(Some(answer)) => {
            assert_eq!(answer.status(), 200, "{}", readable(&answer.raw));
            Some(client)
        }
        Ok(None) => None,
        Err(error) if error.kind() == ErrorKind::TimedOut => panic!("neither answered nor closed"),
        Err(_) => None,
    }
}

/// Somebody new, once there is room.
fn newcomer(connect: impl Fn() -> Client) -> Client {
    let begin = Instant::now();
    loop {
        if let Some(client) = tries(connect()) {
            return client;
        }
        assert!(begin.elapsed() < PATIENCE, "there never was room");
    }
}

fn assert_served(client: &mut Client) {
    assert_eq!(client.ask("GET /a", &[AUTH]).status(), 200);
}

/// Has this one ask for long enough that all others have come to rest.
fn keep_busy(client: &mut Client) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(200) {
        assert_served(client);
    }
}

/// The answer of a gate that has no room: a status, when to come again, and an OCI error.
fn assert_overloaded(answer: &Message) {
    assert_eq!(answer.status(), 503, "{}", readable(&answer.raw));
    assert_eq!(answer.field("Retry-After"), Some("1"));
    assert!(!answer.has("WWW-Authenticate"));
    answer.assert_oci("UNAVAILABLE");
}

#[test]
fn where_there_is_no_room_strangers_leave_first_and_then_whoever_was_idle_longest() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--max-connections", "4"]);
    let mut oldest = gate.http();
    assert_served(&mut oldest);
    let mut older = gate.http();
    assert_served(&mut older);
    let mut stranger = gate.http();
    let mut busy = gate.http();
    keep_busy(&mut busy);

    let mut fifth = newcomer(|| gate.http());
    stranger.assert_closed();
    keep_busy(&mut fifth);
    let mut sixth = newcomer(|| gate.http());
    oldest.assert_closed();
    for client in [&mut older, &mut busy, &mut fifth, &mut sixth] {
        assert_served(client);
    }
}

#[test]
fn who_was_never_let_in_is_a_stranger_however_much_they_said() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--max-connections", "2"]);
    let mut known = gate.http();
    for said in [
        "",
        "GET / HTTP/1.1\r\nHost: ",
        "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stranger = gate.http();
        stranger.send(said);
        if said.ends_with("\r\n\r\n") {
            assert_eq!(stranger.answer().status(), 401);
        }
        keep_busy(&mut known);
        drop(newcomer(|| gate.http()));
        stranger.assert_closed();
        assert_served(&mut known);
    }
}

#[test]
fn where_everybody_is_busy_a_newcomer_is_closed_and_nobody_is_cut() {
    let backend = Backend::script(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.pause()?;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url(), "--max-connections", "2"]);
    let mut busy = [gate.http(), gate.http()];
    for (number, client) in busy.iter_mut().enumerate() {
        client.request("GET /", &[AUTH]);
        backend.wait_for_request(number);
    }
    for _ in 0..2 {
        assert!(tries(gate.http()).is_none(), "there was room");
    }
    // Whose script waits first is left to chance.
    busy.iter().for_each(|_| backend.go());
    for client in &mut busy {
        assert_eq!(client.answer().body, b"ok");
    }
}

#[test]
fn one_address_has_its_number_of_strangers_and_as_many_others_as_it_likes() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--max-connections-per-address",
        "2",
    ]);
    // Who was served counts no longer, so that a fleet behind one address gets in.
    let mut fleet = Vec::new();
    for _ in 0..6 {
        fleet.push(newcomer(|| gate.http()));
    }
    let mut other = Client::clear_from([127, 0, 0, 2], gate.authority("http"));
    let silent: Vec<Client> = (0..4).map(|_| gate.http()).collect();
    // One more makes room for itself, whoever has to leave for it.
    let mut next = newcomer(|| gate.http());
    let gone = silent.into_iter().filter_map(|mut client| {
        client.set_patience(Duration::from_millis(500));
        client.try_rest().ok()
    });
    let gone = gone.count();
    assert!(gone >= 2, "{gone} strangers had to leave");
    other.assert_open();
    fleet.iter_mut().for_each(assert_served);
    assert_served(&mut next);
}

#[test]
fn a_trusted_proxy_and_a_limit_of_nothing_have_no_limit_by_address() {
    let backend = Backend::echo();
    for (most, trusted) in [("1", "127.0.0.1/32"), ("0", "127.0.0.9/32")] {
        let gate = Gate::start(&[
            "--backend",
            backend.url(),
            "--max-connections-per-address",
            most,
            "--trusted-proxy",
            trusted,
        ]);
        let mut many: Vec<Client> = (0..20).map(|_| gate.http()).collect();
        many.iter_mut().for_each(assert_served);
    }
}

#[test]
fn who_waits_ten_seconds_for_a_turn_is_told_to_come_again() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        // Until the gate is gone, which is after those have been told who wait for as long as a test is patient.
        peer.socket().set_read_timeout(Some(3 * PATIENCE))?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "1"]);
    let mut slow = gate.http();
    slow.request("GET /slow", &[AUTH]);
    backend.wait_for_request(0);
    let begin = Instant::now();
    let mut waiting = [gate.http(), gate.https()];
    for client in &mut waiting {
        client.set_patience(2 * PATIENCE);
        client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 5"], b"hello");
    }
    for client in &mut waiting {
        assert_overloaded(&client.answer());
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(9900), "{waited:?}");
        client.assert_open();
    }
    assert_eq!(backend.requests().len(), 1, "there is one turn only");
    gate.log.wait_for_text("\"PUT /v2/a\" 503");
}

#[test]
fn a_network_that_wants_more_checks_than_it_may_is_told_to_come_again() {
    // 64 wait, and one or a few are checked.
    const AT_ONCE: usize = 90;
    let backend = Backend::echo();
    // A check costs what the second user's hash costs, some tenths of a second.
    let dir = Dir::new();
    let users = dir.file(
        "users",
        "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nslow:$2y$12$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n",
    );
    let gate = Gate::start_in(dir, &["--htpasswd", &users, "--backend", backend.url()]);
    let mut all: Vec<Client> = (0..AT_ONCE).map(|_| gate.http()).collect();
    for (number, client) in all.iter_mut().enumerate() {
        let auth = basic(b"alice", number.to_string().as_bytes());
        client.request_with("PUT /v2/a", &[&auth, "Content-Length: 5"], b"hello");
    }
    let mut sent_away = 0;
    for client in &mut all {
        let answer = client.answer();
        match answer.status() {
            // Ten of them are guesses, and then nobody looks.
            401 | 429 => {}
            _ => {
                assert_overloaded(&answer);
                sent_away += 1;
            }
        }
        // The body that came with it is read, and taken for no request.
        client.assert_open();
    }
    assert!(sent_away > 0, "everybody was checked");
    backend.assert_untouched();
    let mut other = Client::clear_from([127, 0, 0, 2], gate.authority("http"));
    assert_served(&mut other);
}

/// Sends a byte now and then, as a head that never ends, until the gate ends the connection. When that was.
fn drip(client: &mut Client) -> Duration {
    let begin = Instant::now();
    client.send("GET /a HTTP/1.1\r\nHost: x\r\nX-Drip: ");
    client.set_patience(Duration::from_millis(50));
    loop {
        match client.try_rest() {
            // Perhaps with a reset, where a byte came at the same time.
            Ok((said, _)) => {
                assert!(said.is_empty(), "{}", readable(&said));
                return begin.elapsed();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
        }
        assert!(begin.elapsed() < PATIENCE, "it may drip for ever");
        let _ = client.try_send("x");
    }
}

#[test]
fn a_head_that_drips_has_the_header_time_out_in_all() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--header-timeout", "1"]);
    for is_kept in [false, true] {
        for is_tls in [false, true] {
            let mut client = if is_tls { gate.https() } else { gate.http() };
            if is_kept {
                assert_served(&mut client);
            }
            let after = drip(&mut client);
            assert!(after < Duration::from_secs(5), "{after:?}");
            // The handshake counts too, so that only a later head has all of it.
            assert!(!is_kept || after >= Duration::from_millis(900), "{after:?}");
        }
    }
    backend.wait_for_request(1);
    assert_eq!(
        backend.requests().len(),
        2,
        "a head that never ended went on"
    );
}

#[test]
fn refused_chunks_that_drip_do_not_hold_their_connection() {
    const SIZE: usize = 2000;
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let mut client = gate.http();
    let head = format!("Transfer-Encoding: chunked\r\n\r\n{SIZE:x}");
    client.request("PUT /v2/a", &[&head]);
    assert_eq!(client.answer().status(), 401);
    client.set_patience(Duration::from_millis(1));
    // All of it would be read if it came at once; only the number of pieces is too much.
    let ended = (10..SIZE).any(|_| {
        let _ = client.try_send("x");
        client.try_rest().is_ok()
    });
    assert!(ended, "it was read to its end");
}

/// A gate on a Unix socket, where both ends of a connection can be told apart, and that socket's path.
fn on_a_unix_socket() -> (Gate, String) {
    let dir = Dir::new();
    let path = dir.path("gate.sock");
    let listen = format!("unix:{path}");
    let args = ["--listen", &listen, "--backend", "http://127.0.0.1:5000"];
    (Gate::start_in(dir, &args), path)
}

/// Somebody who was told no, and may still be sending.
fn refused(path: &str) -> Client {
    let mut client = Client::unix(path);
    client.request_with("PUT /v2/a", &["Content-Length: 100000000"], b"x");
    assert_eq!(client.answer().status(), 401);
    client.assert_closed();
    client
}

#[test]
fn who_was_refused_and_falls_silent_is_given_up_after_five_seconds() {
    let (_gate, path) = on_a_unix_socket();
    let begin = Instant::now();
    let silent = refused(&path);
    let mut sending = refused(&path);
    assert!(!sending.is_given_up(Duration::from_secs(3)));
    sending.send("x");
    assert!(silent.is_given_up(PATIENCE), "it may stay for ever");
    let after = begin.elapsed();
    assert!(after >= Duration::from_millis(4900), "{after:?}");
    // The other one's silence began later.
    assert!(!sending.is_given_up(Duration::from_secs(1)));
    assert!(sending.is_given_up(PATIENCE), "it may stay for ever");
}

#[test]
fn the_first_of_too_many_who_were_refused_is_given_up_for_the_last() {
    const MOST: usize = 1024;
    let (_gate, path) = on_a_unix_socket();
    let mut first = refused(&path);
    let mut all = vec![refused(&path)];
    // While it sends it is not given up for its silence.
    while all.len() + 1 < MOST {
        all.push(refused(&path));
        if all.len() % 50 == 0 {
            first.send("x");
            all[0].send("x");
        }
    }
    assert!(!first.is_given_up(Duration::ZERO));
    first.send("x");
    let last = refused(&path);
    assert!(first.is_given_up(Duration::from_secs(4)), "no limit");
    assert!(!all[0].is_given_up(Duration::ZERO));
    assert!(!last.is_given_up(Duration::ZERO));
}
