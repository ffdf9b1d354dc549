//! The path on which the gate itself says whether it is ready, to whoever asks.
//!
//! Owns how often that is found out: strangers ask, and finding out may take as long as a connection to a backend that is
//! gone. Must not know what being ready means.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use crate::http::RequestHead;
use crate::lock::EvenIfPoisoned;

/// What was found out is told for this long without another look: balancers ask every few seconds, and strangers as often
/// as they like.
const FRESH: Duration = Duration::from_secs(1);

/// That path, and what was found out last.
pub struct HealthPath {
    path: String,
    found: Mutex<Option<Found>>,
    /// Held by the one request that finds out; all others are told what was found before.
    finding: Mutex<()>,
}

#[derive(Clone)]
struct Found {
    at: Instant,
    ready: Result<(), String>,
}

impl HealthPath {
    /// `path` as it stands in requests, without a query.
    pub fn new(path: String) -> HealthPath {
        HealthPath {
            path,
            found: Mutex::new(None),
            finding: Mutex::new(()),
        }
    }

    /// Whether a request is for this path, and one that only asks.
    pub(super) fn is_asked(&self, head: &RequestHead) -> bool {
        head.path() == self.path.as_bytes() && matches!(head.method(), "GET" | "HEAD" | "OPTIONS")
    }

    /// What was found out a moment ago, or is being found out by another request.
    pub(super) fn known(&self) -> Option<Result<(), String>> {
        let last = self.last()?;
        let is_known = last.at.elapsed() < FRESH || self.finding.try_lock().is_err();
        is_known.then_some(last.ready)
    }

    /// Whether all is ready, as far as is known; the error says why not. One caller at a time finds it out, and may wait.
    pub(super) fn ready(
        &self,
        find_out: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let last = self.last();
        if let Some(found) = last.as_ref().filter(|found| found.at.elapsed() < FRESH) {
            return found.ready.clone();
        }
        let _finding = match self.finding.try_lock() {
            Ok(finding) => finding,
            Err(TryLockError::Poisoned(finding)) => finding.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let unknown = || Err("it is being found out".to_owned());
                return last.map_or_else(unknown, |found| found.ready);
            }
        };
        let ready = find_out();
        *self.found.lock().even_if_poisoned() = Some(Found {
            at: Instant::now(),
            ready: ready.clone(),
        });
        ready
    }

    fn last(&self) -> Option<Found> {
        let found = self.found.lock().even_if_poisoned();
        found.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_for_the_very_path_is_answered() {
        let health = HealthPath::new("/healthz".to_owned());
        for (line, expected) in [
            ("GET /healthz", true),
            ("HEAD /healthz", true),
            ("OPTIONS /healthz", true),
            ("GET /healthz?x=/", true),
            ("GET http://a/healthz", true),
            ("POST /healthz", false),
            ("PUT /healthz", false),
            ("get /healthz", false),
            ("GET /healthz/", false),
            ("GET /Healthz", false),
            ("GET //healthz", false),
            ("GET /%68ealthz", false),
            ("GET /", false),
        ] {
            let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (head, _) = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
            assert_eq!(health.is_asked(&head), expected, "{line}");
        }
    }

    #[test]
    fn one_finds_out_and_the_others_do_not_wait_for_it() {
        let health = HealthPath::new("/".to_owned());
        let down = || Err("down".to_owned());
        let ready = health.ready(|| {
            assert!(
                health
                    .ready(down)
                    .is_err_and(|why| why.contains("found out"))
            );
            Ok(())
        });
        assert_eq!(ready, Ok(()));
        // Fresh still, so that it is not looked at again.
        assert_eq!(health.ready(down), Ok(()));
        health.found.lock().unwrap().as_mut().unwrap().at -= FRESH;
        let again = health.ready(|| {
            assert_eq!(health.ready(down), Ok(()));
            down()
        });
        assert_eq!(again, down());
    }
}
