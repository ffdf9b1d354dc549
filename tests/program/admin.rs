//! What `--admin` tells whoever runs the gate, and what the log says of who did what.

use crate::support::acceptor::Refusing;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, basic};
use rustix::process::Signal;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// Where the admin endpoint of a gate is.
fn admin(gate: &Gate) -> String {
    let said = gate.messages.wait_for_text("health on http://");
    let (_, url) = said.split_once("health on http://").unwrap();
    url.split(": ").next().unwrap().to_owned()
}

fn ask(authority: &str, path: &str) -> Message {
    Client::clear(authority).ask(&format!("GET {path}"), &[])
}

fn text(answer: &Message) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// The value of a line of `/metrics`.
fn number(page: &str, line: &str) -> f64 {
    let found = page.lines().find_map(|one| one.strip_prefix(line));
    let value = found.unwrap_or_else(|| panic!("no {line} in\n{page}"));
    value.trim().parse().unwrap()
}

#[test]
fn requests_and_logins_are_counted() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let mut client = gate.http();
    client.ask("GET /v2/", &[]);
    client.ask("GET /v2/", &[&basic(b"alice", b"wrong")]);
    client.ask("GET /v2/", &[&basic(b"alice", b"wrong")]);
    for _ in 0..3 {
        client.ask("GET /v2/", &[AUTH]);
    }
    client.request_with("PUT /v2/x", &[AUTH, "Content-Length: 5"], b"hello");
    client.answer();
    client.ask("G\"T /v2/", &[AUTH]);
    gate.log.wait_for_count(8);
    let answer = ask(&admin(&gate), "/metrics");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let page = text(&answer);
    for (line, value) in [
        (
            "portreeve_requests_total{method=\"GET\",status=\"2xx\"}",
            3.0,
        ),
        (
            "portreeve_requests_total{method=\"GET\",status=\"4xx\"}",
            3.0,
        ),
        (
            "portreeve_requests_total{method=\"PUT\",status=\"2xx\"}",
            1.0,
        ),
        (
            "portreeve_requests_total{method=\"other\",status=\"4xx\"}",
            1.0,
        ),
        (
            "portreeve_request_duration_seconds_count{method=\"GET\"}",
            6.0,
        ),
        ("portreeve_request_body_bytes_sum", 5.0),
        ("portreeve_auth_total{outcome=\"ok\"}", 1.0),
        ("portreeve_auth_total{outcome=\"remembered\"}", 3.0),
        ("portreeve_auth_total{outcome=\"wrong\"}", 2.0),
        ("portreeve_auth_total{outcome=\"absent\"}", 1.0),
        ("portreeve_auth_cache_hits_total", 4.0),
        ("portreeve_auth_cache_misses_total", 2.0),
        ("portreeve_auth_hashes_total", 2.0),
        ("portreeve_max_requests", 4096.0),
        ("portreeve_throttled_networks", 0.0),
        ("portreeve_connections_accepted_total", 1.0),
        ("portreeve_log_lines_lost_total{stream=\"stdout\"}", 0.0),
        ("portreeve_reloads_total{result=\"good\"}", 0.0),
    ] {
        assert_eq!(number(&page, line), value, "{line}\n{page}");
    }
    let up = format!("portreeve_backend_up{{backend=\"{}\"}}", backend.url());
    assert_eq!(number(&page, &up), 1.0);
    // Those that were let in.
    let wait = format!(
        "portreeve_backend_wait_seconds_count{{backend=\"{}\"}}",
        backend.url()
    );
    assert_eq!(number(&page, &wait), 4.0);
    assert!(number(&page, "portreeve_max_connections") > 100.0);
    let (open, most) = (
        number(&page, "process_open_fds"),
        number(&page, "process_max_fds"),
    );
    assert!(open > 5.0 && open < most, "{open} of {most}");
    let certificate = "portreeve_certificate_not_after_timestamp_seconds{certificate=\"0\",name=";
    assert!(page.contains(certificate), "{page}");
}

#[test]
fn connections_are_spread_over_the_loops_within_a_fifth() {
    const CONNECTIONS: usize = 200;
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gate.http()).collect();
    for client in &mut clients {
        // Once it has an answer it was placed.
        assert_eq!(client.ask("GET /v2/", &[AUTH]).status(), 200);
    }
    let page = text(&ask(&admin(&gate), "/metrics"));
    let loops = std::thread::available_parallelism().unwrap().get();
    let of = |number| number_of_loop(&page, number);
    let counts: Vec<f64> = (0..loops).map(of).collect();
    assert_eq!(counts.iter().sum::<f64>(), CONNECTIONS as f64, "{counts:?}");
    let fair = CONNECTIONS as f64 / loops as f64;
    assert!(
        counts
            .iter()
            .all(|count| (count - fair).abs() <= fair / 5.0),
        "{counts:?}"
    );
}

fn number_of_loop(page: &str, loop_number: usize) -> f64 {
    number(
        page,
        &format!("portreeve_loop_connections{{loop=\"{loop_number}\"}}"),
    )
}

#[test]
fn the_calls_of_an_api_are_counted() {
    let (backend, nobody) = (Backend::echo(), Refusing::new());
    let api = format!("http://{}", nobody.authority);
    let args = ["--backend", backend.url(), "--auth-backend", &api];
    let gate = Gate::start(
        &[
            &args[..],
            &["--auth-probe", "off", "--admin", "http://127.0.0.1:0"],
        ]
        .concat(),
    );
    assert_eq!(gate.http().ask("GET /v2/", &[AUTH]).status(), 503);
    let page = text(&ask(&admin(&gate), "/metrics"));
    assert_eq!(number(&page, "portreeve_auth_api_failures_total"), 1.0);
    assert_eq!(
        number(&page, "portreeve_auth_api_duration_seconds_count"),
        1.0
    );
    assert_eq!(
        number(&page, "portreeve_auth_total{outcome=\"unsure\"}"),
        1.0
    );
    let ready = ask(&admin(&gate), "/readyz");
    assert_eq!(ready.status(), 503);
    assert!(
        text(&ready).starts_with("auth-backend http://"),
        "{}",
        text(&ready)
    );
}

#[test]
fn a_backend_that_is_down_is_told_everywhere() {
    let nobody = Refusing::new();
    let backend = format!("http://{}", nobody.authority);
    let gate = Gate::start(&["--backend", &backend, "--admin", "http://127.0.0.1:0"]);
    assert_eq!(gate.http().ask("GET /v2/", &[AUTH]).status(), 502);
    let admin = admin(&gate);
    assert_eq!(ask(&admin, "/healthz").status(), 200);
    let ready = ask(&admin, "/readyz");
    assert_eq!(ready.status(), 503);
    assert!(text(&ready).contains(&backend), "{}", text(&ready));
    let page = text(&ask(&admin, "/metrics"));
    let line = |name: &str| format!("portreeve_backend_{name}{{backend=\"{backend}\"}}");
    assert_eq!(number(&page, &line("up")), 0.0);
    assert!(number(&page, &line("failures_total")) >= 1.0);
    let status = text(&ask(&admin, "/"));
    assert!(
        status.contains("no backend") && status.contains("is down"),
        "{status}"
    );
}

#[test]
fn a_gate_that_is_ready_says_so_and_others_are_told_what_there_is() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let admin = admin(&gate);
    for (path, status) in [
        ("/readyz", 200),
        ("/healthz", 200),
        ("/x", 404),
        ("/metrics?x", 200),
    ] {
        assert_eq!(ask(&admin, path).status(), status, "{path}");
    }
    let refused = Client::clear(&admin).ask("POST /metrics", &["Content-Length: 0"]);
    assert_eq!(refused.status(), 405);
}

#[test]
fn the_page_has_no_script_asks_for_nothing_and_escapes_what_others_wrote() {
    let dir = Dir::new();
    let hostile = "<script>alert(1)</script>";
    let users = format!("{hostile}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let users = dir.file("users", users.as_bytes());
    let backend = Backend::echo();
    let args = ["--htpasswd", &users, "--backend", backend.url()];
    let gate = Gate::start_in(
        dir,
        &[&args[..], &["--admin", "http://127.0.0.1:0"]].concat(),
    );
    let login = basic(hostile.as_bytes(), b"secret");
    assert_eq!(gate.http().ask("GET /", &[&login]).status(), 200);
    gate.log.wait_for_count(1);
    let answer = ask(&admin(&gate), "/");
    assert_eq!(answer.status(), 200);
    let policy = answer.field("Content-Security-Policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let page = text(&answer);
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    for odd in [
        "<script",
        "http-equiv=\"",
        " src=",
        "@import",
        "url(",
        "onload",
    ] {
        assert!(!page.contains(odd), "{odd} in {page}");
    }
    for shown in [
        env!("CARGO_PKG_VERSION"),
        "1 user of the password file",
        backend.url(),
        "days left",
    ] {
        assert!(page.contains(shown), "no {shown} in {page}");
    }
}

#[test]
fn the_page_is_not_shown_under_a_name_that_somebody_else_may_own() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let mut client = Client::clear(&admin(&gate));
    client.send("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    assert_eq!(client.answer().status(), 403);
}

#[test]
fn what_was_pushed_pulled_and_deleted_is_said_with_who_and_where() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let answers = format!("Docker-Content-Digest: {digest}\r\nContent-Length: 0\r\n\r\n");
    let backend = Backend::script(move |mut peer| {
        for status in [
            "201 Created",
            "200 OK",
            "202 Accepted",
            "404 Not Found",
            "200 OK",
        ] {
            peer.head()?;
            peer.say(format!("HTTP/1.1 {status}\r\n{answers}"))?;
        }
        Ok(())
    });
    for form in ["text", "json"] {
        let gate = Gate::start(&["--backend", backend.url(), "--log", form]);
        let mut client = gate.http();
        for request in [
            "PUT /v2/team/app/manifests/1.2".to_owned(),
            "GET /v2/team/app/manifests/1.2".to_owned(),
            format!(
                "DELETE /v2/team/app/manifests/{}",
                digest.replace(':', "%3A")
            ),
            "GET /v2/team/app/manifests/none".to_owned(),
            "GET /v2/team/app/tags/list".to_owned(),
        ] {
            client.ask(&request, &[AUTH, "Content-Length: 0"]);
        }
        client.ask("GET /v2/", &[&basic(b"bo b", b"wrong")]);
        gate.signal(Signal::INT);
        let outcome = gate.wait();
        let said: Vec<_> = outcome
            .stderr
            .iter()
            .filter(|line| line.contains(" from 127.0.0.1"))
            .collect();
        let wanted = [
            format!("alice pushed team/app:1.2 {digest} from 127.0.0.1"),
            format!("alice pulled team/app:1.2 {digest} from 127.0.0.1"),
            format!("alice deleted team/app@{digest} from 127.0.0.1"),
            match form {
                "text" => "login refused for bo\\x20b from 127.0.0.1".to_owned(),
                _ => "login refused for bo\\\\x20b from 127.0.0.1".to_owned(),
            },
        ];
        assert_eq!(said.len(), wanted.len(), "{said:#?}");
        for (line, wanted) in said.iter().zip(&wanted) {
            assert!(line.contains(wanted.as_str()), "no {wanted} in {line}");
        }
        if form == "json" {
            let fields = format!(
                "\"event\":\"push\",\"user\":\"alice\",\"repository\":\"team/app\",\"reference\":\"1.2\",\"digest\":\"{digest}\",\"peer\":\"127.0.0.1\",\"id\":\""
            );
            assert!(said[0].contains(&fields), "{}", said[0]);
            assert!(
                said[3].contains("\"event\":\"login-refused\",\"claimed\":\"bo b\""),
                "{}",
                said[3]
            );
            for (line, fields) in outcome.stdout.iter().zip([
                format!("\"action\":\"push\",\"repository\":\"team/app\",\"reference\":\"1.2\",\"digest\":\"{digest}\"}}"),
                format!("\"action\":\"pull\",\"repository\":\"team/app\",\"reference\":\"1.2\",\"digest\":\"{digest}\"}}"),
                format!("\"action\":\"delete\",\"repository\":\"team/app\",\"digest\":\"{digest}\"}}"),
            ]) {
                assert!(line.ends_with(&fields), "no {fields} in {line}");
            }
        }
    }
}

#[test]
fn messages_carry_priorities_where_they_go_to_the_journal_and_nowhere_else() {
    for is_journal in [true, false] {
        let (mut read, write) = std::io::pipe().unwrap();
        let write = OwnedFd::from(write);
        let stream = std::fs::File::from(write.try_clone().unwrap())
            .metadata()
            .unwrap();
        let inode = stream.ino() + u64::from(!is_journal);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command
            .args([
                "serve",
                "--listen",
                "http://127.0.0.1:0",
                "--backend",
                "http://127.0.0.1:1",
            ])
            .args(["--htpasswd", "/nowhere/users"])
            .env("JOURNAL_STREAM", format!("{}:{inode}", stream.dev()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(write);
        let mut child = command.spawn().unwrap();
        // It holds the other end of the pipe.
        drop(command);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(78));
        assert_eq!(said.starts_with("<3>"), is_journal, "{said}");
    }
}
