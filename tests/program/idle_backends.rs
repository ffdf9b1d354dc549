//! Backends that no request reaches: how they are is found out all the same, and nobody is harmed by the question.

use crate::support::acceptor::{Deaf, Refusing};
use crate::support::stream::End;
use crate::support::{AUTH, Backend, Client, Dir, Gate};
use std::io;

/// The path of the admin endpoint, as text.
fn look(gate: &Gate, path: &str) -> String {
    let said = gate.messages.wait_for_text("health on http://");
    let (_, url) = said.split_once("health on http://").unwrap();
    let authority = url.split(": ").next().unwrap();
    Client::clear(authority)
        .ask(&format!("GET {path}"), &[])
        .text()
}

#[track_caller]
fn assert_has(page: &str, wanted: &[String]) {
    for one in wanted {
        assert!(page.contains(one), "no {one} in\n{page}");
    }
}

fn is_in_state(backend: &str, state: &str) -> String {
    format!("portreeve_backend_state{{backend=\"{backend}\",state=\"{state}\"}} 1\n")
}

#[test]
fn standbys_are_unknown_until_they_are_probed_then_down_or_up_and_no_request_is_counted() {
    let used = Backend::echo();
    // It fails if the gate says anything, or ends otherwise than with a close-notify.
    let idle = Backend::script_tls(|mut peer| match peer.until_closed()? {
        (bytes, End::Clean) if bytes.is_empty() => Ok(()),
        odd => Err(io::Error::other(format!("{odd:?}"))),
    });
    let (dead, deaf) = (Refusing::new(), Deaf::new());
    let (dead, deaf) = (
        format!("http://{}", dead.authority),
        format!("http://{}", deaf.authority),
    );
    let dir = Dir::new();
    let ca = dir.file("ca.pem", idle.ca.as_ref().unwrap());
    let backends = [used.url(), &deaf, &dead, idle.url()];
    let mut args = vec!["--backend-ca", &ca, "--admin", "http://127.0.0.1:0"];
    args.extend(backends.iter().flat_map(|url| ["--backend", url]));
    let gate = Gate::start_in(dir, &args);
    assert_eq!(gate.http().ask("GET /v2/", &[AUTH]).status(), 200);

    assert_eq!(
        look(&gate, "/readyz"),
        format!(
            "ready\nbackend {deaf}: unknown\nbackend {dead}: unknown\nbackend {}: unknown\n",
            idle.url()
        )
    );
    let page = look(&gate, "/metrics");
    assert_has(&page, &[is_in_state(used.url(), "up")]);
    for standby in [&*deaf, &*dead, idle.url()] {
        assert_has(&page, &[is_in_state(standby, "unknown")]);
        let up = format!("portreeve_backend_up{{backend=\"{standby}\"}}");
        assert!(!page.contains(&up), "{page}");
    }
    let unknown = "<i class=\"dot none\"></i><span class=grow><code>".to_owned();
    assert_has(&look(&gate, "/"), &[unknown, "<small>unknown; ".to_owned()]);

    // The one that lets all time out delays none of the others, whose turn is the same.
    idle.wait_for_end(0).unwrap();
    gate.messages
        .wait_for_text(&format!("backend {dead} is down: "));
    let said = gate.messages.all().join("\n");
    assert!(!said.contains(&format!("backend {deaf} is down")), "{said}");
    gate.messages
        .wait_for_text(&format!("backend {deaf} is down: "));

    let page = look(&gate, "/metrics");
    for (standby, state, up) in [
        (&*deaf, "down", 0),
        (&*dead, "down", 0),
        (idle.url(), "up", 1),
    ] {
        assert_has(
            &page,
            &[
                is_in_state(standby, state),
                format!("portreeve_backend_up{{backend=\"{standby}\"}} {up}\n"),
                format!("portreeve_backend_connections_total{{backend=\"{standby}\"}} 0\n"),
                format!("portreeve_backend_failures_total{{backend=\"{standby}\"}} 0\n"),
            ],
        );
    }
    assert_has(
        &page,
        &["portreeve_requests_total{method=\"GET\",status=\"2xx\"} 1\n".to_owned()],
    );
    assert_eq!(
        look(&gate, "/readyz"),
        format!("ready\nbackend {deaf}: down\nbackend {dead}: down\n")
    );
    assert_eq!(used.requests().len(), 1);
}
