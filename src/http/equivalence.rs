//! The properties of `properties` for many made-up messages, most of them good or nearly so, which is where they mean the most.

use std::io::Read;

use super::properties::{Dice, chunks_come_back, is_passed_on, is_relayed};
use super::*;

fn pick<'a>(dice: &mut Dice, from: &[&'a str]) -> &'a str {
    from[dice.below(from.len())]
}

const FIELDS: [&str; 30] = [
    "Host: a\r\n",
    "host: a\r\n",
    "Content-Length: 5\r\n",
    "content-length: 05\r\n",
    "Content_Length: 7\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: Chunked\r\n",
    "Transfer_Encoding: x\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-A\r\n",
    "Connection: TE, upgrade\r\n",
    "X-A: 1\r\n",
    "X_A: 2\r\n",
    "TE: trailers\r\n",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "Accept: */*\r\n",
    "Accept:b\r\n",
    "Authorization: Basic YTpi\r\n",
    "X-Forwarded-For: 6.6.6.6\r\n",
    "X_Real_IP: 6.6.6.6\r\n",
    "X-Remote-User: root\r\n",
    "X-Docker-Token: x\r\n",
    "Cookie: a=\"b; c\"\r\n",
    "X-Blank:   \r\n",
    "X-Latin: \u{e9}\r\n",
    "Trailer: X-Sum\r\n",
    "Location: http://b/\r\n",
    "Keep-Alive: 5\r\n",
    "Range: bytes=0-1\r\n",
];

/// Fields at random, then perhaps a few bytes spoilt.
fn made_up(dice: &mut Dice, line: String) -> Vec<u8> {
    let mut head = line;
    for _ in 0..dice.below(8) {
        head.push_str(pick(dice, &FIELDS));
    }
    head.push_str("\r\n");
    let mut head = head.into_bytes();
    for _ in 0..[0, 0, 1, 3][dice.below(4)] {
        let at = dice.below(head.len());
        let byte = b"\r\n\0 \t:;,/%.#\\_-\x7f\xffaA05"[dice.below(21)];
        match dice.below(3) {
            0 => head[at] = byte,
            1 => head.insert(at, byte),
            _ => drop(head.remove(at)),
        }
    }
    head
}

#[test]
fn a_request_means_the_same_after_it_was_passed_on() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut accepted = 0;
    for _ in 0..25_000 {
        let line = format!(
            "{} {} {}\r\n{}",
            pick(
                &mut dice,
                &["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"]
            ),
            pick(
                &mut dice,
                &[
                    "/",
                    "/v2/",
                    "/v2/a/blobs/uploads/?mount=sha256%3Aa&from=b%2Fc",
                    "http://a/x",
                    "http://A:80?q",
                    "*",
                    "/a%20b",
                    "/a//b?//../%zz"
                ]
            ),
            pick(&mut dice, &["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.3"]),
            pick(
                &mut dice,
                &["Host: a\r\n", "Host: a\r\n", "", "Host: A:80\r\n"]
            ),
        );
        let head = made_up(&mut dice, line);
        let Ok(Some((before, used))) = RequestHead::parse(&head) else {
            continue;
        };
        accepted += 1;
        is_passed_on(&head, &before, used);
    }
    assert!(
        accepted > 2_500,
        "only {accepted} heads were good enough to say anything"
    );
}

#[test]
fn an_answer_means_the_same_after_it_was_passed_on() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut accepted = 0;
    for _ in 0..25_000 {
        let line = format!(
            "{} {}\r\n",
            pick(&mut dice, &["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
            pick(
                &mut dice,
                &[
                    "200 OK",
                    "200",
                    "204 No Content",
                    "304 Not",
                    "206 \u{e9}",
                    "416 x",
                    "500 "
                ]
            )
        );
        let head = made_up(&mut dice, line);
        let method = pick(&mut dice, &["GET", "HEAD"]);
        let Ok(Some((before, _))) = ResponseHead::parse(&head, method) else {
            continue;
        };
        accepted += 1;
        let version = [Version::Http10, Version::Http11][dice.below(2)];
        let keep = dice.below(2) == 0;
        let shape = ResponseShape {
            version,
            keep,
            chunked: true,
            location: None,
        };
        is_relayed(&head, &before, method, &shape);
    }
    assert!(
        accepted > 2_500,
        "only {accepted} heads were good enough to say anything"
    );
}

#[test]
fn chunks_come_back_as_they_were_written() {
    let mut dice = Dice(0x0123_4567_89AB_CDEF);
    for _ in 0..60 {
        let data: Vec<u8> = (0..dice.below(60_000))
            .map(|_| dice.below(256) as u8)
            .collect();
        chunks_come_back(&data, b"X-Sum: a\r\n");
    }
}

#[test]
fn nothing_that_can_be_sent_makes_a_parser_panic() {
    let mut dice = Dice(88_172_645_463_325_252);
    for _ in 0..20_000 {
        let length = dice.below(120);
        let bytes: Vec<u8> = (0..length)
            .map(|_| b"GET / HTP/1.\r\n\r\n:;,ab0\0\xff#%*[]"[dice.below(29)])
            .collect();
        let _ = (
            RequestHead::parse(&bytes).is_ok(),
            ResponseHead::parse(&bytes, "GET").is_ok(),
            unparsed(&bytes),
        );
        let _ = location::rewrite(
            &bytes,
            None,
            location::Outside {
                scheme: None,
                host: "a",
                external: None,
            },
        );
        let _ =
            Body::new(&mut Input::new(&bytes[..]), Framing::Chunked).read_to_end(&mut Vec::new());
    }
}
