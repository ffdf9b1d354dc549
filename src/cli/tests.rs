//! What the command line means, before anything runs.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{Scope, Setting, settings_table};

fn understood(line: &str) -> Result<(Command, Vec<String>), Stop> {
    understand(
        std::iter::once("portreeve")
            .chain(line.split_whitespace())
            .map(OsString::from),
    )
}

fn flags(line: &str) -> Vec<(String, String)> {
    let flags = match understood(line).unwrap().0 {
        Command::Serve(serve) => serve.flags(),
        Command::Auth(auth) => auth.flags(),
        Command::Check(check) => check.0.flags(),
        Command::Health(health) => health.0.flags(),
        Command::Passwd(_)
        | Command::Cert(_)
        | Command::Doctor(_)
        | Command::May(_)
        | Command::Readonly(_) => panic!("{line}"),
    };
    flags
        .into_iter()
        .map(|(setting, value)| (setting.name.clone(), value))
        .collect()
}

fn message(line: &str) -> String {
    match understood(line) {
        Err(Stop::Wrong { message, .. }) => message,
        other => panic!("{line}: {other:?}"),
    }
}

fn help(line: &str) -> String {
    match understood(line) {
        Err(Stop::Tell(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

/// The settings that a command has a use for.
fn settings_of(command: &str) -> impl Iterator<Item = &'static Setting> {
    let is_auth = command == "auth";
    settings_table()
        .iter()
        .filter(move |setting| !is_auth || setting.scope == Scope::Everywhere)
}

#[test]
fn flags_arrive_with_their_settings() {
    for command in ["serve", "check", "health"] {
        assert_eq!(
            flags(&format!(
                "{command} --backend a --insecure-http --backend=b --tls-key=k --realm --x=y"
            )),
            [
                ("insecure-http", "yes"),
                ("backend", "a"),
                ("backend", "b"),
                ("realm", "--x=y"),
                ("tls-key", "k")
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}

#[test]
fn every_setting_is_a_flag_of_every_command_that_takes_settings() {
    for command in ["serve", "auth", "check", "health"] {
        for setting in settings_of(command) {
            let typed = flags(&format!("{command} --{}=x", setting.name));
            assert_eq!(typed, [(setting.name.clone(), "x".to_owned())]);
        }
    }
}

#[test]
fn auth_takes_no_flag_that_only_serve_has_a_use_for() {
    let of_serve: Vec<_> = settings_table()
        .iter()
        .filter(|setting| setting.scope == Scope::Serve)
        .map(|setting| setting.name.as_str())
        .collect();
    assert_eq!(
        of_serve,
        [
            "backend",
            "backend-ca",
            "auth-backend",
            "auth-cache",
            "auth-timeout",
            "auth-ca",
            "auth-probe",
            "access",
            "token-key",
            "external-url",
            "site",
            "sites",
            "client-ca",
            "client-auth",
            "backend-authorization",
            "paths",
            "allow",
            "preflight",
            "body-timeout",
            "response-timeout",
            "connect-timeout"
        ]
    );
    for name in of_serve {
        assert_eq!(
            message(&format!("auth --{name}=x")),
            format!("--{name} is a flag of serve, and of no use to auth")
        );
        assert!(!help("auth --help").contains(&format!("--{name} ")));
    }
}

#[test]
fn a_plain_flag_is_given_once() {
    assert_eq!(
        message("serve --realm a --realm=b"),
        "--realm takes one value, but is given 2 times"
    );
    assert_eq!(
        message("check --insecure-http --insecure-http=no"),
        "--insecure-http takes one value, but is given 2 times"
    );
    assert!(message("passwd --cost 5 --cost 6 f u").contains("duplicate"));
}

#[test]
fn help_tells_all_there_is_to_know_about_each_setting() {
    for command in ["serve", "auth", "check", "health"] {
        let text = help(&format!("{command} --help"));
        let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in settings_of(command) {
            let dots = if setting.repeatable() { "..." } else { "" };
            let entry = format!(
                "--{} {} ({}{dots}, default: {})",
                setting.name, setting.help, setting.placeholder, setting.default
            );
            assert!(flowing.contains(&entry), "{entry}");
        }
    }
}

#[test]
fn help_fits_a_terminal() {
    for line in [
        "--help",
        "serve -h",
        "auth -h",
        "check --help",
        "passwd --help",
        "cert -h",
        "doctor -h",
        "health -h",
    ] {
        for line in help(line).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for line in ["--version", "-V"] {
        assert_eq!(help(line), "portreeve 0.1.0\n");
    }
}

#[test]
fn passwd_hands_over_what_was_typed() {
    let Command::Passwd(args) = understood("passwd --stdin --cost=12 f -- -u").unwrap().0 else {
        panic!()
    };
    let expected = PasswdRequest {
        file: "f".into(),
        action: Action::Set {
            user: b"-u".to_vec(),
            cost: 12,
        },
        source: Source::Stdin,
    };
    assert_eq!(PasswdRequest::from(args), expected);
}

#[test]
fn passwd_refuses_what_makes_no_sense() {
    let cases = [
        ("passwd", "required positional arguments not provided: FILE"),
        ("passwd f", "the user is missing"),
        ("passwd --list f u", "--list takes no user"),
        (
            "passwd --list --delete f",
            "only one of --delete, --list and --verify is possible",
        ),
        (
            "passwd --delete --stdin f u",
            "--stdin reads a password, and none is needed here",
        ),
        (
            "passwd --verify --cost 5 f u",
            "--cost is for a new password, and there is none here",
        ),
        ("passwd f u x", "there is an argument too many"),
        (
            "doctor ftp://alice:secret@h",
            "error parsing positional argument 'url' with value 'ftp://…@h': not the URL of a gate, as in https://registry.example.com:5443",
        ),
        (
            "passwd --cost 17 f u",
            "error parsing option '--cost' with value '17': not a number between 4 and 16",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(message(line), expected, "{line}");
    }
    assert!(understood("passwd --list f").is_ok());
    assert!(understood("passwd --verify --stdin f u").is_ok());
}
