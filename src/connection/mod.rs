//! One client's connection: handshake, request after request, and its end.
//!
//! Owns the order of a connection's life and what is remembered between two requests. It knows
//! neither the poller nor the workers: it says with a [`Step`] what it needs next. It never waits
//! on a client that has not been let in: until a request is granted every call on the socket
//! returns at once. All that comes from the client is hostile.

mod duty;
mod health;
mod held;
mod origin;
mod record;
mod refused;
mod request_id;
mod seats;
mod service;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub use duty::{ASKS_FOR_PASSWORD, Duty, Forwarding};
pub use health::HealthPath;
pub use held::{Held, Share};
pub use origin::{Origin, address_of, is_trusted};
pub use request_id::RequestIds;
pub use seats::{Seat, Seats};
pub use service::{Service, Timeouts};

use record::Record;

use crate::config::BackendAuthorization;
use crate::gate::{Grant, Visit};
use crate::http::{ForwardedBy, Input, Refusal, RequestHead};
use crate::log::Peer;
use crate::relay::{Awaited, End, Forwarded, Outcome, Request, Then, Unread};
use crate::stream::{Interest, Patience, Progress, Socket, Stream, in_the_clear};
use crate::tls;

/// The status that the log shows for a client that went away before its answer, as nginx does.
const CLIENT_GONE: u16 = 499;

/// Reads of one step, each of no more than rustls takes at once: 18 KiB, which are 800 records if they are of one byte. Then it
/// is others' turn.
const MOST_FILLS: u32 = 4;

/// What a connection needs next.
pub enum Step {
    /// To be called again when its socket can do this.
    Park(Interest),
    /// To be asked whether this request, which has arrived whole, may pass.
    Decide(Box<RequestHead>),
    /// A worker's time for this request, which may pass.
    Serve(Box<Admitted>),
    /// [`Connection::go_on`] when the backend has spoken ([`Connection::awaited`]), when its own socket is torn down, or at
    /// its deadline.
    Await,
    /// To be called again: the next request may be there already.
    Again,
    /// To be left alone until [`Connection::paused_until`], and then to be called again.
    Pause,
    /// To have what still comes read and thrown away.
    Discard,
    /// Its end, in good order.
    Close,
    /// Its end, so that nobody takes what was sent for whole.
    Abort,
}

/// A request that may pass.
pub struct Admitted {
    head: RequestHead,
    grant: Grant,
    record: Record,
}

impl Admitted {
    /// Whether it may pass although nobody has shown credentials.
    pub fn is_anonymous(&self) -> bool {
        !self.grant.had_credentials()
    }
}

/// One client's connection.
pub struct Connection {
    /// Its name towards the poller.
    pub id: u64,
    /// Whether the poller has seen it before.
    pub is_registered: bool,
    input: Input<Stream>,
    peer: Peer,
    by_tls: bool,
    phase: Phase,
    deadline: Instant,
    /// Nothing is read of it before this.
    pause: Option<Instant>,
    /// Reads of this step.
    fills: u32,
    /// When the last head was there whole.
    asked: Instant,
    known: bool,
    /// Whether no request of it has come yet.
    is_new: bool,
    /// Its request that a backend has.
    serving: Option<Box<Serving>>,
    held: Share,
    _seat: Seat,
}

/// A request whose answer is awaited.
struct Serving {
    admitted: Box<Admitted>,
    awaited: Box<Awaited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Between two requests: nothing of the next one is there.
    Idle,
    /// A backend has its request.
    Await,
    /// Part of a head is there; `parsed` bytes of it were looked at.
    Head {
        parsed: usize,
    },
    /// This much of a refused request's body is still to come.
    Skip(u64),
    /// A refused request's chunked body is still to come; it was looked at this many times.
    SkipChunks {
        looks: u32,
    },
    /// It was told no and may still be sending.
    Discard {
        until: Instant,
    },
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        id: u64,
        stream: Stream,
        peer: Peer,
        by_tls: bool,
        seat: Seat,
        held: Share,
        timeouts: &Timeouts,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            id,
            is_registered: false,
            input: Input::new(stream),
            peer,
            by_tls,
            phase: Phase::Handshake,
            deadline: now + timeouts.header,
            pause: None,
            fills: 0,
            asked: now,
            known: false,
            is_new: true,
            serving: None,
            held,
            _seat: seat,
        }
    }

    /// The client's end.
    pub fn stream(&self) -> &Stream {
        self.input.stream()
    }

    /// When it is to be closed if its socket stays silent.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Until when nothing is to be read of it, if so.
    pub fn paused_until(&self) -> Option<Instant> {
        self.pause
    }

    /// Whether its next step may take as long as a dozen requests: the cryptography of a handshake.
    pub fn shakes_hands(&self) -> bool {
        self.by_tls && self.phase == Phase::Handshake
    }

    /// Whether it is between two requests.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it is between two requests, so that it can be closed without harm: a client that keeps a connection knows
    /// that it may end, and asks again on another; one whose first request is lost does not.
    pub fn awaits_request(&self) -> bool {
        let is_between = match self.phase {
            Phase::Idle => !self.is_new,
            // Where a body is skipped, its request was answered.
            Phase::Skip(_) | Phase::SkipChunks { .. } => true,
            Phase::Handshake | Phase::Head { .. } | Phase::Await | Phase::Discard { .. } => false,
        };
        is_between && !self.stream().has_unsent()
    }

    /// Finds out what it holds of a request or a handshake that is not whole, and says how many bytes of memory that is.
    pub fn weigh(&mut self) -> usize {
        let size = self.input.held() + self.stream().held();
        self.held.set(size);
        size
    }

    /// Counts as holding nothing, because it is about to end.
    pub fn give_up_share(&mut self) {
        self.held.set(0);
    }

    /// Whether it is only being read to its end.
    pub fn is_discarding(&self) -> bool {
        matches!(self.phase, Phase::Discard { .. })
    }

    /// Whether a request of it was ever let in.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Goes on as far as it can without waiting.
    pub fn advance(&mut self, service: &Service) -> Step {
        self.pause = None;
        self.fills = 0;
        self.input.stream_mut().patience = Patience::None;
        loop {
            match self.input.stream_mut().push() {
                Ok(Progress::Done) => {}
                // The deadline of what comes next holds for this too.
                Ok(Progress::Waits(interest)) => return self.park(interest),
                Err(_) => return Step::Close,
            }
            let step = match self.phase {
                Phase::Handshake => self.shake_hands(service),
                Phase::Idle => self.await_head(service),
                Phase::Head { parsed } => self.read_head(parsed, service),
                Phase::Skip(left) => self.skip(left, service),
                Phase::SkipChunks { looks } => self.skip_chunks(looks, service),
                Phase::Await => Some(Step::Await),
                Phase::Discard { .. } => Some(Step::Discard),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Asks whether a request may pass, for which it may wait, though never for the client. A no is said.
    pub fn decide(&mut self, head: RequestHead, service: &Service) -> Step {
        let mut record = self.record(&head, service);
        if let Some(health) = service.health.as_ref().filter(|path| path.is_asked(&head)) {
            return self.tell_health(health, &head, record, service);
        }
        let visit = Visit {
            client: record.origin.client,
            forwarded_for: &record.origin.forwarded_for,
            proto: record.origin.proto,
            host: &record.origin.host,
            request_id: &record.request_id,
        };
        match service.gatekeeper.admit(&head, &visit) {
            Ok(grant) => {
                self.known |= grant.had_credentials();
                match &service.duty {
                    Duty::Forward(_) => Step::Serve(Box::new(Admitted {
                        head,
                        grant,
                        record,
                    })),
                    Duty::Confirm => self.confirm(&head, &grant, record, service),
                }
            }
            Err(denial) => {
                (record.user, record.claimed) = (denial.claimed, true);
                record.note = denial.note;
                record.audit_login(&denial.refusal);
                let mut refusal = denial.refusal;
                if service.duty.conceals(&refusal) {
                    record.note = Some(refusal.message().to_owned());
                    refusal = service.gatekeeper.unauthorized();
                }
                self.refuse(refusal, Some(&head), Unread::whole(&head), record, service)
            }
        }
    }

    /// Serves one request, waiting on either side as long as they move, but not for a backend that has yet to answer.
    pub fn serve(&mut self, admitted: Box<Admitted>, service: &Service) -> Step {
        self.forward(admitted, None, service)
    }

    /// Goes on with a request whose answer was awaited.
    pub fn go_on(&mut self, service: &Service) -> Step {
        match self.serving.take() {
            Some(serving) => self.forward(serving.admitted, Some(serving.awaited), service),
            None => Step::Again,
        }
    }

    /// Answers a request whose backend cannot be watched.
    pub fn give_up(&mut self, service: &Service) -> Step {
        match self.serving.take() {
            Some(serving) => self.turn_away(*serving.admitted, service),
            None => Step::Close,
        }
    }

    /// Where the answer to its request comes from, if one is awaited, and whether the poller has seen that socket before;
    /// from now on it has.
    pub fn awaited(&mut self) -> Option<(Socket, bool)> {
        self.serving.as_mut().map(|it| it.awaited.register())
    }

    /// Whether a backend has its request.
    pub fn is_served(&self) -> bool {
        self.serving.is_some()
    }

    /// Whether a backend has its request; if so, whether that was let in without credentials.
    pub fn is_served_anonymously(&self) -> Option<bool> {
        self.serving.as_ref().map(|it| it.admitted.is_anonymous())
    }

    /// Answers a request that may pass and for which no worker was free in time.
    pub fn turn_away(&mut self, admitted: Admitted, service: &Service) -> Step {
        let Admitted {
            head,
            grant,
            mut record,
        } = admitted;
        record.name(&grant);
        let refusal = Refusal::Overloaded { retry_after: 1 };
        self.refuse(refusal, Some(&head), Unread::whole(&head), record, service)
    }

    /// Ends it in good order without waiting for the client.
    pub fn close(mut self) {
        if !self.is_discarding() && self.phase != Phase::Handshake {
            self.input.stream_mut().finish();
        }
    }

    /// Ends it without a clean end.
    pub fn abort(mut self) {
        self.input.stream_mut().abort();
    }

    fn shake_hands(&mut self, service: &Service) -> Option<Step> {
        match self.input.stream_mut().handshake() {
            Ok(Progress::Done) => {
                // The header time-out that began with the connection goes on.
                self.phase = Phase::Head { parsed: 0 };
                None
            }
            Ok(Progress::Waits(interest)) => Some(self.park(interest)),
            Err(error) if in_the_clear(&error) => {
                let said = self.input.stream_mut().turn_clear();
                let refusal = Refusal::TlsExpected;
                let mut record = Record::sketched(service, &said, self.peer);
                record.note = Some(refusal.message().to_owned());
                Some(self.refuse(refusal, None, Unread::Unknown, record, service))
            }
            Err(error) => Some(self.hang_up(&error)),
        }
    }

    /// Ends it for what the client sent, and says what that was if TLS would not have it.
    fn hang_up(&self, error: &io::Error) -> Step {
        if error.kind() == io::ErrorKind::InvalidData {
            ::log::info!("{}: tls: {}", address_of(self.peer), tls::reason(error));
        }
        Step::Close
    }

    fn await_head(&mut self, service: &Service) -> Option<Step> {
        if self.input.buffered().is_empty()
            && let Some(step) = self.fill()
        {
            return Some(step);
        }
        self.deadline = Instant::now() + service.patience.header;
        self.phase = Phase::Head { parsed: 0 };
        None
    }

    fn read_head(&mut self, parsed: usize, service: &Service) -> Option<Step> {
        let here = self.input.buffered();
        // A head that drips in is looked at again when a line has ended or it has doubled, not at
        // every byte.
        let news = here.get(parsed..).unwrap_or_default();
        if !news.is_empty() && (news.contains(&b'\n') || here.len() >= parsed.saturating_mul(2)) {
            match RequestHead::parse(here) {
                Ok(Some((mut head, length))) => {
                    self.input.consume(length);
                    head.was_sent_to(|| self.stream().socket().own_address());
                    self.phase = Phase::Idle;
                    self.is_new = false;
                    self.asked = Instant::now();
                    return Some(Step::Decide(Box::new(head)));
                }
                Ok(None) => self.phase = Phase::Head { parsed: here.len() },
                Err(refusal) => {
                    let record = Record::sketched(service, here, self.peer);
                    return Some(self.refuse(refusal, None, Unread::Unknown, record, service));
                }
            }
        }
        self.fill()
    }

    /// Reads once without waiting. `None` when something came.
    fn fill(&mut self) -> Option<Step> {
        // The kernel tells of what is still there.
        if self.fills == MOST_FILLS && !self.input.stream_mut().holds_bytes() {
            return Some(self.park(Interest::Read));
        }
        self.fills = MOST_FILLS.min(self.fills + 1);
        match self.input.fill() {
            Ok(0) => Some(Step::Close),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Some(self.park(Interest::Read))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(self.hang_up(&error)),
        }
    }

    /// Leaves it until its socket can do that. A client that always has something to say is never found waiting at its
    /// deadline, and so that is looked at here.
    fn park(&mut self, interest: Interest) -> Step {
        if Instant::now() >= self.deadline {
            return Step::Close;
        }
        self.input.stream_mut().read_as_needed();
        self.input.release();
        Step::Park(interest)
    }

    /// Between two requests from now on.
    fn rest(&mut self, service: &Service) {
        self.phase = Phase::Idle;
        self.deadline = Instant::now() + service.patience.idle;
    }

    fn record(&self, head: &RequestHead, service: &Service) -> Record {
        Record::begin(service, head, self.peer, self.by_tls, self.asked)
    }

    fn forward(
        &mut self,
        admitted: Box<Admitted>,
        awaited: Option<Box<Awaited>>,
        service: &Service,
    ) -> Step {
        let Admitted {
            head,
            grant,
            record,
        } = &*admitted;
        let to = match &service.duty {
            Duty::Forward(to) => to,
            // Those requests were answered when they were decided on.
            Duty::Confirm => return Step::Close,
        };
        let authorization = match to.authorization {
            BackendAuthorization::Drop => None,
            BackendAuthorization::User => grant.basic_without_password(),
            BackendAuthorization::Pass => head.values("authorization").next().map(<[u8]>::to_vec),
        };
        let client = record.origin.client.to_string();
        let request = Request {
            head,
            forwarded: ForwardedBy {
                for_: &record.origin.forwarded_for,
                proto: record.origin.proto,
                host: &record.origin.host,
                real_ip: &client,
                request_id: &record.request_id,
                remote_user: grant.header_safe_user(),
                authorization: authorization.as_deref(),
            },
            by_tls: self.by_tls,
            may_keep: !service.draining.load(Ordering::Relaxed),
        };
        let forwarded = to.relay.forward(grant, &request, &mut self.input, awaited);
        self.input.stream_mut().patience = Patience::None;
        match forwarded {
            Forwarded::Done(outcome) => self.settle(*admitted, outcome, service),
            Forwarded::Awaited(awaited) => {
                self.phase = Phase::Await;
                self.deadline = awaited.until();
                self.serving = Some(Box::new(Serving { admitted, awaited }));
                Step::Await
            }
        }
    }

    fn settle(&mut self, admitted: Admitted, outcome: Outcome, service: &Service) -> Step {
        let Admitted {
            head,
            grant,
            mut record,
        } = admitted;
        (record.up, record.down, record.note) = (outcome.up, outcome.down, outcome.note);
        record.digest = outcome.digest;
        if outcome.asks_for_password
            && let Duty::Forward(to) = &service.duty
            && let Some(remedy) = to.on_password_asked()
        {
            record.add_note(remedy);
        }
        record.is_whole = matches!(outcome.end, End::Answered(_, Then::Keep | Then::Close));
        record.name(&grant);
        let (status, step) = match outcome.end {
            End::Refused(refusal, unread) => {
                return self.refuse(refusal, Some(&head), unread, record, service);
            }
            End::ClientGone => (CLIENT_GONE, Step::Abort),
            End::Answered(status, Then::Keep) => {
                self.rest(service);
                let has_more = !self.input.buffered().is_empty()
                    || self.input.stream_mut().holds_bytes()
                    || self.input.stream().has_unsent();
                (
                    status,
                    if has_more {
                        Step::Again
                    } else {
                        self.park(Interest::Read)
                    },
                )
            }
            End::Answered(status, Then::Close) => (status, Step::Discard),
            End::Answered(status, Then::Abort) => (status, Step::Abort),
        };
        record.write(status);
        step
    }
}
