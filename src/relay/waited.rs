//! How long a request has waited for backends, and for them alone.
//!
//! Owns a clock that stands still while a client sends its body, so that a slow client and a slow registry can be told apart.

use std::time::{Duration, Instant};

/// The clock of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waited {
    /// For those that were asked before, if any was asked at all.
    before: Option<Duration>,
    /// For this one, until the clock stopped.
    this: Duration,
    /// Since when it runs.
    since: Option<Instant>,
}

impl Waited {
    /// A backend is asked, perhaps another than before.
    pub(super) fn begin(&mut self, now: Instant) {
        self.end(now);
        self.go_on(now);
    }

    /// It is the client's turn.
    pub(super) fn pause(&mut self, now: Instant) {
        let since = self.since.take();
        self.this += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    }

    /// It is the backend's turn.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.before.get_or_insert_default();
        self.since.get_or_insert(now);
    }

    /// The backend has answered: how long that took it, connecting included.
    pub(super) fn end(&mut self, now: Instant) -> Duration {
        self.pause(now);
        let this = std::mem::take(&mut self.this);
        if let Some(before) = &mut self.before {
            *before += this;
        }
        this
    }

    /// For all of them together; nothing where none was asked.
    pub(super) fn total(mut self, now: Instant) -> Option<Duration> {
        self.end(now);
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_backends_time_is_counted() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let seconds = Duration::from_secs;
        let mut waited = Waited::default();
        assert_eq!(waited.total(at(9)), None);
        waited.begin(at(1));
        assert_eq!(waited.total(at(2)), Some(seconds(1)));
        waited.pause(at(3));
        assert_eq!(waited.total(at(9)), Some(seconds(2)));
        waited.go_on(at(10));
        waited.go_on(at(11));
        assert_eq!(waited.total(at(12)), Some(seconds(4)));
        // Another one.
        waited.begin(at(20));
        assert_eq!(waited.end(at(21)), seconds(1));
        assert_eq!(waited.total(at(99)), Some(seconds(13)));
    }
}
