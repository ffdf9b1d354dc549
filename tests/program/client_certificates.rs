//! Clients that show a certificate: whom it names, what stands beside it, and what happens when it counts no more.

use crate::support::certificates::{Ca, Pair};
use crate::support::gate::run;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, basic};
use rcgen::DnType;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::sync::Arc;

const USERS: &str =
    "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

struct Bench {
    gate: Gate,
    clients: Ca,
    backend: Backend,
}

fn bench(more: &[&str]) -> Bench {
    let dir = Dir::new();
    let clients = Ca::new();
    let ca = dir.file("clients.pem", clients.pem());
    let users = dir.file("users", USERS);
    let backend = Backend::echo();
    let mut args = vec![
        "--backend",
        backend.url(),
        "--htpasswd",
        &users,
        "--client-ca",
        &ca,
    ];
    args.extend(more);
    let gate = Gate::start_in(dir, &args);
    Bench {
        gate,
        clients,
        backend,
    }
}

impl Bench {
    /// A client that shows this.
    fn with(&self, pair: &Pair) -> std::io::Result<Client> {
        let config = self.showing(pair);
        Client::try_tls(self.gate.authority("https"), "localhost", config)
    }

    fn showing(&self, pair: &Pair) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(self.gate.ca().as_bytes()) {
            roots.add(cert.unwrap()).unwrap();
        }
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key);
        Arc::new(config.unwrap())
    }

    fn named(&self, name: &str) -> Client {
        let pair = self.clients.sign_client(&[(DnType::CommonName, name)], &[]);
        self.with(&pair).unwrap()
    }
}

/// Also where the handshake is over for the client before the gate has looked.
fn is_refused(client: std::io::Result<Client>) -> bool {
    let Ok(mut client) = client else { return true };
    let host = client.host.clone();
    client
        .try_send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .and_then(|()| client.try_answer(false))
        .map_or(true, |answer| answer.is_none())
}

fn user(answer: &Message) -> Option<String> {
    let text = answer.text().to_lowercase();
    let line = text
        .lines()
        .find(|line| line.starts_with("x-remote-user:"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[test]
fn a_certificate_stands_for_a_password_and_names_its_user() {
    let bench = bench(&[]);
    let mut client = bench.named("carol");
    let answer = client.ask("GET /", &[]);
    assert_eq!(answer.status(), 200);
    bench
        .gate
        .log
        .wait_for("carol's line", |line| line.contains(" carol \"GET /\" 200"));
    assert_eq!(user(&answer).as_deref(), Some("carol"), "{}", answer.text());
    // Resumed, it still does.
    let pair = bench
        .clients
        .sign_client(&[(DnType::CommonName, "dave")], &[]);
    let config = bench.showing(&pair);
    for _ in 0..2 {
        let authority = bench.gate.authority("https");
        let mut client = Client::tls(authority, "localhost", Arc::clone(&config));
        assert_eq!(user(&client.ask("GET /", &[])).as_deref(), Some("dave"));
    }
    // Optional: without one a password is asked for.
    let mut without = bench.gate.https();
    assert_eq!(without.ask("GET /", &[]).status(), 401);
    assert_eq!(without.ask("GET /", &[AUTH]).status(), 200);
}

#[test]
fn whom_a_certificate_names() {
    let bench = bench(&[]);
    let common = DnType::CommonName;
    for (names, aliases, expected) in [
        (
            &[(common.clone(), "alice")][..],
            &["b.example"][..],
            Some("alice"),
        ),
        (&[(common.clone(), "Zoë Ünal")], &[], Some("zoë ünal")),
        (&[], &["b.example", "c.example"], Some("b.example")),
        (
            &[],
            &["bob@mail.example", "c.example"],
            Some("bob@mail.example"),
        ),
        (
            &[(common.clone(), "a:b")],
            &["b.example"],
            Some("b.example"),
        ),
        (
            &[(common.clone(), "a\0b")],
            &["b.example"],
            Some("b.example"),
        ),
        (&[(common.clone(), "a\nb")], &[], None),
        (&[(common.clone(), "")], &[], None),
        (&[(DnType::OrganizationName, "alice")], &[], None),
    ] {
        let pair = bench.clients.sign_client(names, aliases);
        let answer = bench.with(&pair).unwrap().ask("GET /", &[]);
        match expected {
            Some(expected) => {
                assert_eq!(answer.status(), 200, "{names:?}");
                assert_eq!(
                    user(&answer).as_deref(),
                    Some(expected),
                    "{}",
                    answer.text()
                );
            }
            None => {
                assert_eq!(answer.status(), 403, "{names:?}");
                assert!(answer.text().contains("names no user"), "{}", answer.text());
            }
        }
    }
}

#[test]
fn a_password_beside_a_certificate_is_the_same_users_and_right_and_a_token_is_not_looked_at() {
    let bench = bench(&[]);
    let mut client = bench.named("alice");
    for (auth, status) in [
        (basic(b"alice", b"secret"), 200),
        (basic(b"bob", b"secret"), 401),
        (basic(b"alice", b"wrong"), 401),
        ("Authorization: Bearer whatever".to_owned(), 200),
        ("Authorization: Basic Og==".to_owned(), 200),
    ] {
        assert_eq!(client.ask("GET /", &[&auth]).status(), status, "{auth}");
    }
    let two = [AUTH, AUTH];
    assert_eq!(client.ask("GET /", &two).status(), 400);
    assert_eq!(bench.backend.requests().len(), 3);
}

#[test]
fn a_certificate_that_is_required_is_required_of_everybody() {
    let bench = bench(&["--client-auth", "required", "--health-path", "/healthz"]);
    assert_eq!(bench.named("carol").ask("GET /", &[]).status(), 200);
    assert!(is_refused(Client::try_tls(
        bench.gate.authority("https"),
        "localhost",
        bench.gate.trust()
    )));
    // In the clear nobody can show one.
    let mut clear = bench.gate.http();
    let refused = clear.ask("GET /", &[AUTH]);
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("a client certificate is required"));
    assert_eq!(clear.ask("GET /healthz", &[]).status(), 200);
    assert_eq!(bench.backend.requests().len(), 1);
}

#[test]
fn a_gate_that_serves_nobody_without_a_certificate_is_well() {
    let dir = Dir::new();
    let ca = dir.file("clients.pem", Ca::new().pem());
    let users = dir.file("users", USERS);
    let tls = dir.path("tls");
    let args = [
        "--listen",
        "https://127.0.0.1:0",
        "--backend",
        "http://127.0.0.1:1",
        "--htpasswd",
        &users,
        "--tls-self-signed",
        &tls,
        "--client-ca",
        &ca,
        "--client-auth",
        "required",
    ];
    let gate = Gate::start_in(dir, &args);
    let url = gate.urls[0].clone();
    let outcome = run(&["health", "--listen", &url]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn a_certificate_of_another_ca_or_out_of_its_time_is_refused() {
    let bench = bench(&[]);
    let stranger = Ca::new().sign_client(&[(DnType::CommonName, "alice")], &[]);
    assert!(is_refused(bench.with(&stranger)));
    let over = bench.clients.sign_client_until(2020, "alice");
    assert!(is_refused(bench.with(&over)));
    bench.backend.assert_untouched();
}

#[test]
fn rights_of_a_certificates_user_are_those_of_the_access_file() {
    let access = Dir::new();
    let file = access.file("access", "carol pull team/**\n* pull all/**\n");
    let bench = bench(&["--access", &file]);
    let mut client = bench.named("carol");
    for (target, status) in [
        ("GET /v2/team/app/manifests/v1", 200),
        ("GET /v2/all/app/manifests/v1", 200),
        ("GET /v2/other/app/manifests/v1", 403),
        ("DELETE /v2/team/app/manifests/v1", 403),
    ] {
        assert_eq!(client.ask(target, &[]).status(), status, "{target}");
    }
}

#[test]
fn once_the_ca_is_taken_away_the_next_connection_is_refused() {
    let bench = bench(&[]);
    let pair = bench
        .clients
        .sign_client(&[(DnType::CommonName, "carol")], &[]);
    let config = bench.showing(&pair);
    let connect = || {
        let authority = bench.gate.authority("https");
        Client::try_tls(authority, "localhost", Arc::clone(&config))
    };
    assert_eq!(connect().unwrap().ask("GET /", &[]).status(), 200);
    let file = bench.gate.dir.path("clients.pem");
    let good = fs::read(&file).unwrap();
    // What is no certificate changes nothing.
    fs::write(&file, "nonsense").unwrap();
    bench.gate.messages.wait_for_text("the last good one stays");
    assert_eq!(connect().unwrap().ask("GET /", &[]).status(), 200);
    // Another CA. The session of before is not resumed, and a connection that is kept ends.
    let mut kept = connect().unwrap();
    assert_eq!(kept.ask("GET /", &[]).status(), 200);
    fs::write(&file, Ca::new().pem()).unwrap();
    bench
        .gate
        .messages
        .wait_for_text("certificates of clients by");
    kept.assert_closed();
    assert!(is_refused(connect()));
    fs::write(&file, good).unwrap();
    bench
        .gate
        .messages
        .wait_for_count_of("certificates of clients by", 2);
    assert_eq!(connect().unwrap().ask("GET /", &[]).status(), 200);
    // None at all: nobody is asked for a certificate, so that only a password counts.
    fs::remove_file(&file).unwrap();
    bench
        .gate
        .messages
        .wait_for_text("no certificate of a client counts");
    let mut client = connect().unwrap();
    assert_eq!(client.ask("GET /", &[]).status(), 401);
    assert_eq!(client.ask("GET /", &[AUTH]).status(), 200);
}

#[test]
fn a_certificate_that_ends_is_over_on_kept_connections_and_for_sessions_too() {
    let bench = bench(&[]);
    let pair = bench
        .clients
        .sign_client_for(std::time::Duration::from_secs(4), "carol");
    let config = bench.showing(&pair);
    let connect = || {
        let authority = bench.gate.authority("https");
        Client::try_tls(authority, "localhost", Arc::clone(&config))
    };
    let mut kept = connect().unwrap();
    assert_eq!(kept.ask("GET /", &[]).status(), 200);
    assert_eq!(connect().unwrap().ask("GET /", &[]).status(), 200);
    // Until it is over on the kept one: the condition is waited for, not a time.
    let begun = std::time::Instant::now();
    while kept.ask("GET /", &[]).status() == 200 {
        assert!(begun.elapsed() < crate::support::PATIENCE);
        std::thread::yield_now();
    }
    let refused = kept.ask("GET /", &[]);
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("has ended"), "{}", refused.text());
    // Certificates end with a second.
    while !is_refused(connect()) {
        assert!(begun.elapsed() < crate::support::PATIENCE);
    }
}

#[test]
fn a_token_is_not_given_for_a_certificate_which_it_would_outlive() {
    let access = Dir::new();
    let file = access.file("access", "anonymous pull public/**\nalice pull team/**\n");
    let bench = bench(&["--access", &file]);
    let text = bench.named("alice").ask("GET /v2/token", &[]).text();
    let token = text.split('"').nth(3).unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let mut without = bench.gate.https();
    assert_eq!(
        without
            .ask("GET /v2/public/app/manifests/v1", &[&bearer])
            .status(),
        200
    );
    assert_eq!(
        without
            .ask("GET /v2/team/app/manifests/v1", &[&bearer])
            .status(),
        401
    );
}

#[test]
fn a_site_that_wants_certificates_wants_its_name_in_tls() {
    let clients = Ca::new();
    let (main, backend) = (Backend::echo(), Backend::echo());
    let server = Ca::new();
    let dir = Dir::new();
    let ca = dir.file("clients.pem", clients.pem());
    let pair = server.sign(&["safe.example", "main.example", "localhost"]);
    let (cert, key) = (dir.file("crt", pair.cert), dir.file("key", pair.key));
    let site = dir.file(
        "s",
        format!(
            "host safe.example\nbackend {}\nclient-ca {ca}\n",
            backend.url()
        ),
    );
    let args = [
        "--listen",
        "https://127.0.0.1:0",
        "--listen",
        "http://127.0.0.1:0",
        "--backend",
        main.url(),
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--site",
        &site,
    ];
    let gate = Gate::start_in(dir, &args);
    let bare = Arc::new(crate::support::certificates::client(
        &server.pem(),
        rustls::ALL_VERSIONS,
    ));
    let status = |name: &str, host: &str, auth: &str| {
        let mut client = Client::tls(gate.authority("https"), name, Arc::clone(&bare));
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n\r\n"));
        client.answer().status()
    };
    assert_eq!(status("safe.example", "safe.example", AUTH), 200);
    assert_eq!(status("safe.example", "safe.example", "X: y"), 401);
    assert_eq!(status("main.example", "safe.example", AUTH), 421);
    assert_eq!(status("safe.example", "main.example", AUTH), 421);
    assert_eq!(status("main.example", "main.example", AUTH), 200);
    // In the clear, behind somebody who ends TLS, there is no such name.
    let mut clear = gate.http();
    clear.send(format!(
        "GET / HTTP/1.1\r\nHost: safe.example\r\n{AUTH}\r\n\r\n"
    ));
    assert_eq!(clear.answer().status(), 200);
}
