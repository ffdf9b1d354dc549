//! What a gate is there for: what follows a grant, and how it talks to those who ask.

use crate::http::{Form, Refusal};

/// What follows a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The request goes on to a backend.
    Forward,
    /// The request ends here: it comes from a proxy that asks whether its client may pass.
    Confirm,
}

impl Mode {
    /// The form of answers of our own. The path is nothing to an auth service: it is the proxy's, not the registry's.
    pub(super) fn form(self, is_registry: bool) -> Form {
        match self {
            Mode::Forward if is_registry => Form::Oci,
            Mode::Forward => Form::Plain,
            Mode::Confirm => Form::AuthService,
        }
    }

    /// Whether an announced body is sure to come. A proxy that asks keeps it, and nginx announces it all the same unless it
    /// is configured not to; its next request on the connection must not be taken for that body.
    pub(super) fn gets_bodies(self) -> bool {
        self == Mode::Forward
    }

    /// Whether this has to be said as a plain 401. nginx's `auth_request` makes a 500 of all but 2xx, 401 and 403, so that
    /// somebody who guesses passwords would look like a service that is broken. A 503 stays one, and its 500 is right:
    /// nobody knows yet whether the password is good, and a client that was told 401 would throw it away, where one that
    /// was told 5xx tries again.
    pub(super) fn conceals(self, refusal: &Refusal) -> bool {
        matches!(
            (self, refusal),
            (Mode::Confirm, Refusal::TooManyRequests { .. })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auth_service_talks_to_proxies_whatever_the_path() {
        for (mode, is_registry, form) in [
            (Mode::Forward, true, Form::Oci),
            (Mode::Forward, false, Form::Plain),
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
        assert!(!Mode::Forward.conceals(&throttled));
        assert!(!Mode::Confirm.conceals(&Refusal::Unsure { retry_after: 1 }));
        assert!(!Mode::Confirm.conceals(&Refusal::Denied { why: None }));
    }

    #[test]
    fn a_proxy_keeps_the_body() {
        assert!(Mode::Forward.gets_bodies() && !Mode::Confirm.gets_bodies());
    }
}
