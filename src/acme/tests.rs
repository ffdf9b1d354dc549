use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::text::Json;

const BASE: &str = "https://ca.example";

/// An authority in memory: it answers as the RFC has it, but for one answer.
struct Fake {
    /// To what, and what in place of it: each time from the first on, or the first time alone.
    odd: Option<(&'static str, Reply, Times)>,
    asked: HashMap<String, usize>,
    shown: bool,
    finalized: bool,
    nonces: usize,
    /// What was posted where.
    posted: Vec<(String, Json, Json)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Always,
    Once,
}

impl Fake {
    fn new(odd: Option<(&'static str, Reply, Times)>) -> Fake {
        Fake {
            odd,
            asked: HashMap::new(),
            shown: false,
            finalized: false,
            nonces: 0,
            posted: Vec::new(),
        }
    }

    fn reply(&mut self, path: &str) -> Reply {
        let json = |text: String| Reply {
            status: 200,
            body: text.into_bytes(),
            ..Reply::default()
        };
        let order = |status: &str, more: &str| {
            json(format!(
                r#"{{"status":"{status}","authorizations":["{BASE}/authz"],"finalize":"{BASE}/finalize"{more}}}"#
            ))
        };
        let at = |reply: Reply, status, place: &str| Reply {
            status,
            location: Some(format!("{BASE}{place}")),
            ..reply
        };
        match path {
            "/dir" => json(format!(
                r#"{{"newNonce":"{BASE}/nonce","newAccount":"{BASE}/account","newOrder":"{BASE}/order","x":[1],
                    "meta":{{"termsOfService":"{BASE}/terms","profiles":{{"short":"six days"}}}}}}"#
            )),
            "/nonce" => json(String::new()),
            "/account" => at(json(r#"{"status":"valid"}"#.to_owned()), 201, "/account/1"),
            "/order" => at(order("pending", ""), 201, "/order/1"),
            "/authz" => {
                let status = if self.shown { "valid" } else { "pending" };
                json(format!(
                    r#"{{"status":"{status}","challenges":[{{"type":"http-01","url":"{BASE}/no","token":"no"}},
                        {{"type":"tls-alpn-01","url":"{BASE}/challenge","token":"a-token"}}]}}"#
                ))
            }
            "/challenge" => {
                self.shown = true;
                json(r#"{"status":"processing"}"#.to_owned())
            }
            "/finalize" => {
                self.finalized = true;
                order("processing", "")
            }
            "/order/1" if self.finalized => {
                order("valid", &format!(r#","certificate":"{BASE}/certificate""#))
            }
            "/order/1" => order("ready", ""),
            "/certificate" => json("-----BEGIN CERTIFICATE-----\nx\n".to_owned()),
            _ => Reply::default(),
        }
    }
}

impl Http for Fake {
    fn ask(&mut self, url: &str, body: Option<&[u8]>, head_only: bool) -> Result<Reply, String> {
        let path = url.strip_prefix(BASE).ok_or("another host")?.to_owned();
        assert_eq!(head_only, path == "/nonce");
        if let Some(body) = body {
            let signed = Json::parse(body).unwrap();
            let part = |name: &str| {
                use base64::Engine;
                let text = signed.text(name).unwrap();
                let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
                bytes.unwrap()
            };
            let header = Json::parse(&part("protected")).unwrap();
            assert_eq!(header.text("url"), Some(url));
            assert_eq!(header.text("nonce"), Some(&*format!("n{}", self.nonces)));
            assert_eq!(part("signature").len(), 64);
            let payload = Json::parse(&part("payload")).unwrap_or(Json::Other);
            self.posted.push((path.clone(), header, payload));
        }
        let times = self.asked.entry(path.clone()).or_default();
        *times += 1;
        let is_first = *times == 1;
        self.nonces += 1;
        let nonce = Some(format!("n{}", self.nonces));
        let odd = self.odd.clone();
        match odd {
            Some((at, reply, times)) if at == path && (is_first || times == Times::Always) => {
                match reply.status {
                    0 => Err("no route to it".to_owned()),
                    // What the odd answer says of a nonce is its own business.
                    _ if at == "/nonce" => Ok(reply),
                    _ => Ok(Reply { nonce, ..reply }),
                }
            }
            _ => Ok(Reply {
                nonce,
                ..self.reply(&path)
            }),
        }
    }
}

fn key() -> AccountKey {
    let key = rcgen::KeyPair::generate().unwrap();
    AccountKey::of_pkcs8(&key.serialize_der()).unwrap()
}

fn wish() -> Wish<'static> {
    Wish {
        directory: "https://ca.example/dir",
        name: "registry.example",
        email: Some("ops@example.com"),
        way: Way::Tls,
        profile: None,
        request: b"csr",
    }
}

/// What comes of it, and how long was waited.
fn tried(fake: &mut Fake, wish: Wish<'_>) -> (Result<String, Trouble>, Duration) {
    let waited = RefCell::new(Duration::ZERO);
    let result = obtain(
        fake,
        &key(),
        wish,
        &mut |terms| assert_eq!(terms, "https://ca.example/terms"),
        &mut |_| Ok(()),
        &mut |time| *waited.borrow_mut() += time,
    );
    (result, waited.into_inner())
}

#[test]
fn a_certificate_is_had_with_one_account_and_one_order() {
    let mut fake = Fake::new(None);
    let profile = Some("short");
    let (result, _) = tried(&mut fake, Wish { profile, ..wish() });
    assert_eq!(result.unwrap(), "-----BEGIN CERTIFICATE-----\nx\n");
    let posted = |path: &str| {
        let found = fake.posted.iter().find(|(at, ..)| at == path);
        found.map(|(_, header, payload)| (header, payload)).unwrap()
    };
    let (header, payload) = posted("/account");
    assert!(header.get("jwk").is_some() && header.get("kid").is_none());
    assert_eq!(
        payload.list("contact"),
        [Json::Text("mailto:ops@example.com".to_owned())]
    );
    let (header, payload) = posted("/order");
    assert_eq!(header.text("kid"), Some("https://ca.example/account/1"));
    assert_eq!(payload.text("profile"), Some("short"));
    let identifier = payload.list("identifiers").first().unwrap();
    assert_eq!(identifier.text("value"), Some("registry.example"));
    assert_eq!(posted("/finalize").1.text("csr"), Some("Y3Ny"));
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        location: Some("https://ca.example/x/1".to_owned()),
        body: body.as_bytes().to_vec(),
        ..Reply::default()
    }
}

/// Each odd answer to each request, and what a person is told of it.
#[test]
fn odd_answers_are_told_in_words() {
    let long = "x".repeat(100_000);
    for (at, status, body, told) in [
        ("/dir", 0, "", "cannot be asked: no route to it"),
        ("/dir", 404, "", "answered 404 to its directory"),
        ("/dir", 500, "<html>", "answered 500 to its directory"),
        ("/dir", 200, "<html>", "is no object of JSON: is that"),
        ("/dir", 200, "", "is no object"),
        ("/dir", 200, "[]", "is no object"),
        ("/dir", 200, "{}", "does not say newNonce"),
        ("/dir", 200, r#"{"newNonce":7}"#, "does not say newNonce"),
        (
            "/dir",
            200,
            r#"{"newNonce":"http://a"}"#,
            "does not say newNonce",
        ),
        (
            "/dir",
            200,
            r#"{"newNonce":"https://a b"}"#,
            "does not say newNonce",
        ),
        (
            "/dir",
            200,
            r#"{"newNonce":"https://a","newAccount":"https://a"}"#,
            "does not say newOrder",
        ),
        ("/dir", 302, "", "answered 302 to its directory"),
        ("/nonce", 0, "", "cannot be asked"),
        ("/nonce", 200, "", "answered 200 to a nonce"),
        ("/nonce", 503, "", "answered 503 to a nonce"),
        (
            "/account",
            400,
            r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#,
            "takes no nonce",
        ),
        (
            "/account",
            403,
            r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"go away"}"#,
            "answered 403 to the account: go away (unauthorized)",
        ),
        (
            "/account",
            400,
            r#"{"detail":"bad e-mail"}"#,
            "the account: bad e-mail",
        ),
        ("/account", 400, r#"{"type":"urn:x:y"}"#, "the account: y"),
        (
            "/account",
            400,
            r#"{"type":7,"detail":[]}"#,
            "answered 400 to the account",
        ),
        (
            "/account",
            200,
            r#"{"status":"deactivated"}"#,
            "is deactivated: move the account's key",
        ),
        ("/account", 200, "no", "is no object"),
        (
            "/order",
            429,
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#,
            "answered 429 to the order: too many (rateLimited)",
        ),
        (
            "/order",
            400,
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","subproblems":[{"detail":"not for you"}]}"#,
            "no (rejectedIdentifier); not for you",
        ),
        ("/order", 201, "{}", "does not say finalize"),
        (
            "/order",
            201,
            r#"{"finalize":"https://ca.example/finalize"}"#,
            "nothing or too much to be shown",
        ),
        (
            "/order",
            201,
            r#"{"finalize":"https://ca.example/finalize","authorizations":[7]}"#,
            "does not say what is to be shown",
        ),
        ("/order", 0, "", "cannot be asked"),
        ("/authz", 404, "", "answered 404 to the authorization"),
        (
            "/authz",
            200,
            r#"{"status":"pending"}"#,
            "does not offer tls-alpn-01",
        ),
        (
            "/authz",
            200,
            r#"{"challenges":[{"type":"dns-01"}]}"#,
            "does not offer tls-alpn-01",
        ),
        (
            "/authz",
            200,
            r#"{"challenges":[{"type":"tls-alpn-01","token":"a"}]}"#,
            "does not say url in the challenge",
        ),
        (
            "/authz",
            200,
            r#"{"challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge"}]}"#,
            "the challenge has no token",
        ),
        (
            "/authz",
            200,
            r#"{"challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge","token":"../x"}]}"#,
            "the challenge has no token",
        ),
        (
            "/authz",
            200,
            r#"{"status":"invalid","challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge","token":"t",
                "error":{"type":"urn:ietf:params:acme:error:connection","detail":"refused"}}]}"#,
            "the authorization is invalid: refused (connection)",
        ),
        (
            "/authz",
            200,
            r#"{"status":"expired","challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge","token":"t"}]}"#,
            "the authorization is expired",
        ),
        (
            "/authz",
            200,
            r#"{"status":"pending","challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge","token":"t"}]}"#,
            "has not decided on the authorization in 90 s",
        ),
        (
            "/authz",
            200,
            r#"{"challenges":[{"type":"tls-alpn-01","url":"https://ca.example/challenge","token":"t"}]}"#,
            "the authorization is of no status",
        ),
        (
            "/challenge",
            400,
            r#"{"detail":"late"}"#,
            "the challenge: late",
        ),
        ("/challenge", 0, "", "cannot be asked"),
        (
            "/order/1",
            200,
            r#"{"status":"invalid","error":{"detail":"CAA"}}"#,
            "the order is invalid: CAA",
        ),
        (
            "/order/1",
            200,
            r#"{"status":"pending"}"#,
            "has not decided on the order",
        ),
        (
            "/order/1",
            200,
            r#"{"status":"valid"}"#,
            "does not say certificate in the order",
        ),
        ("/order/1", 500, "", "answered 500 to the order"),
        (
            "/finalize",
            403,
            r#"{"type":"urn:ietf:params:acme:error:badCSR","detail":"weak key"}"#,
            "the request for a certificate: weak key (badCSR)",
        ),
        ("/certificate", 404, "", "answered 404 to the certificate"),
        ("/certificate", 200, "{}", "is no certificate"),
        ("/certificate", 200, "", "is no certificate"),
        (
            "/account",
            400,
            "{\"detail\":\"\\u001b[2Jx\"}",
            "the account: ",
        ),
        (
            "/account",
            400,
            &format!(r#"{{"detail":"{long}"}}"#),
            "the account: xxx",
        ),
    ] {
        let mut fake = Fake::new(Some((at, reply(status, body), Times::Always)));
        let (result, waited) = tried(&mut fake, wish());
        let words = result.err().map(|trouble| trouble.words);
        let words = words.unwrap_or_else(|| panic!("{at} {status} {body}"));
        assert!(words.contains(told), "{at} {status} {body}: {words}");
        assert!(words.len() < 1_000 && !words.contains('\u{1b}'), "{words}");
        assert!(waited < Duration::from_secs(200));
    }
}

#[test]
fn what_passes_over_is_tried_again_and_a_wish_to_be_left_alone_is_heard() {
    let bad_nonce = r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#;
    for at in [
        "/account",
        "/order",
        "/challenge",
        "/finalize",
        "/certificate",
    ] {
        let mut fake = Fake::new(Some((at, reply(400, bad_nonce), Times::Once)));
        assert!(tried(&mut fake, wish()).0.is_ok(), "{at}");
    }
    let retry_after = Some(Duration::from_secs(3600));
    let limited = Reply {
        retry_after,
        ..reply(429, "{}")
    };
    let mut fake = Fake::new(Some(("/order", limited, Times::Always)));
    assert_eq!(
        tried(&mut fake, wish()).0.unwrap_err().retry_after,
        retry_after
    );
    let profile = Some("long");
    let (result, _) = tried(&mut Fake::new(None), Wish { profile, ..wish() });
    let words = result.unwrap_err().words;
    assert!(words.contains("no profile long; it has: short"), "{words}");
}
