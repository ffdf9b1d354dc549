//! Who is asking: credentials as they came over the wire, the password file or the API that is asked, and what was found
//! out about them before.
//!
//! Owns passwords while they are in memory, the hashes, and the verdict. Must not know how a refusal is worded; all but
//! `api` must not know HTTP beyond the value of one field, nor sockets. Hostile: what clients send. Trusted, but often
//! wrong: the file and the API.

mod admission;
pub mod api;
mod apr1;
mod credentials;
mod flight;
mod hash;
mod htpasswd;
mod logins;
mod memory;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod shape;
mod throttle;
mod toil;
mod users;
mod waiting;
#[cfg(test)]
mod wake;

pub use credentials::{AuthorizationFault, Credentials, Presented, basic_of, read_authorization};
pub use htpasswd::{Check, Htpasswd, Principal, Step, Verdict};
pub use throttle::{Guesses, HeldBack, MOST_WRONG};
pub use users::{LineFault, Users};

pub(crate) use hash::bcrypt;
pub(crate) use shape::BCRYPT_COSTS;
pub(crate) use users::{BOM, Content, Secret, lines, shown, shown_unless_secret};
