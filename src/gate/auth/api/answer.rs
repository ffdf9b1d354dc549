//! What an answer of the API means: the table of the contract.
//!
//! Owns that table. Must not know how the answer travelled or how long it holds. The API is trusted to decide, and not to
//! be what it is taken for: a default page, a proxy before it, a redirect to a form. Only what is in the table lets
//! anybody in.

use std::sync::Arc;

/// Until another attempt has a chance, in seconds, where the API does not say.
pub(super) const RETRY_AFTER: u32 = 1;
/// Of a `Location`, enough to see what it leads to.
const LONGEST_LOCATION: usize = 200;

/// The decision of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Let in, by these names.
    Allowed(Names),
    /// Not without credentials, or not with these; the API's own challenges, if it has any that can be passed on.
    Unauthorized(Arc<[String]>),
    /// These credentials may not do this.
    Denied,
    /// 429, with its `Retry-After`.
    Throttled(u32),
    /// 503, with its `Retry-After`.
    Unavailable(u32),
}

/// Whom the API lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The user, if it names one.
    pub(super) user: Option<Arc<[u8]>>,
    /// Groups of the user.
    pub(super) groups: Groups,
}

/// Names of groups.
pub type Groups = Arc<[Arc<[u8]>]>;

/// The fields of an answer.
#[derive(Default)]
pub(super) struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), value.to_vec()));
    }

    /// The values of all fields of that name, whatever its case.
    pub(super) fn values<'f>(&'f self, wanted: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.0
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_slice())
    }
}

/// Reads an answer. The error says what there was instead of a decision.
pub(super) fn read(status: u16, fields: &Fields) -> Result<Answer, String> {
    match status {
        200..=299 => Ok(Answer::Allowed(Names {
            user: user(fields)?,
            groups: groups(fields),
        })),
        401 => Ok(Answer::Unauthorized(challenges(fields))),
        403 => Ok(Answer::Denied),
        429 => Ok(Answer::Throttled(retry_after(fields))),
        503 => Ok(Answer::Unavailable(retry_after(fields))),
        300..=399 => Err(match fields.values("location").next() {
            Some(location) => format!("it answered {status}, a redirect to {}", shown(location)),
            None => format!("it answered {status}"),
        }),
        _ => Err(format!("it answered {status}")),
    }
}

/// The one user that is named.
fn user(fields: &Fields) -> Result<Option<Arc<[u8]>>, String> {
    let mut names = ["x-remote-user", "remote-user", "x-auth-user"]
        .into_iter()
        .flat_map(|name| fields.values(name))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty());
    let Some(first) = names.next() else {
        return Ok(None);
    };
    if names.any(|other| other != first) {
        return Err("it named several users for one request".to_owned());
    }
    Ok(Some(first.into()))
}

/// All that are named, with commas between.
fn groups(fields: &Fields) -> Groups {
    ["x-remote-groups", "remote-groups"]
        .into_iter()
        .flat_map(|name| fields.values(name))
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|group| !group.is_empty())
        .map(Into::into)
        .collect()
}

/// Those that cannot end a line or be cut on their way.
fn challenges(fields: &Fields) -> Arc<[String]> {
    let is_safe = |value: &&str| {
        let is_visible = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        !value.is_empty() && value.bytes().all(is_visible)
    };
    fields
        .values("www-authenticate")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(|value| value.trim_matches([' ', '\t']))
        .filter(is_safe)
        .map(str::to_owned)
        .collect()
}

/// In seconds. A date is not: it would have to be translated by a clock that need not agree with the API's.
fn retry_after(fields: &Fields) -> u32 {
    let mut values = fields.values("retry-after");
    let digits = values
        .next()
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(RETRY_AFTER)
}

/// Without the query, which may hold what was asked for.
fn shown(location: &[u8]) -> String {
    let text = String::from_utf8_lossy(location);
    let (text, has_query) = match text.split_once(['?', '#']) {
        Some((before, _)) => (before.to_owned(), true),
        None => (text.into_owned(), false),
    };
    let mut cut: String = text.chars().take(LONGEST_LOCATION).collect();
    if has_query || cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// Fields as lines.
    pub fn fields(lines: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            fields.push(name, value.as_bytes());
        }
        fields
    }

    fn allowed(user: &str) -> Answer {
        member(user, &[])
    }

    fn member(user: &str, groups: &[&str]) -> Answer {
        let groups = groups.iter().map(|group| group.as_bytes().into());
        Answer::Allowed(Names {
            user: Some(user.as_bytes().into()),
            groups: groups.collect(),
        })
    }

    fn nobody() -> Answer {
        Answer::Allowed(Names::default())
    }

    fn unauthorized(challenges: &[&str]) -> Answer {
        Answer::Unauthorized(challenges.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn the_table() {
        for (status, lines, expected) in [
            (200, &[][..], nobody()),
            (204, &[], nobody()),
            (299, &["X-Remote-User: alice"], allowed("alice")),
            (200, &["Remote-User: alice"], allowed("alice")),
            (200, &["x-auth-user: alice"], allowed("alice")),
            (
                200,
                &["X-Auth-User: alice", "X-Remote-User: alice"],
                allowed("alice"),
            ),
            (200, &["X-Remote-User:  "], nobody()),
            (200, &["X-Remote-User: änne"], allowed("änne")),
            (
                200,
                &[
                    "Remote-User: alice",
                    "Remote-Groups: devs, ops ,,",
                    "X-Remote-Groups: all",
                ],
                member("alice", &["all", "devs", "ops"]),
            ),
            (401, &[], unauthorized(&[])),
            (
                401,
                &[
                    "WWW-Authenticate: Basic realm=\"x\"",
                    "WWW-Authenticate: Bearer",
                ],
                unauthorized(&["Basic realm=\"x\"", "Bearer"]),
            ),
            (
                401,
                &["WWW-Authenticate: Basic realm=\"ä\""],
                unauthorized(&[]),
            ),
            (
                401,
                &[
                    "WWW-Authenticate: a\r\nSet-Cookie: b",
                    "WWW-Authenticate:  ",
                ],
                unauthorized(&[]),
            ),
            (403, &["X-Remote-User: alice"], Answer::Denied),
            (429, &["Retry-After: 17"], Answer::Throttled(17)),
            (429, &["Retry-After: soon"], Answer::Throttled(RETRY_AFTER)),
            (
                503,
                &["Retry-After: 99999999999"],
                Answer::Unavailable(RETRY_AFTER),
            ),
            (503, &["Retry-After: +5"], Answer::Unavailable(RETRY_AFTER)),
            (503, &[], Answer::Unavailable(RETRY_AFTER)),
        ] {
            assert_eq!(
                read(status, &fields(lines)),
                Ok(expected),
                "{status} {lines:?}"
            );
        }
    }

    #[test]
    fn everything_else_is_no_decision() {
        for (status, lines, reason) in [
            (
                302,
                &["Location: https://login/?next=secret"][..],
                "it answered 302, a redirect to \"https://login/…\"",
            ),
            (304, &[], "it answered 304"),
            (101, &[], "it answered 101"),
            (400, &[], "it answered 400"),
            (404, &["X-Remote-User: alice"], "it answered 404"),
            (407, &[], "it answered 407"),
            (500, &[], "it answered 500"),
            (502, &[], "it answered 502"),
            (600, &[], "it answered 600"),
            (
                200,
                &["X-Remote-User: alice", "Remote-User: bob"],
                "it named several users for one request",
            ),
            (
                200,
                &["X-Remote-User: alice", "X-Remote-User: bob"],
                "it named several users for one request",
            ),
        ] {
            assert_eq!(read(status, &fields(lines)), Err(reason.to_owned()));
        }
    }
}
