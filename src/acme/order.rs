//! One certificate: an order, its challenge, and what was signed.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::account::{AccountKey, encoded};
use super::session::{Http, Session, Trouble, address, refused, told, words};
use crate::text::{Json, Object};

/// How long the authority may take for a check, or for signing.
const LONGEST_WAIT: Duration = Duration::from_secs(90);
/// Between two looks where it does not say when to come again...
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// ...and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A chain has no more bytes.
const LONGEST_CHAIN: usize = 128 * 1024;

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Where the authority's directory is.
    pub directory: &'a str,
    /// The name that the certificate is for.
    pub name: &'a str,
    /// Where the authority may write to.
    pub email: Option<&'a str>,
    /// How the name is to be looked at.
    pub way: Way,
    /// The kind of certificate, where the authority has kinds.
    pub profile: Option<&'a str>,
    /// PKCS#10 for the name, DER.
    pub request: &'a [u8],
}

/// How the authority looks at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By TLS, on the port of all clients (RFC 8737).
    Tls,
    /// In the clear, on port 80 (RFC 8555, 8.3).
    Clear,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Tls => "tls-alpn-01",
            Way::Clear => "http-01",
        }
    }
}

/// What has to be shown at the name until the authority has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What it is called: letters, digits, - and _ alone.
    pub token: String,
    /// What is shown in the clear.
    pub authorization: String,
    /// What the certificate of the challenge holds.
    pub digest: [u8; 32],
}

/// Has a certificate made: the chain in PEM. `terms` is told once where the authority's terms are; `show` has to see to the
/// challenge; `wait` lets some time pass.
///
/// # Errors
/// Why there is none.
pub fn obtain(
    http: &mut dyn Http,
    key: &AccountKey,
    wish: Wish<'_>,
    terms: &mut dyn FnMut(&str),
    show: &mut dyn FnMut(&Challenge) -> Result<(), String>,
    wait: &mut dyn FnMut(Duration),
) -> Result<String, Trouble> {
    let mut session = Session::begin(http, key, wish.directory)?;
    if let Some(address) = &session.directory.terms {
        terms(address);
    }
    session.log_in(wish.email)?;
    let url = session.directory.new_order.clone();
    let (reply, order) = session.ask(&url, &ordered(&session, wish)?, "the order")?;
    let nowhere = || Trouble::new("the authority does not say where the order is");
    let place = reply.location.ok_or_else(nowhere)?;
    let finalize = address(&order, "finalize", "the order")?;
    let authorizations = order.list("authorizations");
    if authorizations.is_empty() || authorizations.len() > 4 {
        return Err(Trouble::new(
            "the authority wants nothing or too much to be shown for one name",
        ));
    }
    for authorization in authorizations {
        let Json::Text(url) = authorization else {
            return Err(Trouble::new(
                "the authority does not say what is to be shown",
            ));
        };
        authorize(&mut session, key, (url, wish.way), show, wait)?;
    }
    let order = until(&mut session, &place, "the order", wait, |order| {
        matches!(order.text("status"), Some("ready" | "valid"))
    })?;
    if order.text("status") == Some("ready") {
        let mut payload = String::new();
        Object::new(&mut payload)
            .text("csr", encoded(wish.request))
            .end();
        session.ask(&finalize, &payload, "the request for a certificate")?;
    }
    let order = until(&mut session, &place, "the order", wait, |order| {
        order.text("status") == Some("valid")
    })?;
    let reply = session.post(&address(&order, "certificate", "the order")?, "")?;
    if reply.status != 200 || reply.body.len() > LONGEST_CHAIN {
        return Err(refused(&reply, "the certificate"));
    }
    let chain = String::from_utf8(reply.body).ok();
    let chain = chain.filter(|chain| chain.contains("-----BEGIN CERTIFICATE-----"));
    chain.ok_or_else(|| Trouble::new("what the authority gives is no certificate"))
}

fn ordered(session: &Session<'_>, wish: Wish<'_>) -> Result<String, Trouble> {
    let mut payload = String::new();
    let mut object = Object::new(&mut payload);
    object.member("identifiers", |out| {
        out.push('[');
        Object::new(out)
            .text("type", "dns")
            .text("value", wish.name)
            .end();
        out.push(']');
    });
    if let Some(profile) = wish.profile {
        let profiles = &session.directory.profiles;
        if !profiles.iter().any(|offered| offered == profile) {
            let offered = match profiles.is_empty() {
                true => "none".to_owned(),
                false => words(&profiles.join(", ")),
            };
            return Err(Trouble::new(format!(
                "the authority has no profile {}; it has: {offered}",
                words(profile)
            )));
        }
        object.text("profile", profile);
    }
    object.end();
    Ok(payload)
}

/// Shows what is wanted for a name, and waits until the authority has seen it.
fn authorize(
    session: &mut Session<'_>,
    key: &AccountKey,
    (url, way): (&str, Way),
    show: &mut dyn FnMut(&Challenge) -> Result<(), String>,
    wait: &mut dyn FnMut(Duration),
) -> Result<(), Trouble> {
    let (_, authorization) = session.ask(url, "", "the authorization")?;
    if authorization.text("status") == Some("valid") {
        return Ok(());
    }
    let mut challenges = authorization.list("challenges").iter();
    let challenge = challenges.find(|challenge| challenge.text("type") == Some(way.name()));
    let challenge = challenge.ok_or_else(|| {
        Trouble::new(format!(
            "the authority does not offer {} for this name",
            way.name()
        ))
    })?;
    let place = address(challenge, "url", "the challenge")?;
    let token = challenge.text("token").filter(|token| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !token.is_empty() && token.len() <= 128 && token.bytes().all(fits)
    });
    let token = token.ok_or_else(|| Trouble::new("the challenge has no token"))?;
    let authorization = key.authorization(token);
    let shown = digest(&SHA256, authorization.as_bytes());
    show(&Challenge {
        token: token.to_owned(),
        authorization,
        digest: shown.as_ref().try_into().unwrap_or_default(),
    })
    .map_err(Trouble::new)?;
    session.ask(&place, "{}", "the challenge")?;
    until(session, url, "the authorization", wait, |authorization| {
        authorization.text("status") == Some("valid")
    })
    .map(drop)
}

/// Looks again and again until it is as wanted.
fn until(
    session: &mut Session<'_>,
    url: &str,
    what: &str,
    wait: &mut dyn FnMut(Duration),
    is_done: impl Fn(&Json) -> bool,
) -> Result<Json, Trouble> {
    let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    loop {
        let (reply, json) = session.ask(url, "", what)?;
        if is_done(&json) {
            return Ok(json);
        }
        match json.text("status") {
            Some("pending" | "processing" | "ready") => {}
            status => return Err(failed(&json, what, status)),
        }
        if waited >= LONGEST_WAIT {
            return Err(Trouble::new(format!(
                "the authority has not decided on {what} in {} s",
                LONGEST_WAIT.as_secs()
            )));
        }
        let next = reply
            .retry_after
            .unwrap_or(pause)
            .clamp(FIRST_PAUSE, LONGEST_WAIT);
        wait(next);
        waited += next;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What became of what can no longer succeed: the problem stands in the challenge, or in the order.
fn failed(json: &Json, what: &str, status: Option<&str>) -> Trouble {
    let of_challenges = json.list("challenges").iter();
    let mut problems = of_challenges
        .filter_map(|challenge| challenge.get("error"))
        .chain(json.get("error"));
    let why = problems.find_map(told);
    let status = words(status.unwrap_or("of no status"));
    Trouble::new(match why {
        Some(why) => format!("{what} is {status}: {why}"),
        None => format!("{what} is {status}"),
    })
}
