use super::*;

#[test]
fn versions_are_two_digits_and_a_dot() {
    assert_eq!(Version::parse(b"HTTP/1.0"), Ok(Version::Http10));
    for text in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        assert_eq!(
            Version::parse(text.as_bytes()),
            Ok(Version::Http11),
            "{text}"
        );
    }
    for text in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.1"] {
        assert_eq!(
            Version::parse(text.as_bytes()),
            Err(VersionFault::OtherMajor),
            "{text}"
        );
    }
    for text in [
        "",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/11.1",
        "http/1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/1,1",
        "HTTP 1.1",
        "HTTP/2",
    ] {
        assert_eq!(
            Version::parse(text.as_bytes()),
            Err(VersionFault::Malformed),
            "{text}"
        );
    }
}

#[test]
fn lengths_are_digits_alone() {
    for (text, length) in [
        ("0", 0),
        ("5", 5),
        ("007", 7),
        ("9223372036854775807", i64::MAX as u64),
    ] {
        assert_eq!(parse_length(text.as_bytes()), Some(length));
    }
    for text in [
        "",
        "+5",
        "-5",
        "5 ",
        "5,5",
        "5, 5",
        "0x5",
        "5.0",
        "5e3",
        "\u{661}",
        "9223372036854775808",
        "18446744073709551617",
        "00000000000000000005",
    ] {
        assert_eq!(parse_length(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn codings_are_one_chunked() {
    let declared = |values: &[&str], version| {
        let mut fields = FramingFields::default();
        values
            .iter()
            .try_for_each(|value| fields.codings(value.as_bytes()))?;
        fields.declared(version)
    };
    for good in ["chunked", "Chunked", "CHUNKED", " chunked\t"] {
        assert_eq!(
            declared(&[good], Version::Http11),
            Ok(Declared::Chunked),
            "{good}"
        );
    }
    for malformed in [
        "",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "chunked, gzip",
        "\u{b}chunked",
        "\"chunked\"",
        "chunked gzip",
        "chunked\u{c}",
        "(chunked)",
    ] {
        assert_eq!(
            declared(&[malformed], Version::Http11),
            Err(FramingFault::CodingMalformed),
            "{malformed}"
        );
    }
    assert_eq!(
        declared(&["chunked", "chunked"], Version::Http11),
        Err(FramingFault::CodingMalformed)
    );
    assert_eq!(
        declared(&["chunked", "identity"], Version::Http11),
        Err(FramingFault::CodingMalformed)
    );
    for unknown in [
        "gzip",
        "gzip, chunked",
        "identity",
        "xchunked",
        "chunked;q=1",
        "chunked;",
    ] {
        assert_eq!(
            declared(&[unknown], Version::Http11),
            Err(FramingFault::CodingUnknown),
            "{unknown}"
        );
    }
    assert_eq!(
        declared(&["gzip", "chunked"], Version::Http11),
        Err(FramingFault::CodingUnknown)
    );
    assert_eq!(
        declared(&["chunked"], Version::Http10),
        Err(FramingFault::CodingInOldVersion)
    );
}

#[test]
fn a_length_stands_alone_and_once() {
    let mut fields = FramingFields::default();
    assert_eq!(fields.length(b"5"), Ok(()));
    assert_eq!(fields.length(b"5"), Err(FramingFault::LengthTwice));
    assert_eq!(fields.codings(b"chunked"), Ok(()));
    assert_eq!(
        fields.declared(Version::Http11),
        Err(FramingFault::LengthAndCoding)
    );
    assert_eq!(
        fields.declared(Version::Http10),
        Err(FramingFault::LengthAndCoding)
    );
}

#[test]
fn connection_never_names_a_protected_field() {
    for name in [
        "Host",
        "content-length",
        "CONTENT_LENGTH",
        "Transfer-Encoding",
        "authorization",
        "Content-Type",
        "content-range",
        "Expect",
        "close, , host",
    ] {
        assert_eq!(
            ConnectionOptions::default().add(name.as_bytes()),
            Err(ProtectedField),
            "{name}"
        );
    }
    for (value, lists) in [
        ("close", false),
        ("Keep-Alive", false),
        ("", false),
        ("keep-alive, TE", true),
        ("hosts", true),
    ] {
        let mut options = ConnectionOptions::default();
        assert_eq!(options.add(value.as_bytes()), Ok(()), "{value}");
        assert_eq!(options.lists_fields, lists, "{value}");
    }
}

#[test]
fn close_wins_over_keep_alive() {
    for (value, old, new) in [
        ("", false, true),
        ("keep-alive", true, true),
        ("close", false, false),
        ("keep-alive, close", false, false),
        ("CLOSE", false, false),
    ] {
        let mut options = ConnectionOptions::default();
        assert_eq!(options.add(value.as_bytes()), Ok(()));
        assert_eq!(
            (
                options.persistent(Version::Http10),
                options.persistent(Version::Http11)
            ),
            (old, new),
            "{value}"
        );
    }
}
