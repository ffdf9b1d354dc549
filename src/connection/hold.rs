//! Read-only: writes are held back while a registry collects its garbage.
//!
//! Owns which writes may pass at a moment, and how many are on their way: each has a [`Permit`] from the moment at which it is
//! forwarded until its end is known. Must not know who holds writes back, nor how that outlives a restart. What a request writes is
//! told by its method and path, which are hostile; what is not known for something else is a write.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use crate::gate::registry::Route;
use crate::http::{Refusal, RequestHead};
use crate::lock::EvenIfPoisoned;
use crate::log;

/// The longest that writes can be held back.
pub const LONGEST_HOLD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Who has begun an upload within this time may store a manifest while writes are being ended.
const RECENT: Duration = Duration::from_secs(5 * 60);
/// Between the last upload of a push and its manifest a client may take so long.
const MANIFEST_WITHIN: Duration = Duration::from_secs(3);
/// And so long between two manifests.
const NEXT_MANIFEST_WITHIN: Duration = Duration::from_secs(1);
/// Users that are remembered. Who is not stores no manifest while writes are being ended, and pushes again later.
const MOST_PUSHERS: usize = 10_000;

/// Whether writes are held back, and those that are on their way.
#[derive(Debug, Default)]
pub struct Hold {
    state: Mutex<State>,
    /// That nothing is written any more, where it is asked at each step.
    is_closed: AtomicBool,
}

/// How long writes are held back.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Until when those that were begun may end.
    pub closes: Instant,
    /// Until when at most.
    pub until: Instant,
    /// The same, for people.
    pub ends: SystemTime,
}

/// How far a gate is with holding writes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does not.
    #[default]
    Open,
    /// Those that were begun may end.
    Closing,
    /// Nothing is written.
    Closed,
}

/// What there is to be told of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HoldStanding {
    /// How far it is.
    pub phase: Phase,
    /// Until when at most, if it is not open.
    pub ends: Option<SystemTime>,
    /// Writes that are on their way.
    pub writing: usize,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Term>,
    writing: usize,
    pushers: HashMap<Arc<[u8]>, Pusher>,
}

/// One who uploads.
#[derive(Clone, Copy, Debug)]
struct Pusher {
    /// When an upload of theirs was last gone on with.
    uploaded: Instant,
    /// When their last write ended.
    last: Instant,
    /// Whether that was a manifest.
    has_named: bool,
}

/// What a request writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    /// It begins an upload, or mounts what is in another repository.
    Begin,
    /// It goes on with an upload, or ends it.
    GoOn,
    /// It stores a manifest.
    Name,
    /// Anything else.
    Other,
}

/// The right of one write to be on its way. Dropped once its end is known.
#[derive(Debug)]
pub struct Permit {
    hold: Arc<Hold>,
    user: Arc<[u8]>,
    write: Write,
}

impl Hold {
    /// Begins to hold writes back.
    pub fn begin(&self, term: Term) {
        self.state().held = Some(term);
    }

    /// Writes pass again.
    pub fn end(&self) {
        let mut state = self.state();
        state.held = None;
        self.is_closed.store(false, Ordering::Release);
    }

    /// Closes it once all that was begun has ended, or its time to do so is over; how far it is, and how many writes are on
    /// their way.
    pub fn go_on(&self, now: Instant) -> (Phase, usize) {
        let state = self.state();
        let phase = match self.phase(&state, now) {
            Phase::Closing if state.has_ended(now) => Phase::Closed,
            phase => phase,
        };
        self.is_closed
            .store(phase == Phase::Closed, Ordering::Release);
        (phase, state.writing)
    }

    /// Leave for a request to be forwarded. `None` for one that writes nothing.
    ///
    /// # Errors
    /// Writes are held back.
    pub fn permit(
        self: &Arc<Self>,
        head: &RequestHead,
        user: Option<Arc<[u8]>>,
        now: Instant,
    ) -> Result<Option<Permit>, Refusal> {
        let Some(write) = Write::of(head) else {
            return Ok(None);
        };
        let user = user.unwrap_or_default();
        let mut state = self.state();
        let may_pass = match (self.phase(&state, now), write) {
            (Phase::Open, _) | (Phase::Closing, Write::GoOn) => true,
            (Phase::Closing, Write::Name) => state.has_uploaded(&user, now),
            (Phase::Closing, Write::Begin | Write::Other) | (Phase::Closed, _) => false,
        };
        if !may_pass {
            return Err(state.refusal());
        }
        state.writing += 1;
        state.note(&user, write, now);
        drop(state);
        Ok(Some(Permit {
            hold: Arc::clone(self),
            user,
            write,
        }))
    }

    /// How it stands.
    pub fn standing(&self) -> HoldStanding {
        let state = self.state();
        let phase = self.phase(&state, Instant::now());
        HoldStanding {
            phase,
            ends: state
                .held
                .filter(|_| phase != Phase::Open)
                .map(|term| term.ends),
            writing: state.writing,
        }
    }

    fn phase(&self, state: &State, now: Instant) -> Phase {
        match state.held {
            Some(term) if now >= term.until => Phase::Open,
            None => Phase::Open,
            Some(_) if self.is_closed.load(Ordering::Acquire) => Phase::Closed,
            Some(term) if now >= term.closes => Phase::Closed,
            Some(_) => Phase::Closing,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().even_if_poisoned()
    }
}

impl Permit {
    /// Whether nothing is written any more, so that what has not reached a backend whole is given up.
    pub fn is_late(&self) -> bool {
        self.hold.is_closed.load(Ordering::Acquire)
    }

    /// What its client is told then.
    pub fn refusal(&self) -> Refusal {
        self.hold.state().refusal()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.hold.state();
        state.writing = state.writing.saturating_sub(1);
        state.note(&self.user, self.write, Instant::now());
    }
}

impl State {
    /// What a client is told whose request writes.
    fn refusal(&self) -> Refusal {
        let ends = self.held.map(|term| log::time(term.ends));
        let until = ends.unwrap_or_else(|| "shortly".to_owned());
        let why = format!(
            "read-only until {until} at the latest, while the registry is cleaned: push again after that"
        );
        Refusal::ReadOnly { why: why.into() }
    }

    /// Whether all that was begun is over, as far as that can be told: nothing is on its way, and whoever has uploaded has stored
    /// a manifest since, or has had the time for it.
    fn has_ended(&self, now: Instant) -> bool {
        let is_over = |pusher: &Pusher| {
            let patience = match pusher.has_named {
                true => NEXT_MANIFEST_WITHIN,
                false => MANIFEST_WITHIN,
            };
            now.saturating_duration_since(pusher.last) >= patience
        };
        self.writing == 0 && self.pushers.values().all(is_over)
    }

    fn has_uploaded(&self, user: &[u8], now: Instant) -> bool {
        self.pushers
            .get(user)
            .is_some_and(|pusher| pusher.is_recent(now))
    }

    fn note(&mut self, user: &Arc<[u8]>, write: Write, now: Instant) {
        let uploads = match write {
            Write::Begin | Write::GoOn => true,
            Write::Name => false,
            Write::Other => return,
        };
        if let Some(pusher) = self.pushers.get_mut(user) {
            pusher.last = now;
            pusher.has_named = !uploads;
            if uploads {
                pusher.uploaded = now;
            }
            return;
        }
        if self.pushers.len() >= MOST_PUSHERS {
            self.pushers.retain(|_, pusher| pusher.is_recent(now));
        }
        if uploads && self.pushers.len() < MOST_PUSHERS {
            let pusher = Pusher {
                uploaded: now,
                last: now,
                has_named: false,
            };
            self.pushers.insert(Arc::clone(user), pusher);
        }
    }
}

impl Pusher {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.uploaded) < RECENT
    }
}

impl Write {
    /// `None` for what only reads.
    fn of(head: &RequestHead) -> Option<Write> {
        let method = head.method();
        if matches!(method, "GET" | "HEAD" | "OPTIONS") {
            return None;
        }
        let path = std::str::from_utf8(head.path()).ok();
        Some(match (method, path.and_then(Route::parse)) {
            ("POST", Some(Route::Uploads(_))) => Write::Begin,
            ("PATCH" | "PUT" | "DELETE", Some(Route::Upload(..))) => Write::GoOn,
            ("PUT", Some(Route::Manifest(..))) => Write::Name,
            _ => Write::Other,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
