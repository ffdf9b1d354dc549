//! One request over one backend connection, up to the head of its answer.
//!
//! Half duplex: head, then body up, then answer down. While the body goes up the backend is
//! watched for an answer that comes early, and a final one stops the upload.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::answer::{Answer, Hearing, Unanswered, Uploaded};
use super::backend::{Link, Repeat};
use super::upload::{self, Upload};
use super::{End, Errand, Outcome, Unread};
use crate::http::{
    CONTINUE, Framing, Input, Refusal, ResponseHead, Version, is_bad_chunk, write_request_head,
};
use crate::stream::{Patience, Stream, timed_out};

/// What came of asking one backend.
pub(super) enum Asked {
    /// It answered. Nothing of that has reached the client yet.
    Answered(Box<Answer>),
    /// There was no connection; nothing was sent, and nothing of the client's body was read.
    Unreachable(io::Error),
    /// It gave no answer; this much of the client's body was not read.
    Unanswered(Unanswered, Unread),
    /// It has the request, and is silent.
    Silent(Box<Silent>),
    /// The client's side ended it; `outcome` says how.
    Over,
}

/// A backend that has a request and has said nothing yet.
pub(super) struct Silent {
    pub(super) link: Link,
    hearing: Hearing,
    /// It may be silent so long.
    pub(super) until: Instant,
}

/// Asks over a kept connection or a new one. A kept one that the backend had closed meanwhile is no
/// failure of the backend's: what may be sent again is then sent over a new one.
pub(super) fn over_a_connection(
    errand: Errand<'_>,
    repeat: Repeat,
    silence: Duration,
    client: &mut Input<Stream>,
    silent: Option<Box<Silent>>,
    outcome: &mut Outcome,
) -> Asked {
    let asked = match silent {
        Some(silent) => go_on(errand, client, silent, outcome),
        None => {
            let connected = errand.backend.connect(repeat);
            run(errand, client, connected, silence, outcome)
        }
    };
    match asked {
        Asked::Unanswered(Unanswered::ClosedMeanwhile, _) if repeat == Repeat::Safe => {
            let connected = errand.backend.dial();
            run(errand, client, connected, silence, outcome)
        }
        asked => asked,
    }
}

/// Looks whether a silent backend has spoken.
fn go_on(
    errand: Errand<'_>,
    client: &mut Input<Stream>,
    silent: Box<Silent>,
    outcome: &mut Outcome,
) -> Asked {
    let Silent {
        mut link,
        mut hearing,
        until,
    } = *silent;
    let silence = errand.relay.body_timeout;
    client.stream_mut().patience = Patience::Full;
    let limit = match hearing.look(&mut link) {
        true => silence,
        // Perhaps the client is gone, or the time is over; else somebody has knocked at the wrong door.
        false if link.input.buffered().is_empty() && !hearing.has_begun() => Duration::ZERO,
        false => until.saturating_duration_since(Instant::now()),
    };
    match hearing.wait(&mut link, client.stream_mut(), limit, silence) {
        Err(Unanswered::Silent)
            if limit.is_zero() && link.input.buffered().is_empty() && Instant::now() < until =>
        {
            Asked::Silent(Box::new(Silent {
                link,
                hearing,
                until,
            }))
        }
        heard => answered(
            heard,
            link,
            hearing,
            Uploaded::Whole,
            Unread::Exactly(0),
            outcome,
        ),
    }
}

/// Carries a request over what was `connected`, up to the head of its answer. `silence` is how long the backend may be silent before it.
fn run(
    errand: Errand<'_>,
    client: &mut Input<Stream>,
    connected: io::Result<Link>,
    silence: Duration,
    outcome: &mut Outcome,
) -> Asked {
    let mut link = match connected {
        Ok(link) => link,
        Err(error) => return Asked::Unreachable(error),
    };
    let Errand { relay, request, .. } = errand;
    let untouched = Unread::whole(request.head);
    let mut hearing = Hearing::new(request.head.method(), request.head.version());

    let mut head = Vec::with_capacity(1024);
    write_request_head(&mut head, request.head, &request.forwarded);
    link.input.stream_mut().patience = Patience::Full;
    let sent = link.input.stream_mut().write_all(&head);

    client.stream_mut().patience = Patience::Full;
    let upload = match (sent, request.head.framing()) {
        // It may have answered before it closed: a server that is full, or that refuses.
        (Err(_), _) => Upload::Stopped(untouched),
        (Ok(()), Framing::Empty) => Upload::Whole,
        (Ok(()), framing) => {
            if request.head.expects_continue()
                && request.head.version() == Version::Http11
                && client.buffered().is_empty()
                && client.stream_mut().write_all(CONTINUE).is_err()
            {
                (outcome.end, outcome.note) = (End::ClientGone, Some("client went away".into()));
                return Asked::Over;
            }
            upload::run(
                relay,
                client,
                framing,
                &mut link,
                &mut hearing,
                &mut outcome.up,
            )
        }
    };
    // What the backend has and what the client still owes are two things: an upload whose last
    // bytes were read, but not taken, is not whole, although nothing is left to read.
    let (uploaded, unread) = match upload {
        Upload::Whole => (Uploaded::Whole, Unread::Exactly(0)),
        Upload::Stopped(unread) => (Uploaded::Partly, unread),
        Upload::Cut(error) => {
            // The link is dropped: without its length or its last chunk nothing is ever whole.
            let (end, note) = cut_short(&error);
            (outcome.end, outcome.note) = (end, Some(note));
            return Asked::Over;
        }
    };

    // What TLS has decrypted already the kernel would not tell of.
    let is_silent = !hearing.has_begun()
        && link.input.buffered().is_empty()
        && !link.input.stream_mut().holds_bytes();
    if uploaded == Uploaded::Whole && is_silent {
        return Asked::Silent(Box::new(Silent {
            link,
            hearing,
            until: Instant::now() + silence,
        }));
    }
    // An answer that has begun does not take as long as one that is being worked out.
    let limit = match uploaded {
        Uploaded::Whole => silence,
        Uploaded::Partly => relay.body_timeout,
    };
    let heard = hearing.wait(&mut link, client.stream_mut(), limit, relay.body_timeout);
    answered(heard, link, hearing, uploaded, unread, outcome)
}

fn answered(
    heard: Result<ResponseHead, Unanswered>,
    link: Link,
    hearing: Hearing,
    uploaded: Uploaded,
    unread: Unread,
    outcome: &mut Outcome,
) -> Asked {
    match heard {
        Ok(head) => Asked::Answered(Box::new(Answer {
            link,
            hearing,
            head,
            uploaded,
        })),
        Err(Unanswered::Torn) => {
            (outcome.end, outcome.note) = (End::ClientGone, Some("client went away".into()));
            Asked::Over
        }
        Err(failure) => Asked::Unanswered(failure, unread),
    }
}

fn cut_short(error: &io::Error) -> (End, String) {
    if is_bad_chunk(error) {
        let note = format!("client's body is malformed: {error}");
        return (End::Refused(Refusal::BadChunk, Unread::Unknown), note);
    }
    let note = match timed_out(error) {
        true => "client fell silent within its body",
        false => "client cut its body short",
    };
    (End::ClientGone, note.into())
}
