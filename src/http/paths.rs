//! Which paths are refused because two programs could read them differently, and where: only where something is decided
//! by the path is a second reading a way around the decision. Nothing is ever decoded, merged or tidied. All input is
//! hostile.

use super::grammar::{is_path_byte, is_unreserved};
use super::refusal::Refusal;

/// On which paths something is decided by the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathDecides {
    /// On none: who asks is all that counts.
    Nowhere,
    /// Under `/v2/`, whose paths say what is done to which repository.
    InRegistry,
    /// On every path.
    Everywhere,
}

impl PathDecides {
    /// Refuses a path on which something is decided and that could be read in two ways. Its query is free.
    pub fn check(self, path: &[u8]) -> Result<(), Refusal> {
        let decides = match self {
            Self::Nowhere => false,
            Self::InRegistry => is_registry(path),
            Self::Everywhere => true,
        };
        match decides {
            true => read_alike(path),
            false => Ok(()),
        }
    }
}

/// Whether a path belongs to the registry API.
pub(super) fn is_registry(path: &[u8]) -> bool {
    path == b"/v2" || path.starts_with(b"/v2/")
}

fn read_alike(path: &[u8]) -> Result<(), Refusal> {
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        match segment {
            // Tomcat and its heirs take what is behind a `;` for parameters of the segment before it.
            b"." | b".." | [b'.', b';', ..] | [b'.', b'.', b';', ..] => {
                return Err(Refusal::DotSegment);
            }
            // The last one may be empty: that is a trailing slash.
            b"" if segments.peek().is_some() && (first || is_registry(path)) => {
                return Err(Refusal::EmptySegment);
            }
            _ => segment_read_alike(segment)?,
        }
        first = false;
    }
    Ok(())
}

fn segment_read_alike(segment: &[u8]) -> Result<(), Refusal> {
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
                // distribution decodes `/%762/`, and finds its API there.
                if is_unreserved(value) || matches!(value, b'/' | b'\\' | 0) {
                    return Err(Refusal::DisguisedEscape);
                }
            }
            b'\\' => return Err(Refusal::Backslash),
            other if is_path_byte(*other) => {}
            _ => return Err(Refusal::PathCharacter),
        }
    }
    Ok(())
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

    fn checked(rule: PathDecides, path: &[u8]) -> Result<(), Refusal> {
        let head = [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let (head, _) = crate::http::RequestHead::parse(&head).unwrap().unwrap();
        rule.check(head.path())
    }

    /// What is refused where the path decides, without the `/v2` that may stand before it.
    const REFUSED: [(&[u8], Refusal); 44] = [
        (b"/.", Refusal::DotSegment),
        (b"/..", Refusal::DotSegment),
        (b"/a/.", Refusal::DotSegment),
        (b"/a/..", Refusal::DotSegment),
        (b"/a/./b", Refusal::DotSegment),
        (b"/../x", Refusal::DotSegment),
        (b"/../", Refusal::DotSegment),
        (b"/a/..?x", Refusal::DotSegment),
        (b"/.;/x", Refusal::DotSegment),
        (b"/..;/x", Refusal::DotSegment),
        (b"/a/..;b=c", Refusal::DotSegment),
        (b"/a\\b", Refusal::Backslash),
        (b"/\\", Refusal::Backslash),
        (b"/%2e", Refusal::DisguisedEscape),
        (b"/%2E%2e/", Refusal::DisguisedEscape),
        (b"/a%2fb", Refusal::DisguisedEscape),
        (b"/@scope%2Fname", Refusal::DisguisedEscape),
        (b"/%5c", Refusal::DisguisedEscape),
        (b"/%5C", Refusal::DisguisedEscape),
        (b"/a%00", Refusal::DisguisedEscape),
        (b"/%762/", Refusal::DisguisedEscape),
        (b"/v%32/", Refusal::DisguisedEscape),
        (b"/%41", Refusal::DisguisedEscape),
        (b"/%7E", Refusal::DisguisedEscape),
        (b"/%2d%5f", Refusal::DisguisedEscape),
        (b"/%", Refusal::BadEscape),
        (b"/%4", Refusal::BadEscape),
        (b"/%zz", Refusal::BadEscape),
        (b"/%4g", Refusal::BadEscape),
        (b"/%/20", Refusal::BadEscape),
        (b"/%2?0", Refusal::BadEscape),
        (b"/%u002e", Refusal::BadEscape),
        (b"/a|b", Refusal::PathCharacter),
        (b"/<a>", Refusal::PathCharacter),
        (b"/\"", Refusal::PathCharacter),
        (b"/{a}", Refusal::PathCharacter),
        (b"/[a]", Refusal::PathCharacter),
        (b"/^", Refusal::PathCharacter),
        (b"/`", Refusal::PathCharacter),
        (b"/\xc3\xa9", Refusal::PathCharacter),
        (b"/\xff", Refusal::PathCharacter),
        (b"//", Refusal::EmptySegment),
        (b"//a", Refusal::EmptySegment),
        (b"//v2/", Refusal::EmptySegment),
    ];

    #[test]
    fn a_path_that_two_programs_could_read_differently_is_refused_where_it_decides() {
        for (path, refusal) in REFUSED {
            let shown = path.escape_ascii();
            assert_eq!(
                checked(PathDecides::Everywhere, path),
                Err(refusal.clone()),
                "{shown}"
            );
            let below = [b"/v2", path].concat();
            assert_eq!(
                checked(PathDecides::InRegistry, &below),
                Err(refusal),
                "/v2{shown}"
            );
            assert_eq!(checked(PathDecides::InRegistry, path), Ok(()), "{shown}");
            assert_eq!(checked(PathDecides::Nowhere, &below), Ok(()), "/v2{shown}");
        }
        for path in ["/v2/a//b", "/v2/a//"] {
            for rule in [PathDecides::InRegistry, PathDecides::Everywhere] {
                assert_eq!(
                    checked(rule, path.as_bytes()),
                    Err(Refusal::EmptySegment),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn what_can_be_read_in_one_way_only_passes_everywhere() {
        for path in [
            "/",
            "/v2",
            "/v2/",
            "/v2/team/app/manifests/latest",
            "/v2/_catalog?n=100&last=team%2Fapp",
            "/v2/a/blobs/sha256:0af/",
            "/v2/a/blobs/sha256%3A0af",
            "/v2/a/blobs/uploads/?mount=sha256%3Aab&from=team%2Fapp",
            "/v2/a/b?x=../..//%2e%2F%5c%00\\%zz%|{}<>\"^`[]\u{e9}",
            "/a//b",
            "/a//",
            "/a/...",
            "/.a/..b/c..",
            "/...;a",
            "/a%20b/%e2%82%ac%3A%25",
            "/a;b=c,d/(e)!*'$&+@:~-._",
            "/v2x//a",
            "/V2//a",
            "/?",
        ] {
            assert_eq!(
                checked(PathDecides::Everywhere, path.as_bytes()),
                Ok(()),
                "{path}"
            );
        }
    }
}
