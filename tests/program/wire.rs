//! The declarative cases of `tests/cases`: for each a gate of its own, a backend that says what the case says, and a client
//! that checks what it gets. All that fail are reported, each by name. `CASE=part-of-a-name` runs only those.

use crate::support::acceptor::Acceptor;
use crate::support::case::{BackendStep, Case, ClientStep, Closes, Expected, Variables, parse};
use crate::support::expected::matches;
use crate::support::message::Inbox;
use crate::support::stream::Stream;
use crate::support::watched::Watched;
use crate::support::{AUTH, Client, Dir, End, Gate, PATIENCE, readable};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

#[test]
fn every_case_on_the_wire_goes_as_it_is_written() {
    let cases = all();
    assert!(!cases.is_empty(), "no cases");
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(case)));
                    let outcome = outcome.unwrap_or_else(|panic| Err(said(panic.as_ref())));
                    if let Err(why) = outcome {
                        let report =
                            format!("== {}: {}\n{}", case.place, case.name, why.trim_end());
                        failures.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n\n")
    );
}

#[test]
fn patterns_of_cases_match_what_they_should() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abde", false),
        ("*", "", true),
        ("a*a", "a", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

fn all() -> Vec<Case> {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "case")
    });
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        parse(&name, &std::fs::read_to_string(path).unwrap())
    };
    files
        .iter()
        .flat_map(read)
        .filter(|case| format!("{} {}", case.place, case.name).contains(&wanted))
        .collect()
}

fn run(case: &Case) -> Result<(), String> {
    let (mut acceptor, streams) = Acceptor::tcp();
    let mut args = vec!["--backend", acceptor.url.as_str()];
    let dir = Dir::new();
    let tls = dir.path("tls");
    args.extend(if case.tls {
        ["--listen", "https://127.0.0.1:0", "--tls-self-signed", &tls]
    } else {
        ["--listen", "http://127.0.0.1:0", "--drain-timeout", "1"]
    });
    args.extend(case.args.iter().map(String::as_str));
    let gate = Gate::try_start_in(dir, &args)
        .map_err(|outcome| format!("the gate did not start: {outcome:#?}"))?;
    let variables = Variables::from([
        (
            "host",
            gate.authority(if case.tls { "https" } else { "http" })
                .to_owned(),
        ),
        (
            "port",
            gate.authority(if case.tls { "https" } else { "http" })
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        ("backend", acceptor.authority().to_owned()),
        ("auth", AUTH.to_owned()),
    ]);
    let progress = Watched::new(Progress::Running);
    let (mut client, mut outcome, messages) = (
        if case.tls { gate.https() } else { gate.http() },
        Ok(()),
        gate.messages.clone(),
    );
    let backend = std::thread::scope(|scope| {
        let backend = scope.spawn(|| {
            let mut backend = Backend {
                streams,
                current: None,
                past: Vec::new(),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                backend.follow(case, &variables, &progress)
            }));
            progress.update(|progress| *progress = Progress::Done);
            let outcome = outcome.unwrap_or_else(|panic| Err(said(panic.as_ref())));
            outcome.and_then(|()| backend.surplus())
        });
        outcome = catch_unwind(AssertUnwindSafe(|| {
            follow(case, &mut client, &gate, &variables)
        }))
        .unwrap_or_else(|panic| Err(said(panic.as_ref())));
        // The backend ends its part by itself where the client was content; what the gate does when it is killed must
        // not be taken for what it did.
        if outcome.is_ok() {
            let _ = progress.wait(PATIENCE, |progress| {
                (*progress != Progress::Running).then_some(())
            });
        }
        drop(gate);
        acceptor.stop();
        backend
            .join()
            .map_err(|panic| said(panic.as_ref()))
            .and_then(|outcome| outcome)
    });
    let faults: Vec<String> = [
        backend.map_err(|why| format!("backend: {why}")),
        outcome.map_err(|why| format!("client: {why}")),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    if faults.is_empty() {
        return Ok(());
    }
    let received = readable(client.received());
    Err(format!(
        "{}\n-- the client received in all\n{received}\n-- messages of the gate\n{}",
        faults.join("\n"),
        messages.all().join("\n")
    ))
}

#[derive(PartialEq, Eq)]
enum Progress {
    Running,
    /// What is left may also not happen.
    Optional,
    Done,
}

fn follow(
    case: &Case,
    client: &mut Client,
    gate: &Gate,
    variables: &Variables,
) -> Result<(), String> {
    for step in &case.client {
        match step {
            // Where the gate has refused and closed, the answer tells, not the write.
            ClientStep::Says(text) => drop(client.try_send(text.bytes(variables))),
            ClientStep::HalfCloses => client.half_close(),
            ClientStep::Gets(expected) => {
                let answer = client
                    .try_answer(expected.to_head)
                    .map_err(|error| format!("{}: {error}", expected.place))?;
                let answer = answer.ok_or_else(|| {
                    format!("{}: the gate ended without an answer", expected.place)
                })?;
                compare(expected, &answer, variables)?;
            }
        }
    }
    match case.closes {
        None => {}
        Some(Closes::Not) => client.assert_open(),
        Some(closes) => {
            let (rest, end) = client
                .try_rest()
                .map_err(|error| format!("at the end: {error}"))?;
            if !rest.is_empty() || (end == End::Clean) != (closes == Closes::Cleanly) {
                return Err(format!("at the end: {end:?} after {:?}", readable(&rest)));
            }
        }
    }
    for pattern in &case.log {
        let pattern = format!("*{pattern}*");
        if gate
            .log
            .try_wait_for(|line| matches(&pattern, line))
            .is_none()
        {
            return Err(format!(
                "no line of the access log is as {pattern}:\n{}",
                gate.log.all().join("\n")
            ));
        }
    }
    Ok(())
}

fn compare(
    expected: &Expected,
    message: &crate::support::Message,
    variables: &Variables,
) -> Result<(), String> {
    let faults = expected.faults(message, variables);
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}:\n{}\nin\n{}",
        expected.place,
        faults.join("\n"),
        readable(&message.raw)
    ))
}

struct Backend {
    streams: Receiver<Stream>,
    current: Option<Link>,
    /// Connections that are no longer spoken on; looked through for surplus bytes at the end.
    past: Vec<Link>,
}

struct Link {
    inbox: Inbox,
    /// What else comes on it counts for nothing.
    ignored: bool,
}

impl Link {
    fn new(stream: Stream) -> Self {
        Self {
            inbox: Inbox::new(stream),
            ignored: false,
        }
    }
}

impl Backend {
    fn follow(
        &mut self,
        case: &Case,
        variables: &Variables,
        progress: &Watched<Progress>,
    ) -> Result<(), String> {
        for step in &case.backend {
            match step {
                BackendStep::Says(text) => {
                    let link = self
                        .current
                        .as_mut()
                        .ok_or("it says something before it was asked")?;
                    // A gate that has seen enough may have closed.
                    let _ = link.inbox.send(&text.bytes(variables));
                }
                BackendStep::Closes => {
                    let mut link = self.current.take().ok_or("it closes before it was asked")?;
                    let _ = link.inbox.stream.half_close();
                    self.past.push(link);
                }
                BackendStep::Resets => {
                    self.current
                        .take()
                        .ok_or("it resets before it was asked")?
                        .inbox
                        .stream
                        .reset();
                }
                BackendStep::Sees(expected) => {
                    if expected.optional {
                        progress.update(|progress| *progress = Progress::Optional);
                    }
                    self.see(expected, variables)?;
                }
            }
        }
        Ok(())
    }

    fn see(&mut self, expected: &Expected, variables: &Variables) -> Result<(), String> {
        if expected.fresh {
            self.past.extend(self.current.take());
        }
        loop {
            let mut link = match self.current.take() {
                Some(link) => link,
                None => match self.streams.recv_timeout(PATIENCE) {
                    Ok(stream) => Link::new(stream),
                    Err(RecvTimeoutError::Disconnected) if expected.optional => return Ok(()),
                    Err(_) => return Err(format!("{}: no request came", expected.place)),
                },
            };
            let read = if expected.head_only {
                link.inbox.head()
            } else {
                link.inbox.request()
            };
            match read.map_err(|error| format!("{}: {error}", expected.place))? {
                None => self.past.push(link),
                Some(message) => {
                    link.ignored |= expected.head_only;
                    self.current = Some(link);
                    return compare(expected, &message, variables);
                }
            }
        }
    }

    /// Once the gate is gone: what it sent beyond what the case knows of.
    fn surplus(mut self) -> Result<(), String> {
        self.past.extend(self.current.take());
        self.past.extend(self.streams.try_iter().map(Link::new));
        for mut link in self.past.into_iter().filter(|link| !link.ignored) {
            let (rest, _) = link.inbox.rest().map_err(|error| error.to_string())?;
            if !rest.is_empty() {
                return Err(format!(
                    "more reached it than it should have:\n{}",
                    readable(&rest)
                ));
            }
        }
        Ok(())
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}
