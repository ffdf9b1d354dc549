use super::*;

fn parsed(input: &[u8]) -> Result<Option<(String, usize)>, Fault> {
    parse(input).map(|header| {
        header.map(|(source, length)| match source {
            Source::Peer => ("-".to_owned(), length),
            Source::Client(address) => (address.to_string(), length),
        })
    })
}

/// A header of version 2 with that command and family.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
    [SIGNATURE, &[command, family], &length.to_be_bytes(), block].concat()
}

const V4: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0xdd, 0xd5, 1, 187];
const V6: &[u8] = &[
    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 1, 0xdd, 0xd5, 1, 187,
];
const MAPPED: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 1, 0xdd, 0xd5, 1, 187,
];
/// A TLV: its type, its length, its value.
const MORE: &[u8] = &[2, 0, 3, b'a', b'.', b'b'];

#[test]
fn lines_of_version_1_name_their_client() {
    for (line, client) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 56789 443\r\n", "192.0.2.1"),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0"),
        (
            "PROXY TCP6 2001:db8::7 fd00::1 56789 443\r\n",
            "2001:db8::7",
        ),
        ("PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n", "192.0.2.9"),
        ("PROXY UNKNOWN\r\n", "-"),
        ("PROXY UNKNOWN ::1 ::1 1 2\r\n", "-"),
        ("PROXY UNKNOWN \u{e9} \r \t\r\n", "-"),
    ] {
        let expected = Ok(Some((client.to_owned(), line.len())));
        assert_eq!(parsed(line.as_bytes()), expected, "{line:?}");
        let behind = [line, "GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parsed(behind.as_bytes()), expected, "{line:?}");
    }
}

#[test]
fn lines_of_version_1_that_are_wrong_are_refused() {
    for (line, fault) in [
        (
            "PROXY TCP4 192.0.2.1 10.0.0.1 56789 443\n",
            Fault::Malformed,
        ),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 56789\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n", Fault::Malformed),
        ("PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1\t10.0.0.1 1 2\r\n", Fault::Malformed),
        (
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            Fault::Malformed,
        ),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 -1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 192.0.2.1 host 1 2\r\n", Fault::Malformed),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP6 192.0.2.1 ::1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Fault::Malformed),
        ("PROXY TCP6 ::1 10.0.0.1 1 2\r\n", Fault::Malformed),
        (
            "PROXY TCP4 192.0.2.1 10.0.0.1 \u{661} 2\r\n",
            Fault::Malformed,
        ),
        ("PROXY TCP4\r\n", Fault::Malformed),
        ("PROXY UNKNOWN\n", Fault::Malformed),
        ("PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n", Fault::Family),
        ("PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n", Fault::Family),
        ("PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n", Fault::Family),
        ("PROXY UNKNOWNS\r\n", Fault::Family),
        ("PROXY \r\n", Fault::Family),
        ("proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n", Fault::Absent),
        ("PROXY\tTCP4 192.0.2.1 10.0.0.1 1 2\r\n", Fault::Absent),
        ("PROPFIND / HTTP/1.1\r\n", Fault::Absent),
        ("GET / HTTP/1.1\r\n", Fault::Absent),
        ("\r\nGET / HTTP/1.1\r\n", Fault::Absent),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}", Fault::Absent),
    ] {
        assert_eq!(parsed(line.as_bytes()), Err(fault), "{line:?}");
    }
}

#[test]
fn a_line_of_version_1_has_107_bytes_at_most() {
    let line = |more: usize| [b"PROXY UNKNOWN ", &vec![b'x'; more][..], b"\r\n"].concat();
    assert_eq!(parsed(&line(91)), Ok(Some(("-".to_owned(), 107))));
    assert_eq!(parsed(&line(92)), Err(Fault::TooLong));
    assert_eq!(parsed(&[b'x'; 107]), Err(Fault::Absent));
    let without_end = line(91);
    assert_eq!(parsed(without_end.get(..106).unwrap_or_default()), Ok(None));
}

#[test]
fn headers_of_version_2_name_their_client() {
    let unix = [7; 216];
    let many = vec![4; LONGEST - HEAD - V4.len()];
    let headers = [
        (binary(0x21, 0x11, V4), "192.0.2.1"),
        (binary(0x21, 0x21, V6), "2001:db8::7"),
        (binary(0x21, 0x21, MAPPED), "192.0.2.9"),
        (binary(0x21, 0x11, &[V4, MORE, MORE].concat()), "192.0.2.1"),
        (binary(0x21, 0x21, &[V6, MORE].concat()), "2001:db8::7"),
        (binary(0x21, 0x11, &[V4, &many].concat()), "192.0.2.1"),
        (binary(0x21, 0x31, &unix), "-"),
        (binary(0x21, 0x00, b""), "-"),
        (binary(0x21, 0x00, MORE), "-"),
        (binary(0x20, 0x00, b""), "-"),
        (binary(0x20, 0x11, V4), "-"),
        (binary(0x20, 0xff, MORE), "-"),
    ];
    for (header, client) in headers {
        let expected = Ok(Some((client.to_owned(), header.len())));
        assert_eq!(parsed(&header), expected, "{}", header.escape_ascii());
        let behind = [&header[..], b"\x16\x03\x01"].concat();
        assert_eq!(parsed(&behind), expected, "{}", header.escape_ascii());
    }
}

#[test]
fn headers_of_version_2_that_are_wrong_are_refused() {
    let too_long = vec![4; LONGEST - HEAD + 1];
    let headers = [
        (binary(0x11, 0x11, V4), Fault::Version),
        (binary(0x31, 0x11, V4), Fault::Version),
        (binary(0x01, 0x00, b""), Fault::Version),
        (binary(0x22, 0x11, V4), Fault::Command),
        (binary(0x2f, 0x00, b""), Fault::Command),
        // Of datagrams, with a protocol alone, and of nobody.
        (binary(0x21, 0x12, V4), Fault::Family),
        (binary(0x21, 0x22, V6), Fault::Family),
        (binary(0x21, 0x10, V4), Fault::Family),
        (binary(0x21, 0x01, b""), Fault::Family),
        (binary(0x21, 0x41, V4), Fault::Family),
        (binary(0x21, 0xff, V4), Fault::Family),
        (
            binary(0x21, 0x11, V4.get(1..).unwrap_or_default()),
            Fault::Cut,
        ),
        (binary(0x21, 0x11, b""), Fault::Cut),
        (binary(0x21, 0x21, V4), Fault::Cut),
        (binary(0x21, 0x31, V6), Fault::Cut),
        (binary(0x21, 0x11, &too_long), Fault::TooLong),
        (binary(0x20, 0x00, &too_long), Fault::TooLong),
    ];
    for (header, fault) in headers {
        assert_eq!(parsed(&header), Err(fault), "{}", header.escape_ascii());
        // What is wrong is known before all has come.
        let head = header.get(..HEAD).unwrap_or_default();
        assert_eq!(parsed(head), Err(fault), "{}", head.escape_ascii());
    }
}

#[test]
fn a_beginning_of_a_header_waits_for_the_rest() {
    for header in [
        b"PROXY TCP6 2001:db8::7 fd00::1 56789 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x21, 0x11, &[V4, MORE].concat()),
        binary(0x20, 0x00, b""),
    ] {
        for length in 0..header.len() {
            let part = header.get(..length).unwrap_or_default();
            assert_eq!(parsed(part), Ok(None), "{}", part.escape_ascii());
        }
    }
}

#[test]
fn what_must_hold_holds_whichever_byte_is_another() {
    let headers = [
        b"PROXY TCP4 192.0.2.1 10.0.0.1 56789 443\r\n\r\n".to_vec(),
        b"PROXY UNKNOWN x\r\n\r\n".to_vec(),
        binary(0x21, 0x11, &[V4, MORE].concat()),
        binary(0x20, 0x00, MORE),
    ];
    for header in headers {
        for at in 0..header.len() {
            for byte in [0, 1, 0x10, 0x22, b' ', b'\r', b'\n', b'9', b'.', 0x7f, 0xff] {
                let mut other = header.clone();
                other.splice(at..=at, [byte]);
                properties::proxy_header(&other);
            }
        }
    }
}
