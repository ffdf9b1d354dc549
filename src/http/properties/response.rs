//! A backend's answer: what is accepted reaches the client as it was meant, in whatever framing that client can take.

use super::chunks::{chunks_come_back, cut_chunks};
use super::*;
use crate::http::location::{Origin, Outside, rewrite};

const LIMIT: usize = INPUT_LIMIT;
const METHODS: [&str; 2] = ["GET", "HEAD"];

/// All that must hold of bytes from a backend.
pub(crate) fn response_head(input: &[u8]) {
    for method in METHODS {
        is_decided_once(input, |bytes| {
            ResponseHead::parse(bytes, method).map(|head| head.map(|(_, used)| used))
        });
        match ResponseHead::parse(input, method) {
            Ok(None) => {
                let mut longer = input.to_vec();
                longer.resize(LIMIT, b'a');
                assert!(
                    input.len() < LIMIT && ResponseHead::parse(&longer, method).is_err(),
                    "waited for without end: {}",
                    input.escape_ascii()
                );
            }
            Err(fault) => assert!(!fault.to_string().is_empty()),
            Ok(Some((head, used))) => {
                assert!(used <= LIMIT && head.fields().count() <= 200);
                is_read_alike(input, &head, used, method);
                locations_stay_ours(&head);
                is_interim(&head);
                let body = body_of(&input[used..], head.framing());
                for (version, keep, chunked) in shapes() {
                    let shape = ResponseShape {
                        version,
                        keep,
                        chunked,
                        location: None,
                    };
                    let written = is_relayed(input, &head, method, &shape);
                    body_is_relayed(&written, &head, method, &body);
                }
            }
        }
    }
}

fn shapes() -> impl Iterator<Item = (Version, bool, bool)> {
    (0..8).map(|bits| {
        let version = [Version::Http10, Version::Http11][bits & 1];
        (version, bits & 2 == 0, bits & 4 == 0)
    })
}

/// Somebody else's parser finds nothing else in an accepted head.
fn is_read_alike(input: &[u8], head: &ResponseHead, used: usize, method: &str) {
    let shown = || input.escape_ascii();
    let mut slots = [httparse::EMPTY_HEADER; 200];
    let mut other = httparse::Response::new(&mut slots);
    match other.parse(input) {
        Ok(status) => assert_eq!(status, httparse::Status::Complete(used), "{}", shown()),
        // It knows no later 1.x, which counts as 1.1.
        Err(error) => {
            assert_eq!(error, httparse::Error::Version, "{}", shown());
            return;
        }
    }
    let fields = other.headers.iter().map(|field| (field.name, field.value));
    assert!(fields.eq(head.fields()), "{}", shown());
    assert_eq!(other.code, Some(head.status()), "{}", shown());
    // It gives no reason that is not ASCII.
    let reason = other.reason.unwrap_or_default().as_bytes();
    assert!(
        reason == head.reason() || reason.is_empty() && !head.reason().is_ascii(),
        "{}",
        shown()
    );
    let framing = framing_of(other.headers, Framing::UntilClose);
    let has_none = method == "HEAD" || matches!(head.status(), 100..=199 | 204 | 304);
    let expected = if has_none {
        Some(Framing::Empty)
    } else {
        framing
    };
    assert!(framing.is_some(), "{}", shown());
    assert_eq!(expected, Some(head.framing()), "{}", shown());
}

/// The head as the client gets it, which means the same to us and to the most careless.
pub(in crate::http) fn is_relayed(
    input: &[u8],
    before: &ResponseHead,
    method: &str,
    to: &ResponseShape<'_>,
) -> Vec<u8> {
    let mut written = Vec::new();
    write_response_head(&mut written, before, to);
    let shown = || {
        format!(
            "{method} {to:?} {}\n{}",
            input.escape_ascii(),
            written.escape_ascii()
        )
    };
    let Ok(Some((after, length))) = ResponseHead::parse(&written, method) else {
        assert!(
            written.len() > LIMIT || before.fields().count() > 190,
            "not read again: {}",
            shown()
        );
        return written;
    };

    assert_eq!(length, written.len(), "{}", shown());
    assert_eq!(
        (before.status(), before.reason()),
        (after.status(), after.reason()),
        "{}",
        shown()
    );
    let framing = match before.framing() {
        Framing::Chunked | Framing::UntilClose if to.chunked && to.version == Version::Http11 => {
            Framing::Chunked
        }
        Framing::Chunked | Framing::UntilClose => Framing::UntilClose,
        framing => framing,
    };
    assert_eq!(after.framing(), framing, "{}", shown());
    // The answer to a HEAD for which no framing was declared: its client may go on, but nobody can tell from the head.
    let is_open = method == "HEAD"
        && !matches!(before.status(), 100..=199 | 204 | 304)
        && before.values("content-length").next().is_none();
    assert_eq!(
        after.keeps_alive(),
        to.keep && framing != Framing::UntilClose && !is_open,
        "{}",
        shown()
    );
    let connection: Vec<_> = before.values("connection").collect();
    let kept = |name: &str| !hop_by_hop(name);
    assert_eq!(
        end_to_end(before.fields(), &connection, kept),
        end_to_end(after.fields(), &[], kept),
        "{}",
        shown()
    );

    let careless = carelessly(&written);
    assert_eq!(careless.len(), after.fields().count() + 1, "{}", shown());
    assert!(
        count(&careless, "content-length") + count(&careless, "transfer-encoding") <= 1,
        "{}",
        shown()
    );
    assert!(
        to.version == Version::Http11 || count(&careless, "transfer-encoding") == 0,
        "{}",
        shown()
    );
    written
}

/// An interim head frames nothing, and is read as one.
fn is_interim(head: &ResponseHead) {
    if !matches!(head.status(), 102..=199) {
        return;
    }
    let mut written = Vec::new();
    write_interim_head(&mut written, head);
    let Ok(Some((after, used))) = ResponseHead::parse(&written, "GET") else {
        panic!("not read again: {}", written.escape_ascii())
    };
    assert!(used == written.len() && after.status() == head.status());
    let careless = carelessly(&written);
    for name in ["content-length", "transfer-encoding", "connection"] {
        assert_eq!(
            count(&careless, name),
            0,
            "{name} {}",
            written.escape_ascii()
        );
    }
}

/// All framings of one answer deliver the same bytes, and none is whole that did not come whole.
fn body_is_relayed(written: &[u8], before: &ResponseHead, method: &str, came: &Outcome) {
    let Ok(Some((after, used))) = ResponseHead::parse(written, method) else {
        return;
    };
    let announced = if after.announces_trailers() {
        before.announced(&came.trailers)
    } else {
        Vec::new()
    };
    let whole = came.end == End::Whole;
    let body = match after.framing() {
        Framing::Chunked if whole => chunks_come_back(&came.data, &announced),
        Framing::Chunked => cut_chunks(&came.data),
        _ => came.data.clone(),
    };
    let went = body_of(&[&written[used..], &body].concat(), after.framing());
    assert_eq!(went.data, came.data);
    assert_eq!(went.trailers, announced);
    // Only a connection that is reset tells an end until close from a cut.
    if after.framing() != Framing::UntilClose {
        assert_eq!(went.end == End::Whole, whole);
    }
}

/// Whatever the backend puts into a `Location`: it stays as it is, or leads to where the client already is.
fn locations_stay_ours(head: &ResponseHead) {
    const HOST: &str = "r:5443";
    let backend = Origin {
        scheme: Scheme::Http,
        host: "b",
        port: 5000,
    };
    for (_, location) in head.fields() {
        for scheme in [None, Some(Scheme::Http), Some(Scheme::Https)] {
            let own = Outside {
                scheme,
                host: HOST,
                external: None,
            };
            let rewritten = |location: &[u8]| rewrite(location, Some(backend), own);
            let Some(new) = rewritten(location) else {
                continue;
            };
            let shown = || format!("{} {}", location.escape_ascii(), new.escape_ascii());
            assert!(
                rewritten(&new).is_none_or(|again| again == new),
                "{}",
                shown()
            );
            let start = match scheme {
                Some(scheme) => format!("{}://{HOST}/", scheme.as_str()),
                None if new.starts_with(b"//") => format!("//{HOST}/"),
                None => "/".to_owned(),
            };
            assert!(new.starts_with(start.as_bytes()), "{}", shown());
            let shape = ResponseShape {
                version: Version::Http11,
                keep: true,
                chunked: true,
                location: Some(&new),
            };
            let mut written = Vec::new();
            write_response_head(&mut written, head, &shape);
            let after = ResponseHead::parse(&written, "GET");
            // A value that was made longer may make the head too long for ourselves.
            if let Ok(Some((after, _))) = after {
                assert!(
                    after.values("location").all(|value| value == new),
                    "{}",
                    shown()
                );
            }
        }
    }
}
