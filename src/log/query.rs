//! A target without the secrets in it: the state of an upload, a signature, a key that somebody put into a query.
//!
//! The target is hostile and need not be a URL at all. What decides is the name of a parameter; better a harmless value
//! too much shortened than a secret too few.

/// How much of a secret is shown: enough to tell two of them apart.
const SHOWN: usize = 8;
/// Of a short secret less is shown: one character in so many.
const PART: usize = 4;

/// Names that are secrets whatever stands before or after: `access_token`, `X-Amz-Security-Token`, `clientSecret`.
const PARTS: [&str; 9] = [
    "token",
    "secret",
    "passw",
    "pwd",
    "signature",
    "credential",
    "session",
    "apikey",
    "accesskey",
];
/// Names that are secrets as a whole, or at the end after `-`, `_` or `.`: `_state`, `x-api-key`, `auth`.
const WORDS: [&str; 9] = [
    "state",
    "key",
    "sig",
    "pass",
    "auth",
    "authorization",
    "jwt",
    "code",
    "hmac",
];

/// Calls `write` with the parts of `target` that may be shown.
pub(super) fn shortened<'a>(target: &'a [u8], mut write: impl FnMut(&'a [u8])) {
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(at) => target.split_at(at),
        None => (target, &b""[..]),
    };
    without_user(path, &mut write);
    for parameter in query.split_inclusive(|byte| matches!(byte, b'?' | b'&' | b';')) {
        let (pair, end) = match parameter.split_last() {
            Some((b'?' | b'&' | b';', pair)) => parameter.split_at(pair.len()),
            _ => (parameter, &b""[..]),
        };
        match pair.iter().position(|byte| *byte == b'=') {
            Some(at) if is_secret(pair.get(..at).unwrap_or_default()) => {
                let (name, value) = pair.split_at(at + 1);
                write(name);
                // The ellipsis stands for the rest, also for none: a reader must not think that this was all of it.
                write(
                    value
                        .get(..SHOWN.min(value.len() / PART))
                        .unwrap_or_default(),
                );
                if !value.is_empty() {
                    write("…".as_bytes());
                }
            }
            _ => write(pair),
        }
        write(end);
    }
}

/// An absolute or authority form may be `http://user:password@host/`; a path may hold an `@` with no such meaning.
fn without_user<'a>(path: &'a [u8], write: &mut impl FnMut(&'a [u8])) {
    match path.iter().rposition(|byte| *byte == b'@') {
        Some(at) if !path.starts_with(b"/") => {
            write("…".as_bytes());
            write(path.get(at..).unwrap_or_default());
        }
        _ => write(path),
    }
}

fn is_secret(name: &[u8]) -> bool {
    // No name of a secret is longer, and this is made for each parameter.
    const LONGEST_NAME: usize = 64;
    let mut room = [0; LONGEST_NAME];
    let Some(name) = decoded(name, &mut room) else {
        return true;
    };
    let contains = |part: &&str| {
        name.windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let ends_with = |word: &&str| {
        name.strip_suffix(word.as_bytes()).is_some_and(|before| {
            before
                .last()
                .is_none_or(|byte| !byte.is_ascii_alphanumeric())
        })
    };
    PARTS.iter().any(contains) || WORDS.iter().any(ends_with)
}

/// The name in lower case and without percent escapes, or none if there is no room.
fn decoded<'a>(name: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        *room.get_mut(length)? = escaped.unwrap_or(*first).to_ascii_lowercase();
        length += 1;
        rest = if escaped.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    room.get(..length)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(target: &str) -> String {
        let mut out = Vec::new();
        shortened(target.as_bytes(), |part| out.extend_from_slice(part));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn secrets_in_a_query_are_shortened_and_nothing_else_is() {
        let long = "0123456789abcdef0123456789abcdef";
        for name in [
            "_state",
            "token",
            "access_token",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "sig",
            "api_key",
            "apikey",
            "AWSAccessKeyId",
            "password",
            "Passwd",
            "client_secret",
            "Key",
            "x%2Dkey",
            "%5Fstate",
            "_st%61te",
            "auth",
            "code",
            "x.key",
        ] {
            assert_eq!(
                text(&format!("/v2/x?{name}={long}&a=b")),
                format!("/v2/x?{name}=01234567…&a=b"),
                "{name}"
            );
        }
        for target in [
            "/v2/",
            "/v2/?",
            "/v2/a/blobs/uploads/?mount=sha256%3Aabc&from=team%2Fapp",
            "/v2/_catalog?n=100&last=keyring",
            "/v2/x?monkey=banana_and_more",
            "/v2/token=0123456789abcdef",
            "*",
            "host:443",
            "/v2/@x?a",
            "/x?a&&=b&",
            "/token?account=alice&scope=repository%3Aa%3Apull&service=x",
        ] {
            assert_eq!(text(target), target);
        }
    }

    #[test]
    fn a_short_secret_is_not_shown_whole() {
        assert_eq!(text("/?password=hunter2"), "/?password=h…");
        assert_eq!(text("/?password=abc&x"), "/?password=…&x");
        assert_eq!(text("/?password="), "/?password=");
        assert_eq!(
            text("/?a=b;token=abcdefgh?key=abcdefgh"),
            "/?a=b;token=ab…?key=ab…"
        );
    }

    #[test]
    fn a_name_without_end_counts_as_a_secret() {
        assert_eq!(
            text(&format!("/?{}=abcdefgh", "x".repeat(65))),
            format!("/?{}=ab…", "x".repeat(65))
        );
    }

    #[test]
    fn user_information_in_a_target_is_not_shown() {
        assert_eq!(text("http://user:pa55@host/x?y"), "…@host/x?y");
        assert_eq!(text("user:pa55@host:443"), "…@host:443");
    }

    #[test]
    fn no_bytes_are_too_odd() {
        for target in [
            "",
            "?",
            "&",
            "=",
            "?=",
            "?%",
            "?%4=",
            "?token",
            "?&token=é€é€é€é€",
        ] {
            let _ = text(target);
        }
    }
}
