//! Tokens of the gate's own (Docker's token handshake): what clients are given that send a password only where they were challenged
//! for one.
//!
//! Owns the keys, what is sealed into a token, and the words of the challenge. A token says who somebody is, and nothing of rights,
//! which are looked up at use. Must not know who may what, nor how anything travels. What comes back is hostile until it is open.

mod challenge;
mod claims;
mod keys;

pub use challenge::{Challenge, Error, Scope};
pub use claims::{Claims, Who, lifetime};
pub use keys::{KeyFault, Kind, TokenKeys};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
