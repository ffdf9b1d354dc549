//! The password file: its lines, its users, and their hashes.
//!
//! Owns hashing, and what a hash may look like. Must not know who asks, from where or how often.

mod apr1;
mod dummy_work;
mod file;
mod hash;
mod shape;

pub use file::Users;

pub(crate) use file::{Content, Secret, lines, shown, shown_unless_secret};
#[cfg(any(test, fuzzing))]
pub(crate) use hash::Hash;
pub(crate) use hash::bcrypt;
#[cfg(test)]
pub(crate) use hash::count;
pub(crate) use shape::BCRYPT_COSTS;
#[cfg(any(test, fuzzing))]
pub(crate) use shape::Scheme;
