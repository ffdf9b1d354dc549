//! What `serve` says at its start: a few lines for a person who looks whether all is as it was meant, and warnings that
//! matter.

use crate::support::{Backend, Dir, Gate};
use rcgen::{CertificateParams, KeyPair};
use std::time::{Duration, SystemTime};

fn said(gate: &Gate) -> Vec<String> {
    let whole = |line: &String| line.split_once('Z').map(|(_, rest)| rest.trim().to_owned());
    gate.messages.all().iter().filter_map(whole).collect()
}

#[test]
fn the_start_says_what_is_guarded_where_with_what_and_until_when() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let own = dir.path("tls");
    let listen = ["--listen", "https://127.0.0.1:0", "--tls-self-signed", &own];
    let args = [&["--backend", backend.url()], &listen[..]].concat();
    let gate = Gate::start_in(dir, &args);
    let said = said(&gate);
    let guarding = format!(
        "INFO guarding {}, for 1 user in {:?}",
        backend.url(),
        gate.dir.path("htpasswd")
    );
    assert!(said.contains(&guarding), "{guarding}: {said:#?}");
    for begin in [
        "INFO certificate for localhost, 127.0.0.1, ::1, ",
        "INFO clients need its private CA ",
        "INFO listening on https://127.0.0.1:",
    ] {
        let line = said.iter().find(|line| line.starts_with(begin));
        let line = line.unwrap_or_else(|| panic!("{begin}: {said:#?}"));
        assert!(
            begin.contains("listening") || line.contains(", until 20"),
            "{line}"
        );
    }
    let infos = said.iter().filter(|line| line.starts_with("INFO ")).count();
    assert_eq!(infos, 4, "{said:#?}");
}

/// The warnings of a gate whose certificate has so many days left.
fn warnings_with(days: u64) -> Vec<String> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60)).into();
    let key = KeyPair::generate().unwrap();
    let dir = Dir::new();
    let cert = dir.file("cert.pem", params.self_signed(&key).unwrap().pem());
    let key = dir.file("key.pem", key.serialize_pem());
    let args = [
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--backend",
        "http://127.0.0.1:5000",
    ];
    let gate = Gate::start_in(dir, &args);
    let mut said = said(&gate);
    said.retain(|line| line.starts_with("WARN "));
    said
}

#[test]
fn a_certificate_that_expires_within_14_days_is_worth_a_warning() {
    let is_named = |days| {
        warnings_with(days)
            .iter()
            .any(|line| line.contains("expires on 20"))
    };
    assert!(is_named(13));
    assert!(!is_named(15));
}

#[test]
fn weak_hashes_are_named_once_with_a_remedy() {
    let warnings = warnings_with(100);
    let weak: Vec<_> = warnings
        .iter()
        .filter(|line| line.contains("weak hashes: {SHA} (1 user)"))
        .collect();
    assert!(
        matches!(&*weak, [one] if one.contains("/htpasswd USER\" makes a strong one")),
        "{warnings:#?}"
    );
}
