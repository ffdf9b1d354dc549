use super::*;

#[test]
fn chunk_lines_are_digits_and_perhaps_an_extension() {
    for (line, size) in [
        ("0", 0),
        ("a", 10),
        ("1F", 31),
        ("0000000000000005", 5),
        ("ffffffffffffffff", u64::MAX),
        ("5;a", 5),
        ("5; a = \"b;c\" \t", 5),
        ("5;", 5),
        ("5;\u{e9}", 5),
    ] {
        let whole = format!("{line}\r\nrest");
        assert_eq!(
            chunk_size(whole.as_bytes()),
            Ok(Some((size, line.len() + 2))),
            "{line:?}"
        );
        for cut in 0..line.len() + 2 {
            assert_eq!(
                chunk_size(&whole.as_bytes()[..cut]),
                Ok(None),
                "{line:?} {cut}"
            );
        }
    }
    for line in [
        "\r\n",
        "5\n",
        "5 \r\n",
        "5\t\r\n",
        " 5\r\n",
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5 ;a\r\n",
        "g\r\n",
        "5g\r\n",
        "5\rx",
        "5\r\r\n",
        "5;a\n",
        "5;a\rb\r\n",
        "5;\0\r\n",
        "5;\u{7f}\r\n",
        ";a\r\n",
        "00000000000000005\r\n",
        "10000000000000000\r\n",
        "5,5\r\n",
        "\u{0}",
        "x",
    ] {
        assert_eq!(chunk_size(line.as_bytes()), Err(ChunkFault), "{line:?}");
    }
    assert_eq!(chunk_size(&[b'1'; 17]), Err(ChunkFault));
    let endless = [b"5;", &[b'a'; LINE_LIMIT][..]].concat();
    assert_eq!(chunk_size(&endless), Err(ChunkFault));
}

#[test]
fn trailers_are_fields_and_few() {
    for (section, kept) in [
        ("\r\n", ""),
        ("X-Sum:a\r\ny: \r\n\r\n", "X-Sum: a\r\ny: \r\n"),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nX: y\r\nConnection: close\r\n\r\n",
            "X: y\r\n",
        ),
    ] {
        assert_eq!(
            trailers(section.as_bytes()),
            Ok(Some((kept.as_bytes().to_vec(), section.len()))),
            "{section:?}"
        );
        for cut in 0..section.len() {
            assert_eq!(
                trailers(&section.as_bytes()[..cut]),
                Ok(None),
                "{section:?} {cut}"
            );
        }
    }
    for section in [
        "\n",
        "a\r\n\r\n",
        "a : b\r\n\r\n",
        " a: b\r\n\r\n",
        "\ta: b",
        "a: b\n\r\n",
        "a: b\r\n c\r\n\r\n",
        "a: \0\r\n\r\n",
        "a: \u{1}\r\n\r\n",
        "\rx",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(trailers(section.as_bytes()), Err(ChunkFault), "{section:?}");
    }
    assert_eq!(trailers(&[b'a'; 8 * 1024]), Err(ChunkFault));
    assert_eq!(trailers("a: b\r\n".repeat(101).as_bytes()), Err(ChunkFault));
}

/// Takes so many bytes a call, and counts the calls.
struct Narrow {
    width: usize,
    calls: usize,
    taken: Vec<u8>,
}

impl Write for Narrow {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let before = self.taken.len();
        let bytes: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.iter().copied())
            .take(self.width)
            .collect();
        self.taken.extend(bytes);
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn chunks_are_whole_however_little_the_writer_takes() {
    for width in 1..40 {
        let mut narrow = Narrow {
            width,
            calls: 0,
            taken: Vec::new(),
        };
        let mut writer = ChunkWriter::new(&mut narrow);
        writer.write_all(b"hello, chunks").unwrap();
        assert_eq!(writer.write(b"").unwrap(), 0);
        writer.write_all(b"x").unwrap();
        writer.finish(b"A: b\r\n").unwrap();
        assert_eq!(
            narrow.taken,
            b"d\r\nhello, chunks\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n"
        );
        assert!(width < 18 || narrow.calls == 3);
    }
}

#[test]
fn a_body_that_failed_once_is_never_completed() {
    let mut room = [0; 6];
    let mut writer = ChunkWriter::new(&mut room[..]);
    assert_eq!(
        writer.write_all(b"too long").unwrap_err().kind(),
        io::ErrorKind::WriteZero
    );
    assert_eq!(
        writer.write_all(b"x").unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    assert_eq!(
        writer.finish(b"").unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[test]
fn without_finish_there_is_no_last_chunk() {
    let mut out = Vec::new();
    ChunkWriter::new(&mut out).write_all(b"x").unwrap();
    assert_eq!(out, b"1\r\nx\r\n");
}
