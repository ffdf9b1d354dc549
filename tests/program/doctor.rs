//! `portreeve doctor`: content with a healthy gate, and each thing that is wrong is found, called by its word, and made up
//! for with a remedy; nothing that a server says leaves its line.

use crate::support::acceptor::{Acceptor, Refusing};
use crate::support::backend::sha256;
use crate::support::certificates::{Ca, Pair, server};
use crate::support::gate::{Outcome, run_with};
use crate::support::{Backend, Dir, Gate, Message, Peer, api};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

/// A registry as small as it can be, whose answers a test may exchange.
fn registry(other: impl Fn(&Message) -> Option<String> + Send + Sync + 'static) -> Backend {
    let store: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    let upload: Mutex<Vec<u8>> = Mutex::default();
    Backend::script(move |mut peer: Peer| {
        while let Some(request) = peer.try_request()? {
            let text = other(&request).unwrap_or_else(|| {
                honest(
                    &request,
                    &mut store.lock().unwrap(),
                    &mut upload.lock().unwrap(),
                )
            });
            peer.say(text)?;
        }
        Ok(())
    })
}

fn honest(request: &Message, store: &mut HashMap<String, Vec<u8>>, upload: &mut Vec<u8>) -> String {
    const SESSION: &str = "/v2/portreeve-doctor/probe/blobs/uploads/1?_state=a";
    let mut words = request.start.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let answer = |status: &str, fields: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n{fields}Content-Length: {}\r\n\r\n{}",
            body.len(),
            if method == "HEAD" { "" } else { body }
        )
    };
    let host = request.field("Host").unwrap();
    let here = |path: &str| format!("Location: http://{host}{path}\r\n");
    let digest = target.rsplit('/').next().unwrap();
    match method {
        "GET" if target == "/v2/" => answer("200 OK", "", "{}"),
        "POST" => {
            upload.clear();
            answer("202 Accepted", &here(SESSION), "")
        }
        "PATCH" => {
            upload.extend_from_slice(&request.body);
            answer("202 Accepted", &here(SESSION), "")
        }
        "PUT" => {
            upload.extend_from_slice(&request.body);
            let digest = format!("sha256:{}", sha256(upload));
            assert_eq!(
                target,
                format!("{SESSION}&digest={}", digest.replace(':', "%3A"))
            );
            store.insert(digest.clone(), upload.clone());
            answer(
                "201 Created",
                &here(&format!("/v2/portreeve-doctor/probe/blobs/{digest}")),
                "",
            )
        }
        "DELETE" if target == SESSION => answer("204 No Content", "", ""),
        "DELETE" => {
            let status = if store.remove(digest).is_some() {
                "202 Accepted"
            } else {
                "404 Not Found"
            };
            answer(status, "", "")
        }
        _ => match (store.get(digest), request.field("Range")) {
            (None, _) => answer("404 Not Found", "", ""),
            (Some(blob), None) => answer("200 OK", "", str::from_utf8(blob).unwrap()),
            (Some(blob), Some(range)) => {
                let (from, to) = range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .split_once('-')
                    .unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let field = format!("Content-Range: bytes {from}-{to}/{}\r\n", blob.len());
                answer(
                    "206 Partial Content",
                    &field,
                    str::from_utf8(&blob[from..=to]).unwrap(),
                )
            }
        },
    }
}

fn oci(status: &str, code: &str) -> String {
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"it may not\"}}]}}");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A gate with TLS in front of a backend.
fn gate(backend: &Backend) -> Gate {
    Gate::start(&["--backend", backend.url()])
}

#[track_caller]
fn doctor(url: &str, ca: Option<&str>, more: &[&str]) -> Outcome {
    let mut args = vec!["doctor", "--json", url];
    if let Some(ca) = ca {
        args.extend(["--ca", ca]);
    }
    args.extend(more);
    run_with(&args, &[], b"secret\n")
}

const ALICE: [&str; 3] = ["--user", "alice", "--password-stdin"];

#[track_caller]
fn examine(gate: &Gate) -> Outcome {
    let url = format!("https://{}", gate.authority("https"));
    doctor(&url, Some(&gate.dir.path("tls/ca.crt")), &ALICE)
}

/// The line of one step.
#[track_caller]
fn step(outcome: &Outcome, name: &str) -> String {
    let begin = format!("{{\"step\":\"{name}\",");
    let found = outcome.stdout.iter().find(|line| line.starts_with(&begin));
    found
        .unwrap_or_else(|| panic!("no step {name}: {outcome:#?}"))
        .clone()
}

/// Fails the test unless the step calls this wrong, with a remedy, and the exit status says so.
#[track_caller]
fn finds(outcome: &Outcome, name: &str, problem: &str) {
    let line = step(outcome, name);
    let wanted = format!("\"result\":\"wrong\",\"problem\":\"{problem}\"");
    assert!(line.contains(&wanted), "{problem}: {outcome:#?}");
    assert!(line.contains("\"remedy\":\""), "{line}");
    assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
}

/// Steps that were neither good nor passed over.
fn complaints(outcome: &Outcome) -> Vec<&String> {
    let is_fine = |line: &&String| {
        line.contains("\"result\":\"ok\"") || line.contains("\"result\":\"skipped\"")
    };
    outcome
        .stdout
        .iter()
        .filter(|line| !is_fine(line))
        .collect()
}

#[test]
fn a_healthy_gate_passes_every_step_and_keeps_nothing() {
    let backend = registry(|_| None);
    let gate = gate(&backend);
    let outcome = examine(&gate);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert_eq!(outcome.stdout.len(), 17);
    let all_well = |line: &String| line.contains("\"result\":\"ok\"");
    assert!(outcome.stdout.iter().all(all_well), "{outcome:#?}");
    let last = backend.requests().pop().unwrap().start;
    assert!(
        last.starts_with("DELETE /v2/portreeve-doctor/probe/blobs/sha256:"),
        "{last}"
    );
    assert!(!outcome.text().contains("secret"));
}

#[test]
fn the_token_handshake_is_played_and_a_right_that_is_missing_is_named_with_its_line() {
    let backend = registry(|_| None);
    for (access, all_well) in [
        (
            "anonymous pull public/**\nalice pull,push,delete **\n",
            true,
        ),
        // A page for everybody is no wound.
        ("anonymous path /**\nalice pull,push,delete **\n", true),
        ("anonymous pull public/**\nalice pull team/**\n", false),
    ] {
        let dir = Dir::new();
        let access = dir.file("access", access);
        let gate = Gate::start_in(dir, &["--access", &access, "--backend", backend.url()]);
        let outcome = examine(&gate);
        assert!(
            step(&outcome, "challenge").contains("a challenge for tokens"),
            "{outcome:#?}"
        );
        assert!(
            step(&outcome, "login").contains("gets a token"),
            "{outcome:#?}"
        );
        assert_eq!(outcome.code(), Some(i32::from(!all_well)), "{outcome:#?}");
        if !all_well {
            let start = step(&outcome, "upload-start");
            for part in [
                "alice may not push to portreeve-doctor/probe",
                "alice pull,push,delete portreeve-doctor/probe",
            ] {
                assert!(start.contains(part), "{start}");
            }
        }
        let uploads = backend.requests();
        assert!(uploads.iter().all(|request| !request.has("authorization")));
    }
}

#[test]
fn for_people_each_step_has_a_tick_and_without_a_user_no_password_is_asked_for() {
    let backend = registry(|_| None);
    let gate = gate(&backend);
    // Without a scheme, as in the name of an image.
    let args = [
        "doctor",
        gate.authority("https"),
        "--ca",
        &gate.dir.path("tls/ca.crt"),
    ];
    let outcome = run_with(&args, &[], b"");
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    let ticks = outcome.stdout.iter().filter(|line| line.starts_with("✓ "));
    assert_eq!(ticks.count(), 9, "{outcome:#?}");
    assert!(outcome.stdout.last().unwrap().contains("without --user"));
    backend.assert_untouched();
}

#[test]
fn a_wrong_password_is_told_from_all_else() {
    let backend = registry(|_| None);
    let gate = gate(&backend);
    let url = format!("https://{}", gate.authority("https"));
    let ca = gate.dir.path("tls/ca.crt");
    let outcome = doctor(&url, Some(&ca), &["--user", "bob", "--password-stdin"]);
    finds(&outcome, "login", "wrong-password");
    assert_eq!(complaints(&outcome).len(), 1);
}

#[test]
fn a_backend_that_is_down_is_found() {
    let nobody = Refusing::new();
    let gate = Gate::start(&["--backend", &format!("http://{}", nobody.authority)]);
    let outcome = examine(&gate);
    finds(&outcome, "login", "backend-down");
    assert_eq!(complaints(&outcome).len(), 1);
}

#[test]
fn a_backend_that_is_no_registry_is_found() {
    let backend = Backend::echo();
    finds(&examine(&gate(&backend)), "login", "not-a-registry");
}

#[test]
fn read_only_storage_is_found_however_the_registry_says_it() {
    for answer in [
        oci("405 Method Not Allowed", "UNSUPPORTED"),
        oci("500 Internal Server Error", "UNKNOWN"),
    ] {
        let is_post = |request: &Message| request.start.starts_with("POST ");
        let backend = registry(move |request| is_post(request).then(|| answer.clone()));
        let outcome = examine(&gate(&backend));
        finds(&outcome, "upload-start", "read-only");
        assert_eq!(complaints(&outcome).len(), 1);
        // In words, and not as the JSON that it came in.
        let line = step(&outcome, "upload-start");
        assert!(line.contains(": it may not (UN"), "{line}");
        assert!(!line.contains("errors"), "{line}");
    }
}

#[test]
fn a_location_in_the_clear_or_elsewhere_is_found_and_not_followed() {
    for (location, problem) in [
        ("http://registry.invalid/v2/a", "plain-location"),
        ("https://registry.invalid/v2/a", "foreign-location"),
        ("ftp://a", "bad-location"),
    ] {
        let answer =
            format!("HTTP/1.1 202 Accepted\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let backend =
            registry(move |request| request.start.starts_with("POST ").then(|| answer.clone()));
        let gate = gate(&backend);
        let outcome = examine(&gate);
        finds(&outcome, "upload-start", problem);
        let last = backend.requests().pop().unwrap().start;
        assert!(last.starts_with("POST "), "{last}");
    }
}

#[test]
fn blobs_that_come_back_changed_are_found() {
    let is_get_of_blob = |request: &Message| request.start.starts_with("GET /v2/portreeve-doctor");
    let backend = registry(move |request| {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nodd";
        is_get_of_blob(request).then(|| whole.to_owned())
    });
    finds(&examine(&gate(&backend)), "pull", "wrong-bytes");
}

#[test]
fn an_api_that_lets_everybody_in_is_found() {
    // It asks for a password, and takes any.
    let open = api::api(|request| match request.field("Authorization") {
        Some(_) => api::answer("200 OK", &[]),
        None => api::answer("401 Unauthorized", &[]),
    });
    let backend = registry(|_| None);
    let gate = api::gate(&open, &backend, &[]);
    let outcome = examine(&gate);
    finds(&outcome, "made-up", "open-to-made-up");
    assert_eq!(complaints(&outcome).len(), 1);
}

#[test]
fn an_api_that_asks_nobody_for_a_password_is_found() {
    let open = api::api(|_| api::answer("200 OK", &[]));
    let backend = registry(|_| None);
    let outcome = examine(&api::gate(&open, &backend, &[]));
    for (name, problem) in [
        ("challenge", "open-to-all"),
        ("closed", "open-to-all"),
        ("made-up", "open-to-made-up"),
    ] {
        finds(&outcome, name, problem);
    }
}

#[test]
fn an_api_that_is_down_is_found() {
    let nobody = Refusing::new();
    let backend = registry(|_| None);
    let url = format!("http://{}", nobody.authority);
    let outcome = examine(&api::gate_at(&url, &backend, &[]));
    finds(&outcome, "challenge", "unavailable");
    assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
}

/// A server that shows this chain, and answers each request with `answer`.
struct Bare {
    acceptor: Acceptor,
    dir: Dir,
}

impl Bare {
    fn with_tls(pair: &Pair, ca: &str, answer: &'static str) -> Self {
        let dir = Dir::new();
        dir.file("ca.crt", ca);
        Self::start(Acceptor::tls(server(pair)), dir, answer)
    }

    fn in_the_clear(answer: &'static str) -> Self {
        Self::start(Acceptor::tcp(), Dir::new(), answer)
    }

    fn start(
        (acceptor, streams): (
            Acceptor,
            std::sync::mpsc::Receiver<crate::support::stream::Stream>,
        ),
        dir: Dir,
        answer: &'static str,
    ) -> Self {
        std::thread::spawn(move || {
            for stream in streams {
                std::thread::spawn(move || -> io::Result<()> {
                    let mut inbox = crate::support::message::Inbox::new(stream);
                    inbox.request()?;
                    inbox.send(answer.as_bytes())
                });
            }
        });
        Self { acceptor, dir }
    }

    #[track_caller]
    fn examine(&self) -> Outcome {
        let ca = self.dir.path("ca.crt");
        let ca = std::fs::exists(&ca).unwrap().then_some(ca);
        doctor(&self.acceptor.url, ca.as_deref(), &[])
    }
}

const REFUSAL: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"R\"\r\n\
    Content-Type: application/json\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 28\r\n\r\n\
    {\"errors\":[{\"code\":\"A B\"}]}\n";

/// A certificate for 127.0.0.1, as `change` wants it.
fn signed_by(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    change: impl Fn(&mut CertificateParams),
) -> Pair {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, issuer).unwrap();
    Pair {
        cert: cert.pem(),
        key: key.serialize_pem(),
    }
}

fn ca_called(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(ca_called("The Root"), KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn a_good_certificate_of_any_ca_is_none_of_the_faults() {
    let root = root();
    let outcome = Bare::with_tls(&signed_by(&root, |_| {}), &root.pem(), REFUSAL).examine();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn an_expired_certificate_is_found_and_nothing_is_sent() {
    let root = root();
    let old = signed_by(&root, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let outcome = Bare::with_tls(&old, &root.pem(), REFUSAL).examine();
    finds(&outcome, "dates", "certificate-expired");
    assert!(step(&outcome, "dates").contains("2021-01-01"));
    assert_eq!(complaints(&outcome).len(), 1);
    assert!(step(&outcome, "challenge").contains("skipped"));
}

#[test]
fn a_missing_intermediate_is_found_and_is_none_once_it_is_sent() {
    let root = root();
    let between = ca_called("The Intermediate");
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root).unwrap();
    let mut pair = signed_by(&between, |_| {});
    let outcome = Bare::with_tls(&pair, &root.pem(), REFUSAL).examine();
    finds(&outcome, "chain", "missing-intermediate");
    assert!(step(&outcome, "chain").contains("The Intermediate"));
    pair.cert.push_str(&between.pem());
    let outcome = Bare::with_tls(&pair, &root.pem(), REFUSAL).examine();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

#[test]
fn a_certificate_for_another_name_is_found() {
    let ca = Ca::new();
    let outcome = Bare::with_tls(&ca.sign(&["other.example"]), &ca.pem(), REFUSAL).examine();
    finds(&outcome, "name", "wrong-name");
    assert!(step(&outcome, "name").contains("other.example"));
    assert_eq!(complaints(&outcome).len(), 1);
}

#[test]
fn an_unknown_ca_is_found() {
    let pair = Ca::new().sign(&["127.0.0.1"]);
    // The CA of the same name, made anew.
    let outcome = Bare::with_tls(&pair, &Ca::new().pem(), REFUSAL).examine();
    finds(&outcome, "chain", "unknown-ca");
    // One that the system does not know.
    let backend = registry(|_| None);
    let gate = gate(&backend);
    let outcome = doctor(
        &format!("https://{}", gate.authority("https")),
        None,
        &ALICE,
    );
    finds(&outcome, "chain", "unknown-ca");
    assert!(step(&outcome, "login").contains("skipped"));
}

#[test]
fn what_speaks_no_tls_is_found() {
    let plain = Backend::script(|mut peer| peer.say("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let outcome = doctor(&plain.url().replace("http:", "https:"), None, &[]);
    finds(&outcome, "tls", "no-tls");
    let nobody = Refusing::new();
    let outcome = doctor(&format!("https://{}", nobody.authority), None, &[]);
    finds(&outcome, "connect", "no-connection");
    let outcome = doctor("https://registry.invalid", None, &[]);
    finds(&outcome, "resolve", "no-such-name");
}

#[test]
fn answers_that_clients_cannot_use_are_found() {
    for (answer, problem) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "open-to-all",
        ),
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer realm=\"b\"\r\n\
             Content-Length: 0\r\n\r\n",
            "bad-challenge",
        ),
        (
            "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            "bad-challenge",
        ),
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"b\"\r\nContent-Length: 0\r\n\r\n",
            "bad-challenge",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            "redirect",
        ),
        ("220 mail.example ESMTP\r\n", "no-answer"),
        ("HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\n", "no-answer"),
    ] {
        let outcome = Bare::in_the_clear(answer).examine();
        finds(&outcome, "challenge", problem);
        let others = complaints(&outcome);
        let is_said_once = others.iter().all(|line| {
            line.contains("\"step\":\"challenge\"") || !line.contains(&format!("\"{problem}\""))
        });
        assert!(is_said_once || problem == "open-to-all", "{outcome:#?}");
    }
    let outcome = Bare::in_the_clear(REFUSAL).examine();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(complaints(&outcome).is_empty(), "{outcome:#?}");
}

#[test]
fn a_challenge_that_docker_is_content_with_is_worth_a_note_and_no_more() {
    for (answer, lacks) in [
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Type: text/html\r\n\
             Content-Length: 6\r\n\r\n<html>",
            "without JSON",
        ),
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: basic charset=\"UTF-8\", realm=\"a\"\r\nContent-Length: 0\r\n\r\n",
            "without JSON",
        ),
        (
            "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Type: application/json\r\n\
             Content-Length: 28\r\n\r\n{\"errors\":[{\"code\":\"A B\"}]}\n",
            "without Docker-Distribution-Api-Version",
        ),
    ] {
        let outcome = Bare::in_the_clear(answer).examine();
        assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
        let line = step(&outcome, "challenge");
        assert!(line.contains("\"result\":\"note\""), "{line}");
        assert!(line.contains(lacks), "{line}");
        assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
    }
}

#[test]
fn a_port_that_speaks_the_other_of_the_two_is_found_and_called_so_once() {
    let backend = registry(|_| None);
    let gate = gate(&backend);
    let url = format!("http://{}", gate.authority("https"));
    let outcome = doctor(&url, None, &ALICE);
    finds(&outcome, "tls", "speaks-tls");
    assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
    let remedy = format!("write https://{}", gate.authority("https"));
    assert!(step(&outcome, "tls").contains(&remedy), "{outcome:#?}");
    let outcome = doctor(&format!("https://{}", gate.authority("http")), None, &ALICE);
    finds(&outcome, "tls", "no-tls");
    assert!(step(&outcome, "tls").contains("speaks plain HTTP"));
    assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
    backend.assert_untouched();
}

#[test]
fn a_proxy_that_takes_no_body_of_a_layer_s_size_is_found() {
    // As nginx has it from the start.
    const LIMIT: usize = 1 << 20;
    let backend = registry(|request| {
        let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head></html>";
        (request.body.len() > LIMIT).then(|| {
            format!(
                "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            )
        })
    });
    let outcome = examine(&gate(&backend));
    finds(&outcome, "upload-large", "too-large");
    let line = step(&outcome, "upload-large");
    assert!(
        line.contains("bytes: 413 Request Entity Too Large\""),
        "{line}"
    );
    assert!(line.contains("client_max_body_size 0;"), "{line}");
    assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
    // Nothing of it stays.
    let ends: Vec<_> = backend
        .requests()
        .into_iter()
        .map(|one| one.start)
        .collect();
    let is_end = |start: &&String| start.starts_with("DELETE ");
    assert_eq!(ends.iter().filter(is_end).count(), 2, "{ends:#?}");
}

#[test]
fn a_registry_with_a_password_of_its_own_is_not_taken_for_a_wrong_password() {
    let asks = |challenge: &str, message: &str| {
        let body =
            format!("{{\"errors\":[{{\"code\":\"UNAUTHORIZED\",\"message\":\"{message}\"}}]}}");
        format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let by_realm = asks("Basic realm=\"basic-realm\"", "authentication required");
    // The realm is the gate's own.
    let by_words = asks("Basic realm=\"Registry\"", "authentication required");
    let by_token = asks(
        "Bearer realm=\"https://auth.invalid/\"",
        "a token is required",
    );
    for (answer, from, name, remedy) in [
        (
            &by_realm,
            "GET /v2/ ",
            "login",
            "--backend-authorization pass",
        ),
        (
            &by_words,
            "GET /v2/ ",
            "login",
            "--backend-authorization pass",
        ),
        (&by_token, "GET /v2/ ", "login", "is no help"),
        // Some let everybody read.
        (
            &by_realm,
            "POST ",
            "upload-start",
            "--backend-authorization pass",
        ),
    ] {
        let answer = answer.clone();
        let backend =
            registry(move |request| request.start.starts_with(from).then(|| answer.clone()));
        let outcome = examine(&gate(&backend));
        finds(&outcome, name, "registry-asks");
        assert!(step(&outcome, name).contains(remedy), "{outcome:#?}");
        assert_eq!(complaints(&outcome).len(), 1, "{outcome:#?}");
    }
}

#[test]
fn a_registry_that_does_without_the_old_field_is_one_all_the_same() {
    let backend = registry(|request| {
        let bare = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        request
            .start
            .starts_with("GET /v2/ ")
            .then(|| bare.to_owned())
    });
    let outcome = examine(&gate(&backend));
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(complaints(&outcome).is_empty(), "{outcome:#?}");
}

#[test]
fn what_a_server_says_stays_on_its_line_and_is_bounded() {
    let hostile =
        "HTTP/1.1 418 No\r\nContent-Length: 23\r\n\r\n\x1b[2J\n\"},\n{\"step\":\"a\",\"\u{7}";
    let outcome = Bare::in_the_clear(hostile).examine();
    finds(&outcome, "challenge", "unexpected-status");
    assert_eq!(outcome.stdout.len(), 17, "{outcome:#?}");
    let line = step(&outcome, "challenge");
    assert!(line.contains("\\u001b[2J\\n\\\"},\\n"), "{line}");

    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!(
            "HTTP/1.1 401 No\r\nContent-Length: 1000000\r\n\r\n{}",
            "x".repeat(1_000_000)
        )
    });
    let outcome = Bare::in_the_clear(&LONG).examine();
    finds(&outcome, "challenge", "no-answer");
    assert!(outcome.text().len() < 10_000);
}

#[test]
fn wrong_usage_is_told_before_anything_is_asked() {
    for args in [
        &["doctor"][..],
        &["doctor", "ftp://a"],
        &["doctor", "https://a/v2/"],
        &["doctor", "https://a:b@c"],
        &["doctor", "unix:/run/a"],
        &["doctor", "https://a", "--password-stdin"],
        &["doctor", "https://a", "--user", "a:b"],
        &["doctor", "https://a", "--repository", "../a"],
    ] {
        let outcome = run_with(args, &[], b"");
        assert_eq!(outcome.code(), Some(2), "{outcome:#?}");
        assert!(outcome.stdout.is_empty());
    }
    let outcome = run_with(
        &["doctor", "https://127.0.0.1:1", "--ca", "/nonexistent"],
        &[],
        b"",
    );
    assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
    assert!(outcome.text().contains("no such file"), "{outcome:#?}");
}
