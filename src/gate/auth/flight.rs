//! One check in flight, and those who wait for its verdict instead of doing it again.
//!
//! Owns that wait. Must not know what is checked, nor how it can end. Whoever leads may fail in any way, also by
//! unwinding: the waiters are always released.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::network::Network;

/// A check that somebody does and others wait for; `L` is how it came down.
pub(super) struct Flight<L> {
    /// Where the leader comes from, whose place in the queue the check has.
    pub(super) network: Network,
    landing: Mutex<Option<L>>,
    landed: Condvar,
}

impl<L: Clone> Flight<L> {
    pub(super) fn new(network: Network) -> Flight<L> {
        Flight {
            network,
            landing: Mutex::new(None),
            landed: Condvar::new(),
        }
    }

    /// Only the first landing counts.
    pub(super) fn land(&self, landing: L) {
        self.landing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(landing);
        self.landed.notify_all();
    }

    pub(super) fn wait(&self) -> L {
        let mut landing = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(landing) = &*landing {
                return landing.clone();
            }
            landing = self
                .landed
                .wait(landing)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// `None` if it is still in the air at `deadline`.
    pub(super) fn wait_until(&self, deadline: Instant) -> Option<L> {
        let landing = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let (landing, _) = self
            .landed
            .wait_timeout_while(landing, left, |landing| landing.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        landing.clone()
    }
}
