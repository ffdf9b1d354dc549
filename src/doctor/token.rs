//! The token handshake, as clients do it that send a password only where they were asked for one (Docker's classic store, `docker
//! manifest`, podman): where the challenge leads, what is given there without a password, with a wrong one and with the right one.

use zeroize::Zeroizing;

use super::access::trouble;
use super::finding::{Found, Unwell};
use super::line::{Answer, shown};
use super::visit::Visit;
use super::words;

const NO_CLIENT: &str = "clients that pull without a password do not get in: see what stands before the gate, and set \
                         external-url, or name the proxy with trusted-proxy";

/// What follows a `Bearer` challenge: a token that is nobody's in particular.
pub(super) fn handshake(visit: &mut Visit, challenge: &str) -> Found {
    let realm = parameter(challenge, "realm").unwrap_or_default();
    let Some(target) = visit.place.local(&realm) else {
        let said = format!(
            "its tokens are at {:?}, and not here",
            shown(realm.as_bytes())
        );
        return Err(Unwell::wrong("bad-challenge", said, NO_CLIENT));
    };
    let target = match parameter(challenge, "service") {
        Some(service) => format!("{target}?service={service}"),
        None => target,
    };
    let answer = visit.ask("GET", &target, None)?;
    let Some(token) = token_of(&answer) else {
        return Err(no_token(visit, &answer, "without a password"));
    };
    let field = format!("Bearer {}", token.as_str());
    let answer = visit.ask("GET", "/v2/", Some(field.as_bytes()))?;
    if answer.status() != 200 {
        return Err(trouble(visit, &answer, "GET /v2/ with a token of nobody"));
    }
    visit.tokens = Some(target);
    Ok(format!(
        "401 with a challenge for tokens, which are at {realm}; one without a password is good for public pulls"
    ))
}

/// Whether a made-up user is refused where tokens are given too.
pub(super) fn made_up(visit: &Visit, made_up: &[u8]) -> Result<(), Unwell> {
    let Some(target) = &visit.tokens else {
        return Ok(());
    };
    let answer = visit.ask("GET", target, Some(made_up))?;
    match answer.status() {
        401 | 403 | 429 => Ok(()),
        _ => Err(Unwell::wrong(
            "open-to-made-up",
            format!("a made-up user gets a token (status {})", answer.status()),
            "see what --auth-backend asks: an API that says yes to everything, or another page of that server",
        )),
    }
}

/// Takes a token for the user in place of the password, and shows that it is let in.
pub(super) fn log_in(visit: &mut Visit, password: &[u8]) -> Result<(), Unwell> {
    let Some(target) = visit.tokens.clone() else {
        return Ok(());
    };
    let answer = visit.ask("GET", &target, Some(password))?;
    let Some(token) = token_of(&answer) else {
        return Err(no_token(visit, &answer, "with the right password"));
    };
    let field = Zeroizing::new(format!("Bearer {}", token.as_str()).into_bytes());
    let answer = visit.ask("GET", "/v2/", Some(&field))?;
    if answer.status() != 200 {
        return Err(trouble(
            visit,
            &answer,
            "GET /v2/ with the token of the user",
        ));
    }
    visit.authorization = Some(field);
    Ok(())
}

fn no_token(visit: &Visit, answer: &Answer, how: &str) -> Unwell {
    match answer.status() {
        401 | 403 => Unwell::wrong(
            "no-token",
            format!("no token {how}: {}", answer.in_short()),
            "with an API, see that it lets requests without credentials in, and that token-key is set",
        ),
        200 => Unwell::wrong(
            "no-token",
            format!("an answer without a token {how}"),
            NO_CLIENT,
        ),
        _ => trouble(visit, answer, &format!("a token {how}")),
    }
}

fn token_of(answer: &Answer) -> Option<Zeroizing<String>> {
    let is_token =
        |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = words::member(&answer.body, "token").filter(is_token)?;
    (answer.status() == 200).then(|| Zeroizing::new(token))
}

/// The value of a parameter in quotes.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next()?.to_owned())
}
