//! What is remembered of a request for its line in the log.

use std::time::Instant;

use super::{Origin, Service, address_of};
use crate::gate::Grant;
use crate::http::{Form, RequestHead, sketch};
use crate::log::{self, Access, Peer};

/// One request, for the log.
pub(super) struct Record {
    pub(super) asked: Instant,
    pub(super) origin: Origin,
    /// Of an answer of our own.
    pub(super) form: Form,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) user: Option<Vec<u8>>,
    /// Whether the name is only what the client says.
    pub(super) claimed: bool,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) request_id: String,
    pub(super) note: Option<String>,
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
        let origin = Origin::of(head, address_of(peer), by_tls, &service.trusted);
        Record {
            form: service.duty.form(head.is_registry()),
            method: head.method().to_owned(),
            target: head.target().to_owned(),
            ..Record::empty(service, origin, peer, asked)
        }
    }

    /// Of a request whose head could not be read.
    pub(super) fn sketched(service: &Service, head: &[u8], peer: Peer) -> Record {
        let client = address_of(peer);
        let origin = Origin {
            client,
            forwarded_for: String::new(),
            proto: "",
            host: String::new(),
        };
        let sketch = sketch(head);
        Record {
            form: service.duty.form(sketch.registry),
            method: sketch.method,
            target: sketch.target,
            ..Record::empty(service, origin, peer, Instant::now())
        }
    }

    fn empty(service: &Service, origin: Origin, peer: Peer, asked: Instant) -> Record {
        Record {
            asked,
            peer,
            origin,
            form: service.duty.form(false),
            method: String::new(),
            target: String::new(),
            user: None,
            claimed: false,
            up: 0,
            down: 0,
            request_id: service.request_ids.make(),
            note: None,
        }
    }

    /// Who was let in, or whom the client says to be if nobody told.
    pub(super) fn name(&mut self, grant: &Grant) {
        self.claimed = grant.user().is_none();
        self.user = grant.user().or(grant.claimed()).map(<[u8]>::to_vec);
    }

    pub(super) fn write(&self, status: u16) {
        log::access(&Access {
            peer: match self.peer {
                // A local peer that named nobody as its client.
                Peer::Unix if self.origin.client == address_of(Peer::Unix) => Peer::Unix,
                _ => Peer::Address(self.origin.client),
            },
            user: self.user.as_deref(),
            claimed: self.claimed,
            method: &self.method,
            target: &self.target,
            status,
            up: self.up,
            down: self.down,
            elapsed: self.asked.elapsed(),
            request_id: &self.request_id,
            note: self.note.as_deref(),
        });
    }
}
