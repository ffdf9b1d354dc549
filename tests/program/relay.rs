//! The relay at work: bodies unchanged, bytes that must not wait, many requests at once, and who is said to have asked.

use crate::support::backend::sha256;
use crate::support::{AUTH, Backend, Client, Gate};
use std::io::Write;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gate before this backend.
fn before(backend: &Backend) -> Gate {
    Gate::start(&["--backend", backend.url()])
}

#[test]
fn large_bodies_go_both_ways_unchanged() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            let chunked = request.framing == crate::support::Framing::Chunked;
            let head = if chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", request.body.len())
            };
            peer.say(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"))?;
            if chunked {
                for part in request.body.chunks(100_001) {
                    peer.say([format!("{:X}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())?;
                }
                peer.say("0\r\n\r\n")?;
            } else {
                peer.say(&request.body)?;
            }
        }
        Ok(())
    });
    let gate = before(&backend);
    let body: Vec<u8> = (0..5_000_011_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for mut client in gate.both() {
        client.request_with(
            "PUT /a",
            &[AUTH, &format!("Content-Length: {}", body.len())],
            &body,
        );
        assert_eq!(sha256(&client.answer().body), sha256(&body));
        client.request("PUT /b", &[AUTH, "Transfer-Encoding: chunked"]);
        for part in body.chunks(70_001) {
            client.send([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
        }
        client.send("0\r\n\r\n");
        assert_eq!(sha256(&client.answer().body), sha256(&body));
        client.assert_open();
    }
    // Each client's loop keeps its own.
    assert!(backend.connections() <= 2);
}

#[test]
fn a_byte_of_an_answer_does_not_wait_for_the_next() {
    for (head, framed) in [
        ("Content-Length: 20", false),
        ("Transfer-Encoding: chunked", true),
        ("X-Until: close", true),
    ] {
        let backend = Backend::script(move |mut peer| {
            peer.request()?;
            peer.say(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"))?;
            for letter in b'a'..b'a' + 20 {
                peer.pause()?;
                let byte = char::from(letter);
                peer.say(if head.starts_with("Transfer") {
                    format!("1\r\n{byte}\r\n")
                } else {
                    byte.to_string()
                })?;
            }
            if head.starts_with("Transfer") {
                peer.say("0\r\n\r\n")?;
            }
            Ok(())
        });
        let gate = before(&backend);
        for mut client in gate.both() {
            client.request("GET /", &[AUTH]);
            client.answer_head();
            for letter in b'a'..b'a' + 20 {
                // The next byte is sent only when this one has arrived, so that one held back ends in a failure.
                backend.go();
                let got = client.exactly(if framed { 6 } else { 1 });
                assert!(
                    got.contains(&letter),
                    "{:?}",
                    crate::support::readable(&got)
                );
            }
        }
    }
}

#[test]
fn a_byte_of_an_upload_does_not_wait_for_the_next() {
    for (framing, tls) in [
        ("Content-Length: 20", false),
        ("Content-Length: 20", true),
        ("Transfer-Encoding: chunked", false),
        ("Transfer-Encoding: chunked", true),
    ] {
        let chunked = framing.starts_with("Transfer");
        // A chunk of one byte is six bytes on the wire, and the last chunk five.
        let (each, last) = if chunked { (6, 5) } else { (1, 0) };
        let backend = Backend::script(move |mut peer| {
            peer.head()?;
            for _ in 0..20 {
                peer.exactly(each)?;
            }
            peer.exactly(last)?;
            peer.say(OK)?;
            peer.until_closed().map(drop)
        });
        let gate = before(&backend);
        let mut client = if tls { gate.https() } else { gate.http() };
        client.request("PUT /", &[AUTH, framing]);
        let head = backend
            .wait_for_bytes(0, |bytes| bytes.ends_with(b"\r\n\r\n"))
            .len();
        for count in 1..=20 {
            // The next byte is sent only when this one has arrived.
            client.send(if chunked { "1\r\nx\r\n" } else { "x" });
            backend.wait_for_bytes(0, |bytes| bytes.len() >= head + count * each);
        }
        client.send(if chunked { "0\r\n\r\n" } else { "" });
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn what_a_trusted_proxy_says_is_believed_and_what_others_say_is_not() {
    let forwarded = [
        "X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: outside.example:8443",
    ];
    let fields = [AUTH, forwarded[0], forwarded[1], forwarded[2]];
    let seen = |args: &[&str], fields: &[&str]| {
        let backend = Backend::echo();
        let mut all = vec!["--backend", backend.url()];
        all.extend(args);
        let gate = Gate::start(&all);
        assert_eq!(gate.http().ask("GET /", fields).status(), 200);
        let line = gate.log.wait_for_text("GET /");
        (backend.wait_for_request(0), line)
    };
    let (request, line) = seen(&[], &fields);
    assert_eq!(request.field("X-Real-IP"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("http"));
    assert!(line.contains(" 127.0.0.1 "), "{line}");

    let trusted = [
        "--trusted-proxy",
        "127.0.0.0/8",
        "--trusted-proxy=10.0.0.0/8",
    ];
    let (request, line) = seen(&trusted, &fields);
    assert_eq!(
        request.field("X-Real-IP"),
        Some("198.51.100.7"),
        "the rightmost that is not trusted"
    );
    assert!(
        request
            .field("X-Forwarded-For")
            .unwrap()
            .contains("198.51.100.7")
    );
    assert_eq!(request.field("X-Forwarded-Proto"), Some("https"));
    assert_eq!(
        request.field("X-Forwarded-Host"),
        Some("outside.example:8443")
    );
    assert!(line.contains(" 198.51.100.7 "), "{line}");

    let (request, _) = seen(&trusted, &[AUTH, "X-Real-IP: 198.51.100.8"]);
    assert_eq!(request.field("X-Real-IP"), Some("198.51.100.8"));
    let (request, _) = seen(&trusted, &[AUTH, "X-Forwarded-For: nonsense, 1.2.3.4.5"]);
    assert_eq!(request.field("X-Real-IP"), Some("127.0.0.1"));
    let (request, _) = seen(&["--trusted-proxy", "10.0.0.0/8"], &fields);
    assert_eq!(
        request.field("X-Real-IP"),
        Some("127.0.0.1"),
        "another proxy than the one that is trusted"
    );
}

#[test]
fn a_byte_that_is_no_text_makes_nobody_believe_the_client_behind_a_trusted_proxy() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--trusted-proxy", "127.0.0.0/8"]);
    // What the client wrote, with what the proxy added to it, or not; and who it is then.
    for (number, (list, address)) in [
        (&b"\xff, 198.51.100.9"[..], "198.51.100.9"),
        (b"\xff\r\nX-Forwarded-For: 198.51.100.9", "198.51.100.9"),
        (b"198.51.100.9, \xff", "127.0.0.1"),
        (b"\xff", "127.0.0.1"),
        (b"", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = gate.http();
        client.send(format!(
            "GET /{number} HTTP/1.1\r\nHost: a\r\n{AUTH}\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-For: "
        ));
        client.send([list, b"\r\n\r\n"].concat());
        assert_eq!(client.answer().status(), 200);
        let request = backend.wait_for_request(number);
        let shown = list.escape_ascii();
        assert_eq!(request.field("X-Real-IP"), Some(address), "{shown}");
        let line = gate.log.wait_for_text(&format!("\"GET /{number}\""));
        assert!(line.contains(&format!(" {address} alice ")), "{line}");
    }
}

#[test]
fn a_v4_mapped_peer_is_its_ipv4_address() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--listen",
        "http://[::]:0",
        "--insecure-http",
        "--backend",
        backend.url(),
        "--trusted-proxy",
        "127.0.0.0/8",
    ]);
    let port = gate
        .authority("http")
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let mut client = Client::clear(&format!("127.0.0.1:{port}"));
    assert_eq!(client.ask("GET /one", &[AUTH]).status(), 200);
    assert_eq!(
        backend.wait_for_request(0).field("X-Real-IP"),
        Some("127.0.0.1")
    );
    assert!(gate.log.wait_for_text("/one").contains(" 127.0.0.1 "));
    assert_eq!(
        client
            .ask("GET /two", &[AUTH, "X-Forwarded-For: ::ffff:198.51.100.7"])
            .status(),
        200
    );
    assert_eq!(
        backend.wait_for_request(1).field("X-Real-IP"),
        Some("198.51.100.7")
    );
}

#[test]
fn more_requests_than_workers_are_all_served() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "2"]);
    std::thread::scope(|scope| {
        for number in 0..12 {
            let gate = &gate;
            scope.spawn(move || {
                let mut client = if number % 2 == 0 {
                    gate.http()
                } else {
                    gate.https()
                };
                for _ in 0..5 {
                    assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
                }
            });
        }
    });
}

#[test]
fn idle_connections_hold_no_worker() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "2"]);
    let mut idle: Vec<Client> = (0..8).flat_map(|_| gate.both()).collect();
    for client in &mut idle {
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
    let mut half: Vec<Client> = (0..8).flat_map(|_| gate.both()).collect();
    for client in &mut half {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    assert_eq!(gate.https().ask("GET /", &[AUTH]).status(), 200);
    for client in &mut idle {
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
    for client in &mut half {
        client.send(format!("st: x\r\n{AUTH}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn pipelined_requests_behind_an_upload_are_each_answered() {
    let backend = Backend::echo();
    let gate = before(&backend);
    for mut client in gate.both() {
        let mut all = Vec::new();
        let host = client.host.clone();
        for number in 0..30 {
            write!(
                all,
                "PUT /{number} HTTP/1.1\r\nHost: {host}\r\n{AUTH}\r\nContent-Length: 3\r\n\r\nabc"
            )
            .unwrap();
        }
        client.send(&all);
        for number in 0..30 {
            let answer = client.answer();
            assert!(
                answer
                    .text()
                    .starts_with(&format!("PUT /{number} HTTP/1.1\n")),
                "{}",
                answer.text()
            );
        }
        client.assert_open();
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read() {
    let backend = Backend::echo();
    let gate = before(&backend);
    for mut client in gate.both() {
        let head = format!(
            "GET /slow HTTP/1.1\r\nHost: {}\r\n{AUTH}\r\n\r\n",
            client.host
        );
        for byte in head.bytes() {
            client.send([byte]);
        }
        assert_eq!(client.answer().status(), 200);
    }
}
