//! The path that the gate answers itself, for balancers and probes that come without a password.

use crate::support::acceptor::Refusing;
use crate::support::gate::refused;
use crate::support::{AUTH, Backend, Client, Dir, Gate};
use rustix::process::Signal;

const PATH: [&str; 2] = ["--health-path", "/healthz"];

#[test]
fn whoever_only_asks_is_told_that_all_is_well_and_the_backend_is_not_disturbed() {
    let backend = Backend::script(|mut peer| peer.until_closed().map(drop));
    let gate = Gate::start(&["--backend", backend.url(), PATH[0], PATH[1]]);
    for mut client in [gate.http(), gate.https()] {
        for method in ["GET", "OPTIONS"] {
            let answer = client.ask(&format!("{method} /healthz?from=balancer"), &[]);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "ready\n"));
            assert_eq!(answer.field("Cache-Control"), Some("no-store"));
        }
        let answer = client.ask("HEAD /healthz", &[]);
        assert_eq!((answer.status(), answer.body.len()), (200, 0));
        // A body that comes along is passed over, and the connection stays good.
        client.request_with("GET /healthz", &["Content-Length: 3"], b"abc");
        assert_eq!(client.answer().status(), 200);
        for line in ["POST /healthz", "GET /healthz/", "GET /", "GET /%68ealthz"] {
            assert_eq!(client.ask(line, &[]).status(), 401, "{line}");
        }
    }
    gate.log
        .wait_for_text(" - \"GET /healthz?from=balancer\" 200 up=0 down=6 ");
    // Somebody may have looked whether it listens; nobody has asked it anything.
    assert!(backend.requests().is_empty());
}

#[test]
fn a_probe_in_http_1_0_without_a_host_is_answered() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), PATH[0], PATH[1]]);
    let mut client = gate.http();
    client.send("OPTIONS /healthz HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ready\n"));
    client.assert_closed();
}

#[test]
fn a_gate_that_cannot_serve_says_so_and_its_log_says_why() {
    let nobody = Refusing::new();
    let backend = format!("http://{}", nobody.authority);
    let gate = Gate::start(&["--backend", &backend, PATH[0], PATH[1]]);
    let answer = gate.http().ask("GET /healthz", &[]);
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("not ready"), "{}", answer.text());
    assert!(
        !answer.text().contains(&nobody.authority),
        "it is told where the backend is"
    );
    let line = gate.log.wait_for_text("\"GET /healthz\" 503 ");
    assert!(
        line.contains(&format!("note=\"backend {backend}: ")),
        "{line}"
    );
}

#[test]
fn a_gate_that_is_told_to_stop_is_not_ready_from_then_on() {
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), PATH[0], PATH[1]]);
    assert_eq!(gate.http().ask("GET /healthz", &[]).status(), 200);
    gate.signal(Signal::TERM);
    gate.messages.wait_for_text("stopping: no new connections");
    let mut client = gate.http();
    let answer = loop {
        // What was found out within the last second does not count any more.
        let answer = client.ask("GET /healthz", &[]);
        if answer.status() == 503 {
            break answer;
        }
        client = gate.http();
    };
    assert_eq!(answer.field("Connection"), Some("close"));
    gate.log.wait_for_text("note=\"stopping\"");
}

#[test]
fn an_auth_service_has_such_a_path_too() {
    let service = Gate::auth_service(Dir::new(), &PATH);
    let answer = service.http().ask("GET /healthz", &[]);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ready\n"));
    let asked = service.http().ask("GET /auth", &[AUTH]);
    assert_eq!(asked.status(), 200);
}

#[test]
fn it_is_off_unless_it_is_set_and_hides_nothing_of_a_registry() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let file = dir.file("conf", "health-path /healthz\n");
    let args = [
        "--backend",
        backend.url(),
        "--config",
        &file,
        "--health-path",
        "off",
    ];
    let gate = Gate::start_in(dir, &args);
    assert_eq!(gate.http().ask("GET /healthz", &[]).status(), 401);
    for path in ["/v2/", "/v2/_catalog", "healthz", "/a?b"] {
        let said = refused(
            &Dir::new(),
            &["--backend", backend.url(), "--health-path", path],
        );
        assert!(
            said[0].contains(path) && said[0].contains("/healthz"),
            "{said:?}"
        );
    }
}

#[test]
fn a_unix_socket_is_called_localhost() {
    let (backend, dir) = (Backend::echo(), Dir::new());
    let path = dir.path("gate.sock");
    let listen = format!("unix:{path}");
    let gate = Gate::start_in(dir, &["--listen", &listen, "--backend", backend.url()]);
    let mut client = Client::unix(&path);
    client.send(format!("GET /v2/ HTTP/1.0\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
    let seen = backend.wait_for_request(0);
    assert_eq!(seen.field("Host"), Some("localhost"));
    drop(gate);
}
