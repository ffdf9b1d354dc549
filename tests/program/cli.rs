//! The built program: what it says, where, and with which exit status.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt,
    process::{Command, Stdio},
};

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn portreeve<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    variables: &[(&str, &str)],
) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_portreeve"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn help_goes_to_standard_output_and_is_no_failure() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["serve", "-h"],
        &["auth", "-h"],
        &["check", "--help"],
        &["passwd", "-h"],
        &["cert", "-h"],
        &["health", "-h"],
        &["doctor", "-h"],
    ] {
        let outcome = portreeve(arguments, &[]);
        assert_eq!(outcome.status, Some(0), "{arguments:?}");
        assert!(
            outcome.stdout.starts_with("Usage: portreeve"),
            "{}",
            outcome.stdout
        );
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn the_version_is_one_line() {
    for argument in ["--version", "-V"] {
        let outcome = portreeve([argument], &[]);
        let expected = format!("portreeve {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((outcome.status, outcome.stdout), (Some(0), expected));
    }
}

#[test]
fn nothing_at_all_is_wrong_usage_and_shows_the_help() {
    let outcome = portreeve([""; 0], &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
    assert!(
        outcome.stderr.starts_with("Usage: portreeve"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn wrong_usage_exits_with_2_and_says_where_help_is() {
    for arguments in [
        &["frobnicate"][..],
        &["serve", "--frobnicate"],
        &["serve", "--realm"],
        &["serve", "--realm", "a", "--realm", "b"],
        &["auth", "--backend", "http://127.0.0.1:5000"],
        &["check", "stray"],
        &["passwd"],
    ] {
        let outcome = portreeve(arguments, &[]);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            outcome.stderr.starts_with("portreeve: "),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.ends_with("--help` says what is possible\n"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn an_argument_that_is_not_utf8_is_wrong_usage() {
    let outcome = portreeve(
        [OsString::from("serve"), OsString::from_vec(vec![0xff])],
        &[],
    );
    assert_eq!(outcome.status, Some(2));
    let expected = "portreeve: argument 2 is not valid UTF-8\n";
    assert!(outcome.stderr.starts_with(expected), "{}", outcome.stderr);
}

#[test]
fn every_fault_is_printed_and_the_status_is_78() {
    let path = std::env::temp_dir().join(format!("portreeve-cli-{}.conf", std::process::id()));
    std::fs::write(&path, "lisen https://[::]:443\nworkers 0\n").unwrap();
    let file = path.to_str().unwrap();
    for command in ["serve", "check"] {
        let variables = [("PORTREEVE_TRUSTED_PROXY", "10.0.0.1/8")];
        let outcome = portreeve([command, "--config", file, "--log=xml"], &variables);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(78), ""));
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert_eq!(
            lines,
            [
                &format!("{file}:1: lisen: no such setting; did you mean listen?"),
                &format!("{file}:2: workers \"0\": not a number between 1 and 65536"),
                "PORTREEVE_TRUSTED_PROXY \"10.0.0.1/8\": has bits behind its prefix; \
                 write 10.0.0.0/8, or 10.0.0.1 for it alone",
                "--log \"xml\": neither text nor json",
                "backend: required; say where the registry is, as in --backend http://127.0.0.1:5000",
                "htpasswd: required; say who may pass: --htpasswd FILE, or --auth-backend URL to \
                 ask an API",
                "listen \"https://[::]:443\" (the default): https:// needs a certificate: \
                 --tls-cert FILE and --tls-key FILE, --acme NAME to have one made, or --tls-self-signed DIR for trials and \
                 closed networks",
            ]
        );
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_probe_knows_two_answers() {
    let outcome = portreeve(["health", "--listen", "nonsense"], &[]);
    assert_eq!(outcome.status, Some(1));
    assert!(
        outcome.stderr.starts_with("--listen \"nonsense\": "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_password_in_an_argument_is_not_repeated() {
    for arguments in [
        &["serve", "--backend", "http://user:pa55@host"][..],
        &["serve", "--backnd=http://user:pa55@host"],
        &["serve", "http://user:pa55@host"],
        &["http://user:pa55@host"],
    ] {
        let outcome = portreeve(arguments, &[("AUTH_BACKEND", "http://user:pa55@host")]);
        assert!(!outcome.stderr.is_empty());
        assert!(!outcome.stderr.contains("pa55"), "{}", outcome.stderr);
    }
}

#[test]
fn nobody_reading_is_no_reason_to_panic_or_to_fail() {
    let path = std::env::temp_dir().join(format!("portreeve-unread-{}", std::process::id()));
    std::fs::write(&path, "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
    let users = path.to_str().unwrap();
    let listen = "--listen=http://127.0.0.1:0";
    let good = ["check", listen, "--backend=unix:/r", "--htpasswd", users];
    let cases = [
        (&["serve", "--help"][..], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["frobnicate"], 2),
        (&good, 0),
        (&["check", listen], 78),
        (
            &["serve", listen, "--backend=unix:/r", "--htpasswd=/nowhere"],
            78,
        ),
        (&["health", "--listen=unix:/nowhere"], 1),
        (&["passwd", "--list", users], 0),
    ];
    for (arguments, expected) in cases {
        let status = Command::new(env!("CARGO_BIN_EXE_portreeve"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(closed_pipe())
            .stderr(closed_pipe())
            .status()
            .unwrap();
        assert_eq!(
            status.code(),
            Some(expected),
            "{arguments:?}, a closed pipe"
        );
        let status = Command::new("/bin/sh")
            .args(["-c", "exec \"$@\" >&- 2>&-", "sh"])
            .arg(env!("CARGO_BIN_EXE_portreeve"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments:?}, closed");
    }
    // A full disk: what was asked for is lost where it is all there is, and the verdict of `check` is not.
    for (arguments, expected) in [(&["--version"][..], 1), (&good, 0), (&["check"], 78)] {
        let full = || {
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        let status = Command::new(env!("CARGO_BIN_EXE_portreeve"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(full())
            .stderr(full())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(expected), "{arguments:?}, full");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_is_not_there_is_all_that_is_said() {
    let outcome = portreeve(["check", "--config", "/nowhere/portreeve.conf"], &[]);
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (
            Some(78),
            "--config \"/nowhere/portreeve.conf\": no such file or directory\n"
        )
    );
}

#[test]
fn one_dash_is_one_too_few() {
    let outcome = portreeve(["serve", "-listen", "https://[::]:443"], &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(
        outcome
            .stderr
            .starts_with("portreeve: no such flag \"-listen\"; did you mean --listen?\n"),
        "{}",
        outcome.stderr
    );
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}
