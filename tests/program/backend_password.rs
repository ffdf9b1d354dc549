//! A registry with a password of its own behind a gate that keeps its clients' passwords to itself.

use crate::support::api::{answer, api};
use crate::support::gate::run;
use crate::support::{AUTH, Backend, Dir, Gate, HTPASSWD};

const ASKS: &str = "the backend asks for a password itself";

fn with_password() -> Backend {
    api(|_| {
        answer(
            "401 Unauthorized",
            &["WWW-Authenticate: Basic realm=\"theirs\""],
        )
    })
}

#[test]
fn the_operator_is_told_what_to_set_in_each_line_and_once_in_the_messages() {
    let backend = with_password();
    let gate = Gate::start(&["--backend", backend.url(), "--drain-timeout", "1"]);
    let mut client = gate.http();
    for path in ["/v2/", "/v2/a/tags/list", "/"] {
        assert_eq!(client.ask(&format!("GET {path}"), &[AUTH]).status(), 401);
    }
    let outcome = gate.terminate();
    assert_eq!(outcome.stdout.len(), 3);
    for line in &outcome.stdout {
        assert!(
            line.contains(" alice \"GET ") && line.contains(ASKS),
            "{line}"
        );
        assert!(line.contains("backend-authorization"), "{line}");
    }
    let told: Vec<_> = outcome
        .stderr
        .iter()
        .filter(|line| line.contains(ASKS))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("WARN"), "{told:?}");
}

#[test]
fn check_asks_the_backend_and_says_it_too() {
    let dir = Dir::new();
    let file = dir.file("htpasswd", HTPASSWD);
    let check = |backend: &str, more: &[&str]| {
        let fixed = [
            "check",
            "--listen",
            "http://127.0.0.1:0",
            "--htpasswd",
            &file,
        ];
        run(&[&fixed[..], &["--backend", backend], more].concat())
    };
    let backend = with_password();
    let outcome = check(backend.url(), &[]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    let warning = format!("warning: --backend \"{}\": {ASKS}", backend.url());
    assert!(outcome.text().contains(&warning), "{outcome:#?}");
    let asked = backend.wait_for_request(0);
    assert_eq!(
        (asked.start.as_str(), asked.has("Authorization")),
        ("GET /v2/ HTTP/1.1", false)
    );

    let others = check(backend.url(), &["--backend-authorization", "pass"]);
    assert!(!others.text().contains(ASKS), "{others:#?}");
    for status in ["200 OK", "404 Not Found", "401 Unauthorized"] {
        let open = api(move |_| answer(status, &["WWW-Authenticate: Bearer realm=\"x\""]));
        let outcome = check(open.url(), &[]);
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
        assert!(!outcome.text().contains(ASKS), "{outcome:#?}");
    }
    // One that is not there may be started later.
    let outcome = check("http://127.0.0.1:1", &[]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(!outcome.text().contains(ASKS), "{outcome:#?}");
}
