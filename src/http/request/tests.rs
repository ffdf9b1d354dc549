use super::*;

fn refused(head: &[u8]) -> Option<Refusal> {
    RequestHead::parse(head).err()
}

fn parsed(head: &str) -> RequestHead {
    let (parsed, used) = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
    assert_eq!(used, head.len());
    parsed
}

/// A GET with these fields after its Host.
fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_docker_request_is_read() {
    let text = "PATCH /v2/team/app/blobs/uploads/1?_state=x%2Fy HTTP/1.1\r\nHost: r.example:5443\r\nUser-Agent: docker/24\r\n\
                Transfer-Encoding: chunked\r\nAuthorization: Basic YTpi\r\nAccept: a\r\naccept: b\r\n\r\n";
    let head = parsed(text);
    assert_eq!(
        (head.method(), head.target()),
        ("PATCH", &b"/v2/team/app/blobs/uploads/1?_state=x%2Fy"[..])
    );
    assert_eq!(
        (head.path(), head.host()),
        (&b"/v2/team/app/blobs/uploads/1"[..], "r.example:5443")
    );
    assert_eq!(
        (head.version(), head.framing()),
        (Version::Http11, Framing::Chunked)
    );
    assert!(head.keeps_alive() && head.is_registry() && !head.expects_continue());
    assert!(head.values("ACCEPT").eq([&b"a"[..], b"b"]));
    assert_eq!(head.fields().count(), 6);
    assert_eq!(
        head.fields().nth(1),
        Some(("User-Agent", &b"docker/24"[..]))
    );
}

#[test]
fn every_cut_is_incomplete_and_what_follows_is_left() {
    let text = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for cut in 0..text.len() {
        assert!(RequestHead::parse(&text[..cut]).unwrap().is_none(), "{cut}");
    }
    let pipelined = [&text[..], b"abcGET\n\0"].concat();
    let (head, used) = RequestHead::parse(&pipelined).unwrap().unwrap();
    assert_eq!((head.framing(), used), (Framing::Length(3), text.len()));
    assert_eq!(
        (head.method(), head.target(), head.host()),
        ("POST", &b"/"[..], "a")
    );
}

#[test]
fn lines_are_refused_for_their_ends() {
    for (head, refusal) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Refusal::BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal::BareLineFeed),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BareLineFeed),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            Refusal::BareCarriageReturn,
        ),
        (
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            Refusal::BareCarriageReturn,
        ),
        (
            "\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            Refusal::BareCarriageReturn,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Refusal::Nul),
        ("\u{16}\u{3}\u{1}\0", Refusal::Nul),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            Refusal::FoldedLine,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb: c\r\n\r\n",
            Refusal::FoldedLine,
        ),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::FoldedLine),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
            Refusal::FoldedLine,
        ),
    ] {
        assert_eq!(refused(head.as_bytes()), Some(refusal), "{head:?}");
    }
}

#[test]
fn the_request_line_is_three_words_and_two_blanks() {
    for (line, refusal) in [
        ("", Refusal::BadRequestLine),
        ("GET", Refusal::BadRequestLine),
        ("GET /", Refusal::BadRequestLine),
        ("GET  / HTTP/1.1", Refusal::BadVersion),
        ("GET /  HTTP/1.1", Refusal::BadVersion),
        ("GET / HTTP/1.1 ", Refusal::BadVersion),
        ("GET /a b HTTP/1.1", Refusal::BadVersion),
        ("GET / http/1.1", Refusal::BadVersion),
        ("GET / HTTP/1.10", Refusal::BadVersion),
        ("GET / HTTP/x.1", Refusal::BadVersion),
        ("GET / HTTP/1", Refusal::BadVersion),
        ("GET\t/\tHTTP/1.1", Refusal::BadRequestLine),
        (" GET / HTTP/1.1", Refusal::BadMethod),
        ("G(T / HTTP/1.1", Refusal::BadMethod),
        ("G\u{e9}T / HTTP/1.1", Refusal::BadMethod),
        ("\"GET\" / HTTP/1.1", Refusal::BadMethod),
        ("GET /\t HTTP/1.1", Refusal::BadTarget),
        ("GET a HTTP/1.1", Refusal::BadTarget),
        ("GET / HTTP/2.0", Refusal::VersionNotSupported),
        ("PRI * HTTP/2.0", Refusal::VersionNotSupported),
        ("GET / HTTP/0.9", Refusal::VersionNotSupported),
        ("CONNECT a:443 HTTP/1.1", Refusal::MethodNotAllowed),
        ("TRACE / HTTP/1.1", Refusal::MethodNotAllowed),
        ("GET * HTTP/1.1", Refusal::AsteriskWithoutOptions),
    ] {
        assert_eq!(
            refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()),
            Some(refusal),
            "{line:?}"
        );
    }
    for line in [
        "OPTIONS * HTTP/1.1",
        "M-SEARCH / HTTP/1.1",
        "get / HTTP/1.1",
        "GET / HTTP/1.7",
    ] {
        assert_eq!(
            parsed(&format!("{line}\r\nHost: a\r\n\r\n")).version(),
            Version::Http11,
            "{line}"
        );
    }
}

#[test]
fn there_is_one_host() {
    for (fields, refusal) in [
        ("Host:\r\n", Refusal::BadHost),
        ("Host: a\r\nhost: a\r\n", Refusal::HostTwice),
        ("Host: a, b\r\n", Refusal::BadHost),
        ("Host: a/b\r\n", Refusal::BadHost),
        ("Host: u@a\r\n", Refusal::BadHost),
        ("Host: a:x\r\n", Refusal::BadHost),
    ] {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            assert_eq!(
                refused(format!("GET / {version}\r\n{fields}\r\n").as_bytes()),
                Some(refusal.clone()),
                "{fields:?}"
            );
        }
    }
    for fields in ["", "Hosts: a\r\n"] {
        for version in ["HTTP/1.1", "HTTP/1.2"] {
            assert_eq!(
                refused(format!("GET / {version}\r\n{fields}\r\n").as_bytes()),
                Some(Refusal::NoHost),
                "{fields:?}"
            );
        }
    }
}

#[test]
fn http_1_0_without_a_host_has_that_of_its_target_or_the_address_that_it_was_sent_to() {
    let address: SocketAddr = "[::1]:5000".parse().unwrap();
    for (target, nameless, addressed) in [
        ("/v2/", "localhost", "[::1]:5000"),
        ("http://Registry:5443/v2/", "Registry:5443", "Registry:5443"),
        ("http://[::2]?x", "[::2]", "[::2]"),
    ] {
        let mut head = parsed(&format!("GET {target} HTTP/1.0\r\nAccept: a\r\n\r\n"));
        assert_eq!((head.host(), head.lacks_host()), (nameless, true));
        head.was_sent_to(|| Some(address));
        assert_eq!((head.host(), head.lacks_host()), (addressed, true));
    }
    let mut named = parsed("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    named.was_sent_to(|| Some(address));
    assert_eq!((named.host(), named.lacks_host()), ("a", false));
}

#[test]
fn an_absolute_target_agrees_with_host() {
    for (target, host, forwarded) in [
        ("http://a/x?y", "a", Some("/x?y")),
        ("HTTP://A/", "a:80", Some("/")),
        ("https://a:443/", "A", Some("/")),
        ("http://[::1]:1/b", "[::1]:1", Some("/b")),
        ("http://a", "a", Some("/")),
        ("http://a?q", "a", Some("/?q")),
        ("http://a:443/", "a", None),
        ("https://a/", "a:80", None),
        ("http://b/", "a", None),
        ("http://a.b/", "a", None),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        match forwarded {
            Some(forwarded) => {
                let head = parsed(&text);
                assert_eq!(
                    (head.target(), head.path()),
                    (
                        forwarded.as_bytes(),
                        forwarded.split('?').next().unwrap().as_bytes()
                    ),
                    "{target}"
                );
            }
            None => assert_eq!(
                refused(text.as_bytes()),
                Some(Refusal::OtherAuthority),
                "{target}"
            ),
        }
    }
}

#[test]
fn fields_that_could_be_read_in_two_ways_are_refused() {
    for (fields, refusal) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            Refusal::LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\ncontent-length: 1\r\n",
            Refusal::LengthAndCoding,
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Refusal::LengthTwice,
        ),
        ("Content-Length: 1, 1\r\n", Refusal::BadLength),
        ("Content-Length: +1\r\n", Refusal::BadLength),
        ("Content-Length:\r\n", Refusal::BadLength),
        ("Content-Length: 1 1\r\n", Refusal::BadLength),
        (
            "Content-Length: 99999999999999999999\r\n",
            Refusal::BadLength,
        ),
        ("Content-Length: -1\r\n", Refusal::BadLength),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            Refusal::BadCoding,
        ),
        ("Transfer-Encoding: chunked, gzip\r\n", Refusal::BadCoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Refusal::BadCoding,
        ),
        ("Transfer-Encoding:\r\n", Refusal::BadCoding),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Refusal::UnknownCoding,
        ),
        ("Transfer-Encoding: xchunked\r\n", Refusal::UnknownCoding),
        ("Transfer-Encoding : chunked\r\n", Refusal::BadFieldName),
        ("Transfer-Encoding\t: chunked\r\n", Refusal::BadFieldName),
        ("X\r\n", Refusal::BadFieldName),
        (": x\r\n", Refusal::BadFieldName),
        ("X@: x\r\n", Refusal::BadFieldName),
        ("X: \u{1}\r\n", Refusal::BadFieldValue),
        ("X: \u{7f}\r\n", Refusal::BadFieldValue),
        (
            "Transfer-Encoding: \u{b}chunked\r\n",
            Refusal::BadFieldValue,
        ),
        (
            "Connection: close, Content-Length\r\n",
            Refusal::ProtectedFieldListed,
        ),
        ("Connection: host\r\n", Refusal::ProtectedFieldListed),
        (
            "Connection: transfer_encoding\r\n",
            Refusal::ProtectedFieldListed,
        ),
        (
            "Connection: Authorization\r\n",
            Refusal::ProtectedFieldListed,
        ),
        (
            "Connection: content-type\r\n",
            Refusal::ProtectedFieldListed,
        ),
        (
            "Connection: Content-Range\r\n",
            Refusal::ProtectedFieldListed,
        ),
        ("Connection: expect\r\n", Refusal::ProtectedFieldListed),
        ("Expect: 200-ok\r\n", Refusal::UnknownExpectation),
        ("Expect:\r\n", Refusal::UnknownExpectation),
        ("Expect: 100-continue, x\r\n", Refusal::UnknownExpectation),
    ] {
        let found = refused(with(fields).as_bytes());
        assert!(
            found.as_ref().is_some_and(Refusal::breaks_framing),
            "{fields:?}"
        );
        assert_eq!(found, Some(refusal), "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old.as_bytes()), Some(Refusal::CodingInOldVersion));
    assert!(RequestHead::parse(with("X-Latin: \u{e9}\r\n").as_bytes()).is_ok());
}

#[test]
fn a_continue_is_expected_only_where_it_can_be_sent() {
    for (version, fields, expected) in [
        (
            "HTTP/1.1",
            "Expect: 100-Continue\r\nContent-Length: 1\r\n",
            true,
        ),
        (
            "HTTP/1.1",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            true,
        ),
        (
            "HTTP/1.0",
            "Expect: 100-continue\r\nContent-Length: 1\r\n",
            false,
        ),
        ("HTTP/1.1", "Expect: 100-continue\r\n", false),
        (
            "HTTP/1.1",
            "Expect: 100-continue\r\nContent-Length: 0\r\n",
            false,
        ),
        ("HTTP/1.1", "Content-Length: 1\r\n", false),
    ] {
        assert_eq!(
            parsed(&format!("PUT / {version}\r\nHost: a\r\n{fields}\r\n")).expects_continue(),
            expected,
            "{version} {fields}"
        );
    }
}

#[test]
fn limits_hold_for_whole_and_for_unfinished_heads() {
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    let at_limit = target(TARGET_LIMIT);
    assert_eq!(
        parsed(&format!("GET {at_limit} HTTP/1.1\r\nHost: a\r\n\r\n")).target(),
        at_limit.as_bytes()
    );
    let over = target(TARGET_LIMIT + 1);
    for head in [
        format!("GET {over} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET {over}"),
        format!("GET {}", target(40_000)),
        format!("GET {over} HTTP/1.1\r\nHo"),
    ] {
        assert_eq!(
            refused(head.as_bytes()),
            Some(Refusal::TargetTooLong),
            "{}",
            head.len()
        );
    }
    assert!(
        RequestHead::parse(format!("GET {at_limit}").as_bytes())
            .unwrap()
            .is_none()
    );

    let fill = |total: usize| {
        with(&format!(
            "X: {}\r\n",
            "x".repeat(total - with("X: \r\n").len())
        ))
    };
    assert_eq!(parsed(&fill(LIMITS.bytes)).fields().count(), 2);
    assert_eq!(
        refused(fill(LIMITS.bytes + 1).as_bytes()),
        Some(Refusal::HeadTooLong)
    );
    let unfinished = fill(LIMITS.bytes + 9);
    assert!(
        RequestHead::parse(&unfinished.as_bytes()[..LIMITS.bytes - 1])
            .unwrap()
            .is_none()
    );
    assert_eq!(
        refused(&unfinished.as_bytes()[..LIMITS.bytes]),
        Some(Refusal::HeadTooLong)
    );
    assert_eq!(refused(&[b'A'; 32 * 1024]), Some(Refusal::HeadTooLong));

    assert_eq!(parsed(&with(&"x: y\r\n".repeat(99))).fields().count(), 100);
    assert_eq!(
        refused(with(&"x: y\r\n".repeat(100)).as_bytes()),
        Some(Refusal::TooManyFields)
    );
    assert_eq!(
        refused(format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(101)).as_bytes()),
        Some(Refusal::TooManyFields)
    );
}
