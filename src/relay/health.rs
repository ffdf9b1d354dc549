//! What is known of a backend's health.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;
use crate::metrics::BackendState;

/// A backend that was not asked for this long is probed, and again each time this has passed.
const EVERY: Duration = Duration::from_secs(10);

/// What is known of one backend.
#[derive(Debug)]
pub(super) struct Health(Mutex<Known>);

#[derive(Debug)]
struct Known {
    state: BackendState,
    /// When it was asked last; at first, when this began.
    asked: Instant,
    /// When the state became what it is.
    since: Instant,
}

impl Health {
    /// Nothing is known yet.
    pub(super) fn unknown(now: Instant) -> Health {
        Health(Mutex::new(Known {
            state: BackendState::Unknown,
            asked: now,
            since: now,
        }))
    }

    /// How it was when it was asked last.
    pub(super) fn state(&self) -> BackendState {
        self.with(|known| known.state)
    }

    /// Since when it is so.
    pub(super) fn since(&self) -> Instant {
        self.with(|known| known.since)
    }

    /// A request goes to it. One over a kept connection says nothing of whether it takes new ones: where it did not, it is
    /// probed all the same.
    pub(super) fn asked(&self, now: Instant) {
        self.with(|known| {
            if known.state != BackendState::Down {
                known.asked = now;
            }
        });
    }

    /// What came of connecting to it; what was known before.
    pub(super) fn found(&self, state: BackendState, now: Instant) -> BackendState {
        self.with(|known| {
            known.asked = now;
            if known.state != state {
                known.since = now;
            }
            std::mem::replace(&mut known.state, state)
        })
    }

    /// How long until a probe is due, if it is not asked meanwhile.
    pub(super) fn due_in(&self, now: Instant) -> Duration {
        self.with(|known| (known.asked + EVERY).saturating_duration_since(now))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().even_if_poisoned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BackendState::{Down, Unknown, Up};

    /// What a backend meets, and what is then to hold.
    #[derive(Clone, Copy)]
    enum Event {
        /// A request that a kept connection carries.
        Asked,
        /// Somebody connects to it, for a request or as a probe, with this result.
        Found(BackendState),
        /// A probe is due in so many seconds.
        DueIn(u64),
        /// This is known of it.
        Is(BackendState),
    }
    use Event::{Asked, DueIn, Found, Is};

    #[test]
    fn who_is_due_and_what_is_known_second_by_second() {
        let cases: [(&str, &[(u64, Event)]); 5] = [
            (
                "never asked",
                &[
                    (0, Is(Unknown)),
                    (0, DueIn(10)),
                    (10, DueIn(0)),
                    (99, DueIn(0)),
                    (99, Is(Unknown)),
                ],
            ),
            (
                "connected to",
                &[(4, Found(Up)), (5, DueIn(9)), (5, Is(Up)), (14, DueIn(0))],
            ),
            (
                "asked over a kept connection",
                &[(0, Found(Up)), (8, Asked), (10, DueIn(8)), (10, Is(Up))],
            ),
            (
                "down, and still asked over a connection from before",
                &[
                    (0, Found(Down)),
                    (9, Asked),
                    (9, DueIn(1)),
                    (10, DueIn(0)),
                    (10, Is(Down)),
                ],
            ),
            (
                "probed, and up again",
                &[
                    (10, Found(Down)),
                    (10, DueIn(10)),
                    (20, Found(Up)),
                    (22, Asked),
                    (23, DueIn(9)),
                    (23, Is(Up)),
                ],
            ),
        ];
        let start = Instant::now();
        for (name, events) in cases {
            let health = Health::unknown(start);
            for &(second, event) in events {
                let now = start + Duration::from_secs(second);
                let place = format!("{name}, {second} s");
                match event {
                    Asked => health.asked(now),
                    Found(state) => drop(health.found(state, now)),
                    DueIn(left) => {
                        assert_eq!(health.due_in(now), Duration::from_secs(left), "{place}");
                    }
                    Is(state) => assert_eq!(health.state(), state, "{place}"),
                }
            }
        }
    }

    #[test]
    fn what_was_known_before_is_told_once() {
        let now = Instant::now();
        let health = Health::unknown(now);
        let before = [Down, Down, Up].map(|state| health.found(state, now));
        assert_eq!(before, [Unknown, Down, Down]);
    }
}
