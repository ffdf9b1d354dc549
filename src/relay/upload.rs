//! A request's body on its way up.

use std::io::{self, IoSlice, Write};
use std::time::Duration;

use super::answer::Hearing;
use super::backend::Link;
use super::bulk::{Bulk, Sink};
use super::transfer::{self, Failure};
use super::{Relay, Unread};
use crate::http::{Body, ChunkWriter, Framing, Input};
use crate::leader::step_down;
use crate::stream::{Patience, Pipe, Stream, Unblocked, spoke, turned_elsewhere};

/// Ciphertext of a big upload is read in pieces of this size: 83 system calls a MiB become 16.
const READ_AHEAD: usize = 256 * 1024;
/// Shorter bodies are not worth that buffer.
const WORTH_READING_AHEAD: u64 = 256 * 1024;

/// What ended an upload.
pub(super) enum Upload {
    /// The backend has it all.
    Whole,
    /// The backend answered or closed before it had all; this much is left.
    Stopped(Unread),
    /// The client did not send it all, or not properly.
    Cut(io::Error),
}

/// Sends the client's body to the backend, until one of the two ends it. `up` counts its bytes.
pub(super) fn run(
    relay: &Relay,
    client: &mut Input<Stream>,
    framing: Framing,
    link: &mut Link,
    hearing: &mut Hearing,
    up: &mut u64,
) -> Upload {
    // A client that pauses must not keep the backend's early answer from us.
    let backend = link.input.stream().socket().clone();
    client.stream_mut().patience = Patience::Watching(backend);
    let is_big = !matches!(framing, Framing::Length(length) if length < WORTH_READING_AHEAD);
    let share = is_big.then(|| relay.budget.share(READ_AHEAD)).flatten();
    if is_big {
        // It may never have to wait, and take seconds all the same.
        step_down();
    }
    if share.is_some() {
        client.stream_mut().read_ahead(READ_AHEAD);
    }
    let mut body = Body::new(client, framing);
    let upload = pump(relay, &mut body, framing, link, hearing, up);
    let client = body.into_input().stream_mut();
    client.read_as_needed();
    client.patience = Patience::Full;
    upload
}

fn pump(
    relay: &Relay,
    body: &mut Body<'_, Stream>,
    framing: Framing,
    link: &mut Link,
    hearing: &mut Hearing,
    up: &mut u64,
) -> Upload {
    let bulk = Bulk::of(body, link.input.stream(), &relay.budget);
    // What either says must be heard while the other has no room, or nothing to give.
    let mut bulk = bulk.and_then(|bulk| {
        let client = Unblocked::new(body.stream_mut().socket()).ok()?;
        let backend = Unblocked::new(link.input.stream().socket()).ok()?;
        Some((bulk, client, backend))
    });
    loop {
        let mut backend = Uphill {
            relay,
            link,
            hearing,
        };
        let copied = match framing {
            Framing::Chunked => {
                let mut chunks = ChunkWriter::new(&mut backend);
                transfer::copy(body, &mut chunks, None, &relay.budget, up)
                    .and_then(|()| chunks.finish(b"").map_err(Failure::Sink))
            }
            _ => {
                let carried = match &mut bulk {
                    Some((bulk, ..)) => bulk.carry(body, &mut backend, up),
                    None => Ok(()),
                };
                let length = body.remaining_length();
                if carried.is_ok() {
                    // All is done, or the rest cannot go this way.
                    bulk = None;
                }
                carried.and_then(|()| transfer::copy(body, &mut backend, length, &relay.budget, up))
            }
        };
        match copied.and_then(|()| backend.flush().map_err(Failure::Sink)) {
            Ok(()) => return Upload::Whole,
            Err(Failure::Source(error)) if turned_elsewhere(&error) => {
                if hearing.look(link) {
                    break;
                }
            }
            Err(Failure::Source(error)) => return Upload::Cut(error),
            // It answered, or it is gone; perhaps it answered before it went.
            Err(Failure::Sink(_)) => break,
        }
    }
    Upload::Stopped(
        body.remaining_length()
            .map_or(Unread::Unknown, Unread::Exactly),
    )
}

/// The way up to the backend: each write looks first whether it has answered.
struct Uphill<'a> {
    relay: &'a Relay,
    link: &'a mut Link,
    hearing: &'a mut Hearing,
}

impl Write for Uphill<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.unless_answered(|stream, silence| stream.write_unless_spoken(pieces, silence))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_answered(|stream, silence| stream.flush_unless_spoken(silence))
    }
}

impl Sink for Uphill<'_> {
    fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        self.unless_answered(|stream, silence| stream.pour_unless_spoken(pipe, silence))
    }
}

impl Uphill<'_> {
    /// Does it again as long as what the backend says is no final answer.
    fn unless_answered<T>(
        &mut self,
        mut work: impl FnMut(&mut Stream, Duration) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match work(self.link.input.stream_mut(), self.relay.body_timeout) {
                Err(error) if spoke(&error) && !self.hearing.look(self.link) => {}
                done => return done,
            }
        }
    }
}
