//! An answer on its way down to the client.
//!
//! Owns how its body is framed for the client, how it is written, and what a cut on either side looks like on the other.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use super::context::Relay;
use super::outcome::{CLIENT_WENT_AWAY, End, Then};
use super::sides::{Account, Asked, Sides, Terms};
use super::splice::Splicing;
use super::transfer::{self, Appetite, Pace, Stop};
use super::upload::{Chunks, Tracked, Uploaded};
use crate::http::{
    Body, ChunkWriter, Framing, Reading, ResponseHead, ResponseShape, Version, write_response_head,
};
use crate::stream::Stream;

/// What of a body goes out with its head in one write, in bytes.
const MOST_GATHERED: usize = 64 * 1024;

/// A final answer whose head has come.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where its body comes from.
    pub(super) asked: Asked,
    /// Its head.
    pub(super) head: ResponseHead,
    /// Whether the request was all sent when it came.
    pub(super) uploaded: Uploaded,
}

/// How an answer's body is framed for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    AsLength,
    AsChunks,
    UntilClose,
}

impl Sent {
    fn to(client: Version, framing: Framing) -> Sent {
        match (framing, client) {
            (Framing::Empty | Framing::Length(_), _) => Sent::AsLength,
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => Sent::AsChunks,
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Sent::UntilClose,
        }
    }
}

/// An answer of which the client has the head, or will have.
#[derive(Debug)]
pub(super) struct Delivery {
    sent_as: Sent,
    keep: bool,
    reading: Option<Reading>,
    appetite: Appetite,
    splice: Splicing,
    is_finished: bool,
    waits_for_client: bool,
    pace: Pace,
}

/// How far it is.
pub(super) enum Progress {
    /// One of the sides has to move first.
    Waits,
    /// It is others' turn.
    Turn,
    /// It is over; whether the backend's connection may be used again.
    Done(End, bool),
}

impl Delivery {
    /// Writes the head, with what of the body is there already, so that a small answer is one write and one TLS record.
    pub(super) fn begin(
        answer: &mut Answer,
        place: usize,
        terms: Terms,
        account: &mut Account,
        sides: &mut Sides<'_, '_>,
    ) -> Result<Delivery, End> {
        let head = &answer.head;
        let framing = head.framing();
        let sent_as = Sent::to(sides.head.version(), framing);
        let keep = terms.may_keep
            && sides.head.keeps_alive()
            && answer.uploaded == Uploaded::Whole
            && sent_as != Sent::UntilClose;
        let client = sides.client.stream_mut();
        // If this process ends, or a bug ends this request, what looks whole by its end alone must not.
        if sent_as == Sent::UntilClose {
            client.socket().abort_on_close(true);
        }
        let mut first = mem::take(&mut answer.asked.reader.interim);
        let by_tls = terms.by_tls;
        let location = sides.relay.location(place, by_tls, sides.head.host(), head);
        let shape = ResponseShape {
            version: sides.head.version(),
            keep,
            chunked: sent_as == Sent::AsChunks,
            location: location.as_deref(),
        };
        write_response_head(&mut first, head, &shape);

        let mut body = Body::resume(&mut answer.asked.link.input, Reading::new(framing));
        let (taken, gathered) = match sent_as {
            Sent::AsLength => (body.ready().len() as u64, Ok(false)),
            Sent::AsChunks | Sent::UntilClose => gather(&mut body, sent_as, head, &mut first),
        };
        let pieces = [IoSlice::new(&first), IoSlice::new(body.ready())];
        let written = client.write_vectored(&pieces);
        body.used_up();
        let gathered = gathered.map(|is_all| is_all || body.is_complete());
        let pace = Pace::new(sides.cx.now, client.sent());
        let mut delivery = Delivery::new(sent_as, keep, body.pause(), pace);
        if written.is_err() {
            account.note = Some(CLIENT_WENT_AWAY.to_owned());
            return Err(delivery.cut(answer));
        }
        account.down += taken;
        match gathered {
            Ok(is_all) => delivery.is_finished = is_all,
            Err(error) => {
                account.note = Some(cut_by_backend(&error));
                return Err(delivery.cut(answer));
            }
        }
        Ok(delivery)
    }

    fn new(sent_as: Sent, keep: bool, reading: Reading, pace: Pace) -> Delivery {
        Delivery {
            sent_as,
            keep,
            reading: Some(reading),
            appetite: Appetite::new(),
            splice: Splicing::Possible,
            is_finished: false,
            waits_for_client: false,
            pace,
        }
    }

    /// When whoever is waited for has been still for too long.
    pub(super) fn deadline(&self, silence: Duration) -> Instant {
        self.pace.deadline(silence)
    }

    /// What the log says when that has come.
    pub(super) fn late(&self) -> &'static str {
        match self.waits_for_client {
            true => "client took nothing for too long",
            false => "answer cut short by the backend: nothing moved in time",
        }
    }

    /// The end of an answer that is cut.
    pub(super) fn cut(&self, answer: &Answer) -> End {
        End::Answered(answer.head.status(), Then::Abort)
    }

    /// Brings down what there is.
    pub(super) fn run(
        &mut self,
        answer: &mut Answer,
        account: &mut Account,
        sides: &mut Sides<'_, '_>,
    ) -> Progress {
        let now = sides.cx.now;
        let Some(reading) = self.reading.take() else {
            return Progress::Done(self.cut(answer), false);
        };
        let before = account.down;
        let mut body = Body::resume(&mut answer.asked.link.input, reading);
        let client = sides.client.stream_mut();
        let down = &mut account.down;
        let stop = self.pump(&mut body, client, &answer.head, sides.relay, now, down);
        let is_complete = body.is_complete();
        let may_have_more = body.stream_mut().may_have_more();
        self.reading = Some(body.pause());
        let sent = client.sent();
        self.pace.step(now, account.down != before, sent);
        match stop {
            Stop::End => self.done(answer, is_complete, client),
            Stop::Turn => Progress::Turn,
            // A step that ended early is told of by nobody.
            Stop::Dry if may_have_more => Progress::Turn,
            Stop::Dry if client.socket().is_torn() => {
                account.note = Some(CLIENT_WENT_AWAY.to_owned());
                Progress::Done(self.cut(answer), false)
            }
            Stop::Dry | Stop::Full => Progress::Waits,
            Stop::Source(error) => {
                account.note = Some(cut_by_backend(&error));
                Progress::Done(self.cut(answer), false)
            }
            Stop::Sink => {
                let unsent = client.unsent() as u64;
                account.down = account.down.saturating_sub(unsent);
                account.note = Some(CLIENT_WENT_AWAY.to_owned());
                Progress::Done(self.cut(answer), false)
            }
        }
    }

    fn done(&self, answer: &Answer, is_complete: bool, client: &Stream) -> Progress {
        if self.sent_as == Sent::UntilClose {
            client.socket().abort_on_close(false);
        }
        let then = match self.keep {
            true => Then::Keep,
            false => Then::Close,
        };
        let is_reusable = answer.uploaded == Uploaded::Whole
            && answer.head.keeps_alive()
            && is_complete
            && answer.head.framing() != Framing::UntilClose;
        Progress::Done(End::Answered(answer.head.status(), then), is_reusable)
    }

    fn pump(
        &mut self,
        body: &mut Body<'_, Stream>,
        client: &mut Stream,
        head: &ResponseHead,
        relay: &Relay,
        now: Instant,
        down: &mut u64,
    ) -> Stop {
        loop {
            match client.push() {
                Err(_) => return Stop::Sink,
                Ok(crate::stream::Progress::Waits(_)) => return self.blocked(now),
                Ok(crate::stream::Progress::Done) => self.appetite.is_drained(now),
            }
            if self.is_finished {
                return Stop::End;
            }
            self.waits_for_client = false;
            match self.copy(body, client, relay, down) {
                Stop::End if self.sent_as == Sent::AsChunks => {
                    let last = head.announced(body.trailers());
                    if ChunkWriter::new(&mut *client).finish(&last).is_err() {
                        return Stop::Sink;
                    }
                    self.is_finished = true;
                }
                Stop::End => self.is_finished = true,
                Stop::Full => return self.blocked(now),
                stop => return stop,
            }
        }
    }

    fn blocked(&mut self, now: Instant) -> Stop {
        self.waits_for_client = true;
        self.appetite.is_blocked(now);
        Stop::Full
    }

    fn copy(
        &mut self,
        body: &mut Body<'_, Stream>,
        client: &mut Stream,
        relay: &Relay,
        down: &mut u64,
    ) -> Stop {
        let (appetite, budget) = (&mut self.appetite, &relay.budget);
        match self.sent_as {
            Sent::AsChunks => {
                let mut chunks = Chunks(ChunkWriter::new(Tracked(client)));
                let length = body.remaining_length();
                transfer::copy(body, &mut chunks, length, appetite, budget, down)
            }
            Sent::UntilClose => {
                let length = body.remaining_length();
                transfer::copy(body, client, length, appetite, budget, down)
            }
            Sent::AsLength => {
                super::splice::carry(&mut self.splice, body, client, appetite, budget, down)
            }
        }
    }
}

fn cut_by_backend(error: &io::Error) -> String {
    format!("answer cut short by the backend: {error}")
}

/// Appends to `first` what of the body is there, framed. Says how many bytes of content that was
/// and whether it was all.
fn gather(
    body: &mut Body<'_, Stream>,
    sent_as: Sent,
    head: &ResponseHead,
    first: &mut Vec<u8>,
) -> (u64, io::Result<bool>) {
    let mut taken = 0;
    let mut piece = Vec::new();
    let gathered = loop {
        if body.is_complete() {
            break Ok(true);
        }
        let here = body.buffered_len();
        if here == 0 || first.len() > MOST_GATHERED {
            break Ok(false);
        }
        piece.resize(here, 0);
        match body.read(&mut piece) {
            Ok(0) => break Ok(true),
            Ok(length) => {
                let content = piece.get(..length).unwrap_or_default();
                taken += length as u64;
                match sent_as {
                    // Writing to memory does not fail.
                    Sent::AsChunks => drop(ChunkWriter::new(&mut *first).write_all(content)),
                    Sent::AsLength | Sent::UntilClose => first.extend_from_slice(content),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
            Err(error) => break Err(error),
        }
    };
    if let (Ok(true), Sent::AsChunks) = (&gathered, sent_as) {
        drop(ChunkWriter::new(&mut *first).finish(&head.announced(body.trailers())));
    }
    (taken, gathered)
}
