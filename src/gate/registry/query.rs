//! Queries of the registry API, as registries read them: decoded once, as a form is (WHATWG URL, 5.1).

use std::fmt::Write as _;

use super::route::{is_name, is_tag};

/// What stands between two `&` is not what everybody would read alike: a `;`, or a bad escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadQuery;

/// Names of one page of a catalogue, where the client does not say how many...
const NAMES: usize = 1_000;
/// ...and at most.
const MOST_NAMES: usize = 1_000;
/// Tags that one manifest is given at once.
const MOST_TAGS: usize = 16;

/// Whether an upload is to begin with a blob of another repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// It is not.
    Absent,
    /// It is, of this one.
    From(String),
    /// Nobody can say of which: one of the two parameters without the other, twice, in capitals, or no name.
    Odd,
}

/// Which part of a catalogue is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Names at most.
    pub most: usize,
    /// Those behind this name.
    pub last: Option<Vec<u8>>,
}

impl Mount {
    /// What a query says.
    pub fn of_query(query: &str) -> Result<Mount, BadQuery> {
        let (mut mounts, mut froms) = (0, 0);
        let mut from = None;
        for (key, value) in decoded_pairs(query)? {
            match key.as_slice() {
                b"mount" => mounts += 1,
                b"from" => {
                    froms += 1;
                    from = String::from_utf8(value).ok().filter(|name| is_name(name));
                }
                // Somebody may read it so.
                key if is_of_mount(key) => return Ok(Mount::Odd),
                _ => {}
            }
        }
        Ok(match (mounts, froms, from) {
            (0, 0, _) => Mount::Absent,
            (1, 1, Some(from)) => Mount::From(from),
            _ => Mount::Odd,
        })
    }

    /// A query without what asks for a mount; all else stays as it came.
    pub fn removed_from(query: &str) -> String {
        let stays = |pair: &&str| {
            let key = pair.split_once('=').map_or(*pair, |(key, _)| key);
            decoded(key).is_ok_and(|key| !is_of_mount(&key))
        };
        query.split('&').filter(stays).collect::<Vec<_>>().join("&")
    }
}

fn is_of_mount(key: &[u8]) -> bool {
    key.eq_ignore_ascii_case(b"mount") || key.eq_ignore_ascii_case(b"from")
}

impl Page {
    /// What a query asks for. More than 1,000 names are 1,000.
    pub fn of_query(query: &str) -> Result<Page, BadQuery> {
        let pairs = decoded_pairs(query)?;
        let first = |name: &[u8]| pairs.iter().find(|(key, _)| key == name);
        let most = match first(b"n") {
            None => NAMES,
            Some((_, digits)) => {
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    return Err(BadQuery);
                }
                let number = std::str::from_utf8(digits).ok();
                let number = number.and_then(|digits| digits.parse().ok());
                number.unwrap_or(MOST_NAMES).min(MOST_NAMES)
            }
        };
        let last = first(b"last").map(|(_, name)| name.clone());
        Ok(Page { most, last })
    }

    /// The target of the page behind a name.
    pub fn behind(&self, last: &[u8]) -> String {
        format!("/v2/_catalog?last={}&n={}", form_encoded(last), self.most)
    }
}

/// The tags that a manifest is given by its query, `tag=` beside a digest. An error too if one of them is none, or if they are
/// too many.
pub fn tags_of(query: &str) -> Result<Vec<String>, BadQuery> {
    let pairs = decoded_pairs(query)?.into_iter();
    let tags = pairs
        .filter(|(key, _)| key.eq_ignore_ascii_case(b"tag"))
        .map(|(_, tag)| {
            let tag = String::from_utf8(tag).map_err(|_| BadQuery)?;
            is_tag(&tag).then_some(tag).ok_or(BadQuery)
        });
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    (tags.len() <= MOST_TAGS).then_some(tags).ok_or(BadQuery)
}

/// For a value in a query.
pub fn form_encoded(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Keys and values; an empty pair is none.
fn decoded_pairs(query: &str) -> Result<Vec<Pair>, BadQuery> {
    if query.contains(';') {
        return Err(BadQuery);
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<Vec<u8>, BadQuery> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = after.split_at_checked(2).ok_or(BadQuery)?;
                rest = digits.1;
                digits.0.iter().try_fold(0_u8, |value, digit| {
                    let digit = char::from(*digit).to_digit(16).ok_or(BadQuery)?;
                    Ok(value << 4 | u8::try_from(digit).map_err(|_| BadQuery)?)
                })?
            }
            byte => *byte,
        });
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_one_whatever_its_escapes_and_odd_in_any_other_form() {
        let from = |name: &str| Ok(Mount::From(name.to_owned()));
        for (query, mount) in [
            ("", Ok(Mount::Absent)),
            ("digest=sha256:ab&x", Ok(Mount::Absent)),
            ("mount=sha256:ab&from=team/app", from("team/app")),
            ("from=team%2Fapp&mount=sha256%3Aab", from("team/app")),
            ("%66rom=a&%6dount=b", from("a")),
            ("mount=sha256:ab", Ok(Mount::Odd)),
            ("from=a", Ok(Mount::Odd)),
            ("mount=a&mount=b&from=c", Ok(Mount::Odd)),
            ("mount=a&from=b&from=c", Ok(Mount::Odd)),
            ("mount=a&from=b&FROM=c", Ok(Mount::Odd)),
            ("Mount=a&from=b", Ok(Mount::Odd)),
            ("mount=a&from=Team", Ok(Mount::Odd)),
            ("mount=a&from=a/../b", Ok(Mount::Odd)),
            ("mount=a&from=", Ok(Mount::Odd)),
            ("mount=a&from=a%252Fb", Ok(Mount::Odd)),
            ("mount=a;from=b", Err(BadQuery)),
            ("mount=%zz&from=b", Err(BadQuery)),
            ("mount=a&from=b&x=%4", Err(BadQuery)),
        ] {
            assert_eq!(Mount::of_query(query), mount, "{query}");
        }
    }

    #[test]
    fn what_is_removed_is_the_mount_alone() {
        for (query, left) in [
            ("mount=a&from=b", ""),
            (
                "x=1&mount=a&digest=sha256%3Aab&%66rom=b&+y=%20",
                "x=1&digest=sha256%3Aab&+y=%20",
            ),
            ("FROM=a&froms=b&xmount", "froms=b&xmount"),
        ] {
            assert_eq!(Mount::removed_from(query), left, "{query}");
        }
    }

    #[test]
    fn a_page_has_a_number_of_names_and_a_beginning() {
        let page = |most, last: Option<&str>| {
            let last = last.map(|last| last.as_bytes().to_vec());
            Ok(Page { most, last })
        };
        for (query, expected) in [
            ("", page(1000, None)),
            ("n=7&last=a%2Fb", page(7, Some("a/b"))),
            ("n=0", page(0, None)),
            ("n=1001", page(1000, None)),
            ("n=99999999999999999999999", page(1000, None)),
            ("n=", Err(BadQuery)),
            ("n=-1", Err(BadQuery)),
            ("n=1;last=x", Err(BadQuery)),
            ("last=%", Err(BadQuery)),
        ] {
            assert_eq!(Page::of_query(query), expected, "{query}");
        }
    }

    #[test]
    fn tags_are_those_of_the_query_and_none_is_passed_over() {
        let tags = |tags: &[&str]| Ok(tags.iter().map(|&tag| tag.to_owned()).collect());
        for (query, expected) in [
            ("", tags(&[])),
            ("x=y", tags(&[])),
            ("tag=v1&tag=v%31.2", tags(&["v1", "v1.2"])),
            ("TAG=v1", tags(&["v1"])),
            ("tag=", Err(BadQuery)),
            ("tag=a/b", Err(BadQuery)),
            ("tag=a;tag=b", Err(BadQuery)),
        ] {
            assert_eq!(tags_of(query), expected, "{query}");
        }
        assert_eq!(tags_of(&"tag=a&".repeat(17)), Err(BadQuery));
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        let encoded = form_encoded(&all);
        assert_eq!(decoded(&encoded), Ok(all));
        assert_eq!(form_encoded(b"team/a b&c"), "team%2Fa%20b%26c");
    }
}
