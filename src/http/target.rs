//! The request target: which of its forms it has, what of it is forwarded, and which paths are refused because two
//! programs could read them differently. Nothing is ever decoded, merged or tidied. All input is hostile.

use std::borrow::Cow;

use super::grammar::{is_path_byte, is_unreserved};
use super::host::{Authority, Scheme};
use super::refusal::Refusal;

/// A target that may be forwarded.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Of an absolute form: it must be that of `Host`.
    pub authority: Option<(Scheme, Authority<'a>)>,
    /// Path and query, or `*`. Borrowed where it is the end of the target as it came.
    pub forwarded: Cow<'a, [u8]>,
    /// How much of `forwarded` is the path.
    pub path: usize,
}

impl<'a> Target<'a> {
    /// Tells the forms of RFC 9112, 3.2 apart; CONNECT and its authority form never get here.
    pub fn parse(method: &[u8], target: &'a [u8]) -> Result<Self, Refusal> {
        if target == b"*" {
            return match method {
                b"OPTIONS" => Ok(Self {
                    authority: None,
                    forwarded: Cow::Borrowed(target),
                    path: 1,
                }),
                _ => Err(Refusal::AsteriskWithoutOptions),
            };
        }
        let (authority, local) = match target {
            [b'/', ..] => (None, target),
            _ => {
                let (scheme, rest) = Scheme::split(target).ok_or(Refusal::BadTarget)?;
                let end = rest
                    .iter()
                    .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
                    .unwrap_or(rest.len());
                let (authority, local) = rest.split_at_checked(end).ok_or(Refusal::BadTarget)?;
                (
                    Some((
                        scheme,
                        Authority::parse(authority).ok_or(Refusal::BadTarget)?,
                    )),
                    local,
                )
            }
        };
        let forwarded = match local {
            [b'/', ..] => Cow::Borrowed(local),
            // RFC 9112, 3.2.4: what `*` becomes on its way through a proxy, and turns into again.
            [] if method == b"OPTIONS" => Cow::Owned(b"*".to_vec()),
            // RFC 9112, 3.2.1: an empty path is sent as "/".
            _ => Cow::Owned([b"/", local].concat()),
        };
        let path = forwarded
            .iter()
            .position(|byte| *byte == b'?')
            .unwrap_or(forwarded.len());
        if let Some((path, query)) = forwarded.split_at_checked(path) {
            check_path(path)?;
            check_query(query)?;
        }
        Ok(Self {
            authority,
            forwarded,
            path,
        })
    }
}

/// Whether a path belongs to the registry API.
pub(super) fn is_registry(path: &[u8]) -> bool {
    path == b"/v2" || path.starts_with(b"/v2/")
}

fn check_path(path: &[u8]) -> Result<(), Refusal> {
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        match segment {
            b"." | b".." => return Err(Refusal::DotSegment),
            // The last one may be empty: that is a trailing slash.
            b"" if segments.peek().is_some() && (first || is_registry(path)) => {
                return Err(Refusal::EmptySegment);
            }
            _ => check_segment(segment)?,
        }
        first = false;
    }
    Ok(())
}

fn check_segment(segment: &[u8]) -> Result<(), Refusal> {
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let escaped = match after {
                    [high, low, ..] => hex(*high).zip(hex(*low)),
                    _ => None,
                };
                let (high, low) = escaped.ok_or(Refusal::BadEscape)?;
                let value = high * 16 + low;
                if is_unreserved(value) || matches!(value, b'/' | b'\\' | 0) {
                    return Err(Refusal::DisguisedEscape);
                }
            }
            b'\\' => return Err(Refusal::Backslash),
            b'#' => return Err(Refusal::Fragment),
            other if is_path_byte(*other) => {}
            _ => return Err(Refusal::BadTarget),
        }
    }
    Ok(())
}

/// Upload states, mounts and searches put almost anything into a query; what it is not is more than one word.
fn check_query(query: &[u8]) -> Result<(), Refusal> {
    match query
        .iter()
        .find(|byte| !byte.is_ascii_graphic() || **byte == b'#')
    {
        Some(b'#') => Err(Refusal::Fragment),
        Some(_) => Err(Refusal::BadTarget),
        None => Ok(()),
    }
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit fits a byte.
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(method: &str, target: &[u8]) -> Option<Refusal> {
        Target::parse(method.as_bytes(), target).err()
    }

    #[test]
    fn registry_targets_are_forwarded_byte_for_byte() {
        for target in [
            "/",
            "/v2",
            "/v2/",
            "/v2/team/app/manifests/latest",
            "/v2/_catalog?n=100&last=team%2Fapp",
            "/v2/a/blobs/sha256:0af/",
            "/v2/a/blobs/uploads/?mount=sha256%3Aab&from=team%2Fapp",
            "/v2/a/blobs/uploads/x?_state=A-b_c==&digest=sha256%3Aab",
            "/v2/a/b?x=../..//%2e%2F%5c%00\\%zz%|{}<>\"^`[]",
            "/a//b",
            "/a//",
            "/a/...",
            "/.a/..b/c..",
            "/a%20b/%e2%82%ac%3A%25",
            "/a;b=c,d/(e)!*'$&+@:~-._",
            "/v2x//a",
            "/V2//a",
            "/?",
        ] {
            let parsed = Target::parse(b"GET", target.as_bytes()).unwrap();
            assert_eq!(parsed.forwarded, target.as_bytes());
            assert_eq!(
                parsed.path,
                target.find('?').unwrap_or(target.len()),
                "{target}"
            );
            assert!(parsed.authority.is_none());
        }
    }

    #[test]
    fn paths_that_two_programs_could_read_differently_are_refused() {
        for (path, refusal) in [
            ("/.", Refusal::DotSegment),
            ("/..", Refusal::DotSegment),
            ("/a/.", Refusal::DotSegment),
            ("/a/..", Refusal::DotSegment),
            ("/a/./b", Refusal::DotSegment),
            ("/v2/../x", Refusal::DotSegment),
            ("/../", Refusal::DotSegment),
            ("/a/..?x", Refusal::DotSegment),
            ("/a\\b", Refusal::Backslash),
            ("/\\", Refusal::Backslash),
            ("/a#b", Refusal::Fragment),
            ("/#", Refusal::Fragment),
            ("/a?b#c", Refusal::Fragment),
            ("/%2e", Refusal::DisguisedEscape),
            ("/%2E%2e/", Refusal::DisguisedEscape),
            ("/a%2fb", Refusal::DisguisedEscape),
            ("/a%2Fb", Refusal::DisguisedEscape),
            ("/%5c", Refusal::DisguisedEscape),
            ("/%5C", Refusal::DisguisedEscape),
            ("/a%00", Refusal::DisguisedEscape),
            ("/%762/", Refusal::DisguisedEscape),
            ("/v%32/", Refusal::DisguisedEscape),
            ("/%41", Refusal::DisguisedEscape),
            ("/%7E", Refusal::DisguisedEscape),
            ("/%2d%5f", Refusal::DisguisedEscape),
            ("/%", Refusal::BadEscape),
            ("/%4", Refusal::BadEscape),
            ("/%zz", Refusal::BadEscape),
            ("/%4g", Refusal::BadEscape),
            ("/%/20", Refusal::BadEscape),
            ("/%2?0", Refusal::BadEscape),
            ("/%u002e", Refusal::BadEscape),
            ("//", Refusal::EmptySegment),
            ("//a", Refusal::EmptySegment),
            ("//v2/", Refusal::EmptySegment),
            ("/v2//", Refusal::EmptySegment),
            ("/v2//a", Refusal::EmptySegment),
            ("/v2/a//b", Refusal::EmptySegment),
            ("/v2/a//", Refusal::EmptySegment),
            ("/a\tb", Refusal::BadTarget),
            ("/a\u{1}", Refusal::BadTarget),
            ("/a\u{7f}", Refusal::BadTarget),
            ("/\u{e9}", Refusal::BadTarget),
            ("/a?\u{e9}", Refusal::BadTarget),
            ("/a?b\tc", Refusal::BadTarget),
            ("/a?\u{7f}", Refusal::BadTarget),
            ("/a|b", Refusal::BadTarget),
            ("/<a>", Refusal::BadTarget),
            ("/\"", Refusal::BadTarget),
            ("/{a}", Refusal::BadTarget),
        ] {
            for method in ["GET", "OPTIONS"] {
                assert_eq!(
                    refused(method, path.as_bytes()),
                    Some(refusal.clone()),
                    "{path:?}"
                );
                let absolute = format!("http://a{path}");
                assert_eq!(
                    refused(method, absolute.as_bytes()),
                    Some(refusal.clone()),
                    "{absolute:?}"
                );
            }
        }
        for byte in (0..=b' ').chain(0x7F..=u8::MAX) {
            assert_eq!(
                refused("GET", &[b'/', byte]),
                Some(Refusal::BadTarget),
                "{byte:#x}"
            );
            assert_eq!(
                refused("GET", &[b'/', b'?', byte]),
                Some(Refusal::BadTarget),
                "{byte:#x}"
            );
        }
    }

    #[test]
    fn an_absolute_form_is_forwarded_as_path_and_query() {
        for (target, forwarded, host) in [
            ("http://a/v2/", "/v2/", "a"),
            ("HTTPS://a:5443/x?y", "/x?y", "a"),
            ("http://[::1]/", "/", "[::1]"),
            ("http://a", "/", "a"),
            ("http://a?b=/c", "/?b=/c", "a"),
        ] {
            let parsed = Target::parse(b"GET", target.as_bytes()).unwrap();
            assert_eq!(
                (&*parsed.forwarded, parsed.authority.unwrap().1.host()),
                (forwarded.as_bytes(), host)
            );
        }
        assert_eq!(
            &*Target::parse(b"OPTIONS", b"http://a").unwrap().forwarded,
            b"*"
        );
        assert_eq!(
            &*Target::parse(b"OPTIONS", b"http://a/").unwrap().forwarded,
            b"/"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for target in [
            "",
            "a",
            "v2/",
            "?a",
            "a:443",
            "ftp://a/",
            "http:/a",
            "http:a",
            "http://",
            "http:///a",
            "http://user@a/",
            "http://u:p@a/",
            "://a/",
            "ws://a/",
            "**",
            "http://a:b/",
            " /",
        ] {
            assert_eq!(
                refused("GET", target.as_bytes()),
                Some(Refusal::BadTarget),
                "{target:?}"
            );
        }
        assert_eq!(refused("GET", b"*"), Some(Refusal::AsteriskWithoutOptions));
        assert_eq!(refused("OPTIONS", b"*"), None);
        assert_eq!(refused("OPTIONS", b"*?a"), Some(Refusal::BadTarget));
    }
}
