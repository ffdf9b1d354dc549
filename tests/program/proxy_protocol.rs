//! Connections through a balancer, which says with a PROXY header for whom it connects: whom it is believed by, what follows from
//! the address in it, and what happens to all that is no such header.

use crate::support::gate::run;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, PATIENCE, basic, readable};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// This test is the balancer.
const BALANCER: &[&str] = &["--proxy-protocol", "127.0.0.1/32"];
const V4: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 56789 443\r\n";
/// A TLV: an authority.
const MORE: &[u8] = &[2, 0, 3, b'a', b'.', b'b'];

/// A line of version 1 for this client.
fn line(client: &str) -> Vec<u8> {
    let (family, own) = match client.contains(':') {
        true => ("TCP6", "fd00::1"),
        false => ("TCP4", "10.0.0.1"),
    };
    format!("PROXY {family} {client} {own} 56789 443\r\n").into_bytes()
}

/// A header of version 2.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    [&signature[..], &[command, family], &length, block].concat()
}

/// Source, destination and ports of IPv4.
fn addresses(source: [u8; 4]) -> Vec<u8> {
    [&source[..], &[10, 0, 0, 1, 0xdd, 0xd5, 1, 187]].concat()
}

fn gate(backend: &Backend, args: &[&str]) -> Gate {
    Gate::start(&[&["--backend", backend.url()], BALANCER, args].concat())
}

/// A client in the clear whose connection begins with these bytes.
fn announced(gate: &Gate, header: &[u8]) -> Client {
    let mut client = gate.http();
    client.send(header);
    client
}

/// One with TLS, where header and hello come together.
fn announced_by_tls(gate: &Gate, header: &[u8]) -> Client {
    let socket = TcpStream::connect(gate.authority("https")).unwrap();
    Client::tls_behind(header, socket, "localhost", gate.trust()).unwrap()
}

/// Ends a connection that was closed without a word. Whatever lies unread then makes a reset of the end.
#[track_caller]
fn assert_hung_up(client: &mut Client, what: &str) {
    let (said, _) = client.rest();
    assert!(said.is_empty(), "{what}: {}", readable(&said));
}

#[track_caller]
fn assert_from(request: &Message, client: &str) {
    assert_eq!(request.field("X-Forwarded-For"), Some(client));
    assert_eq!(request.field("X-Real-IP"), Some(client));
}

#[test]
fn the_address_in_the_header_is_the_clients_everywhere() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    let v6 = {
        let mut block = [0; 36];
        block[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        block[15] = 7;
        block.to_vec()
    };
    let headers = [
        (V4.to_vec(), "192.0.2.1"),
        (line("2001:db8::7"), "2001:db8::7"),
        (line("::ffff:192.0.2.9"), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN ::1 ::1 1 2\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &addresses([192, 0, 2, 2])), "192.0.2.2"),
        (binary(0x21, 0x21, &v6), "2001:db8::7"),
        (
            binary(
                0x21,
                0x11,
                &[&addresses([192, 0, 2, 3])[..], MORE, MORE].concat(),
            ),
            "192.0.2.3",
        ),
        (
            binary(
                0x21,
                0x11,
                &[addresses([192, 0, 2, 4]), vec![4; 4068]].concat(),
            ),
            "192.0.2.4",
        ),
        (binary(0x21, 0x00, b""), "127.0.0.1"),
        (binary(0x21, 0x31, &[b'/'; 216]), "127.0.0.1"),
        (binary(0x20, 0x00, b""), "127.0.0.1"),
        (binary(0x20, 0x11, &addresses([192, 0, 2, 5])), "127.0.0.1"),
    ];
    let mut asked = 0;
    for (number, (header, client)) in headers.iter().enumerate() {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n\r\n");
        let both = [header, request.as_bytes()].concat();
        for mut connection in [announced(&gate, &both), announced_by_tls(&gate, header)] {
            if asked % 2 == 1 {
                connection.send(&request);
            }
            assert_eq!(connection.answer().status(), 200, "{client}");
            // A header is for the whole connection.
            let path = format!("GET /{number}/again");
            assert_eq!(connection.ask(&path, &[AUTH]).status(), 200);
            assert_from(&backend.wait_for_request(2 * asked), client);
            assert_from(&backend.wait_for_request(2 * asked + 1), client);
            asked += 1;
        }
        let line = gate.log.wait_for_text(&format!("\"GET /{number}\""));
        assert!(line.contains(&format!(" {client} alice ")), "{line}");
    }
}

#[test]
fn a_header_may_come_in_single_bytes() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    for header in [
        V4.to_vec(),
        binary(0x21, 0x11, &[&addresses([192, 0, 2, 1])[..], MORE].concat()),
    ] {
        let mut client = gate.http();
        header.iter().for_each(|byte| client.send([*byte]));
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);

        let mut socket = TcpStream::connect(gate.authority("https")).unwrap();
        socket.set_nodelay(true).unwrap();
        let (last, first) = header.split_last().unwrap();
        first
            .iter()
            .for_each(|byte| socket.write_all(&[*byte]).unwrap());
        let mut client = Client::tls_behind(&[*last], socket, "localhost", gate.trust()).unwrap();
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
    backend.wait_for_request(3);
    for request in backend.requests() {
        assert_from(&request, "192.0.2.1");
    }
}

#[test]
fn steps_that_stop_early_lose_no_byte_of_what_follows_a_header() {
    for seed in 1..=12_u32 {
        let backend = Backend::echo();
        let seed = seed.to_string();
        let args = [&["--backend", backend.url()], BALANCER].concat();
        let gate = Gate::start_with(Dir::new(), &[("EARLY_STOPS", &seed)], &args);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n\r\n");
        for header in [
            V4.to_vec(),
            binary(
                0x21,
                0x11,
                &[addresses([192, 0, 2, 1]), vec![4; 3000]].concat(),
            ),
        ] {
            let mut clear = announced(&gate, &[&header, request.as_bytes()].concat());
            assert_eq!(clear.answer().status(), 200, "seed {seed}");
            let mut dripping = gate.http();
            let (first, last) = header.split_at(header.len() / 2);
            dripping.send(first);
            dripping.send([last, request.as_bytes()].concat());
            assert_eq!(dripping.answer().status(), 200, "seed {seed}");
            let mut tls = announced_by_tls(&gate, &header);
            assert_eq!(tls.ask("GET /", &[AUTH]).status(), 200, "seed {seed}");
        }
        backend.wait_for_request(5);
        for request in backend.requests() {
            assert_from(&request, "192.0.2.1");
        }
    }
}

#[test]
fn what_is_no_header_is_closed_without_an_answer_and_told_once() {
    let backend = Backend::echo();
    let v4 = addresses([192, 0, 2, 1]);
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "no PROXY header"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "no PROXY header",
        ),
        (b"\0", "no PROXY header"),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n", "malformed"),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n", "malformed"),
        (b"PROXY TCP7 192.0.2.1 10.0.0.1 1 2\r\n", "family"),
        (
            &[b"PROXY UNKNOWN ", &[b'x'; 120][..], b"\r\n"].concat(),
            "too long",
        ),
        (&binary(0x21, 0x41, &v4), "family"),
        (&binary(0x21, 0x12, &v4), "family"),
        (&binary(0x31, 0x11, &v4), "version"),
        (&binary(0x23, 0x11, &v4), "command"),
        (&binary(0x21, 0x11, &v4[1..]), "cut short"),
        (&binary(0x21, 0x11, &[4; 4081]), "too long"),
    ] {
        // Two listeners and no TLS: the header comes before it.
        let args = [
            "--listen",
            "http://127.0.0.1:0",
            "--listen",
            "redirect://127.0.0.1:0",
        ];
        let gate = gate(&backend, &args);
        let what = bytes.escape_ascii().to_string();
        assert_hung_up(&mut announced(&gate, bytes), &what);
        let told = gate.messages.wait_for_text("INFO 127.0.0.1: ");
        assert!(told.contains(why), "{what}: {told}");
        assert!(!told.contains("xxx"), "{told}");
        // Many more are closed, and not told.
        for scheme in ["http", "redirect"] {
            let mut another = Client::clear(gate.authority(scheme));
            another.send(bytes);
            assert_hung_up(&mut another, &what);
        }
        let told = gate.messages.all();
        let told = told.iter().filter(|line| line.contains(" 127.0.0.1: "));
        assert_eq!(told.count(), 1, "{what}");
        assert!(gate.log.all().is_empty(), "{what}");
    }
    backend.assert_untouched();
}

#[test]
fn a_header_that_ends_in_the_middle_is_told_and_a_look_at_the_port_is_not() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    // As a balancer's check does that sends nothing.
    let mut looking = gate.http();
    looking.half_close();
    looking.assert_closed();
    gate.http().reset();
    let mut cut = announced(&gate, &V4[..20]);
    cut.half_close();
    assert_hung_up(&mut cut, "cut");
    let told = gate.messages.wait_for_text("INFO 127.0.0.1: ");
    assert!(told.contains("cut short"), "{told}");
}

#[test]
fn a_header_of_another_peer_is_what_any_bytes_are() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--proxy-protocol",
        "127.0.0.9/32",
    ]);
    let without = Gate::start(&["--backend", backend.url()]);
    for header in [V4.to_vec(), binary(0x21, 0x11, &addresses([192, 0, 2, 1]))] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n\r\n");
        let both = [&header, request.as_bytes()].concat();
        for gate in [&gate, &without] {
            let mut client = announced(gate, &both);
            assert_eq!(client.answer().status(), 400);
            let mut socket = Client::clear(gate.authority("https"));
            socket.send(&both);
            let (said, _) = socket.rest();
            assert!(!readable(&said).contains(" 200 "), "{}", readable(&said));
        }
    }
    backend.assert_untouched();
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    let mut balancer = Client::clear_from([127, 0, 0, 9], gate.authority("http"));
    balancer.send(line("192.0.2.1"));
    assert_eq!(balancer.ask("GET /", &[AUTH]).status(), 200);
    assert_from(&backend.wait_for_request(0), "127.0.0.1");
    assert_from(&backend.wait_for_request(1), "192.0.2.1");
}

#[test]
fn the_address_in_the_header_decides_who_is_a_trusted_proxy() {
    let forwarded = "X-Forwarded-For: 203.0.113.9";
    for (trusted, source, client, list) in [
        (
            "10.0.0.0/8",
            "10.0.0.7",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.7",
        ),
        ("10.0.0.0/8", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
        // The balancer is trusted, and its client is not.
        ("127.0.0.1/32", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
        (
            "10.0.0.0/8",
            "::ffff:10.0.0.7",
            "203.0.113.9",
            "203.0.113.9, 10.0.0.7",
        ),
    ] {
        let backend = Backend::echo();
        let gate = gate(&backend, &["--trusted-proxy", trusted]);
        let mut connection = announced(&gate, &line(source));
        assert_eq!(connection.ask("GET /", &[AUTH, forwarded]).status(), 200);
        let request = backend.wait_for_request(0);
        assert_eq!(request.field("X-Real-IP"), Some(client), "{source}");
        assert_eq!(request.field("X-Forwarded-For"), Some(list), "{source}");
        let line = gate.log.wait_for_text("GET /");
        assert!(line.contains(&format!(" {client} alice ")), "{line}");
    }
}

#[test]
fn guesses_count_for_the_address_in_the_header() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    let guess = |client: &str, password: &str| {
        let auth = basic(b"alice", password.as_bytes());
        announced(&gate, &line(client))
            .ask("GET /v2/", &[&auth])
            .status()
    };
    for number in 0..10 {
        assert_eq!(guess("192.0.2.1", &number.to_string()), 401);
    }
    assert_eq!(guess("192.0.2.1", "another"), 429);
    assert_eq!(guess("192.0.2.2", "another"), 401);
    assert_eq!(guess("192.0.2.2", "secret"), 200);
    gate.messages
        .wait_for_text("192.0.2.1: too many wrong passwords");
}

#[test]
fn header_handshake_and_head_have_the_header_time_out_in_total() {
    let backend = Backend::echo();
    let gate = gate(&backend, &["--header-timeout", "1"]);
    let begin = Instant::now();
    let mut silent = [
        gate.http(),
        Client::clear(gate.authority("https")),
        announced(&gate, &V4[..30]),
        announced(&gate, V4),
        announced(&gate, &[V4, b"GET / HTTP/1.1\r\n"].concat()),
    ];
    for client in &mut silent {
        assert_hung_up(client, "silent");
    }
    // One that drips.
    let mut dripping = gate.http();
    dripping.set_patience(Duration::from_millis(100));
    let ended = binary(0x20, 0, &[0; 4000])
        .iter()
        .any(|byte| dripping.try_send([*byte]).is_err() || dripping.try_rest().is_ok());
    assert!(ended, "it may drip for ever");
    let after = begin.elapsed();
    assert!(after < PATIENCE, "{after:?}");
    assert!(after >= Duration::from_millis(1900), "{after:?}");
}

#[test]
fn the_limit_of_an_address_counts_for_the_one_in_the_header() {
    let backend = Backend::echo();
    let gate = gate(
        &backend,
        &[
            "--max-connections-per-address",
            "2",
            "--header-timeout",
            "60",
        ],
    );
    // The balancer itself has no limit, before a header and with one that names no other.
    let mut own: Vec<Client> = (0..6).map(|_| gate.http()).collect();
    let mut checks: Vec<Client> = (0..6)
        .map(|_| announced(&gate, b"PROXY UNKNOWN\r\n"))
        .collect();
    let mut other = announced(&gate, &line("192.0.2.2"));
    let mut silent: Vec<Client> = (0..5).map(|_| announced(&gate, V4)).collect();
    // Three of the five have to leave.
    let begin = Instant::now();
    let mut gone = 0;
    while gone < 3 {
        assert!(begin.elapsed() < PATIENCE, "only {gone} had to leave");
        silent.retain_mut(|client| {
            client.set_patience(Duration::from_millis(20));
            let has_left = client.try_rest().is_ok();
            gone += usize::from(has_left);
            !has_left
        });
    }
    assert_eq!(silent.len(), 2);
    // IPv6 counts by its network, a mapped address by its own.
    let mapped = announced(&gate, &line("::ffff:192.0.2.1"));
    mapped.set_patience(Duration::from_millis(20));
    silent.push(mapped);
    while silent.len() > 2 {
        assert!(begin.elapsed() < PATIENCE, "no one made room");
        silent.retain_mut(|client| client.try_rest().is_err());
    }
    for client in silent.iter_mut().chain([&mut other]).chain(&mut checks) {
        client.set_patience(PATIENCE);
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
    for client in &mut own {
        client.send(V4);
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
}

#[test]
fn an_address_in_the_header_of_a_trusted_proxy_has_no_limit() {
    let backend = Backend::echo();
    let gate = gate(
        &backend,
        &[
            "--max-connections-per-address",
            "1",
            "--trusted-proxy",
            "10.0.0.0/8",
        ],
    );
    let mut many: Vec<Client> = (0..9)
        .map(|_| announced(&gate, &line("10.0.0.7")))
        .collect();
    for client in &mut many {
        assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
    }
}

#[test]
fn a_redirect_listener_and_the_auth_service_take_headers_too() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let tls = dir.path("tls");
    let args = [
        "--listen",
        "redirect://127.0.0.1:0",
        "--listen",
        "https://127.0.0.1:0",
        "--tls-self-signed",
        &tls,
        "--backend",
        backend.url(),
    ];
    let gate = Gate::start_in(dir, &[&args, BALANCER].concat());
    let mut client = Client::clear(gate.authority("redirect"));
    client.send(V4);
    assert_eq!(client.ask("GET /", &[]).status(), 308);
    gate.log.wait_for_text(" 192.0.2.1 - \"GET /\" 308 ");

    let service = Gate::auth_service(Dir::new(), BALANCER);
    assert_eq!(announced(&service, V4).ask("GET /", &[AUTH]).status(), 200);
    service.log.wait_for_text(" 192.0.2.1 alice \"GET /\" 200 ");
}

#[test]
fn a_client_on_a_unix_socket_sends_no_header() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let path = dir.path("gate.sock");
    let listen = format!("unix:{path}");
    let args = [
        "--listen",
        &listen,
        "--backend",
        backend.url(),
        "--proxy-protocol",
        "0.0.0.0/0",
    ];
    let gate = Gate::start_in(dir, &args);
    assert_eq!(Client::unix(&path).ask("GET /", &[AUTH]).status(), 200);
    let mut client = Client::unix(&path);
    client.send(V4);
    client.request("GET /", &[AUTH]);
    assert_eq!(client.answer().status(), 400);
    let told = "--proxy-protocol \"0.0.0.0/0\": everybody's PROXY header is believed";
    gate.messages.wait_for_text(told);
}

#[test]
fn health_begins_as_a_balancer_where_it_is_one() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    let (users, tls) = (gate.dir.path("htpasswd"), gate.dir.path("tls"));
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{}", gate.authority(scheme));
        let args = [
            "health",
            "--listen",
            &url,
            "--htpasswd",
            &users,
            "--tls-self-signed",
            &tls,
            "--backend",
            backend.url(),
        ];
        let outcome = run(&[&args, BALANCER].concat());
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    }
}
