//! One client's connection: a balancer's header, handshake, request after request, and its end.
//!
//! Owns the order of a connection's life, which [`Connection::run`] tells from top to bottom, and what is remembered between two
//! requests. It never waits: it says with a [`Wait`] what it needs next, and goes on later in the [`State`] that it is in. All that
//! comes from the client is hostile.

mod admission;
mod announced;
mod detached;
mod health;
mod hold;
mod limiter;
mod mode;
mod origin;
mod record;
mod redirect;
mod refused;
mod request;
mod request_id;
mod service;
mod site;
mod state;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use admission::Admission;
pub use announced::Balancers;
pub use detached::Detached;
pub use health::HealthPath;
pub use hold::{Hold, HoldStanding, LONGEST_HOLD, Phase, Term};
pub use limiter::{ConnectionLimiter, Place};
pub use mode::Mode;
pub use origin::Origin;
pub use redirect::{Authorizations, HTTPS, Redirect};
pub use request_id::RequestIds;
pub use service::{Service, Timeouts};
pub use site::{ASKS_FOR_PASSWORD, Checked, Clients, Forwarding, Named, Site, Sites};

use record::Record;
use rustls::pki_types::CertificateDer;
pub use state::Connection;
use state::{News, Next, State};

use crate::gate::Proof;
use crate::http::Unread;
use crate::http::{Input, Refusal, RequestHead};
use crate::net::Peer;
use crate::reactor::{Class, Context, Kind, Notice, Task, Wait};
use crate::relay::Presence;
use crate::stream::{Interest, Progress, Stream, early, in_the_clear};
use crate::tls;

/// Requests of one connection in one step, one behind the other, before others have their turn.
const MOST_ROUNDS: usize = 16;
/// Reads of one step that bring no whole head.
const MOST_READS: usize = 16;
/// Of a client whose certificate was believed once.
const NO_LONGER: &str =
    "the client's certificate, which its session was begun with, counts no more";
/// For a request to arrive whose client had connected before the gate was told to stop: it is on its way.
const REQUEST_AT_THE_END: Duration = Duration::from_secs(2);

impl Connection {
    /// A connection that was just accepted; `is_sent_away` says whether it only learns where to go.
    pub fn new(
        service: Arc<Service>,
        stream: Stream,
        peer: Peer,
        place: Place,
        is_sent_away: bool,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            deadline: now + service.timeouts.header,
            by_tls: stream.is_tls(),
            service,
            input: Input::new(stream),
            peer,
            state: State::Accepted,
            place,
            asked: now,
            is_new: true,
            must_leave: false,
            is_draining: false,
            is_sent_away,
            proof: Proof::None,
            proof_ends: None,
            presence: Presence::Here,
            lent: Vec::new(),
        }
    }

    fn accept(&mut self, cx: &Context<'_>) -> Next {
        if let Err(error) = self.input.stream_mut().report_to(cx.poll, cx.key) {
            ::log::warn!("a connection cannot be watched: {error}");
            return Next::Abort;
        }
        let waker = cx.waker();
        self.place.attach(Box::new(move || waker.evict()));
        Next::On(match self.service.balancers.have(self.peer) {
            true => State::Announcing,
            false => State::Handshake,
        })
    }

    fn shake_hands(&mut self, cx: &Context<'_>) -> Next {
        let is_slow = self.by_tls && self.service.certificates.has_slow_key();
        if is_slow && !cx.may_block(Kind::Handshake) {
            return match self.input.stream().socket().is_ready(Interest::Read) {
                true => Next::Stay(State::Handshake, Wait::Thread(Kind::Handshake)),
                false => self.wait(State::Handshake, cx),
            };
        }
        match self.input.stream_mut().handshake() {
            // An authority has seen what it wanted to see.
            Ok(Progress::Done) if self.input.stream().protocol() == Some(tls::ACME_TLS) => {
                Next::Close
            }
            // The header time-out that began with the connection goes on.
            Ok(Progress::Done) => {
                self.place.shaken();
                let chain = self.input.stream().peer_certificates();
                self.proof = proof(chain);
                let own = chain.and_then(<[_]>::first);
                self.proof_ends = own.and_then(|own| tls::end_of(own));
                // What was checked may have ended since: a session that is resumed is as old as its ticket, and a handshake may
                // be held open.
                if !self.is_proof_believed() {
                    ::log::info!("{}: tls: {NO_LONGER}", self.peer.address());
                    return Next::Close;
                }
                Next::On(State::Head { parsed: 0 })
            }
            Ok(Progress::Waits(_)) => self.wait(State::Handshake, cx),
            Err(error) if in_the_clear(&error) => {
                let said = self.input.stream_mut().turn_clear();
                let record = Record::of_unparsed(&self.service, &said, self.peer);
                self.refuse(Refusal::TlsExpected, None, Unread::Unknown, record, cx)
            }
            Err(error) => {
                self.hang_up(&error);
                Next::Abandon
            }
        }
    }

    /// Says what a client sent that TLS would not have.
    fn hang_up(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData {
            ::log::info!("{}: tls: {}", self.peer.address(), tls::reason(error));
        }
    }

    fn await_request(&mut self, cx: &Context<'_>) -> Next {
        if self.input.buffered().is_empty() {
            match self.fill(State::Idle, cx) {
                Ok(()) => {}
                Err(next) => return next,
            }
        }
        self.place.is_busy();
        self.deadline = cx.now + self.service.timeouts.header;
        Next::On(State::Head { parsed: 0 })
    }

    fn read_head(&mut self, parsed: usize, cx: &Context<'_>) -> Next {
        let here = self.input.buffered();
        // A head that drips in is looked at again when a line has ended or it has doubled, not at
        // every byte.
        let news = here.get(parsed..).unwrap_or_default();
        let mut parsed = parsed;
        if !news.is_empty() && (news.contains(&b'\n') || here.len() >= parsed.saturating_mul(2)) {
            match RequestHead::parse(here) {
                Ok(Some((mut head, length))) => {
                    self.input.consume(length);
                    head.was_sent_to(|| self.input.stream().socket().own_address());
                    self.is_new = false;
                    self.asked = cx.now;
                    return self.look(head, cx);
                }
                Ok(None) => parsed = here.len(),
                Err(refusal) => {
                    let record = Record::of_unparsed(&self.service, here, self.peer);
                    return self.refuse(refusal, None, Unread::Unknown, record, cx);
                }
            }
        }
        match self.fill(State::Head { parsed }, cx) {
            Ok(()) => Next::On(State::Head { parsed }),
            Err(next) => next,
        }
    }

    /// Between two requests from now on.
    fn rest(&mut self, cx: &Context<'_>) -> Next {
        if self.must_leave || self.is_draining {
            return Next::Close;
        }
        self.deadline = cx.now + self.service.timeouts.idle;
        self.place.idles(cx.now);
        Next::On(State::Idle)
    }

    /// Whether the client is gone, while its request waits.
    fn has_left(&mut self, cx: &Context<'_>) -> bool {
        let has_left = self.presence.has_left(self.input.stream_mut(), cx.now);
        self.deadline = self.presence.deadline(self.deadline);
        has_left
    }

    /// Reads once. `Err` where the state does not go on now: nothing came.
    fn fill(&mut self, state: State, cx: &Context<'_>) -> Result<(), Next> {
        // It would only want a buffer.
        if !self.input.stream_mut().may_have_more() {
            return Err(self.wait(state, cx));
        }
        match self.input.fill() {
            Ok(0) => Err(Next::Close),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(self.wait(state, cx)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => {
                self.hang_up(&error);
                Err(Next::Close)
            }
        }
    }

    /// Waits for the client, unless it is too late.
    fn wait(&mut self, state: State, cx: &Context<'_>) -> Next {
        if cx.now >= self.deadline {
            return match state {
                // There is nobody yet to say goodbye to.
                State::Announcing | State::Announced { .. } | State::Handshake => Next::Abandon,
                _ => Next::Close,
            };
        }
        self.input.stream_mut().read_as_needed();
        self.input.release();
        self.place
            .holds(self.input.held() + self.input.stream().held());
        let wait = Wait::unless(self.input.stream_mut().may_have_more());
        Next::Stay(state, wait)
    }

    /// Whether the certificate that the client has shown, if any, counts still at the site that it named.
    fn is_proof_believed(&self) -> bool {
        if self.proof == Proof::None {
            return true;
        }
        let sites = &self.service.sites;
        let site = match self.input.stream().server_name() {
            Some(name) => sites.of(name),
            None => sites.main().cloned(),
        };
        site.is_some_and(|site| self.is_still_proved(&site))
    }

    /// Ends it in good order without waiting for the client.
    fn close(&mut self) {
        self.input.stream_mut().finish();
    }

    /// Whether it is between two requests, so that it can be closed without harm: a client that keeps a connection knows
    /// that it may end, and asks again on another; one whose first request is lost does not.
    fn is_between_requests(&self) -> bool {
        let is_between = match self.state {
            State::Idle => !self.is_new,
            _ => false,
        };
        is_between && !self.input.stream().has_unsent()
    }
}

/// What a client proves by the certificate that it has shown.
fn proof(chain: Option<&[CertificateDer<'static>]>) -> Proof {
    match chain.and_then(<[_]>::first).map(|own| tls::user_of(own)) {
        None => Proof::None,
        Some(Some(user)) => Proof::User(user.into_bytes().into()),
        Some(None) => Proof::Nameless,
    }
}

impl Task for Connection {
    /// The journey.
    fn run(&mut self, cx: &mut Context<'_>) -> Wait {
        let mut rounds = 0;
        let mut reads = 0;
        loop {
            if early::stops() {
                return Wait::Again;
            }
            let sends_itself = matches!(
                self.state,
                State::Relaying(_) | State::Tunnel(_) | State::Lingering(_)
            );
            if !sends_itself && self.input.stream().has_unsent() {
                match self.input.stream_mut().push() {
                    Ok(Progress::Done) => {}
                    // The deadline of what comes next holds for this too.
                    Ok(Progress::Waits(_)) if cx.now < self.deadline => return Wait::Event,
                    Ok(Progress::Waits(_)) | Err(_) => {
                        self.input.stream_mut().abort();
                        return Wait::Done;
                    }
                }
            }
            if !self.lent.is_empty() && !self.input.stream().has_unsent() {
                self.lent.clear();
            }
            let next = match std::mem::replace(&mut self.state, State::Over) {
                State::Accepted => self.accept(cx),
                State::Announcing => self.read_announcement(cx),
                State::Announced { unread } => self.take_announcement(unread, cx),
                State::Handshake => self.shake_hands(cx),
                State::Idle if rounds == MOST_ROUNDS => Next::Stay(State::Idle, Wait::Again),
                State::Idle => {
                    rounds += 1;
                    self.await_request(cx)
                }
                State::Head { parsed } if reads == MOST_READS => {
                    Next::Stay(State::Head { parsed }, Wait::Again)
                }
                State::Head { parsed } => {
                    reads += 1;
                    self.read_head(parsed, cx)
                }
                State::Checking(checking) => self.check(checking, cx),
                State::Queued(admitted, queued) => self.await_turn(admitted, queued, cx),
                State::Relaying(relaying) => self.relay(relaying, cx),
                State::Tunnel(tunnelling) => self.tunnel(tunnelling, cx),
                State::Skipping(skipping) => self.skip(skipping, cx),
                State::Paused(until) => self.pause(until, cx),
                State::Lingering(lingering) => self.linger(lingering, cx),
                State::Over => return Wait::Done,
            };
            match next {
                Next::On(state) => self.state = state,
                Next::Stay(state, wait) => {
                    self.state = state;
                    return wait;
                }
                Next::Close => {
                    self.close();
                    return Wait::Done;
                }
                Next::Abort => {
                    self.input.stream_mut().abort();
                    return Wait::Done;
                }
                Next::Abandon => return Wait::Done,
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn class(&self) -> Class {
        match self.place.is_granted() {
            true => Class::Known,
            false => Class::Stranger,
        }
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        let is_between_requests = self.is_between_requests();
        let is_believed = notice != Notice::Revised || self.is_proof_believed();
        match (notice, &mut self.state) {
            (Notice::Leave, State::Relaying(_) | State::Queued(..) | State::Checking(_)) => {
                match self.place.is_granted() {
                    true => self.place.stays(),
                    false => self.must_leave = true,
                }
            }
            (Notice::Drain, State::Relaying(_) | State::Queued(..) | State::Checking(_)) => {
                self.is_draining = true;
            }
            (Notice::Leave, State::Tunnel(_)) => self.place.stays(),
            (Notice::Hurry | Notice::Drain, State::Tunnel(tunnelling)) => {
                tunnelling.news = News::End;
            }
            (Notice::Revised, State::Tunnel(tunnelling)) if tunnelling.news == News::None => {
                tunnelling.news = News::Rights;
            }
            (Notice::Revised, state) if !is_believed => {
                let is_asking = matches!(state, State::Idle | State::Head { .. });
                self.is_draining = true;
                if is_asking {
                    self.close();
                    self.state = State::Over;
                }
            }
            // Closed over what still comes, the answer would be lost.
            (Notice::Leave | Notice::Drain, State::Skipping(_) | State::Paused(_)) => {
                self.state = self.goodbye(now);
                if let State::Lingering(lingering) = &mut self.state {
                    self.deadline = self.deadline.min(lingering.hurry(now));
                }
            }
            (Notice::Leave, _) => {
                self.close();
                self.state = State::Over;
            }
            (Notice::Drain, _) if is_between_requests => {
                self.close();
                self.state = State::Over;
            }
            (
                Notice::Hurry,
                State::Accepted
                | State::Announcing
                | State::Announced { .. }
                | State::Handshake
                | State::Head { .. },
            ) => {
                self.deadline = self.deadline.min(now + REQUEST_AT_THE_END);
            }
            (Notice::Hurry, State::Lingering(lingering)) => {
                self.deadline = self.deadline.min(lingering.hurry(now));
            }
            (Notice::Hurry | Notice::Drain | Notice::Revised, _) => {}
        }
    }
}
