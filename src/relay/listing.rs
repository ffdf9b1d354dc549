//! A catalogue as one viewer may see it: pages of the backend, less what is not for that one, refilled until the client has as
//! many names as it wants.
//!
//! Names are the backend's text, and hostile: what is no name of a repository is left out.

use std::sync::Arc;
use std::time::Instant;

use super::content::{Content, Overflow, Room};
use super::context::Relay;
use super::fetch::{self, Failed, Fetch, Fetched, Question};
use crate::gate::Viewer;
use crate::gate::registry::{Page, form_encoded, is_name};
use crate::http::{Refusal, ResponseHead};
use crate::reactor::{Context, Wait};
use crate::text::strings_of;

/// Names that are asked for at once.
const AT_ONCE: usize = 1_000;
/// Names of the backend that are looked at for one answer...
const MOST_LOOKED_AT: usize = 10_000;
/// ...and pages, for a backend that gives few at a time, or always the same.
const MOST_PAGES: usize = 100;
/// What a page may have, in bytes: some registries give all names at once, whatever is asked.
const LARGEST_PAGE: usize = 4 * 1024 * 1024;
/// What a name takes besides its text, in bytes.
const BESIDE_A_NAME: usize = 32;

/// A catalogue under way.
#[derive(Debug)]
pub(super) struct Listing {
    most: usize,
    /// Where the next page begins.
    next: Option<Vec<u8>>,
    fields: Vec<u8>,
    fetch: Option<Fetch>,
    /// Whether the backend is told how many names to give: some have a limit, and refuse a page over it.
    says_how_many: bool,
    user: Arc<[u8]>,
    names: Vec<String>,
    rooms: Vec<Room>,
    looked_at: usize,
    pages: usize,
}

/// What the client gets.
#[derive(Debug)]
pub struct Listed {
    /// The repositories, in the backend's order.
    pub names: Vec<String>,
    /// Behind which name it goes on, if it does.
    pub next: Option<Vec<u8>>,
    /// What the names take.
    pub rooms: Vec<Room>,
}

/// How far it is.
pub(super) enum Turn {
    Wait(Wait),
    Done(Result<Listed, Failed>),
}

impl Listing {
    /// `fields` are those of the gate's own questions.
    pub(super) fn new(page: &Page, user: Arc<[u8]>, fields: Vec<u8>) -> Listing {
        Listing {
            most: page.most,
            next: page.last.clone(),
            fields,
            fetch: None,
            says_how_many: true,
            user,
            names: Vec::new(),
            rooms: Vec::new(),
            looked_at: 0,
            pages: 0,
        }
    }

    /// When it is to be gone on with although nothing has happened.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        self.fetch.as_ref().map_or(now, Fetch::deadline)
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn run(&mut self, viewer: &Viewer, relay: &Relay, cx: &mut Context<'_>) -> Turn {
        if self.most == 0 {
            return self.done(None);
        }
        let mut fetch = match self.fetch.take() {
            Some(fetch) => fetch,
            None => {
                let how_many = self.says_how_many.then(|| format!("n={AT_ONCE}"));
                let last = self.next.as_ref();
                let last = last.map(|last| format!("last={}", form_encoded(last)));
                let query: Vec<_> = how_many.into_iter().chain(last).collect();
                let question = Question {
                    method: "GET",
                    target: &format!("/v2/_catalog?{}", query.join("&")),
                    fields: &self.fields,
                    patience: relay.response_timeout,
                };
                let content = Content::new(Arc::clone(&self.user), LARGEST_PAGE);
                Fetch::new(relay, &question, content, cx.now)
            }
        };
        match fetch.run(relay, cx) {
            fetch::Turn::Wait(wait) => {
                self.fetch = Some(fetch);
                Turn::Wait(wait)
            }
            fetch::Turn::Done(Err(failed)) => Turn::Done(Err(failed)),
            fetch::Turn::Done(Ok(fetched)) => self.take(&fetched, viewer, relay),
        }
    }

    fn take(&mut self, fetched: &Fetched, viewer: &Viewer, relay: &Relay) -> Turn {
        let garbled = |note: String| {
            Turn::Done(Err(Failed {
                refusal: Refusal::BackendGarbled,
                note,
            }))
        };
        match fetched.head.status() {
            200 => {}
            400 if self.says_how_many => {
                self.says_how_many = false;
                return Turn::Wait(Wait::Again);
            }
            status => {
                let note = format!("the backend answered {status} to its catalogue");
                let refusal = match status {
                    401 => Refusal::Unauthorized {
                        challenges: challenges(&fetched.head),
                    },
                    400..=599 => Refusal::NoCatalog { status },
                    _ => return garbled(note),
                };
                return Turn::Done(Err(Failed { refusal, note }));
            }
        }
        let Some(names) = strings_of(fetched.body.bytes(), "repositories") else {
            return garbled("the backend's catalogue is no list of repositories".to_owned());
        };
        self.pages += 1;
        let is_full = self.says_how_many && names.len() >= AT_ONCE;
        let shown = |name: &String| is_name(name) && viewer.may_pull(name);
        let sizes = names.iter().filter(|name| shown(name));
        let size = sizes.map(|name| name.len() + BESIDE_A_NAME).sum();
        let Some(room) = relay.contents.room(&self.user, size) else {
            return Turn::Done(Err(Failed {
                refusal: Overflow::NoRoom.refusal(),
                note: "no room for the catalogue".to_owned(),
            }));
        };
        self.rooms.push(room);
        let goes_on = is_full || fetched.head.values("link").any(leads_on);
        let (mut names, begun) = (names.into_iter(), self.looked_at);
        while let Some(name) = names.next() {
            self.looked_at += 1;
            let is_shown = shown(&name);
            self.next = Some(name.clone().into_bytes());
            if is_shown {
                self.names.push(name);
            }
            let is_enough = self.names.len() == self.most || self.looked_at == MOST_LOOKED_AT;
            if is_enough && (goes_on || names.len() > 0) {
                return self.done_and_on();
            }
            if is_enough {
                return self.done(None);
            }
        }
        match goes_on && self.looked_at > begun {
            true if self.pages == MOST_PAGES => self.done_and_on(),
            // The next page is asked for when others have had their turn.
            true => Turn::Wait(Wait::Again),
            false => self.done(None),
        }
    }

    fn done_and_on(&mut self) -> Turn {
        let next = self.next.take();
        self.done(next)
    }

    fn done(&mut self, next: Option<Vec<u8>>) -> Turn {
        let names = std::mem::take(&mut self.names);
        let rooms = std::mem::take(&mut self.rooms);
        Turn::Done(Ok(Listed { names, next, rooms }))
    }
}

/// What the backend itself asks for.
fn challenges(head: &ResponseHead) -> Vec<String> {
    let values = head.values("www-authenticate");
    values
        .filter_map(|value| String::from_utf8(value.to_vec()).ok())
        .collect()
}

/// Whether a `Link` says that there is more (RFC 8288). A word of it is enough: at worst the next page is empty.
fn leads_on(link: &[u8]) -> bool {
    link.to_ascii_lowercase()
        .windows(4)
        .any(|word| word == b"next")
}
