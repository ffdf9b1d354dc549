//! `portreeve readonly`: pushes are held back at every gate before a registry while a command runs.
//!
//! Owns the order: hold at all gates, run the command, let go. A hold is a connection that stays open, and the command has it too: it
//! lasts for as long as this process or the command lives, and is given up by closing it. Whatever happens, the gates let writes
//! pass again at the end that was asked for; the command is ended before.

mod child;
mod gate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::connection::LONGEST_HOLD;
use crate::exit::FAILED;
use crate::log;
use crate::terminal::complain;
use child::Child;
pub use child::{CHILD, become_command};
use gate::Gate;

/// How long writes are held back at most, if nothing else is said.
pub const HOLD: Duration = Duration::from_secs(3600);
/// How long those that were begun have to end.
pub const WAIT: Duration = Duration::from_secs(60);
/// A command that is to end is told so, and killed so long after.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted.
#[derive(Debug)]
pub struct ReadonlyRequest {
    /// The admin sockets of the gates.
    pub gates: Vec<PathBuf>,
    /// See [`HOLD`].
    pub hold: Duration,
    /// See [`WAIT`].
    pub wait: Duration,
    /// What to run.
    pub command: Vec<OsString>,
}

/// What has happened.
enum Event {
    /// This gate writes nothing any more. `is_new` if it has begun to hold writes back for this.
    Held { gate: usize, is_new: bool },
    /// This gate does not, or not any more.
    Refused(String),
    /// This gate is gone. It is looked for again.
    Lost(String),
    /// A signal.
    Signal(i32),
}

/// The path of a gate's admin socket, from its URL.
///
/// # Errors
/// It is none.
pub fn socket(url: &str) -> Result<PathBuf, String> {
    match url.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Err("write unix:PATH: writes are held back on a Unix socket alone".to_owned()),
    }
}

/// A number of seconds.
///
/// # Errors
/// It is none, or too large.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let most = LONGEST_HOLD.as_secs();
    seconds
        .filter(|seconds| *seconds <= LONGEST_HOLD)
        .ok_or_else(|| format!("not a number of seconds up to {most}"))
}

/// Does it. The exit status is the command's; 1 if it did not run, or not to its end.
pub fn run(request: &ReadonlyRequest) -> ExitCode {
    match hold(request) {
        Ok(status) => ExitCode::from(status),
        Err(reason) => {
            complain(&format!("portreeve: {reason}"));
            ExitCode::from(FAILED)
        }
    }
}

fn hold(request: &ReadonlyRequest) -> Result<u8, String> {
    let (tell, events) = channel();
    watch_signals(tell.clone()).map_err(|error| format!("signals cannot be caught: {error}"))?;
    let mut name = [0; 24];
    aws_lc_rs::rand::fill(&mut name).map_err(|_| "no random numbers")?;
    let alphabet = base64::engine::general_purpose::STANDARD;
    let id: String = alphabet
        .encode(name)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let begun = Instant::now();
    let until = begun + request.hold;
    let ends = log::time(SystemTime::now() + request.hold);
    let gates: Vec<_> = request
        .gates
        .iter()
        .map(|path| Gate::new(path, &id, until, request.wait))
        .collect();
    for (number, gate) in gates.iter().enumerate() {
        let (gate, tell) = (gate.clone(), tell.clone());
        thread::spawn(move || gate.keep(number, &tell));
    }
    complain(&format!(
        "portreeve: pushes are held back until {ends} at the latest; those that were begun have {} s to end",
        request.wait.as_secs()
    ));
    let done = all_held(gates.len(), &events, until)
        .and_then(|()| run_command(&request.command, &events, until));
    gates.iter().for_each(Gate::release);
    complain("portreeve: pushes go on");
    done
}

/// Waits until no gate writes any more.
fn all_held(gates: usize, events: &Receiver<Event>, until: Instant) -> Result<(), String> {
    let mut held = vec![false; gates];
    while held.contains(&false) {
        match next(events, until)? {
            Some(Event::Held { gate, .. }) => {
                if let Some(held) = held.get_mut(gate) {
                    *held = true;
                }
            }
            Some(Event::Refused(why) | Event::Lost(why)) => {
                return Err(format!("{why}; the command was not run"));
            }
            Some(Event::Signal(SIGCHLD)) => {}
            Some(Event::Signal(_)) => return Err("stopped; the command was not run".into()),
            None => {
                return Err("what was begun did not end in time; the command was not run".into());
            }
        }
    }
    Ok(())
}

fn run_command(
    command: &[OsString],
    events: &Receiver<Event>,
    until: Instant,
) -> Result<u8, String> {
    let left = until.saturating_duration_since(Instant::now());
    let mut child = Child::start(command)?;
    // It has ended when pushes go on.
    let mut ask_at = until - PATIENCE.min(left / 10);
    let mut kill_at = until;
    let mut failure = None;
    loop {
        if let Some(status) = child.status()? {
            return failure.map_or(Ok(status), Err);
        }
        match next(events, ask_at.min(kill_at))? {
            None if Instant::now() >= kill_at => {
                child.kill();
                // Its end is told by a signal.
                (ask_at, kill_at) = (until + HOLD, until + HOLD);
            }
            None => {
                failure = Some("the time was over before the command: it was ended".to_owned());
                child.signal(Signal::TERM);
                ask_at = kill_at;
            }
            Some(Event::Held { is_new: false, .. } | Event::Signal(SIGCHLD)) => {}
            Some(Event::Signal(number)) => {
                failure = Some("stopped".to_owned());
                child.signal(match number {
                    SIGINT => Signal::INT,
                    SIGHUP => Signal::HUP,
                    _ => Signal::TERM,
                });
                kill_at = kill_at.min(Instant::now() + PATIENCE);
            }
            Some(Event::Lost(what)) => complain(&format!(
                "portreeve: {what}; it is read-only when it comes back"
            )),
            Some(Event::Held { is_new: true, .. }) => {
                failure = Some(
                    "a gate came back that had forgotten: pushes may have passed while the command ran"
                        .to_owned(),
                );
            }
            Some(Event::Refused(why)) => failure = Some(why),
        }
    }
}

/// The next event, if there is one before that moment.
fn next(events: &Receiver<Event>, until: Instant) -> Result<Option<Event>, String> {
    let left = until.saturating_duration_since(Instant::now());
    match events.recv_timeout(left) {
        Ok(event) => Ok(Some(event)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err("nothing happens any more".to_owned()),
    }
}

fn watch_signals(tell: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGCHLD, SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if tell.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unix_sockets_and_bounded_times() {
        assert_eq!(socket("unix:/a b"), Ok("/a b".into()));
        for url in ["", "unix:", "/run/a", "http://127.0.0.1:1"] {
            assert!(socket(url).is_err(), "{url}");
        }
        assert_eq!(seconds("604800"), Ok(LONGEST_HOLD));
        for text in ["", "-1", "1.5", "604801", "1h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
