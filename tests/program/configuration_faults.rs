//! What `serve` must refuse to start with, and `check` must say: one line for each fault, with its place, before anything
//! listens.

use crate::support::certificates::Ca;
use crate::support::gate::{refused, run, run_with};
use crate::support::{AUTH, Backend, Client, Dir, Gate, HTPASSWD, basic};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

const BACKEND: &[&str] = &["--backend", "http://127.0.0.1:5000"];

/// Runs `serve` with what it must refuse: it says one line with all of `parts`.
#[track_caller]
fn faulty(dir: &Dir, args: &[&str], parts: &[&str]) {
    let told = |lines: &[String]| {
        lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let lines = refused(dir, args);
    assert!(
        told(&lines),
        "no line of serve with {parts:?}:\n{}",
        lines.join("\n")
    );
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_refused() {
    let (dir, ca) = (Dir::new(), Ca::new());
    let (one, other) = (ca.sign(&["localhost"]), ca.sign(&["localhost"]));
    let (cert, key) = (
        dir.file("cert.pem", &one.cert),
        dir.file("key.pem", &one.key),
    );
    let other_key = dir.file("other.pem", &other.key);
    let garbage = dir.file(
        "garbage.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let empty = dir.file("empty.pem", "");
    let none = dir.path("none.pem");
    let directory = dir.as_path().to_str().unwrap();
    let quoted = |name: &str, path: &str| format!("{name} \"{path}\"");
    for (cert, key, at) in [
        (none.as_str(), key.as_str(), quoted("tls-cert", &none)),
        (&cert, &none, quoted("tls-key", &none)),
        (directory, &key, quoted("tls-cert", directory)),
        (&cert, directory, quoted("tls-key", directory)),
        (&empty, &key, quoted("tls-cert", &empty)),
        (&cert, &empty, quoted("tls-key", &empty)),
        (&garbage, &key, quoted("tls-cert", &garbage)),
        (&cert, &garbage, quoted("tls-key", &garbage)),
        (&cert, &other_key, quoted("tls-key", &other_key)),
    ] {
        let args = [
            "--listen",
            "https://127.0.0.1:0",
            "--tls-cert",
            cert,
            "--tls-key",
            key,
            BACKEND[0],
            BACKEND[1],
        ];
        faulty(&dir, &args, &[&at]);
    }
    let unpaired = [
        "--listen",
        "https://127.0.0.1:0",
        "--tls-cert",
        &cert,
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(&dir, &unpaired, &["tls-key"]);
    faulty(
        &dir,
        &["--listen", "https://127.0.0.1:0", BACKEND[0], BACKEND[1]],
        &["tls-self-signed"],
    );
}

#[test]
fn a_password_file_that_cannot_be_used_is_refused_by_line() {
    let dir = Dir::new();
    let none = dir.path("none");
    faulty(
        &dir,
        &["--htpasswd", &none, BACKEND[0], BACKEND[1]],
        &[&format!("htpasswd \"{none}\"")],
    );
    let file = dir.path("users");
    for (line, word) in [
        ("bob:rqXexS6ZhobKA", ""),
        ("bob:plain", ""),
        ("bob:$2y$04$tooshort", ""),
        (
            "bob:y4$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "",
        ),
        (
            "bob:$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
            "",
        ),
        (
            "bob:$6$rounds=999999999$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
            "",
        ),
        ("bob:{SHA}short", ""),
        (
            "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "the user of line 1 again",
        ),
        (
            "bob:Registry:0123456789abcdef0123456789abcdef",
            "htdigest line",
        ),
        (":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", ""),
        ("bob", ""),
    ] {
        std::fs::write(&file, format!("{HTPASSWD}# a comment\n{line}\n")).unwrap();
        faulty(
            &dir,
            &["--htpasswd", &file, BACKEND[0], BACKEND[1]],
            &[&format!("{file}:3"), word],
        );
    }
    for hash in ["hunter2", "rqXexS6ZhobKA"] {
        std::fs::write(&file, format!("bob:{hash}\n")).unwrap();
        let lines = refused(&dir, &["--htpasswd", &file, BACKEND[0], BACKEND[1]]);
        let told = lines.iter().any(|line| line.contains(hash));
        assert!(!told, "a hash or password is shown:\n{}", lines.join("\n"));
    }
}

#[test]
fn a_backend_that_is_no_backend_is_refused() {
    let dir = Dir::new();
    for url in [
        "ftp://127.0.0.1:5000",
        "127.0.0.1:5000",
        "http://",
        "http://127.0.0.1:5000/v2/",
        "http://127.0.0.1:5000?a",
        "http://127.0.0.1:99999",
        "unix:",
    ] {
        faulty(
            &dir,
            &["--backend", url],
            &["backend", "\"", url.split('?').next().unwrap()],
        );
    }
    faulty(&dir, &[], &["backend"]);
    let lines = refused(&dir, &["--backend", "http://user:hunter2@127.0.0.1:5000"]);
    assert!(!lines.join("\n").contains("hunter2"), "{lines:#?}");
    let none = dir.path("none.pem");
    faulty(
        &dir,
        &["--backend", "https://127.0.0.1:5000", "--backend-ca", &none],
        &[&format!("backend-ca \"{none}\"")],
    );
}

#[test]
fn an_address_that_cannot_be_had_is_refused_before_anything_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let args = [
        "--listen",
        "http://127.0.0.1:0",
        "--listen",
        &url,
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(
        &Dir::new(),
        &args,
        &[&format!("listen \"{url}\""), "in use"],
    );
    let args = [
        "--listen",
        "http://127.0.0.1:0",
        "--listen",
        "http://192.0.2.77:0",
        "--insecure-http",
        BACKEND[0],
        BACKEND[1],
    ];
    faulty(&Dir::new(), &args, &["listen \"http://192.0.2.77:0\""]);
}

#[test]
fn passwords_in_the_clear_are_refused_off_loopback() {
    let args = ["--listen", "http://0.0.0.0:0", BACKEND[0], BACKEND[1]];
    faulty(
        &Dir::new(),
        &args,
        &["listen \"http://0.0.0.0:0\"", "insecure-http"],
    );
    let gate = Gate::start(&[
        "--listen",
        "http://0.0.0.0:0",
        "--insecure-http",
        BACKEND[0],
        BACKEND[1],
    ]);
    let port = gate
        .authority("http")
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    Client::clear(&format!("127.0.0.1:{port}")).assert_open();
}

#[test]
fn every_fault_is_said_in_one_run_by_serve_and_by_check() {
    let dir = Dir::new();
    let cert = dir.path("none.crt");
    let users = dir.file("users", format!("{HTPASSWD}bob:plain\ncarol:alsoplain\n"));
    let args = [
        "--listen",
        "https://127.0.0.1:0",
        "--listen",
        "http://0.0.0.0:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &cert,
        "--htpasswd",
        &users,
        "--backend",
        "ftp://x",
    ];
    let parts = [
        "ftp://x",
        "http://0.0.0.0:0",
        "none.crt",
        "users:2",
        "users:3",
    ];
    let served = refused(&dir, &args);
    let mut check = vec!["check"];
    check.extend(args);
    let checked = run(&check);
    assert_eq!(checked.code(), Some(78), "{checked:#?}");
    for part in parts {
        for lines in [served.join("\n"), checked.text()] {
            assert!(lines.contains(part), "{part} is not in\n{lines}");
        }
    }
}

#[test]
fn a_fault_in_a_configuration_file_is_named_by_its_line() {
    let dir = Dir::new();
    let none = dir.path("none.pem");
    let text = format!(
        "# a gate\nlisten https://127.0.0.1:0\nbackend http://127.0.0.1:5000\ntls-cert {none}\ntls-key {none}\nhtpasswd {}\n",
        dir.file("users", HTPASSWD)
    );
    let config = dir.file("portreeve.conf", text);
    for command in ["serve", "check"] {
        let outcome = run(&[command, "--config", &config]);
        assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
        let wanted = format!("{config}:5: tls-key \"{none}\": ");
        assert!(
            outcome.text().lines().any(|line| line.contains(&wanted)),
            "no {wanted:?} in {outcome:#?}"
        );
    }
}

#[test]
fn check_is_content_with_what_serve_takes_and_binds_nothing() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let users = dir.file("users", HTPASSWD);
    let outcome = run(&[
        "check",
        "--listen",
        &url,
        "--htpasswd",
        &users,
        BACKEND[0],
        BACKEND[1],
    ]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    let outcome = run_with(
        &["check", "--listen", &url],
        &[
            ("BACKEND", "http://127.0.0.1:5000"),
            ("PORTREEVE_HTPASSWD", &users),
        ],
        b"",
    );
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
}

/// The configuration of a gate with a certificate, in `dir` or wherever it will be seen as `seen`.
fn configuration(dir: &Dir, seen: &str) -> String {
    let pair = Ca::new().sign(&["localhost"]);
    dir.file("cert.pem", &pair.cert);
    dir.file("key.pem", &pair.key);
    dir.file("users", HTPASSWD);
    format!(
        "listen https://127.0.0.1:0\nbackend http://127.0.0.1:5000\nhtpasswd {seen}/users\n\
         tls-cert {seen}/cert.pem\ntls-key {seen}/key.pem\n"
    )
}

#[test]
fn a_comment_behind_a_value_is_no_part_of_a_path() {
    let dir = Dir::new();
    let place = dir.path("ca2");
    let users = dir.file("users", HTPASSWD);
    let config = dir.file(
        "portreeve.conf",
        format!("backend unix:/r\nhtpasswd \"{users}\"\ntls-self-signed {place} # private CA\n"),
    );
    let outcome = run(&["serve", "--config", &config]);
    assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
    let starts = [
        format!("{config}:2: htpasswd \"\\\"{users}\\\"\": the quotes would be part"),
        format!("{config}:3: tls-self-signed \"{place} # private CA\": a comment is a line"),
    ];
    assert_eq!(outcome.stderr.len(), starts.len(), "{outcome:#?}");
    for (line, start) in outcome.stderr.iter().zip(starts) {
        assert!(line.starts_with(&start), "{line}\n{start}");
    }
    let made = fs::read_dir(dir.as_path()).unwrap().count();
    assert_eq!(made, 2, "something was made");
}

#[test]
fn files_in_utf16_are_named_as_that() {
    let dir = Dir::new();
    let utf16 = |text: &str| -> Vec<u8> {
        let words = std::iter::once(0xfeff).chain(text.encode_utf16());
        words.flat_map(u16::to_le_bytes).collect()
    };
    let users = dir.file("users", utf16(HTPASSWD));
    faulty(
        &dir,
        &["--htpasswd", &users, BACKEND[0], BACKEND[1]],
        &[&format!("--htpasswd \"{users}\": UTF-16")],
    );
    let config = dir.file("portreeve.conf", utf16("backend unix:/r\n"));
    let outcome = run(&["check", "--config", &config]);
    assert_eq!(outcome.code(), Some(78));
    let start = format!("--config \"{config}\": UTF-16");
    assert!(
        matches!(&outcome.stderr[..], [only] if only.starts_with(&start)),
        "{outcome:#?}"
    );
    for action in ["--list", "--delete", "--verify", "--stdin"] {
        let user = (action != "--list").then_some("alice");
        let mut args = vec!["passwd", action, &users];
        args.extend(user);
        let outcome = run_with(&args, &[], b"secret\n");
        assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
        assert!(
            outcome.text().contains("UTF-16") || action == "--verify",
            "{outcome:#?}"
        );
    }
    assert_eq!(fs::read(&users).unwrap(), utf16(HTPASSWD));
}

#[test]
fn a_locked_user_is_no_fault_and_cannot_log_in() {
    let dir = Dir::new();
    let users = dir.file(
        "locked",
        format!("{HTPASSWD}bob:!{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\ncarol:*\n"),
    );
    let checked = run(&[
        "check",
        "--listen=http://127.0.0.1:0",
        "--htpasswd",
        &users,
        BACKEND[0],
        BACKEND[1],
    ]);
    assert_eq!(checked.code(), Some(0), "{checked:#?}");
    assert!(checked.text().contains("for 3 users in"), "{checked:#?}");
    assert!(checked.text().contains("(2 locked)"), "{checked:#?}");
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--htpasswd", &users]);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /v2/", &[AUTH]).status(), 200);
    for user in ["bob", "carol"] {
        let field = basic(user.as_bytes(), b"secret");
        assert_eq!(client.ask("GET /v2/", &[&field]).status(), 401, "{user}");
    }
    let list = run(&["passwd", "--list", &users]);
    let locked = list.stdout.iter().filter(|line| line.ends_with("  locked"));
    assert_eq!(locked.count(), 2, "{list:#?}");
    let verified = run_with(
        &["passwd", "--verify", "--stdin", &users, "bob"],
        &[],
        b"secret\n",
    );
    assert_eq!(verified.code(), Some(1));
    assert!(verified.text().contains("locked"), "{verified:#?}");
}

#[test]
fn a_dangling_certificate_link_says_where_it_points() {
    let dir = Dir::new();
    let config = configuration(&dir, dir.as_path().to_str().unwrap());
    let config = dir.file("portreeve.conf", config);
    let cert = dir.path("cert.pem");
    fs::remove_file(&cert).unwrap();
    symlink("archive/cert1.pem", &cert).unwrap();
    let outcome = run(&["check", "--config", &config]);
    let expected = format!(
        "{config}:4: tls-cert \"{cert}\": a link that leads to \"{}\", where there is nothing",
        dir.path("archive/cert1.pem")
    );
    assert_eq!(outcome.stderr, [expected]);
}

#[test]
fn a_certificate_that_clients_will_refuse_is_told_of_by_check() {
    let dir = Dir::new();
    let config = configuration(&dir, dir.as_path().to_str().unwrap());
    let config = dir.file("portreeve.conf", config);
    let pair = Ca::new().sign(&[]);
    dir.file("cert.pem", &pair.cert);
    dir.file("key.pem", &pair.key);
    let outcome = run(&["check", "--config", &config]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    let told = outcome
        .stdout
        .iter()
        .any(|line| line.starts_with("certificate without names, until "));
    assert!(told, "{outcome:#?}");
    assert!(
        outcome.text().contains("has no subjectAltName"),
        "{outcome:#?}"
    );
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_start_without_permission_names_the_user_and_the_two_ways() {
    let dir = Dir::new();
    let place = dir.as_path().to_str().unwrap();
    let config = dir.file("portreeve.conf", configuration(&dir, place));
    fs::set_permissions(dir.as_path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path("key.pem"), Permissions::from_mode(0o0)).unwrap();
    // Root may read everything.
    let program = dir.path("portreeve");
    fs::copy(env!("CARGO_BIN_EXE_portreeve"), &program).unwrap();
    const SOMEBODY: u32 = 4_000_042;
    let mut command = Command::new(&program);
    command.args(["serve", "--config", &config]).env_clear();
    command.env("INVOCATION_ID", "1");
    let user = if is_root() {
        command.uid(SOMEBODY).gid(SOMEBODY);
        SOMEBODY.to_string()
    } else {
        String::new()
    };
    let output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let key = dir.path("key.pem");
    for part in [
        format!("{config}:5: tls-key \"{key}\": permission denied: user {user}"),
        format!("may not read \"{key}\"; let a group of that user read it"),
        "LoadCredential=".to_owned(),
    ] {
        assert!(said.contains(&part), "no {part:?} in {said}");
    }
}

/// A root directory for the built program, which holds nothing but what it needs to run.
fn small_world(dir: &Dir) {
    let at = |path: &str| dir.as_path().join(path.trim_start_matches('/'));
    let put = |from: &str, to: &str| {
        fs::create_dir_all(at(to).parent().unwrap()).unwrap();
        fs::copy(from, at(to)).unwrap();
    };
    put(env!("CARGO_BIN_EXE_portreeve"), "/usr/bin/portreeve");
    let output = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_portreeve"))
        .output()
        .unwrap();
    let libraries = String::from_utf8_lossy(&output.stdout);
    for word in libraries.split_whitespace() {
        if word.starts_with('/') && Path::new(word).is_file() {
            put(word, word);
        }
    }
}

#[test]
fn check_as_root_tells_what_the_user_of_the_service_cannot_read() {
    if !is_root() {
        return;
    }
    let dir = Dir::new();
    small_world(&dir);
    let write = |path: &str, contents: &str| {
        let path = dir.path(path);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    };
    let mode = |path: &str, mode| {
        fs::set_permissions(dir.path(path), Permissions::from_mode(mode)).unwrap();
    };
    let in_place = Dir::new();
    write(
        "etc/portreeve/portreeve.conf",
        &configuration(&in_place, "/etc/live"),
    );
    for name in ["cert.pem", "key.pem", "users"] {
        let contents = fs::read_to_string(in_place.path(name)).unwrap();
        write(&format!("etc/live/{name}"), &contents);
    }
    write(
        "usr/lib/systemd/system/portreeve.service",
        include_str!("../../packaging/systemd/portreeve.service"),
    );
    write(
        "etc/passwd",
        "root:x:0:0::/:/bin/sh\nportreeve:x:998:997::/:/bin/false\n",
    );
    write(
        "etc/group",
        "root:x:0:\nportreeve:x:997:\nssl-cert:x:110:\n",
    );
    for path in ["", "etc", "etc/live", "etc/portreeve"] {
        mode(path, 0o755);
    }
    let check = |config: &str| {
        let output = Command::new("chroot")
            .arg(dir.as_path())
            .args(["/usr/bin/portreeve", "check", "--config", config])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap();
        (output.status.code(), text(&output))
    };
    const CONFIG: &str = "/etc/portreeve/portreeve.conf";
    const REMEDY: &str =
        "let a group of that user read it, or have systemd hand it over by LoadCredential=";
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(0), "{said}");

    // As certbot leaves its directories.
    mode("etc/live", 0o700);
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(78), "{said}");
    for (line, name, file) in [
        (3, "htpasswd", "users"),
        (4, "tls-cert", "cert.pem"),
        (5, "tls-key", "key.pem"),
    ] {
        let expected = format!(
            "{CONFIG}:{line}: {name} \"/etc/live/{file}\": user portreeve, as which the service runs, may not enter \
             \"/etc/live\"; {REMEDY}"
        );
        assert!(said.contains(&expected), "no {expected:?} in {said}");
    }

    // Another gate's settings are none of the service's.
    let other = fs::read_to_string(dir.path("etc/portreeve/portreeve.conf")).unwrap();
    write("other.conf", &other);
    let (code, said) = check("/other.conf");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: /other.conf:5: tls-key"), "{said}");

    // What nobody forbids, and the unit hides.
    write(
        "home/key.pem",
        &fs::read_to_string(in_place.path("key.pem")).unwrap(),
    );
    mode("etc/live", 0o755);
    write(
        "etc/portreeve/portreeve.conf",
        &other.replace("/etc/live/key.pem", "/home/key.pem"),
    );
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(78), "{said}");
    let expected = format!(
        "{CONFIG}:5: tls-key \"/home/key.pem\": the service does not see \"/home\" (ProtectHome= of its unit)"
    );
    assert!(said.contains(&expected), "no {expected:?} in {said}");
    write("etc/portreeve/portreeve.conf", &other);

    // The first way.
    mode("etc/live", 0o755);
    mode("etc/live/key.pem", 0o640);
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("may not read \"/etc/live/key.pem\""),
        "{said}"
    );
    let group = std::os::unix::fs::chown(dir.path("etc/live/key.pem"), Some(0), Some(110));
    group.unwrap();
    let drop_in = "etc/systemd/system/portreeve.service.d/key.conf";
    write(drop_in, "[Service]\nSupplementaryGroups=ssl-cert\n");
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(0), "{said}");

    // The second.
    mode("etc/live/key.pem", 0o600);
    write(drop_in, "[Service]\nLoadCredential=key:/etc/live/key.pem\n");
    let handed_over = other.replace(
        "/etc/live/key.pem",
        "/run/credentials/portreeve.service/key",
    );
    write("etc/portreeve/portreeve.conf", &handed_over);
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(0), "{said}");
    write(drop_in, "");
    let (code, said) = check(CONFIG);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("no such file or directory"), "{said}");
}
