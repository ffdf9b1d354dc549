//! A request's body on its way up.
//!
//! Owns how the body is read and written, and when which side moved last. Must not know what follows from its end.

use std::io::{self, IoSlice, Write};
use std::time::{Duration, Instant};

use super::backend::Link;
use super::context::Relay;
use super::sides::Sides;
use super::splice::{self, Splicing};
use super::transfer::{self, Appetite, Pace, Share, Sink, Stop};
use crate::http::Unread;
use crate::http::{Body, ChunkWriter, Framing, Input, Reading, is_bad_chunk};
use crate::stream::Stream;

/// Ciphertext of a big upload is read in pieces of this size: 83 system calls a MiB become 16.
const READ_AHEAD: usize = 256 * 1024;
/// Shorter bodies are not worth that buffer.
const WORTH_READING_AHEAD: u64 = 256 * 1024;

/// Whether the backend was given all of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// All, to the last chunk.
    Whole,
    /// The upload was stopped. Whatever comes next on that connection would be taken for the rest.
    Partly,
}

/// A body on its way up.
#[derive(Debug)]
pub(super) struct Upload {
    framing: Framing,
    reading: Option<Reading>,
    appetite: Appetite,
    splice: Splicing,
    ahead: Option<Share>,
    /// The last chunk, or all of a length, was handed to the backend's stream.
    is_finished: bool,
    waits_for_backend: bool,
    pace: Pace,
}

/// How far it is.
pub(super) enum Progress {
    /// The backend has it all.
    Whole,
    /// One of the sides has to move first.
    Waits,
    /// It is others' turn.
    Turn,
    /// The backend takes no more.
    Refused,
    /// The client did not send it all.
    Cut,
    /// The client sent what is no body.
    Malformed(io::Error),
}

impl Upload {
    pub(super) fn new(
        framing: Framing,
        client: &mut Stream,
        relay: &Relay,
        now: Instant,
    ) -> Upload {
        let is_big = !matches!(framing, Framing::Length(length) if length < WORTH_READING_AHEAD);
        let share = (is_big && client.is_tls()).then(|| relay.budget.share(READ_AHEAD));
        Upload {
            framing,
            reading: Some(Reading::new(framing)),
            appetite: Appetite::new(),
            splice: Splicing::Possible,
            ahead: share.flatten(),
            is_finished: false,
            waits_for_backend: false,
            pace: Pace::new(now, 0),
        }
    }

    /// When whoever is waited for has been still for too long.
    pub(super) fn deadline(&self, silence: Duration) -> Instant {
        self.pace.deadline(silence)
    }

    /// Whether it is the backend who has to move.
    pub(super) fn waits_for_backend(&self) -> bool {
        self.waits_for_backend
    }

    /// Whether the client has sent all of it.
    pub(super) fn has_arrived(&self) -> bool {
        self.is_finished || self.reading.as_ref().is_some_and(Reading::is_complete)
    }

    /// Whether the backend has all of it.
    pub(super) fn is_whole(&self, backend: &Stream) -> bool {
        let has_last = match self.framing {
            Framing::Chunked => self.is_finished,
            _ => self.has_arrived() && self.splice.is_empty(),
        };
        has_last && !backend.has_unsent()
    }

    /// Leaves the client's stream as it was; how much of the body was not read.
    pub(super) fn leave(&mut self, client: &mut Input<Stream>) -> Unread {
        client.stream_mut().read_as_needed();
        self.ahead = None;
        match &self.reading {
            Some(reading) => reading
                .remaining_length()
                .map_or(Unread::Unknown, Unread::Exactly),
            None => Unread::Unknown,
        }
    }

    /// Brings up what there is.
    pub(super) fn run(
        &mut self,
        link: &mut Link,
        sides: &mut Sides<'_, '_>,
        up: &mut u64,
    ) -> Progress {
        let now = sides.cx.now;
        let Some(reading) = self.reading.take() else {
            return Progress::Cut;
        };
        self.lend_buffer(sides);
        let before = *up;
        let mut body = Body::resume(sides.client, reading);
        let progress = self.pump(&mut body, link.input.stream_mut(), sides.relay, now, up);
        self.reading = Some(body.pause());
        sides.client.stream_mut().read_as_needed();
        let sent = link.input.stream().sent();
        self.pace.step(now, *up != before, sent);
        progress
    }

    /// Ciphertext is read in large pieces while the body moves.
    fn lend_buffer(&mut self, sides: &mut Sides<'_, '_>) {
        if self.appetite.is_slow() {
            // Who is slow keeps no large buffer from others.
            self.ahead = None;
        }
        if self.ahead.is_some() {
            sides.client.stream_mut().read_ahead(READ_AHEAD);
        }
    }

    fn pump(
        &mut self,
        body: &mut Body<'_, Stream>,
        backend: &mut Stream,
        relay: &Relay,
        now: Instant,
        up: &mut u64,
    ) -> Progress {
        loop {
            match backend.push() {
                Err(_) => return Progress::Refused,
                Ok(crate::stream::Progress::Waits(_)) => return self.blocked(now),
                Ok(crate::stream::Progress::Done) => self.appetite.is_drained(now),
            }
            if self.is_finished {
                return Progress::Whole;
            }
            let stop = self.copy(body, backend, relay, up);
            self.waits_for_backend = false;
            match stop {
                Stop::End => {
                    if self.framing == Framing::Chunked
                        && ChunkWriter::new(&mut *backend).finish(b"").is_err()
                    {
                        return Progress::Refused;
                    }
                    self.is_finished = true;
                }
                // A step that ended early is told of by nobody.
                Stop::Dry if body.stream_mut().may_have_more() => return Progress::Turn,
                Stop::Dry => return Progress::Waits,
                Stop::Full => return self.blocked(now),
                Stop::Turn => return Progress::Turn,
                Stop::Source(error) if is_bad_chunk(&error) => return Progress::Malformed(error),
                Stop::Source(_) => return Progress::Cut,
                Stop::Sink => return Progress::Refused,
            }
        }
    }

    fn blocked(&mut self, now: Instant) -> Progress {
        self.waits_for_backend = true;
        self.appetite.is_blocked(now);
        Progress::Waits
    }

    fn copy(
        &mut self,
        body: &mut Body<'_, Stream>,
        backend: &mut Stream,
        relay: &Relay,
        up: &mut u64,
    ) -> Stop {
        let length = body.remaining_length();
        if self.framing == Framing::Chunked {
            let mut chunks = Chunks(ChunkWriter::new(Tracked(backend)));
            return transfer::copy(
                body,
                &mut chunks,
                length,
                &mut self.appetite,
                &relay.budget,
                up,
            );
        }
        splice::carry(
            &mut self.splice,
            body,
            backend,
            &mut self.appetite,
            &relay.budget,
            up,
        )
    }
}

impl Sink for Stream {
    fn is_full(&self) -> bool {
        self.has_unsent()
    }
}

/// A stream that is written to in chunks.
pub(super) struct Chunks<'a>(pub(super) ChunkWriter<Tracked<'a>>);

/// The stream under a chunk writer, which does not show it.
pub(super) struct Tracked<'a>(pub(super) &'a mut Stream);

impl Write for Tracked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for Chunks<'_> {
    fn is_full(&self) -> bool {
        self.0.inner().0.has_unsent()
    }
}
