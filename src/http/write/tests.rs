use super::*;

const EXTRA: ForwardedBy<'static> = ForwardedBy {
    for_: "192.0.2.1",
    proto: "https",
    host: "r:5443",
    real_ip: "192.0.2.1",
    request_id: "id",
    remote_user: Some(b"alice"),
    authorization: None,
    target: None,
    own: Own::All,
};
const ADDED: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: r:5443\r\nX-Real-IP: 192.0.2.1\r\nX-Request-ID: id\r\nX-Remote-User: alice\r\n\r\n";
const SHAPE: ResponseShape<'static> = ResponseShape {
    version: Version::Http11,
    keep: true,
    chunked: true,
    location: None,
};

fn request(head: &str, extra: &ForwardedBy<'_>) -> String {
    let (head, _) = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
    let mut out = Vec::new();
    write_request_head(&mut out, &head, extra);
    String::from_utf8(out).unwrap()
}

fn response(head: &str, method: &str, to: ResponseShape<'_>) -> String {
    let (head, _) = ResponseHead::parse(head.as_bytes(), method)
        .unwrap()
        .unwrap();
    let mut out = Vec::new();
    write_response_head(&mut out, &head, &to);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_loses_what_is_the_gates_to_say() {
    let sent = request(
        "PUT http://r:5443/v2/a//b?x HTTP/1.0\r\nhost: r:5443\r\nX_FORWARDED_FOR: 6.6.6.6\r\nContent-Type:  application/json \r\nConnection: keep-alive, X-Secret\r\nx_secret: 1\r\n\
         Authorization: Basic YTpi\r\nX-Remote-User: root\r\nContent_Length: 9\r\nCONTENT-LENGTH: 007\r\nExpect: 100-continue\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Docker-Token: true\r\nAccept: b\r\nAccept: a\r\nX-Empty:\r\n\r\n"
            .replace("//b", "/b")
            .as_str(),
        &EXTRA,
    );
    assert_eq!(
        sent,
        format!(
            "PUT /v2/a/b?x HTTP/1.1\r\nhost: r:5443\r\nContent-Type: application/json\r\nAccept: b\r\nAccept: a\r\nX-Empty: \r\nContent-Length: 7\r\n{ADDED}"
        )
    );
}

#[test]
fn a_request_is_framed_as_it_was_understood() {
    for (fields, written) in [
        ("", ""),
        ("Content-Length: 0\r\n", "Content-Length: 0\r\n"),
        (
            "transfer-encoding: CHUNKED\r\n",
            "Transfer-Encoding: chunked\r\n",
        ),
    ] {
        let sent = request(
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
            &EXTRA,
        );
        assert_eq!(
            sent,
            format!("POST / HTTP/1.1\r\nHost: a\r\n{written}{ADDED}")
        );
    }
}

#[test]
fn what_would_not_read_back_is_not_sent() {
    for bad in [
        &b"alice\r\nX-Remote-User: root"[..],
        b" root",
        b"root\t",
        b"",
        b"a\0",
        b"a\nb",
    ] {
        let sent = request(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &ForwardedBy {
                remote_user: Some(bad),
                authorization: Some(bad),
                ..EXTRA
            },
        );
        assert!(
            !sent.contains("X-Remote-User") && !sent.contains("Authorization"),
            "{sent}"
        );
    }
    let sent = request(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &ForwardedBy {
            authorization: Some(b"Basic YTo="),
            ..EXTRA
        },
    );
    assert!(sent.ends_with("X-Remote-User: alice\r\nAuthorization: Basic YTo=\r\n\r\n"));
}

#[test]
fn an_answer_keeps_its_end_to_end_fields() {
    let head = "HTTP/1.1 202 Taken in\r\ndocker-Upload-UUID: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n\
                LOCATION: http://b/x\r\nLink: <a>; rel=\"next\"\r\nAuthorization: kept\r\nContent-Length: 3\r\nETag: \"e\"\r\n\r\n";
    let kept = "HTTP/1.1 202 Taken in\r\ndocker-Upload-UUID: x\r\nLOCATION: http://b/x\r\nLink: <a>; rel=\"next\"\r\nAuthorization: kept\r\nETag: \"e\"\r\nContent-Length: 3\r\n";
    assert_eq!(response(head, "GET", SHAPE), format!("{kept}\r\n"));
    let moved = response(
        head,
        "GET",
        ResponseShape {
            location: Some(b"https://r/x"),
            keep: false,
            ..SHAPE
        },
    );
    assert_eq!(
        moved,
        format!(
            "{}Connection: close\r\n\r\n",
            kept.replace("http://b/x", "https://r/x")
        )
    );
    let injected = response(
        head,
        "GET",
        ResponseShape {
            location: Some(b"/\r\nX: y"),
            ..SHAPE
        },
    );
    assert_eq!(injected, format!("{kept}\r\n"));
}

#[test]
fn an_answer_is_framed_for_its_client() {
    let (old, closing) = (
        ResponseShape {
            version: Version::Http10,
            ..SHAPE
        },
        ResponseShape {
            keep: false,
            ..SHAPE
        },
    );
    for (status, method, fields, to, written) in [
        (
            "200",
            "GET",
            "Content-Length: 03\r\n",
            SHAPE,
            "Content-Length: 3\r\n",
        ),
        (
            "200",
            "GET",
            "Content-Length: 3\r\n",
            old,
            "Content-Length: 3\r\nConnection: keep-alive\r\n",
        ),
        (
            "200",
            "GET",
            "Transfer-Encoding: chunked\r\n",
            SHAPE,
            "Transfer-Encoding: chunked\r\n",
        ),
        ("200", "GET", "", SHAPE, "Transfer-Encoding: chunked\r\n"),
        (
            "200",
            "GET",
            "Transfer-Encoding: chunked\r\n",
            closing,
            "Transfer-Encoding: chunked\r\nConnection: close\r\n",
        ),
        (
            "200",
            "GET",
            "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
            SHAPE,
            "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "200",
            "GET",
            "Trailer: X\r\n",
            SHAPE,
            "Transfer-Encoding: chunked\r\n",
        ),
        (
            "200",
            "GET",
            "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
            old,
            "Connection: close\r\n",
        ),
        ("200", "GET", "", old, "Connection: close\r\n"),
        (
            "200",
            "GET",
            "",
            ResponseShape {
                chunked: false,
                ..SHAPE
            },
            "Connection: close\r\n",
        ),
        (
            "200",
            "HEAD",
            "Content-Length: 3\r\n",
            SHAPE,
            "Content-Length: 3\r\n",
        ),
        (
            "200",
            "HEAD",
            "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
            SHAPE,
            "",
        ),
        ("200", "HEAD", "", old, "Connection: keep-alive\r\n"),
        (
            "304",
            "GET",
            "Content-Length: 3\r\n",
            SHAPE,
            "Content-Length: 3\r\n",
        ),
        ("204", "GET", "Content-Length: 0\r\n", SHAPE, ""),
        ("204", "DELETE", "", closing, "Connection: close\r\n"),
    ] {
        assert_eq!(
            response(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), method, to),
            format!("HTTP/1.1 {status} X\r\n{written}\r\n"),
            "{status} {method} {fields:?} {to:?}"
        );
    }
}

#[test]
fn an_interim_answer_has_no_framing() {
    let (head, _) = ResponseHead::parse(
        b"HTTP/1.1 103\r\nLink: </a>\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
        "GET",
    )
    .unwrap()
    .unwrap();
    let mut out = Vec::new();
    write_interim_head(&mut out, &head);
    assert_eq!(out, b"HTTP/1.1 103 \r\nLink: </a>\r\n\r\n");
}
