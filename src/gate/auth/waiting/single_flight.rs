//! One check in flight, and those who wait for its verdict instead of doing it again.
//!
//! Owns that wait. Must not know what is checked, nor how it can end. Whoever leads may fail in any way, also by
//! unwinding: the waiters are always released.

use crate::lock::EvenIfPoisoned;
use crate::net::Network;
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// A check that somebody does and others wait for; `L` is how it came down.
pub(in crate::gate::auth) struct SingleFlight<L> {
    /// Where the leader comes from, whose place in the queue the check has.
    pub(in crate::gate::auth) network: Network,
    state: Mutex<State<L>>,
}

enum State<L> {
    /// With those who wait.
    InTheAir(Vec<Waker>),
    Landed(L),
}

impl<L: Clone> SingleFlight<L> {
    pub(in crate::gate::auth) fn new(network: Network) -> SingleFlight<L> {
        SingleFlight {
            network,
            state: Mutex::new(State::InTheAir(Vec::new())),
        }
    }

    /// Only the first outcome counts.
    pub(in crate::gate::auth) fn finish(&self, outcome: L) {
        let mut state = self.state();
        let State::InTheAir(wakers) = &mut *state else {
            return;
        };
        let wakers = std::mem::take(wakers);
        *state = State::Landed(outcome);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How it came down, if it has. Else `waker` is called when it does.
    pub(in crate::gate::auth) fn poll(&self, waker: &Waker) -> Poll<L> {
        match &mut *self.state() {
            State::Landed(outcome) => Poll::Ready(outcome.clone()),
            State::InTheAir(wakers) => {
                if !wakers.iter().any(|other| other.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().even_if_poisoned()
    }
}
