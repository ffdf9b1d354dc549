//! Which paths pass: where an API is asked about each of them, and for an auth service.

use crate::support::api::{MAX_AGE, answer, api, gate, only_alice, uris};
use crate::support::gate::refused;
use crate::support::{AUTH, Backend, Dir, Gate};

/// Paths that two programs could read differently, as real clients ask for them and as nobody should.
const AMBIGUOUS: [&str; 12] = [
    "/@scope%2fname",
    "/pool/a_1%7ebeta.deb",
    "/debian/./Packages",
    "/a/../b",
    "/a[0]",
    "/\u{e9}",
    "/%762/",
    "/%zz",
    "/a\\b",
    "//v2/",
    "/..;/b",
    "/a%00",
];

/// The same below `/v2/`.
const IN_REGISTRY: [&str; 4] = ["/v2/../b", "/v2/a%2fb", "/v2//a", "/v2/.;/a"];

#[test]
fn an_api_that_is_asked_about_each_path_is_never_taken_at_its_word_for_another() {
    for fields in [
        &[][..],
        &["Cache-Control: no-store"],
        &[MAX_AGE, "Vary: Cookie, X-Original-URI"],
        &[MAX_AGE, "Vary: *"],
    ] {
        let (api, backend) = (
            api(move |request| only_alice(request, fields)),
            Backend::echo(),
        );
        let gate = gate(&api, &backend, &[]);
        for path in AMBIGUOUS.iter().chain(&IN_REGISTRY) {
            // The connection ends with a refusal.
            let line = format!("GET {path}");
            assert_eq!(gate.http().ask(&line, &[AUTH]).status(), 400, "{path}");
        }
        backend.assert_untouched();
        gate.log
            .wait_for_text("\"GET /@scope%2fname\" 400 up=0 down=");
        let mut client = gate.http();
        for path in ["/a?x=../%2f", "/a//b", "/a%20b", "/v2/a%3Ab"] {
            let line = format!("GET {path}");
            assert_eq!(client.ask(&line, &[AUTH]).status(), 200, "{path}");
        }
    }
}

#[test]
fn an_answer_that_holds_for_every_path_lets_any_of_them_through_as_it_is() {
    for (args, fields) in [(&["--auth-cache", "30"][..], &[][..]), (&[], &[MAX_AGE])] {
        let (api, backend) = (
            api(move |request| only_alice(request, fields)),
            Backend::echo(),
        );
        let gate = gate(&api, &backend, args);
        for (number, path) in AMBIGUOUS.iter().enumerate() {
            let line = format!("GET {path}");
            assert_eq!(gate.http().ask(&line, &[AUTH]).status(), 200, "{path}");
            backend.wait_for_request(number);
            let expected = format!("{line} HTTP/1.1");
            let seen = backend.requests();
            assert!(seen.iter().any(|seen| seen.start == expected), "{path}");
        }
        // One answer is for all of them.
        assert_eq!(uris(&api), [AMBIGUOUS[0]]);
        for path in IN_REGISTRY {
            let line = format!("GET {path}");
            assert_eq!(gate.http().ask(&line, &[AUTH]).status(), 400, "{path}");
        }
        assert_eq!(backend.requests().len(), AMBIGUOUS.len());
    }
}

#[test]
fn who_is_let_in_without_credentials_is_let_in_for_a_path() {
    let (api, backend) = (api(|_| answer("200 OK", &[MAX_AGE])), Backend::echo());
    let gate = gate(&api, &backend, &[]);
    // The second time the answer is remembered.
    for _ in 0..2 {
        assert_eq!(gate.http().ask("GET /public/../b", &[]).status(), 400);
    }
    backend.assert_untouched();
    assert_eq!(gate.http().ask("GET /public/b", &[]).status(), 200);
}

#[test]
fn as_sent_is_for_an_api_that_copes() {
    let (api, backend) = (api(|request| only_alice(request, &[])), Backend::echo());
    let gate = gate(&api, &backend, &["--paths", "as-sent"]);
    for path in AMBIGUOUS {
        let line = format!("GET {path}");
        assert_eq!(gate.http().ask(&line, &[AUTH]).status(), 200, "{path}");
    }
    assert_eq!(uris(&api), AMBIGUOUS);
    for path in IN_REGISTRY {
        let line = format!("GET {path}");
        assert_eq!(gate.http().ask(&line, &[AUTH]).status(), 400, "{path}");
    }
    let args = ["--backend", "http://127.0.0.1:5000", "--paths", "lenient"];
    let said = refused(&Dir::new(), &args);
    assert!(said[0].contains("neither strict nor as-sent"), "{said:?}");
}

#[test]
fn an_auth_service_answers_any_path_that_is_grammatical() {
    let service = Gate::auth_service(Dir::new(), &[]);
    let mut client = service.http();
    for path in AMBIGUOUS.iter().chain(&IN_REGISTRY) {
        let line = format!("GET {path}");
        assert_eq!(client.ask(&line, &[AUTH]).status(), 200, "{path}");
        assert_eq!(client.ask(&line, &[]).status(), 401, "{path}");
    }
    assert_eq!(service.http().ask("GET /a#b", &[AUTH]).status(), 400);
}
