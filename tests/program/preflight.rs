//! CORS preflights, which browsers send without credentials before a page of another origin may ask for something: where they are
//! let through, and what of them.

use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, api, basic, readable};

const ORIGIN: &str = "Origin: https://ui.example";
const METHOD: &str = "Access-Control-Request-Method: DELETE";
const NAMES: &str = "access-control-request-headers: authorization";
/// What the gate says itself.
const OF_GATE: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
];

fn gate(backend: &Backend, args: &[&str]) -> Gate {
    Gate::start(&[&["--backend", backend.url(), "--preflight"], args].concat())
}

/// The names of its fields, sorted.
fn names(message: &Message) -> Vec<String> {
    let head = String::from_utf8_lossy(&message.raw).into_owned();
    let head = head.split("\r\n\r\n").next().unwrap();
    let names = head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next().unwrap());
    let mut names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_bare(request: &Message, own: &[&str]) {
    let mut wanted = [&OF_GATE, own].concat();
    wanted.sort_unstable();
    assert_eq!(names(request), wanted, "{}", readable(&request.raw));
}

#[test]
fn a_preflight_is_let_through_with_what_it_consists_of() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    for (number, mut client) in gate.both().into_iter().enumerate() {
        let fields = [
            ORIGIN,
            METHOD,
            NAMES,
            "Access-Control-Request-Private-Network: true",
            AUTH,
            "Cookie: session=1",
            "User-Agent: a browser",
            "Accept: */*",
            "Content-Length: 0",
            "Content-Type: text/plain",
            "Access_Control_Request_Method: PUT",
            "X-Forwarded-For: 6.6.6.6",
            "X-Remote-User: root",
            "Referer: https://ui.example/secret",
        ];
        assert_eq!(client.ask("OPTIONS /v2/a/b?c=d", &fields).status(), 200);
        let request = backend.wait_for_request(number);
        assert_eq!(request.start, "OPTIONS /v2/a/b?c=d HTTP/1.1");
        assert_bare(
            &request,
            &[
                "host",
                "origin",
                "access-control-request-method",
                "access-control-request-headers",
                "access-control-request-private-network",
            ],
        );
        assert_eq!(request.field("Origin"), Some("https://ui.example"));
        assert_eq!(
            request.field("Access-Control-Request-Method"),
            Some("DELETE")
        );
        assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
        // The next request needs credentials as ever.
        client.assert_open();
    }
    let line = gate.log.wait_for_text("\"OPTIONS /v2/a/b?c=d\" 200 ");
    assert!(line.contains(" 127.0.0.1 - "), "{line}");
}

#[test]
fn what_is_no_preflight_needs_credentials() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    for (line, fields, body) in [
        ("OPTIONS /v2/", &[][..], &b""[..]),
        ("OPTIONS /v2/", &[ORIGIN], b""),
        ("OPTIONS /v2/", &[METHOD], b""),
        ("OPTIONS /v2/", &[ORIGIN, ORIGIN, METHOD], b""),
        ("OPTIONS /v2/", &[ORIGIN, METHOD, METHOD], b""),
        ("OPTIONS *", &[ORIGIN, METHOD], b""),
        ("GET /v2/", &[ORIGIN, METHOD], b""),
        ("options /v2/", &[ORIGIN, METHOD], b""),
        (
            "OPTIONS /v2/",
            &[ORIGIN, METHOD, "Content-Length: 5"],
            b"hello",
        ),
        (
            "OPTIONS /v2/",
            &[ORIGIN, METHOD, "Transfer-Encoding: chunked"],
            b"5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "OPTIONS /v2/",
            &[ORIGIN, METHOD, "Transfer-Encoding: chunked"],
            b"0\r\n\r\n",
        ),
    ] {
        let mut client = gate.http();
        client.request_with(line, fields, body);
        assert_eq!(client.answer().status(), 401, "{line} {fields:?}");
    }
    backend.assert_untouched();
    // With credentials it goes on as any request does.
    let mut client = gate.http();
    let fields = [ORIGIN, METHOD, AUTH, "Cookie: a=b", "Content-Length: 5"];
    client.request_with("OPTIONS /v2/", &fields, b"hello");
    assert_eq!(client.answer().status(), 200);
    let request = backend.wait_for_request(0);
    assert_eq!(request.field("Cookie"), Some("a=b"));
    assert_eq!(request.body, b"hello");
}

#[test]
fn without_the_setting_a_preflight_is_any_request() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let mut client = gate.http();
    assert_eq!(client.ask("OPTIONS /v2/", &[ORIGIN, METHOD]).status(), 401);
    backend.assert_untouched();
    let fields = [ORIGIN, METHOD, AUTH, "Cookie: a=b"];
    assert_eq!(client.ask("OPTIONS /v2/", &fields).status(), 200);
    assert_eq!(backend.wait_for_request(0).field("Cookie"), Some("a=b"));
}

#[test]
fn credentials_of_a_preflight_are_neither_checked_nor_passed_on() {
    let backend = Backend::echo();
    let gate = gate(&backend, &["--backend-authorization", "pass"]);
    for number in 0..15_u8 {
        let wrong = basic(b"alice", &[b'0' + number]);
        let answer = gate.http().ask("OPTIONS /v2/", &[ORIGIN, METHOD, &wrong]);
        assert_eq!(answer.status(), 200);
        let request = backend.wait_for_request(number.into());
        assert_bare(
            &request,
            &["host", "origin", "access-control-request-method"],
        );
    }
    // Two, or one that is too long, are not read either.
    let long = format!("Authorization: Basic {}", "a".repeat(9000));
    let answer = gate
        .http()
        .ask("OPTIONS /v2/", &[ORIGIN, METHOD, AUTH, &long]);
    assert_eq!(answer.status(), 200);
    let wrong = basic(b"alice", b"wrong");
    assert_eq!(gate.http().ask("GET /v2/", &[&wrong]).status(), 401);
    gate.messages.wait_for_text("login refused for alice");
    let messages = gate.messages.all();
    let refused = messages
        .iter()
        .filter(|line| line.contains("login refused"));
    assert_eq!(refused.count(), 1, "{messages:#?}");
}

#[test]
fn paths_are_as_strict_as_ever() {
    let backend = Backend::echo();
    let gate = gate(&backend, &[]);
    for path in ["/v2/../a", "/v2/a%2fb", "/v2//a", "/v2/./a"] {
        let answer = gate
            .http()
            .ask(&format!("OPTIONS {path}"), &[ORIGIN, METHOD]);
        assert_eq!(answer.status(), 400, "{path}");
    }
    backend.assert_untouched();
}

#[test]
fn neither_an_access_file_nor_an_api_is_asked() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let access = dir.file("access", "anonymous pull public/**\nalice push team/**\n");
    let args = [
        "--backend",
        backend.url(),
        "--preflight",
        "--access",
        &access,
    ];
    let args = [&args[..], &["--external-url", "https://registry.example"]].concat();
    let gate = Gate::start_in(dir, &args);
    for path in ["/v2/", "/v2/team/a/manifests/latest", "/ui"] {
        let answer = gate
            .http()
            .ask(&format!("OPTIONS {path}"), &[ORIGIN, METHOD]);
        assert_eq!(answer.status(), 200, "{path}");
    }
    // The gate's own path is nobody else's business.
    let answer = gate.http().ask("OPTIONS /v2/token", &[ORIGIN, METHOD]);
    assert_eq!(answer.status(), 404);
    assert_eq!(backend.requests().len(), 3);

    let backend = Backend::echo();
    let api = api::api(|_| panic!("it was asked"));
    let gate = api::gate(&api, &backend, &["--preflight", "--auth-probe", "off"]);
    assert_eq!(
        gate.http().ask("OPTIONS /v2/", &[ORIGIN, METHOD]).status(),
        200
    );
    api.assert_untouched();
}

#[test]
fn clients_of_other_networks_send_no_preflights() {
    let backend = Backend::echo();
    let gate = gate(&backend, &["--allow", "127.0.0.2"]);
    assert_eq!(
        gate.http().ask("OPTIONS /v2/", &[ORIGIN, METHOD]).status(),
        403
    );
    backend.assert_untouched();
    let mut allowed = Client::clear_from([127, 0, 0, 2], gate.authority("http"));
    assert_eq!(allowed.ask("OPTIONS /v2/", &[ORIGIN, METHOD]).status(), 200);
}
