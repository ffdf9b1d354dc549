//! What a connection is, where it is in its life, and what it keeps there.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::admission::{self, Queued};
use super::detached;
use super::hold;
use super::limiter::Place;
use super::record::Record;
use super::service::Service;
use crate::gate::{Grant, Inquiry, Proof};
use crate::http::{Input, RequestHead};
use crate::net::Peer;
use crate::reactor::Wait;
use crate::relay::{Exchange, Presence, Room, Tunnel};
use crate::stream::Stream;

/// One client's connection.
pub struct Connection {
    pub(super) service: Arc<Service>,
    pub(super) input: Input<Stream>,
    pub(super) peer: Peer,
    pub(super) by_tls: bool,
    pub(super) state: State,
    pub(super) deadline: Instant,
    pub(super) place: Place,
    /// When the last head was there whole.
    pub(super) asked: Instant,
    /// Whether no request of it has come yet.
    pub(super) is_new: bool,
    /// Whether it has to make room once the request that it has now is refused.
    pub(super) must_leave: bool,
    /// Whether it has to end once the request that it has now is over.
    pub(super) is_draining: bool,
    /// What its client has proved by a certificate.
    pub(super) proof: Proof,
    /// When that certificate ends.
    pub(super) proof_ends: Option<SystemTime>,
    /// Whether its clients only learn where to go.
    pub(super) is_sent_away: bool,
    /// Whether the client is still there, while a request is waited for.
    pub(super) presence: Presence,
    /// What an answer takes of the memory of all, until it has been sent.
    pub(super) lent: Vec<Room>,
}

/// Where a connection is in its life.
pub(super) enum State {
    /// It was just accepted.
    Accepted,
    /// It has to begin with a PROXY header, which is not there whole.
    Announcing,
    /// That has said whose it is, and so many bytes of it are to be taken.
    Announced {
        unread: usize,
    },
    Handshake,
    /// Between two requests: nothing of the next one is there.
    Idle,
    /// Part of a head is there; `parsed` bytes of it were looked at.
    Head {
        parsed: usize,
    },
    /// Whether its request may pass is to be found out, for which a thread has to wait.
    Checking(Box<Checking>),
    /// Its request may pass, and waits for its turn.
    Queued(Box<Admitted>, Queued),
    /// Its request is on its way to a backend, or the answer on its way back.
    Relaying(Box<Relaying>),
    /// Its request has led to another protocol, and bytes go both ways.
    Tunnel(Box<Tunnelling>),
    /// What is left of a refused request's body is read, so that the next request can come.
    Skipping(Skipping),
    /// It is left alone until then.
    Paused(Instant),
    /// It was told no and may still be sending.
    Lingering(Lingering),
    Over,
}

/// What one state comes to.
pub(super) enum Next {
    /// The connection is in this state now, and goes on.
    On(State),
    /// It goes on in this state when that has come.
    Stay(State, Wait),
    /// It ends in good order.
    Close,
    /// It ends so that nobody takes what was sent for whole.
    Abort,
    /// It ends: all was said.
    Abandon,
}

/// A request whose head is there whole.
pub(super) struct Checking {
    pub(super) head: RequestHead,
    pub(super) record: Record,
    pub(super) question: Question,
}

/// What has to be found out before it can be answered.
pub(super) enum Question {
    /// Whether it may pass.
    Pass(Inquiry),
    /// Whether the gate is ready.
    Health,
}

/// A request that may pass.
pub(super) struct Admitted {
    pub(super) head: RequestHead,
    pub(super) grant: Grant,
    pub(super) record: Record,
    pub(super) turn: Option<admission::Turn>,
    /// That it may become a tunnel, if it wants that.
    pub(super) place: Option<admission::Turn>,
    /// That it may write, if it does.
    pub(super) write: Option<hold::Permit>,
}

/// A request that is being relayed.
pub(super) struct Relaying {
    pub(super) admitted: Admitted,
    pub(super) exchange: Exchange,
    /// It goes on without its client.
    pub(super) detached: Option<detached::Permit>,
}

/// A connection that has switched to another protocol.
pub(super) struct Tunnelling {
    pub(super) head: RequestHead,
    pub(super) grant: Grant,
    pub(super) record: Record,
    pub(super) tunnel: Box<Tunnel>,
    /// That it may be one.
    pub(super) _place: Option<admission::Turn>,
    /// What may have changed since it was looked at last.
    pub(super) news: News,
}

/// What a tunnel has to take note of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// Users, rights or sites.
    Rights,
    /// It has to end.
    End,
}

impl State {
    pub(super) fn checking(head: RequestHead, record: Record, question: Question) -> State {
        State::Checking(Box::new(Checking {
            head,
            record,
            question,
        }))
    }
}

/// What a client that lingers has left once the gate is to end.
const LINGER_AT_THE_END: Duration = Duration::from_secs(1);

/// What is left of a refused request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipping {
    /// This much.
    Bytes(u64),
    /// Chunks, which were looked at this many times.
    Chunks { looks: u32 },
}

/// A client that was told no and may still be sending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lingering {
    pub(super) until: Instant,
    /// It was told that nothing more comes.
    pub(super) is_told: bool,
}

impl Lingering {
    /// Leaves it little time; when it has to be gone.
    pub(super) fn hurry(&mut self, now: Instant) -> Instant {
        self.until = self.until.min(now + LINGER_AT_THE_END);
        self.until
    }
}
