//! What the gate says of a request: leave, or why not.
//!
//! A [`Grant`] is the only way to the relay, and only the gate makes one.

use std::sync::Arc;

use super::auth::api::Groups;
use super::auth::{Principal, basic_of};
use super::permission::{Missing, Permission, Task};
use super::tokens::Error;
use crate::http::Refusal;

/// Leave to let one request through, and in whose name.
#[derive(Debug)]
pub struct Grant {
    pub(super) principal: Option<Principal>,
    pub(super) claimed: Option<Vec<u8>>,
    pub(super) had_credentials: bool,
    pub(super) by_token: bool,
    pub(super) permission: Permission,
    pub(super) groups: Groups,
    /// What told the line of the user from others when the password was right, where that may be asked again.
    pub(super) line: Option<[u8; 32]>,
    pub(super) by_certificate: bool,
    /// The name of the site that it is for, if that is not the main one.
    pub(super) site: Option<Arc<str>>,
}

impl Grant {
    /// For a CORS preflight, which comes without credentials.
    pub(super) fn for_preflight() -> Grant {
        Grant {
            principal: None,
            claimed: None,
            had_credentials: false,
            by_token: false,
            permission: Permission::of(Task::Preflight),
            groups: Groups::default(),
            line: None,
            by_certificate: false,
            site: None,
        }
    }

    /// Whether whoever was let in has shown credentials; an API may let strangers in too.
    pub fn had_credentials(&self) -> bool {
        self.had_credentials
    }

    /// Whether it came with a token of the gate's own, which is nobody else's business.
    pub fn is_by_token(&self) -> bool {
        self.by_token
    }

    /// What may be done with it, and nothing else.
    pub fn task(&self) -> &Task {
        &self.permission.task
    }

    /// What a backend may be asked for, if not what the client asks for.
    pub fn target(&self) -> Option<&[u8]> {
        self.permission.target.as_deref()
    }

    /// The user, if whoever decided has named one.
    pub fn user(&self) -> Option<&[u8]> {
        self.principal.as_ref().map(Principal::user)
    }

    /// In whose name everything is counted that is shared out among users: two sites may have users of one name.
    pub fn account(&self) -> Option<Arc<[u8]>> {
        let user = self.principal.as_ref().map(Principal::shared)?;
        Some(match &self.site {
            None => user,
            // No user has a NUL in the name.
            Some(site) => [&user, &b"\0"[..], site.as_bytes()].concat().into(),
        })
    }

    /// The name in the credentials, for the log alone: that they were good does not say whose they are.
    pub fn claimed(&self) -> Option<&[u8]> {
        self.claimed.as_deref()
    }

    /// The user, if the name can stand in a header field: another would be cut or be two fields.
    pub fn header_safe_user(&self) -> Option<&[u8]> {
        let user = self.user()?;
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b' ');
        let is_safe = is_edge(user.first())
            && is_edge(user.last())
            && user.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
        is_safe.then_some(user)
    }

    /// `Basic user:`, for a backend that wants to know who and must not know the password. Not for a name with a colon,
    /// which would end there and be somebody else's.
    pub fn basic_without_password(&self) -> Option<Vec<u8>> {
        let user = self.user().filter(|user| !user.contains(&b':'))?;
        Some(basic_of(user, b""))
    }
}

/// A request that was not let through.
#[derive(Debug)]
pub struct Denial {
    /// What the client is told.
    pub refusal: Refusal,
    /// The user name that was given, for the log.
    pub user: Option<Vec<u8>>,
    /// Whether it is the user's.
    pub is_proved: bool,
    /// What is wrong with the token that was shown.
    pub(super) token_error: Option<Error>,
    /// The right that somebody lacks who is known.
    pub missing: Option<Missing>,
    /// What else the log should say.
    pub note: Option<String>,
}

impl Denial {
    pub(super) fn of(refusal: Refusal) -> Denial {
        Denial {
            refusal,
            user: None,
            is_proved: false,
            missing: None,
            token_error: None,
            note: None,
        }
    }
}
