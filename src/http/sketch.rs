//! What can still be said of a request that was refused, for the log and for the shape of the refusal. A guess by
//! design: nothing may be decided by it. All input is hostile.

use super::host::Scheme;
use super::target::is_registry;

/// Enough of a method or a target to be recognised.
const LONGEST: usize = 200;

/// What a refused request seems to have been.
#[derive(Debug, PartialEq, Eq)]
pub struct Sketch {
    /// At most 200 bytes of it, perhaps empty, not escaped.
    pub method: String,
    /// At most 200 bytes of it, perhaps empty, not escaped.
    pub target: String,
    /// The client expects no body in the answer.
    pub is_head: bool,
    /// The client asked for something under `/v2/`, and so expects JSON.
    pub registry: bool,
}

/// Reads what it can of a first line, whole or not.
pub fn sketch(input: &[u8]) -> Sketch {
    let input = input.strip_prefix(b"\r\n").unwrap_or(input);
    let line = input
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    Sketch {
        method: shortened(method),
        target: shortened(target),
        is_head: method == b"HEAD",
        registry: is_registry(path_of(target)),
    }
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

fn shortened(word: &[u8]) -> String {
    String::from_utf8_lossy(word.get(..LONGEST).unwrap_or(word)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("\u{16}\u{3}", "\u{16}\u{3}", "", false, false),
            ("", "", "", false, false),
        ] {
            let expected = Sketch {
                method: method.into(),
                target: target.into(),
                is_head,
                registry,
            };
            assert_eq!(sketch(input.as_bytes()), expected, "{input:?}");
        }
        assert_eq!(sketch(&[b'A'; 70_000]).method.len(), LONGEST);
    }
}
