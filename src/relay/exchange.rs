//! One request over the backends, until its answer has been passed on or there is none.
//!
//! Owns the order: choose a backend, connect, send the request and its body, await the answer, pass it on; and which failure lets
//! a request go on to the next backend. Half duplex: while the body goes up the backend is watched for an answer that comes early,
//! and a final one stops the upload. Nothing of a final answer has reached the client before it is decided that it is the one.
//! Every stage waits by returning, and is gone on with where it was.

use std::fmt;
use std::io::Write;
use std::mem;
use std::time::{Duration, Instant};

use super::backend::{Backend, Link, Repeat};
use super::choice::Tried;
use super::context::Relay;
use super::create::{self, Create, Held, Stopped};
use super::deliver::{Answer, Delivery};
use super::dial::{Dial, Dialled};
use super::listing::{self, Listing};
use super::outcome::{CLIENT_WENT_AWAY, End, Outcome};
use super::presence::Presence;
use super::response::{Heard, ResponseReader, Unanswered, may_do_better};
use super::sides::{Account, Asked, Outgoing, Sides, Terms};
use super::tunnel::Tunnel;
use super::upload::{Upload, Uploaded};
use super::waited::Waited;
use crate::gate::{Grant, Task};
use crate::http::{
    CONTINUE, Framing, Input, Refusal, RequestHead, ResponseHead, Unread, Version, append_body,
    write_switch_head,
};
use crate::reactor::{Context, Wait};
use crate::stream::{Stream, early};

/// The status of a backend that goes on with another protocol (RFC 9110, 15.2.2).
const SWITCHING_PROTOCOLS: u16 = 101;

/// How long a backend may be silent before a request that can go on to another one does: some clients give up after 30 s.
const SILENCE: Duration = Duration::from_secs(10);

/// One granted request on its way.
#[derive(Debug)]
pub struct Exchange {
    /// The head for a backend.
    outgoing: Vec<u8>,
    repeat: Repeat,
    /// What else is fixed from the beginning.
    pub terms: Terms,
    tried: Tried,
    /// What went wrong on the way.
    failures: Vec<String>,
    /// Said if nobody is left: the last answer there was, and whose.
    second_best: Option<(usize, Box<Answer>)>,
    /// What is said if there is none.
    refusal: (Refusal, Unread),
    stage: Stage,
    deadline: Instant,
    client: Presence,
    account: Account,
    waited: Waited,
    asks_for_password: bool,
    /// Of a manifest that was read before it is sent: its body is behind the head, and this is kept until the end.
    held: Option<Held>,
}

/// Where an exchange is.
#[derive(Debug)]
enum Stage {
    Listing(Box<Listing>),
    Creating(Box<Create>),
    Choosing,
    Connecting(Attempt, Dial),
    Uploading(Attempt, Box<Asked>, Upload),
    Awaiting(Attempt, Box<Asked>, Sent),
    Delivering(usize, Box<Answer>, Delivery),
    Over,
}

/// How much of the request a backend was given, and until when it may be silent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    uploaded: Uploaded,
    unread: Unread,
    until: Instant,
}

/// One backend that is asked.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    place: usize,
    begun: Instant,
    /// How long it may be silent.
    silence: Duration,
}

/// What an exchange needs next.
pub enum Turn {
    /// To go on later.
    Wait(Wait),
    /// The client is gone, and a backend has its whole request: [`Exchange::detach`], or drop it.
    Abandoned,
    /// Nothing: it is over.
    Done(Outcome),
}

/// What one stage comes to.
enum Next {
    On(Stage),
    Stay(Stage, Wait),
    Abandoned(Stage),
    Over(End),
}

impl Exchange {
    pub(super) fn new(
        relay: &Relay,
        grant: &Grant,
        head: &RequestHead,
        outgoing: Outgoing,
        terms: Terms,
        now: Instant,
    ) -> Exchange {
        let Outgoing {
            head: outgoing,
            own_fields,
        } = outgoing;
        let user = || grant.account().unwrap_or_default();
        let mut waited = Waited::default();
        let stage = match grant.task() {
            Task::Relay | Task::Preflight => Stage::Choosing,
            // It asks nothing of a backend.
            Task::Token(_) => Stage::Over,
            Task::List(page, _) => {
                waited.begin(now);
                Stage::Listing(Box::new(Listing::new(page, user(), own_fields)))
            }
            Task::Create { repository, tags } => {
                let create = Create::new(repository, tags, user(), own_fields, now);
                Stage::Creating(Box::new(create))
            }
        };
        Exchange {
            outgoing,
            repeat: Repeat::of(head),
            terms,
            tried: relay.choice.round(relay.bound(head)).leave(),
            failures: Vec::new(),
            second_best: None,
            refusal: (Refusal::BackendUnreachable, Unread::whole(head)),
            stage,
            deadline: now,
            client: Presence::Here,
            account: Account::default(),
            waited,
            asks_for_password: false,
            held: None,
        }
    }

    /// When it is to be gone on with although nothing has happened.
    pub fn deadline(&self) -> Instant {
        self.client.deadline(self.deadline)
    }

    /// How long it has waited for backends, if one was asked.
    pub fn waited(&self, now: Instant) -> Option<Duration> {
        self.waited.total(now)
    }

    /// Goes on without its client.
    pub fn detach(&mut self) {
        self.client = Presence::Detached;
        self.failures.push(CLIENT_WENT_AWAY.to_owned());
    }

    /// Gives it up, unless a backend has all of the request or will have it without its client; how much of that is still with
    /// the client.
    pub fn give_up(&mut self, client: &mut Input<Stream>) -> Option<Unread> {
        match &mut self.stage {
            Stage::Uploading(.., upload) if !upload.has_arrived() => Some(upload.leave(client)),
            Stage::Creating(create) if !create.has_arrived() => Some(Unread::Unknown),
            _ => None,
        }
    }

    /// Goes on as far as it can without waiting.
    pub fn run(
        &mut self,
        relay: &Relay,
        grant: &Grant,
        head: &RequestHead,
        client: &mut Input<Stream>,
        cx: &mut Context<'_>,
    ) -> Turn {
        let mut sides = Sides {
            relay,
            head,
            grant,
            client,
            cx,
        };
        loop {
            if early::stops() {
                return Turn::Wait(Wait::Again);
            }
            let next = match mem::replace(&mut self.stage, Stage::Over) {
                Stage::Listing(listing) => self.list(listing, &mut sides),
                Stage::Creating(create) => self.create(create, &mut sides),
                Stage::Choosing => self.choose(&mut sides),
                Stage::Connecting(attempt, dial) => self.connect(attempt, dial, &mut sides),
                Stage::Uploading(attempt, asked, upload) => {
                    self.upload(attempt, asked, upload, &mut sides)
                }
                Stage::Awaiting(attempt, asked, sent) => {
                    self.await_answer(attempt, asked, sent, &mut sides)
                }
                Stage::Delivering(place, answer, delivery) => {
                    self.deliver(place, answer, delivery, &mut sides)
                }
                Stage::Over => Next::Over(End::ClientGone),
            };
            match next {
                Next::On(stage) => self.stage = stage,
                Next::Stay(stage, wait) => {
                    self.stage = stage;
                    return Turn::Wait(wait);
                }
                Next::Abandoned(stage) => {
                    self.stage = stage;
                    return Turn::Abandoned;
                }
                Next::Over(end) => return Turn::Done(self.outcome(end, sides.cx.now)),
            }
        }
    }

    fn outcome(&mut self, end: End, now: Instant) -> Outcome {
        let mut notes = mem::take(&mut self.failures);
        notes.extend(self.account.note.take());
        Outcome {
            end,
            up: self.account.up,
            down: self.account.down,
            wait: self.waited(now),
            note: Some(notes.join("; ")).filter(|note| !note.is_empty()),
            digest: self.account.digest.take(),
            asks_for_password: self.asks_for_password,
        }
    }

    /// A catalogue, as far as the client may see it.
    fn list(&mut self, mut listing: Box<Listing>, sides: &mut Sides<'_, '_>) -> Next {
        let Task::List(_, viewer) = sides.grant.task() else {
            return Next::On(Stage::Choosing);
        };
        if self.has_left(sides) {
            return self.client_gone(CLIENT_WENT_AWAY);
        }
        match listing.run(viewer, sides.relay, sides.cx) {
            listing::Turn::Wait(wait) => {
                self.deadline = listing.deadline(sides.cx.now);
                Next::Stay(Stage::Listing(listing), wait)
            }
            listing::Turn::Done(Ok(listed)) => Next::Over(End::Listed(listed)),
            listing::Turn::Done(Err(failed)) => {
                self.account.note = Some(failed.note);
                self.asks_for_password = matches!(failed.refusal, Refusal::Unauthorized { .. });
                let unread = Unread::whole(sides.head);
                Next::Over(End::Refused(failed.refusal, unread))
            }
        }
    }

    /// A manifest that must move no tag: read and compared first, and then sent as one piece.
    fn create(&mut self, mut create: Box<Create>, sides: &mut Sides<'_, '_>) -> Next {
        match create.has_arrived() {
            true if self.has_left(sides) => return Next::Abandoned(Stage::Creating(create)),
            false if self.client.is_torn(sides.client.stream()) => {
                return self.client_gone(CLIENT_WENT_AWAY);
            }
            _ => {}
        }
        match create.run(sides) {
            create::Turn::Wait(wait) => {
                if create.has_arrived() {
                    self.waited.go_on(sides.cx.now);
                }
                self.deadline = create.deadline();
                Next::Stay(Stage::Creating(create), wait)
            }
            create::Turn::Done(Ok(created)) => {
                append_body(&mut self.outgoing, &created.body);
                self.account.up = created.body.len() as u64;
                self.refusal.1 = Unread::Exactly(0);
                self.held = Some(created.held);
                Next::On(Stage::Choosing)
            }
            create::Turn::Done(Err(Stopped::ClientGone(note))) => self.client_gone(note),
            create::Turn::Done(Err(Stopped::Refused(refusal, unread, note))) => {
                self.account.note = note;
                Next::Over(End::Refused(refusal, unread))
            }
        }
    }

    /// What of the request's body is still with the client before anything was sent.
    fn unread(&self, head: &RequestHead) -> Unread {
        match self.held {
            Some(_) => Unread::Exactly(0),
            None => Unread::whole(head),
        }
    }

    /// The next backend to ask, if there is one; else the best answer there was.
    fn choose(&mut self, sides: &mut Sides<'_, '_>) -> Next {
        let relay = sides.relay;
        let now = sides.cx.now;
        let mut round = relay.choice.go_on(mem::take(&mut self.tried));
        let place = round.next(now);
        let goes_on = self.repeat == Repeat::Safe && round.has_next_if_this_fails(now);
        self.tried = round.leave();
        let chosen = place.and_then(|place| Some((place, relay.backends.get(place)?)));
        let Some((place, backend)) = chosen else {
            return match self.second_best.take() {
                Some((place, answer)) => self.begin_delivery(place, answer, sides),
                None => Next::Over(self.refused()),
            };
        };
        self.waited.begin(now);
        let attempt = Attempt {
            place,
            begun: now,
            silence: silence(goes_on, relay.response_timeout),
        };
        match backend.take_kept(self.repeat, sides.cx) {
            Some(link) => self.send(attempt, link, sides),
            None => Next::On(Stage::Connecting(attempt, Dial::new(now))),
        }
    }

    fn connect(&mut self, attempt: Attempt, dial: Dial, sides: &mut Sides<'_, '_>) -> Next {
        let Some(backend) = sides.relay.backends.get(attempt.place) else {
            return Next::On(Stage::Choosing);
        };
        if self.has_left(sides) {
            return match self.held {
                Some(_) => Next::Abandoned(Stage::Connecting(attempt, dial)),
                None => self.client_gone(CLIENT_WENT_AWAY),
            };
        }
        match dial.run(backend, sides.cx) {
            Dialled::Waits(dial, wait) => {
                self.deadline = dial.deadline();
                Next::Stay(Stage::Connecting(attempt, dial), wait)
            }
            Dialled::Done(stream) => {
                backend.dialled(Ok(()));
                self.send(attempt, Link::new(stream, false), sides)
            }
            Dialled::Failed(error) => {
                backend.dialled(Err(&error));
                self.failed(backend, error);
                self.refusal = (Refusal::BackendUnreachable, self.unread(sides.head));
                sides.relay.choice.failed(attempt.place, sides.cx.now);
                Next::On(Stage::Choosing)
            }
        }
    }

    /// Sends the head, and asks the client for a body that waits to be asked for.
    fn send(&mut self, attempt: Attempt, mut link: Link, sides: &mut Sides<'_, '_>) -> Next {
        let head = sides.head;
        if let Some(held) = &mut self.held {
            held.is_asked_for();
        }
        let sent = link.input.stream_mut().write_all(&self.outgoing);
        let reader = ResponseReader::new().for_websocket(head.wants_websocket());
        let asked = Box::new(Asked { link, reader });
        let now = sides.cx.now;
        match (sent, head.framing()) {
            // It may have answered before it closed: a server that is full, or that refuses.
            (Err(_), _) => self.stopped(attempt, asked, self.unread(head), sides),
            (Ok(()), _) if self.held.is_some() => self.sent(attempt, asked, now),
            (Ok(()), Framing::Empty) => self.sent(attempt, asked, now),
            (Ok(()), framing) => {
                if head.expects_continue()
                    && head.version() == Version::Http11
                    && sides.client.buffered().is_empty()
                    && sides.client.stream_mut().write_all(CONTINUE).is_err()
                {
                    return self.client_gone(CLIENT_WENT_AWAY);
                }
                self.waited.pause(now);
                let upload = Upload::new(framing, sides.client.stream_mut(), sides.relay, now);
                Next::On(Stage::Uploading(attempt, asked, upload))
            }
        }
    }

    fn upload(
        &mut self,
        attempt: Attempt,
        mut asked: Box<Asked>,
        mut upload: Upload,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        use super::upload::Progress;
        // That its body is waited for is said, whatever the socket had no room for then.
        if !self.is_detached() && sides.client.stream_mut().push().is_err() {
            return self.client_gone(CLIENT_WENT_AWAY);
        }
        // An answer is early only where the backend does not have it all.
        let backend = asked.link.input.stream_mut();
        if backend.push().is_ok() && upload.is_whole(backend) {
            upload.leave(sides.client);
            return self.sent(attempt, asked, sides.cx.now);
        }
        if asked.link.input.stream_mut().may_have_more() {
            let (method, version) = (sides.head.method(), sides.head.version());
            match asked.reader.read(&mut asked.link, method, version) {
                Ok(Heard::Nothing | Heard::Turn) => {}
                Ok(Heard::Begun) => {
                    let unread = upload.leave(sides.client);
                    return self.stopped(attempt, asked, unread, sides);
                }
                Ok(Heard::Final(head)) => {
                    upload.leave(sides.client);
                    return self.answered(attempt, *asked, *head, Uploaded::Partly, sides);
                }
                Err(why) => {
                    let unread = upload.leave(sides.client);
                    return self.unanswered(attempt, why, unread, sides);
                }
            }
        }
        match upload.run(&mut asked.link, sides, &mut self.account.up) {
            Progress::Whole => {
                upload.leave(sides.client);
                self.sent(attempt, asked, sides.cx.now)
            }
            Progress::Turn => Next::Stay(Stage::Uploading(attempt, asked, upload), Wait::Again),
            Progress::Waits => self.await_move(attempt, asked, upload, sides),
            // It answered, or it is gone; perhaps it answered before it went.
            Progress::Refused => {
                let unread = upload.leave(sides.client);
                self.stopped(attempt, asked, unread, sides)
            }
            Progress::Cut => self.client_gone("client cut its body short"),
            Progress::Malformed(error) => {
                self.account.note = Some(format!("client's body is malformed: {error}"));
                Next::Over(End::Refused(Refusal::BadChunk, Unread::Unknown))
            }
        }
    }

    /// An upload in which one of the sides has to move first, unless it is too late for that.
    fn await_move(
        &mut self,
        attempt: Attempt,
        mut asked: Box<Asked>,
        mut upload: Upload,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        self.deadline = upload.deadline(sides.relay.body_timeout);
        if sides.cx.now >= self.deadline {
            let unread = upload.leave(sides.client);
            return match upload.has_arrived() || upload.waits_for_backend() {
                true => self.unanswered(attempt, Unanswered::Silent, unread, sides),
                false => self.client_gone("client fell silent within its body"),
            };
        }
        if upload.has_arrived() && self.has_left(sides) {
            return Next::Abandoned(Stage::Uploading(attempt, asked, upload));
        }
        if self.client.is_torn(sides.client.stream()) {
            return self.client_gone("client cut its body short");
        }
        let wait = Wait::unless(asked.link.input.stream_mut().may_have_more());
        Next::Stay(Stage::Uploading(attempt, asked, upload), wait)
    }

    /// The backend has the whole request.
    fn sent(&mut self, attempt: Attempt, asked: Box<Asked>, now: Instant) -> Next {
        self.waited.go_on(now);
        let sent = Sent {
            uploaded: Uploaded::Whole,
            unread: Unread::Exactly(0),
            until: now + attempt.silence,
        };
        Next::On(Stage::Awaiting(attempt, asked, sent))
    }

    /// The upload was stopped; an answer that has begun does not take as long as one that is being worked out.
    fn stopped(
        &mut self,
        attempt: Attempt,
        asked: Box<Asked>,
        unread: Unread,
        sides: &Sides<'_, '_>,
    ) -> Next {
        self.waited.go_on(sides.cx.now);
        let sent = Sent {
            uploaded: Uploaded::Partly,
            unread,
            until: sides.cx.now + sides.relay.body_timeout,
        };
        Next::On(Stage::Awaiting(attempt, asked, sent))
    }

    fn await_answer(
        &mut self,
        attempt: Attempt,
        mut asked: Box<Asked>,
        mut sent: Sent,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        if sent.uploaded == Uploaded::Whole && asked.link.input.stream_mut().push().is_err() {
            // It may have answered before it closed.
            sent.uploaded = Uploaded::Partly;
        }
        let heard = asked
            .reader
            .read(&mut asked.link, sides.head.method(), sides.head.version());
        let wait = match heard {
            Err(why) => return self.unanswered(attempt, why, sent.unread, sides),
            Ok(Heard::Final(head)) => {
                return self.answered(attempt, *asked, *head, sent.uploaded, sides);
            }
            Ok(Heard::Turn) => Wait::Again,
            Ok(heard @ (Heard::Nothing | Heard::Begun)) => {
                // A head that has begun does not take as long as one that is being worked out.
                if let Heard::Begun = heard {
                    sent.until = sent.until.min(sides.cx.now + sides.relay.body_timeout);
                }
                Wait::unless(asked.link.input.stream_mut().may_have_more())
            }
        };
        if !self.is_detached() {
            let interim = mem::take(&mut asked.reader.interim);
            let client = sides.client.stream_mut();
            if client
                .write_all(&interim)
                .and_then(|()| client.push().map(drop))
                .is_err()
            {
                return match sent.uploaded {
                    Uploaded::Whole => Next::Abandoned(Stage::Awaiting(attempt, asked, sent)),
                    Uploaded::Partly => self.client_gone(CLIENT_WENT_AWAY),
                };
            }
        }
        if sides.cx.now >= sent.until {
            return self.unanswered(attempt, Unanswered::Silent, sent.unread, sides);
        }
        self.deadline = sent.until;
        if self.has_left(sides) {
            return match sent.uploaded {
                Uploaded::Whole => Next::Abandoned(Stage::Awaiting(attempt, asked, sent)),
                Uploaded::Partly => self.client_gone(CLIENT_WENT_AWAY),
            };
        }
        Next::Stay(Stage::Awaiting(attempt, asked, sent), wait)
    }

    /// A backend gave no answer.
    fn unanswered(
        &mut self,
        attempt: Attempt,
        why: Unanswered,
        unread: Unread,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        let relay = sides.relay;
        let Some(backend) = relay.backends.get(attempt.place) else {
            return Next::On(Stage::Choosing);
        };
        if let (Unanswered::ClosedMeanwhile, Repeat::Safe) = (&why, self.repeat) {
            // No failure of the backend's: every server closes what is kept, and a new connection will tell how it is.
            let dial = Dial::new(sides.cx.now);
            return Next::On(Stage::Connecting(attempt, dial));
        }
        self.refusal = (why.refusal(), unread);
        relay.put_aside(attempt.place, &why, attempt.begun, sides.cx.now);
        self.failed(backend, why);
        match self.repeat {
            Repeat::Never => Next::Over(self.refused()),
            Repeat::Safe => Next::On(Stage::Choosing),
        }
    }

    fn answered(
        &mut self,
        attempt: Attempt,
        asked: Asked,
        head: ResponseHead,
        uploaded: Uploaded,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        let relay = sides.relay;
        relay.choice.answered(attempt.place, attempt.begun);
        let (status, place) = (head.status(), attempt.place);
        let waited = self.waited.end(sides.cx.now);
        if let Some(backend) = relay.backends.get(place) {
            backend.answered(waited);
        }
        if let Some(held) = &mut self.held {
            held.is_answered(status);
        }
        if status == SWITCHING_PROTOCOLS {
            return self.switch(asked, &head, sides);
        }
        let answer = Box::new(Answer {
            asked,
            head,
            uploaded,
        });
        let round = relay.choice.go_on(mem::take(&mut self.tried));
        let has_next = round.has_next(sides.cx.now);
        self.tried = round.leave();
        if self.repeat == Repeat::Never || !may_do_better(status) || !has_next {
            relay.follow(sides.head, &answer.head, place);
            return self.begin_delivery(place, answer, sides);
        }
        if let Some(backend) = relay.backends.get(place) {
            self.failed(backend, format_args!("answered {status}"));
        }
        self.second_best = Some((place, answer));
        Next::On(Stage::Choosing)
    }

    /// What follows the head of this answer is no HTTP any more, either way.
    fn switch(&mut self, asked: Asked, head: &ResponseHead, sides: &mut Sides<'_, '_>) -> Next {
        let Asked { link, reader } = asked;
        let mut first = reader.interim;
        write_switch_head(&mut first, head);
        let client = sides.client.stream_mut();
        if client.write_all(&first).is_err() {
            return self.client_gone(CLIENT_WENT_AWAY);
        }
        let tunnel = Tunnel::new(link, client, sides.cx.now);
        Next::Over(End::Switched(Box::new(tunnel)))
    }

    fn begin_delivery(
        &mut self,
        place: usize,
        mut answer: Box<Answer>,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        let digest = answer.head.values("docker-content-digest").next();
        self.account.digest = digest.map(<[u8]>::to_vec);
        self.asks_for_password = answer.head.asks_for_password();
        if self.is_detached() {
            return Next::Over(End::Unheard(answer.head.status()));
        }
        // Its answer begins: that it sends nothing more is no reason to give it up any longer.
        self.client = Presence::Here;
        match Delivery::begin(&mut answer, place, self.terms, &mut self.account, sides) {
            Ok(delivery) => Next::On(Stage::Delivering(place, answer, delivery)),
            Err(end) => Next::Over(end),
        }
    }

    fn deliver(
        &mut self,
        place: usize,
        mut answer: Box<Answer>,
        mut delivery: Delivery,
        sides: &mut Sides<'_, '_>,
    ) -> Next {
        use super::deliver::Progress;
        match delivery.run(&mut answer, &mut self.account, sides) {
            Progress::Waits => {
                self.deadline = delivery.deadline(sides.relay.body_timeout);
                match sides.cx.now < self.deadline {
                    true => Next::Stay(Stage::Delivering(place, answer, delivery), Wait::Event),
                    false => {
                        self.account.note = Some(delivery.late().to_owned());
                        Next::Over(delivery.cut(&answer))
                    }
                }
            }
            Progress::Turn => Next::Stay(Stage::Delivering(place, answer, delivery), Wait::Again),
            Progress::Done(end, reusable) => {
                if reusable && let Some(backend) = sides.relay.backends.get(place) {
                    backend.keep(answer.asked.link, sides.cx);
                }
                Next::Over(end)
            }
        }
    }

    fn refused(&mut self) -> End {
        let (refusal, unread) = (&self.refusal.0, self.refusal.1);
        End::Refused(refusal.clone(), unread)
    }

    fn client_gone(&mut self, note: &str) -> Next {
        self.account.note = Some(note.to_owned());
        Next::Over(End::ClientGone)
    }

    fn is_detached(&self) -> bool {
        self.client == Presence::Detached
    }

    /// Whether the client is gone for good.
    fn has_left(&mut self, sides: &mut Sides<'_, '_>) -> bool {
        let client = sides.client.stream_mut();
        self.client.has_left(client, sides.cx.now)
    }

    fn failed(&mut self, backend: &Backend, why: impl fmt::Display) {
        let failure = format!("backend {}: {why}", backend.address());
        self.failures.push(failure);
    }
}

/// How long one backend may be silent, where there is somebody else to go on to or not.
pub(super) fn silence(goes_on: bool, response_timeout: Duration) -> Duration {
    match goes_on {
        true => response_timeout.min(SILENCE),
        false => response_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_go_on_waits_ten_seconds_and_the_last_one_as_long_as_was_set() {
        let seconds = Duration::from_secs;
        for (goes_on, set, limit) in [(true, 900, 10), (true, 5, 5), (false, 900, 900)] {
            assert_eq!(silence(goes_on, seconds(set)), seconds(limit));
        }
    }

    #[test]
    fn only_five_hundreds_that_another_backend_may_not_say_lead_on() {
        let leading = (100..1000).filter(|&status| may_do_better(status));
        assert_eq!(leading.collect::<Vec<_>>(), [500, 502, 503, 504]);
    }
}
