//! What a gate cannot do once it is started, whoever makes it try, and that it can do all else. All other tests run in the sandbox
//! too, where the kernel has one.

use crate::support::gate::{Outcome, run_with};
use crate::support::{AUTH, Backend, Dir, Gate, HTPASSWD, kernel};
use rustix::process::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;

const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";
const DENIED: &str = "Permission denied (os error 13)";
const WORKS: &str = "it works";
const TRIES: &str = "SANDBOX_TRIES";

/// Says that a test has nothing to try.
fn is_missing(has: bool, what: &str) -> bool {
    if !has {
        eprintln!("not tried: this kernel has no {what}");
    }
    !has
}

/// A gate that tries these, and what comes of each.
fn tried(dir: Dir, tries: &[String], args: &[&str]) -> (Gate, Vec<String>) {
    let gate = Gate::start_with(dir, &[(TRIES, &tries.join(" "))], args);
    let came = tries.iter().map(|one| {
        let beginning = format!("tried {one}: ");
        let line = gate.messages.wait_for_text(&beginning);
        line.split_once(&beginning).unwrap().1.to_owned()
    });
    let came = came.collect();
    (gate, came)
}

#[test]
fn what_no_gate_does_is_refused() {
    if is_missing(kernel::has_sandbox(), "sandbox") {
        return;
    }
    let elsewhere = Dir::new();
    let secret = elsewhere.file("secret", "x");
    let dir = Dir::new();
    let own = dir.path("tls/x");
    let users = dir.file("htpasswd", HTPASSWD);
    let parent = std::process::id();
    let table = [
        (format!("read={secret}"), DENIED),
        ("read=/etc/shadow".to_owned(), DENIED),
        ("read=/proc/1/environ".to_owned(), DENIED),
        (format!("list={}", elsewhere.path("")), DENIED),
        ("list=/".to_owned(), DENIED),
        (format!("write={}", elsewhere.path("new")), DENIED),
        (format!("write={users}"), DENIED),
        (format!("remove={users}"), DENIED),
        ("spawn=/bin/sh".to_owned(), NOT_PERMITTED),
        ("packets".to_owned(), NOT_PERMITTED),
        (format!("signal={parent}"), NOT_PERMITTED),
        // And what it needs.
        (format!("read={users}"), WORKS),
        (format!("write={own}"), WORKS),
        (format!("remove={own}"), WORKS),
        ("read=/proc/self/status".to_owned(), WORKS),
        ("read=/proc/net/fib_trie".to_owned(), WORKS),
    ];
    let tries: Vec<_> = table.iter().map(|(one, _)| one.clone()).collect();
    let (gate, came) = tried(dir, &tries, &["--backend", "http://127.0.0.1:5000"]);
    for ((one, wanted), came) in table.iter().zip(came) {
        assert_eq!(came, *wanted, "{one}");
    }
    assert!(!fs::exists(elsewhere.path("new")).unwrap());
    drop(gate);
}

#[test]
fn ports_that_no_setting_names_are_out_of_reach() {
    if is_missing(kernel::has_port_rules(), "rules for ports") {
        return;
    }
    let (backend, other) = (Backend::echo(), TcpListener::bind("127.0.0.1:0").unwrap());
    let named = backend.url().trim_start_matches("http://");
    let other = other.local_addr().unwrap();
    let tries = [
        format!("connect={named}"),
        format!("connect={other}"),
        "bind=127.0.0.1:0".to_owned(),
    ];
    let (_gate, came) = tried(Dir::new(), &tries, &["--backend", backend.url()]);
    assert_eq!(came, [WORKS, DENIED, DENIED]);
    // A site may bring any.
    let dir = Dir::new();
    let sites = dir.path("sites");
    fs::create_dir(&sites).unwrap();
    let (_gate, came) = tried(
        dir,
        &tries[1..],
        &["--backend", backend.url(), "--sites", &sites],
    );
    assert_eq!(came, [WORKS, DENIED]);
}

#[test]
fn sockets_without_a_path_are_out_of_reach() {
    if is_missing(kernel::has_scopes(), "rules for abstract sockets") {
        return;
    }
    let name = format!("portreeve-test-{}", std::process::id());
    let place = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&place).unwrap();
    let tries = [format!("abstract={name}")];
    let args = ["--backend", "http://127.0.0.1:5000"];
    let (_gate, came) = tried(Dir::new(), &tries, &args);
    assert_eq!(came, [NOT_PERMITTED]);
}

#[test]
fn a_program_in_its_place_ends_it() {
    if is_missing(kernel::has_sandbox(), "sandbox") {
        return;
    }
    let outcome = serve("require", &[(TRIES, "exec=/bin/true")]);
    assert_eq!(
        outcome.status.signal(),
        Some(Signal::SYS.as_raw()),
        "{outcome:#?}"
    );
}

#[test]
fn every_thread_is_confined() {
    if is_missing(kernel::has_sandbox(), "sandbox") {
        return;
    }
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let mut client = gate.http();
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
    let threads = gate.statuses_of_threads();
    assert!(threads.len() > 5, "{threads:#?}");
    let filters = format!("Seccomp_filters:\t{}\n", filters_here() + 1);
    for status in threads {
        for line in ["NoNewPrivs:\t1\n", "Seccomp:\t2\n", &filters] {
            assert!(status.contains(line), "{line:?} is not in {status}");
        }
    }
}

/// Of this process, which a container may have given it.
fn filters_here() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn off_leaves_the_process_as_it_is() {
    let elsewhere = Dir::new();
    let tries = [format!("read={}", elsewhere.file("secret", "x"))];
    let args = ["--backend", "http://127.0.0.1:5000", "--sandbox", "off"];
    let (gate, came) = tried(Dir::new(), &tries, &args);
    assert_eq!(came, [WORKS]);
    let filters = format!("Seccomp_filters:\t{}\n", filters_here());
    for status in gate.statuses_of_threads() {
        assert!(status.contains(&filters), "{status}");
    }
}

#[test]
fn a_kernel_without_either_is_named_and_refused_where_they_are_required() {
    if is_missing(kernel::has_sandbox(), "seccomp, to hide it with") {
        return;
    }
    let outcome = on_an_old_kernel(|| serve("require", &[]));
    assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
    let said = outcome.stderr.last().unwrap();
    for part in [
        "ERROR --sandbox \"require\": there is no Landlock (this kernel does not know it: ",
        ", no seccomp (",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!outcome.text().contains("listening on"), "{outcome:#?}");
    let backend = Backend::echo();
    let args = ["--backend", backend.url(), "--sandbox", "on"];
    let gate = on_an_old_kernel(|| Gate::start(&args));
    let warning = gate.messages.wait_for_text("sandbox");
    assert!(
        warning.contains("WARN the sandbox is not whole: there is no Landlock"),
        "{warning}"
    );
    let mut client = gate.http();
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_certificate_is_renewed_through_links_to_another_directory() {
    let dir = Dir::new();
    for directory in ["live", "archive"] {
        fs::create_dir(dir.path(directory)).unwrap();
    }
    let users = dir.path("live/users");
    dir.file("archive/users1", HTPASSWD);
    symlink("../archive/users1", &users).unwrap();
    let backend = Backend::echo();
    let gate = Gate::start_in(dir, &["--backend", backend.url(), "--htpasswd", &users]);
    gate.dir
        .file("archive/users2", format!("{HTPASSWD}# another\nbob:*\n"));
    let next = gate.dir.path("live/next");
    symlink("../archive/users2", &next).unwrap();
    fs::rename(next, users).unwrap();
    gate.messages.wait_for_text("INFO 2 users from");
}

#[test]
fn a_release_is_switched_by_a_link_beside_it() {
    let dir = Dir::new();
    for release in ["releases/1", "releases/2"] {
        fs::create_dir_all(dir.path(release)).unwrap();
    }
    dir.file("releases/1/users", HTPASSWD);
    dir.file("releases/2/users", format!("{HTPASSWD}bob:*\n"));
    symlink("releases/1", dir.path("current")).unwrap();
    symlink("releases/2", dir.path("next")).unwrap();
    let users = dir.path("current/users");
    let backend = Backend::echo();
    let gate = Gate::start_in(dir, &["--backend", backend.url(), "--htpasswd", &users]);
    fs::rename(gate.dir.path("next"), gate.dir.path("current")).unwrap();
    gate.messages.wait_for_text("INFO 2 users from");
}

#[test]
fn a_site_that_comes_may_name_what_is_near_and_is_told_what_lies_outside() {
    if is_missing(kernel::has_sandbox(), "sandbox") {
        return;
    }
    let (backend, elsewhere, dir) = (Backend::echo(), Dir::new(), Dir::new());
    let sites = dir.path("sites");
    fs::create_dir(&sites).unwrap();
    let gate = Gate::start_in(dir, &["--backend", backend.url(), "--sites", &sites]);
    let near = gate.dir.file("sites/wiki.users", HTPASSWD);
    let far = elsewhere.file("far.users", HTPASSWD);
    let site = |name: &str, users: &str| {
        let text = format!(
            "host {name}.example.com\nbackend {}\nhtpasswd {users}\n",
            backend.url()
        );
        // As a whole, so that nobody meets half of it.
        let next = gate.dir.file("next", text);
        fs::rename(next, gate.dir.path(&format!("sites/{name}.conf"))).unwrap();
    };
    site("near", &near);
    gate.messages.wait_for_text("near.example.com is as");
    site("far", &far);
    let refused = gate.messages.wait_for_text("far.conf");
    for part in [
        "outside of what the sandbox allows",
        "restart the gate",
        "the last good one stays",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn names_are_looked_up() {
    let backend = Backend::echo();
    let url = backend.url().replace("127.0.0.1", "localhost");
    let gate = Gate::start(&["--backend", &url]);
    let mut client = gate.http();
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
}

/// A run of `serve` that ends by itself.
fn serve(sandbox: &str, variables: &[(&str, &str)]) -> Outcome {
    let dir = Dir::new();
    let users = dir.file("htpasswd", HTPASSWD);
    let args = [
        "serve",
        "--listen",
        "http://127.0.0.1:0",
        "--backend",
        "http://127.0.0.1:5000",
        "--htpasswd",
        &users,
        "--sandbox",
        sandbox,
    ];
    run_with(&args, variables, b"")
}

/// Runs `start` in a thread whose children find that the kernel knows neither Landlock nor filters.
fn on_an_old_kernel<T: Send>(start: impl FnOnce() -> T + Send) -> T {
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_seccomp];
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(
        calls.map(|call| (call, Vec::new())).into(),
        SeccompAction::Allow,
        unknown,
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    std::thread::scope(|scope| {
        let hidden = scope.spawn(move || {
            apply_filter(&program).unwrap();
            start()
        });
        hidden.join().unwrap()
    })
}
