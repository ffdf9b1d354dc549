//! What systemd does for a service and expects of it: sockets that outlive the gate, and notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use crate::support::{Dir, HTPASSWD, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};

/// Starts `serve` as systemd would: the socket is its descriptor 3, and the variables say so.
fn start(dir: &Dir, socket: Option<OwnedFd>, variables: &[(&str, &str)], args: &[&str]) -> Child {
    let users = dir.file("htpasswd", HTPASSWD);
    let script = match socket {
        Some(_) => "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"",
        None => "exec \"$@\"",
    };
    Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_portreeve"), "serve"])
        .args(["--backend", "http://127.0.0.1:1", "--htpasswd", &users])
        .args(args)
        .envs(variables.iter().copied())
        .stdin(socket.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(mut gate: Child) -> (Option<i32>, String) {
    kill_process(Pid::from_child(&gate), Signal::TERM).unwrap();
    let mut said = String::new();
    gate.stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (gate.wait().unwrap().code(), said)
}

fn copy(socket: &impl AsFd) -> OwnedFd {
    socket.as_fd().try_clone_to_owned().unwrap()
}

fn ask(stream: &mut (impl Read + Write)) {
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 401 "), "{line:?}");
}

#[test]
fn a_client_that_comes_between_two_gates_is_served_by_the_second() {
    let dir = Dir::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listen = format!("http://{address}");
    for _ in 0..2 {
        // Nobody accepts yet, and nobody is refused.
        let mut early = TcpStream::connect(address).unwrap();
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        let gate = start(&dir, Some(copy(&socket)), &[], &["--listen", &listen]);
        ask(&mut early);
        let (code, said) = end(gate);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("listening on {listen}")), "{said}");
    }
}

#[test]
fn a_unix_socket_that_was_handed_over_is_left_to_its_owner() {
    let dir = Dir::new();
    let path = dir.path("gate.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut early = UnixStream::connect(&path).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    let listen = format!("unix:{path}");
    let gate = start(&dir, Some(copy(&socket)), &[], &["--listen", &listen]);
    ask(&mut early);
    let (code, said) = end(gate);
    assert_eq!(code, Some(0), "{said}");
    assert!(std::path::Path::new(&path).exists());
}

#[test]
fn a_socket_that_no_listen_names_is_a_fault() {
    let dir = Dir::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listen = ["--listen", "http://127.0.0.1:0"];
    let mut gate = start(&dir, Some(copy(&socket)), &[], &listen);
    let mut said = String::new();
    gate.stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(gate.wait().unwrap().code(), Some(78), "{said}");
    let wanted = format!("listen: systemd has opened {address}, and no listen names it");
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn what_is_no_socket_is_a_fault() {
    let dir = Dir::new();
    let file = std::fs::File::open("/dev/null").unwrap();
    let listen = ["--listen", "http://127.0.0.1:0"];
    let mut gate = start(&dir, Some(file.into()), &[], &listen);
    let mut said = String::new();
    gate.stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(gate.wait().unwrap().code(), Some(78), "{said}");
    assert!(said.contains("cannot be listened at"), "{said}");
}

#[test]
fn systemd_is_told_of_readiness_of_life_and_of_the_end() {
    let dir = Dir::new();
    let path = dir.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let variables = [
        ("NOTIFY_SOCKET", path.as_str()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let gate = start(&dir, None, &variables, &["--listen", "http://127.0.0.1:0"]);
    assert_eq!(told(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1\n");
    }
    kill_process(Pid::from_child(&gate), Signal::HUP).unwrap();
    let mut reload = told();
    while reload == "WATCHDOG=1\n" {
        reload = told();
    }
    assert!(
        reload.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reload}"
    );
    while told() != "READY=1\n" {}
    let (code, said) = end(gate);
    assert_eq!(code, Some(0), "{said}");
    while told() != "STOPPING=1\n" {}
}
