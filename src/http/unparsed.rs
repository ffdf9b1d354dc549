//! What can still be said of a request that was refused, for the log and for the shape of the refusal. A guess by
//! design: nothing may be decided by it. All input is hostile, and may hold credentials where they do not belong: only
//! what has the form of a method or of a target is shown, and of anything else only what tells one protocol from another.

use super::grammar::is_token;
use super::host::{Authority, Scheme};
use super::paths::is_registry;

/// Enough of a target to be recognised.
const LONGEST: usize = 200;
/// The longest methods that are registered have 17 letters. What is longer is no method, and may be anything.
const LONGEST_METHOD: usize = 20;
/// Of another protocol: a TLS record's type and version, and no more.
const LONGEST_BINARY: usize = 3;
/// The methods that a line may begin with that has no version and so was perhaps never meant as a request.
const KNOWN: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE",
];

/// What a refused request seems to have been.
#[derive(Debug, PartialEq, Eq)]
pub struct Unparsed {
    /// At most 20 bytes, perhaps empty, not escaped.
    pub method: String,
    /// At most 200 bytes of it, perhaps empty, not escaped, without a user and a password before its host.
    pub target: Vec<u8>,
    /// The client expects no body in the answer.
    pub is_head: bool,
    /// The client asked for something under `/v2/`, and so expects JSON.
    pub registry: bool,
}

/// Reads what it can of a first line, whole or not.
pub fn unparsed(input: &[u8]) -> Unparsed {
    let input = input.strip_prefix(b"\r\n").unwrap_or(input);
    let line = input
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let is_request_line = words.next().is_some_and(|word| word.starts_with(b"HTTP/"));
    let is_shown = is_request_line || KNOWN.contains(&method);
    Unparsed {
        method: match is_shown && is_token(method) && method.len() <= LONGEST_METHOD {
            true => String::from_utf8_lossy(method).into_owned(),
            false => binary(method),
        },
        target: match is_shown {
            true => shown(method, target),
            false => Vec::new(),
        },
        is_head: method == b"HEAD",
        registry: is_registry(path_of(target)),
    }
}

/// What tells that it is no text at all.
fn binary(word: &[u8]) -> String {
    match word.first() {
        Some(first) if !(b' '..=b'~').contains(first) => {
            let beginning = word.get(..LONGEST_BINARY).unwrap_or(word);
            String::from_utf8_lossy(beginning).into_owned()
        }
        _ => String::new(),
    }
}

/// A target in one of the forms that there are (RFC 9112, 3.2), and nothing of what is in none of them.
fn shown(method: &[u8], target: &[u8]) -> Vec<u8> {
    let is_authority = method == b"CONNECT" && Authority::parse(target).is_some();
    if target == b"*" || target.starts_with(b"/") || is_authority {
        return cut(target).to_vec();
    }
    let Some((scheme, rest)) = Scheme::split(target) else {
        return Vec::new();
    };
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, local) = rest.split_at_checked(end).unwrap_or((rest, b""));
    let host = authority
        .rsplit(|byte| *byte == b'@')
        .next()
        .unwrap_or_default();
    cut(&[scheme.as_str().as_bytes(), b"://", host, local].concat()).to_vec()
}

fn cut(target: &[u8]) -> &[u8] {
    target.get(..LONGEST).unwrap_or(target)
}

fn path_of(target: &[u8]) -> &[u8] {
    let local = match Scheme::split(target) {
        Some((_, rest)) => rest
            .get(
                rest.iter()
                    .position(|byte| *byte == b'/')
                    .unwrap_or(rest.len())..,
            )
            .unwrap_or_default(),
        None => target,
    };
    local
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_unparsed(line: &str) -> (String, String) {
        let Unparsed { method, target, .. } = unparsed(line.as_bytes());
        (method, String::from_utf8_lossy(&target).into_owned())
    }

    #[test]
    fn a_first_line_is_guessed_at() {
        for (input, method, target, is_head, registry) in [
            (
                "GET /v2/a/../b?c HTTP/1.1\r\nHost: a\r\n",
                "GET",
                "/v2/a/../b?c",
                false,
                true,
            ),
            ("\r\nHEAD /v2?x HTTP/1.1\n", "HEAD", "/v2?x", true, true),
            (
                "GET http://a/v2/ HTTP/1.1",
                "GET",
                "http://a/v2/",
                false,
                true,
            ),
            ("GET http://a", "GET", "http://a", false, false),
            ("POST /v2x", "POST", "/v2x", false, false),
            ("CONNECT a:443 HTTP/1.1", "CONNECT", "a:443", false, false),
            ("PRI * HTTP/2.0", "PRI", "*", false, false),
            ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*", false, false),
            (
                "\u{16}\u{3}\u{1}\u{2}\u{0}",
                "\u{16}\u{3}\u{1}",
                "",
                false,
                false,
            ),
            ("", "", "", false, false),
        ] {
            let expected = Unparsed {
                method: method.into(),
                target: target.into(),
                is_head,
                registry,
            };
            assert_eq!(unparsed(input.as_bytes()), expected, "{input:?}");
        }
        let long = format!("GET /{} HTTP/1.1", "a".repeat(70_000));
        assert_eq!(unparsed(long.as_bytes()).target.len(), LONGEST);
    }

    #[test]
    fn what_may_be_credentials_is_not_shown() {
        for line in [
            "Basic YWxpY2U6c2VjcmV0",
            "BASIC YWxpY2U6c2VjcmV0",
            "BASIC /WxpY2U6c2VjcmV0",
            "Basic YWxpY2U6c2VjcmV0 HTTP/1.1",
            "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
            "bearer YWxpY2U6c2VjcmV0 x",
            "Authorization: Basic YWxpY2U6c2VjcmV0",
            "authorization:YWxpY2U6c2VjcmV0",
            "YWxpY2U6c2VjcmV0",
            "GET YWxpY2U6c2VjcmV0 HTTP/1.1",
            "GET alice:secret@host/ HTTP/1.1",
            "GET alice:secret HTTP/1.1",
            "GET alice:1234 HTTP/1.1",
            "CONNECT alice:secret@host:443 HTTP/1.1",
            "GET http://alice:secret@host/ HTTP/1.1",
            "GET HTTPS://alice:sec@ret@host/ HTTP/1.1",
            "GET http://alice:secret@host HTTP/1.1",
            "GET ftp://alice:secret@host/ HTTP/1.1",
            "YWxpY2U6c2VjcmV0YWxpY2U6c2VjcmV0 / HTTP/1.1",
            "{\"password\":\"secret\"} / x",
        ] {
            let (method, target) = of_unparsed(line);
            for shown in [&method, &target] {
                let hidden = ["WxpY2U6", "eyJhb", "alice", "sec", "ret@"];
                assert!(
                    hidden.iter().all(|word| !shown.contains(word)),
                    "{line}: {method} {target}"
                );
            }
        }
        let (_, target) = of_unparsed("GET https://alice:secret@host:1/a?b HTTP/1.1");
        assert_eq!(target, "https://host:1/a?b");
    }
}
