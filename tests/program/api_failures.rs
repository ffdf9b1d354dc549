//! The external auth API when it is odd, slow, gone or back: nobody gets in by it, and nobody waits long.

use crate::support::acceptor::{Deaf, Refusing};
use crate::support::api::{
    MAX_AGE, answer, api, gate, gate_at, lines_about_the_api, only_alice, serve,
};
use crate::support::certificates::Ca;
use crate::support::{AUTH, Backend, Dir, basic};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// What an API says that is no decision, and a word of the line that tells so.
const ODDITIES: [(&str, &str); 12] = [
    (
        "HTTP/1.1 302 Found\r\nLocation: http://login/x?secret\r\nContent-Length: 0\r\n\r\n",
        "a redirect to \"http://login/x…\"",
    ),
    (
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        "answered 404",
    ),
    (
        "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nabc",
        "answered 500",
    ),
    ("HTTP/1.1 304 No\r\n\r\n", "answered 304"),
    (
        "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        "101",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        "over 65536",
    ),
    ("HTTP/1.1 200 OK\r\n\r\n", "over 65536"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "not proper HTTP",
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "not proper HTTP"),
    ("HTTP/1.1 200 OK\r\nX: ", "a head over"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc<close>",
        "closed the connection",
    ),
    ("<close>", "closed the connection without an answer"),
];

#[test]
fn what_is_no_decision_lets_nobody_in_and_is_said_in_one_line() {
    for (said, word) in ODDITIES {
        let api = Backend::script(move |mut peer| {
            while peer.try_request()?.is_some() {
                match said.strip_suffix("<close>") {
                    Some(said) => {
                        peer.say(said)?;
                        return Ok(());
                    }
                    None => peer.say(said)?,
                }
                // Endless, in a head or a body.
                if word.contains("over") {
                    while peer.say("y".repeat(1024)).is_ok() {}
                    return Ok(());
                }
            }
            Ok(())
        });
        let backend = Backend::echo();
        let gate = gate(&api, &backend, &[]);
        let answer = gate.https().ask("GET /v2/", &[AUTH]);
        assert_eq!(answer.status(), 503, "{said:?}");
        answer.assert_oci("UNAVAILABLE");
        assert_eq!(answer.field("Retry-After"), Some("1"));
        gate.messages.wait_for_text("auth-backend");
        let lines = lines_about_the_api(&gate);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(word), "{word}: {lines:?}");
        assert!(!lines[0].contains("secret"));
        let access = gate.log.wait_for_text("\"GET /v2/\" 503");
        assert!(access.contains("note=\"auth-backend: "), "{access}");
        backend.assert_untouched();
    }
}

#[test]
fn an_api_that_nobody_can_reach_or_trust_lets_nobody_in() {
    let (refusing, deaf, silent) = (
        Refusing::new(),
        Deaf::new(),
        Backend::script(|mut peer| peer.until_closed().map(drop)),
    );
    let tls = Backend::script_tls(serve(|_| answer("200 OK", &[])));
    let clear = clear_server();
    let (dir, other) = (Dir::new(), Ca::new());
    let ca = dir.file("ca.pem", other.pem());
    let untrusted: &[&str] = &["--auth-ca", &ca];
    for (url, more, word) in [
        (
            format!("http://{}", refusing.authority),
            &[][..],
            "connection refused",
        ),
        (
            format!("http://{}", deaf.authority),
            &[],
            "no answer in time",
        ),
        (silent.url().to_owned(), &[], "no answer in time"),
        (
            tls.url().to_owned(),
            untrusted,
            "that has by --auth-ca FILE",
        ),
        (
            clear.url().replace("http", "https"),
            untrusted,
            "write http:// if it is meant",
        ),
        (tls.url().replace("https", "http"), &[], "not proper HTTP"),
        (
            silent.url().replace("http", "https"),
            untrusted,
            "no answer in time",
        ),
        ("http://no-such-name.invalid".to_owned(), &[], ""),
    ] {
        let backend = Backend::echo();
        let mut args = vec!["--auth-timeout", "1"];
        args.extend(more);
        let gate = gate_at(&url, &backend, &args);
        let begun = Instant::now();
        assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 503, "{url}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{url}");
        gate.messages.wait_for_text("auth-backend");
        let lines = lines_about_the_api(&gate);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(word), "{word}: {lines:?}");
        backend.assert_untouched();
    }
}

#[test]
fn an_api_with_a_certificate_that_can_be_trusted_is_asked_by_tls() {
    let api = Backend::script_tls(serve(|request| only_alice(request, &[])));
    let (dir, backend) = (Dir::new(), Backend::echo());
    let ca = dir.file("ca.pem", api.ca.as_ref().unwrap());
    let gate = gate(&api, &backend, &["--auth-ca", &ca]);
    let mut client = gate.http();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
        assert_eq!(client.ask("GET /", &[]).status(), 401);
    }
    assert_eq!(api.connections(), 1, "connections are kept");
}

#[test]
fn a_kept_connection_that_the_api_has_closed_costs_nobody_anything() {
    let api = Backend::script(|mut peer| {
        peer.request()?;
        peer.say(answer("200 OK", &[]))
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    let mut client = gate.http();
    for _ in 0..10 {
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
}

#[test]
fn as_many_connections_are_kept_as_there_were_calls_at_once() {
    const CALLS: usize = 24;
    let all = Arc::new(Barrier::new(CALLS));
    let api = api(move |_| {
        all.wait();
        answer("200 OK", &[])
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--workers", "100"]);
    let mut clients: Vec<_> = (0..CALLS).map(|_| gate.http()).collect();
    for _ in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            let user = basic(format!("user-{number}").as_bytes(), b"x");
            client.request("GET /", &[&user]);
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200);
        }
        assert_eq!(api.connections(), CALLS);
    }
}

#[test]
fn an_api_that_drips_has_no_more_time_than_one_that_is_silent() {
    let api = Backend::script(|mut peer| {
        peer.request()?;
        peer.say("HTTP/1.1 200 OK\r\nX: ")?;
        while peer.say("x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--auth-timeout", "1"]);
    let begun = Instant::now();
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 503);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(2),
        "{took:?}"
    );
    backend.assert_untouched();
}

#[test]
fn an_api_that_was_killed_is_left_alone_and_found_again() {
    // Without kept connections, which would outlive it here.
    let mut api = api(|request| only_alice(request, &[MAX_AGE, "Connection: close"]));
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--auth-timeout", "2"]);
    let place = api.acceptor.authority().to_owned();
    let mut known = gate.http();
    assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
    let passed = backend.requests().len();
    api.stop();
    drop(api);

    // A load of people whom nobody remembers, while one who is remembered goes on.
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (gate, told) = (&gate, &told);
            scope.spawn(move || {
                let mut client = gate.http();
                for round in 0..20 {
                    let guess = basic(format!("u{number}-{round}").as_bytes(), b"x");
                    let begun = Instant::now();
                    assert_eq!(client.ask("GET /", &[&guess]).status(), 503);
                    assert!(begun.elapsed() < Duration::from_secs(3));
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
        }
    });
    assert_eq!(told.into_inner(), 160);
    assert_eq!(backend.requests().len(), passed + 20);
    gate.messages.wait_for_text("down; until it answers");

    // Somebody asks all the time; within two seconds of its coming back, it is asked.
    let listener = std::net::TcpListener::bind(&place).unwrap();
    let back = Instant::now();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer("200 OK", &["Connection: close"]).as_bytes());
        }
    });
    let bob = basic(b"bob", b"y");
    let mut client = gate.http();
    while client.ask("GET /", &[&bob]).status() != 200 {
        assert!(
            back.elapsed() < Duration::from_secs(2),
            "it was not found again"
        );
        std::thread::yield_now();
    }
    gate.messages.wait_for_text("answers again");
}

#[test]
fn under_256_who_wait_for_a_hanging_api_a_remembered_one_goes_through_at_once() {
    let api = api(|request| {
        let is_alice = request.field("Authorization") == AUTH.strip_prefix("Authorization: ");
        if is_alice {
            answer("200 OK", &[MAX_AGE])
        } else {
            // Never whole.
            "HTTP/1.1 200 OK\r\n".to_owned()
        }
    });
    let backend = Backend::echo();
    let gate = gate(
        &api,
        &backend,
        &["--auth-timeout", "4", "--max-connections-per-address", "0"],
    );
    let mut known = gate.http();
    assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
    for same in [true, false] {
        let mut waiting: Vec<_> = (0..256).map(|_| gate.http()).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            let number = if same { 0 } else { number };
            let user = basic(format!("{same}-{number}").as_bytes(), b"x");
            client.request("GET /", &[&user]);
        }
        let asked = if same { 1 } else { 2 };
        api.wait_for_request(asked);
        assert!(!same || api.requests().len() == 2, "the same goes out once");
        let begun = Instant::now();
        for _ in 0..10 {
            assert_eq!(known.ask("GET /", &[AUTH]).status(), 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        for client in &mut waiting {
            assert_eq!(client.answer().status(), 503);
        }
        // Whoever has its turn late has the time of a call from then on.
        assert!(begun.elapsed() < Duration::from_secs(9));
    }
    assert_eq!(backend.requests().len(), 1 + 20);
}

/// Answers whatever comes as servers in the clear answer a TLS client.
fn clear_server() -> Backend {
    Backend::script(|mut peer| {
        peer.exactly(1)?;
        peer.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    })
}
