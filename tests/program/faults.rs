//! What `serve` must refuse to start with, and `check` must say: one line for each fault, with its place, before anything
//! listens.

use crate::support::certificates::Ca;
use crate::support::gate::{refused, run, run_with};
use crate::support::{Client, Dir, Gate, HTPASSWD};
use std::net::TcpListener;

const BACKEND: &[&str] = &["--backend", "http://127.0.0.1:5000"];

/// Runs `serve` with what it must refuse: it says one line with all of `parts`.
#[track_caller]
fn faulty(dir: &Dir, args: &[&str], parts: &[&str]) {
    let told = |lines: &[String]| {
        lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let lines = refused(dir, args);
    assert!(
        told(&lines),
        "no line of serve with {parts:?}:\n{}",
        lines.join("\n")
    );
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_refused() {
    let (dir, ca) = (Dir::new(), Ca::new());
    let (one, other) = (ca.sign(&["localhost"]), ca.sign(&["localhost"]));
    let (cert, key) = (
        dir.file("cert.pem", &one.cert),
        dir.file("key.pem", &one.key),
    );
    let other_key = dir.file("other.pem", &other.key);
    let garbage = dir.file(
        "garbage.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let empty = dir.file("empty.pem", "");
    let none = dir.path("none.pem");
    let directory = dir.as_path().to_str().unwrap();
    let quoted = |name: &str, path: &str| format!("{name} \"{path}\"");
    for (cert, key, at) in [
        (none.as_str(), key.as_str(), quoted("tls-cert", &none)),
        (&cert, &none, quoted("tls-key", &none)),
        (directory, &key, quoted("tls-cert", directory)),
        (&cert, directory, quoted("tls-key", directory)),
        (&empty, &key, quoted("tls-cert", &empty)),
        (&cert, &empty, quoted("tls-key", &empty)),
        (&garbage, &key, quoted("tls-cert", &garbage)),
        (&cert, &garbage, quoted("tls-key", &garbage)),
        (&cert, &other_key, quoted("tls-key", &other_key)),
    ] {
        let args = [
            "--listen",
            "https://127.0.0.1:0",
            "--tls-cert",
            cert,
            "--tls-key",
            key,
            BACKEND[0],
            BACKEND[1],
        ];
        faulty(&dir, &args, &[&at]);
    }
    let unpaired = [
        "--listen",
        "https://127.0.0.1:0",
        "--tls-cert",
        &cert,
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(&dir, &unpaired, &["tls-key"]);
    faulty(
        &dir,
        &["--listen", "https://127.0.0.1:0", BACKEND[0], BACKEND[1]],
        &["tls-self-signed"],
    );
}

#[test]
fn a_password_file_that_cannot_be_used_is_refused_by_line() {
    let dir = Dir::new();
    let none = dir.path("none");
    faulty(
        &dir,
        &["--htpasswd", &none, BACKEND[0], BACKEND[1]],
        &[&format!("htpasswd \"{none}\"")],
    );
    let file = dir.path("users");
    for (line, word) in [
        ("bob:rqXexS6ZhobKA", ""),
        ("bob:plain", ""),
        ("bob:$2y$04$tooshort", ""),
        (
            "bob:y4$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "",
        ),
        (
            "bob:$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "",
        ),
        (
            "bob:$6$rounds=999999999$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
            "",
        ),
        ("bob:{SHA}short", ""),
        (
            "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "the user of line 1 again",
        ),
        (
            "bob:Registry:0123456789abcdef0123456789abcdef",
            "htdigest line",
        ),
        (":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", ""),
        ("bob", ""),
    ] {
        std::fs::write(&file, format!("{HTPASSWD}# a comment\n{line}\n")).unwrap();
        faulty(
            &dir,
            &["--htpasswd", &file, BACKEND[0], BACKEND[1]],
            &[&format!("{file}:3"), word],
        );
    }
    for hash in ["hunter2", "rqXexS6ZhobKA"] {
        std::fs::write(&file, format!("bob:{hash}\n")).unwrap();
        let lines = refused(&dir, &["--htpasswd", &file, BACKEND[0], BACKEND[1]]);
        let told = lines.iter().any(|line| line.contains(hash));
        assert!(!told, "a hash or password is shown:\n{}", lines.join("\n"));
    }
}

#[test]
fn a_backend_that_is_no_backend_is_refused() {
    let dir = Dir::new();
    for url in [
        "ftp://127.0.0.1:5000",
        "127.0.0.1:5000",
        "http://",
        "http://127.0.0.1:5000/v2/",
        "http://127.0.0.1:5000?a",
        "http://127.0.0.1:99999",
        "unix:",
    ] {
        faulty(
            &dir,
            &["--backend", url],
            &["backend", "\"", url.split('?').next().unwrap()],
        );
    }
    faulty(&dir, &[], &["backend"]);
    let lines = refused(&dir, &["--backend", "http://user:hunter2@127.0.0.1:5000"]);
    assert!(!lines.join("\n").contains("hunter2"), "{lines:#?}");
    let none = dir.path("none.pem");
    faulty(
        &dir,
        &["--backend", "https://127.0.0.1:5000", "--backend-ca", &none],
        &[&format!("backend-ca \"{none}\"")],
    );
}

#[test]
fn an_address_that_cannot_be_had_is_refused_before_anything_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let args = [
        "--listen",
        "http://127.0.0.1:0",
        "--listen",
        &url,
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(
        &Dir::new(),
        &args,
        &[&format!("listen \"{url}\""), "in use"],
    );
    let args = [
        "--listen",
        "http://127.0.0.1:0",
        "--listen",
        "http://192.0.2.77:0",
        "--insecure-http",
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(&Dir::new(), &args, &["listen \"http://192.0.2.77:0\""]);
}

#[test]
fn passwords_in_the_clear_are_refused_off_loopback() {
    let args = ["--listen", "http://0.0.0.0:0", BACKEND[0], BACKEND[1]];
    faulty(
        &Dir::new(),
        &args,
        &["listen \"http://0.0.0.0:0\"", "insecure-http"],
    );
    let gate = Gate::start(&[
        "--listen",
        "http://0.0.0.0:0",
        "--insecure-http",
        BACKEND[0],
        BACKEND[1],
    ]);
    let port = gate
        .authority("http")
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    Client::clear(&format!("127.0.0.1:{port}")).assert_open();
}

#[test]
fn every_fault_is_said_in_one_run_by_serve_and_by_check() {
    let dir = Dir::new();
    let cert = dir.path("none.crt");
    let users = dir.file("users", format!("{HTPASSWD}bob:plain\ncarol:alsoplain\n"));
    let args = [
        "--listen",
        "https://127.0.0.1:0",
        "--listen",
        "http://0.0.0.0:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &cert,
        "--htpasswd",
        &users,
        "--backend",
        "ftp://x",
    ];
    let parts = [
        "ftp://x",
        "http://0.0.0.0:0",
        "none.crt",
        "users:2",
        "users:3",
    ];
    let served = refused(&dir, &args);
    let mut check = vec!["check"];
    check.extend(args);
    let checked = run(&check);
    assert_eq!(checked.code(), Some(78), "{checked:#?}");
    for part in parts {
        for lines in [served.join("\n"), checked.text()] {
            assert!(lines.contains(part), "{part} is not in\n{lines}");
        }
    }
}

#[test]
fn a_fault_in_a_configuration_file_is_named_by_its_line() {
    let dir = Dir::new();
    let none = dir.path("none.pem");
    let text = format!(
        "# a gate\nlisten https://127.0.0.1:0\nbackend http://127.0.0.1:5000\ntls-cert {none}\ntls-key {none}\nhtpasswd {}\n",
        dir.file("users", HTPASSWD)
    );
    let config = dir.file("portreeve.conf", text);
    for command in ["serve", "check"] {
        let outcome = run(&[command, "--config", &config]);
        assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
        let wanted = format!("{config}:5: tls-key \"{none}\": ");
        assert!(
            outcome.text().lines().any(|line| line.contains(&wanted)),
            "no {wanted:?} in {outcome:#?}"
        );
    }
}

#[test]
fn check_is_content_with_what_serve_takes_and_binds_nothing() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let users = dir.file("users", HTPASSWD);
    let outcome = run(&[
        "check",
        "--listen",
        &url,
        "--htpasswd",
        &users,
        BACKEND[0],
        BACKEND[1],
    ]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    let outcome = run_with(
        &["check", "--listen", &url],
        &[
            ("BACKEND", "http://127.0.0.1:5000"),
            ("PORTREEVE_HTPASSWD", &users),
        ],
        b"",
    );
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}
