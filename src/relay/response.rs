//! The head of a backend's answer, early or in time.

use std::fmt;
use std::io;

use super::backend::Link;
use crate::http::{BadResponse, Input, Refusal, ResponseHead, Version, write_interim_head};
use crate::stream::{Stream, early};

/// Informational answers before the final one; a backend that sends more is not sane.
const MOST_INTERIM: u32 = 32;
/// Reads of one step before others have their turn.
const READS: usize = 16;

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
    /// It switched protocols unasked, or to another one than was asked for.
    Switched,
    /// It said nothing in time.
    Silent,
}

impl Unanswered {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Unanswered::Closed | Unanswered::ClosedMeanwhile | Unanswered::Broken(_) => {
                Refusal::BackendUnreachable
            }
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
            Unanswered::Switched => f.write_str("switched protocols unasked, or to another one"),
            Unanswered::Silent => f.write_str("no answer in time"),
        }
    }
}

/// What a look at the backend has found.
#[derive(Debug)]
pub(super) enum Heard {
    /// Nothing more is there now.
    Nothing,
    /// A final answer has begun, of which the rest is to come.
    Begun,
    /// The head of the final answer.
    Final(Box<ResponseHead>),
    /// It is others' turn, and more may be there.
    Turn,
}

/// Reads the answer to one request up to the end of its head.
#[derive(Debug)]
pub(super) struct ResponseReader {
    /// Interim answers that are still to be passed on.
    pub(super) interim: Vec<u8>,
    interims: u32,
    /// Whether it may be that the backend switches to the protocol of a WebSocket.
    may_switch: bool,
}

impl ResponseReader {
    pub(super) fn new() -> ResponseReader {
        ResponseReader {
            interim: Vec::new(),
            interims: 0,
            may_switch: false,
        }
    }

    /// Of an answer that may switch protocols, or not.
    pub(super) fn for_websocket(self, may_switch: bool) -> ResponseReader {
        ResponseReader { may_switch, ..self }
    }

    /// Takes in what is there. Interim answers are noted, and change nothing.
    pub(super) fn read(
        &mut self,
        link: &mut Link,
        method: &str,
        client: Version,
    ) -> Result<Heard, Unanswered> {
        for _ in 0..READS {
            if let Some(head) = self.parse(&mut link.input, method, client)? {
                return Ok(Heard::Final(Box::new(head)));
            }
            if early::stops() {
                break;
            }
            let filled = match link.input.stream_mut().may_have_more() {
                true => link.input.fill(),
                // It would only want a buffer.
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
            match filled {
                Ok(0) => return Err(self.ended(link, io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(match begins_final(link.input.buffered()) {
                        true => Heard::Begun,
                        false => Heard::Nothing,
                    });
                }
                Err(error) => return Err(self.ended(link, error)),
            }
        }
        Ok(Heard::Turn)
    }

    fn ended(&self, link: &Link, error: io::Error) -> Unanswered {
        match link.input.buffered().is_empty() && self.interims == 0 {
            true if link.is_reused => Unanswered::ClosedMeanwhile,
            true => Unanswered::Closed,
            false => Unanswered::Broken(error),
        }
    }

    /// Takes whole heads out of what is buffered, up to the final one.
    fn parse(
        &mut self,
        input: &mut Input<Stream>,
        method: &str,
        client: Version,
    ) -> Result<Option<ResponseHead>, Unanswered> {
        loop {
            let parsed = match input.buffered().is_empty() {
                true => None,
                false => {
                    ResponseHead::parse(input.buffered(), method).map_err(Unanswered::Garbled)?
                }
            };
            let Some((head, length)) = parsed else {
                return Ok(None);
            };
            input.consume(length);
            match head.status() {
                101 if self.may_switch && head.is_websocket() => return Ok(Some(head)),
                101 => return Err(Unanswered::Switched),
                100..=199 if self.interims == MOST_INTERIM => return Err(Unanswered::Endless),
                // Our own went out when the client waited for one.
                100 => self.interims += 1,
                102..=199 => {
                    self.interims += 1;
                    if client == Version::Http11 {
                        write_interim_head(&mut self.interim, &head);
                    }
                }
                _ => return Ok(Some(head)),
            }
        }
    }
}

/// Whether the beginning of a head is that of a final answer: `HTTP/1.1 ` and no `1` behind it.
fn begins_final(head: &[u8]) -> bool {
    head.get(9).is_some_and(|digit| *digit != b'1')
}

/// Whether a status says that another backend may do better.
pub(super) fn may_do_better(status: u16) -> bool {
    matches!(status, 500 | 502..=504)
}
