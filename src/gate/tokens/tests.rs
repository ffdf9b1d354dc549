use std::os::unix::fs::PermissionsExt;

use zeroize::Zeroizing;

use super::*;
use crate::tls::scratch::Scratch;

fn alice() -> Who {
    Who::User {
        name: b"alice".to_vec(),
        fingerprint: [7; 32],
    }
}

#[test]
fn a_token_says_who_and_until_when_to_whoever_has_the_key() {
    let keys = TokenKeys::random().unwrap();
    for who in [
        Who::Anonymous,
        alice(),
        Who::Credentials(Zeroizing::new(b"Basic YTpi".to_vec())),
    ] {
        let claims = Claims::new(who, 1_000);
        let token = keys.seal(Kind::Token, &claims.encode()).unwrap();
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{token}"
        );
        let opened = keys.open(Kind::Token, token.as_bytes()).unwrap();
        let read = Claims::decode(&opened).unwrap();
        assert_eq!(read, claims);
        for (now, holds) in [(0, true), (4_600, true), (5_199, true), (5_200, false)] {
            assert_eq!(read.holds(now), holds, "{now}");
        }
        assert_ne!(token, keys.seal(Kind::Token, &claims.encode()).unwrap());
    }
}

#[test]
fn what_is_forged_cut_or_of_another_key_does_not_open() {
    let keys = TokenKeys::random().unwrap();
    let token = keys
        .seal(Kind::Token, &Claims::new(alice(), 0).encode())
        .unwrap();
    let bytes = token.as_bytes();
    for at in 0..bytes.len() {
        let mut forged = bytes.to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(keys.open(Kind::Token, &forged).is_none(), "{at}");
        assert!(keys.open(Kind::Token, &bytes[..at]).is_none(), "{at}");
    }
    assert!(
        TokenKeys::random()
            .unwrap()
            .open(Kind::Token, bytes)
            .is_none()
    );
    // What is sealed for one end is nothing for another.
    let cursor = token.replacen(Kind::Token.prefix(), Kind::Cursor.prefix(), 1);
    assert!(keys.open(Kind::Cursor, cursor.as_bytes()).is_none());
    let cursor = keys.seal(Kind::Cursor, b"team/app").unwrap();
    let opened = keys.open(Kind::Cursor, cursor.as_bytes());
    assert_eq!(opened.as_deref(), Some(&b"team/app".to_vec()));
    for odd in [&b""[..], b"=", b"a.b.c", b"\xff", &[b'A'; 20_000]] {
        assert!(keys.open(Kind::Token, odd).is_none());
    }
    for odd in [
        &b""[..],
        b"\0",
        b"\x01\0\0\0\0\0\0\0\0short",
        b"\x09\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\0\0x",
    ] {
        assert_eq!(Claims::decode(odd), None);
    }
}

#[test]
fn the_first_key_seals_and_all_open() {
    let scratch = Scratch::new();
    let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
    let before = TokenKeys::load(&[&old], true).unwrap();
    let mode = std::fs::metadata(&old).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = before.seal(Kind::Token, b"x").unwrap();
    let rotated = TokenKeys::load(&[&new, &old], true).unwrap();
    assert_eq!(
        rotated.open(Kind::Token, token.as_bytes()).as_deref(),
        Some(&b"x".to_vec())
    );
    assert!(
        before
            .open(
                Kind::Token,
                rotated.seal(Kind::Token, b"y").unwrap().as_bytes()
            )
            .is_none()
    );
    let elsewhere = TokenKeys::load(&[&new], true).unwrap();
    assert!(
        elsewhere
            .open(
                Kind::Token,
                rotated.seal(Kind::Token, b"y").unwrap().as_bytes()
            )
            .is_some()
    );
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_is_no_key_is_named_without_its_content() {
    let scratch = Scratch::new();
    let bad = scratch.path().join("bad");
    for text in ["", "c2hvcnQ=", "hunter2", &"x".repeat(5000)] {
        std::fs::write(&bad, text).unwrap();
        let faults = TokenKeys::load(&[&bad], true).err().unwrap();
        assert!(
            faults[0].message.contains("not a key of tokens"),
            "{faults:?}"
        );
        assert!(!faults[0].message.contains("hunter2"));
    }
    let nowhere = scratch.path().join("none/key");
    let faults = TokenKeys::load(&[&nowhere], true).err().unwrap();
    assert!(
        faults[0].message.contains("could not be made"),
        "{faults:?}"
    );
    let missing = scratch.path().join("missing");
    assert!(TokenKeys::load(&[&missing], false).is_ok() && !missing.exists());
}

#[test]
fn the_challenge_has_one_form() {
    let challenge = |scope, error| {
        Challenge {
            scheme: "https",
            host: "registry.lan:5443",
            scope,
            error,
        }
        .value()
    };
    let realm = "Bearer realm=\"https://registry.lan:5443/v2/token\",service=\"registry.lan:5443\"";
    for (scope, error, behind) in [
        (Scope::None, None, ""),
        (Scope::Catalog, None, ",scope=\"registry:catalog:*\""),
        (
            Scope::Repository("team/app", "pull,push"),
            Some(Error::Invalid),
            ",scope=\"repository:team/app:pull,push\",error=\"invalid_token\"",
        ),
        (
            Scope::None,
            Some(Error::Insufficient),
            ",error=\"insufficient_scope\",error_description=\"log in as a user who may do this\"",
        ),
    ] {
        assert_eq!(challenge(scope, error), format!("{realm}{behind}"));
    }
}
