//! Who waits for what others work out, and how many may.
//!
//! Owns the places and their order. Must not know what is worked out.

mod hash_limiter;
mod single_flight;
mod wait_limiter;
#[cfg(test)]
mod wake;

pub(super) use hash_limiter::{
    HashAdmission, HashApplicant, HashLimiter, HashLimits, Permit, Priority,
};
pub(super) use single_flight::SingleFlight;
pub(super) use wait_limiter::{WaitLimiter, WaitPermit};
#[cfg(test)]
pub(super) use wake::wait_for;
