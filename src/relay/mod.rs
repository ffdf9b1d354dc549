//! One granted request to a backend, and its answer back.
//!
//! Owns the order of things on the wire between the two sides: which backend is asked, when the
//! client is told to go on, when an upload stops, what of an answer is passed on and how it may
//! end. It knows nothing of users: the [`Grant`] says that somebody has decided. Both sides are
//! hostile: what is cut short on one never looks whole on the other.

mod answer;
mod backend;
mod bulk;
mod choice;
mod exchange;
mod failover;
mod probe;
mod sessions;
mod transfer;
mod upload;

use std::time::Duration;

pub use backend::Backend;
use choice::Choice;
pub use failover::Awaited;
use sessions::Sessions;
use transfer::Budget;

use crate::config;
use crate::gate::Grant;
use crate::http::location::{Origin, Outside, rewrite};
use crate::http::{ForwardedBy, Framing, Input, Refusal, RequestHead, ResponseHead, Scheme};
use crate::metrics::BackendStanding;
use crate::stream::Stream;

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

/// One request as it is to be forwarded.
pub struct Request<'a> {
    /// The client's head.
    pub head: &'a RequestHead,
    /// What is set anew on the way in.
    pub forwarded: ForwardedBy<'a>,
    /// Whether the client reached us by TLS; then a `Location` can name our own origin.
    pub by_tls: bool,
    /// Whether the connection may serve another request after this one.
    pub may_keep: bool,
}

/// What came of forwarding.
pub enum Forwarded {
    /// All is done.
    Done(Outcome),
    /// A backend has the request, and nobody need wait here for its answer: [`Relay::forward`] goes on when its socket turns
    /// readable, when the client's is torn down, or at [`Awaited::until`].
    Awaited(Box<Awaited>),
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

/// One request on its way to one backend.
#[derive(Clone, Copy)]
struct Errand<'a> {
    relay: &'a Relay,
    backend: &'a Backend,
    request: &'a Request<'a>,
}

impl Errand<'_> {
    /// Where a `Location` of the answer leads for the client, if it is to be rewritten.
    fn location(&self, head: &ResponseHead) -> Option<Vec<u8>> {
        let value = head.values("location").next()?;
        let scheme = self.request.by_tls.then_some(Scheme::Https);
        let own = Outside {
            scheme,
            host: self.request.head.host(),
        };
        let bare;
        let backend = match self.backend.address() {
            config::Backend::Unix(_) => None,
            config::Backend::Http(place) | config::Backend::Https(place) => {
                bare = place.host.to_string();
                let tls = matches!(self.backend.address(), config::Backend::Https(_));
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
}

/// Whether a backend connection may carry another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    Yes,
    No,
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

    /// Forwards a request that was granted, and passes the answer on; or goes on with that, where an answer was `awaited`.
    pub fn forward(
        &self,
        _grant: &Grant,
        request: &Request<'_>,
        client: &mut Input<Stream>,
        awaited: Option<Box<Awaited>>,
    ) -> Forwarded {
        failover::carry(self, request, client, awaited)
    }

    /// Whether a backend accepts connections; the error says which one did not, and why.
    pub fn reachable(&self) -> Result<(), String> {
        let mut reasons = Vec::new();
        // Who asks this seldom has the patience to see one time out that was down before.
        let mut backends: Vec<_> = self.backends.iter().collect();
        backends.sort_by_key(|backend| backend.health().state());
        for backend in backends {
            // A new connection: kept ones say nothing of a backend that accepts no more, and asking
            // them would make them look young.
            match backend.dial() {
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

    /// Gives up backend connections that have been idle for long.
    pub fn prune(&self) {
        self.backends.iter().for_each(Backend::prune);
    }
}
