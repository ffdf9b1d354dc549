//! One granted request to a backend, and its answer back.
//!
//! Owns the order of things on the wire between the two sides: which backend is asked, when the
//! client is told to go on, when an upload stops, what of an answer is passed on and how it may
//! end. It knows nothing of users: the [`Grant`] says that somebody has decided. Both sides are
//! hostile: what is cut short on one never looks whole on the other. An [`Exchange`] is one request on its way; it never waits,
//! but says what it waits for.

mod backend;
mod choice;
mod deliver;
mod dial;
mod exchange;
mod presence;
mod probe;
mod response;
mod sessions;
mod splice;
mod transfer;
mod upload;

use std::time::{Duration, Instant};

pub use backend::Backend;
use choice::Choice;
pub use exchange::{Exchange, Terms, Turn};
pub use presence::Presence;
use response::Unanswered;
use sessions::{Sessions, Step};
use transfer::Budget;

use crate::config;
use crate::gate::Grant;
use crate::http::location::{Origin, Outside, rewrite};
use crate::http::{Framing, Refusal, RequestHead, ResponseHead, Scheme};
use crate::metrics::BackendStanding;

/// What the log says of a client that did not wait for the end.
pub const CLIENT_WENT_AWAY: &str = "client went away";

/// The backends and what all transfers share.
#[derive(Debug)]
pub struct Relay {
    backends: Vec<Backend>,
    choice: Choice,
    sessions: Sessions,
    budget: Budget,
    response_timeout: Duration,
    body_timeout: Duration,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Body bytes that reached the backend.
    pub up: u64,
    /// Body bytes of the answer that reached the client's socket.
    pub down: u64,
    /// What went wrong, for the log.
    pub note: Option<String>,
    /// The answer's `Docker-Content-Digest`, for the log.
    pub digest: Option<Vec<u8>>,
    /// Whether the backend wants a password of its own.
    pub asks_for_password: bool,
}

/// How a request ended.
#[derive(Debug)]
pub enum End {
    /// The backend's answer was passed on.
    Answered(u16, Then),
    /// The backend's answer had no client to be passed on to.
    Unheard(u16),
    /// Nothing was sent to the client: this is to be said, with this much of its body unread.
    Refused(Refusal, Unread),
    /// The client went away first.
    ClientGone,
}

/// What may happen with the client's connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request may come.
    Keep,
    /// It ends properly, even while the client still sends.
    Close,
    /// It ends so that nobody takes the answer for whole.
    Abort,
}

/// How much of a request's body has not been read, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Exactly this much.
    Exactly(u64),
    /// All of a chunked body.
    Chunks,
    /// Nobody knows, or the client waits to be asked for it.
    Unknown,
}

impl Unread {
    /// Of a body that was not touched.
    pub fn whole(head: &RequestHead) -> Unread {
        match head.framing() {
            Framing::Empty => Unread::Exactly(0),
            // A client that waits to be asked for its body may send it all the same, or not.
            _ if head.expects_continue() => Unread::Unknown,
            Framing::Length(length) => Unread::Exactly(length),
            Framing::Chunked => Unread::Chunks,
            Framing::UntilClose => Unread::Unknown,
        }
    }
}

impl Relay {
    /// `response_timeout` is how long a backend may be silent before its answer, `body_timeout`
    /// how long either side may be silent within a body.
    pub fn new(
        backends: Vec<Backend>,
        response_timeout: Duration,
        body_timeout: Duration,
    ) -> Relay {
        Relay {
            choice: Choice::new(backends.len()),
            sessions: Sessions::default(),
            backends,
            budget: Budget::default(),
            response_timeout,
            body_timeout,
        }
    }

    /// Begins to forward a request that was granted. `outgoing` is its head as a backend is to see it.
    pub fn forward(
        &self,
        _grant: &Grant,
        head: &RequestHead,
        outgoing: Vec<u8>,
        terms: Terms,
        now: Instant,
    ) -> Exchange {
        Exchange::new(self, head, outgoing, terms, now)
    }

    /// Where a `Location` of an answer leads for the client, if it is to be rewritten.
    fn location(
        &self,
        place: usize,
        by_tls: bool,
        host: &str,
        head: &ResponseHead,
    ) -> Option<Vec<u8>> {
        let value = head.values("location").next()?;
        let scheme = by_tls.then_some(Scheme::Https);
        let own = Outside { scheme, host };
        let bare;
        let backend = match self.backends.get(place)?.address() {
            config::Backend::Unix(_) => None,
            address @ (config::Backend::Http(place) | config::Backend::Https(place)) => {
                bare = place.host.to_string();
                let tls = matches!(address, config::Backend::Https(_));
                let scheme = if tls { Scheme::Https } else { Scheme::Http };
                Some(Origin {
                    scheme,
                    host: &bare,
                    port: place.port,
                })
            }
        };
        rewrite(value, backend, own)
    }

    /// Whether a backend accepts connections; the error says which one did not, and why. Waits.
    pub fn reachable(&self) -> Result<(), String> {
        let mut reasons = Vec::new();
        // Who asks this seldom has the patience to see one time out that was down before.
        let mut backends: Vec<_> = self.backends.iter().collect();
        backends.sort_by_key(|backend| backend.health().state());
        for backend in backends {
            // A new connection: kept ones say nothing of a backend that accepts no more, and asking
            // them would make them look young.
            match backend.probe() {
                Ok(_) => return Ok(()),
                Err(error) => reasons.push(format!("backend {}: {error}", backend.address())),
            }
        }
        Err(reasons.join("; "))
    }

    /// How the backends are, in order.
    pub fn standing(&self) -> Vec<BackendStanding> {
        self.backends.iter().map(Backend::standing).collect()
    }

    /// What transfers hold in large buffers and pipes, in bytes.
    pub fn buffered(&self) -> usize {
        self.budget.used()
    }

    /// Gives up backend connections that have been idle for long.
    pub fn prune(&self) {
        self.backends.iter().for_each(Backend::prune);
    }
}

impl Relay {
    /// The backend that opened the upload session that a request belongs to.
    fn bound(&self, head: &RequestHead) -> Option<usize> {
        match self.backends.len() {
            0 | 1 => None,
            // A path that is no text belongs to no session.
            _ => self
                .sessions
                .backend_of(std::str::from_utf8(head.path()).ok()?, Instant::now()),
        }
    }

    /// Notes what an answer says of an upload session, before the client can act on it.
    fn follow(&self, head: &RequestHead, answer: &ResponseHead, place: usize) {
        if self.backends.len() > 1
            && let Ok(path) = std::str::from_utf8(head.path())
        {
            let step = Step {
                method: head.method(),
                path,
                status: answer.status(),
                location: answer.values("location").next(),
            };
            self.sessions.follow(step, place, Instant::now());
        }
    }

    fn put_aside(&self, place: usize, failure: &Unanswered, begun: Instant, now: Instant) {
        if let Unanswered::ClosedMeanwhile = failure {
            // Every server does that, and a new connection will tell how it is.
            return;
        }
        self.backends.get(place).inspect(|backend| backend.failed());
        if let Unanswered::Silent = failure
            && self.choice.has_answered_since(place, begun)
        {
            // It works, and this takes it long.
            return;
        }
        let is_news = self.choice.failed(place, now);
        if let (true, Some(backend), 2..) = (is_news, self.backends.get(place), self.backends.len())
        {
            ::log::warn!(
                "backend {} is left alone for {} s: {failure}",
                backend.address(),
                choice::ASIDE_FOR.as_secs()
            );
        }
    }
}
