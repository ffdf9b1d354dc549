//! Locks whose holder has panicked.
//!
//! A panic here is a bug that costs one connection (see `Cargo.toml`), and what a lock guards is whole at each step, so
//! others go on with it.

use std::sync::{LockResult, PoisonError};

/// What was locked, whatever happened to whoever had it before.
pub(crate) trait EvenIfPoisoned {
    /// The guard.
    type Guard;

    fn even_if_poisoned(self) -> Self::Guard;
}

impl<G> EvenIfPoisoned for LockResult<G> {
    type Guard = G;

    fn even_if_poisoned(self) -> G {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread;

    #[test]
    fn who_panics_with_a_lock_keeps_nobody_out() {
        let mutex = Mutex::new(7);
        let panicked = thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _held = mutex.lock();
                std::panic::resume_unwind(Box::new(()));
            });
            holder.join().is_err()
        });
        assert!(panicked && mutex.is_poisoned());
        assert_eq!(*mutex.lock().even_if_poisoned(), 7);
    }
}
