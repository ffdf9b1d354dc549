//! Docker's token handshake: where a client is sent for a token, what it is given there, and whose token it comes back with.
//!
//! Owns the path of tokens and which challenge a request gets. Must not know who decides about credentials. The head is hostile.

use std::time::{SystemTime, UNIX_EPOCH};

use super::permission::{Permission, Task, Unpermitted};
use super::registry::{Action, Route};
use super::tokens::{Challenge, Claims, Error, Kind, Scope, TokenKeys, Who};
use super::visit::Visit;
use crate::http::{Refusal, RequestHead};

/// Where tokens are given. In lower case: some clients fold the challenge.
const PATH: &[u8] = b"/v2/token";
/// Where credentials are in no token.
const NO_TOKEN: &str = "there is no token for these credentials: they are too long, or the operator has to set token-key";
/// Longer credentials are put into no token: it would not fit into a field.
const LONGEST_CREDENTIALS: usize = 4 * 1024;

/// What the length of a cursor is a multiple of before it is sealed: longer than nearly all names.
const CURSOR_STEP: usize = 256;

/// What is needed to give tokens and to take them.
pub struct Handshake {
    /// What seals them.
    pub keys: TokenKeys,
    /// Whether the keys outlive this process. Only then a token may hold credentials.
    pub is_lasting: bool,
    /// Where clients reach the gate, scheme and authority, if that was set.
    pub external: Option<(String, String)>,
}

impl Handshake {
    /// Whether a request is for a token.
    pub(super) fn is_asked(head: &RequestHead) -> bool {
        head.path() == PATH
    }

    /// The token that a request comes with.
    pub(super) fn token_of(head: &RequestHead) -> Option<&[u8]> {
        const SCHEME: &[u8] = b"bearer";
        let mut values = head.values("authorization");
        let value = values.next()?.trim_ascii();
        let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
        let is_one = values.next().is_none() && scheme.eq_ignore_ascii_case(SCHEME);
        (is_one && rest.starts_with(b" ")).then(|| rest.trim_ascii())
    }

    /// A token for somebody. `None` for credentials that none can hold.
    pub(super) fn give(&self, who: Who) -> Option<Box<str>> {
        if let Who::Credentials(value) = &who
            && (!self.is_lasting || value.len() > LONGEST_CREDENTIALS)
        {
            return None;
        }
        let claims = Claims::new(who, now());
        self.keys
            .seal(Kind::Token, &claims.encode())
            .map(Into::into)
    }

    /// Leave to have a token for somebody.
    pub(super) fn permission(&self, who: Who) -> Result<Permission, Unpermitted> {
        match self.give(who) {
            Some(token) => Ok(Permission::of(Task::Token(token))),
            None => Err(Unpermitted::of(Refusal::Denied {
                why: Some(NO_TOKEN.into()),
            })),
        }
    }

    /// Whose token it is, if it is one and still counts.
    pub(super) fn open(&self, token: &[u8]) -> Option<Who> {
        let claims = Claims::decode(&self.keys.open(Kind::Token, token)?)?;
        claims.holds(now()).then_some(claims.who)
    }

    /// Where a catalogue goes on behind a name that is not to be seen.
    pub(super) fn cursor(&self, name: &[u8]) -> Option<String> {
        let mut padded = name.to_vec();
        // Its length would say something of it.
        padded.resize(name.len().next_multiple_of(CURSOR_STEP), 0);
        self.keys.seal(Kind::Cursor, &padded)
    }

    /// The name that a catalogue goes on behind, of what a client says. `None` for a cursor of nobody.
    pub(super) fn name_of_cursor(&self, last: Vec<u8>) -> Option<Vec<u8>> {
        if !last.starts_with(Kind::Cursor.prefix().as_bytes()) {
            return Some(last);
        }
        let name = self.keys.open(Kind::Cursor, &last)?;
        let end = name.iter().rposition(|byte| *byte != 0);
        Some(name.get(..=end?)?.to_vec())
    }

    /// The challenge that sends for a token, for a request that gets one; others are asked for a password.
    pub(super) fn challenge(
        &self,
        head: &RequestHead,
        visit: &Visit<'_>,
        error: Option<Error>,
    ) -> Option<String> {
        let path = std::str::from_utf8(head.path()).unwrap_or_default();
        let route = Route::parse(path);
        let action = route.and_then(|route| route.action(head.method()));
        let scope = match (action, route.and_then(|route| route.repository())) {
            (Some(Action::Catalog), _) => Scope::Catalog,
            (Some(Action::Ping), _) => Scope::None,
            _ if error.is_none() => return None,
            (Some(Action::Pull), Some(name)) => Scope::Repository(name, "pull"),
            (Some(Action::Push), Some(name)) => Scope::Repository(name, "pull,push"),
            (Some(Action::Delete), Some(name)) => Scope::Repository(name, "delete"),
            _ => Scope::None,
        };
        let (scheme, host) = match &self.external {
            Some((scheme, host)) => (scheme.as_str(), host.as_str()),
            None => (visit.proto, visit.host),
        };
        let challenge = Challenge {
            scheme,
            host,
            scope,
            error,
        };
        Some(challenge.value())
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
