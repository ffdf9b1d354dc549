use super::*;

fn parsed(head: &str, method: &str) -> ResponseHead {
    let (parsed, used) = ResponseHead::parse(head.as_bytes(), method)
        .unwrap()
        .unwrap();
    assert_eq!(used, head.len());
    parsed
}

fn refused(head: &[u8]) -> Option<BadResponse> {
    ResponseHead::parse(head, "GET").err()
}

#[test]
fn an_answer_is_read() {
    let head = parsed(
        "HTTP/1.1 200 All is well \u{e9}\r\nDocker-Content-Digest: sha256:a\r\nContent-Length: 5\r\n\r\n",
        "GET",
    );
    assert_eq!(
        (head.status(), head.reason(), head.version()),
        (200, "All is well \u{e9}".as_bytes(), Version::Http11)
    );
    assert_eq!(head.framing(), Framing::Length(5));
    assert!(head.keeps_alive() && !head.announces_trailers());
    assert!(head.values("docker-content-digest").eq([b"sha256:a"]));
}

#[test]
fn every_cut_is_incomplete() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    for cut in 0..text.len() {
        assert!(
            ResponseHead::parse(&text[..cut], "GET").unwrap().is_none(),
            "{cut}"
        );
    }
}

#[test]
fn a_body_ends_where_the_head_says() {
    for (method, status, fields, framing) in [
        ("GET", 200, "Content-Length: 5\r\n", Framing::Length(5)),
        ("GET", 200, "Content-Length: 0\r\n", Framing::Length(0)),
        ("GET", 200, "", Framing::UntilClose),
        (
            "GET",
            200,
            "Transfer-Encoding: Chunked\r\n",
            Framing::Chunked,
        ),
        ("HEAD", 200, "Content-Length: 5\r\n", Framing::Empty),
        ("HEAD", 404, "", Framing::Empty),
        (
            "HEAD",
            200,
            "Transfer-Encoding: chunked\r\n",
            Framing::Empty,
        ),
        ("GET", 304, "Content-Length: 5\r\n", Framing::Empty),
        ("GET", 204, "", Framing::Empty),
        ("GET", 100, "", Framing::Empty),
        ("GET", 103, "", Framing::Empty),
        ("GET", 101, "", Framing::Empty),
        ("GET", 416, "Content-Length: 5\r\n", Framing::Length(5)),
        ("head", 200, "Content-Length: 5\r\n", Framing::Length(5)),
    ] {
        assert_eq!(
            parsed(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), method).framing(),
            framing,
            "{method} {status} {fields}"
        );
    }
}

#[test]
fn a_connection_is_kept_only_if_its_end_is_known() {
    for (line, fields, keeps) in [
        ("HTTP/1.1 200 OK", "Content-Length: 0\r\n", true),
        (
            "HTTP/1.1 200 OK",
            "Content-Length: 0\r\nConnection: close\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK", "", false),
        ("HTTP/1.0 200 OK", "Content-Length: 0\r\n", false),
        (
            "HTTP/1.0 200 OK",
            "Content-Length: 0\r\nConnection: Keep-Alive\r\n",
            true,
        ),
        ("HTTP/1.0 200 OK", "Connection: keep-alive\r\n", false),
        ("HTTP/1.1 204", "", true),
    ] {
        assert_eq!(
            parsed(&format!("{line}\r\n{fields}\r\n"), "GET").keeps_alive(),
            keeps,
            "{line} {fields}"
        );
    }
    for (fields, keeps) in [
        ("", false),
        ("Content-Length: 5\r\n", true),
        ("Transfer-Encoding: chunked\r\n", true),
    ] {
        let head = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), "HEAD");
        assert_eq!(head.keeps_alive(), keeps, "HEAD {fields}");
    }
}

#[test]
fn status_lines_are_strict_but_for_the_reason() {
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.0 599 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 999",
        "HTTP/1.2 100 x",
    ] {
        assert!(
            parsed(&format!("{line}\r\n\r\n"), "GET").status() > 0,
            "{line}"
        );
    }
    for line in [
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 20",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 1000 x",
        "HTTP/1.1 +20 x",
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 \u{1}",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.10 200 OK",
    ] {
        assert_eq!(
            refused(format!("{line}\r\nA: b\r\n\r\n").as_bytes()),
            Some(BadResponse::StatusLine),
            "{line:?}"
        );
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_garbage() {
    for (fields, fault) in [
        ("A: b\n", BadResponse::BareLineFeed),
        ("A: b\rc\r\n", BadResponse::BareCarriageReturn),
        ("A: \0\r\n", BadResponse::Nul),
        ("A: b\r\n c\r\n", BadResponse::FoldedLine),
        ("A : b\r\n", BadResponse::FieldName),
        ("A\r\n", BadResponse::FieldName),
        ("A: \u{1}\r\n", BadResponse::FieldValue),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            BadResponse::LengthTwice,
        ),
        ("Content-Length: 5, 5\r\n", BadResponse::Length),
        ("Content-Length: -1\r\n", BadResponse::Length),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            BadResponse::LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            BadResponse::Coding,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            BadResponse::UnknownCoding,
        ),
        (
            "Connection: Content-Length\r\n",
            BadResponse::ProtectedFieldListed,
        ),
        ("Connection: Host\r\n", BadResponse::ProtectedFieldListed),
    ] {
        assert_eq!(
            refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes()),
            Some(fault),
            "{fields:?}"
        );
        assert!(!fault.to_string().is_empty());
    }
    assert_eq!(
        refused(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Some(BadResponse::CodingInOldVersion)
    );
    assert_eq!(
        refused(b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Some(BadResponse::StatusLine)
    );
}

#[test]
fn limits_hold_for_whole_and_for_unfinished_heads() {
    assert_eq!(
        refused(&[b'A'; LIMITS.bytes]),
        Some(BadResponse::HeadTooLong)
    );
    assert!(
        ResponseHead::parse(&[b'A'; LIMITS.bytes - 1], "GET")
            .unwrap()
            .is_none()
    );
    let many = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert_eq!(parsed(&many(200), "GET").fields().count(), 200);
    assert_eq!(
        refused(many(201).as_bytes()),
        Some(BadResponse::TooManyFields)
    );
}

#[test]
fn only_announced_trailers_are_relayed() {
    let head = parsed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, x-time\r\n\r\n",
        "GET",
    );
    assert!(head.announces_trailers());
    assert_eq!(
        head.announced(b"x-sum: a:b\r\nX-Other: c\r\nX-Time: d\r\n"),
        b"x-sum: a:b\r\nX-Time: d\r\n"
    );
    assert!(
        !parsed(
            "HTTP/1.1 200 OK\r\nTrailer: a\r\nContent-Length: 0\r\n\r\n",
            "GET"
        )
        .announces_trailers()
    );
    for (name, may) in [
        ("X-Sum", true),
        ("Digest", true),
        ("Content-Length", false),
        ("transfer-encoding", false),
        ("Connection", false),
        ("Location", false),
    ] {
        assert_eq!(may_trail(name), may, "{name}");
    }
}

#[test]
fn a_401_with_a_basic_challenge_asks_for_a_password() {
    for (status, challenge, expected) in [
        (401, "Basic realm=\"x\"", true),
        (401, "basic", true),
        (401, "Bearer realm=\"a, b\", BASIC realm=\"x\"", true),
        (401, "Bearer realm=\"x\"", false),
        (401, "Bearer realm=\"a, Basic realm=x\"", false),
        (401, "Bearer realm=\"a\\\", Basic b\"", false),
        (401, "Basically realm=\"x\"", false),
        (401, "", false),
        (403, "Basic realm=\"x\"", false),
    ] {
        let text = format!("HTTP/1.1 {status} X\r\nWWW-Authenticate: {challenge}\r\n\r\n");
        let (head, _) = ResponseHead::parse(text.as_bytes(), "GET")
            .unwrap()
            .unwrap();
        assert_eq!(head.asks_for_password(), expected, "{challenge}");
    }
    let two = "HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer a=b\r\nwww-authenticate: Basic\r\n\r\n";
    let (head, _) = ResponseHead::parse(two.as_bytes(), "GET").unwrap().unwrap();
    assert!(head.asks_for_password());
}
