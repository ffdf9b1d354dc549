//! Requests to an authority: nonces, signatures, and what it says when it says no.

use std::time::Duration;

use super::account::{AccountKey, By};
use crate::text::{Json, Object, escape};

/// How often a request is signed anew because its nonce was not taken: an authority may refuse each second one.
const MOST_NONCES: usize = 24;
/// What a person is shown of the words of an authority, in bytes.
const LONGEST_WORDS: usize = 400;

/// The way to an authority.
pub trait Http {
    /// One whole request. `body` is that of a POST, of the type `application/jose+json`; without one it is a GET, or a HEAD where
    /// `head_only` says so.
    ///
    /// # Errors
    /// Why there is no answer.
    fn ask(&mut self, url: &str, body: Option<&[u8]>, head_only: bool) -> Result<Reply, String>;
}

/// An answer, all of it hostile.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// `Replay-Nonce`.
    pub nonce: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Its content.
    pub body: Vec<u8>,
}

/// Why there is no certificate now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What a person can do something about, on one line.
    pub words: String,
    /// How long the authority wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the authority was there.
    pub was_heard: bool,
}

impl Trouble {
    pub(super) fn new(words: impl Into<String>) -> Trouble {
        Trouble {
            words: words.into(),
            retry_after: None,
            was_heard: true,
        }
    }
}

/// Where the authority has what.
#[derive(Debug)]
pub(super) struct Directory {
    new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    /// Where its terms are.
    pub(super) terms: Option<String>,
    /// Kinds of certificates.
    pub(super) profiles: Vec<String>,
}

/// A talk with an authority.
pub(super) struct Session<'a> {
    http: &'a mut dyn Http,
    key: &'a AccountKey,
    pub(super) directory: Directory,
    nonce: Option<String>,
    account: Option<String>,
}

impl<'a> Session<'a> {
    /// Reads the directory.
    pub(super) fn begin(
        http: &'a mut dyn Http,
        key: &'a AccountKey,
        directory: &str,
    ) -> Result<Session<'a>, Trouble> {
        let reply = http
            .ask(directory, None, false)
            .map_err(|why| unreachable(&why))?;
        let json = good(&reply, "its directory")?;
        let url = |name: &str| address(&json, name, "its directory");
        let meta = json.get("meta");
        let terms = meta.and_then(|meta| meta.text("termsOfService"));
        let profiles = match meta.and_then(|meta| meta.get("profiles")) {
            Some(Json::Object(members)) => members.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        let directory = Directory {
            new_nonce: url("newNonce")?,
            new_account: url("newAccount")?,
            new_order: url("newOrder")?,
            terms: terms.map(words),
            profiles,
        };
        Ok(Session {
            http,
            key,
            directory,
            nonce: None,
            account: None,
        })
    }

    /// Makes the account, or finds the one that this key has.
    pub(super) fn log_in(&mut self, email: Option<&str>) -> Result<(), Trouble> {
        let mut payload = String::new();
        let mut object = Object::new(&mut payload);
        object.member("termsOfServiceAgreed", |out| out.push_str("true"));
        if let Some(email) = email {
            object.member("contact", |out| {
                out.push_str("[\"mailto:");
                escape::json(out, email.as_bytes());
                out.push_str("\"]");
            });
        }
        object.end();
        let url = self.directory.new_account.clone();
        let reply = self.post(&url, &payload)?;
        let json = good(&reply, "the account")?;
        match json.text("status") {
            None | Some("valid") => {}
            Some(status) => {
                return Err(Trouble::new(format!(
                    "the account at the authority is {}: move the account's key away to have another",
                    words(status)
                )));
            }
        }
        let account = reply.location.filter(|url| is_address(url));
        let nowhere = || Trouble::new("the authority does not say where the account is");
        self.account = Some(account.ok_or_else(nowhere)?);
        Ok(())
    }

    /// The answer to a signed request, if it is a good one and JSON.
    pub(super) fn ask(
        &mut self,
        url: &str,
        payload: &str,
        what: &str,
    ) -> Result<(Reply, Json), Trouble> {
        let reply = self.post(url, payload)?;
        let json = good(&reply, what)?;
        Ok((reply, json))
    }

    /// The answer to a signed request. An empty payload only asks.
    pub(super) fn post(&mut self, url: &str, payload: &str) -> Result<Reply, Trouble> {
        for _ in 0..MOST_NONCES {
            let nonce = self.nonce()?;
            let by = self.account.as_deref().map_or(By::Key, By::Account);
            let body = self
                .key
                .sign(by, &nonce, url, payload)
                .map_err(Trouble::new)?;
            let reply = self
                .http
                .ask(url, Some(&body), false)
                .map_err(|why| unreachable(&why))?;
            self.nonce = reply.nonce.clone().filter(|nonce| is_nonce(nonce));
            let problem = Json::parse(&reply.body);
            let kind = problem.as_ref().and_then(|problem| problem.text("type"));
            if reply.status != 400 || kind != Some("urn:ietf:params:acme:error:badNonce") {
                return Ok(reply);
            }
        }
        Err(Trouble::new(
            "the authority takes no nonce, not even those that it has just given",
        ))
    }

    fn nonce(&mut self) -> Result<String, Trouble> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = &self.directory.new_nonce;
        let reply = self
            .http
            .ask(url, None, true)
            .map_err(|why| unreachable(&why))?;
        let nonce = reply.nonce.clone().filter(|nonce| is_nonce(nonce));
        match nonce {
            Some(nonce) if (200..300).contains(&reply.status) => Ok(nonce),
            _ => Err(refused(&reply, "a nonce")),
        }
    }
}

/// What it answered, if that was a yes in JSON.
pub(super) fn good(reply: &Reply, what: &str) -> Result<Json, Trouble> {
    if !(200..300).contains(&reply.status) {
        return Err(refused(reply, what));
    }
    let json = Json::parse(&reply.body).filter(|json| matches!(json, Json::Object(_)));
    let no_json = || {
        Trouble::new(format!(
            "what the authority says of {what} is no object of JSON: is that the directory of an ACME authority?"
        ))
    };
    json.ok_or_else(no_json)
}

/// What an answer that is no yes says (RFC 9457).
pub(super) fn refused(reply: &Reply, what: &str) -> Trouble {
    let problem = Json::parse(&reply.body);
    let mut said = format!("the authority answered {} to {what}", reply.status);
    if let Some(detail) = problem.as_ref().and_then(told) {
        said.push_str(": ");
        said.push_str(&detail);
    }
    Trouble {
        words: said,
        retry_after: reply.retry_after,
        // Of its own making, and over when it is.
        was_heard: reply.status < 500,
    }
}

/// What a problem says, with what is wrong with each name.
pub(super) fn told(problem: &Json) -> Option<String> {
    let kind = problem.text("type").unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let detail = problem.text("detail").unwrap_or_default();
    let mut all = match (kind, detail) {
        ("", "") => return None,
        ("", detail) => words(detail),
        (kind, "") => words(kind),
        (kind, detail) => format!("{} ({})", words(detail), words(kind)),
    };
    for part in problem.list("subproblems").iter().take(4) {
        if let Some(detail) = part.text("detail") {
            all.push_str("; ");
            all.push_str(&words(detail));
        }
    }
    Some(all)
}

/// An address in an answer.
pub(super) fn address(json: &Json, name: &str, what: &str) -> Result<String, Trouble> {
    let url = json.text(name).filter(|url| is_address(url));
    let missing = || Trouble::new(format!("the authority does not say {name} in {what}"));
    url.map(str::to_owned).ok_or_else(missing)
}

/// Somebody else's words, as a person may be shown them.
pub(super) fn words(text: &str) -> String {
    escape::shown(escape::cut(text.as_bytes(), LONGEST_WORDS))
}

pub(super) fn is_address(url: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    url.starts_with("https://") && url.len() <= 2_048 && url.bytes().all(is_visible)
}

/// In base64url (RFC 8555, 6.5.1).
fn is_nonce(nonce: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !nonce.is_empty() && nonce.len() <= 1_024 && nonce.bytes().all(fits)
}

pub(super) fn unreachable(why: &str) -> Trouble {
    Trouble {
        was_heard: false,
        ..Trouble::new(format!("the authority cannot be asked: {why}"))
    }
}
