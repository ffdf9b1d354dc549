//! Networks whose clients are served: others are told so before anything of theirs is looked at.

use crate::support::{AUTH, Backend, Client, Dir, Gate, basic, readable};

#[test]
fn a_client_of_another_network_is_refused_whatever_it_shows() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--allow", "127.0.0.2/32"]);
    for mut client in gate.both() {
        for fields in [&[][..], &[AUTH], &[AUTH, "X-Forwarded-For: 127.0.0.2"]] {
            let answer = client.ask("GET /v2/", fields);
            assert_eq!(answer.status(), 403);
            assert!(!answer.has("WWW-Authenticate"));
            answer.assert_oci("DENIED");
            let answer = client.ask("GET /other", fields);
            assert_eq!(answer.status(), 403);
            let kind = answer.field("Content-Type").unwrap();
            assert!(kind.starts_with("text/plain"), "{kind}");
            assert!(answer.text().contains("127.0.0.1"), "{}", answer.text());
        }
        // What follows a body that is refused is a request again.
        client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 5"], b"hello");
        assert_eq!(client.answer().status(), 403);
        assert_eq!(client.ask("HEAD /v2/", &[AUTH]).status(), 403);
    }
    let line = gate.log.wait_for_text("\"GET /other\" 403 ");
    assert!(line.contains(" 127.0.0.1 - "), "{line}");
    assert!(
        line.contains("note=\"127.0.0.1 is in none of the networks"),
        "{line}"
    );
    backend.assert_untouched();
    let mut allowed = Client::clear_from([127, 0, 0, 2], gate.authority("http"));
    allowed.assert_open();
    assert_eq!(allowed.ask("GET /v2/", &[AUTH]).status(), 200);
}

#[test]
fn a_password_of_another_network_is_not_looked_at() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--allow", "127.0.0.2/32"]);
    // More than it could guess.
    for number in 0..15_u8 {
        let auth = basic(b"alice", &[b'0' + number]);
        assert_eq!(gate.http().ask("GET /v2/", &[&auth]).status(), 403);
    }
    let mut allowed = Client::clear_from([127, 0, 0, 2], gate.authority("http"));
    let wrong = basic(b"alice", b"wrong");
    assert_eq!(allowed.ask("GET /v2/", &[&wrong]).status(), 401);
    gate.messages
        .wait_for_text("login refused for alice from 127.0.0.2");
    let messages = gate.messages.all();
    let of_others = |line: &&String| {
        line.contains("login refused for alice from 127.0.0.1") || line.contains("too many wrong")
    };
    assert_eq!(messages.iter().find(of_others), None);
}

#[test]
fn the_client_that_a_trusted_proxy_names_is_the_one_that_counts() {
    let backend = Backend::echo();
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--trusted-proxy",
        "127.0.0.1/32",
        "--allow",
        "10.0.0.0/8",
        "--allow",
        "2001:db8::/32",
    ]);
    for (forwarded, status) in [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("2001:db8::1", 200),
        ("10.1.2.3, 192.0.2.1", 403),
        ("192.0.2.1", 403),
        ("2001:db9::1", 403),
        // The proxy itself.
        ("unknown", 403),
    ] {
        let field = format!("X-Forwarded-For: {forwarded}");
        let answer = gate.http().ask("GET /v2/", &[AUTH, &field]);
        assert_eq!(answer.status(), status, "{forwarded}");
    }
    // Behind a balancer too.
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--proxy-protocol",
        "127.0.0.1",
        "--allow",
        "10.0.0.0/8",
    ]);
    for (client, status) in [("10.1.2.3", 200), ("192.0.2.1", 403)] {
        let mut connection = gate.http();
        connection.send(format!("PROXY TCP4 {client} 10.0.0.1 1 2\r\n"));
        assert_eq!(connection.ask("GET /v2/", &[AUTH]).status(), status);
    }
}

#[test]
fn the_health_path_answers_everybody_and_a_redirect_does_not() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let tls = dir.path("tls");
    let gate = Gate::start_in(
        dir,
        &[
            "--listen",
            "redirect://127.0.0.1:0",
            "--listen",
            "https://127.0.0.1:0",
            "--tls-self-signed",
            &tls,
            "--backend",
            backend.url(),
            "--health-path",
            "/healthz",
            "--allow",
            "10.0.0.0/8",
        ],
    );
    let mut client = gate.https();
    assert_eq!(client.ask("GET /healthz", &[]).status(), 200);
    assert_eq!(client.ask("GET /", &[AUTH]).status(), 403);
    let mut client = Client::clear(gate.authority("redirect"));
    assert_eq!(client.ask("GET /", &[]).status(), 403);
}

#[test]
fn a_client_on_a_unix_socket_counts_as_this_machine() {
    let backend = Backend::echo();
    for (network, status) in [("127.0.0.1", 200), ("10.0.0.0/8", 403)] {
        let dir = Dir::new();
        let path = dir.path("gate.sock");
        let listen = format!("unix:{path}");
        let args = [
            "--listen",
            &listen,
            "--backend",
            backend.url(),
            "--allow",
            network,
        ];
        let _gate = Gate::start_in(dir, &args);
        let answer = Client::unix(&path).ask("GET /v2/", &[AUTH]);
        assert_eq!(answer.status(), status, "{}", readable(&answer.raw));
    }
}
