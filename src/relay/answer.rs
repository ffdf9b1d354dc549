//! The backend's answer: its head, early or in time, and its way down to the client.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::time::Duration;

use super::backend::Link;
use super::bulk::Bulk;
use super::transfer::{self, Failure};
use super::{End, Errand, Outcome, Relay, Reuse, Then};
use crate::http::{
    BadResponse, Body, ChunkWriter, Framing, Input, Refusal, ResponseHead, ResponseShape, Version,
    write_interim_head, write_response_head,
};
use crate::stream::{Patience, Stream, timed_out};

/// Informational answers before the final one; a backend that sends more is not sane.
const MOST_INTERIM: u32 = 32;

/// What of a body goes out with its head in one write, in bytes.
const MOST_GATHERED: usize = 64 * 1024;

/// Why there is no answer to pass on.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The backend closed before a byte of an answer.
    Closed,
    /// It did so on a connection that had served before: it may have closed that before this request.
    ClosedMeanwhile,
    /// The connection broke in the middle of a head.
    Broken(io::Error),
    /// What it sent is not HTTP as we understand it.
    Garbled(BadResponse),
    /// Its interim answers do not end.
    Endless,
    /// It switched protocols unasked.
    Switched,
    /// It said nothing in time.
    Silent,
    /// The client was torn down meanwhile.
    Torn,
}

impl Unanswered {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Unanswered::Closed
            | Unanswered::ClosedMeanwhile
            | Unanswered::Broken(_)
            | Unanswered::Torn => Refusal::BackendUnreachable,
            Unanswered::Garbled(_) | Unanswered::Endless | Unanswered::Switched => {
                Refusal::BackendGarbled
            }
            Unanswered::Silent => Refusal::BackendSilent,
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Closed => f.write_str("closed the connection without an answer"),
            Unanswered::ClosedMeanwhile => {
                f.write_str("closed a kept connection without an answer")
            }
            Unanswered::Broken(error) => {
                write!(f, "broke off within the head of its answer: {error}")
            }
            Unanswered::Garbled(fault) => write!(f, "its answer is not valid HTTP: {fault}"),
            Unanswered::Endless => f.write_str("its interim answers do not end"),
            Unanswered::Switched => f.write_str("switched protocols unasked"),
            Unanswered::Silent => f.write_str("no answer in time"),
            Unanswered::Torn => f.write_str("not asked for any longer"),
        }
    }
}

/// What the backend has said so far.
#[derive(Debug)]
pub(super) struct Hearing {
    method: String,
    client: Version,
    /// Interim answers that are still to be passed on.
    interim: Vec<u8>,
    interims: u32,
    /// The final head, or why there will be none.
    heard: Option<Result<ResponseHead, Unanswered>>,
}

impl Hearing {
    pub(super) fn new(method: &str, client: Version) -> Hearing {
        Hearing {
            method: method.to_owned(),
            client,
            interim: Vec::new(),
            interims: 0,
            heard: None,
        }
    }

    /// Takes in what is there without waiting. `true` when the upload is over: a final answer has
    /// begun, or there will be none. Interim answers are noted, and change nothing.
    pub(super) fn look(&mut self, link: &mut Link) -> bool {
        link.input.stream_mut().patience = Patience::None;
        match link.input.fill() {
            Ok(0) => self.heard = Some(Err(self.ended(link, io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => self.parse(&mut link.input),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.heard = Some(Err(self.ended(link, error))),
        }
        link.input.stream_mut().patience = Patience::Full;
        self.heard.is_some() || begins_final(link.input.buffered())
    }

    /// Whether anything was heard of an answer.
    pub(super) fn has_begun(&self) -> bool {
        self.heard.is_some() || self.interims > 0
    }

    /// Waits for the final head, `limit` for its first byte and `silence` between two. Interim
    /// answers reach the client as they come. Ends early when the client is torn down.
    pub(super) fn wait(
        &mut self,
        link: &mut Link,
        client: &mut Stream,
        limit: Duration,
        silence: Duration,
    ) -> Result<ResponseHead, Unanswered> {
        link.input.stream_mut().patience = Patience::Full;
        loop {
            if let Some(heard) = self.heard.take() {
                return heard;
            }
            if client.write_all(&mem::take(&mut self.interim)).is_err() {
                return Err(Unanswered::Torn);
            }
            let limit = match link.input.buffered().is_empty() {
                true => limit,
                false => silence,
            };
            let backend = link.input.stream_mut();
            if let Err(error) = backend.await_word(client.socket(), limit) {
                return Err(match error.kind() {
                    io::ErrorKind::TimedOut => Unanswered::Silent,
                    io::ErrorKind::ConnectionAborted => Unanswered::Torn,
                    _ => self.ended(link, error),
                });
            }
            match link.input.fill() {
                Ok(0) => return Err(self.ended(link, io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => self.parse(&mut link.input),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(Unanswered::Silent);
                }
                Err(error) => return Err(self.ended(link, error)),
            }
        }
    }

    fn ended(&self, link: &Link, error: io::Error) -> Unanswered {
        match link.input.buffered().is_empty() && self.interims == 0 {
            true if link.reused => Unanswered::ClosedMeanwhile,
            true => Unanswered::Closed,
            false => Unanswered::Broken(error),
        }
    }

    /// Takes whole heads out of what is buffered, up to the final one.
    fn parse(&mut self, input: &mut Input<Stream>) {
        while self.heard.is_none() {
            match ResponseHead::parse(input.buffered(), &self.method) {
                Ok(None) => return,
                Ok(Some((head, length))) => {
                    input.consume(length);
                    self.sort(head);
                }
                Err(fault) => self.heard = Some(Err(Unanswered::Garbled(fault))),
            }
        }
    }

    fn sort(&mut self, head: ResponseHead) {
        match head.status() {
            101 => self.heard = Some(Err(Unanswered::Switched)),
            100..=199 if self.interims == MOST_INTERIM => {
                self.heard = Some(Err(Unanswered::Endless))
            }
            // Our own went out when the client waited for one.
            100 => self.interims += 1,
            102..=199 => {
                self.interims += 1;
                if self.client == Version::Http11 {
                    write_interim_head(&mut self.interim, &head);
                }
            }
            _ => self.heard = Some(Ok(head)),
        }
    }
}

/// Whether the beginning of a head is that of a final answer: `HTTP/1.1 ` and no `1` behind it.
fn begins_final(head: &[u8]) -> bool {
    head.get(9).is_some_and(|digit| *digit != b'1')
}

/// Whether the backend was given all of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// All, to the last chunk.
    Whole,
    /// The upload was stopped. Whatever comes next on that connection would be taken for the rest.
    Partly,
}

/// A final answer whose head has come.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where its body comes from.
    pub(super) link: Link,
    /// What came before it.
    pub(super) hearing: Hearing,
    /// Its head.
    pub(super) head: ResponseHead,
    /// Whether the request was all sent when it came.
    pub(super) uploaded: Uploaded,
}

/// How an answer's body is framed for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    AsLength,
    AsChunks,
    UntilClose,
}

/// Passes the final answer on. Whether the backend connection may be kept is the result; how it
/// went for the client is in `outcome`.
pub(super) fn deliver(
    errand: Errand<'_>,
    client: &mut Stream,
    answer: &mut Answer,
    outcome: &mut Outcome,
) -> Reuse {
    let Errand { relay, request, .. } = errand;
    let Answer {
        link,
        hearing,
        head,
        uploaded,
    } = answer;
    let framing = head.framing();
    let sent = match (framing, request.head.version()) {
        (Framing::Empty | Framing::Length(_), _) => Sent::AsLength,
        (Framing::Chunked | Framing::UntilClose, Version::Http11) => Sent::AsChunks,
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Sent::UntilClose,
    };
    let uploaded = *uploaded == Uploaded::Whole;
    let keep =
        request.may_keep && request.head.keeps_alive() && uploaded && sent != Sent::UntilClose;
    // If this process ends, or a bug ends this request, what looks whole by its end alone must not.
    if sent == Sent::UntilClose {
        client.socket().abort_on_close(true);
    }

    let mut first = mem::take(&mut hearing.interim);
    let location = errand.location(head);
    write_response_head(
        &mut first,
        head,
        &ResponseShape {
            version: request.head.version(),
            keep,
            chunked: sent == Sent::AsChunks,
            location: location.as_deref(),
        },
    );
    outcome.digest = head
        .values("docker-content-digest")
        .next()
        .map(<[u8]>::to_vec);
    outcome.asks_for_password = head.asks_for_password();
    let then = if keep { Then::Keep } else { Then::Close };
    outcome.end = End::Answered(head.status(), then);
    client.patience = Patience::Full;

    let mut body = Body::new(&mut link.input, framing);
    let passed = pass_on(
        relay,
        client,
        &mut body,
        sent,
        head,
        first,
        &mut outcome.down,
    );
    match passed {
        Ok(()) => {}
        Err(Failure::Source(error)) => {
            outcome.end = End::Answered(head.status(), Then::Abort);
            outcome.note = Some(format!("answer cut short by the backend: {error}"));
            return Reuse::No;
        }
        Err(Failure::Sink(error)) => {
            outcome.end = End::Answered(head.status(), Then::Abort);
            outcome.note = Some(match timed_out(&error) {
                true => "client took nothing for too long".into(),
                false => "client went away".into(),
            });
            return Reuse::No;
        }
    }
    if sent == Sent::UntilClose {
        client.socket().abort_on_close(false);
    }
    match uploaded && head.keeps_alive() && body.is_complete() && framing != Framing::UntilClose {
        true => Reuse::Yes,
        false => Reuse::No,
    }
}

/// Writes `first` and the body after it. What of the body is there already goes out with the head,
/// so that a small answer is one write and one TLS record.
fn pass_on(
    relay: &Relay,
    client: &mut Stream,
    body: &mut Body<'_, Stream>,
    sent: Sent,
    head: &ResponseHead,
    mut first: Vec<u8>,
    down: &mut u64,
) -> Result<(), Failure> {
    let (taken, gathered) = gather(body, sent, head, &mut first);
    client.write_all(&first).map_err(Failure::Sink)?;
    *down += taken;
    drop(first);
    if gathered? {
        return Ok(());
    }

    if sent == Sent::AsLength
        && let Some(mut bulk) = Bulk::of(body, client, &relay.budget)
    {
        bulk.carry(body, client, down)?;
    }
    let length = body.remaining_length();
    if sent != Sent::AsChunks {
        return transfer::copy(body, client, length, &relay.budget, down);
    }
    let mut chunks = ChunkWriter::new(client);
    transfer::copy(body, &mut chunks, length, &relay.budget, down)?;
    chunks
        .finish(&head.announced(body.trailers()))
        .map_err(Failure::Sink)
}

/// Appends to `first` what of the body is there, framed. Says how many bytes of content that was
/// and whether it was all.
fn gather(
    body: &mut Body<'_, Stream>,
    sent: Sent,
    head: &ResponseHead,
    first: &mut Vec<u8>,
) -> (u64, Result<bool, Failure>) {
    let mut taken = 0;
    let mut piece = Vec::new();
    body.stream_mut().patience = Patience::None;
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
                match sent {
                    // Writing to memory does not fail.
                    Sent::AsChunks => drop(ChunkWriter::new(&mut *first).write_all(content)),
                    Sent::AsLength | Sent::UntilClose => first.extend_from_slice(content),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
            Err(error) => break Err(Failure::Source(error)),
        }
    };
    body.stream_mut().patience = Patience::Full;
    if let (Ok(true), Sent::AsChunks) = (&gathered, sent) {
        drop(ChunkWriter::new(&mut *first).finish(&head.announced(body.trailers())));
    }
    (taken, gathered)
}
