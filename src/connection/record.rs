//! What is remembered of a request for its line in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Forwarding, Origin, Service, Site};
use crate::gate::registry::{Digest, Route};
use crate::gate::{Grant, Missing};
use crate::http::{Form, Refusal, RequestHead, unparsed};
use crate::log::{self, Access, Audit, Deed, Registry, Verb};
use crate::metrics;
use crate::net::{Peer, bare};

/// One request, for the log.
pub(super) struct Record {
    pub(super) asked: Instant,
    pub(super) origin: Origin,
    /// Whom it is for, if that is known.
    pub(super) site: Option<Arc<Site>>,
    /// What it names as its host, where a site has that.
    host: Option<Box<str>>,
    /// Of an answer of our own.
    pub(super) form: Form,
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) user: Option<Vec<u8>>,
    /// Whether the name is only what the client says.
    pub(super) claimed: bool,
    pub(super) up: u64,
    pub(super) down: u64,
    /// For backends, if one was asked.
    pub(super) wait: Option<Duration>,
    pub(super) request_id: String,
    pub(super) note: Option<String>,
    /// What the backend says that it has sent or taken.
    pub(super) digest: Option<Vec<u8>>,
    /// Whether a backend's answer has reached the client to its end.
    pub(super) is_whole: bool,
    pub(super) peer: Peer,
}

impl Record {
    pub(super) fn begin(
        service: &Service,
        head: &RequestHead,
        peer: Peer,
        by_tls: bool,
        asked: Instant,
    ) -> Record {
        let origin = Origin::of(head, peer.address(), by_tls, &service.trusted);
        let site = service.sites.of(head.host());
        let has_name = site.as_ref().is_some_and(|site| !site.name.is_empty());
        Record {
            host: has_name.then(|| bare(head.host()).into()),
            site,
            form: service.mode.form(head.is_registry()),
            method: head.method().to_owned(),
            target: head.target().to_owned(),
            ..Record::empty(service, origin, peer, asked)
        }
    }

    /// Of a request whose head could not be read.
    pub(super) fn of_unparsed(service: &Service, head: &[u8], peer: Peer) -> Record {
        let client = peer.address();
        let origin = Origin {
            client,
            forwarded_for: String::new(),
            proto: "",
            host: String::new(),
        };
        let unparsed = unparsed(head);
        Record {
            form: service.mode.form(unparsed.registry),
            method: unparsed.method,
            target: unparsed.target,
            ..Record::empty(service, origin, peer, Instant::now())
        }
    }

    fn empty(service: &Service, origin: Origin, peer: Peer, asked: Instant) -> Record {
        Record {
            asked,
            peer,
            origin,
            site: None,
            host: None,
            form: service.mode.form(false),
            method: String::new(),
            target: Vec::new(),
            user: None,
            claimed: false,
            up: 0,
            down: 0,
            wait: None,
            request_id: service.request_ids.make(),
            note: None,
            digest: None,
            is_whole: false,
        }
    }

    /// Where its site forwards it to.
    pub(super) fn forwarding(&self) -> Option<&Forwarding> {
        self.site.as_ref()?.forwarding.as_ref()
    }

    /// Who was let in, or whom the client says to be if nobody told.
    pub(super) fn name(&mut self, grant: &Grant) {
        self.claimed = grant.user().is_none();
        self.user = grant.user().or(grant.claimed()).map(<[u8]>::to_vec);
    }

    /// Says one thing more.
    pub(super) fn add_note(&mut self, more: &str) {
        self.note = Some(match self.note.take() {
            Some(note) => format!("{note}; {more}"),
            None => more.to_owned(),
        });
    }

    pub(super) fn write(&self, status: u16) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.asked);
        let named = self.site.as_ref().filter(|site| !site.name.is_empty());
        let known = self.user.as_deref().filter(|_| !self.claimed);
        metrics::request(
            &metrics::Request {
                method: &self.method,
                status,
                elapsed,
                up: self.up,
                down: self.down,
                user: known,
                site: named.map(|site| &site.counts),
            },
            now,
        );
        let verb = self.verb(status);
        let route = match verb.is_some() || log::is_json() {
            true => self.route(),
            false => None,
        };
        let asked = route.and_then(|(route, query)| {
            let in_query = || query.and_then(Digest::of_query);
            route.digest().or_else(in_query).map(Digest::text)
        });
        let digest = asked.as_deref().or_else(|| self.answered_digest());
        log::access(&Access {
            peer: self.client(),
            user: self.user.as_deref(),
            claimed: self.claimed,
            method: &self.method,
            target: &self.target,
            status,
            up: self.up,
            down: self.down,
            elapsed,
            wait: self.wait,
            request_id: &self.request_id,
            registry: route.and_then(|(route, _)| {
                Some(Registry {
                    action: route.action(&self.method)?.name(),
                    repository: route.repository(),
                    reference: route.tag(),
                    digest,
                })
            }),
            host: self.host.as_deref(),
            note: self.note.as_deref(),
        });
        if let (Some(verb), Some((route, _))) = (verb, route)
            && let Some(repository) = route.repository()
            && is_of_account(&route, verb)
        {
            let deed = Deed {
                verb,
                user: known,
                repository,
                reference: route.tag(),
                digest,
            };
            log::audit(&Audit::Done(deed), self.client(), &self.request_id);
        }
    }

    /// Says that a login was refused, if that is what happened.
    pub(super) fn audit_login(&self, refusal: &Refusal) {
        if let (Refusal::Unauthorized { .. }, Some(claimed)) = (refusal, &self.user) {
            let audit = Audit::LoginRefused(claimed);
            log::audit(&audit, self.client(), &self.request_id);
        }
    }

    /// Says that somebody lacks a right who is known, if that is what happened.
    pub(super) fn audit_missing(&self, missing: Option<&Missing>) {
        if let Some(Missing { right, place }) = missing {
            let user = self.user.as_deref().filter(|_| !self.claimed);
            let audit = Audit::Denied { user, right, place };
            log::audit(&audit, self.client(), &self.request_id);
        }
    }

    /// Who sent it.
    fn client(&self) -> Peer {
        match self.peer {
            // A local peer that named nobody as its client.
            Peer::Unix if self.origin.client == Peer::Unix.address() => Peer::Unix,
            _ => Peer::Address(self.origin.client),
        }
    }

    /// What was completed, if it was a manifest that was asked for, or something that was to be deleted.
    fn verb(&self, status: u16) -> Option<Verb> {
        match (self.method.as_str(), status) {
            _ if !self.is_whole => None,
            ("GET", 200) => Some(Verb::Pulled),
            ("PUT", 201) => Some(Verb::Pushed),
            ("DELETE", 202) => Some(Verb::Deleted),
            _ => None,
        }
    }

    /// Where in a registry it leads, and its query.
    fn route(&self) -> Option<(Route<'_>, Option<&str>)> {
        // What is no text leads nowhere there.
        let target = std::str::from_utf8(&self.target).ok()?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Some((Route::parse(path)?, query))
    }

    fn answered_digest(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.digest.as_deref()?).ok()?;
        // What the backend says is its own text.
        Digest::parse(text).map(|_| text)
    }
}

/// Whether somebody will want to know: what layers an image had is in the access log.
fn is_of_account(route: &Route<'_>, verb: Verb) -> bool {
    match route {
        Route::Manifest(..) => true,
        Route::Blob(..) => verb == Verb::Deleted,
        _ => false,
    }
}
