use super::*;
use crate::http::{Framing, ResponseHead};

const SHAPE: Shape = Shape {
    form: Form::Oci,
    head_only: false,
    keep: true,
    version: Version::Http11,
};

fn written(refusal: &Refusal, to: Shape) -> (ResponseHead, String) {
    let mut out = Vec::new();
    refusal.write(&mut out, to);
    let (head, used) = ResponseHead::parse(&out, "GET").unwrap().unwrap();
    (head, String::from_utf8(out[used..].to_vec()).unwrap())
}

fn value(head: &ResponseHead, name: &str) -> Option<String> {
    let mut values = head.values(name);
    let first = values
        .next()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    assert!(values.next().is_none(), "{name} twice");
    first
}

#[test]
fn a_registry_client_gets_json() {
    let (head, body) = written(&Refusal::Denied { why: None }, SHAPE);
    assert_eq!((head.status(), head.reason()), (403, &b"Forbidden"[..]));
    assert_eq!(value(&head, "content-type").unwrap(), "application/json");
    assert_eq!(
        value(&head, "docker-distribution-api-version").unwrap(),
        "registry/2.0"
    );
    assert_eq!(head.framing(), Framing::Length(body.len() as u64));
    assert_eq!(value(&head, "connection"), None);
    assert!(value(&head, "date").unwrap().ends_with(" GMT"));
    let message = Refusal::Denied { why: None }.message();
    assert_eq!(
        body,
        format!(
            "{{\"errors\":[{{\"code\":\"DENIED\",\"message\":\"{message}\",\"detail\":null}}]}}\n"
        )
    );
}

#[test]
fn anybody_else_gets_plain_text() {
    let (head, body) = written(
        &Refusal::Denied { why: None },
        Shape {
            form: Form::Plain,
            ..SHAPE
        },
    );
    assert_eq!(
        value(&head, "content-type").unwrap(),
        "text/plain; charset=utf-8"
    );
    assert_eq!(value(&head, "docker-distribution-api-version"), None);
    assert_eq!(
        body,
        format!("{}\n", Refusal::Denied { why: None }.message())
    );
}

#[test]
fn an_auth_service_has_words_of_its_own() {
    let to = Shape {
        form: Form::AuthService,
        ..SHAPE
    };
    let challenges = vec!["Basic realm=\"a\"".to_owned()];
    let (head, body) = written(&Refusal::Unauthorized { challenges }, to);
    assert_eq!((head.status(), body.as_str()), (401, "Unauthorized"));
    assert!(value(&head, "content-type").unwrap().starts_with("text/"));
    assert_eq!(value(&head, "docker-distribution-api-version"), None);
    let (_, body) = written(&Refusal::Unsure { retry_after: 1 }, to);
    let message = Refusal::Unsure { retry_after: 1 }.message();
    assert_eq!(body, format!("{message}\n"));

    for (user, named) in [
        (None, None),
        (Some(&b"alice"[..]), Some("alice")),
        (Some(b"a\r\nX: y"), None),
    ] {
        let mut out = Vec::new();
        write_confirmation(&mut out, user, to);
        let (head, used) = ResponseHead::parse(&out, "GET").unwrap().unwrap();
        assert_eq!((head.status(), head.reason()), (200, &b"OK"[..]));
        assert_eq!(value(&head, "x-remote-user").as_deref(), named);
        assert_eq!(value(&head, "x"), None);
        assert_eq!(&out[used..], CONFIRMED.as_bytes());
        assert_eq!(head.framing(), Framing::Length(CONFIRMED.len() as u64));
    }
}

#[test]
fn head_gets_the_length_but_no_body() {
    let (_, whole) = written(&Refusal::Denied { why: None }, SHAPE);
    let (head, body) = written(
        &Refusal::Denied { why: None },
        Shape {
            head_only: true,
            ..SHAPE
        },
    );
    assert_eq!(
        (head.framing(), body.as_str()),
        (Framing::Length(whole.len() as u64), "")
    );
}

#[test]
fn the_connection_is_kept_only_where_it_can_be() {
    for (refusal, keep, version, connection) in [
        (Refusal::Denied { why: None }, true, Version::Http11, None),
        (
            Refusal::Denied { why: None },
            true,
            Version::Http10,
            Some("keep-alive"),
        ),
        (
            Refusal::Denied { why: None },
            false,
            Version::Http11,
            Some("close"),
        ),
        (
            Refusal::Denied { why: None },
            false,
            Version::Http10,
            Some("close"),
        ),
        (Refusal::BareLineFeed, true, Version::Http11, Some("close")),
    ] {
        let (head, _) = written(
            &refusal,
            Shape {
                keep,
                version,
                ..SHAPE
            },
        );
        assert_eq!(value(&head, "connection").as_deref(), connection);
    }
}

#[test]
fn each_refusal_carries_its_fields() {
    let challenges = vec![
        "Basic realm=\"a\"".to_owned(),
        "Evil\r\nX: y".to_owned(),
        String::new(),
        "Bearer realm=\"b\"".to_owned(),
    ];
    let (head, _) = written(&Refusal::Unauthorized { challenges }, SHAPE);
    assert!(
        head.values("www-authenticate")
            .eq([&b"Basic realm=\"a\""[..], b"Bearer realm=\"b\""])
    );
    let (head, body) = written(&Refusal::TooManyRequests { retry_after: 42 }, SHAPE);
    assert_eq!(value(&head, "retry-after").unwrap(), "42");
    assert!(
        body.contains("\"code\":\"TOOMANYREQUESTS\"")
            && body.contains("\"detail\":{\"retry_after\":42}")
    );
    let (head, _) = written(&Refusal::MethodNotAllowed, SHAPE);
    assert_eq!(value(&head, "allow").unwrap(), ALLOWED);
    for (refusal, status, code) in [
        (Refusal::AuthorizationTwice, 400, "BAD_REQUEST"),
        (Refusal::AuthorizationTooLong, 431, "BAD_REQUEST"),
        (Refusal::BackendUnreachable, 502, "UNAVAILABLE"),
        (Refusal::BackendGarbled, 502, "UNAVAILABLE"),
        (Refusal::Unsure { retry_after: 1 }, 503, "UNAVAILABLE"),
        (Refusal::Overloaded { retry_after: 1 }, 503, "UNAVAILABLE"),
        (Refusal::BackendSilent, 504, "UNAVAILABLE"),
    ] {
        assert_eq!((refusal.status(), refusal.code()), (status, code));
        assert_eq!(refusal.retry_after().is_some(), status == 503);
        assert!(!refusal.breaks_framing());
        assert_eq!(written(&refusal, SHAPE).0.status(), status);
    }
    for (refusal, status, code) in [
        (Refusal::BadChunk, 400, "BAD_REQUEST"),
        (Refusal::MethodNotAllowed, 405, "UNSUPPORTED"),
        (Refusal::TargetTooLong, 414, "BAD_REQUEST"),
        (Refusal::UnknownExpectation, 417, "UNSUPPORTED"),
        (Refusal::HeadTooLong, 431, "BAD_REQUEST"),
        (Refusal::UnknownCoding, 501, "UNSUPPORTED"),
        (Refusal::VersionNotSupported, 505, "UNSUPPORTED"),
    ] {
        assert_eq!((refusal.status(), refusal.code()), (status, code));
        assert!(refusal.breaks_framing());
        assert_ne!(written(&refusal, SHAPE).0.reason(), b"Refused");
    }
}

#[test]
fn a_realm_cannot_leave_its_quotes() {
    assert_eq!(basic_challenge("Registry"), "Basic realm=\"Registry\"");
    assert_eq!(
        basic_challenge("a \"b\" \\c\r\n\u{0}\u{7f}\u{85}d"),
        "Basic realm=\"a \\\"b\\\" \\\\cd\""
    );
}
