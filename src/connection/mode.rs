//! What a gate is there for: what follows a grant, and how it talks to those who ask.

use crate::config::BackendAuthorization;
use crate::http::{Form, Refusal};
use crate::log::Seldom;
use crate::metrics::BackendStanding;
use crate::relay::Relay;

/// Of a backend with a password of its own, behind a gate that keeps the client's to itself.
pub const ASKS_FOR_PASSWORD: &str = "the backend asks for a password itself, and is told none: set backend-authorization to \
     pass if it has the same users, or let it ask for none";

/// What follows a grant.
pub enum Mode {
    /// The request goes on to a backend.
    Forward(Box<Forwarding>),
    /// The request ends here: it comes from a proxy that asks whether its client may pass.
    Confirm,
}

/// What is needed to go on.
pub struct Forwarding {
    /// Where granted requests go.
    pub relay: Relay,
    /// What the backend is told of the user.
    pub authorization: BackendAuthorization,
    /// When somebody was told last that a backend wants a password that it never sees.
    pub told: Seldom,
}

impl Forwarding {
    /// What the log should say of a backend that asks for a password, if that is not because it saw a wrong one; the
    /// messages say it once a minute too.
    pub(super) fn on_password_asked(&self) -> Option<&'static str> {
        if self.authorization != BackendAuthorization::Drop {
            return None;
        }
        if self.told.is_due() {
            ::log::warn!("{ASKS_FOR_PASSWORD}");
        }
        Some(ASKS_FOR_PASSWORD)
    }
}

impl Mode {
    /// Whether a granted request could be dealt with; the error says why not.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Mode::Forward(forwarding) => forwarding.relay.reachable(),
            Mode::Confirm => Ok(()),
        }
    }

    /// How the backends are, in order; there are none where nothing is forwarded.
    pub fn backends(&self) -> Vec<BackendStanding> {
        match self {
            Mode::Forward(forwarding) => forwarding.relay.standing(),
            Mode::Confirm => Vec::new(),
        }
    }

    /// What transfers hold in large buffers and pipes, in bytes.
    pub fn buffered(&self) -> usize {
        match self {
            Mode::Forward(forwarding) => forwarding.relay.buffered(),
            Mode::Confirm => 0,
        }
    }

    /// Gives up what has been idle for long.
    pub fn prune(&self) {
        if let Mode::Forward(forwarding) = self {
            forwarding.relay.prune();
        }
    }

    /// Looks after the backend at this place for ever; returns at once if there is none.
    pub fn watch(&self, place: usize) {
        if let Mode::Forward(forwarding) = self {
            forwarding.relay.watch(place);
        }
    }

    /// The form of answers of our own. The path is nothing to an auth service: it is the proxy's, not the registry's.
    pub(super) fn form(&self, is_registry: bool) -> Form {
        match self {
            Mode::Forward(_) if is_registry => Form::Oci,
            Mode::Forward(_) => Form::Plain,
            Mode::Confirm => Form::AuthService,
        }
    }

    /// Whether an announced body is sure to come. A proxy that asks keeps it, and nginx announces it all the same unless it
    /// is configured not to; its next request on the connection must not be taken for that body.
    pub(super) fn gets_bodies(&self) -> bool {
        matches!(self, Mode::Forward(_))
    }

    /// Whether this has to be said as a plain 401. nginx's `auth_request` makes a 500 of all but 2xx, 401 and 403, so that
    /// somebody who guesses passwords would look like a service that is broken. A 503 stays one, and its 500 is right:
    /// nobody knows yet whether the password is good, and a client that was told 401 would throw it away, where one that
    /// was told 5xx tries again.
    pub(super) fn conceals(&self, refusal: &Refusal) -> bool {
        matches!(
            (self, refusal),
            (Mode::Confirm, Refusal::TooManyRequests { .. })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn gate() -> Mode {
        Mode::Forward(Box::new(Forwarding {
            relay: Relay::new(Vec::new(), Duration::ZERO, Duration::ZERO),
            authorization: BackendAuthorization::Drop,
            told: Seldom::default(),
        }))
    }

    #[test]
    fn an_auth_service_talks_to_proxies_whatever_the_path() {
        for (mode, is_registry, form) in [
            (gate(), true, Form::Oci),
            (gate(), false, Form::Plain),
            (Mode::Confirm, true, Form::AuthService),
            (Mode::Confirm, false, Form::AuthService),
        ] {
            assert_eq!(mode.form(is_registry), form);
        }
    }

    #[test]
    fn only_the_throttled_of_an_auth_service_are_told_something_else() {
        let throttled = Refusal::TooManyRequests { retry_after: 9 };
        assert!(Mode::Confirm.conceals(&throttled));
        assert!(!gate().conceals(&throttled));
        assert!(!Mode::Confirm.conceals(&Refusal::Unsure { retry_after: 1 }));
        assert!(!Mode::Confirm.conceals(&Refusal::Denied { why: None }));
    }

    #[test]
    fn a_proxy_keeps_the_body() {
        assert!(gate().gets_bodies() && !Mode::Confirm.gets_bodies());
    }

    #[test]
    fn an_auth_service_waits_for_no_backend() {
        assert_eq!(Mode::Confirm.ready(), Ok(()));
    }
}
