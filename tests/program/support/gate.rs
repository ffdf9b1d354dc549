//! The built program, started as a user would, with its outputs collected.
use super::watched::Lines;
use super::{Client, Dir, HTPASSWD, PATIENCE, certificates, kernel};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process, prlimit, waitid,
};
use rustls::ClientConfig;
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};

/// A gate that serves. It is killed when this is dropped.
pub struct Gate {
    child: Child,
    /// Where its files are: `htpasswd`, and `tls/` of `--tls-self-signed`.
    pub dir: Dir,
    /// The URL of each listener, in order.
    pub urls: Vec<String>,
    /// The arguments that it was started with.
    pub args: Vec<String>,
    /// Its standard output: the access log.
    pub log: Lines,
    /// Its standard error: the messages.
    pub messages: Lines,
    trust: OnceLock<Arc<ClientConfig>>,
}

/// A run of the program that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Outcome {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Both outputs.
    pub fn text(&self) -> String {
        [self.stdout.join("\n"), self.stderr.join("\n")].join("\n")
    }
}

impl Gate {
    /// Starts `serve` with these arguments. Where they name no listener it has one in the clear and one with TLS, both on
    /// loopback and a free port; where they name neither a password file nor an API, `HTPASSWD`.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(Dir::new(), args)
    }

    /// The same, with a directory in which files were prepared.
    #[track_caller]
    pub fn start_in(dir: Dir, args: &[&str]) -> Self {
        Self::try_start_in(dir, args)
            .unwrap_or_else(|outcome| panic!("`serve {}` ended: {outcome:#?}", args.join(" ")))
    }

    /// Starts `serve` with variables in its environment.
    #[track_caller]
    pub fn start_with(dir: Dir, variables: &[(&str, &str)], args: &[&str]) -> Self {
        Self::try_start("serve", dir, variables, args)
            .unwrap_or_else(|outcome| panic!("`serve {}` ended: {outcome:#?}", args.join(" ")))
    }

    /// Starts `auth` in the same way.
    #[track_caller]
    pub fn auth_service(dir: Dir, args: &[&str]) -> Self {
        Self::try_start("auth", dir, &[], args)
            .unwrap_or_else(|outcome| panic!("`auth {}` ended: {outcome:#?}", args.join(" ")))
    }

    /// Starts `serve`; what it said if it ended instead of serving.
    pub fn try_start_in(dir: Dir, args: &[&str]) -> Result<Self, Outcome> {
        Self::try_start("serve", dir, &[], args)
    }

    fn try_start(
        name: &str,
        dir: Dir,
        variables: &[(&str, &str)],
        args: &[&str],
    ) -> Result<Self, Outcome> {
        let args = complete(&dir, args);
        let mut command = command();
        command
            .arg(name)
            .args(&args)
            .envs(variables.iter().copied());
        let (mut child, log, messages) = spawn(command, b"");
        let listeners = args
            .iter()
            .filter(|arg| *arg == "--listen" || arg.starts_with("--listen="))
            .count();
        let mut urls = Vec::new();
        while urls.len() < listeners {
            let known = urls.clone();
            let line = messages
                .try_wait_for(|line| listening(line).is_some_and(|url| !known.contains(&url)));
            match line.as_deref().and_then(listening) {
                Some(url) => urls.push(url),
                None => {
                    let _ = child.kill();
                    return Err(finish(child, &log, &messages));
                }
            }
        }
        Ok(Self {
            child,
            dir,
            urls,
            args,
            log,
            messages,
            trust: OnceLock::new(),
        })
    }

    /// `HOST:PORT` of the first listener with that scheme.
    #[track_caller]
    pub fn authority(&self, scheme: &str) -> &str {
        let found = self
            .urls
            .iter()
            .find_map(|url| url.strip_prefix(scheme)?.strip_prefix("://"));
        found.unwrap_or_else(|| panic!("no {scheme} listener in {:?}", self.urls))
    }

    /// A client in the clear.
    #[track_caller]
    pub fn http(&self) -> Client {
        Client::clear(self.authority("http"))
    }

    /// A client with TLS that trusts the CA of `--tls-self-signed` and resumes sessions.
    #[track_caller]
    pub fn https(&self) -> Client {
        Client::tls(self.authority("https"), "localhost", self.trust())
    }

    /// A client of each kind.
    #[track_caller]
    pub fn both(&self) -> [Client; 2] {
        [self.http(), self.https()]
    }

    /// What `https` uses.
    pub fn trust(&self) -> Arc<ClientConfig> {
        let make = || Arc::new(certificates::client(&self.ca(), rustls::ALL_VERSIONS));
        Arc::clone(self.trust.get_or_init(make))
    }

    /// The CA of `--tls-self-signed`, PEM.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.dir.path("tls/ca.crt")).unwrap()
    }

    /// Lowers its limit of open files while it runs.
    pub fn limit_files(&self, count: u64) {
        let limit = Rlimit {
            current: Some(count),
            maximum: Some(count),
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.unwrap().count()
    }

    /// What the system says of each of its threads.
    pub fn statuses_of_threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let paths = tasks.map(|task| task.unwrap().path().join("status"));
        // One may end meanwhile.
        paths
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect()
    }

    /// How many of its descriptors are ends of pipes.
    pub fn pipes(&self) -> usize {
        let open = self.descriptors();
        open.iter()
            .filter(|(_, what)| what.starts_with("pipe:"))
            .count()
    }

    /// The highest number among its descriptors.
    pub fn highest_descriptor(&self) -> u64 {
        self.descriptors()
            .iter()
            .map(|(number, _)| *number)
            .max()
            .unwrap()
    }

    fn descriptors(&self) -> Vec<(u64, String)> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let open = entries.filter_map(|entry| {
            let path = entry.ok()?.path();
            // One may be closed meanwhile.
            let what = std::fs::read_link(&path).ok()?;
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, what.display().to_string()))
        });
        open.collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it where it stands, and returns once none of its threads runs any more. What is sent to it meanwhile is all
    /// there when it goes on.
    pub fn halt(&self) {
        self.signal(Signal::STOP);
        let stopped = waitid(
            WaitId::Pid(Pid::from_child(&self.child)),
            WaitIdOptions::STOPPED,
        );
        assert!(stopped.unwrap().is_some_and(|status| status.stopped()));
    }

    /// Lets it go on after `halt`.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn terminate(self) -> Outcome {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        assert!(
            self.messages.wait_for_end(PATIENCE),
            "it does not end; messages:\n{}",
            self.messages.all().join("\n")
        );
        assert!(self.log.wait_for_end(PATIENCE), "its log does not end");
        Outcome {
            status: self.child.wait().unwrap(),
            stdout: self.log.all(),
            stderr: self.messages.all(),
        }
    }

    /// Fails the test if it has ended.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "it ended ({ended:?}):\n{}",
            self.messages.all().join("\n")
        );
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- messages of the gate\n{}",
                self.messages.all().join("\n")
            );
            eprintln!("--- its access log\n{}", self.log.all().join("\n"));
        }
    }
}

/// Another command of the program, while it runs. It is killed when this is dropped.
pub struct Program {
    child: Child,
    /// Its standard output.
    pub log: Lines,
    /// Its standard error.
    pub messages: Lines,
}

impl Program {
    /// Starts it, without the settings of this environment.
    pub fn start(args: &[&str]) -> Self {
        let mut command = command();
        command.args(args);
        let (child, log, messages) = spawn(command, b"");
        Self {
            child,
            log,
            messages,
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        assert!(self.messages.wait_for_end(PATIENCE), "it does not end");
        assert!(self.log.wait_for_end(PATIENCE), "its output does not end");
        Outcome {
            status: self.child.wait().unwrap(),
            stdout: self.log.all(),
            stderr: self.messages.all(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs any command of the program to its end, without the settings of this environment.
#[track_caller]
pub fn run(args: &[&str]) -> Outcome {
    run_with(args, &[], b"")
}

/// The same, with variables and standard input.
#[track_caller]
pub fn run_with(args: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Outcome {
    let mut command = command();
    command.args(args).envs(variables.iter().copied());
    let (mut child, log, messages) = spawn(command, input);
    if !messages.wait_for_end(PATIENCE) || !log.wait_for_end(PATIENCE) {
        let _ = child.kill();
        panic!(
            "`portreeve {}` does not end: {:#?}",
            args.join(" "),
            finish(child, &log, &messages)
        );
    }
    finish(child, &log, &messages)
}

/// Runs `serve` with arguments that it must refuse: fails the test unless it ends with 78 before it listens. The lines of
/// what it said.
#[track_caller]
pub fn refused(dir: &Dir, args: &[&str]) -> Vec<String> {
    let args = complete(dir, args);
    let mut all = vec!["serve"];
    all.extend(args.iter().map(String::as_str));
    let outcome = run(&all);
    assert_eq!(outcome.code(), Some(78), "{outcome:#?}");
    assert!(
        !outcome.text().contains("listening on"),
        "it listened: {outcome:#?}"
    );
    outcome.stderr
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PORTREEVE_") || text == "BACKEND" || text == "AUTH_BACKEND" {
            command.env_remove(&name);
        }
    }
    // What the sandbox forbids by mistake must fail a test.
    if kernel::has_sandbox() {
        command.env("PORTREEVE_SANDBOX", "require");
    }
    command
}

/// The arguments with those added that nearly every test wants.
fn complete(dir: &Dir, args: &[&str]) -> Vec<String> {
    let named = |name: &str| {
        args.iter().any(|arg| {
            *arg == name
                || arg
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('='))
        })
    };
    let mut all: Vec<String> = Vec::new();
    if !named("--listen") {
        all.extend(
            [
                "--listen",
                "http://127.0.0.1:0",
                "--listen",
                "https://127.0.0.1:0",
            ]
            .map(str::to_owned),
        );
        if !named("--tls-cert") && !named("--tls-self-signed") {
            all.extend(["--tls-self-signed".to_owned(), dir.path("tls")]);
        }
    }
    if !named("--htpasswd") && !named("--auth-backend") {
        all.extend(["--htpasswd".to_owned(), dir.file("htpasswd", HTPASSWD)]);
    }
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    all
}

fn spawn(mut command: Command, input: &[u8]) -> (Child, Lines, Lines) {
    let stdin = if input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    let log = Lines::collect(child.stdout.take().unwrap());
    let messages = Lines::collect(child.stderr.take().unwrap());
    (child, log, messages)
}

/// For a program whose outputs have ended, or that was killed.
fn finish(mut child: Child, log: &Lines, messages: &Lines) -> Outcome {
    let status = child.wait().unwrap();
    log.wait_for_end(PATIENCE);
    messages.wait_for_end(PATIENCE);
    Outcome {
        status,
        stdout: log.all(),
        stderr: messages.all(),
    }
}

/// The URL in a line that says `listening on URL`.
fn listening(line: &str) -> Option<String> {
    let url = line
        .split_once("listening on ")?
        .1
        // In JSON a quote follows.
        .split(|letter: char| letter.is_whitespace() || letter == '"')
        .next()?;
    Some(url.trim_end_matches([',', ';', '.', '"', '}']).to_owned())
}
