//! Properties over many made-up heads: what is accepted is written so that it means the same to us and, above all, to a
//! reader far more simple-minded than we are.

use std::io::{Read, Write};

use super::*;

/// Xorshift: repeatable, and no dependency.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const EXTRA: ForwardedBy<'static> = ForwardedBy {
    for_: "192.0.2.1",
    proto: "https",
    host: "a",
    real_ip: "192.0.2.1",
    request_id: "id",
    remote_user: Some(b"alice"),
    authorization: Some(b"Basic x"),
};

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
        head.push_str(dice.pick(&FIELDS));
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

/// Lines at every LF, names up to the first colon, `_` as `-`: as careless as readers come.
fn carelessly(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.split('\n').map(|line| line.trim().to_owned());
    let first = lines.next().unwrap_or_default();
    let mut fields = vec![(String::new(), first)];
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .map_or((line.as_str(), ""), |(name, value)| {
                (name.trim(), value.trim())
            });
        fields.push((name.to_lowercase().replace('_', "-"), value.to_owned()));
    }
    fields
}

fn count(fields: &[(String, String)], name: &str) -> usize {
    fields.iter().filter(|field| field.0 == name).count()
}

/// The fields that go through, as those who wrote them and those who read them must agree on.
fn end_to_end<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    connection: &[&[u8]],
    keep: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<u8>)> {
    let passes = |name: &str| {
        keep(name)
            && !connection_lists(connection.iter().copied(), name)
            && !["content-length", "content_length", "expect"]
                .contains(&name.to_lowercase().as_str())
    };
    fields
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect()
}

#[test]
fn a_request_means_the_same_after_it_was_passed_on() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut accepted = 0;
    for _ in 0..25_000 {
        let line = format!(
            "{} {} {}\r\n{}",
            dice.pick(&["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"]),
            dice.pick(&[
                "/",
                "/v2/",
                "/v2/a/blobs/uploads/?mount=sha256%3Aa&from=b%2Fc",
                "http://a/x",
                "http://A:80?q",
                "*",
                "/a%20b",
                "/a//b?//../%zz"
            ]),
            dice.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.3"]),
            dice.pick(&["Host: a\r\n", "Host: a\r\n", "", "Host: A:80\r\n"]),
        );
        let head = made_up(&mut dice, line);
        let Ok(Some((before, used))) = RequestHead::parse(&head) else {
            continue;
        };
        accepted += 1;
        let mut written = Vec::new();
        write_request_head(&mut written, &before, &EXTRA);
        let shown = || format!("{}\n{}", head.escape_ascii(), written.escape_ascii());
        let Ok(Some((after, length))) = RequestHead::parse(&written) else {
            panic!("not read again: {}", shown())
        };

        assert!(used <= head.len() && length == written.len(), "{}", shown());
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
        let kept = |name: &str| !dropped_on_the_way_in(name);
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
            format!("{} {} HTTP/1.1", before.method(), before.target()),
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
            dice.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
            dice.pick(&[
                "200 OK",
                "200",
                "204 No Content",
                "304 Not",
                "206 \u{e9}",
                "416 x",
                "500 "
            ])
        );
        let head = made_up(&mut dice, line);
        let method = dice.pick(&["GET", "HEAD"]);
        let Ok(Some((before, _))) = ResponseHead::parse(&head, method) else {
            continue;
        };
        accepted += 1;
        let version = [Version::Http10, Version::Http11][dice.below(2)];
        let keep = dice.below(2) == 0;
        let mut written = Vec::new();
        write_response_head(
            &mut written,
            &before,
            &ResponseShape {
                version,
                keep,
                chunked: true,
                location: None,
            },
        );
        let shown = || {
            format!(
                "{method} {version:?} {}\n{}",
                head.escape_ascii(),
                written.escape_ascii()
            )
        };
        let Ok(Some((after, length))) = ResponseHead::parse(&written, method) else {
            panic!("not read again: {}", shown())
        };

        assert_eq!(length, written.len(), "{}", shown());
        assert_eq!(
            (before.status(), before.reason()),
            (after.status(), after.reason()),
            "{}",
            shown()
        );
        let framing = match (before.framing(), version) {
            (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
            (Framing::Chunked | Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (framing, _) => framing,
        };
        assert_eq!(after.framing(), framing, "{}", shown());
        assert_eq!(
            after.keeps_alive(),
            keep && framing != Framing::UntilClose,
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
            version == Version::Http11 || count(&careless, "transfer-encoding") == 0,
            "{}",
            shown()
        );
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
        let mut written = Vec::new();
        let mut writer = ChunkWriter::new(&mut written);
        let mut rest = &data[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(1 + dice.below(9_000)));
            assert_eq!(writer.write(chunk).ok(), Some(chunk.len()));
            rest = after;
        }
        assert!(writer.finish(b"X-Sum: a\r\n").is_ok());
        written.extend_from_slice(b"GET /");

        let mut input = Input::new(&written[..]);
        let mut body = Body::new(&mut input, Framing::Chunked);
        let mut read = Vec::new();
        let mut out = vec![0; 1 + dice.below(20_000)];
        while let Ok(count @ 1..) = body.read(&mut out) {
            read.extend_from_slice(&out[..count]);
        }
        assert!(body.is_complete() && read == data);
        assert_eq!(body.trailers(), b"X-Sum: a\r\n");
        let mut behind = Vec::new();
        assert!(input.read_to_end(&mut behind).is_ok() && behind == b"GET /");
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
            sketch(&bytes),
        );
        let _ = location::rewrite(
            &bytes,
            None,
            location::Outside {
                scheme: None,
                host: "a",
            },
        );
        let _ =
            Body::new(&mut Input::new(&bytes[..]), Framing::Chunked).read_to_end(&mut Vec::new());
    }
}
