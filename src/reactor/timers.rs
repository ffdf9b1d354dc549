//! When which task is to be run though nothing has happened.
//!
//! Owns the order of deadlines. A deadline that moves away costs nothing: its timer stays where it is, and whoever is told then
//! looks at the deadline itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The timers of one loop, in milliseconds since its start.
#[derive(Debug)]
pub(super) struct Timers {
    started: Instant,
    order: BTreeSet<(u64, u32)>,
}

/// The timer of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timer(Option<u64>);

impl Timers {
    pub(super) fn new(now: Instant) -> Timers {
        Timers {
            started: now,
            order: BTreeSet::new(),
        }
    }

    /// Sees that task `index` is named at `deadline` at the latest.
    pub(super) fn set(&mut self, timer: &mut Timer, index: u32, deadline: Instant) {
        let due = self.millis(deadline);
        match timer.0 {
            Some(set) if set <= due => {}
            Some(set) => {
                self.order.remove(&(set, index));
                self.insert(timer, index, due);
            }
            None => self.insert(timer, index, due),
        }
    }

    fn insert(&mut self, timer: &mut Timer, index: u32, due: u64) {
        self.order.insert((due, index));
        timer.0 = Some(due);
    }

    /// Forgets a timer.
    pub(super) fn cancel(&mut self, timer: &mut Timer, index: u32) {
        if let Some(set) = timer.0.take() {
            self.order.remove(&(set, index));
        }
    }

    /// A task whose timer has passed. Its timer is to be [`cancelled`](Self::cancel) before the next call.
    pub(super) fn passed(&self, now: Instant) -> Option<u32> {
        let elapsed = now.saturating_duration_since(self.started).as_millis();
        let (due, index) = self.order.first()?;
        (u128::from(*due) <= elapsed).then_some(*index)
    }

    /// How long it is until the first of them.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let (due, _) = self.order.first()?;
        let at = self.started + Duration::from_millis(*due);
        Some(at.saturating_duration_since(now))
    }

    /// Rounded up, so that the deadline has surely passed.
    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        let whole = u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1);
        // Far more than any time-out, and nothing overflows.
        whole.min(u64::from(u32::MAX) * 1000) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_is_named_once_its_time_has_come_and_not_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(start);
        let (mut first, mut second) = (Timer::default(), Timer::default());
        timers.set(&mut first, 1, at(10));
        timers.set(&mut second, 2, at(5));
        assert_eq!(timers.passed(at(4)), None);
        assert!(
            timers
                .next(at(4))
                .is_some_and(|left| left > Duration::from_millis(999))
        );
        assert_eq!(timers.passed(at(6)), Some(2));
        timers.cancel(&mut second, 2);
        assert_eq!(timers.passed(at(6)), None);
        assert_eq!(timers.passed(at(11)), Some(1));
    }

    #[test]
    fn a_deadline_that_moves_away_keeps_its_timer_and_one_that_comes_nearer_does_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(start);
        let mut timer = Timer::default();
        timers.set(&mut timer, 7, at(10));
        timers.set(&mut timer, 7, at(900));
        assert_eq!(timers.passed(at(11)), Some(7));
        timers.set(&mut timer, 7, at(2));
        assert_eq!(timers.passed(at(3)), Some(7));
        timers.cancel(&mut timer, 7);
        assert_eq!((timers.passed(at(1000)), timers.next(at(0))), (None, None));
    }
}
