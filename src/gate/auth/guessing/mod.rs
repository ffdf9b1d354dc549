//! Who guesses passwords, and who has logged in from where.
//!
//! Owns what is counted of wrong passwords, by network and by user. Must not know hashes or files.

mod logins;
mod throttle;

pub use throttle::{Guesses, HeldBack, MOST_WRONG};

pub(in crate::gate::auth) use throttle::{Source, Throttle};
