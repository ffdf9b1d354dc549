//! Whether the client of a request is still there.
//!
//! Owns when a client counts as gone: at once where it was reset, a while after it has closed its direction, which may only mean
//! that it sends nothing more.

use std::time::{Duration, Instant};

use crate::stream::Stream;

/// How long a client that has closed its direction is waited for.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// What is known of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there, as far as is known.
    Here,
    /// It has closed its direction, and is given until then.
    Leaving(Instant),
    /// It is gone, and its request goes on without it.
    Detached,
}

impl Presence {
    /// Whether it was torn down.
    pub fn is_torn(self, client: &Stream) -> bool {
        self != Presence::Detached && client.socket().is_torn()
    }

    /// Whether it is gone for good.
    pub fn has_left(&mut self, client: &mut Stream, now: Instant) -> bool {
        match *self {
            Presence::Detached => false,
            _ if client.socket().is_torn() => true,
            Presence::Leaving(until) => now >= until,
            Presence::Here => {
                if client.has_ended() {
                    *self = Presence::Leaving(now + HALF_CLOSED);
                }
                false
            }
        }
    }

    /// When it is to be looked at again, if that is before `deadline`.
    pub fn deadline(self, deadline: Instant) -> Instant {
        match self {
            Presence::Leaving(until) => deadline.min(until),
            Presence::Here | Presence::Detached => deadline,
        }
    }
}
