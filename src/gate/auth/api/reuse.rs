//! How long an answer of the API holds, and for whom: what its `Cache-Control` and `Vary` say (RFC 9111).
//!
//! Owns that reading. Must not know what is remembered or where. Where the fields are unclear they are read as the
//! stricter of what they can mean: a question too many costs a millisecond.

use std::time::Duration;

use super::answer::Fields;
use super::question::{Question, REQUEST_ID, TARGET};

/// A refused password is asked about again after this, whatever the API says, so that somebody whose account was just
/// made or repaired gets in; a client that replays a stale one still cannot lock the account by it.
const LONGEST_REFUSAL: Duration = Duration::from_secs(10);
/// An API that says more means "always", and is asked once a day all the same.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// More than any API names; such an answer is used once.
const MOST_NAMES: usize = 16;

/// What may be done with an answer after it was given to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// It is for the one question alone.
    Never,
    /// It also answers questions that are the same and were asked at the same time.
    Twins,
    /// It holds for so long, for whoever sends the same in these fields (in lower case, sorted).
    For(Duration, Vec<String>),
}

/// What an answer hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// On the credentials: it would be the same for every path.
    Credentials,
    /// On the path too, as far as anybody knows.
    Path,
}

impl Basis {
    /// Of an answer to `question` that may be reused so.
    pub(super) fn of(question: &Question<'_>, reuse: &Reuse) -> Basis {
        match reuse {
            Reuse::For(_, vary)
                if !question.is_stranger() && !vary.iter().any(|name| name == TARGET) =>
            {
                Basis::Credentials
            }
            _ => Basis::Path,
        }
    }
}

impl Reuse {
    /// Of an answer with that status; `unsaid` is how long it holds if it says nothing about that.
    pub(super) fn of(status: u16, fields: &Fields, unsaid: Option<Duration>) -> Reuse {
        let said = Said::read(fields);
        let vary = vary(fields);
        let Some(vary) = vary.filter(|_| !said.forbids) else {
            return Reuse::Never;
        };
        let longest = match status {
            200..=299 | 403 => LONGEST,
            401 => LONGEST_REFUSAL,
            _ => return Reuse::Twins,
        };
        let lifetime = match said.lifetime {
            Some(lifetime) => lifetime.saturating_sub(said.age),
            // It speaks of its life in words that are not understood here.
            None if said.otherwise => Duration::ZERO,
            None => unsaid.unwrap_or_default(),
        };
        match lifetime.min(longest) {
            Duration::ZERO if said.lifetime.is_some() => Reuse::Never,
            Duration::ZERO => Reuse::Twins,
            lifetime => Reuse::For(lifetime, vary),
        }
    }
}

/// What an answer says of its own life.
#[derive(Default)]
struct Said {
    /// It must not be used again.
    forbids: bool,
    lifetime: Option<Duration>,
    /// How old it is already.
    age: Duration,
    /// It has one of the fields from before `Cache-Control`.
    otherwise: bool,
}

impl Said {
    fn read(fields: &Fields) -> Said {
        let mut said = Said {
            otherwise: fields.values("expires").next().is_some(),
            forbids: fields.values("pragma").any(|value| {
                value
                    .to_ascii_lowercase()
                    .windows(8)
                    .any(|at| at == b"no-cache")
            }),
            ..Said::default()
        };
        let read: Option<Vec<_>> = fields.values("cache-control").map(directives).collect();
        // What cannot be taken apart may forbid it.
        said.forbids |= read.is_none();
        for (name, argument) in read.into_iter().flatten().flatten() {
            match name.as_str() {
                "no-store" | "no-cache" => said.forbids = true,
                // For a shared cache, which this is, the second takes precedence; the shorter does no harm. One that is
                // no number is taken for stale (RFC 9111, 4.2.1).
                "max-age" | "s-maxage" => {
                    let lifetime = seconds(argument.as_deref().unwrap_or_default());
                    let shortest = said.lifetime.unwrap_or(Duration::MAX).min(lifetime);
                    said.lifetime = Some(shortest);
                }
                _ => {}
            }
        }
        for age in fields.values("age") {
            let age = std::str::from_utf8(age).unwrap_or_default();
            said.age = said.age.max(match age.parse() {
                Ok(seconds) => Duration::from_secs(seconds),
                Err(_) => Duration::MAX,
            });
        }
        said
    }
}

/// Zero if it is no number.
fn seconds(text: &str) -> Duration {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if is_number => Duration::from_secs(seconds),
        // Too large for the parser, which RFC 9111 (1.2.2) has for "very long".
        Err(_) if is_number => LONGEST,
        _ => Duration::ZERO,
    }
}

/// The names in all `Vary` fields; `None` if nobody can say what the answer hangs on.
fn vary(fields: &Fields) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for value in fields.values("vary") {
        for name in value.split(|byte| *byte == b',') {
            let name = std::str::from_utf8(name.trim_ascii()).ok()?;
            match name {
                "" => {}
                "*" => return None,
                _ => names.push(name.to_ascii_lowercase()),
            }
        }
    }
    names.sort();
    names.dedup();
    let is_of_one = names.iter().any(|name| name == REQUEST_ID);
    (names.len() <= MOST_NAMES && !is_of_one).then_some(names)
}

/// The directives of one field, names in lower case, quotes around arguments taken off. `None` if a quote does not close:
/// it would swallow all that stands behind it.
fn directives(value: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let mut directives = Vec::new();
    let mut rest = String::from_utf8_lossy(value).into_owned();
    while !rest.is_empty() {
        let end = end_of_directive(&rest)?;
        let tail = rest.get(end + 1..).unwrap_or_default().to_owned();
        rest.truncate(end);
        let (name, argument) = match rest.split_once('=') {
            Some((name, argument)) => (name, Some(argument.trim().trim_matches('"').to_owned())),
            None => (rest.as_str(), None),
        };
        directives.push((name.trim().to_ascii_lowercase(), argument));
        rest = tail;
    }
    Some(directives)
}

/// Where the comma is, outside quotes, that ends the first of them. `None` if a quote does not close.
fn end_of_directive(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::fields;
    use super::*;

    fn held(seconds: u64, vary: &[&str]) -> Reuse {
        Reuse::For(
            Duration::from_secs(seconds),
            vary.iter().map(|name| (*name).to_owned()).collect(),
        )
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says() {
        for (lines, expected) in [
            (&[][..], Reuse::Twins),
            (&["Cache-Control: max-age=30"], held(30, &[])),
            (&["cache-control: private, Max-Age=\"30\""], held(30, &[])),
            (&["Cache-Control: max-age=30, s-maxage=5"], held(5, &[])),
            (
                &["Cache-Control: max-age=30", "Cache-Control: max-age=3"],
                held(3, &[]),
            ),
            (&["Cache-Control: max-age=30", "Age: 25"], held(5, &[])),
            (&["Cache-Control: max-age=30", "Age: 30"], Reuse::Never),
            (&["Cache-Control: max-age=30", "Age: old"], Reuse::Never),
            (&["Cache-Control: max-age=0"], Reuse::Never),
            (&["Cache-Control: max-age=-1"], Reuse::Never),
            (&["Cache-Control: max-age"], Reuse::Never),
            (
                &["Cache-Control: max-age=99999999999999999999"],
                held(86400, &[]),
            ),
            (&["Cache-Control: no-store, max-age=30"], Reuse::Never),
            (&["Cache-Control: max-age=30,NO-CACHE"], Reuse::Never),
            (&["Cache-Control: no-cache=\"x\", max-age=30"], Reuse::Never),
            (
                &["Cache-Control: x=\"no-store, y\\\", no-cache\", max-age=30"],
                held(30, &[]),
            ),
            (
                &["Cache-Control: max-age=30, x=\"a, no-store"],
                Reuse::Never,
            ),
            (&["Cache-Control: max-age=+30"], Reuse::Never),
            (&["Pragma: no-cache"], Reuse::Never),
            (&["Cache-Control: private"], Reuse::Twins),
            (&["Cache-Control: max-age=30", "Vary: *"], Reuse::Never),
            (&["Vary: Cookie, *"], Reuse::Never),
            (
                &["Cache-Control: max-age=30", "Vary: X-Request-ID"],
                Reuse::Never,
            ),
            (
                &[
                    "Cache-Control: max-age=30",
                    "Vary: X-Original-URI, cookie",
                    "vary: Cookie,",
                ],
                held(30, &["cookie", "x-original-uri"]),
            ),
        ] {
            assert_eq!(Reuse::of(200, &fields(lines), None), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_setting_speaks_only_where_the_api_is_silent() {
        let unsaid = Some(Duration::from_secs(60));
        for (lines, expected) in [
            (&[][..], held(60, &[])),
            (&["Cache-Control: private"], held(60, &[])),
            (&["Vary: Cookie"], held(60, &["cookie"])),
            (&["Cache-Control: max-age=30"], held(30, &[])),
            (&["Cache-Control: max-age=0"], Reuse::Never),
            (&["Cache-Control: no-store"], Reuse::Never),
            (&["Vary: *"], Reuse::Never),
            (&["Expires: 0"], Reuse::Twins),
        ] {
            assert_eq!(
                Reuse::of(200, &fields(lines), unsaid),
                expected,
                "{lines:?}"
            );
        }
        assert_eq!(
            Reuse::of(200, &fields(&[]), Some(Duration::ZERO)),
            Reuse::Twins
        );
    }

    #[test]
    fn a_refusal_holds_ten_seconds_at_most_and_a_failure_not_at_all() {
        let long = fields(&["Cache-Control: max-age=3600"]);
        assert_eq!(Reuse::of(204, &long, None), held(3600, &[]));
        assert_eq!(Reuse::of(403, &long, None), held(3600, &[]));
        assert_eq!(Reuse::of(401, &long, None), held(10, &[]));
        let unsaid = Some(Duration::from_secs(60));
        assert_eq!(Reuse::of(401, &fields(&[]), unsaid), held(10, &[]));
        for status in [302, 404, 429, 500, 503] {
            assert_eq!(Reuse::of(status, &long, None), Reuse::Twins);
        }
    }
}
