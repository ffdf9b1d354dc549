//! Answers of our own, which are all noes but for an auth service's yes: the answer, the rest of the
//! body that is still coming, and the goodbye to those who go on sending. Nothing here waits for the
//! client.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::record::Record;
use super::{Connection, HealthPath, Phase, Service, Step};
use crate::gate::Grant;
use crate::http::{
    Body, Framing, INPUT_LIMIT, Input, Refusal, RequestHead, Shape, Version, is_bad_chunk,
    write_confirmation, write_ready,
};
use crate::relay::Unread;
use crate::stream::Patience;

/// The rest of a refused request's body, in bytes, that is read so that the connection can be kept.
const WORTH_SKIPPING: u64 = 64 * 1024;
/// Pieces in which a refused chunked body may arrive for its connection to be kept.
const MOST_LOOKS: u32 = 64;
/// A client that was told no may go on sending for this long in all...
const DISCARD_FOR: Duration = Duration::from_secs(30);
/// ...and be silent for this long, before its connection is closed under it.
const DISCARD_SILENCE: Duration = Duration::from_secs(5);
/// Reads that one turn of discarding makes, so that one client does not hold up others.
const DISCARD_READS: usize = 16;
/// What a client that is being discarded has left once the gate is to end.
const DISCARD_AT_THE_END: Duration = Duration::from_secs(1);
/// For a request to arrive whose client had connected before the gate was told to stop: it is on its way.
const REQUEST_AT_THE_END: Duration = Duration::from_secs(2);
/// The status of those who are told to come again later...
const THROTTLED: u16 = 429;
/// ...and who may do so on the same connection after this: answering at full speed somebody who does not listen would take
/// half of the machine from those who are in.
const PAUSE: Duration = Duration::from_millis(250);
/// The status of an auth service's yes.
const CONFIRMED: u16 = 200;
/// The status of the health path where all is well.
const READY: u16 = 200;

impl Connection {
    /// Says no. `head` is the request's, if it could be read.
    pub(super) fn refuse(
        &mut self,
        refusal: Refusal,
        head: Option<&RequestHead>,
        unread: Unread,
        mut record: Record,
        service: &Service,
    ) -> Step {
        let why = || refusal.message().to_owned();
        record.note.get_or_insert_with(why);
        let next = phase_after(unread, head, service).filter(|_| !refusal.breaks_framing());
        let mut answer = Vec::with_capacity(512);
        record.down = refusal.write(&mut answer, shape(head, next, &record));
        self.say(&answer, refusal.status(), next, record, service)
    }

    /// Says yes, and nothing more: what the request is about is the business of the proxy that asks.
    pub(super) fn confirm(
        &mut self,
        head: &RequestHead,
        grant: &Grant,
        mut record: Record,
        service: &Service,
    ) -> Step {
        record.name(grant);
        let next = phase_after(Unread::whole(head), Some(head), service);
        let mut answer = Vec::with_capacity(256);
        let shape = shape(Some(head), next, &record);
        record.down = write_confirmation(&mut answer, grant.header_safe_user(), shape);
        self.say(&answer, CONFIRMED, next, record, service)
    }

    /// Says whether the gate is ready, to whoever asks on the path for that.
    pub(super) fn tell_health(
        &mut self,
        health: &HealthPath,
        head: &RequestHead,
        mut record: Record,
        service: &Service,
    ) -> Step {
        let unread = Unread::whole(head);
        // That it is to end is known at once.
        let ready = match service.draining.load(Ordering::Acquire) {
            true => service.ready(),
            false => health.ready(|| service.ready()),
        };
        if let Err(why) = ready {
            record.note = Some(why);
            return self.refuse(Refusal::NotReady, Some(head), unread, record, service);
        }
        let next = phase_after(unread, Some(head), service);
        let mut answer = Vec::with_capacity(256);
        record.down = write_ready(&mut answer, shape(Some(head), next, &record));
        self.say(&answer, READY, next, record, service)
    }

    /// Sends an answer that is there whole; `next` is what the connection does then if it is kept.
    fn say(
        &mut self,
        answer: &[u8],
        status: u16,
        next: Option<Phase>,
        mut record: Record,
        service: &Service,
    ) -> Step {
        let stream = self.input.stream_mut();
        stream.patience = Patience::None;
        let said = stream.write_all(answer);
        if said.is_err() {
            record.down = 0;
        }
        record.write(status);
        match (said, next) {
            (Err(_), _) => Step::Close,
            (Ok(()), Some(next)) => {
                self.rest(service);
                self.phase = next;
                match status {
                    THROTTLED => {
                        self.pause = Some(Instant::now() + PAUSE);
                        Step::Pause
                    }
                    _ => Step::Again,
                }
            }
            (Ok(()), None) => Step::Discard,
        }
    }

    pub(super) fn skip(&mut self, left: u64, service: &Service) -> Option<Step> {
        let here = self.input.buffered().len();
        let skipped = usize::try_from(left).map_or(here, |left| left.min(here));
        self.input.consume(skipped);
        match left - skipped as u64 {
            0 => {
                self.rest(service);
                None
            }
            left => {
                self.phase = Phase::Skip(left);
                self.fill()
            }
        }
    }

    /// Skips a chunked body once all of it is buffered, which bounds it by the buffer.
    pub(super) fn skip_chunks(&mut self, looks: u32, service: &Service) -> Option<Step> {
        let here = self.input.buffered();
        let mut whole = Input::new(here);
        let mut body = Body::new(&mut whole, Framing::Chunked);
        match io::copy(&mut body, &mut io::sink()) {
            Ok(_) => {
                let left = whole.buffered().len() + whole.into_stream().len();
                self.input.consume(here.len() - left);
                self.rest(service);
                None
            }
            Err(error) if is_bad_chunk(&error) => Some(Step::Discard),
            // It drips, or does not end within the buffer.
            Err(_) if looks == MOST_LOOKS || here.len() >= INPUT_LIMIT => Some(Step::Discard),
            Err(_) => {
                self.phase = Phase::SkipChunks { looks: looks + 1 };
                self.fill()
            }
        }
    }

    /// Says goodbye and makes ready for [`Connection::discard`].
    pub fn part(&mut self) {
        self.input.stream_mut().finish();
        self.input.release();
        let now = Instant::now();
        self.phase = Phase::Discard {
            until: now + DISCARD_FOR,
        };
        self.deadline = now + DISCARD_SILENCE;
    }

    /// Throws away what has come; `false` at the end of it. Never waits, never decrypts.
    pub fn discard(&mut self) -> bool {
        let Phase::Discard { until } = self.phase else {
            return false;
        };
        let socket = self.input.stream().socket();
        for _ in 0..DISCARD_READS {
            match socket.discard() {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.deadline = until.min(Instant::now() + DISCARD_SILENCE);
        Instant::now() < until
    }

    /// Leaves little time to a client that is being discarded or whose request is on its way, because the gate is to end.
    pub fn hurry(&mut self) {
        match &mut self.phase {
            Phase::Discard { until } => {
                *until = (*until).min(Instant::now() + DISCARD_AT_THE_END);
                self.deadline = self.deadline.min(*until);
            }
            Phase::Handshake | Phase::Head { .. } => {
                let until = Instant::now() + REQUEST_AT_THE_END;
                self.deadline = self.deadline.min(until);
            }
            Phase::Idle | Phase::Await | Phase::Skip(_) | Phase::SkipChunks { .. } => {}
        }
    }
}

/// What a connection does after an answer of our own, with this much of the request unread; `None` where it ends.
fn phase_after(unread: Unread, head: Option<&RequestHead>, service: &Service) -> Option<Phase> {
    let may_stay = head.is_some_and(RequestHead::keeps_alive)
        && (unread == Unread::Exactly(0) || service.duty.gets_bodies())
        && !service.draining.load(Ordering::Relaxed);
    let next = match unread {
        Unread::Exactly(0) => Phase::Idle,
        Unread::Exactly(left) if left <= WORTH_SKIPPING => Phase::Skip(left),
        Unread::Chunks => Phase::SkipChunks { looks: 0 },
        Unread::Exactly(_) | Unread::Unknown => return None,
    };
    may_stay.then_some(next)
}

fn shape(head: Option<&RequestHead>, next: Option<Phase>, record: &Record) -> Shape {
    Shape {
        form: record.form,
        head_only: record.method == "HEAD",
        keep: next.is_some(),
        version: head.map_or(Version::Http11, RequestHead::version),
    }
}
