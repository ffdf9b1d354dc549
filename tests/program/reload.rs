//! Files that are replaced while the gate runs: they count within two seconds, and a bad one changes nothing.

use crate::support::certificates::{Ca, client};
use crate::support::{AUTH, Backend, Client, Dir, Gate, basic};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

const ALICE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const BOB: &str = "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

struct Bench {
    gate: Gate,
    file: String,
    _backend: Backend,
}

impl Bench {
    /// A gate whose password file is `name` in its directory.
    fn new(dir: Dir, name: &str) -> Bench {
        let backend = Backend::echo();
        let file = dir.path(name);
        let gate = Gate::start_in(dir, &["--htpasswd", &file, "--backend", backend.url()]);
        Bench {
            gate,
            file,
            _backend: backend,
        }
    }

    fn status(&self, user: &str) -> u16 {
        let auth = basic(user.as_bytes(), b"secret");
        self.gate.http().ask("GET /", &[&auth]).status()
    }

    /// Puts another file in its place, as most programs do.
    fn rename_over(&self, contents: &str) {
        let new = format!("{}.new", self.file);
        fs::write(&new, contents).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    fn wait_until_taken(&self, words: &str) {
        let is_it = |line: &str| line.contains(words) && line.contains("taken anew");
        self.gate.messages.wait_for("a new file", is_it);
    }

    fn wait_until_refused(&self, why: &str) {
        let is_it = |line: &str| line.contains(why) && line.contains("the last good one stays");
        self.gate.messages.wait_for("a bad file", is_it);
    }
}

fn with_alice() -> Bench {
    let dir = Dir::new();
    dir.file("users", ALICE);
    Bench::new(dir, "users")
}

#[test]
fn a_new_user_gets_in_and_a_removed_one_is_out_on_connections_that_are_open_too() {
    let bench = with_alice();
    let mut open = bench.gate.https();
    assert_eq!(open.ask("GET /", &[AUTH]).status(), 200);
    assert_eq!(bench.status("bob"), 401);
    bench.rename_over(BOB);
    bench.wait_until_taken("1 user from");
    assert_eq!(bench.status("bob"), 200);
    assert_eq!(open.ask("GET /", &[AUTH]).status(), 401);
    // Written in place, as htpasswd does it.
    fs::write(&bench.file, format!("{ALICE}{BOB}")).unwrap();
    bench.wait_until_taken("2 users from");
    assert_eq!((bench.status("alice"), bench.status("bob")), (200, 200));
}

#[test]
fn a_bad_file_is_named_once_and_the_last_good_one_stays() {
    let bench = with_alice();
    bench.rename_over("alice:secret\n");
    bench.wait_until_refused(":1:");
    assert_eq!(bench.status("alice"), 200);
    fs::remove_file(&bench.file).unwrap();
    bench.wait_until_refused("no such file");
    assert_eq!(bench.status("alice"), 200);
    fs::write(&bench.file, "").unwrap();
    bench.wait_until_refused("no user");
    bench.rename_over(BOB);
    bench.wait_until_taken("1 user from");
    assert_eq!((bench.status("alice"), bench.status("bob")), (401, 200));
    let said = bench.gate.messages.all();
    let complaints = said.iter().filter(|line| line.contains("stays")).count();
    assert_eq!(complaints, 3, "{said:#?}");
}

#[test]
fn a_link_that_leads_elsewhere_counts_as_kubernetes_does_it() {
    let dir = Dir::new();
    for (name, users) in [("..1", ALICE), ("..2", BOB)] {
        fs::create_dir(dir.path(name)).unwrap();
        fs::write(Path::new(&dir.path(name)).join("users"), users).unwrap();
    }
    symlink("..1", dir.path("..data")).unwrap();
    symlink("..data/users", dir.path("users")).unwrap();
    let bench = Bench::new(dir, "users");
    assert_eq!(bench.status("bob"), 401);
    symlink("..2", bench.gate.dir.path("..data_tmp")).unwrap();
    fs::rename(
        bench.gate.dir.path("..data_tmp"),
        bench.gate.dir.path("..data"),
    )
    .unwrap();
    bench.wait_until_taken("1 user from");
    assert_eq!((bench.status("alice"), bench.status("bob")), (401, 200));
}

#[test]
fn a_hangup_has_the_files_read_and_nobody_is_disturbed() {
    let bench = with_alice();
    let mut open = bench.gate.http();
    assert_eq!(open.ask("GET /", &[AUTH]).status(), 200);
    bench.gate.signal(Signal::HUP);
    bench.wait_until_taken("1 user from");
    assert_eq!(open.ask("GET /", &[AUTH]).status(), 200);
}

#[test]
fn a_new_certificate_is_shown_from_the_next_connection_on_and_half_a_pair_is_not() {
    let backend = Backend::echo();
    let (dir, old, new) = (Dir::new(), Ca::new(), Ca::new());
    let pair = old.sign(&["gate.example"]);
    let (cert, key) = (dir.file("crt", pair.cert), dir.file("key", pair.key));
    let gate = Gate::start_in(
        dir,
        &[
            "--backend",
            backend.url(),
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ],
    );
    let connect = |ca: &Ca| {
        let config = Arc::new(client(&ca.pem(), rustls::ALL_VERSIONS));
        Client::try_tls(gate.authority("https"), "gate.example", config)
    };
    let mut open = connect(&old).unwrap();
    let pair = new.sign(&["gate.example"]);
    fs::write(&cert, pair.cert).unwrap();
    gate.messages.wait_for_text("the last good one stays");
    assert!(connect(&new).is_err());
    assert_eq!(connect(&old).unwrap().ask("GET /", &[AUTH]).status(), 200);
    fs::write(&key, pair.key).unwrap();
    gate.messages.wait_for_text("taken anew");
    assert_eq!(connect(&new).unwrap().ask("GET /", &[AUTH]).status(), 200);
    assert!(connect(&old).is_err());
    assert_eq!(open.ask("GET /", &[AUTH]).status(), 200);
}
