//! Who is let through: password files with every kind of hash, refusals on every path and method, and that nothing of a
//! refused request reaches the backend.

use crate::support::{AUTH, Backend, Gate, HTPASSWD, basic};

/// The user is the kind, the password `secret`, everything made by `htpasswd`, `openssl passwd` or by hand.
const KINDS: &str = "\u{feff}# every kind\r
\r
2a:$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\r
2b:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\r
2y:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW
apr1:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0
1:$1$saltsalt$9xy1btjgzLYfb7hivXtC//
5:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA
6:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1
SHA:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
SSHA:{SSHA}Wcm1xEisNjqp921ALcHfuQ7avFdzYWx0MTIzNA==";

const NAMES: [&str; 9] = ["2a", "2b", "2y", "apr1", "1", "5", "6", "SHA", "SSHA"];

fn gate_with(users: &str, backend: &Backend) -> Gate {
    let dir = crate::support::Dir::new();
    let file = dir.file("users", users);
    Gate::start_in(dir, &["--htpasswd", &file, "--backend", backend.url()])
}

#[test]
fn every_kind_of_hash_lets_its_user_in_and_nobody_else() {
    let backend = Backend::echo();
    let gate = gate_with(KINDS, &backend);
    let mut client = gate.http();
    for name in NAMES {
        let answer = client.ask("GET /", &[&basic(name.as_bytes(), b"secret")]);
        assert_eq!(answer.status(), 200, "{name}");
        assert!(
            answer.text().contains(&format!("X-Remote-User: {name}\n")),
            "{}",
            answer.text()
        );
    }
    let passed = backend.requests().len();
    for name in NAMES {
        assert_eq!(
            client
                .ask("GET /", &[&basic(name.as_bytes(), b"Secret")])
                .status(),
            401,
            "{name}"
        );
    }
    assert_eq!(backend.requests().len(), passed);
}

#[test]
fn a_challenge_comes_on_every_path_and_method() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.https();
    for path in [
        "/",
        "/v2/",
        "/v2",
        "/v2/a/b/manifests/latest",
        "/v2/_catalog?n=1",
        "/v1/",
        "/auth",
        "/healthz",
        "/metrics",
        "/v2/token",
        "/.well-known/x",
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
        ] {
            let answer = client.ask(&format!("{method} {path}"), &[]);
            assert_eq!(answer.status(), 401, "{method} {path}");
            assert_eq!(
                answer.values("WWW-Authenticate"),
                ["Basic realm=\"Registry\""],
                "{method} {path}"
            );
            if method == "HEAD" {
                continue;
            }
            assert!(!answer.body.is_empty(), "podman fails on an empty body");
            if path.starts_with("/v2") {
                answer.assert_oci("UNAUTHORIZED");
            } else {
                assert!(
                    answer
                        .field("Content-Type")
                        .unwrap()
                        .starts_with("text/plain")
                );
                assert!(
                    answer.body.len() < 300 && answer.body.ends_with(b"\n"),
                    "{}",
                    answer.text()
                );
            }
        }
    }
    backend.assert_untouched();
}

#[test]
fn a_refused_upload_reaches_nobody() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let body = vec![b'x'; 1 << 20];
    let length = format!("Content-Length: {}", body.len());
    let wrong = basic(b"alice", b"wrong");
    for fields in [
        vec![length.as_str()],
        vec![length.as_str(), &wrong],
        vec![length.as_str(), "Authorization: Bearer abc"],
    ] {
        for mut client in [gate.http(), gate.https()] {
            // All of it before anything is read, as some clients do.
            client.request_with("PUT /v2/a/blobs/uploads/x", &fields, &body);
            assert_eq!(client.answer().status(), 401);
            client.assert_closed();
        }
    }
    backend.assert_untouched();
}

#[test]
fn a_remembered_password_is_still_checked() {
    let backend = Backend::echo();
    let gate = gate_with(KINDS, &backend);
    let (right, wrong) = (basic(b"2y", b"secret"), basic(b"2y", b"secret "));
    for _ in 0..3 {
        let mut client = gate.http();
        assert_eq!(client.ask("GET /", &[&right]).status(), 200);
        assert_eq!(client.ask("GET /", &[&wrong]).status(), 401);
        assert_eq!(
            client.ask("GET /", &[&basic(b"2b", b"wrong")]).status(),
            401
        );
        assert_eq!(client.ask("GET /", &[&right]).status(), 200);
        assert_eq!(client.ask("GET /", &[]).status(), 401);
    }
}

#[test]
fn user_and_password_are_split_at_the_first_colon_and_may_be_any_bytes() {
    use base64::Engine;
    let sha = |password: &[u8]| {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, password);
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    let backend = Backend::echo();
    let users = format!(
        "colon:{{SHA}}{}\nbytes:{{SHA}}{}\nänne:{{SHA}}{}\nempty:{{SHA}}{}\n",
        sha(b"a:b:"),
        sha(b"\xff\xfe \t"),
        sha(b"p"),
        sha(b"")
    );
    let gate = gate_with(&users, &backend);
    let mut client = gate.http();
    let cases: [(&[u8], &[u8], u16); 6] = [
        (b"colon", b"a:b:", 200),
        (b"colon", b"a", 401),
        (b"bytes", b"\xff\xfe \t", 200),
        ("änne".as_bytes(), b"p", 200),
        (b"empty", b"", 200),
        (b"", b"x", 401),
    ];
    for (user, password, status) in cases {
        assert_eq!(
            client.ask("GET /", &[&basic(user, password)]).status(),
            status,
            "{}",
            String::from_utf8_lossy(user)
        );
    }
}

#[test]
fn many_clients_at_once_with_one_password_all_get_in() {
    let backend = Backend::echo();
    let gate = gate_with(KINDS, &backend);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let gate = &gate;
            scope.spawn(move || {
                let right = basic(b"6", b"secret");
                let mut client = if number % 2 == 0 {
                    gate.http()
                } else {
                    gate.https()
                };
                for _ in 0..3 {
                    assert_eq!(client.ask("GET /", &[&right]).status(), 200);
                }
            });
        }
    });
}

#[test]
fn what_the_backend_sees_of_the_password_is_a_setting() {
    for (setting, seen) in [
        (None, None),
        (Some("drop"), None),
        (Some("user"), Some("Basic YWxpY2U6")),
        (Some("pass"), AUTH.strip_prefix("Authorization: ")),
    ] {
        let backend = Backend::echo();
        let mut args = vec!["--backend", backend.url()];
        args.extend(
            setting
                .iter()
                .flat_map(|value| ["--backend-authorization", value]),
        );
        let gate = Gate::start(&args);
        assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
        let request = backend.wait_for_request(0);
        assert_eq!(request.field("Authorization"), seen, "{setting:?}");
        assert_eq!(request.field("X-Remote-User"), Some("alice"));
    }
}

#[test]
fn the_password_is_nowhere_in_what_it_writes() {
    let backend = Backend::echo();
    let gate = gate_with(
        &format!("{HTPASSWD}bob:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"),
        &backend,
    );
    let mut client = gate.http();
    for field in [
        AUTH.to_owned(),
        basic(b"bob", b"hunter2"),
        basic(b"hunter2", b"x"),
        "Authorization: Bearer hunter2".to_owned(),
        "Authorization: hunter2".to_owned(),
    ] {
        client.ask("GET /", &[&field]);
    }
    let outcome = gate.terminate();
    let said = outcome.text();
    for secret in [
        "hunter2",
        "secret",
        "YWxpY2U6c2VjcmV0",
        "5en6G6MezRroT3XKqkdPOmY",
        "r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    ] {
        // A user name is not a secret, and may be told where it was tried.
        let told = said.lines().any(|line| {
            let rest = line.replace("claimed=hunter2", "");
            rest.replace("login refused for hunter2 ", "")
                .contains(secret)
        });
        assert!(!told, "{secret} is in\n{said}");
    }
}
