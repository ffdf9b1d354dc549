//! A question of the gate's own to the backends, in the course of a client's request, whose answer is kept in memory.
//!
//! Owns its bounds: a backend has as long as who asks has patience, an answer no more bytes than who asks wants. It is safe to
//! repeat, so that it goes on to the next backend where one fails. What comes back is hostile.

use std::io::{self, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use super::backend::{Backend, Link, Repeat};
use super::choice::Tried;
use super::content::{Content, Overflow};
use super::context::Relay;
use super::dial::{Dial, Dialled};
use super::exchange::silence;
use super::response::{Heard, ResponseReader, Unanswered, may_do_better};
use super::sides::Asked;
use crate::http::{Body, Framing, Reading, Refusal, ResponseHead, Version};
use crate::reactor::{Context, Wait};
use crate::stream::early;

/// What is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// Reads of one step.
const STEP_READS: usize = 64;

/// One question.
#[derive(Debug)]
pub(super) struct Fetch {
    method: &'static str,
    outgoing: Vec<u8>,
    patience: Duration,
    /// Where an answer is kept, until there is one.
    content: Option<Content>,
    tried: Tried,
    failed: Failed,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    Choosing,
    Connecting(Attempt, Dial),
    Awaiting(Attempt, Box<Asked>),
    Reading(Attempt, Box<Asked>, Box<ResponseHead>, Reading, Content),
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    place: usize,
    begun: Instant,
    until: Instant,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) method: &'static str,
    pub(super) target: &'a str,
    /// The other fields, each with its line end.
    pub(super) fields: &'a [u8],
    /// How long a backend may take in all.
    pub(super) patience: Duration,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) head: ResponseHead,
    pub(super) body: Content,
}

/// Why there is none: what to tell the client, and the log.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) refusal: Refusal,
    pub(super) note: String,
}

/// How far it is.
pub(super) enum Turn {
    Wait(Wait),
    Done(Result<Fetched, Failed>),
}

enum Next {
    On(Stage),
    Stay(Stage, Wait),
    Done(Result<Fetched, Failed>),
}

impl Fetch {
    /// What comes back is kept in `content`.
    pub(super) fn new(
        relay: &Relay,
        question: &Question<'_>,
        content: Content,
        now: Instant,
    ) -> Fetch {
        let Question {
            method,
            target,
            fields,
            patience,
        } = *question;
        let mut outgoing = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        outgoing.extend_from_slice(fields);
        outgoing.extend_from_slice(b"\r\n");
        Fetch {
            method,
            outgoing,
            patience,
            content: Some(content),
            tried: relay.choice.round(None).leave(),
            failed: Failed {
                refusal: Refusal::BackendUnreachable,
                note: String::new(),
            },
            stage: Stage::Choosing,
            deadline: now + patience,
        }
    }

    /// When it is to be gone on with although nothing has happened.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn run(&mut self, relay: &Relay, cx: &mut Context<'_>) -> Turn {
        loop {
            if early::stops() {
                return Turn::Wait(Wait::Again);
            }
            let next = match mem::replace(&mut self.stage, Stage::Over) {
                Stage::Choosing => self.choose(relay, cx),
                Stage::Connecting(attempt, dial) => self.connect(attempt, dial, relay, cx),
                Stage::Awaiting(attempt, asked) => self.await_answer(attempt, asked, relay, cx),
                Stage::Reading(attempt, asked, head, reading, body) => {
                    self.read(attempt, asked, head, (reading, body), relay, cx)
                }
                Stage::Over => Next::Done(Err(self.give_up())),
            };
            match next {
                Next::On(stage) => self.stage = stage,
                Next::Stay(stage, wait) => {
                    self.stage = stage;
                    return Turn::Wait(wait);
                }
                Next::Done(done) => return Turn::Done(done),
            }
        }
    }

    fn choose(&mut self, relay: &Relay, cx: &mut Context<'_>) -> Next {
        let mut round = relay.choice.go_on(mem::take(&mut self.tried));
        let place = round.next(cx.now);
        let goes_on = round.has_next_if_this_fails(cx.now);
        self.tried = round.leave();
        let chosen = place.and_then(|place| Some((place, relay.backends.get(place)?)));
        let Some((place, backend)) = chosen else {
            return Next::Done(Err(self.give_up()));
        };
        let attempt = Attempt {
            place,
            begun: cx.now,
            until: cx.now + silence(goes_on, self.patience),
        };
        match backend.take_kept(Repeat::Safe, cx) {
            Some(link) => self.send(attempt, link),
            None => Next::On(Stage::Connecting(attempt, Dial::new(cx.now))),
        }
    }

    fn connect(
        &mut self,
        attempt: Attempt,
        dial: Dial,
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        let Some(backend) = relay.backends.get(attempt.place) else {
            return Next::On(Stage::Choosing);
        };
        match dial.run(backend, cx) {
            Dialled::Waits(dial, wait) => {
                self.deadline = dial.deadline();
                Next::Stay(Stage::Connecting(attempt, dial), wait)
            }
            Dialled::Done(stream) => {
                backend.dialled(Ok(()));
                self.send(attempt, Link::new(stream, false))
            }
            Dialled::Failed(error) => {
                backend.dialled(Err(&error));
                relay.choice.failed(attempt.place, cx.now);
                self.failed(backend, Refusal::BackendUnreachable, &error);
                Next::On(Stage::Choosing)
            }
        }
    }

    fn send(&mut self, attempt: Attempt, mut link: Link) -> Next {
        // Where that fails reading fails too, or finds an answer that came before.
        let _ = link.input.stream_mut().write_all(&self.outgoing);
        let reader = ResponseReader::new();
        Next::On(Stage::Awaiting(attempt, Box::new(Asked { link, reader })))
    }

    fn await_answer(
        &mut self,
        attempt: Attempt,
        mut asked: Box<Asked>,
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        // As above.
        let _ = asked.link.input.stream_mut().push();
        let heard = asked
            .reader
            .read(&mut asked.link, self.method, Version::Http10);
        let wait = match heard {
            Err(why) => return self.unanswered(attempt, &why, relay, cx),
            Ok(Heard::Final(head)) => return self.answered(attempt, asked, head, relay, cx),
            Ok(Heard::Turn) => Wait::Again,
            Ok(Heard::Nothing | Heard::Begun) => {
                Wait::unless(asked.link.input.stream_mut().may_have_more())
            }
        };
        if cx.now >= attempt.until {
            return self.unanswered(attempt, &Unanswered::Silent, relay, cx);
        }
        self.deadline = attempt.until;
        Next::Stay(Stage::Awaiting(attempt, asked), wait)
    }

    fn answered(
        &mut self,
        attempt: Attempt,
        asked: Box<Asked>,
        head: Box<ResponseHead>,
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        relay.choice.answered(attempt.place, attempt.begun);
        let round = relay.choice.go_on(mem::take(&mut self.tried));
        let has_next = round.has_next(cx.now);
        self.tried = round.leave();
        if may_do_better(head.status()) && has_next {
            return Next::On(Stage::Choosing);
        }
        let reading = Reading::new(head.framing());
        match self.content.take() {
            Some(content) => Next::On(Stage::Reading(attempt, asked, head, reading, content)),
            None => Next::Done(Err(self.give_up())),
        }
    }

    fn read(
        &mut self,
        attempt: Attempt,
        mut asked: Box<Asked>,
        head: Box<ResponseHead>,
        (reading, mut content): (Reading, Content),
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        let mut body = Body::resume(&mut asked.link.input, reading);
        let mut piece = vec![0; PIECE];
        let mut stop = Ok(Wait::Again);
        for _ in 0..STEP_READS {
            stop = match body.read(&mut piece) {
                Ok(0) => Ok(Wait::Done),
                Ok(length) => {
                    let piece = piece.get(..length).unwrap_or_default();
                    match content.add(piece, &relay.contents) {
                        Ok(()) => continue,
                        Err(Overflow::TooLong) => Err("its answer is too long".to_owned()),
                        Err(Overflow::NoRoom) => {
                            return Next::Done(Err(Failed {
                                refusal: Overflow::NoRoom.refusal(),
                                note: "no room for its answer".to_owned(),
                            }));
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Ok(Wait::unless(body.stream_mut().may_have_more()))
                }
                Err(error) => Err(error.to_string()),
            };
            break;
        }
        let is_complete = body.is_complete();
        let reading = body.pause();
        let Some(backend) = relay.backends.get(attempt.place) else {
            return Next::Done(Err(self.give_up()));
        };
        match stop {
            Ok(Wait::Done) => {
                let is_reusable =
                    is_complete && head.keeps_alive() && head.framing() != Framing::UntilClose;
                if is_reusable {
                    backend.keep(asked.link, cx);
                }
                Next::Done(Ok(Fetched {
                    head: *head,
                    body: content,
                }))
            }
            Ok(_) if cx.now >= attempt.until => {
                content.take();
                self.content = Some(content);
                self.unanswered(attempt, &Unanswered::Silent, relay, cx)
            }
            Ok(wait) => {
                self.deadline = attempt.until;
                Next::Stay(Stage::Reading(attempt, asked, head, reading, content), wait)
            }
            Err(why) => {
                content.take();
                self.content = Some(content);
                self.failed(backend, Refusal::BackendGarbled, &why);
                Next::On(Stage::Choosing)
            }
        }
    }

    fn unanswered(
        &mut self,
        attempt: Attempt,
        why: &Unanswered,
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        if let Unanswered::ClosedMeanwhile = why {
            // Every server closes what is kept, and a new connection will tell how it is.
            return Next::On(Stage::Connecting(attempt, Dial::new(cx.now)));
        }
        relay.put_aside(attempt.place, why, attempt.begun, cx.now);
        if let Some(backend) = relay.backends.get(attempt.place) {
            self.failed(backend, why.refusal(), why);
        }
        Next::On(Stage::Choosing)
    }

    fn failed(&mut self, backend: &Backend, refusal: Refusal, why: &dyn std::fmt::Display) {
        self.failed = Failed {
            refusal,
            note: format!("backend {}: {why}", backend.address()),
        };
    }

    fn give_up(&mut self) -> Failed {
        let nothing = Failed {
            refusal: Refusal::BackendUnreachable,
            note: String::new(),
        };
        mem::replace(&mut self.failed, nothing)
    }
}
