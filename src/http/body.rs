//! A message's body, read to its proper end and not a byte further. Memory is constant whatever the size: data goes from
//! the stream straight into the reader's buffer. Whether a body is whole is said here and nowhere else. All of it is hostile.

use std::fmt;
use std::io::{self, Read};

use super::chunks::{ChunkFault, chunk_size, trailers};
use super::framing::Framing;
use super::input::Input;

/// What is read ahead of chunks at once: one TLS record. Most of what is read with a chunk line is data, and is copied once.
const AHEAD: usize = 16 * 1024;

/// Reads one body from an [`Input`]. `Ok(0)` only at the proper end, or for an empty buffer.
///
/// Errors: `UnexpectedEof` where the stream ends too early, one of [`is_bad_chunk`] for chunks outside the grammar, both
/// for good; else those of the stream, after which reading may go on.
pub struct Body<'a, S: Read> {
    input: &'a mut Input<S>,
    reading: Reading,
}

impl<S: Read + fmt::Debug> fmt::Debug for Body<'_, S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body")
            .field("input", self.input)
            .field("state", &self.reading.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Complete,
    Length(u64),
    UntilClose,
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

/// How far a body was read, to be gone on with later.
#[derive(Debug)]
pub struct Reading {
    state: State,
    trailers: Vec<u8>,
    failure: Option<io::ErrorKind>,
}

impl Reading {
    /// Of a body of which nothing was read.
    pub fn new(framing: Framing) -> Reading {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Length(length),
            Framing::UntilClose => State::UntilClose,
            Framing::Chunked => State::ChunkLine,
        };
        Reading {
            state,
            trailers: Vec::new(),
            failure: None,
        }
    }

    /// Whether all of it was read: see [`Body::is_complete`].
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// What is still to come, where that is known.
    pub fn remaining_length(&self) -> Option<u64> {
        match self.state {
            State::Complete => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// The trailer fields: see [`Body::trailers`].
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// What came of a step that takes only what is buffered.
enum Step {
    Done,
    NeedsMore,
    Data,
}

impl<'a, S: Read> Body<'a, S> {
    /// The body that begins at the first byte of `input` not yet consumed.
    pub fn new(input: &'a mut Input<S>, framing: Framing) -> Self {
        Self::resume(input, Reading::new(framing))
    }

    /// Goes on with a body where [`pause`](Self::pause) left it.
    pub fn resume(input: &'a mut Input<S>, reading: Reading) -> Self {
        Self { input, reading }
    }

    /// How far it was read.
    pub fn pause(self) -> Reading {
        self.reading
    }

    /// The body was read to its proper end. Known as soon as the last byte of a length was read; of chunks and of a body
    /// until close at the latest when a read has returned `Ok(0)`.
    pub fn is_complete(&self) -> bool {
        self.reading.is_complete()
    }

    /// What is still to come, where that is known.
    pub fn remaining_length(&self) -> Option<u64> {
        self.reading.remaining_length()
    }

    /// The trailer fields of a chunked body that was read to its end, as lines ended by CR LF, without those that nobody
    /// may relay.
    pub fn trailers(&self) -> &[u8] {
        self.reading.trailers()
    }

    /// What the last read failed with, if it failed: tells whoever copies which side it was.
    pub fn failure(&self) -> Option<io::ErrorKind> {
        self.reading.failure
    }

    /// What was read ahead of a body of known length.
    pub fn ready(&self) -> &[u8] {
        match self.reading.state {
            State::Length(left) => {
                let here = self.input.buffered();
                let most = usize::try_from(left).map_or(here.len(), |left| left.min(here.len()));
                here.get(..most).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Takes note that all that was [`ready`](Self::ready) was used.
    pub fn used_up(&mut self) {
        let count = self.ready().len();
        self.input.consume(count);
        self.count_down(count as u64);
    }

    /// How many bytes of this body, or from behind it, have been read ahead.
    pub fn buffered_len(&self) -> usize {
        self.input.buffered().len()
    }

    /// Takes note that so many bytes of this body's content, of known length, were taken from the stream itself. What was read
    /// ahead came before them, and must have been read.
    pub fn went_by(&mut self, count: u64) {
        debug_assert!(self.input.buffered().is_empty(), "taken out of turn");
        self.count_down(count);
    }

    fn count_down(&mut self, count: u64) {
        if let State::Length(left) = self.reading.state {
            self.reading.state = match left.saturating_sub(count) {
                0 => State::Complete,
                left => State::Length(left),
            };
        }
    }

    /// The stream that the body is read from.
    pub fn stream_mut(&mut self) -> &mut S {
        self.input.stream_mut()
    }

    /// The input back, at the first byte that the body has not consumed.
    pub fn into_input(self) -> &'a mut Input<S> {
        self.input
    }

    fn read_body(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.reading.state {
            State::Complete => Ok(0),
            State::UntilClose => {
                let count = self.input.read(out)?;
                if count == 0 {
                    self.reading.state = State::Complete;
                }
                Ok(count)
            }
            State::Length(left) => {
                let count = self.read_data(out, left, State::Length)?;
                if matches!(self.reading.state, State::Length(0)) {
                    self.reading.state = State::Complete;
                }
                Ok(count)
            }
            _ => self.read_chunks(out),
        }
    }

    fn read_chunks(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let State::ChunkData(left @ 1..) = self.reading.state
                && self.input.buffered().is_empty()
            {
                return self.read_data(out, left, State::ChunkData);
            }
            match self.step()? {
                Step::Done => return Ok(0),
                Step::Data => return Ok(self.gather(out)),
                Step::NeedsMore => {
                    self.input.reserve(AHEAD);
                    if self.input.fill()? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Up to `left` bytes, which are more than none.
    fn read_data(
        &mut self,
        out: &mut [u8],
        left: u64,
        state: fn(u64) -> State,
    ) -> io::Result<usize> {
        let most = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let count = self.input.read(out.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reading.state = state(left.saturating_sub(count as u64));
        Ok(count)
    }

    /// Takes data from as many buffered chunks as `out` has room for. Never waits: no byte is held back for another.
    fn gather(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        // A fault behind good data is met again by the next read, which has nothing else to return.
        while let (Ok(Step::Data), State::ChunkData(left)) = (self.step(), self.reading.state) {
            let room = out.get_mut(filled..).unwrap_or_default();
            let most = usize::try_from(left).map_or(room.len(), |left| left.min(room.len()));
            let count = self.input.take(room.get_mut(..most).unwrap_or_default());
            self.reading.state = State::ChunkData(left - count as u64);
            filled += count;
            if count == 0 {
                break;
            }
        }
        filled
    }

    /// Goes on through what is buffered up to the next data.
    fn step(&mut self) -> Result<Step, ChunkFault> {
        loop {
            let buffered = self.input.buffered();
            let (used, next) = match self.reading.state {
                State::ChunkData(0) => (0, State::ChunkEnd),
                State::ChunkData(_) if buffered.is_empty() => return Ok(Step::NeedsMore),
                State::ChunkData(_) => return Ok(Step::Data),
                State::ChunkEnd => match buffered {
                    [b'\r', b'\n', ..] => (2, State::ChunkLine),
                    [] | [b'\r'] => return Ok(Step::NeedsMore),
                    _ => return Err(ChunkFault),
                },
                State::ChunkLine => match chunk_size(buffered)? {
                    None => return Ok(Step::NeedsMore),
                    Some((0, used)) => (used, State::Trailers),
                    Some((size, used)) => (used, State::ChunkData(size)),
                },
                State::Trailers => match trailers(buffered)? {
                    None => return Ok(Step::NeedsMore),
                    Some((fields, used)) => {
                        self.reading.trailers = fields;
                        (used, State::Complete)
                    }
                },
                State::Complete | State::Length(_) | State::UntilClose => return Ok(Step::Done),
            };
            self.input.consume(used);
            self.reading.state = next;
        }
    }
}

impl<S: Read> Read for Body<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A malformed chunk is met again anyway; an end might not be.
        if self.reading.failure == Some(io::ErrorKind::UnexpectedEof) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if out.is_empty() {
            return Ok(0);
        }
        let outcome = self.read_body(out);
        self.reading.failure = outcome.as_ref().err().map(io::Error::kind);
        outcome
    }
}

/// Whether reading a body failed because its chunks are malformed: a client then gets
/// [`Refusal::BadChunk`](super::Refusal::BadChunk).
pub fn is_bad_chunk(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<ChunkFault>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
