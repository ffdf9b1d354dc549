//! `portreeve cert`: a directory that clients trust and `serve` takes over, and nothing in it lost by mistake.

use crate::support::certificates::Ca;
use crate::support::gate::{Outcome, run};
use crate::support::{AUTH, Backend, Dir, Gate};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

#[track_caller]
fn cert(dir: &Dir, names: &[&str]) -> Outcome {
    let directory = dir.path("tls");
    let outcome = run(&[&["cert", &directory], names].concat());
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    outcome
}

#[track_caller]
fn refused(dir: &Dir) -> String {
    let outcome = run(&["cert", &dir.path("tls")]);
    assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
    outcome.stderr.join("\n")
}

fn read(dir: &Dir, name: &str) -> String {
    fs::read_to_string(dir.path(&format!("tls/{name}"))).unwrap()
}

/// As a client would, and not with the library that made it.
fn openssl_verifies(dir: &Dir, how: &[&str]) -> bool {
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver"])
        .args(how)
        .arg("-CAfile")
        .args([dir.path("tls/ca.crt"), dir.path("tls/server.crt")])
        .output()
        .expect("openssl is installed");
    verified.status.success()
}

#[test]
fn the_first_run_makes_a_ca_and_a_certificate_with_keys_for_their_owner_alone() {
    let dir = Dir::new();
    cert(&dir, &["registry.lan", "10.1.2.3", "fd00::7"]);
    for (name, mode) in [
        ("tls", 0o700),
        ("tls/ca.key", 0o600),
        ("tls/server.key", 0o600),
    ] {
        let found = fs::metadata(dir.path(name)).unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    for how in [
        ["-verify_hostname", "registry.lan"],
        ["-verify_hostname", "localhost"],
        ["-verify_ip", "10.1.2.3"],
        ["-verify_ip", "fd00::7"],
    ] {
        assert!(openssl_verifies(&dir, &how), "{how:?}");
    }
    assert!(!openssl_verifies(&dir, &["-verify_hostname", "other.lan"]));
}

#[test]
fn it_says_where_each_client_wants_the_ca() {
    let dir = Dir::new();
    let text = cert(&dir, &["fd00::7", "registry.lan"]).stdout.join("\n");
    for place in [
        "/etc/docker/certs.d/[fd00::7]:PORT/ca.crt",
        "/etc/containers/certs.d/[fd00::7]:PORT/ca.crt",
        "/etc/containerd/certs.d/[fd00::7]:PORT/ca.crt",
        "update-ca-certificates",
        "--tls-name fd00::7 --tls-name registry.lan",
        &dir.path("tls/ca.crt"),
    ] {
        assert!(text.contains(place), "{place}: {text}");
    }
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}

#[test]
fn run_again_it_renews_the_certificate_for_the_same_names_and_keeps_the_ca() {
    let dir = Dir::new();
    let text = cert(&dir, &["registry.lan"]).text();
    assert!(text.contains("made the private CA"), "{text}");
    let names = ["ca.crt", "ca.key", "server.crt", "server.key"];
    let [ca, ca_key, server, server_key] = names.map(|name| read(&dir, name));
    let text = cert(&dir, &[]).text();
    assert!(text.contains("kept the private CA"), "{text}");
    assert!(text.contains("certs.d/registry.lan:PORT/"), "{text}");
    assert_eq!([ca, ca_key], ["ca.crt", "ca.key"].map(|n| read(&dir, n)));
    assert_ne!(server, read(&dir, "server.crt"));
    assert_ne!(server_key, read(&dir, "server.key"));
    let is_for = |name| openssl_verifies(&dir, &["-verify_hostname", name]);
    assert!(is_for("registry.lan"));
    cert(&dir, &["other.lan"]);
    assert!(is_for("other.lan") && !is_for("registry.lan"));
}

#[test]
fn serve_takes_the_directory_over_as_it_is() {
    let dir = Dir::new();
    cert(&dir, &["registry.lan"]);
    let before = ["ca.crt", "ca.key", "server.crt", "server.key"].map(|name| read(&dir, name));
    let backend = Backend::echo();
    let gate = Gate::start_in(dir, &["--backend", backend.url()]);
    let answer = gate.https().ask("GET /v2/", &[AUTH]);
    assert_eq!(answer.status(), 200);
    let after = ["ca.crt", "ca.key", "server.crt", "server.key"].map(|name| read(&gate.dir, name));
    assert_eq!(before, after);
}

#[test]
fn nothing_that_was_not_made_here_is_overwritten() {
    let dir = Dir::new();
    fs::create_dir(dir.path("tls")).unwrap();
    let foreign = Ca::new().sign(&["registry.lan"]);
    dir.file("tls/server.crt", &foreign.cert);
    dir.file("tls/server.key", &foreign.key);
    assert!(refused(&dir).contains("were not made here"));
    assert_eq!(read(&dir, "server.crt"), foreign.cert);
    assert_eq!(read(&dir, "server.key"), foreign.key);
    assert!(!fs::exists(dir.path("tls/ca.crt")).unwrap());
}

#[test]
fn a_ca_whose_key_is_lost_is_not_made_anew() {
    let dir = Dir::new();
    cert(&dir, &[]);
    let before = ["ca.crt", "server.crt"].map(|name| read(&dir, name));
    fs::remove_file(dir.path("tls/ca.key")).unwrap();
    let said = refused(&dir);
    assert!(said.contains("but not its key"), "{said}");
    assert!(said.contains("delete ca.crt"), "{said}");
    assert_eq!(before, ["ca.crt", "server.crt"].map(|n| read(&dir, n)));
}

#[test]
fn a_name_that_no_certificate_can_hold_is_wrong_usage() {
    let dir = Dir::new();
    for names in [&["https://registry.lan"][..], &["good.lan", "a:5000"]] {
        let outcome = run(&[&["cert", &dir.path("tls")], names].concat());
        assert_eq!(outcome.code(), Some(2), "{outcome:#?}");
        assert!(outcome.text().contains("neither a DNS name nor an address"));
    }
    assert_eq!(run(&["cert"]).code(), Some(2));
    assert!(!fs::exists(dir.path("tls")).unwrap());
}
