//! How often the external auth API is asked, and that no answer is given to somebody it was not for.

use crate::support::api::{MAX_AGE, answer, api, gate, only_alice, uris};
use crate::support::{AUTH, Backend, Gate};
use std::collections::HashSet;
use std::sync::Barrier;

/// One request to each of these, and how often the API was asked.
fn calls(fields: &'static [&'static str], more: &[&str]) -> usize {
    let api = api(|request| only_alice(request, fields));
    let backend = Backend::echo();
    let gate = gate(&api, &backend, more);
    let mut client = gate.http();
    for line in ["GET /v2/", "HEAD /v2/a", "POST /v2/a/uploads/", "GET /v2/"] {
        assert_eq!(client.ask(line, &[AUTH]).status(), 200);
    }
    api.requests().len()
}

#[test]
fn an_answer_is_used_again_for_as_long_as_it_says() {
    assert_eq!(calls(&[MAX_AGE], &[]), 1);
    assert_eq!(calls(&[MAX_AGE, "Vary: Authorization, Cookie"], &[]), 1);
    assert_eq!(calls(&[MAX_AGE, "Vary: X-Original-URI"], &[]), 3);
    assert_eq!(calls(&[MAX_AGE, "Vary: *"], &[]), 4);
    assert_eq!(calls(&["Cache-Control: no-store, max-age=30"], &[]), 4);
    assert_eq!(
        calls(&["Cache-Control: max-age=0"], &["--auth-cache", "30"]),
        4
    );
    assert_eq!(calls(&[], &[]), 4);
    assert_eq!(calls(&[], &["--auth-cache", "30"]), 1);
}

#[test]
fn refusals_are_used_again_too_each_in_its_own_bounds() {
    let api = api(
        |request| match request.field("X-Original-Method").unwrap() {
            "DELETE" => answer("403 No", &[MAX_AGE]),
            "PUT" => answer("503 No", &[MAX_AGE]),
            _ => answer("401 No", &[MAX_AGE]),
        },
    );
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    let mut client = gate.http();
    let mut ask = |line: &str, status: u16, calls: usize| {
        assert_eq!(client.ask(line, &[AUTH]).status(), status, "{line}");
        assert_eq!(api.requests().len(), calls, "{line}");
    };
    ask("DELETE /a", 403, 1);
    ask("DELETE /a", 403, 1);
    ask("DELETE /b", 403, 2);
    ask("PUT /a", 503, 3);
    ask("PUT /a", 503, 4);
    ask("GET /a", 401, 5);
    ask("GET /b", 401, 5);
    // The later of two that both hold.
    ask("DELETE /a", 401, 5);
}

#[test]
fn an_answer_without_credentials_opens_nothing_else() {
    let api = api(|request| {
        let is_public = request.field("X-Original-URI") == Some("/public")
            && request.field("X-Original-Method") == Some("GET");
        answer(if is_public { "200 OK" } else { "401 No" }, &[MAX_AGE])
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    let mut client = gate.http();
    for _ in 0..2 {
        for (line, status) in [
            ("GET /public", 200),
            ("GET /public?", 401),
            ("GET /private", 401),
            ("PUT /public", 401),
        ] {
            assert_eq!(client.ask(line, &[]).status(), status, "{line}");
        }
        // What is not known of somebody is not known of anybody with a password.
        assert_eq!(client.ask("GET /private", &[AUTH]).status(), 401);
    }
    let own = client.host.clone();
    client.host = "elsewhere".into();
    assert_eq!(client.ask("GET /public", &[]).status(), 200);
    client.host = own;
    assert_eq!(api.requests().len(), 4 + 1 + 1);
}

/// Asks the same at once from this many clients, and says what they were told.
fn at_once(gate: &Gate, clients: usize, line: impl Fn(usize) -> String + Sync) -> Vec<u16> {
    let start = Barrier::new(clients);
    std::thread::scope(|scope| {
        let ask = |number| {
            let (start, line) = (&start, &line);
            move || {
                let mut client = gate.http();
                start.wait();
                client.ask(&line(number), &[AUTH]).status()
            }
        };
        let threads: Vec<_> = (0..clients)
            .map(|number| scope.spawn(ask(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn twenty_at_once_with_a_cold_memory_make_one_call() {
    for same in [true, false] {
        let api = api(|request| only_alice(request, &[MAX_AGE]));
        let backend = Backend::echo();
        let gate = gate(&api, &backend, &[]);
        // Whoever comes first is told nothing that would hold.
        assert_eq!(gate.http().ask("GET /v2/", &[]).status(), 401);
        let line = |number| format!("GET /{}", if same { 0 } else { number });
        assert_eq!(at_once(&gate, 20, line), [200; 20]);
        assert_eq!(api.requests().len(), 2, "{:?}", uris(&api));
    }
}

#[test]
fn with_no_store_each_request_is_asked_about_also_when_they_are_the_same_and_at_once() {
    let api = api(|request| only_alice(request, &["Cache-Control: no-store"]));
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    for round in 1..=3 {
        assert_eq!(at_once(&gate, 20, |_| "GET /".to_owned()), [200; 20]);
        assert_eq!(api.requests().len(), 20 * round);
    }
    let ids: HashSet<_> = api
        .requests()
        .iter()
        .map(|request| request.field("X-Request-ID").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 60);
}

#[test]
fn who_waits_for_an_answer_that_is_not_for_them_asks_by_themselves() {
    // Each is held back until the test lets it go.
    let api = Backend::script(|mut peer| {
        while peer.try_request()?.is_some() {
            peer.pause()?;
            peer.say(answer("200 OK", &[]))?;
        }
        Ok(())
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| gate.http().ask("GET /", &[AUTH]).status());
        api.wait_for_request(0);
        // One that differs waits for the first, and then asks by itself.
        let other = scope.spawn(|| gate.http().ask("GET /other", &[AUTH]).status());
        api.go();
        assert_eq!(first.join().unwrap(), 200);
        api.wait_for_request(1);
        api.go();
        assert_eq!(other.join().unwrap(), 200);
    });
    assert_eq!(uris(&api), ["/", "/other"]);
}

#[test]
fn an_api_that_decides_by_path_is_not_confused_by_64_clients_at_once() {
    let api = api(|request| {
        let is_a = request.field("X-Original-URI") == Some("/a");
        let fields = [MAX_AGE, "Vary: X-Original-URI"];
        answer(if is_a { "200 OK" } else { "403 No" }, &fields)
    });
    let backend = Backend::echo();
    let gate = gate(&api, &backend, &[]);
    let path = |number: usize| if number.is_multiple_of(2) { "/a" } else { "/b" };
    for _ in 0..5 {
        let told = at_once(&gate, 64, |number| format!("GET {}", path(number)));
        for (number, status) in told.into_iter().enumerate() {
            assert_eq!(status, if path(number) == "/a" { 200 } else { 403 });
        }
    }
    assert_eq!(api.requests().len(), 2, "{:?}", uris(&api));
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| request.start.starts_with("GET /a "))
    );
}
