//! Who is asking: credentials as they came over the wire, the password file or the API that is asked, and what was found
//! out about them before.
//!
//! Owns passwords while they are in memory, the hashes, and the verdict. Must not know how a refusal is worded; all but
//! `api` must not know HTTP beyond the value of one field, nor sockets. Hostile: what clients send. Trusted, but often
//! wrong: the file and the API.

pub mod api;
mod credentials;
mod guessing;
mod htpasswd;
mod passwords;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod remembered;
mod waiting;

pub use credentials::{AuthorizationFault, Credentials, Presented, basic_of, read_authorization};
pub use guessing::{Guesses, HeldBack, MOST_WRONG};
pub use htpasswd::{Check, Hashes, Htpasswd, Principal, Step, Verdict};
pub use passwords::Users;

pub(crate) use passwords::{
    BCRYPT_COSTS, Content, Secret, bcrypt, lines, shown, shown_unless_secret,
};
