//! Unix sockets to listen on: a dead one is replaced, and nothing that is no socket.

use crate::support::gate::run;
use crate::support::{AUTH, Backend, Client, Dir, Gate, HTPASSWD};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Everything but a socket that can stand at a path, and how a message calls it.
fn others(dir: &Dir) -> [(String, &'static str); 5] {
    let users = dir.file("users", HTPASSWD);
    let [directory, fifo, link, dangling] =
        ["directory", "fifo", "link", "dangling"].map(|name| dir.path(name));
    fs::create_dir(&directory).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo.as_str(), rustix::fs::Mode::RUSR).unwrap();
    drop(UnixListener::bind(dir.path("dead")).unwrap());
    std::os::unix::fs::symlink(dir.path("dead"), &link).unwrap();
    std::os::unix::fs::symlink(dir.path("nowhere"), &dangling).unwrap();
    [
        (users, "a file"),
        (directory, "a directory"),
        (fifo, "a FIFO"),
        (link, "a link"),
        (dangling, "a link"),
    ]
}

#[test]
fn what_is_no_socket_is_a_fault_and_stays() {
    let dir = Dir::new();
    let others = others(&dir);
    let users = dir.path("users");
    for (path, kind) in &others {
        let url = format!("unix:{path}");
        let backend = ["--backend", "http://127.0.0.1:1"];
        let users = ["--htpasswd", users.as_str()];
        let listen = ["--listen", url.as_str()];
        let admin = ["--listen", "http://127.0.0.1:0", "--admin", url.as_str()];
        for (command, args) in [
            ("check", [&listen[..], &backend, &users].concat()),
            ("serve", [&listen[..], &backend, &users].concat()),
            ("check", [&admin[..], &backend, &users].concat()),
            ("serve", [&admin[..], &backend, &users].concat()),
            ("auth", [&listen[..], &users].concat()),
            ("auth", [&admin[..], &users].concat()),
        ] {
            let outcome = run(&[&[command], &args[..]].concat());
            let said = outcome.text();
            assert_eq!(outcome.code(), Some(78), "{command} {args:?}: {said}");
            let fault = format!("\"{url}\": {kind} is there, and only a dead socket is replaced");
            assert!(said.contains(&fault), "no {fault} in {said}");
            assert!(fs::symlink_metadata(path).is_ok(), "{path} is gone");
        }
    }
    assert_eq!(fs::read_to_string(&users).unwrap(), HTPASSWD);
}

#[test]
fn check_neither_makes_nor_removes_a_socket() {
    let dir = Dir::new();
    let (dead, none) = (dir.path("dead"), dir.path("none"));
    drop(UnixListener::bind(&dead).unwrap());
    let users = dir.file("users", HTPASSWD);
    let (listen, admin) = (format!("unix:{dead}"), format!("unix:{none}"));
    let outcome = run(&[
        "check",
        "--listen",
        &listen,
        "--admin",
        &admin,
        "--htpasswd",
        &users,
        "--backend",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    assert!(Path::new(&dead).exists() && !Path::new(&none).exists());
}

#[test]
fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let (dir, backend) = (Dir::new(), Backend::echo());
    let path = dir.path("gate.sock");
    drop(UnixListener::bind(&path).unwrap());
    let url = format!("unix:{path}");
    let args = ["--listen", url.as_str(), "--backend", backend.url()];
    let gate = Gate::start_in(dir, &args);
    assert_eq!(Client::unix(&path).ask("GET /", &[AUTH]).status(), 200);
    let Err(second) = Gate::try_start_in(Dir::new(), &args) else {
        panic!("two gates listen on one socket");
    };
    assert_eq!(second.code(), Some(78), "{second:#?}");
    assert!(
        second.text().contains("another program listens there"),
        "{second:#?}"
    );
    assert_eq!(Client::unix(&path).ask("GET /", &[AUTH]).status(), 200);
    drop(gate);
}

#[test]
fn what_has_taken_the_place_of_a_socket_is_there_after_the_end() {
    let dir = Dir::new();
    let (path, admin) = (dir.path("gate.sock"), dir.path("admin.sock"));
    let urls = [format!("unix:{path}"), format!("unix:{admin}")];
    let kept = Dir::new();
    let users = kept.file("users", HTPASSWD);
    let gate = Gate::start_in(
        dir,
        &[
            "--listen",
            &urls[0],
            "--admin",
            &urls[1],
            "--htpasswd",
            &users,
            "--backend",
            "http://127.0.0.1:1",
            "--drain-timeout",
            "1",
        ],
    );
    gate.messages.wait_for_text("health on");
    for place in [&path, &admin] {
        fs::remove_file(place).unwrap();
        fs::write(place, "another").unwrap();
    }
    gate.signal(rustix::process::Signal::INT);
    gate.messages.wait_for_end(crate::support::PATIENCE);
    for place in [&path, &admin] {
        assert_eq!(fs::read_to_string(place).unwrap(), "another");
    }
}
