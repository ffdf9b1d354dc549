//! Who gets in: nobody without a password, nobody with a made-up one, and the user.

use super::asker::Asker;
use super::finding::{Found, Unwell};
use super::line::Answer;
use super::token;
use super::visit::{Visit, not_tried};
use crate::gate::auth::basic_of;
use crate::text::hex;

const OPEN: &str = "close it at once: let nothing reach the registry but through the gate, and see what stands before it";

/// The first question of every client.
pub(super) fn challenge(visit: &mut Visit) -> Found {
    let answer = visit.ask("GET", "/v2/", None)?;
    match answer.status() {
        401 => {}
        200..=299 => {
            let said = format!(
                "anybody is let in without a password (status {})",
                answer.status()
            );
            return Err(Unwell::wrong("open-to-all", said, OPEN));
        }
        _ => return Err(trouble(visit, &answer, "GET /v2/ without a password")),
    }
    visit.askers.extend(Asker::of(&answer));
    let challenges = answer.values("WWW-Authenticate");
    let wrong = |problem, said: String| {
        Err(Unwell::wrong(
            problem,
            said,
            "see what answers there: something that stands before the gate, or does not pass its answers on as they are",
        ))
    };
    match &*challenges {
        [one] if one.to_ascii_lowercase().starts_with("basic ") => {}
        [one] if one.starts_with("Bearer ") => return token::handshake(visit, one),
        [one] => {
            return wrong(
                "bad-challenge",
                format!("401 with the challenge {one:?}, and neither Basic nor Bearer"),
            );
        }
        many => {
            return wrong(
                "bad-challenge",
                format!("401 with {} challenges, and one is wanted", many.len()),
            );
        }
    }
    // Clients log in all the same, and only know less to say when they are refused.
    let lacks = |what: &str| {
        Err(Unwell::Note {
            said: format!("401 with {}, but without {what}", challenges.concat()),
            remedy: "clients log in, but cannot say why they are refused: see what answers there, and let it pass the \
                     gate's answers on as they are"
                .to_owned(),
        })
    };
    if !is_json_of_errors(&answer) {
        return lacks("JSON that docker can read");
    }
    if !is_registry(&answer) {
        return lacks("Docker-Distribution-Api-Version: registry/2.0");
    }
    Ok(format!("401 with {}", challenges.concat()))
}

/// Some proxies protect what they know of, such as `/v2/` and `GET`.
pub(super) fn closed(visit: &mut Visit) -> Found {
    let uploads = format!("/v2/{}/blobs/uploads/", visit.repository);
    for (method, target) in [("GET", "/v2/_catalog"), ("POST", &*uploads), ("GET", "/")] {
        let answer = visit.ask(method, target, None)?;
        if visit.tokens.is_some() {
            // It asks for a password here, and there for a token.
            visit.askers.extend(Asker::of(&answer));
        }
        match answer.status() {
            401 | 403 => {}
            300..=400 | 429 | 500.. => {
                let what = format!("{method} {target} without a password");
                return Err(trouble(visit, &answer, &what));
            }
            // Who lets strangers pull may let them see a page, too.
            status if visit.tokens.is_some() && target == "/" => {
                return Err(Unwell::Note {
                    said: format!("GET / is let through without a password (status {status})"),
                    remedy: "that is as it should be where the access file grants this path to anonymous; or else close it: \
                             let nothing reach the registry but through the gate"
                        .to_owned(),
                });
            }
            // Even a 404 comes from where nobody should have come.
            status => {
                let said = format!(
                    "{method} {target} is let through without a password (status {status})"
                );
                return Err(Unwell::wrong("open-to-all", said, OPEN));
            }
        }
    }
    Ok("nothing else is let through without a password".to_owned())
}

/// Whether passwords are looked at at all.
pub(super) fn made_up(visit: &mut Visit) -> Found {
    let mut bytes = [0; 16];
    if visit.line.is_none() || aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return Err(not_tried());
    }
    let made_up = hex(&bytes);
    let user = format!("portreeve-doctor-{}", made_up.get(..8).unwrap_or_default());
    let value = basic_of(user.as_bytes(), made_up.as_bytes());
    let answer = visit.ask("GET", "/v2/", Some(&value))?;
    visit.askers.extend(Asker::of(&answer));
    match answer.status() {
        401 | 403 => {
            token::made_up(visit, &value)?;
            Ok(format!(
                "a made-up user is refused (status {})",
                answer.status()
            ))
        }
        200..=299 => Err(Unwell::wrong(
            "open-to-made-up",
            format!("ANYBODY IS LET IN with any user and any password: {user} was"),
            "see what --auth-backend asks: an API that says yes to everything, or another page of that server",
        )),
        429 => Err(Unwell::Note {
            said: "too many wrong passwords came from here of late, so that none is looked at"
                .to_owned(),
            remedy: "try again in some minutes".to_owned(),
        }),
        _ => Err(trouble(visit, &answer, "a made-up user")),
    }
}

pub(super) fn login(visit: &mut Visit) -> Found {
    let Some(value) = visit.authorization.clone() else {
        return Err(Unwell::Skipped(
            "not tried, nor what follows: --user says who you are".to_owned(),
        ));
    };
    if !visit.may_log_in {
        return Err(Unwell::Skipped(
            "not tried: the password was not sent".to_owned(),
        ));
    }
    let answer = visit.ask("GET", "/v2/", Some(&value))?;
    match answer.status() {
        200 => {}
        401 if asks_itself(visit, &answer).is_none() => {
            return Err(Unwell::wrong(
                "wrong-password",
                format!("{} is refused", visit.user),
                "see whether the user is known and the password right (portreeve passwd --verify FILE USER)",
            ));
        }
        404 => {
            return Err(Unwell::wrong(
                "not-a-registry",
                format!("what is behind the gate says {}", answer.in_short()),
                "see that --backend names the registry",
            ));
        }
        _ => return Err(trouble(visit, &answer, "GET /v2/")),
    }
    // The field is older than the standard, and some do without it; they say no more than this here.
    let is_bare = matches!(answer.body.trim_ascii(), b"" | b"{}");
    if !is_registry(&answer) && !is_bare {
        return Err(Unwell::wrong(
            "not-a-registry",
            "200 without Docker-Distribution-Api-Version: registry/2.0",
            "see that --backend names the registry",
        ));
    }
    token::log_in(visit, &value)?;
    visit.logged_in = true;
    let how = match visit.tokens {
        Some(_) => "is let in, and gets a token, with which all that follows is done",
        None => "is let in, and the registry answers",
    };
    Ok(format!("{} {how}", visit.user))
}

/// Who asks for a password behind the gate, if it is not the gate that does.
fn asks_itself(visit: &Visit, answer: &Answer) -> Option<Asker> {
    Asker::of(answer).filter(|asker| !visit.askers.is_empty() && !visit.askers.contains(asker))
}

/// An answer that is wrong wherever it comes.
pub(super) fn trouble(visit: &Visit, answer: &Answer, what: &str) -> Unwell {
    if let Some(asker) = asks_itself(visit, answer) {
        return of_its_own(&asker, &visit.user);
    }
    let said = format!("{what}: {}", answer.in_short());
    let (problem, remedy) = match answer.status() {
        300..=399 => (
            "redirect",
            "clients do not follow: give them the URL that it leads to",
        ),
        400 => (
            "bad-request",
            "see that it is the gate that answers, by http:// or https:// as you wrote it",
        ),
        401 => (
            "refused",
            "the password was good before: see whether several gates share the name, and differ",
        ),
        403 => {
            let remedy = format!(
                "with an access file, the line \"{} pull,push,delete {}\" in it would grant this; else see what the API or \
                 the registry allows",
                visit.user, visit.repository
            );
            return Unwell::wrong("denied", said, remedy);
        }
        411 => (
            "length-required",
            "something on the way takes no chunked bodies, and docker sends nothing else: let it pass them on (an nginx \
             newer than 1.3.9 does), or take it out",
        ),
        413 => (
            "too-large",
            "a proxy on the way takes no bodies of this size, and the gate is not it: nginx refuses more than 1 MB unless \
             client_max_body_size 0; is in its server block (for ingress-nginx, the annotation \
             nginx.ingress.kubernetes.io/proxy-body-size: \"0\")",
        ),
        429 => (
            "throttled",
            "too many wrong passwords came from here: find the client with the stale one, and wait some minutes",
        ),
        502 => (
            "backend-down",
            "the gate does not reach the registry, or that is none: start it, and compare --backend with where it listens",
        ),
        503 => (
            "unavailable",
            "the gate could not check the password, or has too much to do: look at its messages, and whether the API of \
             --auth-backend answers",
        ),
        504 => (
            "backend-silent",
            "the registry does not answer: look at its log",
        ),
        _ => (
            "unexpected-status",
            "look at the logs of the gate and of the registry",
        ),
    };
    Unwell::wrong(problem, said, remedy)
}

/// The gate was content, and nobody behind it needs to ask again.
fn of_its_own(asker: &Asker, user: &str) -> Unwell {
    let said = format!(
        "{user} passes the gate, but what is behind it asks for a password of its own ({})",
        asker.shown()
    );
    let take_out =
        "let nothing but the gate reach the registry, and take auth: out of its configuration";
    let remedy = if asker.is_basic() {
        format!(
            "{take_out}; or, if it knows the same users and passwords, set --backend-authorization pass"
        )
    } else {
        format!(
            "{take_out} (--backend-authorization pass is no help here: the registry wants a token and no password)"
        )
    };
    Unwell::wrong("registry-asks", said, remedy)
}

fn is_registry(answer: &Answer) -> bool {
    let values = answer.values("Docker-Distribution-Api-Version");
    values.iter().any(|value| value.contains("registry/2.0"))
}

/// As much of JSON as tells it from a page: the errors of the OCI document are where they belong.
fn is_json_of_errors(answer: &Answer) -> bool {
    let kinds = answer.values("Content-Type");
    let text = String::from_utf8_lossy(&answer.body);
    let dense: String = text.split_whitespace().collect();
    matches!(&*kinds, [one] if one.starts_with("application/json"))
        && dense.starts_with("{\"errors\":[{")
        && dense.ends_with("}]}")
}
