//! Answers of our own, which are all noes but for an auth service's yes: the answer, the rest of the
//! body that is still coming, and the goodbye to those who go on sending. Nothing here waits for the
//! client.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::record::Record;
use super::service::Service;
use super::state::{Connection, Lingering, Next, Skipping, State};
use crate::gate::tokens::lifetime;
use crate::gate::{Grant, Task};
use crate::http::Unread;
use crate::http::{
    Body, Framing, INPUT_LIMIT, Input, Refusal, RequestHead, Shape, Version, is_bad_chunk,
    write_catalog, write_confirmation, write_ready, write_token,
};
use crate::reactor::{Context, Wait};
use crate::relay::Listed;
use crate::stream::Progress;

/// The rest of a refused request's body, in bytes, that is read so that the connection can be kept.
const WORTH_SKIPPING: u64 = 64 * 1024;
/// Pieces in which a refused chunked body may arrive for its connection to be kept.
const MOST_LOOKS: u32 = 64;
/// A client that was told no may go on sending for this long in all...
const LINGER_FOR: Duration = Duration::from_secs(30);
/// ...and be silent for this long, before its connection is closed under it.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// Reads that one step of lingering makes, so that one client does not hold up others.
const LINGER_READS: usize = 16;
/// The status of those who are told to come again later...
const THROTTLED: u16 = 429;
/// ...and who may do so on the same connection after this: answering at full speed somebody who does not listen would take
/// half of the machine from those who are in.
const PAUSE: Duration = Duration::from_millis(250);
/// The status of all that is no refusal.
pub(super) const OK: u16 = 200;

/// What a connection does after an answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Rest,
    Skip(Skipping),
    Part,
}

impl Connection {
    /// Says no. `head` is the request's, if it could be read.
    pub(super) fn refuse(
        &mut self,
        refusal: Refusal,
        head: Option<&RequestHead>,
        unread: Unread,
        mut record: Record,
        cx: &Context<'_>,
    ) -> Next {
        let why = || refusal.message().to_owned();
        record.note.get_or_insert_with(why);
        let after = match refusal.breaks_framing() {
            true => After::Part,
            false => after(unread, head, &self.service),
        };
        let mut answer = Vec::with_capacity(512);
        record.down = refusal.write(&mut answer, shape(head, after, &record));
        self.say(&answer, refusal.status(), after, record, cx)
    }

    /// Says yes, and nothing more: what the request is about is the business of the proxy that asks.
    pub(super) fn confirm(
        &mut self,
        head: &RequestHead,
        grant: &Grant,
        mut record: Record,
        cx: &Context<'_>,
    ) -> Next {
        record.name(grant);
        let user = grant.header_safe_user();
        self.answer(OK, head, record, cx, |out, to| {
            write_confirmation(out, user, to)
        })
    }

    /// Shows a page of the catalogue.
    pub(super) fn list(
        &mut self,
        listed: Listed,
        head: &RequestHead,
        grant: &Grant,
        record: Record,
        cx: &Context<'_>,
    ) -> Next {
        let Listed { names, next, rooms } = listed;
        self.lent = rooms;
        let next = next.and_then(|last| {
            let Task::List(page, _) = grant.task() else {
                return None;
            };
            match names.last().is_some_and(|shown| shown.as_bytes() == last) {
                true => Some(page.behind(&last)),
                false => {
                    let cursor = record.site.as_ref()?.gatekeeper.cursor(&last)?;
                    Some(page.behind(cursor.as_bytes()))
                }
            }
        });
        self.answer(OK, head, record, cx, |out, to| {
            write_catalog(out, &names, next.as_deref(), to)
        })
    }

    /// Gives a token.
    pub(super) fn give_token(
        &mut self,
        token: &str,
        head: &RequestHead,
        record: Record,
        cx: &Context<'_>,
    ) -> Next {
        self.answer(OK, head, record, cx, |out, to| {
            write_token(out, token, lifetime(), to)
        })
    }

    /// Says whether the gate is ready, to whoever asks on the path for that.
    pub(super) fn tell_health(
        &mut self,
        ready: Result<(), String>,
        head: &RequestHead,
        mut record: Record,
        cx: &Context<'_>,
    ) -> Next {
        if let Err(why) = ready {
            record.note = Some(why);
            let unread = Unread::whole(head);
            return self.refuse(Refusal::NotReady, Some(head), unread, record, cx);
        }
        self.answer(OK, head, record, cx, write_ready)
    }

    /// Says yes in some form. `write` appends the answer, and says how much content it has.
    pub(super) fn answer(
        &mut self,
        status: u16,
        head: &RequestHead,
        mut record: Record,
        cx: &Context<'_>,
        write: impl FnOnce(&mut Vec<u8>, Shape) -> u64,
    ) -> Next {
        let after = after(Unread::whole(head), Some(head), &self.service);
        let mut answer = Vec::with_capacity(512);
        record.down = write(&mut answer, shape(Some(head), after, &record));
        self.say(&answer, status, after, record, cx)
    }

    /// Sends an answer that is there whole.
    fn say(
        &mut self,
        answer: &[u8],
        status: u16,
        after: After,
        mut record: Record,
        cx: &Context<'_>,
    ) -> Next {
        let said = self.input.stream_mut().write_all(answer);
        if said.is_err() {
            record.down = 0;
        }
        record.write(status);
        if said.is_err() {
            return Next::Abort;
        }
        self.place.was_refused();
        let rest = self.rest(cx);
        match after {
            _ if self.must_leave || self.is_draining => self.part(cx),
            After::Part => self.part(cx),
            After::Skip(skipping) => Next::On(State::Skipping(skipping)),
            After::Rest if status == THROTTLED => {
                let until = cx.now + PAUSE;
                self.deadline = until;
                Next::On(State::Paused(until))
            }
            After::Rest => rest,
        }
    }

    /// Leaves it alone for a while: nothing is read of it.
    pub(super) fn pause(&mut self, until: Instant, cx: &Context<'_>) -> Next {
        if self.input.stream().socket().is_torn() {
            return Next::Abort;
        }
        match cx.now < until {
            true => Next::Stay(State::Paused(until), Wait::Event),
            false => self.rest(cx),
        }
    }

    pub(super) fn skip(&mut self, skipping: Skipping, cx: &Context<'_>) -> Next {
        let left = match skipping {
            Skipping::Bytes(left) => self.skip_bytes(left),
            Skipping::Chunks { looks } => match self.skip_chunks(looks) {
                Ok(left) => left,
                Err(()) => return self.part(cx),
            },
        };
        let Some(skipping) = left else {
            return self.rest(cx);
        };
        match self.fill(State::Skipping(skipping), cx) {
            Ok(()) => Next::Stay(State::Skipping(skipping), Wait::Again),
            Err(next) => next,
        }
    }

    /// What is still to come.
    fn skip_bytes(&mut self, left: u64) -> Option<Skipping> {
        let here = self.input.buffered().len();
        let skipped = usize::try_from(left).map_or(here, |left| left.min(here));
        self.input.consume(skipped);
        Some(left - skipped as u64)
            .filter(|left| *left > 0)
            .map(Skipping::Bytes)
    }

    /// Skips a chunked body once all of it is buffered, which bounds it by the buffer.
    fn skip_chunks(&mut self, looks: u32) -> Result<Option<Skipping>, ()> {
        let here = self.input.buffered();
        let mut whole = Input::new(here);
        let mut body = Body::new(&mut whole, Framing::Chunked);
        match io::copy(&mut body, &mut io::sink()) {
            Ok(_) => {
                let left = whole.buffered().len() + whole.into_stream().len();
                self.input.consume(here.len() - left);
                Ok(None)
            }
            Err(error) if is_bad_chunk(&error) => Err(()),
            // It drips, or does not end within the buffer.
            Err(_) if looks == MOST_LOOKS || here.len() >= INPUT_LIMIT => Err(()),
            Err(_) => Ok(Some(Skipping::Chunks { looks: looks + 1 })),
        }
    }

    /// Says goodbye, and goes on reading what still comes: closed at once, the answer would be lost to a client that sends.
    pub(super) fn part(&mut self, cx: &Context<'_>) -> Next {
        Next::On(self.goodbye(cx.now))
    }

    pub(super) fn goodbye(&mut self, now: Instant) -> State {
        self.input.release();
        self.deadline = now + LINGER_SILENCE;
        self.place.lingers();
        self.input.stream_mut().say_goodbye();
        State::Lingering(Lingering {
            until: now + LINGER_FOR,
            is_told: false,
        })
    }

    /// Throws away what has come. Never decrypts.
    pub(super) fn linger(&mut self, mut lingering: Lingering, cx: &Context<'_>) -> Next {
        if !lingering.is_told {
            match self.input.stream_mut().push() {
                Ok(Progress::Done) => {
                    self.input.stream().socket().half_close();
                    lingering.is_told = true;
                }
                Ok(Progress::Waits(_)) => {}
                Err(_) => return Next::Abandon,
            }
        }
        let socket = self.input.stream().socket();
        for reads in 0..LINGER_READS {
            match socket.discard() {
                Ok(0) if lingering.is_told || cx.now >= self.deadline => return Next::Abandon,
                // It says no more, and has not been told all yet.
                Ok(0) => return Next::Stay(State::Lingering(lingering), Wait::Event),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if reads > 0 {
                        self.deadline = lingering.until.min(cx.now + LINGER_SILENCE);
                    }
                    return match cx.now < self.deadline {
                        true => Next::Stay(State::Lingering(lingering), Wait::Event),
                        false => Next::Abandon,
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Next::Abandon,
            }
        }
        self.deadline = lingering.until.min(cx.now + LINGER_SILENCE);
        match cx.now < lingering.until {
            true => Next::Stay(State::Lingering(lingering), Wait::Again),
            false => Next::Abandon,
        }
    }
}

/// What a connection does after an answer of our own, with this much of the request unread.
fn after(unread: Unread, head: Option<&RequestHead>, service: &Service) -> After {
    let may_stay = head.is_some_and(RequestHead::keeps_alive)
        && (unread == Unread::Exactly(0) || service.mode.gets_bodies())
        && !service.draining.load(Ordering::Relaxed);
    match unread {
        _ if !may_stay => After::Part,
        Unread::Exactly(0) => After::Rest,
        Unread::Exactly(left) if left <= WORTH_SKIPPING => After::Skip(Skipping::Bytes(left)),
        Unread::Chunks => After::Skip(Skipping::Chunks { looks: 0 }),
        Unread::Exactly(_) | Unread::Unknown => After::Part,
    }
}

fn shape(head: Option<&RequestHead>, after: After, record: &Record) -> Shape {
    Shape {
        form: record.form,
        head_only: record.method == "HEAD",
        keep: after != After::Part,
        version: head.map_or(Version::Http11, RequestHead::version),
    }
}
