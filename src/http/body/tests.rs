use super::*;

/// Hands its pieces out one a read, then ends.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.0.first_mut() {
            if piece.is_empty() {
                self.0.remove(0);
                continue;
            }
            return piece.read(out);
        }
        Ok(0)
    }
}

/// What reading to the end gives: data, outcome, trailers, and what is left behind the body.
fn drained(
    pieces: Vec<&[u8]>,
    framing: Framing,
    width: usize,
) -> (Vec<u8>, Result<(), io::ErrorKind>, Vec<u8>, Vec<u8>) {
    let mut input = Input::new(Pieces(pieces));
    let mut body = Body::new(&mut input, framing);
    let mut data = Vec::new();
    let mut out = vec![0; width];
    let outcome = loop {
        match body.read(&mut out) {
            Ok(0) => break Ok(()),
            Ok(count) => data.extend_from_slice(&out[..count]),
            Err(error) => {
                assert_eq!(
                    is_bad_chunk(&error),
                    error.kind() == io::ErrorKind::InvalidData
                );
                break Err(error.kind());
            }
        }
    };
    assert_eq!(body.is_complete(), outcome.is_ok());
    assert_eq!(body.failure(), outcome.err());
    assert_eq!(
        body.read(&mut out).map_err(|error| error.kind()),
        outcome.map(|()| 0)
    );
    let trailers = body.trailers().to_vec();
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).unwrap();
    (data, outcome, trailers, rest)
}

#[test]
fn content_that_went_by_outside_counts_as_read() {
    let mut input = Input::new(Pieces(vec![b"ab", b"next"]));
    input.fill().unwrap();
    let mut body = Body::new(&mut input, Framing::Length(10));
    assert_eq!(body.read(&mut [0; 8]).unwrap(), 2);
    body.went_by(3);
    assert_eq!(
        (body.remaining_length(), body.is_complete()),
        (Some(5), false)
    );
    // More than there is would be a fault of ours, and ends the body where it ends.
    body.went_by(6);
    assert_eq!(
        (body.remaining_length(), body.is_complete()),
        (Some(0), true)
    );
    assert_eq!(body.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(body.into_input().stream_mut().0.concat(), b"next");
}

#[test]
fn what_is_ready_ends_where_the_body_ends_and_is_counted_once_it_was_used() {
    for (framing, ready, left, rest) in [
        (Framing::Length(10), "abc", Some(7), ""),
        (Framing::Length(2), "ab", Some(0), "c"),
        (Framing::Empty, "", Some(0), "abc"),
        (Framing::UntilClose, "", None, "abc"),
        (Framing::Chunked, "", None, "abc"),
    ] {
        let mut input = Input::new(&b"abc"[..]);
        input.fill().unwrap();
        let mut body = Body::new(&mut input, framing);
        assert_eq!(body.ready(), ready.as_bytes(), "{framing:?}");
        body.used_up();
        assert_eq!(body.remaining_length(), left, "{framing:?}");
        assert_eq!(body.into_input().buffered(), rest.as_bytes(), "{framing:?}");
    }
}

/// Every way to cut the bytes in two, one byte a read, and all at once must give the same.
fn check(
    whole: &str,
    framing: Framing,
    data: &str,
    outcome: Result<(), io::ErrorKind>,
    trailers: &str,
    rest: Option<&str>,
) {
    let whole = whole.as_bytes();
    let cuts = (0..=whole.len())
        .map(|cut| vec![&whole[..cut], &whole[cut..]])
        .chain([whole.chunks(1).collect()]);
    for pieces in cuts {
        for width in [1, 2, 3, 7, 64] {
            let found = drained(pieces.clone(), framing, width);
            assert_eq!(
                (found.0.as_slice(), found.1),
                (data.as_bytes(), outcome),
                "{pieces:?} {width}"
            );
            assert_eq!(found.2, trailers.as_bytes(), "{pieces:?} {width}");
            if let Some(rest) = rest {
                assert_eq!(found.3, rest.as_bytes(), "{pieces:?} {width}");
            }
        }
    }
}

#[test]
fn a_length_is_read_to_the_byte() {
    check(
        "helloGET",
        Framing::Length(5),
        "hello",
        Ok(()),
        "",
        Some("GET"),
    );
    check("GET", Framing::Length(0), "", Ok(()), "", Some("GET"));
    check("GET", Framing::Empty, "", Ok(()), "", Some("GET"));
    check(
        "hell",
        Framing::Length(5),
        "hell",
        Err(io::ErrorKind::UnexpectedEof),
        "",
        Some(""),
    );
    check(
        "",
        Framing::Length(5),
        "",
        Err(io::ErrorKind::UnexpectedEof),
        "",
        None,
    );
    check("hello", Framing::UntilClose, "hello", Ok(()), "", Some(""));
}

#[test]
fn chunks_are_read_to_the_byte() {
    check(
        "5\r\nhello\r\n0\r\n\r\nGET",
        Framing::Chunked,
        "hello",
        Ok(()),
        "",
        Some("GET"),
    );
    check("0\r\n\r\n", Framing::Chunked, "", Ok(()), "", Some(""));
    check(
        "1;a=b\r\nx\r\n02\r\nyz\r\nA\r\n0123456789\r\n0;e\r\nX-Sum: 1\r\nHost: a\r\n\r\n\r\n",
        Framing::Chunked,
        "xyz0123456789",
        Ok(()),
        "X-Sum: 1\r\n",
        Some("\r\n"),
    );
}

#[test]
fn chunks_cut_short_are_never_whole() {
    let whole = "5\r\nhello\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for cut in 0..whole.len() {
        let found = drained(vec![&whole.as_bytes()[..cut]], Framing::Chunked, 64);
        assert_eq!(found.1, Err(io::ErrorKind::UnexpectedEof), "{cut}");
        assert!(b"helloabc".starts_with(&found.0), "{cut}");
    }
}

#[test]
fn chunks_outside_the_grammar_are_refused() {
    for (whole, data) in [
        ("5\nhello\r\n0\r\n\r\n", ""),
        ("5 \r\nhello\r\n0\r\n\r\n", ""),
        ("x\r\n", ""),
        ("\r\n5\r\nhello", ""),
        ("5\r\nhello\n0\r\n\r\n", "hello"),
        ("5\r\nhelloo\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello0\r\n\r\n", "hello"),
        ("1\r\nx\r\n-1\r\n", "x"),
        ("0\r\n\n", ""),
        ("0\r\nx\r\n\r\n", ""),
        ("0\r\n x: y\r\n\r\n", ""),
        ("10000000000000000\r\nx", ""),
        ("1\r\nx\r\r\n0\r\n\r\n", "x"),
        ("1\r\nx\r\n\r\n0\r\n\r\n", "x"),
    ] {
        check(
            whole,
            Framing::Chunked,
            data,
            Err(io::ErrorKind::InvalidData),
            "",
            None,
        );
    }
}

#[test]
fn big_chunks_pass_the_buffer_by() {
    let data: Vec<u8> = (0..1_000_000u32)
        .map(|number| (number % 253) as u8)
        .collect();
    let mut whole = Vec::new();
    for (number, part) in data.chunks(300_000).enumerate() {
        whole.extend_from_slice(format!("{:x};n={number}\r\n", part.len()).as_bytes());
        whole.extend_from_slice(part);
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(b"0\r\n\r\n");
    let mut input = Input::new(&whole[..]);
    let mut body =
        io::BufReader::with_capacity(256 * 1024, Body::new(&mut input, Framing::Chunked));
    let mut out = Vec::new();
    assert_eq!(io::copy(&mut body, &mut out).unwrap(), data.len() as u64);
    assert!(body.get_ref().is_complete() && out == data);
    // What was read ahead of the first chunk, then the rest of it at once.
    let mut input = Input::new(&whole[..]);
    let mut body = Body::new(&mut input, Framing::Chunked);
    let mut out = vec![0; 400_000];
    let ahead = body.read(&mut out).unwrap();
    assert!((1..=AHEAD).contains(&ahead));
    assert_eq!(body.read(&mut out).unwrap(), 300_000 - ahead);
}

#[test]
fn small_chunks_are_gathered_but_never_waited_for() {
    let mut input = Input::new(Pieces(vec![
        b"1\r\na\r\n1\r\nb\r\n1\r\n",
        b"c\r\n0\r\n\r\n",
    ]));
    let mut body = Body::new(&mut input, Framing::Chunked);
    let mut out = [0; 9];
    assert_eq!((body.read(&mut out).unwrap(), &out[..2]), (2, &b"ab"[..]));
    assert_eq!((body.read(&mut out).unwrap(), out[0]), (1, b'c'));
    assert_eq!(body.read(&mut out).unwrap(), 0);
}

/// Refuses every other read as a socket does whose time is up.
struct Halting<'a>(&'a [u8], bool);

impl Read for Halting<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            self.0
                .take(1)
                .read(out)
                .inspect(|count| self.0 = &self.0[*count..])
        }
    }
}

#[test]
fn reading_goes_on_where_a_halt_left_it() {
    let mut input = Input::new(Halting(
        b"5;x\r\nhello\r\n2\r\n, \r\n0\r\nA: b\r\n\r\n",
        false,
    ));
    let mut body = Body::new(&mut input, Framing::Chunked);
    let mut data = Vec::new();
    let mut out = [0; 8];
    loop {
        match body.read(&mut out) {
            Ok(0) => break,
            Ok(count) => data.extend_from_slice(&out[..count]),
            Err(error) => assert_eq!(
                (error.kind(), body.failure()),
                (io::ErrorKind::WouldBlock, Some(io::ErrorKind::WouldBlock))
            ),
        }
    }
    assert_eq!(
        (data.as_slice(), body.trailers(), body.failure()),
        (&b"hello, "[..], &b"A: b\r\n"[..], None)
    );
}

#[test]
fn what_is_still_to_come_is_known_of_lengths_only() {
    let mut input = Input::new(&b"abc"[..]);
    let mut body = Body::new(&mut input, Framing::Length(3));
    assert_eq!(
        (body.remaining_length(), body.read(&mut [0; 2]).unwrap()),
        (Some(3), 2)
    );
    assert_eq!(
        (body.remaining_length(), body.is_complete()),
        (Some(1), false)
    );
    assert_eq!(
        (
            body.read(&mut [0; 2]).unwrap(),
            body.remaining_length(),
            body.is_complete()
        ),
        (1, Some(0), true)
    );
    assert_eq!(
        Body::new(&mut input, Framing::Chunked).remaining_length(),
        None
    );
}
