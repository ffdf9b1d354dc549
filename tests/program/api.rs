//! The external auth API: what it is asked, what follows from its answers, and whether it lets anybody in.

use crate::support::acceptor::Refusing;
use crate::support::api::{MAX_AGE, answer, api, gate, gate_at, lines_about_the_api, only_alice};
use crate::support::gate::{refused, run};
use crate::support::{AUTH, Backend, Dir, basic};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn the_api_is_asked_what_the_contract_lists_and_nothing_else_of_the_client() {
    let (api, backend) = (api(|_| answer("200 OK", &[])), Backend::echo());
    let gate = gate_at(&format!("{}/check?key=a%20b", api.url()), &backend, &[]);
    let mut client = gate.https();
    client.request_with(
        "PUT /v2/a/blobs?x=%2F",
        &[
            AUTH,
            "User-Agent: docker/1 (\u{fc})",
            "X-Original-URI: /public",
            "X-Original-Method: GET",
            "X-Remote-User: root",
            "X-Forwarded-For: 6.6.6.6",
            "X-Request-ID: mine",
            "X-Docker-Token: true",
            "If-None-Match: x",
            "Cookie: a=b",
            "Accept: */*",
            "Connection: X-Forwarded-Proto, X-Original-Method",
            "X-Forwarded-Proto: http",
            "Content-Length: 3",
        ],
        b"abc",
    );
    assert_eq!(client.answer().status(), 200);
    let asked = api.wait_for_request(0);
    assert_eq!(asked.start, "GET /check?key=a%20b HTTP/1.1");
    let id = asked.field("X-Request-ID").unwrap().to_owned();
    let mut fields: Vec<String> = asked
        .fields
        .iter()
        .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
        .collect();
    fields.sort();
    let own = gate.authority("https");
    assert_eq!(
        fields,
        [
            "authorization: Basic YWxpY2U6c2VjcmV0".to_owned(),
            format!("host: {}", api.acceptor.authority()),
            "user-agent: docker/1 (\u{fc})".to_owned(),
            "x-forwarded-for: 127.0.0.1".to_owned(),
            format!("x-forwarded-host: {own}"),
            "x-forwarded-proto: https".to_owned(),
            "x-original-method: PUT".to_owned(),
            "x-original-uri: /v2/a/blobs?x=%2F".to_owned(),
            "x-real-ip: 127.0.0.1".to_owned(),
            format!("x-request-id: {id}"),
        ]
    );
    assert!(asked.body.is_empty());
    let passed = backend.wait_for_request(0);
    assert_eq!(passed.field("X-Request-ID"), Some(id.as_str()));
    assert!(id != "mine" && passed.body == b"abc");
}

#[test]
fn the_user_whom_the_api_names_is_told_to_the_backend_and_the_log() {
    let api = api(|request| {
        let fields: &[&str] = match request.field("X-Original-URI").unwrap() {
            "/1" => &["X-Remote-User: carol"],
            "/2" => &["Remote-User: carol", "X-Auth-User: carol"],
            "/3" => &["X-Remote-User: a:b"],
            "/4" => &["X-Remote-User: carol", "Remote-User: dave"],
            _ => &[],
        };
        answer("200 OK", fields)
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--backend-authorization", "user"]);
    let mut client = gate.http();
    let carol = Some(("carol", Some("Basic Y2Fyb2w6")));
    for (target, told) in [
        ("/1", carol),
        ("/2", carol),
        ("/3", Some(("a:b", None))),
        ("/5", None),
    ] {
        let spoof = "X-Remote-User: root";
        assert_eq!(
            client
                .ask(&format!("GET {target}"), &[AUTH, spoof])
                .status(),
            200
        );
        let seen = backend.requests().pop().unwrap();
        assert_eq!(
            (seen.field("X-Remote-User"), seen.field("Authorization")),
            (told.map(|told| told.0), told.and_then(|told| told.1)),
            "{target}"
        );
        let line = gate.log.wait_for_text(&format!("\"GET {target}\" 200"));
        match told {
            Some((user, _)) => {
                assert!(line.contains(&format!(" {user} \"")), "{line}");
                assert!(!line.contains("claimed="), "{line}");
            }
            None => assert!(line.contains(" - \"") && line.contains(" claimed=alice")),
        }
    }
    assert_eq!(client.ask("GET /4", &[AUTH]).status(), 503);
    gate.messages.wait_for_text("several users");
}

#[test]
fn refusals_of_the_api_reach_the_client_as_they_are() {
    let api = api(|request| match request.field("X-Original-URI").unwrap() {
        "/v2/own" => answer("401 No", &[]),
        "/v2/theirs" => answer(
            "401 No",
            &[
                "WWW-Authenticate: Basic realm=\"Theirs\"",
                "WWW-Authenticate: Bearer x=\"y\"",
            ],
        ),
        "/v2/403" => answer("403 No", &["WWW-Authenticate: Basic"]),
        "/v2/429" => answer("429 No", &["Retry-After: 17"]),
        "/v2/503" => answer("503 No", &["Retry-After: 18"]),
        _ => answer("503 No", &["Retry-After: Mon, 01 Jan 2035 00:00:00 GMT"]),
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--realm", "Ours"]);
    let mut client = gate.https();
    for (target, status, code, challenges, retry_after) in [
        (
            "/v2/own",
            401,
            "UNAUTHORIZED",
            vec!["Basic realm=\"Ours\""],
            None,
        ),
        (
            "/v2/theirs",
            401,
            "UNAUTHORIZED",
            vec!["Basic realm=\"Theirs\"", "Bearer x=\"y\""],
            None,
        ),
        ("/v2/403", 403, "DENIED", vec![], None),
        ("/v2/429", 429, "TOOMANYREQUESTS", vec![], Some("17")),
        ("/v2/503", 503, "UNAVAILABLE", vec![], Some("18")),
        ("/v2/date", 503, "UNAVAILABLE", vec![], Some("1")),
    ] {
        let answer = client.ask(&format!("GET {target}"), &[AUTH]);
        assert_eq!(answer.status(), status, "{target}");
        answer.assert_oci(code);
        assert_eq!(answer.values("WWW-Authenticate"), challenges, "{target}");
        assert_eq!(answer.field("Retry-After"), retry_after, "{target}");
    }
    backend.assert_untouched();
}

#[test]
fn credentials_that_cannot_be_are_not_asked_about_and_all_others_are() {
    let (api, backend) = (api(|_| answer("200 OK", &[])), Backend::echo());
    let gate = gate(&api, &backend, &[]);
    let mut client = gate.http();
    let long = format!("Authorization: Bearer {}", "x".repeat(16 * 1024 - 7));
    for (fields, status) in [
        (vec!["Authorization: Basic \u{fc}"], 401),
        (vec!["Authorization:"], 401),
        (vec!["Authorization: a\tb"], 401),
        (vec![AUTH, AUTH], 400),
        (vec![long.as_str(), "X: y"], 200),
        (vec!["Authorization: Bearer abc"], 200),
        (vec!["Authorization: nonsense"], 200),
        (vec!["Authorization: Basic Og=="], 200),
        (vec![], 200),
    ] {
        assert_eq!(client.ask("GET /", &fields).status(), status, "{fields:?}");
    }
    let longer = format!("{long}x");
    assert_eq!(client.ask("GET /", &[&longer]).status(), 431);
    let shown: Vec<_> = api
        .requests()
        .iter()
        .map(|request| request.field("Authorization").map(str::len))
        .collect();
    assert_eq!(shown, [Some(16 * 1024), Some(10), Some(8), None, None]);
}

#[test]
fn an_api_that_lets_anybody_in_is_named_in_capitals_and_check_fails() {
    let (open, closed) = (
        api(|_| answer("200 OK", &[])),
        api(|request| only_alice(request, &[])),
    );
    let refusing = Refusing::new();
    let backend = Backend::echo();
    let check = |url: &str, more: &[&str]| {
        let mut args = vec![
            "check",
            "--listen",
            "http://127.0.0.1:0",
            "--backend",
            backend.url(),
            "--auth-backend",
            url,
        ];
        args.extend(more);
        run(&args)
    };
    let outcome = check(open.url(), &[]);
    assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
    let fault = format!(
        "--auth-backend \"{}\": THIS API LETS ANYBODY IN",
        open.url()
    );
    assert!(outcome.stderr[0].starts_with(&fault), "{outcome:#?}");
    assert_eq!(check(open.url(), &["--auth-probe", "off"]).code(), Some(0));
    assert_eq!(open.requests().len(), 1);
    assert_eq!(check(closed.url(), &[]).code(), Some(0));
    let outcome = check(&format!("http://{}", refusing.authority), &[]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(
        outcome.text().contains("connection refused"),
        "{outcome:#?}"
    );

    let gate_with = |api: &Backend| gate(api, &backend, &["--auth-probe", "on"]);
    let gate = gate_with(&open);
    gate.messages.wait_for_text("LETS ANYBODY IN");
    let gate = gate_with(&closed);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    assert!(lines_about_the_api(&gate).len() <= 1, "how it is asked");
    // Nobody can have that password, and no two probes are the same.
    let probes: HashSet<_> = closed
        .requests()
        .iter()
        .filter_map(|request| request.field("Authorization").map(str::to_owned))
        .collect();
    assert_eq!(probes.len(), 3);
}

#[test]
fn an_api_that_was_down_at_the_start_is_probed_when_it_first_lets_somebody_in() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let api = api(move |_| {
        answer(
            if is_down.load(Ordering::SeqCst) {
                "503 No"
            } else {
                "200 OK"
            },
            &[],
        )
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &["--auth-probe", "on"]);
    gate.messages
        .wait_for_text("too busy to be asked about a made-up user");
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 503);
    down.store(false, Ordering::SeqCst);
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    gate.messages.wait_for_text("LETS ANYBODY IN");
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 200);
    assert_eq!(api.requests().len(), 1 + 1 + 2 + 1);
}

#[test]
fn what_the_gate_is_about_is_said_before_an_api_takes_its_time() {
    let silent = Backend::script(|mut peer| peer.until_closed().map(drop));
    let backend = Backend::echo();
    let args = ["--auth-probe", "on", "--auth-timeout", "1"];
    let gate = gate(&silent, &backend, &args);
    let messages = gate.messages.all();
    let place = |text: &str| messages.iter().position(|line| line.contains(text));
    let asking = format!("asking {}", silent.url());
    let places = [
        place(&asking),
        place("could not be asked about a made-up user: no answer in time"),
        place("listening on"),
    ];
    assert!(places.iter().all(Option::is_some), "{messages:#?}");
    assert!(places.is_sorted(), "{messages:#?}");
}

#[test]
fn a_root_that_cannot_be_read_is_refused_at_the_start() {
    let dir = Dir::new();
    let none = dir.path("none.pem");
    let lines = refused(
        &dir,
        &[
            "--backend",
            "http://127.0.0.1:5000",
            "--auth-backend",
            "https://127.0.0.1:1",
            "--auth-ca",
            &none,
        ],
    );
    let fault = format!("--auth-ca \"{none}\": no such file or directory");
    assert!(lines.contains(&fault), "{lines:?}");
}

#[test]
fn no_credential_is_in_what_it_writes() {
    let api = api(|request| match request.field("X-Original-URI").unwrap() {
        "/302" => answer("302 Found", &["Location: /login?token=hunter2"]),
        _ => only_alice(request, &[MAX_AGE]),
    });
    let backend = Backend::echo();
    let url = format!("{}/check?key=hunter2", api.url());
    let gate = gate_at(&url, &backend, &[]);
    let mut client = gate.http();
    for target in ["/", "/302"] {
        for field in [
            AUTH.to_owned(),
            basic(b"bob", b"hunter2"),
            "Authorization: Bearer hunter2".to_owned(),
        ] {
            client.ask(&format!("GET {target}"), &[&field]);
        }
    }
    let said = gate.terminate().text();
    for secret in ["hunter2", "secret", "YWxpY2U6c2VjcmV0", "Ym9iOmh1bnRlcjI"] {
        assert!(!said.contains(secret), "{secret} is in\n{said}");
    }
}
