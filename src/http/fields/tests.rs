use super::*;
use crate::http::grammar::{is_token_byte, is_value_byte};

fn parse(section: &[u8]) -> Result<Vec<(String, Vec<u8>)>, FieldFault> {
    let fields = Fields::parse(section, 0)?;
    Ok(fields
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect())
}

#[test]
fn fields_keep_their_order_case_and_bytes() {
    let fields =
        parse(b"Accept: */*\r\nX-Empty:\r\nx-blank: \t \r\nA:b\xff c\t\r\nA: d\r\n\r\n").unwrap();
    let expected: [(&str, &[u8]); 5] = [
        ("Accept", b"*/*"),
        ("X-Empty", b""),
        ("x-blank", b""),
        ("A", b"b\xff c"),
        ("A", b"d"),
    ];
    assert!(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .eq(expected)
    );
}

#[test]
fn more_fields_than_the_first_guess_are_all_there() {
    let section = ["a: b\r\n".repeat(MANY), "\r\n".to_owned()].concat();
    assert_eq!(parse(section.as_bytes()).unwrap().len(), MANY);
}

#[test]
fn every_byte_is_judged_as_the_grammar_says() {
    for byte in (0..=u8::MAX).filter(|byte| !b":\r\n".contains(byte)) {
        let name = [b"a", &[byte][..], b"b: c\r\n\r\n"].concat();
        assert_eq!(parse(&name).is_ok(), is_token_byte(byte), "name {byte:#x}");
        let value = [b"a: b", &[byte][..], b"c\r\n\r\n"].concat();
        assert_eq!(
            parse(&value).is_ok(),
            is_value_byte(byte),
            "value {byte:#x}"
        );
    }
}

#[test]
fn a_field_is_a_name_a_colon_and_a_value() {
    for section in [
        "a\r\n\r\n",
        ": b\r\n\r\n",
        "a : b\r\n\r\n",
        "a\t: b\r\n\r\n",
        " a: b\r\n\r\n",
        "a b: c\r\n\r\n",
    ] {
        assert_eq!(
            parse(section.as_bytes()),
            Err(FieldFault::Name),
            "{section:?}"
        );
    }
}

#[test]
fn names_are_dropped_in_any_disguise() {
    for name in [
        "Connection",
        "keep-alive",
        "Keep_Alive",
        "PROXY-AUTHORIZATION",
        "Proxy_Connection",
        "TE",
        "Trailer",
        "transfer_encoding",
        "Upgrade",
        "HTTP2-Settings",
    ] {
        assert!(hop_by_hop(name) && dropped_on_the_way_in(name), "{name}");
    }
    for name in [
        "Forwarded",
        "X-Forwarded-For",
        "x_forwarded_host",
        "X-Forwarded-A-Name-That-Is-Longer-Than-Any-List",
        "X-Real-IP",
        "X_Remote_User",
        "X-Remote-Group",
        "Remote-User",
        "remote_groups",
        "x-auth-user",
        "X-Auth-Request-Email",
        "X-Original-URI",
        "X-Rewrite-URL",
        "X-Request-Id",
        "X-Docker-Token",
        "AUTHORIZATION",
    ] {
        assert!(!hop_by_hop(name) && dropped_on_the_way_in(name), "{name}");
    }
    for name in [
        "Host",
        "Accept",
        "Docker-Content-Digest",
        "X-Forwarded",
        "X-Remote",
        "Remote",
        "X-Authority",
        "Tea",
        "Proxy",
        "Content-Type",
        "Keep-Alive-And-A-Very-Long-Name",
        "",
    ] {
        assert!(!hop_by_hop(name) && !dropped_on_the_way_in(name), "{name}");
    }
}

#[test]
fn connection_lists_names_in_any_disguise() {
    let values: [&[u8]; 2] = [
        b"close, X-One",
        b"x_a-name-that-is-longer-than-any-in-the-lists",
    ];
    for (name, listed) in [
        ("x-one", true),
        ("X_One", true),
        ("X-A-Name-That-Is-Longer-Than-Any-In-The-Lists", true),
        ("x-a-name-that-is-longer-than-any", false),
        ("x-on", false),
    ] {
        assert_eq!(connection_lists(values.into_iter(), name), listed, "{name}");
    }
}
