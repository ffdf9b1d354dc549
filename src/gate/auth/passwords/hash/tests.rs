//! Hashes that were made by the real programs, and hashes that were spoilt.

#![allow(clippy::unwrap_used)]

use super::super::shape::Kind;
use super::*;

/// Not ASCII, with the high bits that some bcrypts once got wrong.
const ODD: &[u8] = b"p\xe4ss\xff\x80";
const HORSE: &[u8] = b"correct horse";
const NINES: &[u8] = b"abcdefghiabcdefghiabcdefghiabcdefghiabcdefghiabcdefghiabcdefghiabcdefghi";

const GENUINE: &[(&[u8], &str)] = &[
    // htpasswd -nb with -s, -m, -B, -2 and -5, the last two with -r too
    (HORSE, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="),
    (HORSE, "$apr1$Qv0NkDaA$JsvDDMueOpbEjIEdxZMOT0"),
    (
        HORSE,
        "$2y$05$e1t6mIy5XiCyinWeol4hm.RVVF6xwd9i37varrt97X2B6JzhlbpjG",
    ),
    (
        HORSE,
        "$2y$04$Rv1V/zQaiFUIGfTtte8ROu4Okb3JZDvJbDLnQyi2Mqz2/JGv7aVHK",
    ),
    (
        HORSE,
        "$5$m0kJ5HhjMughR8Gb$w3Fh8m2qIBp.y9YukJe7hlM.q27gzI5VoEH4gV7KCd8",
    ),
    (
        HORSE,
        "$5$rounds=1000$dFD8cmQJGlE9larz$eHcT1bpu4FLOoXjYRxz77y8/QB2fOJ7BEVP4huAiO9/",
    ),
    (
        HORSE,
        "$6$ayxMSLuDjWwj.kCf$Qx7jaIgSCnHd5TUht2ZelzyXLkeAxs6eErjPtUDHhO2etousVsqO4BQMqRDzyKleUcEs0pgFOGD/nZbtFv5Ei/",
    ),
    (
        HORSE,
        "$6$rounds=1234$UoyVwiIIj.KUhs.o$nPuJwv68UepjtdXHWogThDTe30x0Hx7E9l4TpOq5AdfZmiGV4kPD1srCZdhXJr0CIFaSX4QQ0nCJ3w8K6wiq.0",
    ),
    // htpasswd -niBC 4: 8-bit, the vectors of the sign-extension bug, 72, 74 (cut to 72) and 71 bytes, empty
    (
        ODD,
        "$2y$04$sc03J65OoGr0Ych30zOb1O5ojpcFEUcg9pIS26nFNX2iCUWuG50UC",
    ),
    (
        b"\xff\xa3345",
        "$2y$04$oBZpSt4bTPoXmugPrzD4M.BKNaWuRcQjX.qXbtGYR176w1ENHAxrq",
    ),
    (
        b"\xff\xff\xa3",
        "$2y$04$zFy6FoJIKUuUoiRe1xWxPeiuvrSeAke4EC99W4oL26WGIsYzdNHXC",
    ),
    (
        NINES,
        "$2y$04$nsqIuZr28j3.lA95iRv1iOcdKRr0aZF9EXBbzX2ssZAYnK2Hyjx1W",
    ),
    (
        NINES,
        "$2y$04$qwgdpgnAUC60LsT1IadY7eLpstf32vx5qnh/8p.4bo0ryVZ9uOXcq",
    ),
    (
        b"",
        "$2y$04$lu8GL5mhqw40wqf6RzaVNeIReJwzh6YW.9s62tnVF7eStWnxwALwC",
    ),
    (ODD, "{SHA}dze+s2R4h4A0vrS8+vE1/L256MY="),
    // crypt(3)
    (
        HORSE,
        "$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    ),
    (
        HORSE,
        "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    ),
    // the same with unused bits of the salt set, as some libraries write it
    (
        HORSE,
        "$2b$05$abcdefghijklmnopqrstuvHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    ),
    // openssl passwd -1, -5, -6, -apr1: ordinary, 8-bit, 200 bytes, rounds=
    (HORSE, "$1$rqiZQ46f$x1FiKirucJ0IHxHLusP7j."),
    (b"", "$1$SUjIBJI3$bJG7JvNoGsZdVMWsDa7Fj."),
    (ODD, "$1$t43Xu8XC$Et49iz9B8.A53NKJf3zp90"),
    (&[b'x'; 200], "$1$GavrlfuI$YB0GSlAqiw2ppgcrbiu0w0"),
    (
        HORSE,
        "$5$BaGRWC3WbjVX.SJN$g.JUGma5vqew0Fd6Sttdk46lU1Alf1ORdNcrHB6KH49",
    ),
    (
        ODD,
        "$5$Hqb1d1uwqqN8l1AM$n.m/pvPWQKpYLNDjnzu2rSgDhoF6NIPMvfLfmvSoIo1",
    ),
    (
        &[b'x'; 200],
        "$5$SZwOrk/2JFDdK83q$X5.skDVTvvnUQNwplKPJJpXc3DwZl.vJEpO5J0YjzM4",
    ),
    (
        b"hi",
        "$5$rounds=7777$abcdefgh$YV6q8xIFLekeAJPN6LW4oJSP748IVCsYBQqNa3quACD",
    ),
    (
        HORSE,
        "$6$f72q36CLiaw94wz9$yiM1fgh5.Vlc5r71pvYI7D3lIPfi7DiftwMjlJIcq8cMqEvGD3QURDH9.2o5TIr4g3elGQoMtoo/NjTSeQGc6/",
    ),
    (
        ODD,
        "$6$Fu3oQbqp0DJgNLq/$e50sbaD/DyvAdGSwL020RnQf8EVvm5Ayyya5lVlGjJNGWiWjZVT1yQefbtS01hdB6CGEffVvFbBomLs.DlvhM0",
    ),
    (
        &[b'x'; 200],
        "$6$utxt3lRrRasHcshG$1OaNPFhh0Q6TkSJ1/JI/uNQ0Xg1M3.NsFap8w5EcgCAHDSZhogC2dahwwyWEq/uD9h8IyKZgYOZWRmXmHD7.u1",
    ),
    (
        b"hi",
        "$6$rounds=1500$abc$ga3vw0TaIx5SqObbjU1ZJcE44pjGWl6gBODa18zBuwmESLwbOCKTTluQTC06WvpT8cg02hENqCLhE9AcgLv6b1",
    ),
    (HORSE, "$apr1$SIWZl1XD$Pg3HfL.JvzY7H7Ma/4bDR."),
    (b"", "$apr1$7gpisXip$9SEqqNXMul1svzqlrQQCy1"),
    (ODD, "$apr1$hPyfFIER$fVC/f1Ad6mgvlPUT3UPZ20"),
    (&[b'x'; 200], "$apr1$Nm3MexQh$LjgmBuelvzUxFjhyzopkL0"),
    // base64 of sha1(password + salt) and the salt
    (b"secret", "{SSHA}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA=="),
    (b"secret", "{SSHA}+RFhsab2AfzZ0VfEdyknXtUT06RhYmNk"),
];

#[test]
fn every_genuine_hash_fits_its_password_and_no_other() {
    for (password, text) in GENUINE {
        let hash = Hash::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert!(hash.verify(password), "{text}");
        assert!(!hash.verify(b"correct horsf"), "{text}");
        assert_eq!(hash.verify(b""), password.is_empty(), "{text}");
        let mut longer = password.to_vec();
        longer.push(b'!');
        let cut = hash.scheme().name() == "bcrypt" && longer.len() > 72;
        assert_eq!(hash.verify(&longer), cut, "{text}");
    }
}

#[test]
fn bcrypt_uses_the_first_72_bytes_and_not_the_73rd() {
    let hash =
        Hash::parse(b"$2y$04$nsqIuZr28j3.lA95iRv1iOcdKRr0aZF9EXBbzX2ssZAYnK2Hyjx1W").unwrap();
    let mut password = NINES.to_vec();
    password.extend_from_slice(b"anything");
    assert!(hash.verify(&password));
    let mut password = NINES.to_vec();
    password[71] = b'x';
    assert!(!hash.verify(&password));
    let hash =
        Hash::parse(b"$2y$04$9YcY66FuBI54RNC31nsNmud37T/7K9chzxlpUnZCzvpBlEZfEz.kq").unwrap();
    assert!(hash.verify(&NINES[..71]));
    assert!(!hash.verify(NINES));
}

#[test]
fn a_password_that_no_crypt_would_take_is_wrong_and_not_hashed_at_full_length() {
    for text in [
        "$1$rqiZQ46f$x1FiKirucJ0IHxHLusP7j.",
        "$5$BaGRWC3WbjVX.SJN$g.JUGma5vqew0Fd6Sttdk46lU1Alf1ORdNcrHB6KH49",
    ] {
        assert!(!Hash::parse(text.as_bytes()).unwrap().verify(&[b'x'; 3000]));
    }
    // Not even where its first part is right.
    let password = vec![b'x'; LONGEST_CRYPT_PASSWORD];
    #[allow(deprecated)]
    let text = pwhash::md5_crypt::hash(&password).unwrap();
    let hash = Hash::parse(text.as_bytes()).unwrap();
    assert!(hash.verify(&password));
    assert!(!hash.verify(&[b'x'; LONGEST_CRYPT_PASSWORD + 1]));
}

#[test]
fn the_kind_and_the_cost_are_read() {
    for (text, name, cost, weak) in [
        (GENUINE[0].1, "{SHA}", None, true),
        (GENUINE[1].1, "$apr1$", None, true),
        (GENUINE[2].1, "bcrypt", Some(5), false),
        (GENUINE[4].1, "$5$", Some(5000), false),
        (GENUINE[7].1, "$6$", Some(1234), false),
    ] {
        let scheme = Hash::parse(text.as_bytes()).unwrap().scheme();
        assert_eq!(
            (scheme.name(), scheme.cost(), scheme.is_weak()),
            (name, cost, weak)
        );
    }
}

#[test]
fn every_decoy_is_a_hash_of_its_own_scheme() {
    for scheme in [
        Scheme::Bcrypt { cost: 4 },
        Scheme::Apr1,
        Scheme::Md5,
        Scheme::Sha256 { rounds: 1000 },
        Scheme::Sha512 { rounds: 123_456 },
        Scheme::Sha1,
        Scheme::SaltedSha1,
    ] {
        let decoy = Hash::decoy(scheme);
        assert_eq!(
            Hash::parse(decoy.text().as_bytes()).unwrap().scheme(),
            scheme
        );
        assert!(!decoy.verify(b"secret"));
    }
}

#[test]
fn what_is_not_an_accepted_hash_is_refused_for_the_right_reason() {
    use HashFault::*;
    let salt = "abcdefghijklmnopqrstuu";
    let sum = "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
    let sha = "$5$rounds=7777$abcdefgh$YV6q8xIFLekeAJPN6LW4oJSP748IVCsYBQqNa3quACD";
    for (text, fault) in [
        (String::new(), Missing),
        ("HXITJXUuLrQvY".into(), DesCrypt),
        ("correct horse".into(), PlainText),
        ("secret".into(), PlainText),
        ("$ecret".into(), PlainText),
        ("{ecret".into(), PlainText),
        ("$ecret$word".into(), Unknown("")),
        (
            "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub".into(),
            Unknown("$argon2"),
        ),
        (
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7".into(),
            Unknown("$y$"),
        ),
        ("$2x$05$abc".into(), Unknown("$2x$")),
        ("{SSHA512}abc".into(), Unknown("{SSHA512}")),
        ("{FOO}bar".into(), Unknown("")),
        (format!("$$2y$$05$${salt}{sum}"), DoubledDollar),
        (format!("y$05${salt}{sum}"), EatenDollar),
        (format!("2y$05${salt}{sum}"), EatenDollar),
        ("apr1$Qv0NkDaA$JsvDDMueOpbEjIEdxZMOT0".into(), EatenDollar),
        ("ybash5.RVVF6xwd9i37varrt97X2B6JzhlbpjG".into(), EatenDollar),
        (
            "y-bash5.RVVF6xwd9i37varrt97X2B6JzhlbpjG".into(),
            EatenDollar,
        ),
        ("$2y$".into(), Truncated(Kind::Bcrypt)),
        ("$2y$05".into(), Truncated(Kind::Bcrypt)),
        ("$2y$05$".into(), Truncated(Kind::Bcrypt)),
        (
            format!("$2y$05${salt}{}", &sum[..30]),
            Truncated(Kind::Bcrypt),
        ),
        (format!("$2y$05${salt}{sum}2"), TooLong(Kind::Bcrypt)),
        (
            format!("$2y$05${salt}{}!", &sum[..30]),
            Alphabet(Kind::Bcrypt),
        ),
        (
            format!("$2y$05${salt}{}3", &sum[..30]),
            Alphabet(Kind::Bcrypt),
        ),
        (
            format!("$2y$05${salt} {}", &sum[..30]),
            Alphabet(Kind::Bcrypt),
        ),
        (format!("$2y$5${salt}{sum}"), BadCost(Kind::Bcrypt)),
        (format!("$2y$03${salt}{sum}"), BadCost(Kind::Bcrypt)),
        (format!("$2y$+5${salt}{sum}"), BadCost(Kind::Bcrypt)),
        (format!("$2y$17${salt}{sum}"), TooCostly(Kind::Bcrypt)),
        (format!("$2y$31${salt}{sum}"), TooCostly(Kind::Bcrypt)),
        ("$apr1$".into(), Truncated(Kind::Apr1)),
        (
            "$apr1$$JsvDDMueOpbEjIEdxZMOT0".into(),
            Truncated(Kind::Apr1),
        ),
        (
            "$apr1$Qv0NkDaA$JsvDDMueOpbEjIEdxZMOT".into(),
            Truncated(Kind::Apr1),
        ),
        (
            "$apr1$Qv0NkDaA$JsvDDMueOpbEjIEdxZMOT00".into(),
            TooLong(Kind::Apr1),
        ),
        (
            "$apr1$Qv0NkDaAA$JsvDDMueOpbEjIEdxZMOT0".into(),
            TooLong(Kind::Apr1),
        ),
        (
            "$1$rqiZQ46f$x1FiKirucJ0IHxHLusP7j:".into(),
            Alphabet(Kind::Md5),
        ),
        (
            "$1$rqiZ\u{e4}46f$x1FiKirucJ0IHxHLusP7j.".into(),
            Alphabet(Kind::Md5),
        ),
        (sha.replace("7777", "999999999"), TooCostly(Kind::Sha256)),
        (sha.replace("7777", "1000001"), TooCostly(Kind::Sha256)),
        (
            sha.replace("7777", "99999999999999999999"),
            TooCostly(Kind::Sha256),
        ),
        (sha.replace("7777", "999"), BadCost(Kind::Sha256)),
        (sha.replace("7777", "07777"), BadCost(Kind::Sha256)),
        (sha.replace("7777", ""), BadCost(Kind::Sha256)),
        (sha.replace("7777", "x"), BadCost(Kind::Sha256)),
        ("$6$rounds=5000".into(), Truncated(Kind::Sha512)),
        ("$6$abc$def".into(), Truncated(Kind::Sha512)),
        ("{SHA}".into(), Truncated(Kind::Sha1)),
        (
            "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A".into(),
            Truncated(Kind::Sha1),
        ),
        (
            "{SHA}L55TUjtiq8FBorTWAZ0jy6g129B=".into(),
            Alphabet(Kind::Sha1),
        ),
        (
            "{SHA}L55TUjtiq8FBorTWAZ0jy6g1-9A=".into(),
            Alphabet(Kind::Sha1),
        ),
        (
            "{SHA}+RFhsab2AfzZ0VfEdyknXtUT06RhYmNk".into(),
            TooLong(Kind::Sha1),
        ),
        (
            "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=".into(),
            Truncated(Kind::SaltedSha1),
        ),
    ] {
        assert_eq!(Hash::parse(text.as_bytes()).err(), Some(fault), "{text}");
    }
    assert_eq!(Hash::parse(b"p\xe4ss").err(), Some(PlainText));
}
