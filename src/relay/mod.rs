//! One granted request to a backend, and its answer back.
//!
//! Owns the order of things on the wire between the two sides: which backend is asked, when the
//! client is told to go on, when an upload stops, what of an answer is passed on and how it may
//! end. It knows nothing of users: the [`Grant`] says that somebody has decided. Both sides are
//! hostile: what is cut short on one never looks whole on the other. An [`Exchange`] is one request on its way; it never waits,
//! but says what it waits for.

mod backend;
mod choice;
mod content;
mod context;
mod create;
mod deliver;
mod dial;
mod exchange;
mod fetch;
mod health;
mod listing;
mod outcome;
mod presence;
mod probe;
mod response;
mod sessions;
mod sides;
mod splice;
mod tags;
mod transfer;
mod tunnel;
mod upload;
mod waited;

use std::time::Instant;

pub use backend::Backend;
pub use content::Room;
pub use context::{Memory, Relay};
pub use exchange::{Exchange, Turn};
pub use listing::Listed;
pub use outcome::{CLIENT_WENT_AWAY, End, Outcome, Then};
pub use presence::Presence;
pub use sides::{Outgoing, Terms};
pub use tunnel::{Tunnel, TunnelTurn};

use crate::gate::Grant;
use crate::http::RequestHead;

impl Relay {
    /// Begins what was granted for a request.
    pub fn forward(
        &self,
        grant: &Grant,
        head: &RequestHead,
        outgoing: Outgoing,
        terms: Terms,
        now: Instant,
    ) -> Exchange {
        Exchange::new(self, grant, head, outgoing, terms, now)
    }
}
