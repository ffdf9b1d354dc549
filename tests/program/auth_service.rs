//! `portreeve auth`: what a proxy that asks gets to hear, over every listener, and that it is as strict as the gate.

use crate::support::gate::run;
use crate::support::{AUTH, Client, Dir, Gate, HTPASSWD, Message, basic};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const YES: &str = "User authenticated successfully";
const NO: &str = "Unauthorized";
const CHALLENGE: &str = "Basic realm=\"Registry\"";

const PATHS: [&str; 7] = [
    "/",
    "/auth",
    "/v2/",
    "/v2/a/b/manifests/latest",
    "/v2/_catalog?n=1",
    "/healthz",
    "/a?b=../c",
];
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
];

fn service() -> Gate {
    Gate::auth_service(Dir::new(), &[])
}

fn service_with(users: &str) -> Gate {
    let dir = Dir::new();
    let file = dir.file("users", users);
    Gate::auth_service(dir, &["--htpasswd", &file])
}

#[track_caller]
fn assert_yes(answer: &Message, user: Option<&str>) {
    assert_eq!((answer.status(), answer.text().as_str()), (200, YES));
    assert_eq!(answer.field("X-Remote-User"), user);
    assert!(!answer.has("WWW-Authenticate"));
    assert_plain(answer);
}

#[track_caller]
fn assert_no(answer: &Message) {
    assert_eq!((answer.status(), answer.text().as_str()), (401, NO));
    assert_eq!(answer.field("WWW-Authenticate"), Some(CHALLENGE));
    assert!(!answer.has("X-Remote-User"));
    assert_plain(answer);
}

#[track_caller]
fn assert_plain(answer: &Message) {
    let kind = answer.field("Content-Type").unwrap();
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert!(!answer.has("Docker-Distribution-Api-Version"));
}

#[test]
fn every_path_and_method_is_answered_alike_on_one_connection() {
    let service = service();
    for mut client in [service.http(), service.https()] {
        for path in PATHS {
            for method in METHODS {
                let line = format!("{method} {path}");
                let (yes, no) = (client.ask(&line, &[AUTH]), client.ask(&line, &[]));
                if method == "HEAD" {
                    assert_eq!((yes.status(), no.status()), (200, 401), "{line}");
                    let length = |text: &str| Some(text.len().to_string());
                    assert_eq!(yes.field("Content-Length").map(str::to_owned), length(YES));
                    assert_eq!(no.field("Content-Length").map(str::to_owned), length(NO));
                } else {
                    assert_yes(&yes, Some("alice"));
                    assert_no(&no);
                }
                assert!(!yes.has("Connection") && !no.has("Connection"), "{line}");
            }
        }
    }
}

#[test]
fn whoever_is_not_known_is_told_no() {
    let service = service();
    let mut client = service.http();
    for field in [
        basic(b"alice", b"wrong"),
        basic(b"bob", b"secret"),
        basic(b"", b""),
        "Authorization: Bearer abc".to_owned(),
        "Authorization: Basic !".to_owned(),
        "X-Remote-User: alice".to_owned(),
    ] {
        assert_no(&client.ask("GET /", &[&field]));
    }
    let both = [AUTH, &basic(b"alice", b"wrong")];
    assert_eq!(client.ask("GET /", &both).status(), 400);
}

#[test]
fn every_kind_of_hash_is_known() {
    let service = service_with(
        "2y:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n\
         apr1:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n\
         1:$1$saltsalt$9xy1btjgzLYfb7hivXtC//\n\
         5:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA\n\
         6:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1\n\
         SHA:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\
         SSHA:{SSHA}Wcm1xEisNjqp921ALcHfuQ7avFdzYWx0MTIzNA==\n",
    );
    let mut client = service.http();
    for name in ["2y", "apr1", "1", "5", "6", "SHA", "SSHA"] {
        let right = basic(name.as_bytes(), b"secret");
        // The second answer is remembered.
        for _ in 0..2 {
            assert_yes(&client.ask("GET /", &[&right]), Some(name));
        }
        assert_no(&client.ask("GET /", &[&basic(name.as_bytes(), b"Secret")]));
    }
}

#[test]
fn a_name_that_cannot_stand_in_a_field_is_not_named() {
    let hash = HTPASSWD.trim_start_matches("alice");
    let service = service_with(&format!("änne{hash}edge {hash}"));
    let mut client = service.http();
    assert_yes(
        &client.ask("GET /", &[&basic("änne".as_bytes(), b"secret")]),
        Some("änne"),
    );
    // A reader of the field would take it for "edge".
    let answer = client.ask("GET /", &[&basic(b"edge ", b"secret")]);
    assert_yes(&answer, None);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = service();
    let mut client = service.http();
    let request = |field: &str| format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    let auth = format!("{AUTH}\r\n");
    client.send([request(&auth), request(""), request(&auth)].concat());
    assert_yes(&client.answer(), Some("alice"));
    assert_no(&client.answer());
    assert_yes(&client.answer(), Some("alice"));
    client.assert_open();
}

#[test]
fn old_clients_and_those_that_want_an_end_get_one() {
    let service = service();
    let mut client = service.http();
    client.send(format!("GET / HTTP/1.0\r\nHost: x\r\n{AUTH}\r\n\r\n"));
    assert_yes(&client.answer(), Some("alice"));
    client.assert_closed();
    for field in [AUTH, "X: y"] {
        let mut client = service.https();
        let answer = client.ask("GET /", &[field, "Connection: close"]);
        assert_eq!(answer.field("Connection"), Some("close"));
        client.assert_closed();
    }
}

#[test]
fn an_announced_body_is_never_waited_for() {
    // As nginx asks that was not told to leave the Content-Length out: no body follows, but perhaps the next request.
    let service = service();
    for field in [
        "Content-Length: 5",
        "Content-Length: 900000000",
        "Transfer-Encoding: chunked",
    ] {
        for (auth, status) in [(AUTH, 200), ("X: y", 401)] {
            let mut client = service.http();
            client.request("POST /v2/a/blobs/uploads/", &[auth, field]);
            let answer = client.answer();
            assert_eq!(answer.status(), status, "{field}");
            assert_eq!(answer.field("Connection"), Some("close"), "{field}");
            client.assert_closed();
        }
    }
}

#[test]
fn whoever_sends_the_body_first_still_sees_the_answer() {
    let service = service();
    let body = vec![b'x'; 1 << 20];
    let length = format!("Content-Length: {}", body.len());
    for (auth, status) in [(AUTH, 200), ("X: y", 401)] {
        for mut client in [service.http(), service.https()] {
            client.request_with("PUT /", &[auth, &length], &body);
            assert_eq!(client.answer().status(), status);
            client.assert_closed();
        }
    }
    let mut client = service.http();
    let answer = client.ask(
        "PUT /",
        &[AUTH, "Content-Length: 5", "Expect: 100-continue"],
    );
    assert_yes(&answer, Some("alice"));
    client.assert_closed();
}

#[test]
fn grammar_and_framing_are_as_strict_as_at_the_gate() {
    let service = service();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: x\n\n", 400),
        ("GET /v2/#x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    ] {
        let mut client = service.http();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{request}");
        // To whoever reads the proxy's log, and not to docker.
        assert_plain(&answer);
        assert!(answer.body.ends_with(b"\n"), "{}", answer.text());
        client.assert_closed();
    }
}

#[test]
fn a_unix_listener_serves() {
    let dir = Dir::new();
    let path = dir.path("auth.sock");
    let service = Gate::auth_service(dir, &["--listen", &format!("unix:{path}")]);
    for (field, line, body) in [
        (AUTH, "HTTP/1.1 200 OK\r\n", YES),
        ("X: y", "HTTP/1.1 401 ", NO),
    ] {
        let mut client = UnixStream::connect(&path).unwrap();
        client
            .set_read_timeout(Some(crate::support::PATIENCE))
            .unwrap();
        let request = format!("GET /auth HTTP/1.0\r\nHost: x\r\n{field}\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(line) && answer.ends_with(body),
            "{answer}"
        );
    }
    assert_eq!(service.terminate().code(), Some(0));
    assert!(UnixStream::connect(&path).is_err());
}

#[test]
fn the_log_knows_the_client_behind_a_trusted_proxy() {
    let service = Gate::auth_service(Dir::new(), &["--trusted-proxy", "127.0.0.1"]);
    let mut client = service.http();
    client.ask("GET /auth", &[AUTH, "X-Forwarded-For: 203.0.113.7"]);
    let line = service
        .log
        .wait_for("the request", |line| line.contains("\"GET /auth\""));
    assert!(
        line.contains(" 203.0.113.7 alice ") && line.contains("\" 200 "),
        "{line}"
    );
}

#[test]
fn it_ends_like_the_gate() {
    for signal in [Signal::TERM, Signal::INT] {
        let service = service();
        let mut kept = service.https();
        assert_yes(&kept.ask("GET /", &[AUTH]), Some("alice"));
        let mut fresh = service.http();
        fresh.send("GET / HT");
        service.signal(signal);
        let outcome = service.wait();
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
        assert!(outcome.text().contains("\"GET /\" 200"), "{outcome:#?}");
        kept.assert_closed();
    }
}

#[test]
fn it_is_ready_without_a_backend_and_well_by_the_health_command() {
    let dir = Dir::new();
    let admin = format!("unix:{}", dir.path("admin.sock"));
    let service = Gate::auth_service(dir, &["--admin", &admin]);
    let url = service.urls.first().unwrap();
    for settings in [["--admin", &admin], ["--listen", url]] {
        let outcome = run(&[&["health"][..], &settings].concat());
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    }
}

#[test]
fn one_file_serves_both_commands_and_flags_of_serve_are_wrong_usage() {
    let dir = Dir::new();
    let file = dir.file(
        "conf",
        "backend http://127.0.0.1:5000\nconnect-timeout 9\nrealm Shared\n",
    );
    let service = Gate::auth_service(dir, &["--config", &file]);
    let answer = service.http().ask("GET /", &[]);
    assert_eq!(
        answer.field("WWW-Authenticate"),
        Some("Basic realm=\"Shared\"")
    );
    for flag in ["--backend=x", "--auth-backend=x", "--response-timeout=1"] {
        let outcome = run(&["auth", "--htpasswd", "users", flag]);
        assert_eq!(outcome.code(), Some(2), "{outcome:#?}");
        assert!(
            outcome.text().contains("is a flag of serve"),
            "{outcome:#?}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_at_once_with_78() {
    let dir = Dir::new();
    let bad = dir.file("users", "alice:plain\n");
    let outcome = run(&["auth", "--htpasswd", &bad, "--listen", "http://0.0.0.0:0"]);
    assert_eq!(outcome.code(), Some(78));
    let said = outcome.text();
    assert!(said.contains(":1: ") && said.contains("--listen"), "{said}");
    let outcome = run(&["auth", "--listen", "http://127.0.0.1:0"]);
    assert_eq!(outcome.code(), Some(78));
    assert!(
        outcome.text().contains("htpasswd: required"),
        "{}",
        outcome.text()
    );
}

#[test]
fn many_clients_at_once_are_told_apart() {
    let service = service();
    let authority = service.authority("http");
    std::thread::scope(|scope| {
        for number in 0..16 {
            scope.spawn(move || {
                let mut client = Client::clear(authority);
                for _ in 0..20 {
                    match number % 2 {
                        0 => assert_yes(&client.ask("GET /", &[AUTH]), Some("alice")),
                        _ => assert_no(&client.ask("GET /", &[])),
                    }
                }
            });
        }
    });
}
