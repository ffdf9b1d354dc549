//! Files of keys, certificates and passwords that were mangled, or named in the wrong place: what is wrong is said, and
//! nothing of what is in them.

use crate::support::certificates::Ca;
use crate::support::gate::{Outcome, run, run_with};
use crate::support::{Client, Dir, Gate};
use rustix::process::Signal;

/// What a shell, a variable, a template or an editor makes of a PEM file. Where `true` stands the line breaks are lost,
/// which a message must say.
fn mangled(pem: &str) -> Vec<(&'static str, Vec<u8>, bool)> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let one_line = pem.replace('\n', "");
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(pem.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let forms = [
        ("no line breaks", one_line.clone(), true),
        ("no line breaks, twice", one_line.repeat(2), true),
        ("blanks instead", pem.replace('\n', " "), true),
        ("tabs instead", pem.replace('\n', "\t"), true),
        ("NUL instead", pem.replace('\n', "\0"), true),
        ("<br> instead", pem.replace('\n', "<br>"), true),
        ("literal \\n", pem.replace('\n', "\\n"), true),
        ("literal \\r\\n", pem.replace('\n', "\\r\\n"), true),
        (
            "first line glued",
            pem.replacen("-----\n", "-----", 1),
            true,
        ),
        (
            "first line behind a blank",
            pem.replacen("-----\n", "----- ", 1),
            true,
        ),
        (
            "last line glued",
            pem.replace("\n-----END", "-----END"),
            true,
        ),
        (
            "all but the markers glued",
            pem.replacen("-----\n", "-----", 1)
                .replace("\n-----END", "-----END"),
            true,
        ),
        (
            "no line breaks, a text before",
            format!("tls.key: {one_line}"),
            true,
        ),
        ("quoted", format!("\"{}\"", one_line), true),
        ("quoted with its lines", format!("\"{pem}\""), false),
        (
            "indented",
            pem.replace('\n', "\n    ")
                .replacen("-----", "    -----", 1),
            false,
        ),
        (
            "cut short",
            pem.split("-----END").next().unwrap().to_owned(),
            false,
        ),
        (
            "a dash less before",
            pem.replace("-----BEGIN", "----BEGIN"),
            false,
        ),
        (
            "a dash less behind",
            pem.replacen("-----\n", "----\n", 1),
            false,
        ),
        ("no dashes", pem.replace('-', ""), false),
        ("the base64 alone", format!("{body}\n"), false),
        (
            "the base64 as a label",
            format!("-----BEGIN {body}-----\n"),
            false,
        ),
        (
            "the base64 as a label, with an end",
            format!("-----BEGIN {body}-----\n\n-----END {body}-----\n"),
            false,
        ),
        ("signs in the base64", pem.replacen("\nM", "\n!M", 1), false),
    ];
    let forms = forms.map(|(name, text, is_lost)| (name, text.into_bytes(), is_lost));
    let mut forms = Vec::from(forms);
    forms.push(("UTF-16", utf16, false));
    forms
}

/// Fails the test if twelve letters of the file's base64 stand in a row in a text, whatever stands between them.
#[track_caller]
fn assert_secret(pem: &str, said: &str, what: &str) {
    let letters = |text: &str| -> Vec<u8> {
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        text.bytes().filter(is_base64).collect()
    };
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let (body, found) = (letters(&body), letters(said));
    let told = body
        .windows(12)
        .find(|run| found.windows(12).any(|window| window == *run));
    assert!(told.is_none(), "{what}: {said}");
}

/// Says what is wrong with the shape, and exits with 78 or another status than 0.
#[track_caller]
fn assert_told(outcome: &Outcome, is_lost: bool, what: &str) {
    assert_ne!(outcome.code(), Some(0), "{what}: {outcome:#?}");
    let said = outcome.text();
    assert!(
        !is_lost || said.contains("the line breaks were lost"),
        "{what}: {said}"
    );
}

const HERE: [&str; 3] = ["check", "--listen", "https://127.0.0.1:0"];
const USERS: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

#[test]
fn no_fault_quotes_a_file_of_keys_or_certificates_whatever_became_of_it() {
    let (dir, ca) = (Dir::new(), Ca::new());
    let pair = ca.sign(&["localhost"]);
    let (cert, key, users) = (
        dir.file("good.crt", &pair.cert),
        dir.file("good.key", &pair.key),
        dir.file("users", USERS),
    );
    let bad = dir.path("bad");
    let plain = ["--backend", "http://127.0.0.1:1", "--htpasswd", &users];
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let places: [(&str, &str, Vec<&str>); 4] = [
        (
            "--tls-key",
            &pair.key,
            [&plain[..], &["--tls-cert", &cert, "--tls-key", &bad]].concat(),
        ),
        (
            "--tls-cert",
            &pair.cert,
            [&plain[..], &["--tls-cert", &bad, "--tls-key", &key]].concat(),
        ),
        (
            "--backend-ca",
            &pair.cert,
            [
                &tls[..],
                &[
                    "--htpasswd",
                    &users,
                    "--backend",
                    "https://127.0.0.1:1",
                    "--backend-ca",
                    &bad,
                ],
            ]
            .concat(),
        ),
        (
            "--auth-ca",
            &pair.cert,
            [
                &tls[..],
                &[
                    "--backend",
                    "http://127.0.0.1:1",
                    "--auth-backend",
                    "https://127.0.0.1:1/",
                    "--auth-ca",
                    &bad,
                ],
            ]
            .concat(),
        ),
    ];
    for (place, pem, args) in places {
        for (form, text, is_lost) in mangled(pem) {
            dir.file("bad", text);
            let outcome = run(&[&HERE[..], &args].concat());
            let what = format!("{place}, {form}");
            assert_told(&outcome, is_lost, &what);
            assert_secret(pem, &outcome.text(), &what);
        }
    }
    // The start says the same as `check`.
    dir.file("bad", pair.key.replace('\n', ""));
    let serve = [
        "serve",
        "--listen",
        "https://127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &bad,
    ];
    let outcome = run(&[&serve[..], &plain].concat());
    assert_told(&outcome, true, "serve");
    assert_secret(&pair.key, &outcome.text(), "serve");
}

#[test]
fn no_message_quotes_the_files_of_a_private_ca() {
    let dir = Dir::new();
    let own = dir.path("own");
    let made = run(&["cert", &own, "localhost"]);
    assert_eq!(made.code(), Some(0), "{made:#?}");
    let users = dir.file("users", USERS);
    for name in ["ca.key", "ca.crt", "server.key", "server.crt"] {
        let path = dir.path(&format!("own/{name}"));
        let good = std::fs::read_to_string(&path).unwrap();
        for (form, text, is_lost) in mangled(&good) {
            std::fs::write(&path, text).unwrap();
            let what = format!("{name}, {form}");
            let args = [
                "--tls-self-signed",
                &own,
                "--htpasswd",
                &users,
                "--backend",
                "http://127.0.0.1:1",
            ];
            let checked = run(&[&HERE[..], &args].concat());
            assert_secret(&good, &checked.text(), &what);
            if name.starts_with("ca.") {
                assert_told(&checked, is_lost, &what);
                let renewed = run(&["cert", &own]);
                assert_told(&renewed, is_lost, &what);
                assert_secret(&good, &renewed.text(), &what);
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn what_the_gate_makes_anew_in_place_of_a_mangled_file_it_does_not_quote() {
    let dir = Dir::new();
    let own = dir.path("tls");
    assert_eq!(run(&["cert", &own, "localhost"]).code(), Some(0));
    let key = std::fs::read_to_string(dir.path("tls/server.key")).unwrap();
    dir.file("tls/server.key", key.replace('\n', ""));
    let gate = Gate::start_in(dir, &["--backend", "http://127.0.0.1:1"]);
    let said = gate.messages.wait_for_text("making a new one");
    assert!(said.contains("the line breaks were lost"), "{said}");
    assert_secret(&key, &gate.terminate().text(), "a renewed key");
}

#[test]
fn a_mangled_key_at_reload_is_quoted_neither_in_the_log_nor_on_the_page() {
    let (dir, ca) = (Dir::new(), Ca::new());
    let pair = ca.sign(&["localhost"]);
    let (cert, key) = (dir.file("crt", &pair.cert), dir.file("key", &pair.key));
    let admin = dir.path("admin.sock");
    let gate = Gate::start_in(
        dir,
        &[
            "--listen",
            "https://127.0.0.1:0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--backend",
            "http://127.0.0.1:1",
            "--admin",
            &format!("unix:{admin}"),
        ],
    );
    gate.messages.wait_for_text("health on");
    for (form, text, _) in mangled(&pair.key) {
        let before = gate.messages.all().len();
        gate.dir.file("key", text);
        gate.signal(Signal::HUP);
        // That it looks, and what it found.
        gate.messages.wait_for_count(before + 2);
        let page = Client::unix(&admin).ask("GET /", &[]);
        assert_eq!(page.status(), 200);
        let page = String::from_utf8(page.body.clone()).unwrap();
        assert!(page.contains("the last good one stays"), "{page}");
        assert_secret(&pair.key, &page, form);
        assert_secret(&pair.key, &gate.messages.all().join("\n"), form);
    }
}

#[test]
fn the_doctor_quotes_nothing_of_its_ca() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:1"]);
    let (url, good) = (format!("https://{}", gate.authority("https")), gate.ca());
    for (form, text, is_lost) in mangled(&good) {
        let bad = gate.dir.file("bad", text);
        let outcome = run(&["doctor", &url, "--ca", &bad]);
        assert_told(&outcome, is_lost, form);
        assert_secret(&good, &outcome.text(), form);
    }
}

#[test]
fn a_file_in_the_place_of_another_is_not_quoted() {
    let (dir, ca) = (Dir::new(), Ca::new());
    let key = ca.sign(&["localhost"]).key;
    let hashes = "alice:$2y$05$abcdefghijklmnopqrstuuWyFiKRUlU2YyK6oZ6vWqVcUpqRoaPPq\n\
                  $apr1$abcdefgh$Zq0tXqD6sRzJmVwNkLpQ41:swapped\n\
                  {SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:swapped\n";
    for secret in [key.as_str(), hashes] {
        for (form, text) in [
            ("as it is", secret.to_owned()),
            ("on one line", secret.replace('\n', "")),
            ("with blanks", secret.replace('\n', " ")),
        ] {
            let file = dir.file("file", &text);
            for args in [
                vec!["check", "--config", &file],
                vec!["check", "--htpasswd", &file],
                vec!["check", "--tls-cert", &file, "--tls-key", &file],
                vec!["passwd", "--list", &file],
                vec!["passwd", "--verify", "--stdin", &file, "alice"],
            ] {
                let outcome = run_with(&args, &[], b"secret\n");
                assert_secret(secret, &outcome.text(), &format!("{args:?} {form}"));
            }
        }
    }
}

#[test]
fn a_file_in_the_place_of_its_name_is_not_quoted() {
    let ca = Ca::new();
    let key = ca.sign(&["localhost"]).key;
    let secrets = [
        key.clone(),
        key.replace('\n', " "),
        key.replace('\n', ""),
        key.replace('\n', "\\n"),
        key.lines().filter(|line| !line.starts_with('-')).collect(),
        "alice:$2y$05$abcdefghijklmnopqrstuuWyFiKRUlU2YyK6oZ6vWqVcUpqRoaPPq".to_owned(),
    ];
    for secret in &secrets {
        for name in [
            "tls-key",
            "tls-cert",
            "htpasswd",
            "backend-ca",
            "auth-ca",
            "config",
            "tls-self-signed",
        ] {
            let variable = format!("PORTREEVE_{}", name.to_uppercase().replace('-', "_"));
            let outcome = run_with(&["check"], &[(&variable, secret)], b"");
            assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
            assert_secret(secret, &outcome.text(), &variable);
            for args in [
                vec![format!("--{name}={secret}")],
                vec![format!("--{name}"), secret.clone()],
            ] {
                let mut all = vec!["check"];
                all.extend(args.iter().map(String::as_str));
                let outcome = run(&all);
                assert_ne!(outcome.code(), Some(0), "{outcome:#?}");
                assert_secret(secret, &outcome.text(), name);
            }
        }
    }
    let said = run_with(&["check"], &[("PORTREEVE_TLS_KEY", &key)], b"").text();
    assert!(
        said.contains(
            "PORTREEVE_TLS_KEY \"…\": this is what is in a file: write the name of the file"
        ),
        "{said}"
    );
}
