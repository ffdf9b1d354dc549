//! Holding writes back, as `portreeve readonly` asks for it.
//!
//! Owns who holds and for how long, and that it outlives a restart. A hold lasts as long as the connection on which it was asked for
//! is open, and never longer than was said then: whatever becomes of the command that has it, the kernel closes the connection. A
//! gate that was restarted keeps the hold until whoever has it has come back and left, or until its end. Only a Unix socket is asked,
//! by root or by the gate's own user; what they send is bounded all the same.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Answer;
use super::clients::Clients;
use super::hold_file::{HoldFile, Kept};
use crate::connection::{Hold, HoldStanding, LONGEST_HOLD, Phase, Term};
use crate::http::RequestHead;
use crate::log;

/// Of a hold whose end cannot be told any more: as long as one is by default.
const UNKNOWN: Duration = Duration::from_secs(3600);
/// Between two looks at what is still on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Of the name that whoever holds gives it.
const LONGEST_ID: usize = 64;

/// The hold of this gate, and whoever has it.
pub(super) struct Readonly {
    hold: Arc<Hold>,
    /// None where the endpoint is no Unix socket.
    file: Option<HoldFile>,
    held: Option<Held>,
    /// Has every connection see whether it may go on.
    interrupt: Box<dyn Fn() + Send>,
}

struct Held {
    kept: Kept,
    until: Instant,
    holder: Holder,
    /// Whether it was said that nothing is written any more.
    is_closed: bool,
}

/// Whoever has asked for a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The gate was restarted, and they have not come back.
    Away,
    /// They wait for all writes to end, for a hold that is new to this gate or not.
    Waits { is_new: bool },
    /// They know that nothing is written.
    Knows,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    hold: Duration,
    wait: Duration,
    id: String,
}

impl Readonly {
    /// What was held before a restart is held still.
    pub(super) fn new(
        hold: Arc<Hold>,
        file: Option<HoldFile>,
        interrupt: Box<dyn Fn() + Send>,
    ) -> Readonly {
        let mut readonly = Readonly {
            hold,
            file,
            held: None,
            interrupt,
        };
        readonly.held = readonly.resume();
        readonly
    }

    fn resume(&self) -> Option<Held> {
        let file = self.file.as_ref()?;
        let now = SystemTime::now();
        let kept = match file.read() {
            Ok(kept) => kept?,
            Err(error) => {
                ::log::warn!(
                    "{}: {error}: whether the registry is being cleaned cannot be told. Remove it and restart if it is not",
                    file.path().display()
                );
                Kept {
                    ends: now + UNKNOWN,
                    id: String::new(),
                }
            }
        };
        let left = kept.ends.duration_since(now).unwrap_or_default();
        if left.is_zero() {
            file.remove();
            return None;
        }
        let until = Instant::now() + left.min(LONGEST_HOLD);
        self.begin(until, Duration::ZERO, kept.ends);
        ::log::warn!(
            "still read-only after a restart, until {} at the latest: the registry is being cleaned",
            log::time(kept.ends)
        );
        Some(Held {
            kept,
            until,
            holder: Holder::Away,
            is_closed: true,
        })
    }

    fn begin(&self, until: Instant, wait: Duration, ends: SystemTime) {
        let closes = Instant::now() + wait;
        self.hold.begin(Term {
            closes,
            until,
            ends,
        });
    }

    /// Begins a hold for whoever has asked on this socket, or gives them back the one that they have; an answer says why not.
    pub(super) fn ask(&mut self, head: &RequestHead, socket: &OwnedFd) -> Result<(), Answer> {
        let Some(file) = &self.file else {
            return Err(Answer::plain(403, "this is done on a Unix socket alone"));
        };
        may_ask(socket)?;
        let asked = Asked::read(head).ok_or_else(|| {
            Answer::plain(400, "write /readonly?for=SECONDS&wait=SECONDS&id=LETTERS")
        })?;
        if let Some(held) = &mut self.held {
            if held.holder != Holder::Away {
                let ends = log::time(held.kept.ends);
                return Err(Answer::plain(
                    409,
                    format!("already read-only for another command, until {ends} at the latest"),
                ));
            }
            if held.kept.id == asked.id {
                held.holder = Holder::Waits { is_new: false };
                ::log::info!("read-only: the command goes on after the restart");
                return Ok(());
            }
        }
        let kept = Kept {
            ends: SystemTime::now() + asked.hold,
            id: asked.id,
        };
        file.write(&kept).map_err(|error| {
            let path = file.path().display();
            Answer::plain(500, format!("{path}: {error}: a restart would forget it"))
        })?;
        let until = Instant::now() + asked.hold;
        ::log::info!(
            "read-only until {} at the latest: new uploads and deletes are refused, those that were begun have {} s to end",
            log::time(kept.ends),
            asked.wait.as_secs()
        );
        self.begin(until, asked.wait, kept.ends);
        self.held = Some(Held {
            kept,
            until,
            holder: Holder::Waits { is_new: true },
            is_closed: false,
        });
        Ok(())
    }

    /// Does what is due; when it is to be looked at again.
    pub(super) fn go_on(&mut self, clients: &mut Clients, now: Instant) -> Option<Instant> {
        let held = self.held.as_mut()?;
        if held.holder != Holder::Away && !clients.have_holder() {
            self.end("the command has ended");
            return None;
        }
        let (phase, writing) = self.hold.go_on(now);
        match phase {
            Phase::Open => {
                self.end("its time is over, whatever the command does");
                clients.dismiss_holder();
                return None;
            }
            Phase::Closing => return Some(now + LOOK_AGAIN),
            Phase::Closed => {}
        }
        if !held.is_closed {
            held.is_closed = true;
            ::log::info!("read-only: every write is refused now, {writing} are on their way");
            (self.interrupt)();
        }
        let Holder::Waits { is_new } = held.holder else {
            return Some(held.until);
        };
        if writing > 0 {
            return Some(now + LOOK_AGAIN);
        }
        let status = if is_new { 201 } else { 200 };
        let ends = log::time(held.kept.ends);
        let answer = Answer::plain(status, format!("read-only until {ends} at the latest"));
        clients.tell_holder(&super::write(&answer, crate::http::Version::Http11, false));
        held.holder = Holder::Knows;
        Some(held.until)
    }

    fn end(&mut self, why: &str) {
        self.held = None;
        self.hold.end();
        if let Some(file) = &self.file {
            file.remove();
        }
        ::log::info!("read-only no more: {why}");
    }
}

/// What somebody is told who asks how it stands.
pub(super) fn told(standing: &HoldStanding) -> String {
    let ends = standing.ends.map(log::time).unwrap_or_default();
    let writing = standing.writing;
    match standing.phase {
        Phase::Open => "writes pass".to_owned(),
        Phase::Closing => format!(
            "read-only until {ends} at the latest; {writing} writes that were begun may end"
        ),
        Phase::Closed => {
            format!("read-only until {ends} at the latest; {writing} writes on their way")
        }
    }
}

/// Who may hold writes back: whoever could as well stop the gate.
fn may_ask(socket: &OwnedFd) -> Result<(), Answer> {
    let own = rustix::process::geteuid();
    match rustix::net::sockopt::socket_peercred(socket.as_fd()) {
        Ok(peer) if peer.uid.is_root() || peer.uid == own => Ok(()),
        _ => Err(Answer::plain(
            403,
            "only root and the user of the gate may hold writes back",
        )),
    }
}

impl Asked {
    fn read(head: &RequestHead) -> Option<Asked> {
        let query = head.target().get(head.path().len()..)?.strip_prefix(b"?")?;
        let query = std::str::from_utf8(query).ok()?;
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        let seconds = |name| {
            let seconds = Duration::from_secs(value(name)?.parse().ok()?);
            (seconds <= LONGEST_HOLD).then_some(seconds)
        };
        let is_good = |id: &&str| {
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        Some(Asked {
            hold: seconds("for").filter(|hold| !hold.is_zero())?,
            wait: seconds("wait")?,
            id: value("id").filter(is_good)?.to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_bounded() {
        let read = |target: &str| {
            let text = format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            Asked::read(&RequestHead::parse(text.as_bytes()).unwrap().unwrap().0)
        };
        let asked = Asked {
            hold: Duration::from_secs(5),
            wait: Duration::ZERO,
            id: "a1".into(),
        };
        assert_eq!(read("/readonly?for=5&wait=0&id=a1"), Some(asked));
        let long = "a".repeat(LONGEST_ID + 1);
        for query in [
            "",
            "?",
            "?for=5&wait=0",
            "?for=5&wait=0&id=",
            "?for=0&wait=0&id=a",
            "?for=-1&wait=0&id=a",
            "?for=604801&wait=0&id=a",
            "?for=5&wait=604801&id=a",
            "?for=5&wait=0&id=a%0ab",
            &format!("?for=5&wait=0&id={long}"),
        ] {
            assert_eq!(read(&format!("/readonly{query}")), None, "{query}");
        }
    }
}
