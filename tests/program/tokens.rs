//! Docker's token handshake before a backend that says what it sees: who is sent where, what is given there, what it is good for.

use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, api, basic, gate};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const ALICE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const BOB: &str = "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
/// Another password, "other".
const ALICE_ANEW: &str = "alice:{SHA}0ZRbxGhp3kAdKxdo9CUSjaYrTyc=\n";
const ACCESS: &str = "anonymous pull public/**\nalice pull,push,delete team/**\n";
const WRONG: &str = "Authorization: Basic YWxpY2U6d3Jvbmc=";

fn gate_with(access: &str, backend: &Backend, more: &[&str]) -> Gate {
    let dir = Dir::new();
    let users = dir.file("users", format!("{ALICE}{BOB}"));
    let access = dir.file("access", access);
    let mut args = vec![
        "--htpasswd",
        &users,
        "--access",
        &access,
        "--backend",
        backend.url(),
    ];
    args.extend(more);
    Gate::start_in(dir, &args)
}

fn challenge(answer: &Message) -> String {
    assert_eq!(answer.status(), 401);
    match *answer.values("www-authenticate") {
        [only] => only.to_owned(),
        ref many => panic!("{many:?}"),
    }
}

/// The token that a client gets with these fields.
fn token(client: &mut Client, fields: &[&str]) -> String {
    let target =
        "GET /v2/token?service=x&scope=repository%3Ateam%2Fapp%3Apull&account=y&offline_token=true";
    let answer = client.ask(target, fields);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let text = answer.text();
    let rest = text
        .strip_prefix("{\"token\":\"")
        .unwrap_or_else(|| panic!("{text}"));
    let (token, rest) = rest.split_once('"').unwrap();
    assert_eq!(
        rest,
        format!(",\"access_token\":\"{token}\",\"expires_in\":3600}}\n")
    );
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{token}"
    );
    token.to_owned()
}

/// The file that a gate was given by this flag.
fn file_of(gate: &Gate, flag: &str) -> String {
    let at = gate.args.iter().position(|arg| arg == flag).unwrap();
    gate.args[at + 1].clone()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[test]
fn only_the_base_and_the_catalogue_send_for_a_token() {
    let backend = Backend::echo();
    let gate = gate_with(ACCESS, &backend, &[]);
    for (mut client, scheme) in [(gate.https(), "https"), (gate.http(), "http")] {
        let host = gate.authority(scheme).to_owned();
        let realm = format!("Bearer realm=\"{scheme}://{host}/v2/token\",service=\"{host}\"");
        for fields in [&[][..], &[WRONG], &["Authorization: Basic Og=="]] {
            assert_eq!(challenge(&client.ask("GET /v2/", fields)), realm);
        }
        let catalogue = format!("{realm},scope=\"registry:catalog:*\"");
        assert_eq!(challenge(&client.ask("GET /v2/_catalog", &[])), catalogue);
        let basic = "Basic realm=\"Registry\"";
        for (line, fields) in [
            ("GET /v2/team/app/manifests/v1", &[][..]),
            ("GET /v2/public/app/manifests/v1", &[WRONG]),
            ("POST /v2/public/app/blobs/uploads/", &[]),
            ("GET /v2/token", &[WRONG]),
            ("GET /v2/token", &["Authorization: Bearer x"]),
            ("GET /", &[]),
            ("POST /v2/", &[]),
        ] {
            assert_eq!(
                challenge(&client.ask(line, fields)),
                basic,
                "{line} {fields:?}"
            );
        }
        assert_eq!(client.ask("GET /v2/", &[AUTH]).status(), 200);
        assert_eq!(client.ask("POST /v2/token", &[AUTH]).status(), 404);
        assert_eq!(client.ask("POST /v2/token", &[]).status(), 404);
    }
}

#[test]
fn a_token_is_good_for_what_its_holder_may_and_nothing_of_it_reaches_the_backend() {
    let backend = Backend::echo();
    let gate = gate_with(ACCESS, &backend, &["--backend-authorization", "pass"]);
    let mut client = gate.https();
    let nobody = bearer(&token(&mut client, &[]));
    let empty = bearer(&token(&mut client, &["Authorization: Basic Og=="]));
    let alice = bearer(&token(&mut client, &[AUTH]));
    let bob = bearer(&token(&mut client, &[&basic(b"bob", b"secret")]));
    for (line, field, status) in [
        ("GET /v2/", &nobody, 200),
        ("GET /v2/", &empty, 200),
        ("GET /v2/", &alice, 200),
        ("GET /v2/public/app/manifests/v1", &nobody, 200),
        ("GET /v2/public/app/manifests/v1", &alice, 200),
        ("GET /v2/team/app/manifests/v1", &alice, 200),
        ("POST /v2/team/app/blobs/uploads/", &alice, 200),
        ("DELETE /v2/team/app/manifests/v1", &alice, 200),
        ("POST /v2/public/app/blobs/uploads/", &alice, 403),
        ("GET /v2/team/app/manifests/v1", &bob, 403),
        ("GET /v2/public/app/manifests/v1", &bob, 200),
        ("GET /v2/public/nonsense", &alice, 404),
        ("GET /v2/public/nonsense", &nobody, 401),
    ] {
        let answer = client.ask(line, &[field]);
        assert_eq!(answer.status(), status, "{line}");
        assert!(
            !answer
                .text()
                .to_ascii_lowercase()
                .contains("authorization:"),
            "{}",
            answer.text()
        );
        if status == 200 {
            let user = (field == &alice).then_some("x-remote-user: alice");
            let has = answer
                .text()
                .to_ascii_lowercase()
                .contains("x-remote-user: alice");
            assert_eq!(has, user.is_some(), "{line}");
        }
    }
    let host = gate.authority("https").to_owned();
    for (line, scope) in [
        (
            "GET /v2/team/app/manifests/v1",
            ",scope=\"repository:team/app:pull\"",
        ),
        (
            "PUT /v2/team/app/manifests/v1",
            ",scope=\"repository:team/app:pull,push\"",
        ),
        (
            "DELETE /v2/team/app/manifests/v1",
            ",scope=\"repository:team/app:delete\"",
        ),
        ("GET /v2/_catalog", ",scope=\"registry:catalog:*\""),
        ("GET /ui", ""),
    ] {
        let found = challenge(&client.ask(line, &[&nobody]));
        let wanted = format!(
            "Bearer realm=\"https://{host}/v2/token\",service=\"{host}\"{scope},error=\"insufficient_scope\",error_description=\"log in as a user who may do this\""
        );
        assert_eq!(found, wanted, "{line}");
    }
    let mut head = gate.https();
    head.request("HEAD /v2/token", &[AUTH]);
    assert_eq!(head.answer_to_head().status(), 200);
    for log in [&gate.log, &gate.messages] {
        for line in log.all() {
            assert!(
                !line.contains(nobody.rsplit(' ').next().unwrap()) && !line.contains("Bearer"),
                "{line}"
            );
        }
    }
    gate.log.wait_for("the pull of nobody", |line| {
        line.contains(" - \"GET /v2/public/app/manifests/v1\" 200")
    });
    gate.log.wait_for("the pull of alice", |line| {
        line.contains(" alice \"GET /v2/team/app/manifests/v1\" 200")
    });
}

#[test]
fn a_token_that_does_not_count_is_invalid_whatever_anybody_may() {
    let backend = Backend::echo();
    let gate = gate_with(ACCESS, &backend, &[]);
    let mut client = gate.https();
    let good = token(&mut client, &[AUTH]);
    let elsewhere = gate_with(ACCESS, &backend, &[]);
    let foreign = token(&mut elsewhere.https(), &[AUTH]);
    let cut = &good[..good.len() - 1];
    for odd in [foreign.as_str(), cut, "x", "a.b.c", &"A".repeat(3000), ""] {
        for line in ["GET /v2/public/app/manifests/v1", "GET /v2/", "GET /"] {
            let field = bearer(odd);
            let found = challenge(&client.ask(line, &[field.trim_end()]));
            match odd {
                // A scheme without a token is none.
                "" => assert!(!found.contains("error"), "{found}"),
                _ => assert!(
                    found.starts_with("Bearer ") && found.ends_with(",error=\"invalid_token\""),
                    "{found}"
                ),
            }
        }
    }
    backend.assert_untouched();
    // None of it was a guess.
    assert_eq!(client.ask("GET /v2/", &[AUTH]).status(), 200);
}

#[test]
fn a_changed_password_ends_a_token_and_a_restart_with_the_key_does_not() {
    let backend = Backend::echo();
    let keys = Dir::new();
    let key = keys.path("token.key");
    let gate = gate_with(ACCESS, &backend, &["--token-key", &key]);
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let alice = bearer(&token(&mut gate.https(), &[AUTH]));
    let nobody = bearer(&token(&mut gate.https(), &[]));
    let second = gate_with(
        ACCESS,
        &backend,
        &["--token-key", &keys.path("new.key"), "--token-key", &key],
    );
    let mut client = second.https();
    for (line, field) in [
        ("GET /v2/team/app/manifests/v1", &alice),
        ("GET /v2/public/app/manifests/v1", &nobody),
    ] {
        assert_eq!(client.ask(line, &[field]).status(), 200);
    }
    let users = file_of(&second, "--htpasswd");
    fs::write(&users, ALICE_ANEW).unwrap();
    second
        .messages
        .wait_for("new users", |line| line.contains("1 user from"));
    let found = challenge(&client.ask("GET /v2/team/app/manifests/v1", &[&alice]));
    assert!(found.ends_with("error=\"invalid_token\""), "{found}");
    assert_eq!(
        client
            .ask("GET /v2/public/app/manifests/v1", &[&nobody])
            .status(),
        200
    );
    assert_eq!(
        gate.https()
            .ask("GET /v2/team/app/manifests/v1", &[&alice])
            .status(),
        200
    );
}

#[test]
fn a_throttled_network_goes_on_with_its_tokens() {
    let backend = Backend::echo();
    let gate = gate_with(ACCESS, &backend, &["--guesses", "2"]);
    let mut client = gate.http();
    let alice = bearer(&token(&mut client, &[AUTH]));
    for number in 0..3 {
        let wrong = basic(b"bob", format!("{number}").as_bytes());
        client.ask("GET /v2/token", &[&wrong]);
    }
    assert_eq!(
        client
            .ask("GET /v2/token", &[&basic(b"bob", b"secret")])
            .status(),
        429
    );
    assert_eq!(
        gate.http()
            .ask("GET /v2/team/app/manifests/v1", &[&alice])
            .status(),
        200
    );
}

#[test]
fn without_a_line_for_anonymous_nothing_of_it_is_there() {
    let backend = Backend::echo();
    let gate = gate_with(
        "alice pull **\n",
        &backend,
        &["--token-key", &Dir::new().path("key")],
    );
    let mut client = gate.http();
    for (line, fields) in [
        ("GET /v2/", &[][..]),
        ("GET /v2/_catalog", &[]),
        ("GET /v2/token", &[]),
        ("GET /v2/", &["Authorization: Bearer x"]),
    ] {
        assert_eq!(
            challenge(&client.ask(line, fields)),
            "Basic realm=\"Registry\"",
            "{line}"
        );
    }
    assert_eq!(client.ask("GET /v2/token", &[AUTH]).status(), 404);
    // It comes and goes with the file.
    let access = file_of(&gate, "--access");
    fs::write(&access, ACCESS).unwrap();
    gate.messages.wait_for("a new file", |line| {
        line.contains("without credentials, taken anew")
    });
    let nobody = bearer(&token(&mut client, &[]));
    assert_eq!(
        client
            .ask("GET /v2/public/app/manifests/v1", &[&nobody])
            .status(),
        200
    );
}

#[test]
fn with_an_api_the_credentials_in_a_token_are_asked_about_again() {
    let api = api::api(|request| api::only_alice(request, &["X-Remote-User: alice"]));
    let open = api::api(|request| match request.field("Authorization") {
        Some(_) => api::only_alice(request, &["X-Remote-User: alice"]),
        None => api::answer("200 OK", &[]),
    });
    let backend = Backend::echo();
    let start = |api: &Backend, more: &[&str]| {
        let dir = Dir::new();
        let access = dir.file("access", ACCESS);
        let mut args = vec![
            "--auth-backend",
            api.url(),
            "--auth-probe",
            "off",
            "--access",
            &access,
            "--backend",
            backend.url(),
        ];
        args.extend(more);
        Gate::start_in(dir, &args)
    };
    let keys = Dir::new();
    let key = keys.path("key");
    let gate = start(&open, &["--token-key", &key]);
    let mut client = gate.https();
    let alice = bearer(&token(&mut client, &[AUTH]));
    let asked = open.wait_for_request(0);
    assert_eq!(asked.field("x-original-uri"), Some("/v2/"));
    let nobody = bearer(&token(&mut client, &[]));
    for (line, field, status) in [
        ("GET /v2/team/app/manifests/v1", &alice, 200),
        ("GET /v2/public/app/manifests/v1", &nobody, 200),
        ("GET /v2/team/app/manifests/v1", &nobody, 401),
    ] {
        assert_eq!(client.ask(line, &[field]).status(), status, "{line}");
    }
    let last = open.requests();
    let about = last
        .iter()
        .find(|request| request.field("x-original-uri") == Some("/v2/team/app/manifests/v1"));
    assert_eq!(
        about.unwrap().field("authorization"),
        AUTH.strip_prefix("Authorization: ")
    );
    // An API that lets nobody in without credentials has nobody pull without.
    let closed = start(&api, &["--token-key", &key]);
    let mut client = closed.https();
    assert_eq!(
        client
            .ask("GET /v2/public/app/manifests/v1", &[&nobody])
            .status(),
        401
    );
    assert!(challenge(&client.ask("GET /v2/", &[])).starts_with("Bearer "));
    assert_eq!(
        client
            .ask("GET /v2/team/app/manifests/v1", &[&alice])
            .status(),
        200
    );
    // Without a key that stays, credentials are in no token.
    let random = start(&open, &[]);
    let mut client = random.https();
    token(&mut client, &[]);
    assert_eq!(client.ask("GET /v2/token", &[AUTH]).status(), 403);
}

#[test]
fn where_clients_are_sent_is_what_the_gate_was_told() {
    let backend = Backend::echo();
    let gate = gate_with(
        ACCESS,
        &backend,
        &["--external-url", "https://registry.example.com"],
    );
    let found = challenge(&gate.http().ask("GET /v2/", &[]));
    assert_eq!(
        found,
        "Bearer realm=\"https://registry.example.com/v2/token\",service=\"registry.example.com\""
    );
    let proxied = gate_with(ACCESS, &backend, &["--trusted-proxy", "127.0.0.1"]);
    let fields = [
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: r.example:8443",
    ];
    let found = challenge(&proxied.http().ask("GET /v2/", &fields));
    assert_eq!(
        found,
        "Bearer realm=\"https://r.example:8443/v2/token\",service=\"r.example:8443\""
    );
    let dir = Dir::new();
    let access = dir.file("access", ACCESS);
    let said = gate::refused(
        &dir,
        &[
            "--backend",
            backend.url(),
            "--access",
            &access,
            "--listen",
            "http://0.0.0.0:0",
            "--insecure-http",
        ],
    );
    assert!(
        said.join("\n")
            .contains("set external-url, or name the proxy in front with trusted-proxy"),
        "{said:?}"
    );
    let bad = dir.file("bad.key", "hunter2");
    let said = gate::refused(
        &dir,
        &[
            "--backend",
            backend.url(),
            "--access",
            &access,
            "--token-key",
            &bad,
        ],
    );
    let said = said.join("\n");
    assert!(
        said.contains("not a key of tokens") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_push_outlives_its_token_by_getting_another_where_it_is_told_that_it_has_ended() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let access = dir.file("access", ACCESS);
    let variables = [("TOKEN_LIFETIME", "1")];
    let args = ["--access", &access, "--backend", backend.url()];
    let gate = Gate::start_with(dir, &variables, &args);
    let mut client = gate.https();
    let get = |client: &mut Client| {
        let answer = client.ask("GET /v2/token", &[AUTH]);
        let text = answer.text();
        assert!(text.contains("\"expires_in\":1}"), "{text}");
        bearer(text.split('"').nth(3).unwrap())
    };
    let mut field = get(&mut client);
    let begun = std::time::Instant::now();
    let (mut layers, mut renewals) = (0, 0);
    while layers < 20 || renewals < 2 {
        assert!(begun.elapsed() < crate::support::PATIENCE);
        let answer = client.ask("POST /v2/team/app/blobs/uploads/", &[&field]);
        if answer.status() == 200 {
            layers += 1;
            continue;
        }
        let found = challenge(&answer);
        assert!(
            found.ends_with(",scope=\"repository:team/app:pull,push\",error=\"invalid_token\""),
            "{found}"
        );
        field = get(&mut client);
        renewals += 1;
    }
}
