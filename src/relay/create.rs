//! A manifest that is stored under tags which must not be moved: its body is read, each tag is compared with what the backend has,
//! and only then is it relayed.
//!
//! One request at a time has a tag, from before it is compared until the backend has answered; several gates can race. Body and
//! answers are hostile.

use std::io::{self, Read, Write};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::content::{Content, Room};
use super::context::Relay;
use super::fetch::{self, Fetch, Fetched, Question};
use super::outcome::CLIENT_WENT_AWAY;
use super::sides::Sides;
use super::tags::Permit;
use crate::gate::registry::Digest;
use crate::http::{Body, CONTINUE, Framing, Reading, Refusal, Unread, Version, is_bad_chunk};
use crate::reactor::{Context, Wait};
use crate::text::hex;

/// A manifest has no more bytes: distribution takes no more.
const LARGEST: usize = 4 * 1024 * 1024;
/// How long the backend may take to say what a tag is: clients give up after 30 s.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a tag is waited for that another request has.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Reads of one step.
const STEP_READS: usize = 64;
/// What is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// Until another attempt has a chance, in seconds.
const RETRY_AFTER: u32 = 1;
/// All manifests there are, so that the registry shows the one that it has and makes no other of it.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, application/vnd.docker.distribution.manifest.v1+json, \
    application/vnd.oci.artifact.manifest.v1+json\r\n";

/// One manifest on its way.
#[derive(Debug)]
pub(super) struct Create {
    repository: String,
    tags: Vec<String>,
    fields: Vec<u8>,
    body: Content,
    permits: Vec<Permit>,
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    Begun,
    Reading(Reading),
    /// Until then; the request that has the next tag, if it has told that this one waits.
    Taking(Instant, Option<u64>),
    Asking(usize, Option<Box<Fetch>>),
    Over,
}

/// A manifest that may be relayed.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) body: Vec<u8>,
    /// Its tags, and what its body takes of the memory of all: kept until it is over.
    pub(super) held: Held,
}

/// What is given back at the end.
#[derive(Debug)]
pub(super) struct Held {
    permits: Vec<Permit>,
    _rooms: Vec<Room>,
}

impl Held {
    /// A backend is given the manifest, and may store it from now on.
    pub(super) fn is_asked_for(&mut self) {
        self.permits.iter_mut().for_each(Permit::is_asked_for);
    }

    /// It has said what became of it, unless somebody on the way to it says that nobody knows.
    pub(super) fn is_answered(&mut self, status: u16) {
        if !matches!(status, 502 | 504) {
            self.permits.iter_mut().for_each(Permit::is_answered);
        }
    }
}

/// Why it may not.
#[derive(Debug)]
pub(super) enum Stopped {
    Refused(Refusal, Unread, Option<String>),
    ClientGone(&'static str),
}

/// How far it is.
pub(super) enum Turn {
    Wait(Wait),
    Done(Result<Created, Stopped>),
}

enum Next {
    On(Stage),
    Stay(Stage, Wait),
    Done(Result<Created, Stopped>),
}

impl Create {
    /// `fields` are those of the gate's own questions.
    pub(super) fn new(
        repository: &str,
        tags: &[String],
        user: Arc<[u8]>,
        mut fields: Vec<u8>,
        now: Instant,
    ) -> Create {
        fields.extend_from_slice(ACCEPT.as_bytes());
        Create {
            repository: repository.to_owned(),
            tags: tags.to_vec(),
            fields,
            body: Content::new(user, LARGEST),
            permits: Vec::new(),
            stage: Stage::Begun,
            deadline: now,
        }
    }

    /// When it is to be gone on with although nothing has happened.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the client has sent all.
    pub(super) fn has_arrived(&self) -> bool {
        !matches!(self.stage, Stage::Begun | Stage::Reading(_))
    }

    /// The client may wait to be asked for its body.
    fn begin(&mut self, sides: &mut Sides<'_, '_>) -> Next {
        let head = sides.head;
        let size = match head.framing() {
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Framing::Empty => 0,
            Framing::Chunked | Framing::UntilClose => 0,
        };
        if size > LARGEST {
            return refused(Refusal::ManifestTooLong, Unread::whole(head), None);
        }
        self.deadline = sides.cx.now + sides.relay.body_timeout;
        if head.expects_continue()
            && head.version() == Version::Http11
            && sides.client.buffered().is_empty()
            && sides.client.stream_mut().write_all(CONTINUE).is_err()
        {
            return gone(CLIENT_WENT_AWAY);
        }
        Next::On(Stage::Reading(Reading::new(head.framing())))
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn run(&mut self, sides: &mut Sides<'_, '_>) -> Turn {
        loop {
            let next = match mem::replace(&mut self.stage, Stage::Over) {
                Stage::Begun => self.begin(sides),
                Stage::Reading(reading) => self.read(reading, sides),
                Stage::Taking(until, known) => self.take_tag(until, known, sides.relay, sides.cx),
                Stage::Asking(at, fetch) => self.ask(at, fetch, sides.relay, sides.cx),
                Stage::Over => Next::Done(Err(Stopped::ClientGone("it was over"))),
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

    fn read(&mut self, reading: Reading, sides: &mut Sides<'_, '_>) -> Next {
        // That its body is waited for is said, whatever the socket had no room for then.
        if sides.client.stream_mut().push().is_err() {
            return gone(CLIENT_WENT_AWAY);
        }
        let before = self.body.bytes().len();
        let mut body = Body::resume(sides.client, reading);
        let mut piece = vec![0; PIECE];
        let mut wait = Wait::Again;
        for _ in 0..STEP_READS {
            match body.read(&mut piece) {
                Ok(0) => {
                    let until = sides.cx.now + LONGEST_WAIT;
                    return Next::On(Stage::Taking(until, None));
                }
                Ok(length) => {
                    let piece = piece.get(..length).unwrap_or_default();
                    let Err(overflow) = self.body.add(piece, &sides.relay.contents) else {
                        continue;
                    };
                    let unread = body.remaining_length();
                    let unread = unread.map_or(Unread::Unknown, Unread::Exactly);
                    return refused(overflow.refusal(), unread, None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait = Wait::unless(body.stream_mut().may_have_more());
                    break;
                }
                Err(error) if is_bad_chunk(&error) => {
                    let note = Some(format!("client's body is malformed: {error}"));
                    return refused(Refusal::BadChunk, Unread::Unknown, note);
                }
                Err(_) => return gone("client cut its body short"),
            }
        }
        let reading = body.pause();
        if self.body.bytes().len() != before {
            self.deadline = sides.cx.now + sides.relay.body_timeout;
        }
        if sides.cx.now >= self.deadline {
            return gone("client fell silent within its body");
        }
        Next::Stay(Stage::Reading(reading), wait)
    }

    /// All tags first, in their order.
    fn take_tag(
        &mut self,
        until: Instant,
        known: Option<u64>,
        relay: &Relay,
        cx: &Context<'_>,
    ) -> Next {
        let Some(tag) = self.tags.get(self.permits.len()) else {
            return Next::On(Stage::Asking(0, None));
        };
        let tag = format!("{}:{tag}", self.repository);
        match relay.tags.take(&tag, known, cx.now, || cx.waker()) {
            Ok(permit) => {
                self.permits.push(permit);
                Next::On(Stage::Taking(until, None))
            }
            Err(_) if cx.now >= until => {
                unsure("another push of the tag takes too long".to_owned())
            }
            Err(taken) => {
                self.deadline = taken.until.map_or(until, |free| free.min(until));
                Next::Stay(Stage::Taking(until, Some(taken.number)), Wait::Event)
            }
        }
    }

    fn ask(
        &mut self,
        at: usize,
        fetch: Option<Box<Fetch>>,
        relay: &Relay,
        cx: &mut Context<'_>,
    ) -> Next {
        let Some(tag) = self.tags.get(at) else {
            let (body, rooms) = self.body.take();
            return Next::Done(Ok(Created {
                body,
                held: Held {
                    permits: mem::take(&mut self.permits),
                    _rooms: rooms,
                },
            }));
        };
        let mut fetch = fetch.unwrap_or_else(|| {
            let target = format!("/v2/{}/manifests/{tag}", self.repository);
            let question = Question {
                method: "HEAD",
                target: &target,
                fields: &self.fields,
                patience: PATIENCE,
            };
            let none = Content::new(self.body.user(), 0);
            Box::new(Fetch::new(relay, &question, none, cx.now))
        });
        match fetch.run(relay, cx) {
            fetch::Turn::Wait(wait) => {
                self.deadline = fetch.deadline();
                Next::Stay(Stage::Asking(at, Some(fetch)), wait)
            }
            fetch::Turn::Done(Err(failed)) => unsure(failed.note),
            fetch::Turn::Done(Ok(fetched)) => match is_same(&fetched, self.body.bytes()) {
                Ok(true) => Next::On(Stage::Asking(at + 1, None)),
                Ok(false) => {
                    let message = format!("tag {tag} exists and may not be moved").into();
                    let unread = Unread::Exactly(0);
                    refused(Refusal::TagExists { message }, unread, None)
                }
                Err(note) => unsure(note),
            },
        }
    }
}

/// Whether a tag is free, or that of this manifest. The error says why that cannot be told.
fn is_same(fetched: &Fetched, body: &[u8]) -> Result<bool, String> {
    match fetched.head.status() {
        404 => return Ok(true),
        200 => {}
        status => return Err(format!("the backend answered {status} about the tag")),
    }
    let mut values = fetched.head.values("docker-content-digest");
    let text = match (values.next(), values.next()) {
        (Some(only), None) => std::str::from_utf8(only).ok(),
        _ => None,
    };
    let told = text.and_then(Digest::parse).map(Digest::text);
    let parts = told.as_deref().and_then(|text| text.split_once(':'));
    match parts {
        Some(("sha256", digits)) => Ok(digits == hex(digest(&SHA256, body).as_ref())),
        Some(("sha512", digits)) => Ok(digits == hex(digest(&SHA512, body).as_ref())),
        _ => Err("the backend says no digest of the tag that can be compared".to_owned()),
    }
}

fn unsure(note: String) -> Next {
    let refusal = Refusal::TagUnsure {
        retry_after: RETRY_AFTER,
    };
    refused(refusal, Unread::Exactly(0), Some(note))
}

fn refused(refusal: Refusal, unread: Unread, note: Option<String>) -> Next {
    Next::Done(Err(Stopped::Refused(refusal, unread, note)))
}

fn gone(note: &'static str) -> Next {
    Next::Done(Err(Stopped::ClientGone(note)))
}
