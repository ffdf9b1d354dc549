//! A client's request: what is accepted reaches the backend as it was meant, and what is refused is told so in an answer
//! that is itself good HTTP.

use super::chunks::chunks_come_back;
use super::*;

/// The most that a head may have, with an empty line before it.
const LIMIT: usize = 2 + 32 * 1024;

const EXTRA: ForwardedBy<'static> = ForwardedBy {
    for_: "192.0.2.1",
    proto: "https",
    host: "a",
    real_ip: "192.0.2.1",
    request_id: "id",
    remote_user: Some(b"alice"),
    authorization: Some(b"Basic x"),
    target: None,
    own: Own::All,
};

/// All that must hold of bytes from a client.
pub(crate) fn request_head(input: &[u8]) {
    is_decided_once(input, |bytes| {
        RequestHead::parse(bytes).map(|head| head.map(|(_, used)| used))
    });
    match RequestHead::parse(input) {
        Ok(None) => {
            let mut longer = input.to_vec();
            longer.resize(LIMIT, b'a');
            assert!(
                input.len() < LIMIT && RequestHead::parse(&longer).is_err(),
                "waited for without end: {}",
                input.escape_ascii()
            );
        }
        Err(refusal) => is_told(input, &refusal),
        Ok(Some((head, used))) => {
            assert!(
                used <= LIMIT && head.fields().count() <= 100 && head.target().len() <= 16 * 1024
            );
            is_read_alike(input, &head, used);
            let written = is_passed_on(input, &head, used);
            body_is_passed_on(&written, &head, &input[used..]);
        }
    }
}

/// Somebody else's parser finds nothing else in an accepted head.
fn is_read_alike(input: &[u8], head: &RequestHead, used: usize) {
    let shown = || input.escape_ascii();
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut other = httparse::Request::new(&mut slots);
    match other.parse(input) {
        Ok(status) => assert_eq!(status, httparse::Status::Complete(used), "{}", shown()),
        // It knows no later 1.x, which counts as 1.1, and takes a target for text.
        Err(error) => {
            let is_text = std::str::from_utf8(head.target()).is_ok();
            let expected = match error {
                httparse::Error::Token => !is_text,
                error => error == httparse::Error::Version,
            };
            assert!(expected, "{error} {}", shown());
            return;
        }
    }
    let fields = other.headers.iter().map(|field| (field.name, field.value));
    assert!(fields.eq(head.fields()), "{}", shown());
    assert_eq!(other.method, Some(head.method()), "{}", shown());
    let version = [Version::Http10, Version::Http11][usize::from(other.version == Some(1))];
    assert_eq!(head.version(), version, "{}", shown());
    let target = other.path.unwrap_or_default();
    let target = target.as_bytes();
    let local = head.target().strip_prefix(b"/").unwrap_or_default();
    let is_absolute = !target.starts_with(b"/");
    assert!(
        target == head.target()
            || is_absolute && (target.ends_with(local) || head.target() == b"*"),
        "{}",
        shown()
    );
    assert_eq!(
        framing_of(other.headers, Framing::Empty),
        Some(head.framing()),
        "{}",
        shown()
    );
    assert!(
        head.framing() != Framing::Chunked || version == Version::Http11,
        "{}",
        shown()
    );
    let hosts = head.values("host").count();
    assert!(
        hosts == 1 || hosts == 0 && version == Version::Http10,
        "{}",
        shown()
    );
    let guess = unparsed(input);
    if target.starts_with(b"/") {
        assert_eq!(guess.registry, head.is_registry(), "{}", shown());
    }
    assert_eq!(guess.is_head, head.method() == "HEAD", "{}", shown());
}

/// Whatever the refusal and whoever gets it: one whole answer, no byte more, that says whether it is the last.
fn is_told(input: &[u8], refusal: &Refusal) {
    let guess = unparsed(input);
    for form in [Form::Oci, Form::Plain, Form::AuthService] {
        let mut answer = Vec::new();
        let shape = Shape {
            form,
            head_only: guess.is_head,
            keep: true,
            version: Version::Http11,
        };
        refusal.write(&mut answer, shape);
        let method = if guess.is_head { "HEAD" } else { "GET" };
        let Ok(Some((head, used))) = ResponseHead::parse(&answer, method) else {
            panic!("not an answer: {}", answer.escape_ascii())
        };
        assert!(head.status() == refusal.status() && (400..=599).contains(&head.status()));
        assert_eq!(head.keeps_alive(), !refusal.breaks_framing());
        let behind = &answer[used..];
        match head.framing() {
            Framing::Empty => assert!(guess.is_head && behind.is_empty()),
            Framing::Length(length) => assert_eq!(length, behind.len() as u64),
            framing => panic!("{framing:?}: {}", answer.escape_ascii()),
        }
    }
}

/// The head as the backend gets it, which means the same to us and to the most careless.
pub(in crate::http) fn is_passed_on(input: &[u8], before: &RequestHead, used: usize) -> Vec<u8> {
    let mut written = Vec::new();
    write_request_head(&mut written, before, &EXTRA);
    let shown = || format!("{}\n{}", input.escape_ascii(), written.escape_ascii());
    let Ok(Some((after, length))) = RequestHead::parse(&written) else {
        // What was added may have made it too long for ourselves, who are not the one it is sent to.
        assert!(
            used > LIMIT - 1024 || before.fields().count() > 90,
            "not read again: {}",
            shown()
        );
        return written;
    };

    assert!(
        used <= input.len() && length == written.len(),
        "{}",
        shown()
    );
    assert_eq!(
        (
            before.method(),
            before.target(),
            before.path(),
            before.host()
        ),
        (after.method(), after.target(), after.path(), after.host()),
        "{}",
        shown()
    );
    assert_eq!(
        (before.framing(), before.is_registry()),
        (after.framing(), after.is_registry()),
        "{}",
        shown()
    );
    assert!(
        after.keeps_alive() && !after.expects_continue() && after.version() == Version::Http11,
        "{}",
        shown()
    );
    let connection: Vec<_> = before.values("connection").collect();
    // It stands in a field of its own from here on, also where the client had none.
    let kept = |name: &str| {
        let is_new = before.lacks_host() && name.eq_ignore_ascii_case("host");
        !is_new && !dropped_on_the_way_in(name)
    };
    assert_eq!(
        end_to_end(before.fields(), &connection, kept),
        end_to_end(after.fields(), &[], kept),
        "{}",
        shown()
    );

    let careless = carelessly(&written);
    assert_eq!(careless.len(), after.fields().count() + 1, "{}", shown());
    assert_eq!(
        careless[0].1,
        format!(
            "{} {} HTTP/1.1",
            before.method(),
            String::from_utf8_lossy(before.target())
        ),
        "{}",
        shown()
    );
    let (lengths, codings) = (
        count(&careless, "content-length"),
        count(&careless, "transfer-encoding"),
    );
    let expected = match before.framing() {
        Framing::Length(_) => (1, 0),
        Framing::Chunked => (0, 1),
        Framing::Empty | Framing::UntilClose => (0, 0),
    };
    assert_eq!((lengths, codings), expected, "{}", shown());
    for name in [
        "host",
        "authorization",
        "x-remote-user",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
    ] {
        assert_eq!(count(&careless, name), 1, "{name} {}", shown());
    }
    for name in [
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "x-docker-token",
        "keep-alive",
    ] {
        assert_eq!(count(&careless, name), 0, "{name} {}", shown());
    }
    written
}

/// The backend gets the body that we got, and the next request begins where this one ends.
fn body_is_passed_on(written: &[u8], head: &RequestHead, rest: &[u8]) {
    const NEXT: &[u8] = b"GET /next HTTP/1.1\r\n";
    let came = body_of(rest, head.framing());
    if came.end != End::Whole {
        return;
    }
    let mut message = written.to_vec();
    match head.framing() {
        Framing::Chunked => message.extend(chunks_come_back(&came.data, b"")),
        _ => message.extend_from_slice(&came.data),
    }
    message.extend_from_slice(NEXT);
    let Ok(Some((head, used))) = RequestHead::parse(&message) else {
        return;
    };
    let went = body_of(&message[used..], head.framing());
    assert_eq!((went.data, went.behind), (came.data, NEXT.to_vec()));
}
