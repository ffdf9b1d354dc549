//! The request target: which of its forms it has, and what of it is forwarded. What it may not be wherever it leads is
//! more than one word, or more than goes to a server; everything else passes byte for byte. All input is hostile.

use std::borrow::Cow;

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
        is_one_word(&forwarded)?;
        Ok(Self {
            authority,
            forwarded,
            path,
        })
    }
}

/// No blank, no control character, and no fragment, which is the client's own.
fn is_one_word(target: &[u8]) -> Result<(), Refusal> {
    match target
        .iter()
        .find(|byte| **byte <= b' ' || matches!(byte, b'#' | 0x7F))
    {
        Some(b'#') => Err(Refusal::Fragment),
        Some(_) => Err(Refusal::BadTarget),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(method: &str, target: &[u8]) -> Option<Refusal> {
        Target::parse(method.as_bytes(), target).err()
    }

    #[test]
    fn targets_are_forwarded_byte_for_byte() {
        for target in [
            &b"/"[..],
            b"/v2/team/app/manifests/latest",
            b"/v2/a/blobs/uploads/x?_state=A-b_c==&digest=sha256%3Aab",
            b"/@scope%2fname",
            b"/a/%7euser/./../b//c\\d%zz%",
            b"/[a]|^\"<>{}`",
            b"/\xc3\xa9\xff?\xff",
            b"//a",
            b"/?",
        ] {
            let parsed = Target::parse(b"GET", target).unwrap();
            assert_eq!(&*parsed.forwarded, target);
            let path = target.iter().position(|byte| *byte == b'?');
            assert_eq!(parsed.path, path.unwrap_or(target.len()));
            assert!(parsed.authority.is_none());
        }
    }

    #[test]
    fn more_than_one_word_and_fragments_are_refused() {
        for (local, refusal) in [
            ("/a#b", Refusal::Fragment),
            ("/#", Refusal::Fragment),
            ("/a?b#c", Refusal::Fragment),
            ("/a\tb", Refusal::BadTarget),
            ("/a?b\tc", Refusal::BadTarget),
        ] {
            for method in ["GET", "OPTIONS"] {
                assert_eq!(refused(method, local.as_bytes()), Some(refusal.clone()));
                let absolute = format!("http://a{local}");
                assert_eq!(refused(method, absolute.as_bytes()), Some(refusal.clone()));
            }
        }
        for byte in 0..=u8::MAX {
            let expected = match byte {
                b'#' => Some(Refusal::Fragment),
                0..=b' ' | 0x7F => Some(Refusal::BadTarget),
                _ => None,
            };
            assert_eq!(refused("GET", &[b'/', byte]), expected, "{byte:#x}");
            assert_eq!(refused("GET", &[b'/', b'?', byte]), expected, "{byte:#x}");
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
