//! A stream with what was read from it ahead of time: heads are parsed from the buffer, bodies pass it by.
//! Whether a read may block, and for how long, is the stream's business. All that comes in is hostile.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::mem;

/// The most that is ever buffered: the longest head that either side may send.
pub const INPUT_LIMIT: usize = 64 * 1024;

/// Enough for most heads, and for a small answer with its head.
const FIRST: usize = 8 * 1024;
/// Buffers of that size that each thread keeps for the next one who needs one, instead of clearing another.
const MOST_SPARE: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A stream and the bytes that were read from it and not yet used.
pub struct Input<S> {
    stream: S,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Without what is buffered, which may be a password.
impl<S: fmt::Debug> fmt::Debug for Input<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Input")
            .field("stream", &self.stream)
            .field("buffered", &(self.end - self.start))
            .finish_non_exhaustive()
    }
}

impl<S> Input<S> {
    /// With nothing buffered and nothing allocated.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// What was read and not yet consumed.
    pub fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Forgets the first `count` buffered bytes, or all if they are fewer.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The stream itself, such as to write to it. What is read from it directly comes behind what is buffered.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// As [`stream`](Self::stream).
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream alone; what is buffered is lost.
    pub fn into_stream(self) -> S {
        put_back(self.buffer);
        self.stream
    }

    /// The size of the buffer, in bytes.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the buffer's memory back if nothing is in it, so that an idle connection costs little.
    pub fn release(&mut self) {
        if self.start == self.end {
            put_back(mem::take(&mut self.buffer));
        }
    }

    /// Lets the next [`fill`](Self::fill) take up to so many bytes at once.
    pub fn reserve(&mut self, size: usize) {
        if self.buffer.len() < size.min(INPUT_LIMIT) {
            self.buffer.resize(size.min(INPUT_LIMIT), 0);
        }
    }

    /// Up to `out.len()` buffered bytes, consumed.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.end - self.start);
        if let (Some(to), Some(from)) = (out.get_mut(..count), self.buffered().get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        count
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.end < self.buffer.len() {
            return Ok(());
        }
        if self.buffer.is_empty() {
            self.buffer = spare();
            return Ok(());
        }
        // Moving pays only if it frees much; at the bound there is no choice.
        if self.start > 0
            && (self.start >= self.buffer.len() / 2 || self.buffer.len() >= INPUT_LIMIT)
        {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Ok(());
        }
        if self.buffer.len() >= INPUT_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more input than a head may have",
            ));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }
}

/// A buffer of the first size. What others left in it nobody sees: only what was read into it counts.
fn spare() -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| vec![0; FIRST])
}

fn put_back(buffer: Vec<u8>) {
    if buffer.len() == FIRST {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MOST_SPARE {
                spare.push(buffer);
            }
        });
    }
}

impl<S: Read> Input<S> {
    /// Reads once from the stream, behind what is buffered. `Ok(0)`: the stream has ended.
    ///
    /// # Errors
    /// Those of the stream but for `Interrupted`, and `InvalidData` if [`INPUT_LIMIT`] bytes are waiting already.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.make_room()?;
        loop {
            match self
                .stream
                .read(self.buffer.get_mut(self.end..).unwrap_or_default())
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.end = (self.end + count).min(self.buffer.len());
                    return Ok(count);
                }
            }
        }
    }
}

impl<S: Read> Read for Input<S> {
    /// What is buffered first, then straight from the stream.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start < self.end {
            Ok(self.take(out))
        } else {
            self.stream.read(out)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_ahead_comes_first() {
        let mut input = Input::new(&b"head\r\nbody"[..]);
        assert_eq!(input.fill().unwrap(), 10);
        input.consume(6);
        assert_eq!(input.buffered(), b"body");
        let mut out = [0; 3];
        assert_eq!((input.read(&mut out).unwrap(), out), (3, *b"bod"));
        assert_eq!((input.read(&mut out).unwrap(), out[0]), (1, b'y'));
        assert_eq!(
            (input.read(&mut out).unwrap(), input.fill().unwrap()),
            (0, 0)
        );
        input.consume(9);
        assert_eq!(input.buffered(), b"");
    }

    #[test]
    fn the_buffer_grows_to_its_bound_and_no_further() {
        let mut input = Input::new(io::repeat(b'a'));
        while input.buffered().len() < INPUT_LIMIT {
            input.fill().unwrap();
        }
        assert_eq!(input.fill().unwrap_err().kind(), io::ErrorKind::InvalidData);
        input.consume(1);
        assert_eq!(
            (input.fill().unwrap(), input.buffered().len()),
            (1, INPUT_LIMIT)
        );
    }

    #[test]
    fn memory_is_given_back_only_when_nothing_waits() {
        let mut input = Input::new(&b"ab"[..]);
        input.fill().unwrap();
        input.consume(1);
        input.release();
        assert_eq!(input.buffered(), b"b");
        input.consume(1);
        input.release();
        assert_eq!(input.buffer.capacity(), 0);
    }

    #[test]
    fn a_buffer_that_was_put_back_shows_nothing_of_before() {
        let mut first = Input::new(&b"a secret"[..]);
        first.fill().unwrap();
        first.consume(8);
        first.release();
        let mut second = Input::new(&b"ab"[..]);
        assert_eq!((second.fill().unwrap(), second.buffered()), (2, &b"ab"[..]));
        assert_eq!((second.fill().unwrap(), second.buffered()), (0, &b"ab"[..]));
        assert_eq!(first.held(), 0);
    }

    #[test]
    fn bytes_keep_their_order_through_moves_and_growth() {
        let all: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
        let mut input = Input::new(&all[..]);
        let mut seen = Vec::new();
        for step in (1..).map(|number| number * 37 % 5_003) {
            if input.buffered().len() < 60_000
                && input.fill().unwrap() == 0
                && input.buffered().is_empty()
            {
                break;
            }
            let count = step.min(input.buffered().len());
            seen.extend_from_slice(&input.buffered()[..count]);
            input.consume(count);
        }
        assert_eq!(seen, all);
    }
}
