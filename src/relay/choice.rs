//! Which backend a request is put to next.
//!
//! Owns the order of the backends and what is known of their health: one that failed is left alone
//! for a while, unless all have. It knows backends by their place in the list alone, and the time
//! only as it is told.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;

/// How long a backend that failed is left alone.
pub(super) const ASIDE_FOR: Duration = Duration::from_secs(10);

/// What is known of the backends.
#[derive(Debug)]
pub(super) struct Choice {
    /// One for each backend; `None` while nothing is held against it.
    failures: Mutex<Vec<Option<Failure>>>,
    /// When each backend last answered.
    answers: Mutex<Vec<Option<Instant>>>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    since: Instant,
    /// Until then it is aside; afterwards it is as good as any, until it fails again.
    until: Instant,
}

impl Choice {
    /// Nothing is held against any of so many backends.
    pub(super) fn new(backends: usize) -> Choice {
        let failures = Mutex::new(vec![None; backends]);
        let answers = Mutex::new(vec![None; backends]);
        Choice { failures, answers }
    }

    /// The backends as one request meets them: each once, or only the one that it is bound to.
    pub(super) fn round(&self, bound: Option<usize>) -> Round<'_> {
        self.go_on(Tried {
            bound,
            places: Vec::new(),
            all: false,
        })
    }

    /// Takes a round up again.
    pub(super) fn go_on(&self, tried: Tried) -> Round<'_> {
        Round {
            choice: self,
            tried,
        }
    }

    /// Puts a backend aside that could not be reached or gave no answer that can be read. Says
    /// whether it was not aside before.
    pub(super) fn failed(&self, backend: usize, now: Instant) -> bool {
        self.with(|failures| {
            let Some(slot) = failures.get_mut(backend) else {
                return false;
            };
            let failure = Failure {
                since: now,
                until: now + ASIDE_FOR,
            };
            !is_aside(slot.replace(failure), now)
        })
    }

    /// A backend gave an answer, whatever it says, to a request that was begun at `begun`. What is
    /// answered only now but was asked before a failure says nothing about the time after it.
    pub(super) fn answered(&self, backend: usize, begun: Instant) {
        self.with(|failures| {
            if let Some(slot) = failures.get_mut(backend) {
                *slot = slot.filter(|failure| failure.since > begun);
            }
        });
        let mut answers = self.answers.lock().even_if_poisoned();
        if let Some(answer) = answers.get_mut(backend) {
            *answer = Some(Instant::now());
        }
    }

    /// Whether a backend has answered anybody since then.
    pub(super) fn has_answered_since(&self, backend: usize, begun: Instant) -> bool {
        let answers = self.answers.lock().even_if_poisoned();
        let last = answers.get(backend).copied().flatten();
        last.is_some_and(|last| last > begun)
    }

    /// Whoever calls tries a backend out whose time aside is over, so that nobody else does meanwhile. Says whether there is
    /// something to try out.
    pub(super) fn take_trial(&self, backend: usize, now: Instant) -> bool {
        self.with(|failures| take_trial(failures, backend, now))
    }

    /// A backend that was being tried out takes connections. Whether it also answers is for the next request to find out.
    pub(super) fn end_trial(&self, backend: usize, now: Instant) {
        self.with(|failures| {
            if let Some(Some(failure)) = failures.get_mut(backend) {
                failure.until = now;
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Option<Failure>>) -> T) -> T {
        work(&mut self.failures.lock().even_if_poisoned())
    }
}

/// One request's way through the backends.
#[derive(Debug)]
pub(super) struct Round<'a> {
    choice: &'a Choice,
    tried: Tried,
}

/// How far one request's way through the backends has led.
#[derive(Debug, Default)]
pub(super) struct Tried {
    bound: Option<usize>,
    places: Vec<usize>,
    /// All were aside at some time of this round.
    all: bool,
}

impl Round<'_> {
    /// The next backend to be asked: the first that is not aside and was not asked yet. If all are
    /// aside, the first that was not asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        let chosen = self.choice.with(|failures| {
            let chosen = self.look(failures, now)?;
            self.tried.all = self.tried.all || all_aside(failures, now);
            // Its time is over: this request is the one that tries it, and if that takes long the
            // others need not find out the same. An answer gives it back to all.
            take_trial(failures, chosen, now);
            Some(chosen)
        })?;
        self.tried.places.push(chosen);
        Some(chosen)
    }

    /// Whether there is a next one, after those asked so far have answered.
    pub(super) fn has_next(&self, now: Instant) -> bool {
        self.choice
            .with(|failures| self.look(failures, now).is_some())
    }

    /// Whether there will be a next one should the one that was chosen last fail.
    pub(super) fn has_next_if_this_fails(&self, now: Instant) -> bool {
        self.choice.with(|failures| {
            let mut failures = failures.clone();
            if let Some(slot) = self
                .tried
                .places
                .last()
                .and_then(|&last| failures.get_mut(last))
            {
                *slot = Some(Failure {
                    since: now,
                    until: now + ASIDE_FOR,
                });
            }
            self.look(&failures, now).is_some()
        })
    }

    /// Leaves the round where it is, for [`Choice::go_on`].
    pub(super) fn leave(self) -> Tried {
        self.tried
    }

    fn look(&self, failures: &[Option<Failure>], now: Instant) -> Option<usize> {
        let Tried { bound, places, all } = &self.tried;
        if let Some(bound) = *bound {
            return Some(bound).filter(|_| places.is_empty());
        }
        let untried = || (0..failures.len()).filter(|index| !places.contains(index));
        let live = untried().find(|&index| !is_aside(failures.get(index).copied().flatten(), now));
        live.or_else(|| {
            untried()
                .next()
                .filter(|_| *all || all_aside(failures, now))
        })
    }
}

fn take_trial(failures: &mut [Option<Failure>], backend: usize, now: Instant) -> bool {
    match failures.get_mut(backend) {
        Some(Some(failure)) if failure.until <= now => {
            failure.until = now + ASIDE_FOR;
            true
        }
        _ => false,
    }
}

fn is_aside(failure: Option<Failure>, now: Instant) -> bool {
    failure.is_some_and(|failure| now < failure.until)
}

fn all_aside(failures: &[Option<Failure>], now: Instant) -> bool {
    failures.iter().all(|failure| is_aside(*failure, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a choice among three, second by second.
    #[derive(Clone, Copy)]
    enum Event {
        Fails(usize),
        /// With the second in which its request began.
        Answers(usize, u64),
        /// A request comes that fails everywhere for reasons that put nobody aside.
        Round(&'static [usize]),
        /// A request comes that is content with its first backend.
        First(usize),
    }
    use Event::{Answers, Fails, First, Round};

    #[test]
    fn who_is_asked_in_which_order() {
        let start = Instant::now();
        let cases: [(&str, &[(u64, Event)]); 8] = [
            ("in order", &[(0, Round(&[0, 1, 2]))]),
            (
                "one that failed is passed over for ten seconds",
                &[(0, Fails(0)), (9, Round(&[1, 2])), (10, Round(&[0, 1, 2]))],
            ),
            (
                "one whose time is over is tried by one request, by others only once it has answered",
                &[
                    (0, Fails(0)),
                    (10, First(0)),
                    (11, First(1)),
                    (12, Answers(0, 10)),
                    (12, First(0)),
                ],
            ),
            (
                "if that trial never ends there is another ten seconds later",
                &[
                    (0, Fails(0)),
                    (10, First(0)),
                    (19, First(1)),
                    (20, First(0)),
                ],
            ),
            (
                "an answer that was asked for before the failure is no sign of life",
                &[(5, Fails(0)), (6, Answers(0, 4)), (6, First(1))],
            ),
            (
                "one asked for after it is",
                &[(5, Fails(0)), (6, Answers(0, 5)), (6, First(0))],
            ),
            (
                "if all are aside all are tried, in order",
                &[
                    (0, Fails(2)),
                    (1, Fails(0)),
                    (2, Fails(1)),
                    (3, Round(&[0, 1, 2])),
                    (4, Answers(1, 3)),
                    (4, Round(&[1])),
                ],
            ),
            (
                "a failure while aside begins the time anew",
                &[(0, Fails(0)), (8, Fails(0)), (17, First(1)), (18, First(0))],
            ),
        ];
        for (name, events) in cases {
            let choice = Choice::new(3);
            for &(second, event) in events {
                let at = |second| start + Duration::from_secs(second);
                let now = at(second);
                match event {
                    Fails(backend) => drop(choice.failed(backend, now)),
                    Answers(backend, begun) => choice.answered(backend, at(begun)),
                    First(wanted) => {
                        assert_eq!(
                            choice.round(None).next(now),
                            Some(wanted),
                            "{name}, {second} s"
                        );
                    }
                    Round(wanted) => {
                        let mut round = choice.round(None);
                        let all: Vec<_> = std::iter::from_fn(|| round.next(now)).collect();
                        assert_eq!(all, wanted, "{name}, {second} s");
                        assert!(!round.has_next(now));
                    }
                }
            }
        }
    }

    #[test]
    fn when_the_last_live_one_fails_those_aside_are_tried_after_all() {
        let now = Instant::now();
        let choice = Choice::new(3);
        assert!(choice.failed(0, now) && choice.failed(2, now));
        assert!(!choice.failed(2, now), "it was aside already");
        let mut round = choice.round(None);
        assert_eq!(round.next(now), Some(1));
        // As long as it may answer, it is the only one.
        assert!(!round.has_next(now) && round.has_next_if_this_fails(now));
        choice.failed(1, now);
        assert_eq!(round.next(now), Some(0));
        // This one answers, but not well: the round goes on as it began.
        choice.answered(0, now);
        assert_eq!(round.next(now), Some(2));
        assert!(!round.has_next(now) && !round.has_next_if_this_fails(now));
        assert_eq!(round.next(now), None);
    }

    #[test]
    fn a_probe_tries_out_in_place_of_a_request_and_leaves_the_answer_to_one() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let choice = Choice::new(2);
        let first = |second| choice.round(None).next(at(second));
        assert!(!choice.take_trial(0, at(0)), "nothing is held against it");
        choice.failed(0, at(0));
        assert!(!choice.take_trial(0, at(9)), "its time is not over");
        assert!(choice.take_trial(0, at(10)));
        assert_eq!(first(11), Some(1));
        choice.end_trial(0, at(12));
        assert_eq!(first(12), Some(0));
        assert_eq!(first(12), Some(1), "one request is enough to find out");
        choice.answered(0, at(12));
        assert_eq!(first(12), Some(0));
    }

    #[test]
    fn one_that_is_aside_is_no_resort_while_another_has_answered() {
        let now = Instant::now();
        let choice = Choice::new(3);
        choice.failed(2, now);
        let mut round = choice.round(None);
        assert_eq!(round.next(now), Some(0));
        choice.answered(0, now);
        assert_eq!(round.next(now), Some(1));
        assert!(!round.has_next_if_this_fails(now));
        choice.failed(1, now);
        assert_eq!(round.next(now), None);
    }

    #[test]
    fn a_bound_request_meets_its_own_backend_only_even_if_it_is_aside() {
        let now = Instant::now();
        let choice = Choice::new(3);
        choice.failed(1, now);
        let mut round = choice.round(Some(1));
        assert_eq!(round.next(now), Some(1));
        assert!(!round.has_next(now) && !round.has_next_if_this_fails(now));
        assert_eq!(round.next(now), None);
    }

    #[test]
    fn a_single_backend_is_always_tried() {
        let now = Instant::now();
        let choice = Choice::new(1);
        for _ in 0..3 {
            let mut round = choice.round(None);
            assert_eq!(round.next(now), Some(0));
            assert!(!round.has_next_if_this_fails(now));
            choice.failed(0, now);
            assert_eq!(round.next(now), None);
        }
    }
}
