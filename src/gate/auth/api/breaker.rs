//! Whether the API is worth a call.
//!
//! Owns that one state. It is told how calls went and what time it is; it must not know how they are made. An API that
//! cannot be reached would otherwise have every worker wait for a time-out of its own.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;

/// One failure may be a restart and two may be bad luck.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Long enough to spare everybody the wait, short enough that nobody notices when the API is back.
const REST: Duration = Duration::from_secs(1);

/// How a call went, as far as it says whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// Somebody answered; what, does not count.
    Answered,
    /// No connection, or no answer in the whole time that a call has.
    Failed,
    /// It was given up early, which says nothing of the API.
    GivenUp,
}

/// What a call has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    WentDown,
    CameBack,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Up {
        failures: u32,
    },
    Down {
        /// Nobody calls before this.
        until: Instant,
        /// Somebody does: the others wait for how that ends.
        probing: bool,
    },
}

pub(super) struct Breaker(Mutex<State>);

/// Leave for one call.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker(Mutex::new(State::Up { failures: 0 }))
    }

    /// Whether a call would be refused now.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Up { .. } => false,
            State::Down { until, probing } => probing || now < until,
        }
    }

    /// `None` if the API is down and this is not the call that finds out whether it still is.
    pub(super) fn enter(&self, now: Instant) -> Option<Pass<'_>> {
        let is_probe = match &mut *self.lock() {
            State::Up { .. } => false,
            State::Down { until, probing } => {
                if *probing || now < *until {
                    return None;
                }
                *probing = true;
                true
            }
        };
        Some(Pass {
            breaker: self,
            is_probe,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().even_if_poisoned()
    }
}

impl Pass<'_> {
    /// Says how the call went, and hears what that has changed.
    pub(super) fn report(self, contact: Contact, now: Instant) -> Option<Change> {
        let mut state = self.breaker.lock();
        match (contact, &mut *state) {
            (Contact::Answered, State::Up { failures }) => {
                *failures = 0;
                None
            }
            (Contact::Answered, State::Down { .. }) => {
                *state = State::Up { failures: 0 };
                Some(Change::CameBack)
            }
            (Contact::Failed, State::Up { failures }) => {
                *failures += 1;
                if *failures < FAILURES_UNTIL_DOWN {
                    return None;
                }
                *state = State::Down {
                    until: now + REST,
                    probing: false,
                };
                Some(Change::WentDown)
            }
            (Contact::Failed | Contact::GivenUp, State::Down { until, .. }) if self.is_probe => {
                *until = now + REST;
                None
            }
            // A call that began before it went down tells nothing new.
            (Contact::Failed, State::Down { .. }) | (Contact::GivenUp, _) => None,
        }
    }
}

impl Drop for Pass<'_> {
    /// Also by unwinding: else nobody would ever call again.
    fn drop(&mut self) {
        if self.is_probe
            && let State::Down { probing, .. } = &mut *self.breaker.lock()
        {
            *probing = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn call(breaker: &Breaker, contact: Contact, now: Instant) -> Option<Change> {
        breaker.enter(now).unwrap().report(contact, now)
    }

    fn down(now: Instant) -> Breaker {
        let breaker = Breaker::new();
        assert_eq!(call(&breaker, Contact::Failed, now), None);
        assert_eq!(call(&breaker, Contact::Failed, now), None);
        assert_eq!(call(&breaker, Contact::Failed, now), Some(Change::WentDown));
        breaker
    }

    #[test]
    fn three_failures_in_a_row_put_it_down_and_an_answer_between_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new();
        for contact in [
            Contact::Failed,
            Contact::Failed,
            Contact::Answered,
            Contact::Failed,
            Contact::GivenUp,
            Contact::Failed,
            Contact::Answered,
        ] {
            assert_eq!(call(&breaker, contact, now), None);
            assert!(!breaker.refuses(now));
        }
        assert!(down(now).refuses(now));
    }

    #[test]
    fn after_a_second_one_finds_out_for_all() {
        let now = Instant::now();
        let breaker = down(now);
        assert!(breaker.enter(now + REST - MILLISECOND).is_none());
        let later = now + REST;
        let probe = breaker.enter(later).unwrap();
        assert!(breaker.refuses(later + REST) && breaker.enter(later + REST).is_none());
        assert_eq!(probe.report(Contact::Failed, later + REST), None);
        assert!(breaker.refuses(later + REST * 2 - MILLISECOND));
        let last = later + REST * 2;
        assert_eq!(
            call(&breaker, Contact::Answered, last),
            Some(Change::CameBack)
        );
        assert!(!breaker.refuses(last));
        // And the count begins anew.
        assert_eq!(call(&breaker, Contact::Failed, last), None);
        assert_eq!(call(&breaker, Contact::Failed, last), None);
        assert!(!breaker.refuses(last));
    }

    #[test]
    fn a_late_failure_prolongs_nothing_and_a_late_answer_ends_it() {
        let now = Instant::now();
        let breaker = Breaker::new();
        let early = [breaker.enter(now), breaker.enter(now)];
        for _ in 0..3 {
            call(&breaker, Contact::Failed, now);
        }
        let [failed, answered] = early.map(Option::unwrap);
        failed.report(Contact::Failed, now + REST);
        assert!(!breaker.refuses(now + REST));
        let change = answered.report(Contact::Answered, now + MILLISECOND);
        assert_eq!(change, Some(Change::CameBack));
    }

    #[test]
    fn who_finds_out_and_is_lost_leaves_it_to_the_next() {
        let now = Instant::now();
        let breaker = down(now);
        let later = now + REST;
        drop(breaker.enter(later).unwrap());
        assert!(breaker.enter(later).is_some());
    }
}
