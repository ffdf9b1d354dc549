//! Who may do what.
//!
//! Owns the decision on every request: who is asking, and whether that one may. It must not know
//! how bytes move. A [`Grant`] is the only way to the relay, and only this room makes one.

pub mod access;
pub mod auth;
mod decision;
mod gatekeeper;
mod grant;
mod handshake;
mod permission;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub mod registry;
pub mod tokens;
mod visit;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod decisions;

pub use decision::{Authority, Decision, Inquiry, PathRules};
pub use gatekeeper::Gatekeeper;
pub use grant::{Denial, Grant};
pub use handshake::Handshake;
pub use permission::{Missing, Permission, Task, Viewer};
pub use visit::{Proof, Visit};
