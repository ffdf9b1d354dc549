//! Which backend opened which upload session.
//!
//! Owns the table that keeps an upload with its backend from its first request to its last. It
//! knows nothing of connections. What a `Location` says is the backend's text and bounded here;
//! how many sessions there are is up to the clients, and bounded too.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;

/// Sessions remembered at once. A client that pushes has five open or so.
const MOST: usize = 10_000;
/// A session is forgotten after this long without a request. One request of it may take longer.
const SILENCE: Duration = Duration::from_secs(60 * 60);
/// Longer paths are not remembered: a repository's name has 255 characters at most.
const LONGEST_PATH: usize = 1024;

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Table>);

/// One request of an upload and what was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The request's method.
    pub(super) method: &'a str,
    /// The request's path, without its query.
    pub(super) path: &'a str,
    /// The answer's status.
    pub(super) status: u16,
    /// The answer's `Location` as the backend wrote it.
    pub(super) location: Option<&'a [u8]>,
}

impl Sessions {
    /// The backend that a request for this path belongs to, if it is one of a known session.
    pub(super) fn backend_of(&self, path: &str, now: Instant) -> Option<usize> {
        self.with(|table| table.take_up(path, now))
    }

    /// Learns from an answer of `backend` that a session was opened, goes on elsewhere or is over.
    pub(super) fn follow(&self, step: Step<'_>, backend: usize, now: Instant) {
        match (step.method, step.status) {
            ("PUT" | "DELETE", 201 | 204 | 404) => self.with(|table| table.forget(step.path)),
            (_, 202) => {
                let Some(next) = step.location.and_then(|value| named(value, step.path)) else {
                    return;
                };
                self.with(|table| {
                    // It may go on under another name, and what is of no upload is no session.
                    if is_of_uploads(step.path) || table.entries.contains_key(step.path) {
                        table.remember(&next, backend, now);
                    }
                });
            }
            _ => {}
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.0.lock().even_if_poisoned())
    }
}

/// Whether a path is one under which a registry takes uploads.
fn is_of_uploads(path: &str) -> bool {
    path.strip_prefix("/v2/")
        .is_some_and(|rest| rest.contains("/blobs/uploads/") || rest.ends_with("/blobs/uploads"))
}

/// The path that a `Location` names, absolute or relative to that of its request.
fn named(location: &[u8], request: &str) -> Option<String> {
    let text = std::str::from_utf8(location).ok()?;
    let text = text.split(['?', '#']).next()?;
    let behind_scheme = text
        .split_once("://")
        .filter(|(scheme, _)| !scheme.contains('/'))
        .map(|(_, rest)| rest)
        .or_else(|| text.strip_prefix("//"));
    let path = match behind_scheme {
        Some(rest) => rest.split_once('/').map(|(_, path)| format!("/{path}"))?,
        None if text.starts_with('/') => text.to_owned(),
        None if text.is_empty() => request.to_owned(),
        None => format!("{}/{text}", request.rsplit_once('/')?.0),
    };
    (path.len() <= LONGEST_PATH).then_some(path)
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Arc<str>, Session>,
    /// The same paths, the longest unused first.
    order: BTreeMap<u64, Arc<str>>,
    next_place: u64,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    backend: usize,
    used: Instant,
    place: u64,
}

impl Table {
    fn take_up(&mut self, path: &str, now: Instant) -> Option<usize> {
        let session = *self.entries.get(path)?;
        if session.is_over(now) {
            self.forget(path);
            return None;
        }
        self.remember(path, session.backend, now);
        Some(session.backend)
    }

    fn remember(&mut self, path: &str, backend: usize, now: Instant) {
        self.forget(path);
        while let Some(first) = self.order.first_entry()
            && (self.entries.len() >= MOST
                || self
                    .entries
                    .get(first.get())
                    .is_none_or(|oldest| oldest.is_over(now)))
        {
            self.entries.remove(&first.remove());
        }
        let (path, place) = (Arc::<str>::from(path), self.next_place);
        self.next_place += 1;
        self.order.insert(place, Arc::clone(&path));
        let session = Session {
            backend,
            used: now,
            place,
        };
        self.entries.insert(path, session);
    }

    fn forget(&mut self, path: &str) {
        if let Some(session) = self.entries.remove(path) {
            self.order.remove(&session.place);
        }
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "/v2/team/app/blobs/uploads/";
    const SESSION: &str = "/v2/team/app/blobs/uploads/9f1c";

    fn step<'a>(method: &'a str, path: &'a str, status: u16, location: &'a str) -> Step<'a> {
        let location = Some(location.as_bytes()).filter(|value| !value.is_empty());
        Step {
            method,
            path,
            status,
            location,
        }
    }

    #[test]
    fn an_opened_session_is_found_under_the_path_of_its_location() {
        let now = Instant::now();
        for (location, request, path) in [
            (SESSION, OPENING, Some(SESSION)),
            (
                "/v2/team/app/blobs/uploads/9f1c?_state=a%2Fb/c://d",
                OPENING,
                Some(SESSION),
            ),
            (
                "http://127.0.0.1:5000/v2/team/app/blobs/uploads/9f1c?_state=x#y",
                OPENING,
                Some(SESSION),
            ),
            (
                "https://registry/v2/team/app/blobs/uploads/9f1c",
                OPENING,
                Some(SESSION),
            ),
            (
                "//registry/v2/team/app/blobs/uploads/9f1c",
                OPENING,
                Some(SESSION),
            ),
            ("9f1c?_state=x", OPENING, Some(SESSION)),
            ("uploads/9f1c", "/v2/team/app/blobs/uploads", Some(SESSION)),
            ("?_state=y", SESSION, Some(SESSION)),
            ("/elsewhere/9f1c", OPENING, Some("/elsewhere/9f1c")),
            ("http://registry", OPENING, None),
            ("", OPENING, None),
        ] {
            let sessions = Sessions::default();
            sessions.follow(step("POST", request, 202, location), 1, now);
            if let Some(path) = path {
                assert_eq!(sessions.backend_of(path, now), Some(1), "{location}");
            }
            let kept = sessions.with(|table| table.entries.len());
            assert_eq!(kept, usize::from(path.is_some()), "{location}");
        }
    }

    #[test]
    fn what_opens_moves_and_ends_a_session() {
        let now = Instant::now();
        let known = |steps: &[Step<'_>], path: &str| {
            let sessions = Sessions::default();
            steps.iter().for_each(|step| sessions.follow(*step, 1, now));
            sessions.backend_of(path, now).is_some()
        };
        let open = step("POST", OPENING, 202, SESSION);
        assert!(known(&[open], SESSION));
        assert!(!known(&[open], "/v2/team/other/blobs/uploads/9f1c"));
        assert!(!known(&[open], OPENING));
        // A mount, or a whole upload in one request; a refusal; a deletion.
        assert!(!known(&[step("POST", OPENING, 201, SESSION)], SESSION));
        assert!(!known(&[step("POST", OPENING, 403, SESSION)], SESSION));
        let deletion = step("DELETE", "/v2/team/app/manifests/v1", 202, "/x");
        assert!(!known(&[deletion], "/x"));
        // One that this gate has not seen opened.
        assert!(known(&[step("PATCH", SESSION, 202, SESSION)], SESSION));
        // It goes on under other names, also such as only its backend understands.
        let moved = [
            open,
            step("PATCH", SESSION, 202, "/upload/9f1c/2"),
            step("PATCH", "/upload/9f1c/2", 202, "/upload/9f1c/3"),
        ];
        assert!(known(&moved, "/upload/9f1c/3"));
        assert!(!known(&[step("PATCH", "/upload/9f1c/2", 202, "/y")], "/y"));

        for (method, status, over) in [
            ("PUT", 201, true),
            ("PUT", 204, true),
            ("PUT", 404, true),
            ("PUT", 400, false),
            ("PUT", 502, false),
            ("DELETE", 204, true),
            ("DELETE", 404, true),
            ("GET", 204, false),
            ("HEAD", 204, false),
            ("PATCH", 416, false),
        ] {
            let steps = [open, step(method, SESSION, status, "")];
            assert_eq!(known(&steps, SESSION), !over, "{method} {status}");
        }
    }

    #[test]
    fn a_session_is_forgotten_after_an_hour_without_a_request() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let sessions = Sessions::default();
        sessions.follow(step("POST", OPENING, 202, SESSION), 1, start);
        assert_eq!(sessions.backend_of(SESSION, at(59)), Some(1));
        assert_eq!(sessions.backend_of(SESSION, at(118)), Some(1));
        assert_eq!(sessions.backend_of(SESSION, at(178)), None);
        assert_eq!(sessions.with(|table| table.order.len()), 0);
    }

    #[test]
    fn the_table_is_bounded_and_the_longest_unused_goes_first() {
        let start = Instant::now();
        let sessions = Sessions::default();
        let path = |number: usize| format!("{OPENING}{number}");
        let open = |number, now| sessions.follow(step("POST", OPENING, 202, &path(number)), 1, now);
        (0..MOST).for_each(|number| open(number, start));
        assert_eq!(sessions.backend_of(&path(0), start), Some(1));
        open(MOST, start);
        assert_eq!(sessions.backend_of(&path(1), start), None);
        assert_eq!(sessions.backend_of(&path(0), start), Some(1));
        let sizes = || sessions.with(|table| (table.entries.len(), table.order.len()));
        assert_eq!(sizes(), (MOST, MOST));
        open(0, start + SILENCE);
        assert_eq!(sizes(), (1, 1), "those whose time is over make room");

        let long = path(0) + &"x".repeat(LONGEST_PATH);
        sessions.follow(step("POST", OPENING, 202, &long), 1, start + SILENCE);
        assert_eq!(sizes(), (1, 1));
    }
}
