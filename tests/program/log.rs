//! The access log: one line a request, whole, escaped, and without what is secret.

use crate::support::{AUTH, Backend, Gate, basic};
use std::time::{Duration, Instant};

/// The value behind `name=` in a line.
fn part<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}= in {line:?}"))
}

#[test]
fn a_request_is_one_line_with_all_its_parts() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.https();
    let body = b"hello";
    client.request_with(
        "PUT /v2/a/manifests/1?b=c",
        &[AUTH, "Content-Length: 5"],
        body,
    );
    let answer = client.answer();
    let line = gate.log.wait_for_text("PUT ");
    let words: Vec<&str> = line.split(' ').collect();
    let time = words[0].as_bytes();
    assert!(
        time.len() >= 20 && time[4] == b'-' && time[10] == b'T' && time.ends_with(b"Z"),
        "{line}"
    );
    assert_eq!(words[1..3], ["127.0.0.1", "alice"], "{line}");
    assert!(
        line.contains(" \"PUT /v2/a/manifests/1?b=c\" 200 "),
        "{line}"
    );
    assert_eq!(part(&line, "up"), "5");
    assert_eq!(part(&line, "down"), answer.body.len().to_string());
    part(&line, "ms").parse::<u64>().unwrap();
    let seen = backend.wait_for_request(0);
    assert_eq!(Some(part(&line, "id")), seen.field("X-Request-ID"));
    client.assert_open();
    assert_eq!(gate.log.wait_for_count(2).len(), 2);
}

/// A number in a line, or nothing.
fn number(line: &str, name: &str) -> Option<u64> {
    let value = line.split(name).nth(1)?;
    let digits = value.split(|letter: char| !letter.is_ascii_digit()).next();
    digits?.parse().ok()
}

#[test]
fn a_slow_registry_is_told_apart_from_a_slow_client() {
    const SLOW: Duration = Duration::from_millis(400);
    let backend = Backend::script(|mut peer| {
        let head = peer.head()?;
        if head.start.contains("/slow-registry") {
            std::thread::sleep(SLOW);
        }
        peer.body(head)?;
        peer.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    let mut connections = 0;
    for (form, ms, wait) in [("text", " ms=", " wait="), ("json", "\"ms\":", "\"wait\":")] {
        let gate = Gate::start(&["--backend", backend.url(), "--log", form]);
        let mut client = gate.http();
        client.ask("GET /v2/slow-registry", &[AUTH]);
        let line = gate.log.wait_for_text("/slow-registry");
        let waited = number(&line, wait).unwrap();
        assert!(waited >= 399, "{line}");
        assert!(number(&line, ms).unwrap() >= waited, "{line}");
        let mut client = gate.http();
        let begun = Instant::now();
        client.request_with("PUT /v2/slow-client", &[AUTH, "Content-Length: 5"], b"he");
        connections += 2;
        backend.wait_for_head(connections - 1);
        std::thread::sleep(SLOW);
        client.send("llo");
        assert_eq!(client.answer().status(), 201);
        let without = begun.elapsed().saturating_sub(SLOW).as_millis();
        let line = gate.log.wait_for_text("/slow-client");
        assert!(number(&line, ms).unwrap() >= 400, "{line}");
        let waited = u128::from(number(&line, wait).unwrap());
        assert!(waited <= without, "{line}, and {without}");
        // Nobody was asked.
        gate.http().ask("GET /v2/refused", &[]);
        let line = gate.log.wait_for_text("/v2/refused");
        assert_eq!(number(&line, wait), None, "{line}");
    }
}

#[test]
fn a_client_that_gives_up_on_a_slow_registry_leaves_a_line_that_says_how_long_it_waited() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    client.request("GET /v2/a", &[AUTH]);
    backend.wait_for_head(0);
    drop(client);
    let line = gate.log.wait_for_text("/v2/a");
    assert!(
        line.contains(" 499 ") && number(&line, " wait=").is_some(),
        "{line}"
    );
}

#[test]
fn refusals_are_logged_too_one_line_each() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    for (request, status) in [
        ("GET /v2/one HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 401),
        (
            format!("GET /v2/../two HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"),
            400,
        ),
        (
            format!(
                "PUT /v2/three HTTP/1.1\r\nHost: x\r\n{AUTH}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
            ),
            400,
        ),
        (
            format!("TRACE /v2/four HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"),
            405,
        ),
        (
            format!(
                "GET /v2/five HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "a".repeat(40_000)
            ),
            431,
        ),
    ] {
        let mut client = gate.http();
        client.send(&request);
        assert_eq!(client.answer().status(), status);
        let path = request.split(' ').nth(1).unwrap();
        let line = gate.log.wait_for_text(path);
        assert!(line.contains(&format!("{path}\" {status} ")), "{line}");
    }
    assert_eq!(gate.terminate().stdout.len(), 5);
    backend.assert_untouched();
}

#[test]
fn nothing_that_a_client_sends_can_forge_a_line_or_move_a_cursor() {
    let backend = Backend::echo();
    let dir = crate::support::Dir::new();
    let users = dir.file(
        "users",
        "od\"d\x1b[2J \\u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".as_bytes(),
    );
    let gate = Gate::try_start_in(dir, &["--htpasswd", &users, "--backend", backend.url()]);
    // A loader may refuse such a name; then there is nothing to be afraid of from that side.
    let gate = gate.unwrap_or_else(|_| Gate::start(&["--backend", backend.url()]));
    let mut client = gate.http();
    let names: [&[u8]; 6] = [
        b"od\"d\x1b[2J \\u",
        b"ev\nil",
        b"a\r\nb",
        b"\x1b[2J",
        b"\xff\xfe\xc2\x9b",
        b"x\" 200 up=1 \"GET /",
    ];
    for name in names {
        client.ask("GET /one", &[&basic(name, b"secret")]);
    }
    let before = names.len();
    for request in [
        "GET /a\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n",
        "G\x07T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\u{9b} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\"q\" HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut client = gate.http();
        client.send(request);
        client.answer();
    }
    let outcome = gate.terminate();
    assert_eq!(outcome.stdout.len(), before + 4, "{:#?}", outcome.stdout);
    for line in outcome.stdout.iter().chain(&outcome.stderr) {
        assert!(
            line.bytes().all(|byte| byte >= b' ' && byte != 0x7f),
            "a raw control character: {line:?}"
        );
        assert!(
            !line.contains('\u{9b}') && !line.contains('\u{fffd}'),
            "{line:?}"
        );
    }
    for line in &outcome.stdout {
        assert!(
            line.starts_with("20") && line.contains("Z 127.0.0.1 ") && part(line, "id").len() >= 8,
            "{line:?}"
        );
    }
}

#[test]
fn values_that_look_like_secrets_are_shortened() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    let long = "abcdefghijklmnopqrstuvwxyz0123456789";
    for name in ["_state", "token", "password", "X-Amz-Signature", "secret"] {
        let target = format!("/v2/a/blobs/uploads/{name}?digest=sha256:kept&{name}={long}&n=1");
        assert_eq!(
            client
                .ask(&format!("PUT {target}"), &[AUTH, "Content-Length: 0"])
                .status(),
            200
        );
        let line = gate.log.wait_for_text(&format!("/uploads/{name}?"));
        assert!(
            line.contains("digest=sha256:kept") && line.contains("n=1"),
            "{line}"
        );
        assert!(
            line.contains(&format!("{name}=abcdefgh")) && !line.contains("abcdefghijklmnop"),
            "{line}"
        );
        assert!(
            backend
                .requests()
                .iter()
                .any(|request| request.start.contains(&target)),
            "the backend must get all of it"
        );
    }
}

#[test]
fn json_is_one_object_a_line() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--log", "json"]);
    assert_eq!(gate.http().ask("GET /v2/json", &[AUTH]).status(), 200);
    let line = gate.log.wait_for_text("/v2/json");
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    let dense: String = line.split_whitespace().collect();
    for text in [
        "\"method\":\"GET\"",
        "\"target\":\"/v2/json\"",
        "\"status\":200",
        "\"user\":\"alice\"",
        "\"peer\":\"127.0.0.1\"",
    ] {
        assert!(dense.contains(text), "no {text} in {line}");
    }
}

#[test]
fn an_upload_that_the_client_cuts_is_logged() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    client.request_with("PUT /v2/cut", &[AUTH, "Content-Length: 10"], b"hello");
    backend.wait_for_head(0);
    client.reset();
    let line = gate.log.wait_for_text("/v2/cut");
    assert!(line.contains("alice"), "{line}");
    assert_eq!(gate.log.all().len(), 1);
}

#[test]
fn a_burst_of_requests_is_logged_whole_and_in_order() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    for number in 0..300 {
        assert_eq!(client.ask(&format!("GET /{number}x"), &[]).status(), 401);
    }
    let lines = gate.log.wait_for_count(300);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("\"GET /{number}x\" 401 ")), "{line}");
    }
}
