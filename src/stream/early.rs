//! Steps that stop early at random, so that a test sees whether each is gone on with and no byte is lost.
//!
//! Debug builds alone have this, and only where the environment names a seed (`EARLY_STOPS=7`); in what is shipped every
//! question is answered with no before it is asked. The seed also chooses how often what happens, from never to each second
//! time: what happens always would hide that something else does not.

#[cfg(debug_assertions)]
use chance::Trick;

/// Whether a step stops here although it could go on. It has to be run again by itself: nothing will be reported.
pub fn stops() -> bool {
    #[cfg(debug_assertions)]
    return chance::takes(Trick::Stop);
    #[cfg(not(debug_assertions))]
    false
}

/// Whether a read finds nothing although something is there and is known to be.
pub(super) fn hides() -> bool {
    #[cfg(debug_assertions)]
    return chance::takes(Trick::Hide);
    #[cfg(not(debug_assertions))]
    false
}

/// Whether a socket can do nothing now, and is reported again.
pub(super) fn postpones() -> bool {
    #[cfg(debug_assertions)]
    return chance::takes(Trick::Postpone);
    #[cfg(not(debug_assertions))]
    false
}

/// How much of `most` bytes one call moves at most.
pub(super) fn share_of(most: usize) -> usize {
    #[cfg(debug_assertions)]
    return chance::share_of(most);
    #[cfg(not(debug_assertions))]
    most
}

#[cfg(debug_assertions)]
mod chance {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The variable that holds the seed.
    const VARIABLE: &str = "EARLY_STOPS";
    /// How often something may happen, of 256 times.
    const RATES: [u64; 5] = [0, 2, 16, 64, 128];
    /// The most bytes of a call that moves few: less than the head of any message or record.
    const FEW: u64 = 24;
    /// The most of one that moves some: within a record of TLS.
    const SOME: u64 = 5000;

    /// What may be done to a step.
    #[derive(Clone, Copy)]
    pub(super) enum Trick {
        Stop,
        Hide,
        Postpone,
        Few,
        Some,
    }

    /// What the seed has chosen.
    struct Chances {
        state: AtomicU64,
        rates: [u64; 5],
    }

    static CHANCES: LazyLock<Option<Chances>> = LazyLock::new(|| {
        let seed = std::env::var(VARIABLE).ok()?.parse().ok()?;
        let chances = Chances {
            state: AtomicU64::new(seed),
            rates: [0; 5],
        };
        let rates = [(); 5].map(|()| {
            let choice = chances.next(RATES.len() as u64);
            RATES.into_iter().nth(choice as usize).unwrap_or(0)
        });
        ::log::warn!("steps stop early: {VARIABLE}={seed}, rates {rates:?}");
        Some(Chances { rates, ..chances })
    });

    impl Chances {
        /// The next number below a bound (SplitMix64: every state gives another one, whichever thread asks).
        fn next(&self, below: u64) -> u64 {
            const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
            let mut mixed = self.state.fetch_add(STEP, Ordering::Relaxed);
            mixed = mixed.wrapping_add(STEP);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % below
        }

        fn takes(&self, trick: Trick) -> bool {
            let rate = self.rates.get(trick as usize).copied().unwrap_or(0);
            rate > 0 && self.next(256) < rate
        }
    }

    pub(super) fn takes(trick: Trick) -> bool {
        CHANCES.as_ref().is_some_and(|chances| chances.takes(trick))
    }

    pub(super) fn share_of(most: usize) -> usize {
        let Some(chances) = CHANCES.as_ref() else {
            return most;
        };
        let share = if chances.takes(Trick::Few) {
            1 + chances.next(FEW)
        } else if chances.takes(Trick::Some) {
            1 + chances.next(SOME)
        } else {
            return most;
        };
        most.min(share as usize)
    }
}
