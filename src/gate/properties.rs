//! What must hold of a request's target under an access file, whatever the bytes are: what is let through is what distribution's own
//! router would take it for. The fuzz target `target` calls it, and a test with what that once found.

use std::sync::Arc;

use super::access::{Access, OtherGroups};
use super::permission::Viewer;
use crate::http::{PathDecides, RequestHead};

/// What alice may: all in one place, read in another, and nothing else.
const ACCESS: &[u8] = b"alice pull,push,delete own/**\nalice pull open/**\n";

/// A route of distribution, as its table of routes has it (registry/api/v2/descriptors.go), and the repository in it.
#[derive(Debug, PartialEq, Eq)]
enum Routed {
    Base,
    Catalog,
    Repository(String),
}

/// All that must hold of a method and a target, with a blank between.
pub(crate) fn target(input: &[u8]) {
    let line = [input, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let Ok(Some((head, _))) = RequestHead::parse(&line) else {
        return;
    };
    if PathDecides::Everywhere.check(head.path()).is_err() {
        return;
    }
    let Ok(access) = Access::parse(ACCESS, OtherGroups::None) else {
        unreachable!("it is ours");
    };
    let alice: Arc<[u8]> = b"alice"[..].into();
    let viewer = Viewer::new(Arc::new(access), Some(alice), true, Arc::default());
    let Ok(permission) = viewer.permit(&head, false) else {
        return;
    };
    let target = permission.target.as_deref().unwrap_or(head.target());
    let shown = || format!("{} {}", head.method(), target.escape_ascii());
    let (path, query) = split(target);
    match routed(&decoded_path(path)) {
        None | Some(Routed::Base | Routed::Catalog) => {}
        Some(Routed::Repository(name)) => {
            let is_own = name.starts_with("own/");
            let may_read = is_own || name.starts_with("open/");
            let reads = matches!(head.method(), "GET" | "HEAD");
            assert!(if reads { may_read } else { is_own }, "{} {name}", shown());
        }
    }
    // Where it mounts, from what may be read.
    if head.method() == "POST" {
        let (mount, from) = (form_value(query, "mount"), form_value(query, "from"));
        if let (Some(_), Some(from)) = (mount, from) {
            let may_read = from.starts_with(b"own/") || from.starts_with(b"open/");
            assert!(may_read, "{}", shown());
        }
    }
}

fn split(target: &[u8]) -> (&[u8], &[u8]) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, b""),
    }
}

/// As Go's `net/url` and gorilla's cleaning leave a path.
fn decoded_path(path: &[u8]) -> Vec<u8> {
    let decoded = unescaped(path, false).unwrap_or_default();
    let mut segments: Vec<&[u8]> = Vec::new();
    let is_open = decoded.ends_with(b"/");
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut clean = b"/".to_vec();
    clean.extend(segments.join(&b'/'));
    if is_open && clean.len() > 1 {
        clean.push(b'/');
    }
    clean
}

fn routed(path: &[u8]) -> Option<Routed> {
    let text = std::str::from_utf8(path).ok()?;
    // StrictSlash: with a slash at the end or without.
    let text = text.strip_suffix('/').unwrap_or(text);
    let rest = match text {
        "/v2" => return Some(Routed::Base),
        "/v2/_catalog" => return Some(Routed::Catalog),
        _ => text.strip_prefix("/v2/")?,
    };
    let (before, last) = rest.rsplit_once('/')?;
    let candidates = [
        before
            .strip_suffix("/manifests")
            .filter(|_| is_tag(last) || is_digest(last)),
        before.strip_suffix("/tags").filter(|_| last == "list"),
        before
            .strip_suffix("/blobs")
            .filter(|_| is_digest(last) || last == "uploads"),
        before
            .strip_suffix("/blobs/uploads")
            .filter(|_| is_uuid(last)),
        before
            .strip_suffix("/referrers")
            .filter(|_| is_digest(last)),
    ];
    let name = candidates
        .into_iter()
        .flatten()
        .find(|name| is_name(name))?;
    Some(Routed::Repository(name.to_owned()))
}

/// `reference.NameRegexp`, the domain before it included.
fn is_name(name: &str) -> bool {
    let mut components = name.split('/').peekable();
    let is_domain = |text: &str| {
        let (host, port) = text.split_once(':').unwrap_or((text, "0"));
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        host.split('.').all(is_label)
            && !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let first = components.peek().copied().unwrap_or_default();
    if is_domain(first) && !is_component(first) {
        components.next();
    }
    components.peek().is_some() && components.all(is_component)
}

/// `[a-z0-9]+(?:(?:[._]|__|[-]*)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    let words = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges
        .into_iter()
        .all(|edge| edge.is_some_and(|byte| is_plain(*byte)))
        && words.into_iter().all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().next().is_some_and(is_word)
        && text.len() <= 128
        && text
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else {
        return false;
    };
    algorithm
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic())
        && digits.len() >= 32
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'='))
}

/// The first value of a form as Go reads it: a pair with a semicolon or a bad escape is passed over.
fn form_value(query: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let pairs = query.split(|byte| *byte == b'&');
    let mut values = pairs
        .filter(|pair| !pair.contains(&b';'))
        .filter_map(|pair| {
            let at = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let (key, value) = pair.split_at(at);
            let key = unescaped(key, true)?;
            let value = unescaped(value.strip_prefix(b"=").unwrap_or(value), true)?;
            (key == wanted.as_bytes()).then_some(value)
        });
    values.next().filter(|value| !value.is_empty())
}

fn unescaped(text: &[u8], is_query: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        out.push(match byte {
            b'%' => {
                let digits = std::str::from_utf8(text.get(at..at + 2)?).ok()?;
                at += 2;
                u8::from_str_radix(digits.trim_start_matches('+'), 16).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    Some(out)
}
