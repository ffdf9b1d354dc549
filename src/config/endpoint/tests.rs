//! Tables of listeners, backends and the rest, right and wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use std::net::ToSocketAddrs;

#[test]
fn listeners_are_read() {
    let cases = [
        ("https://[::]:443", "https://[::]:443"),
        ("https://0.0.0.0", "https://0.0.0.0:443"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("HTTPS://[::1]:0/", "https://[::1]:0"),
        ("http://LOCALHOST:8080", "http://localhost:8080"),
        ("unix:/run/portreeve.sock", "unix:/run/portreeve.sock"),
        ("unix:///run/portreeve.sock", "unix:/run/portreeve.sock"),
        ("unix:relative dir/x", "unix:relative dir/x"),
    ];
    for (given, expected) in cases {
        assert_eq!(
            given.parse::<Listen>().unwrap().to_string(),
            expected,
            "{given}"
        );
    }
}

#[test]
fn what_is_no_listener_is_refused_with_the_reason() {
    let cases = [
        (
            "",
            "not a listener; write https://ADDR:PORT, http://ADDR:PORT, redirect://ADDR:PORT or unix:PATH",
        ),
        (
            "0.0.0.0:443",
            "not a listener; did you mean https://0.0.0.0:443?",
        ),
        ("443", "not a listener; did you mean https://[::]:443?"),
        (":443", "not a listener; did you mean https://[::]:443?"),
        (
            "/run/gate.sock",
            "not a listener; did you mean unix:/run/gate.sock?",
        ),
        (
            "registry.example:443",
            "not a listener; write https://ADDR:PORT, http://ADDR:PORT, redirect://ADDR:PORT or unix:PATH",
        ),
        (
            "ftp://0.0.0.0:443",
            "not a listener; write https://ADDR:PORT, http://ADDR:PORT, redirect://ADDR:PORT or unix:PATH",
        ),
        ("https://", "the host is missing"),
        ("https://:443", "the host is missing"),
        (
            "https://*:443",
            "the host is missing; 0.0.0.0 or [::] is every address",
        ),
        (
            "https://registry.example:443",
            "listening is on an address, not on a name; 0.0.0.0 or [::] is every address",
        ),
        (
            "https://0.0.0.0:",
            "the port is not a number between 0 and 65535",
        ),
        (
            "https://0.0.0.0:+1",
            "the port is not a number between 0 and 65535",
        ),
        (
            "https://0.0.0.0:65536",
            "the port is not a number between 0 and 65535",
        ),
        (
            "https://::1:443",
            "an IPv6 address stands in brackets, as in [::1]",
        ),
        ("https://[::1", "the bracket is not closed"),
        (
            "https://[::1]x",
            "something other than :PORT follows the bracket",
        ),
        ("https://[1.2.3.4]", "not an IPv6 address in the brackets"),
        ("https://127.1:1", "not an IPv4 address"),
        (
            "https://0.0.0.0:1/v2",
            "a path, query or fragment is not allowed in it",
        ),
        (
            "https://0.0.0.0:1//",
            "a path, query or fragment is not allowed in it",
        ),
        (
            "https://0.0.0.0:1?a",
            "a path, query or fragment is not allowed in it",
        ),
        (
            "https://0.0.0.0:1\\",
            "a path, query or fragment is not allowed in it",
        ),
        (
            "https://a@0.0.0.0:1",
            "user information is not allowed in it",
        ),
        ("https://0.0.0.0:1 ", "a blank is in it"),
        ("unix:", "the path is missing"),
    ];
    for (given, expected) in cases {
        assert_eq!(given.parse::<Listen>().unwrap_err(), expected, "{given}");
    }
    let long = format!("unix:/{}", "x".repeat(LONGEST_SOCKET_PATH));
    assert_eq!(
        long.parse::<Listen>().unwrap_err(),
        "the path of a socket has at most 107 bytes"
    );
}

#[test]
fn loopback_is_told_from_the_rest() {
    for (given, expected) in [
        ("http://127.0.0.1:1", true),
        ("http://127.9.9.9:1", true),
        ("http://[::1]:1", true),
        ("http://[::ffff:127.0.0.1]:1", true),
        ("http://localhost:1", true),
        ("http://0.0.0.0:1", false),
        ("http://[::]:1", false),
        ("http://10.0.0.1:1", false),
    ] {
        let Listen::Http(host_port) = given.parse().unwrap() else {
            panic!("{given}")
        };
        assert_eq!(host_port.is_loopback(), expected, "{given}");
    }
}

#[test]
fn backends_are_read() {
    let cases = [
        ("http://registry:5000", "http://registry:5000"),
        ("http://registry", "http://registry:80"),
        ("https://Registry.Example/", "https://registry.example:443"),
        (
            "http://my_stack_registry:5000",
            "http://my_stack_registry:5000",
        ),
        ("http://[fd00::1]", "http://[fd00::1]:80"),
        ("http://10.0.0.1:5000", "http://10.0.0.1:5000"),
        ("unix:/run/registry.sock", "unix:/run/registry.sock"),
    ];
    for (given, expected) in cases {
        assert_eq!(
            given.parse::<Backend>().unwrap().to_string(),
            expected,
            "{given}"
        );
    }
}

#[test]
fn what_is_no_backend_is_refused_without_repeating_it() {
    let cases = [
        "registry:5000",
        "http://registry:0",
        "http://registry:5000/v2/",
        "http://registry:5000/?a",
        "http://registry:5000#a",
        "http://reg istry",
        "http://-registry",
        "http://reg..istry",
        "http://",
        "http://user:pa55@registry:5000",
        "http://user:pa55/pa55@registry:5000",
        "http://:pa55@registry:5000",
        "http://regis%74ry",
    ];
    for given in cases {
        let reason = given.parse::<Backend>().unwrap_err();
        assert!(!reason.contains("pa55"), "{given}: {reason}");
    }
    assert!(
        format!("http://{}", "a".repeat(64))
            .parse::<Backend>()
            .is_err()
    );
    assert!(
        format!("http://{}a", "a.".repeat(127))
            .parse::<Backend>()
            .is_err()
    );
}

#[test]
fn what_only_lacks_its_scheme_is_offered_with_it() {
    const FORMS: &str = "http://HOST:PORT, https://HOST:PORT or unix:PATH";
    for (given, expected) in [
        ("registry:5000", Some("http://registry:5000")),
        ("10.0.0.1:5000", Some("http://10.0.0.1:5000")),
        ("[fd00::1]:5000", Some("http://[fd00::1]:5000")),
        ("tcp://registry:5000", Some("http://registry:5000")),
        ("/run/registry.sock", Some("unix:/run/registry.sock")),
        ("registry", None),
        ("registry:5000/v2/", None),
        ("registry:0", None),
        ("user:5000@registry:5000", None),
        ("5000", None),
        ("ftp://registry:5000", None),
        ("", None),
    ] {
        let expected = match expected {
            Some(offer) => format!("not a backend; did you mean {offer}?"),
            None => format!("not a backend; write {FORMS}"),
        };
        assert_eq!(given.parse::<Backend>().unwrap_err(), expected, "{given}");
    }
    for (given, offer) in [
        ("auth:8080/check", "http://auth:8080/check"),
        ("auth:8080", "http://auth:8080"),
    ] {
        assert_eq!(
            given.parse::<AuthBackend>().unwrap_err(),
            format!("not a URL of an API; did you mean {offer}?")
        );
    }
    let with_key = "auth:8080/check?key=pa55"
        .parse::<AuthBackend>()
        .unwrap_err();
    assert!(!with_key.contains("pa55"), "{with_key}");
    assert_eq!(
        "9000".parse::<Admin>().unwrap_err(),
        "not an admin endpoint; did you mean http://127.0.0.1:9000?"
    );
}

#[test]
fn an_address_of_one_link_alone_says_why_not() {
    for given in ["https://[fe80::1%eth0]", "http://[fe80::1%25eth0]:5000"] {
        let reason = given.parse::<Backend>().unwrap_err();
        assert!(reason.starts_with("an address with a zone"), "{reason}");
    }
    let reason = "https://[fe80::1%eth0]:443".parse::<Listen>().unwrap_err();
    assert!(reason.starts_with("an address with a zone"), "{reason}");
    let reason = "http://[fe80::1]:5000".parse::<Backend>().unwrap_err();
    assert!(reason.starts_with("an address of one link"), "{reason}");
    assert!("http://[fd00::1]:5000".parse::<Backend>().is_ok());
}

#[test]
fn an_api_keeps_its_path_and_query_byte_for_byte() {
    let cases = [
        ("http://auth", "http://auth:80/"),
        ("https://auth/", "https://auth:443/"),
        (
            "http://auth:8080/check/%2F?realm=a&b=@",
            "http://auth:8080/check/%2F?realm=a&b=@",
        ),
        ("http://auth?x", "http://auth:80/?x"),
    ];
    for (given, expected) in cases {
        assert_eq!(
            given.parse::<AuthBackend>().unwrap().url(),
            expected,
            "{given}"
        );
    }
    let api: AuthBackend = "http://auth/check?key=pa55".parse().unwrap();
    assert_eq!(api.to_string(), "http://auth:80/check?…");
    for given in [
        "unix:/run/auth",
        "http://u:p@auth/",
        "http://auth/#x",
        "http://auth/ä",
        "auth",
        "http://a\\b",
    ] {
        assert!(given.parse::<AuthBackend>().is_err(), "{given}");
    }
}

#[test]
fn the_admin_endpoint_wants_a_port_and_no_tls() {
    assert!("http://127.0.0.1:9000".parse::<Admin>().is_ok());
    assert!("unix:/run/admin".parse::<Admin>().is_ok());
    for given in [
        "http://127.0.0.1",
        "https://127.0.0.1:9000",
        "127.0.0.1:9000",
        "http://example:9000",
    ] {
        assert!(given.parse::<Admin>().is_err(), "{given}");
    }
}

#[test]
fn a_literal_address_needs_no_resolver() {
    let Backend::Http(host_port) = "http://[fd00::1]:5000".parse().unwrap() else {
        panic!()
    };
    let found: Vec<_> = host_port.to_socket_addrs().unwrap().collect();
    assert_eq!(found, ["[fd00::1]:5000".parse().unwrap()]);
}
