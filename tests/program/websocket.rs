//! WebSockets: a request that leads to one, the bytes both ways, and how it ends.

use crate::support::backend::sha256;
use crate::support::{AUTH, Backend, Client, Dir, End, Gate, Peer, basic};
use rustix::process::Signal;
use std::fs;
use std::io;

const ALICE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const BOB: &str = "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const WANTED: [&str; 5] = [
    AUTH,
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: x\r\n\r\n";

/// A backend that switches, and sends back each byte that comes.
fn echo() -> Backend {
    Backend::script(|mut peer: Peer| {
        peer.request()?;
        peer.say(SWITCHES)?;
        back(&mut peer)
    })
}

fn back(peer: &mut Peer) -> io::Result<()> {
    while let Ok(byte) = peer.exactly(1) {
        peer.say(byte)?;
    }
    Ok(())
}

fn ping(client: &mut Client) {
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
}

/// A backend that switches, and then does this.
fn switching(then: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> Backend {
    Backend::script(move |mut peer: Peer| {
        peer.head()?;
        peer.say(SWITCHES)?;
        then(peer)
    })
}

/// Until the tunnel is there.
fn open(client: &mut Client) {
    client.request("GET /chat", &WANTED);
    assert_eq!(client.answer_head().status(), 101);
}

#[test]
fn bytes_go_both_ways_in_the_clear_and_by_tls_and_each_half_close_is_passed_on() {
    let backend = echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    for mut client in gate.both() {
        client.request("GET /chat?x", &WANTED);
        let answer = client.answer_head();
        assert_eq!(answer.status(), 101);
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("server", "x"),
        ] {
            assert_eq!(answer.values(name), [value], "{name}");
        }
        assert!(!answer.has("content-length") && !answer.has("transfer-encoding"));
        client.send(b"\x81\x02hi");
        assert_eq!(client.exactly(4), b"\x81\x02hi");
        client.half_close();
        client.assert_closed();
    }
    let asked = backend.wait_for_request(0);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ] {
        assert_eq!(asked.values(name), [value], "{name}");
    }
    assert!(!asked.has("authorization"));
    let log = gate.log.wait_for_count(2);
    for line in log {
        assert!(
            line.contains("alice \"GET /chat?x\" 101 up=4 down=4 "),
            "{line}"
        );
    }
}

#[test]
fn what_is_sent_right_behind_the_heads_is_not_lost() {
    let backend = Backend::script(|mut peer: Peer| {
        peer.head()?;
        peer.say(format!("{SWITCHES}first"))?;
        let (bytes, _) = peer.until_closed()?;
        peer.say(bytes)
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    for mut client in gate.both() {
        let host = client.host.clone();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n\r\nearly",
            WANTED.join("\r\n")
        ));
        assert_eq!(client.answer_head().status(), 101);
        assert_eq!(client.exactly(5), b"first");
        client.half_close();
        assert_eq!(client.rest().0, b"early");
    }
}

#[test]
fn what_is_no_websocket_is_an_ordinary_request() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let without = |left_out: &str| {
        let fields = WANTED.iter().filter(|field| !field.starts_with(left_out));
        fields.copied().collect::<Vec<_>>()
    };
    let upgrade = |value: &'static str| [&without("Upgrade")[..], &[value]].concat();
    let key = "Sec-WebSocket-Key";
    for (line, fields) in [
        ("GET /", without(key)),
        ("GET /", without("Upgrade")),
        ("GET /", without("Connection")),
        ("GET /", upgrade("Upgrade: h2c")),
        ("GET /", upgrade("Upgrade: websocket, h2c")),
        ("POST /", [&WANTED[..], &["Content-Length: 0"]].concat()),
        ("GET /", [&WANTED[..], &["Content-Length: 0"]].concat()),
    ] {
        let answer = gate.http().ask(line, &fields);
        assert_eq!(answer.status(), 200, "{line} {fields:?}");
        let text = answer.text().to_lowercase();
        assert!(!text.contains("upgrade"), "{line} {fields:?}: {text}");
    }
    let mut old = gate.http();
    old.send(format!(
        "GET / HTTP/1.0\r\nHost: a\r\n{}\r\n\r\n",
        WANTED.join("\r\n")
    ));
    assert_eq!(old.answer().status(), 200);
    // Nobody is let in for it.
    let refused = gate.http().ask("GET /", &without("Authorization"));
    assert_eq!(refused.status(), 401);
}

#[test]
fn a_backend_may_say_something_else_and_may_not_switch_to_something_else() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", 400),
        (
            "HTTP/1.1 426 Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nno",
            426,
        ),
        (
            "HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            502,
        ),
        ("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", 502),
        ("HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n", 502),
    ] {
        let backend = Backend::script(move |mut peer: Peer| {
            while peer.try_request()?.is_some() {
                peer.say(answer)?;
            }
            Ok(())
        });
        let gate = Gate::start(&["--backend", backend.url()]);
        assert_eq!(
            gate.http().ask("GET /", &WANTED).status(),
            status,
            "{answer}"
        );
        let mut plain = gate.http();
        let unasked = plain.ask("GET /", &[AUTH]).status();
        assert_eq!(unasked, status, "{answer}");
    }
}

#[test]
fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let backend = switching(|mut peer| {
        peer.exactly(1)?;
        peer.reset();
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    open(&mut client);
    client.send("x");
    let (_, end) = client.rest();
    assert!(matches!(end, End::Cut(_)), "{end:?}");
    gate.log.wait_for("its line", |line| {
        line.contains("note=\"backend broke off\"")
    });

    let backend = echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    open(&mut client);
    ping(&mut client);
    client.reset();
    gate.log.wait_for("its line", |line| {
        line.contains("note=\"client broke off\"")
    });
    assert!(backend.wait_for_end(0).is_ok());
}

#[test]
fn a_slow_reader_gets_every_byte_either_way() {
    const LENGTH: usize = 12 * 1024 * 1024;
    fn bytes() -> Vec<u8> {
        (0..LENGTH).map(|at| (at / 7 % 251) as u8).collect()
    }
    let backend = switching(|mut peer| {
        peer.say(bytes())?;
        peer.pause()?;
        let (got, _) = peer.until_closed()?;
        peer.say(sha256(&got))
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let digest = sha256(&bytes());
    for mut client in gate.both() {
        open(&mut client);
        let down = client.exactly(LENGTH);
        assert_eq!(sha256(&down), digest);
        // More than all sockets take, while the backend does not read.
        let writer = std::thread::spawn(move || {
            client.send(bytes());
            client.half_close();
            client
        });
        backend.go();
        let mut client = writer.join().unwrap();
        assert_eq!(client.rest().0, digest.as_bytes());
    }
}

#[test]
fn a_tunnel_is_a_connection_and_no_request() {
    let backend = Backend::script(|mut peer: Peer| {
        while let Some(request) = peer.try_request()? {
            if request.has("upgrade") {
                peer.say(SWITCHES)?;
                return back(&mut peer);
            }
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url(), "--max-requests", "1"]);
    let mut tunnels: Vec<_> = (0..20).map(|_| gate.http()).collect();
    tunnels.iter_mut().for_each(open);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).text(), "ok");
    tunnels.iter_mut().for_each(ping);
}

#[test]
fn tunnels_leave_room_for_others() {
    let backend = echo();
    let dir = Dir::new();
    let users = dir.file("users", format!("{ALICE}{BOB}"));
    let args = [
        "--backend",
        backend.url(),
        "--htpasswd",
        &users,
        "--max-connections",
        "40",
    ];
    let gate = Gate::start_in(dir, &args);
    let mut open: Vec<Client> = Vec::new();
    // No user and no network has more than a half of all.
    for _ in 0..20 {
        let mut client = gate.http();
        super::websocket::open(&mut client);
        open.push(client);
    }
    let refused = gate.http().ask("GET /chat", &WANTED);
    assert_eq!(refused.status(), 503);
    assert!(refused.has("retry-after"));
    drop(open.pop());
    gate.log.wait_for("its end", |line| line.contains(" 101 "));
    super::websocket::open(&mut gate.http());
}

#[test]
fn whoever_is_removed_while_the_backend_makes_up_its_mind_gets_no_tunnel() {
    let backend = Backend::script(|mut peer: Peer| {
        peer.request()?;
        peer.pause()?;
        peer.say(SWITCHES)?;
        back(&mut peer)
    });
    let dir = Dir::new();
    let users = dir.file("users", format!("{ALICE}{BOB}"));
    let args = ["--backend", backend.url(), "--htpasswd", &users];
    let gate = Gate::start_in(dir, &args);
    let mut client = gate.http();
    client.request("GET /chat", &WANTED);
    backend.wait_for_request(0);
    fs::write(&users, BOB).unwrap();
    gate.messages.wait_for_text("taken anew");
    backend.go();
    assert_eq!(client.answer_head().status(), 101);
    client.assert_closed();
}

#[test]
fn a_reset_is_seen_while_the_other_side_takes_nothing() {
    let backend = switching(|mut peer| {
        peer.pause()?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    open(&mut client);
    let limit = std::time::Duration::from_millis(500);
    client.socket().set_write_timeout(Some(limit)).unwrap();
    // Until no socket takes more.
    while client.try_send([0; 65536]).is_ok() {}
    client.reset();
    gate.log.wait_for("its line", |line| {
        line.contains("note=\"client broke off\"")
    });
    backend.go();
}

#[test]
fn an_hour_of_silence_ends_it() {
    let backend = switching(|mut peer| peer.until_closed().map(drop));
    let args = ["--backend", backend.url()];
    let gate = Gate::start_with(Dir::new(), &[("TUNNEL_SILENCE", "1")], &args);
    for mut client in gate.both() {
        open(&mut client);
        let (rest, end) = client.rest();
        assert_eq!((rest.len(), end), (0, End::Clean));
    }
    gate.log.wait_for("its line", |line| {
        line.contains("note=\"silent for too long\"")
    });
    assert!(backend.wait_for_end(0).is_ok());
}

#[test]
fn the_end_of_the_gate_ends_it_in_good_order() {
    let backend = switching(|mut peer| peer.until_closed().map(drop));
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut clients = gate.both();
    clients.iter_mut().for_each(open);
    gate.signal(Signal::INT);
    for client in &mut clients {
        assert_eq!(client.rest(), (Vec::new(), End::Clean));
    }
    let outcome = gate.wait();
    assert_eq!(outcome.code(), Some(0));
    let ended = outcome
        .stdout
        .iter()
        .filter(|line| line.contains("the gate is to end"));
    assert_eq!(ended.count(), 2, "{outcome:#?}");
}

#[test]
fn whoever_may_no_longer_do_it_is_cut_off_and_nobody_else() {
    let backend = echo();
    let dir = Dir::new();
    let users = dir.file("users", format!("{ALICE}{BOB}"));
    let access = dir.file("access", "* path /**\n");
    let args = [
        "--backend",
        backend.url(),
        "--htpasswd",
        &users,
        "--access",
        &access,
    ];
    let gate = Gate::start_in(dir, &args);
    let bob = basic(b"bob", b"secret");
    let connect = |auth: &str| {
        let mut client = gate.http();
        let fields: Vec<_> = WANTED
            .iter()
            .map(|field| if *field == AUTH { auth } else { field })
            .collect();
        client.request("GET /chat", &fields);
        assert_eq!(client.answer_head().status(), 101);
        client
    };
    let (mut of_alice, mut of_bob) = (connect(AUTH), connect(&bob));
    // Another order of lines is the same users.
    fs::write(&users, format!("{BOB}{ALICE}")).unwrap();
    gate.messages.wait_for_text("taken anew");
    ping(&mut of_alice);
    ping(&mut of_bob);
    fs::write(&users, ALICE).unwrap();
    assert_eq!(of_bob.rest(), (Vec::new(), End::Clean));
    ping(&mut of_alice);
    gate.log.wait_for("bob's line", |line| {
        line.contains(" bob ") && line.contains("may not do this any more")
    });
    fs::write(&access, "* path /other/**\n").unwrap();
    assert_eq!(of_alice.rest(), (Vec::new(), End::Clean));
}
