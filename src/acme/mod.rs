//! Certificates that come by themselves (RFC 8555): an account with an authority, an order for a name, its challenge, and what is
//! signed at the end.
//!
//! Knows nothing of the server but "answer this challenge" and "here is a certificate", nor of sockets but by the trait [`Http`].
//! What the authority says is believed as far as it must be, and bounded; its words reach people escaped.

mod account;
mod authority;
mod keeper;
mod order;
mod renewal;
mod session;
mod state;

pub use account::AccountKey;
pub use keeper::{Answers, Keeper, Plan, Wanted};
pub use order::{Challenge, Way, Wish, obtain};
pub use session::{Http, Reply, Trouble};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
