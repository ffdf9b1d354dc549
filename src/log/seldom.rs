//! Messages that each request could cause, and that are worth one line now and then.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;

/// Often enough for somebody who looks, and seldom enough for a log that is kept.
const APART: Duration = Duration::from_secs(60);

/// Lets a message be said once a minute.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is due; if so, not again for a minute.
    pub fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().even_if_poisoned();
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= APART);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_once_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        for (seconds, expected) in [(0, true), (0, false), (59, false), (60, true), (119, false)] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(seldom.is_due_at(now), expected, "{seconds}");
        }
    }
}
