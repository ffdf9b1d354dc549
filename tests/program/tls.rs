//! TLS: versions, names, resumption, and what happens to those who do not speak it.

use crate::support::certificates::{Ca, client, client_with_groups};
use crate::support::{AUTH, Backend, Client, Dir, End, Gate, PATIENCE};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, SupportedProtocolVersion};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

const VERSIONS: [(&SupportedProtocolVersion, ProtocolVersion); 2] = [
    (&TLS12, ProtocolVersion::TLSv1_2),
    (&TLS13, ProtocolVersion::TLSv1_3),
];

#[test]
fn both_versions_are_spoken_with_http_agreed() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    for (offered, spoken) in VERSIONS {
        for (protocols, agreed) in [
            (
                vec![b"h2".to_vec(), b"http/1.1".to_vec()],
                Some(b"http/1.1".as_slice()),
            ),
            (vec![b"http/1.0".to_vec()], Some(b"http/1.0".as_slice())),
            (
                vec![b"http/1.0".to_vec(), b"http/1.1".to_vec()],
                Some(b"http/1.1".as_slice()),
            ),
            (vec![], None),
        ] {
            let mut config = client(&gate.ca(), &[offered]);
            config.alpn_protocols = protocols;
            let mut client = Client::tls(gate.authority("https"), "localhost", Arc::new(config));
            assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
            assert_eq!(client.session().protocol_version(), Some(spoken));
            assert_eq!(client.session().alpn_protocol(), agreed);
        }
    }
}

#[test]
fn a_client_of_http_1_0_that_says_so_is_served() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut config = client(&gate.ca(), rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"http/1.0".to_vec()];
    let mut client = Client::tls(gate.authority("https"), "localhost", Arc::new(config));
    let host = client.host.clone();
    client.send(format!("GET / HTTP/1.0\r\nHost: {host}\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
    client.assert_closed();
}

#[test]
fn a_client_that_speaks_only_http_2_is_told_in_the_handshake() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let mut config = client(&gate.ca(), rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let refused = Client::try_tls(gate.authority("https"), "localhost", Arc::new(config))
        .map(drop)
        .unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
    gate.messages.wait_for_text("neither http/1.1 nor http/1.0");
    gate.https().assert_open();
}

#[test]
fn the_hybrid_key_exchange_is_agreed_where_it_is_offered() {
    use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    // As Go's TLS offers them, and so docker.
    for (offered, agreed) in [
        (vec![X25519MLKEM768, X25519], NamedGroup::X25519MLKEM768),
        (vec![X25519], NamedGroup::X25519),
    ] {
        let config = Arc::new(client_with_groups(&gate.ca(), offered));
        let client = Client::tls(gate.authority("https"), "localhost", config);
        let group = client.session().negotiated_key_exchange_group();
        assert_eq!(group.map(|group| group.name()), Some(agreed));
    }
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let (dir, first, second) = (Dir::new(), Ca::new(), Ca::new());
    let (one, other) = (
        first.sign(&["one.example", "localhost"]),
        second.sign(&["two.example", "*.three.example"]),
    );
    let files = [
        ("one.crt", &one.cert),
        ("one.key", &one.key),
        ("two.crt", &other.cert),
        ("two.key", &other.key),
    ];
    let [one_cert, one_key, other_cert, other_key] = files.map(|(name, text)| dir.file(name, text));
    let gate = Gate::start_in(
        dir,
        &[
            "--listen",
            "https://127.0.0.1:0",
            "--tls-cert",
            &one_cert,
            "--tls-key",
            &one_key,
            "--tls-cert",
            &other_cert,
            "--tls-key",
            &other_key,
            "--backend",
            "http://127.0.0.1:5000",
        ],
    );
    let (trusts_first, trusts_second) = (
        Arc::new(client(&first.pem(), rustls::ALL_VERSIONS)),
        Arc::new(client(&second.pem(), rustls::ALL_VERSIONS)),
    );
    let ask = |name: &str, trust: &Arc<_>| {
        Client::try_tls(gate.authority("https"), name, Arc::clone(trust))
    };
    for (name, trust) in [
        ("one.example", &trusts_first),
        ("localhost", &trusts_first),
        ("two.example", &trusts_second),
        ("a.three.example", &trusts_second),
        ("TWO.example", &trusts_second),
    ] {
        ask(name, trust)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .assert_open();
    }
    // The first pair for whoever asks for another name, or for none.
    let unknown = ask("four.example", &trusts_first).map(drop).unwrap_err();
    assert!(
        unknown.to_string().contains("not valid for name"),
        "{unknown}"
    );
    let nameless = ask("127.0.0.1", &trusts_first).map(drop).unwrap_err();
    assert!(
        nameless.to_string().contains("not valid for name"),
        "{nameless}"
    );
    assert!(ask("two.example", &trusts_first).is_err());
}

#[test]
fn sessions_are_resumed() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    for (offered, _) in VERSIONS {
        let config = Arc::new(client(&gate.ca(), &[offered]));
        let kinds = [0, 1, 2].map(|_| {
            let mut client = Client::tls(gate.authority("https"), "localhost", Arc::clone(&config));
            client.assert_open();
            client.session().handshake_kind().unwrap()
        });
        assert_eq!(
            kinds,
            [
                HandshakeKind::Full,
                HandshakeKind::Resumed,
                HandshakeKind::Resumed
            ],
            "{offered:?}"
        );
    }
}

#[test]
fn early_data_is_not_taken() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let mut config = client(&gate.ca(), &[&TLS13]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    Client::tls(gate.authority("https"), "localhost", Arc::clone(&config)).assert_open();
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    assert!(
        session.early_data().is_none(),
        "a ticket that allows early data was given out"
    );
}

#[test]
fn the_self_signed_pair_is_made_once_and_its_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let tls = dir.path("kept");
    let users = dir.file("users", crate::support::HTPASSWD);
    let args = [
        "--listen",
        "https://127.0.0.1:0",
        "--tls-self-signed",
        &tls,
        "--tls-name",
        "gate.example",
        "--htpasswd",
        &users,
        "--backend",
        "http://127.0.0.1:5000",
    ];
    let ca = || std::fs::read_to_string(format!("{tls}/ca.crt")).unwrap();
    let first = Gate::start(&args);
    let made = ca();
    drop(first);
    let gate = Gate::start(&args);
    assert_eq!(
        ca(),
        made,
        "clients would have to trust a new CA at each start"
    );
    for name in ["localhost", "127.0.0.1", "gate.example"] {
        let trust = Arc::new(client(&made, rustls::ALL_VERSIONS));
        Client::tls(gate.authority("https"), name, trust).assert_open();
    }
    for key in std::fs::read_dir(&tls)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "key")
        })
    {
        assert_eq!(
            key.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            key.path()
        );
    }
}

#[test]
fn what_comes_in_the_clear_on_a_tls_port_is_told_so_in_words() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    for (line, is_registry) in [("GET /a", false), ("GET /v2/", true), ("PUT /v2/a", true)] {
        let mut client = Client::clear(gate.authority("https"));
        client.request(line, &[AUTH]);
        let answer = client.answer();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("write https://"), "{answer:?}");
        assert!(!answer.has("WWW-Authenticate"));
        if is_registry {
            answer.assert_oci("BAD_REQUEST");
        }
        client.assert_closed();
        let quoted = format!("\"{line}\"");
        let logged = gate.log.wait_for_text(&quoted);
        assert!(logged.contains(" 400 "), "{logged}");
        assert!(logged.contains("this port speaks TLS"), "{logged}");
    }
    let mut head = Client::clear(gate.authority("https"));
    head.request("HEAD /", &[]);
    assert_eq!(head.answer_to_head().status(), 400);
    // A byte at a time, and no HTTP at all.
    for bytes in ["G", "SSH-2.0-x\r\n", "hello\n"] {
        let mut client = Client::clear(gate.authority("https"));
        client.send(bytes);
        assert_eq!(client.answer().status(), 400, "{bytes:?}");
    }
    gate.https().assert_open();
}

#[test]
fn what_is_neither_tls_nor_words_does_no_harm() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    for bytes in ["\0\0\0\0\0\0\0\0", "\x16\x03\x01\x02\x00\x01"] {
        let mut client = Client::clear(gate.authority("https"));
        client.send(bytes);
        client.half_close();
        let (answer, _) = client.rest();
        assert!(!answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    }
    gate.https().assert_open();
}

#[test]
fn a_server_name_that_is_none_is_named_in_the_log() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let config = Arc::new(client(&gate.ca(), rustls::ALL_VERSIONS));
    let name = "localhost.port".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let at = hello
        .windows(14)
        .position(|piece| piece == b"localhost.port");
    hello[at.unwrap() + 9] = b':';
    let mut client = Client::clear(gate.authority("https"));
    client.send(hello);
    let (answer, _) = client.rest();
    assert!(answer.starts_with(b"\x15"), "an alert: {answer:?}");
    gate.messages
        .wait_for_text("server name (SNI) that is no host name");
    gate.https().assert_open();
}

#[test]
fn a_client_that_goes_away_in_the_handshake_does_no_harm() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    drop(Client::clear(gate.authority("https")));
    let mut client = Client::clear(gate.authority("https"));
    client.send("\x16\x03\x01");
    client.reset();
    gate.https().assert_open();
}

#[test]
fn a_hello_in_any_number_of_records_is_answered_at_once() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:9"]);
    // One step looks at so many records; no number may be the one after which nobody goes on.
    for count in 1..=50 {
        let name = "localhost".try_into().unwrap();
        let mut session = rustls::ClientConnection::new(gate.trust(), name).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let (head, content) = hello.split_at(5);
        let mut records = Vec::new();
        for number in 0..count {
            let part = number * content.len() / count..(number + 1) * content.len() / count;
            records.extend_from_slice(&head[..3]);
            records.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            records.extend_from_slice(&content[part]);
        }
        let mut socket = TcpStream::connect(gate.authority("https")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&records).unwrap();
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut socket) {
                panic!("a hello in {count} records: {error}");
            }
        }
    }
}

#[test]
fn a_close_notify_of_the_client_is_answered_by_a_clean_end() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let mut client = gate.https();
    client.assert_open();
    client.half_close();
    let (rest, end) = client.rest();
    assert_eq!((rest, end), (Vec::new(), End::Clean));
}

#[test]
fn a_handshake_that_never_ends_is_cut_at_the_header_time_out() {
    let gate = Gate::start(&[
        "--backend",
        "http://127.0.0.1:5000",
        "--header-timeout",
        "1",
    ]);
    for scheme in ["https", "http"] {
        let mut client = Client::clear(gate.authority(scheme));
        client.send(if scheme == "https" {
            "\x16\x03\x01"
        } else {
            "GET / HT"
        });
        let (answer, _) = client.rest();
        assert!(
            answer.is_empty()
                || answer.starts_with(b"HTTP/1.1 408 ")
                || answer.starts_with(b"\x15"),
            "{answer:?}"
        );
    }
    gate.https().assert_open();
}
