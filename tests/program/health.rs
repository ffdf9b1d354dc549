//! `portreeve health`: exit 0 where a gate answers, 1 where none does, with the settings of `serve`.

use crate::support::acceptor::Refusing;
use crate::support::gate::{run, run_with};
use crate::support::{Backend, Gate};

fn settings(gate: &Gate, scheme: &str) -> Vec<String> {
    let url = format!("{scheme}://{}", gate.authority(scheme));
    let (users, tls) = (gate.dir.path("htpasswd"), gate.dir.path("tls"));
    let backend = "http://127.0.0.1:5000";
    [
        "--listen",
        &url,
        "--htpasswd",
        &users,
        "--tls-self-signed",
        &tls,
        "--backend",
        backend,
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_gate_that_answers_is_well_whatever_its_backend_does() {
    let nobody = Refusing::new();
    let gate = Gate::start(&["--backend", &format!("http://{}", nobody.authority)]);
    for scheme in ["http", "https"] {
        let settings = settings(&gate, scheme);
        let mut args = vec!["health"];
        args.extend(settings.iter().map(String::as_str));
        let outcome = run(&args);
        assert_eq!(outcome.code(), Some(0), "{scheme}: {outcome:#?}");
    }
}

#[test]
fn the_settings_may_come_from_variables() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url()]);
    let url = format!("http://{}", gate.authority("http"));
    let users = gate.dir.path("htpasswd");
    let variables = [
        ("PORTREEVE_LISTEN", url.as_str()),
        ("PORTREEVE_HTPASSWD", &users),
        ("BACKEND", backend.url()),
    ];
    let outcome = run_with(&["health"], &variables, b"");
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    backend.assert_untouched();
}

#[test]
fn a_gate_that_is_gone_is_not_well() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let nobody = Refusing::new();
    for scheme in ["http", "https"] {
        let mut settings = settings(&gate, scheme);
        settings[1] = format!("{scheme}://{}", nobody.authority);
        let mut args = vec!["health"];
        args.extend(settings.iter().map(String::as_str));
        let outcome = run(&args);
        assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
        assert!(!outcome.text().trim().is_empty(), "it does not say why");
    }
}

#[test]
fn what_does_not_speak_http_is_not_well() {
    let other = Backend::script(|mut peer| {
        peer.head()?;
        peer.say("220 mail.example ESMTP\r\n")
    });
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000"]);
    let mut settings = settings(&gate, "http");
    settings[1] = other.url().to_owned();
    let mut args = vec!["health"];
    args.extend(settings.iter().map(String::as_str));
    assert_eq!(run(&args).code(), Some(1));
}
