//! The backends, and what all requests to them share.

use std::time::{Duration, Instant};

use super::backend::Backend;
use super::choice::{self, Choice};
use super::content::Contents;
use super::response::Unanswered;
use super::sessions::{Sessions, Step};
use super::tags::Tags;
use super::transfer::Budget;
use crate::config;
use crate::http::location::{Origin, Outside, rewrite};
use crate::http::{RequestHead, ResponseHead, Scheme};
use crate::metrics::BackendStanding;

/// What all relays of a process share: the memory that transfers and whole contents take, and the tags that are being stored.
#[derive(Clone, Debug)]
pub struct Memory {
    budget: Budget,
    contents: Contents,
    /// By repository and tag alone: two hosts may stand before one registry.
    tags: Tags,
}

impl Default for Memory {
    fn default() -> Memory {
        let budget = Budget::default();
        Memory {
            contents: Contents::new(budget.clone()),
            budget,
            tags: Tags::default(),
        }
    }
}

impl Memory {
    /// What transfers hold in large buffers and pipes, in bytes.
    pub fn buffered(&self) -> usize {
        self.budget.used()
    }
}

/// The backends and what all transfers share.
#[derive(Debug)]
pub struct Relay {
    pub(super) backends: Vec<Backend>,
    pub(super) choice: Choice,
    pub(super) sessions: Sessions,
    pub(super) tags: Tags,
    pub(super) budget: Budget,
    pub(super) contents: Contents,
    pub(super) response_timeout: Duration,
    pub(super) body_timeout: Duration,
    /// Scheme and authority by which clients reach the gate, where that was set.
    external: Option<(String, String)>,
}

impl Relay {
    /// `response_timeout` is how long a backend may be silent before its answer, `body_timeout`
    /// how long either side may be silent within a body.
    pub fn new(
        backends: Vec<Backend>,
        response_timeout: Duration,
        body_timeout: Duration,
        memory: &Memory,
    ) -> Relay {
        let Memory {
            budget,
            contents,
            tags,
        } = memory.clone();
        Relay {
            choice: Choice::new(backends.len()),
            sessions: Sessions::default(),
            tags,
            backends,
            contents,
            budget,
            response_timeout,
            body_timeout,
            external: None,
        }
    }

    /// By which scheme and authority clients reach the gate, where that is not what they ask for.
    pub fn reached_at(self, external: Option<(String, String)>) -> Relay {
        Relay { external, ..self }
    }

    /// Where a `Location` of an answer leads for the client, if it is to be rewritten.
    pub(super) fn location(
        &self,
        place: usize,
        by_tls: bool,
        host: &str,
        head: &ResponseHead,
    ) -> Option<Vec<u8>> {
        let value = head.values("location").next()?;
        let scheme = by_tls.then_some(Scheme::Https);
        let external = self.external.as_ref();
        let own = Outside {
            scheme,
            host,
            external: external.map(|(scheme, host)| (scheme.as_str(), host.as_str())),
        };
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

    /// How many backends there are.
    pub fn places(&self) -> usize {
        self.backends.len()
    }

    /// Which backends ask for a password, by their places. Nothing is said of one that does not answer. Blocks.
    pub fn asking_for_password(&self) -> Vec<usize> {
        let asks = |backend: &Backend| backend.asks_for_password().is_ok_and(|asks| asks);
        let places = self.backends.iter().enumerate();
        places
            .filter(|(_, backend)| asks(backend))
            .map(|(place, _)| place)
            .collect()
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

impl Relay {
    /// The backend that opened the upload session that a request belongs to.
    pub(super) fn bound(&self, head: &RequestHead) -> Option<usize> {
        match self.backends.len() {
            0 | 1 => None,
            // A path that is no text belongs to no session.
            _ => self
                .sessions
                .backend_of(std::str::from_utf8(head.path()).ok()?, Instant::now()),
        }
    }

    /// Notes what an answer says of an upload session, before the client can act on it.
    pub(super) fn follow(&self, head: &RequestHead, answer: &ResponseHead, place: usize) {
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

    pub(super) fn put_aside(
        &self,
        place: usize,
        failure: &Unanswered,
        begun: Instant,
        now: Instant,
    ) {
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
