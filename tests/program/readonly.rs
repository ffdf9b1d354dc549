//! Holding pushes back: which writes end and which are refused, and that it ends whatever happens.

use crate::support::gate::run;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, Peer, Program, basic};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use std::cell::Cell;
use std::fs;
use std::io;

const OPENING: &str = "POST /v2/a/blobs/uploads/";
const PIECE: &str = "PATCH /v2/a/blobs/uploads/1";
const MANIFEST: &str = "PUT /v2/a/manifests/latest";
/// bob's password is `secret` too.
const USERS: &str =
    "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

/// A gate with an admin socket, and a place for what the command waits for.
struct House {
    gate: Gate,
    dir: Dir,
    socket: String,
    /// How often it has let pushes pass again.
    ends: Cell<usize>,
}

impl House {
    fn new(backend: &Backend) -> House {
        House::start_in(Dir::new(), backend)
    }

    fn start_in(dir: Dir, backend: &Backend) -> House {
        let socket = dir.path("admin");
        let admin = format!("unix:{socket}");
        let users = dir.file("users", USERS);
        let args = ["--backend", backend.url(), "--admin", &admin];
        House {
            gate: Gate::start(&[&args[..], &["--htpasswd", &users]].concat()),
            dir,
            socket,
            ends: Cell::new(0),
        }
    }

    /// Starts `readonly` with these flags and a command that runs until the FIFO has been written to.
    fn readonly(&self, flags: &[&str]) -> Program {
        let fifo = self.fifo();
        if !fs::exists(&fifo).unwrap() {
            mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        }
        let script = format!("echo runs; exec cat '{fifo}'");
        let admin = format!("unix:{}", self.socket);
        let mut args = vec!["readonly", "--admin", &admin];
        args.extend(flags);
        args.extend(["--", "sh", "-c", &script]);
        Program::start(&args)
    }

    fn fifo(&self) -> String {
        self.dir.path("fifo")
    }

    /// Has the command end.
    fn let_end(&self) {
        drop(
            fs::OpenOptions::new()
                .write(true)
                .open(self.fifo())
                .unwrap(),
        );
    }

    fn status(&self, line: &str, fields: &[&str]) -> u16 {
        self.gate.http().ask(line, fields).status()
    }

    /// Whether an upload may begin.
    fn pushes_pass(&self) -> bool {
        match self.status(OPENING, &[AUTH, "Content-Length: 0"]) {
            200 => true,
            405 => false,
            status => panic!("{status}"),
        }
    }

    /// What is told of it.
    fn told(&self) -> String {
        let answer = Client::unix(&self.socket).ask("GET /readonly", &[]);
        String::from_utf8(answer.body).unwrap()
    }

    /// Waits until it is over, which the gate says.
    #[track_caller]
    fn wait_for_end(&self) {
        self.ends.set(self.ends.get() + 1);
        self.gate
            .messages
            .wait_for_count_of("read-only no more: ", self.ends.get());
        assert!(self.pushes_pass());
        assert!(!fs::exists(format!("{}.hold", self.socket)).unwrap());
    }
}

fn message(answer: &Message) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

#[test]
fn what_writes_is_refused_with_the_time_and_what_reads_goes_on() {
    let backend = Backend::echo();
    let house = House::new(&backend);
    let program = house.readonly(&[]);
    program.log.wait_for_text("runs");
    let untouched = backend.requests().len();
    for line in [
        OPENING,
        "POST /v2/a/blobs/uploads/?mount=sha256:00&from=b",
        PIECE,
        "PUT /v2/a/blobs/uploads/1?digest=sha256:00",
        MANIFEST,
        "DELETE /v2/a/manifests/latest",
        "POST /anything",
        "PURGE /anything",
    ] {
        let answer = house.gate.http().ask(line, &[AUTH, "Content-Length: 0"]);
        assert_eq!(answer.status(), 405, "{line}");
        assert_eq!(answer.field("Allow"), Some("GET, HEAD"));
        assert!(message(&answer).contains("read-only until 20"), "{line}");
        if line.contains("/v2/") {
            assert!(
                message(&answer).contains("\"code\":\"UNSUPPORTED\""),
                "{line}"
            );
        }
    }
    assert_eq!(backend.requests().len(), untouched);
    for line in ["GET /v2/a/manifests/latest", "OPTIONS /v2/"] {
        assert_eq!(house.status(line, &[AUTH]), 200, "{line}");
    }
    // Nobody learns of it who is not let in.
    assert_eq!(house.status(OPENING, &["Content-Length: 0"]), 401);
    assert!(house.told().starts_with("read-only until "));
    let read = |path: &str| {
        let answer = Client::unix(&house.socket).ask(&format!("GET {path}"), &[]);
        message(&answer)
    };
    assert!(read("/metrics").contains("\nportreeve_read_only 1\n"));
    assert!(read("/").contains("read-only until "));
    house.let_end();
    let outcome = program.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
    house.wait_for_end();
    assert_eq!(house.told(), "writes pass\n");
    assert!(read("/metrics").contains("\nportreeve_read_only 0\n"));
}

#[test]
fn an_upload_and_the_manifest_of_its_user_may_end_and_a_new_one_may_not_begin() {
    let backend = Backend::echo();
    let house = House::new(&backend);
    let of = |user: &[u8], line: &str| {
        let user = basic(user, b"secret");
        house.status(line, &[&user, "Content-Length: 0"])
    };
    assert_eq!(of(b"alice", OPENING), 200);
    let program = house.readonly(&["--wait", "60"]);
    house
        .gate
        .messages
        .wait_for_text("new uploads and deletes are refused");
    assert_eq!(of(b"alice", OPENING), 405);
    assert_eq!(of(b"bob", MANIFEST), 405);
    assert_eq!(of(b"alice", "DELETE /v2/a/manifests/latest"), 405);
    assert_eq!(of(b"alice", PIECE), 200);
    assert!(program.log.all().is_empty(), "it runs beside an upload");
    assert_eq!(of(b"alice", MANIFEST), 200);
    program.log.wait_for_text("runs");
    assert_eq!(of(b"alice", MANIFEST), 405);
    house.let_end();
    assert_eq!(program.wait().code(), Some(0));
    house.wait_for_end();
}

#[test]
fn the_command_waits_for_an_answer_and_an_upload_that_takes_too_long_is_refused() {
    let backend = Backend::script(|mut peer: Peer| -> io::Result<()> {
        while let Ok(head) = peer.head() {
            if head.start.starts_with("PUT") {
                peer.body(head)?;
                peer.pause()?;
            } else {
                // The rest never comes.
                return peer.until_closed().map(drop);
            }
            peer.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let house = House::new(&backend);
    let mut slow = house.gate.http();
    slow.request(PIECE, &[AUTH, "Content-Length: 1000000"]);
    slow.send([0; 1000]);
    backend.wait_for_head(0);
    let mut whole = house.gate.http();
    whole.request_with(MANIFEST, &[AUTH, "Content-Length: 2"], b"{}");
    backend.wait_for_head(1);
    let program = house.readonly(&["--wait", "0"]);
    let answer = slow.answer();
    assert_eq!(answer.status(), 405);
    assert!(backend.wait_for_end(0).is_ok());
    house
        .gate
        .messages
        .wait_for_text("every write is refused now");
    assert!(
        house.told().contains("1 writes on their way"),
        "{}",
        house.told()
    );
    assert!(
        program.log.all().is_empty(),
        "it runs before the registry has answered"
    );
    backend.go();
    assert_eq!(whole.answer().status(), 201);
    program.log.wait_for_text("runs");
    house.let_end();
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn pushes_go_on_when_the_command_ends_is_killed_or_takes_too_long() {
    let backend = Backend::echo();
    let house = House::new(&backend);
    let admin = format!("unix:{}", house.socket);
    let with = |command: &[&str]| {
        let args = [
            &["readonly", "--admin", &admin, "--wait", "0", "--"],
            command,
        ]
        .concat();
        run(&args)
    };
    assert_eq!(with(&["sh", "-c", "exit 7"]).code(), Some(7));
    house.wait_for_end();
    assert_eq!(with(&["sh", "-c", "kill -9 $$"]).code(), Some(128 + 9));
    house.wait_for_end();
    let outcome = with(&["/does/not/exist"]);
    assert_eq!(outcome.code(), Some(127), "{outcome:#?}");
    house.wait_for_end();
    // Told to stop.
    let program = house.readonly(&["--wait", "0"]);
    program.log.wait_for_text("runs");
    program.signal(Signal::TERM);
    let outcome = program.wait();
    assert_eq!(outcome.code(), Some(1), "{outcome:#?}");
    house.wait_for_end();
    // Killed, and the command with it.
    let program = house.readonly(&["--wait", "0"]);
    program.log.wait_for_text("runs");
    assert!(!house.pushes_pass());
    program.signal(Signal::KILL);
    program.wait();
    house.wait_for_end();
    // Too long.
    let program = house.readonly(&["--wait", "0", "--for", "1"]);
    program.log.wait_for_text("runs");
    let outcome = program.wait();
    assert_eq!(outcome.code(), Some(1));
    assert!(
        outcome
            .text()
            .contains("the time was over before the command"),
        "{outcome:#?}"
    );
    house.wait_for_end();
}

#[test]
fn what_a_killed_command_has_left_behind_holds_on_and_no_longer_than_to_the_end() {
    let backend = Backend::echo();
    let house = House::new(&backend);
    let fifo = house.fifo();
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let script = format!("cat '{fifo}' & echo runs; wait");
    let admin = format!("unix:{}", house.socket);
    let program = Program::start(&["readonly", "--admin", &admin, "--", "sh", "-c", &script]);
    program.log.wait_for_text("runs");
    program.signal(Signal::KILL);
    // Its output is open as long as what it has started.
    assert!(program.messages.wait_for_text("pushes are held back").len() > 1);
    assert!(!house.pushes_pass());
    house.let_end();
    house.wait_for_end();
    program.wait();
}

#[test]
fn a_gate_that_is_restarted_is_still_read_only_and_lets_pushes_pass_when_the_command_ends() {
    let backend = Backend::echo();
    let house = House::new(&backend);
    let program = house.readonly(&[]);
    program.log.wait_for_text("runs");
    let House { gate, dir, .. } = house;
    drop(gate);
    program.messages.wait_for_text("the gate is gone");
    let house = House::start_in(dir, &backend);
    assert!(!house.pushes_pass());
    house
        .gate
        .messages
        .wait_for_text("still read-only after a restart");
    house
        .gate
        .messages
        .wait_for_text("the command goes on after the restart");
    house.let_end();
    assert_eq!(program.wait().code(), Some(0));
    house.wait_for_end();
}

#[test]
fn what_was_kept_before_a_start_counts_until_its_end_and_what_cannot_be_read_counts_too() {
    let backend = Backend::echo();
    for (kept, is_held) in [
        ("4000000000 abc\n", true),
        ("1000000000 abc\n", false),
        ("not so\n", true),
    ] {
        let dir = Dir::new();
        dir.file("admin.hold", kept);
        let house = House::start_in(dir, &backend);
        assert_eq!(house.pushes_pass(), !is_held, "{kept}");
        if is_held {
            // Whoever asks next takes it over.
            let admin = format!("unix:{}", house.socket);
            let outcome = run(&["readonly", "--admin", &admin, "--", "true"]);
            assert_eq!(outcome.code(), Some(0), "{outcome:#?}");
            house.wait_for_end();
        }
    }
}

#[test]
fn all_gates_hold_back_or_the_command_is_not_run() {
    let backend = Backend::echo();
    let (one, other) = (House::new(&backend), House::new(&backend));
    let flags = ["--admin".to_owned(), format!("unix:{}", other.socket)];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let program = one.readonly(&flags);
    program.log.wait_for_text("runs");
    assert!(!one.pushes_pass() && !other.pushes_pass());
    // Another command has to wait for the end of this one.
    let admin = format!("unix:{}", one.socket);
    let outcome = run(&["readonly", "--admin", &admin, "--", "echo", "ran"]);
    assert_eq!(outcome.code(), Some(1));
    assert!(outcome.text().contains("already read-only"), "{outcome:#?}");
    assert!(outcome.stdout.is_empty());
    one.let_end();
    assert_eq!(program.wait().code(), Some(0));
    one.wait_for_end();
    other.wait_for_end();
    let absent = format!("unix:{}", one.dir.path("absent"));
    let outcome = run(&[
        "readonly", "--admin", &admin, "--admin", &absent, "--", "echo", "ran",
    ]);
    assert_eq!(outcome.code(), Some(1));
    assert!(outcome.stdout.is_empty(), "{outcome:#?}");
    assert!(outcome.text().contains("no gate"), "{outcome:#?}");
}

#[test]
fn wrong_usage_is_told_and_nothing_is_held() {
    for (args, told) in [
        (
            &["readonly", "--", "true"][..],
            "--admin unix:PATH is missing",
        ),
        (
            &["readonly", "--admin", "unix:/x"],
            "the command is missing",
        ),
        (
            &["readonly", "--admin", "http://127.0.0.1:1", "--", "true"],
            "write unix:PATH",
        ),
        (
            &["readonly", "--admin", "unix:/x", "--for", "0", "--", "true"],
            "leaves no time",
        ),
        (
            &[
                "readonly", "--admin", "unix:/x", "--for", "1h", "--", "true",
            ],
            "not a number of seconds",
        ),
    ] {
        let outcome = run(args);
        assert_eq!(outcome.code(), Some(2), "{args:?}");
        assert!(outcome.text().contains(told), "{outcome:#?}");
    }
    let backend = Backend::echo();
    let gate = Gate::start(&["--backend", backend.url(), "--admin", "http://127.0.0.1:0"]);
    let said = gate.messages.wait_for_text("health on http://");
    let (_, url) = said.split_once("health on http://").unwrap();
    let mut client = Client::clear(url.split(": ").next().unwrap());
    let answer = client.ask("POST /readonly?for=9&wait=0&id=a", &[]);
    assert_eq!(answer.status(), 403);
}

#[test]
fn an_auth_service_forwards_nothing_that_could_be_held_back() {
    let dir = Dir::new();
    let admin = format!("unix:{}", dir.path("admin"));
    let _service = Gate::auth_service(dir, &["--admin", &admin]);
    let outcome = run(&["readonly", "--admin", &admin, "--", "echo", "ran"]);
    assert_eq!(outcome.code(), Some(1));
    assert!(outcome.text().contains("auth service"), "{outcome:#?}");
    assert!(outcome.stdout.is_empty());
}
