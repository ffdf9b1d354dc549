//! TLS: the handshake, and the certificate's dates, names and chain, each by itself, so that all that is wrong is said
//! at once. Requests go out only when rustls itself is content.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;

use super::finding::{Found, Unwell};
use super::line::{Ask, Line, Sent, Unanswered};
use super::visit::{Visit, not_tried};
use crate::net::Host;
use crate::tls::{self, Issuer, Presented};

/// Renewals that work are over by then.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Certificates may hold hundreds of names.
const NAMES_SHOWN: usize = 8;

/// The first question of every client.
const FIRST: Ask<'_> = Ask {
    method: "GET",
    target: "/v2/",
    authorization: None,
    range: None,
    body: Sent::Nothing,
};

pub(super) fn handshake(visit: &mut Visit) -> Found {
    let address = visit.address.ok_or_else(not_tried)?;
    if !visit.place.tls {
        return no_handshake(visit, address);
    }
    let setup = |reason| Unwell::wrong("no-tls", reason, "this is a fault here, not of the gate");
    let (config, recorder) = tls::look().map_err(setup)?;
    let line = Line {
        address,
        host: host(visit),
        tls: Some((config, server_name(visit)?)),
    };
    let opened = line.open().map(drop);
    match (opened, recorder.presented()) {
        (Ok(()), Some(presented)) => {
            let version = presented.version;
            visit.presented = Some(presented);
            Ok(version.to_owned())
        }
        (Ok(()), None) => Err(Unwell::wrong(
            "no-tls",
            "no certificate was shown",
            "see what listens there",
        )),
        (Err(reason), _) => Err(match said_in_the_clear(visit, address) {
            Some(said) => Unwell::wrong(
                "no-tls",
                format!("this port speaks plain HTTP, without TLS: {said}"),
                "let the gate listen there by https://, or write http:// where something before it ends TLS",
            ),
            None => Unwell::wrong(
                "no-tls",
                format!("the handshake fails: {reason}"),
                "see that it is the gate that listens there, by https:// and not http://, and that nothing in between takes TLS apart",
            ),
        }),
    }
}

/// The first step of a gate in the clear.
fn no_handshake(visit: &mut Visit, address: SocketAddr) -> Found {
    let line = Line {
        address,
        host: host(visit),
        tls: None,
    };
    let is_tls = match line.ask(&FIRST) {
        Err(Unanswered::Alert) => true,
        // Others that speak TLS just close, or say 400 in the clear; so may some that do not.
        Err(Unanswered::Closed(_)) => speaks_tls(visit, address),
        Ok(answer) if answer.status() == 400 => speaks_tls(visit, address),
        _ => false,
    };
    if is_tls {
        return Err(Unwell::wrong(
            "speaks-tls",
            "this port speaks TLS, and http:// does not",
            format!("write https://{}", visit.place.host_port),
        ));
    }
    visit.line = Some(line);
    visit.may_log_in = visit.place.host_port.is_loopback();
    if visit.may_log_in {
        return Ok("none, and none is needed on loopback".to_owned());
    }
    Err(Unwell::wrong(
        "no-tls",
        "none: passwords would go over the network in the clear, and docker refuses that",
        "let the gate listen on https://, or examine the proxy before it",
    ))
}

fn speaks_tls(visit: &Visit, address: SocketAddr) -> bool {
    let (Ok((config, _)), Ok(name)) = (tls::look(), server_name(visit)) else {
        return false;
    };
    let line = Line {
        address,
        host: host(visit),
        tls: Some((config, name)),
    };
    line.can_open()
}

/// What a port that fails to shake hands says to a client that does not try.
fn said_in_the_clear(visit: &Visit, address: SocketAddr) -> Option<String> {
    let line = Line {
        address,
        host: host(visit),
        tls: None,
    };
    // A port that speaks TLS, and not with us, says 400.
    let answer = line.ask(&FIRST).ok()?;
    (answer.status() != 400).then(|| answer.in_short())
}

pub(super) fn dates(visit: &mut Visit) -> Found {
    let presented = visit.presented.as_ref().ok_or_else(not_tried)?;
    let now = SystemTime::now();
    let Some((start, end)) = presented.dates() else {
        return Err(Unwell::Note {
            said: "the certificate's dates cannot be read".to_owned(),
            remedy: "look at it with openssl x509 -text".to_owned(),
        });
    };
    const RENEW: &str = "renew the certificate, and see that the gate has taken the new one";
    if now >= end {
        let said = format!("the certificate expired on {}", tls::date(end));
        return Err(Unwell::wrong("certificate-expired", said, RENEW));
    }
    if now < start {
        return Err(Unwell::wrong(
            "certificate-not-yet-valid",
            format!("the certificate is not valid before {}", tls::date(start)),
            "set the clock, here or where the certificate was made",
        ));
    }
    // One that no client needs is often left in a chain long after its end.
    if let Some((name, start, end)) = presented.stale_intermediate(now)
        && is_refused(visit, presented)?
    {
        return Err(Unwell::wrong(
            "intermediate-expired",
            format!(
                "the intermediate certificate {name:?} is valid from {} to {} only",
                tls::date(start),
                tls::date(end)
            ),
            "put the authority's present intermediate into the file of --tls-cert, behind the server's own",
        ));
    }
    let until = format!("valid until {}", tls::date(end));
    if now + SOON >= end {
        return Err(Unwell::Note {
            said: until,
            remedy: format!("soon: {RENEW}"),
        });
    }
    Ok(until)
}

fn is_refused(visit: &Visit, presented: &Presented) -> Result<bool, Unwell> {
    let roots = visit.roots.as_deref().unwrap_or_default();
    Ok(presented.refusal(roots, &server_name(visit)?).is_some())
}

pub(super) fn name(visit: &mut Visit) -> Found {
    let presented = visit.presented.as_ref().ok_or_else(not_tried)?;
    let host = &visit.place.host_port.host;
    if presented.is_for(&server_name(visit)?) {
        return Ok(format!("the certificate is for {host}"));
    }
    Err(Unwell::wrong(
        "wrong-name",
        format!(
            "the certificate is for {}, not for {host}",
            names(presented)
        ),
        format!(
            "make one for {host} (--tls-name {host} with --tls-self-signed), or use a name that it is for"
        ),
    ))
}

fn names(presented: &Presented) -> String {
    let all = presented.names();
    if all.is_empty() {
        return "no name at all".to_owned();
    }
    let shown: Vec<&str> = all.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    match all.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

pub(super) fn chain(visit: &mut Visit) -> Found {
    let presented = visit.presented.as_ref().ok_or_else(not_tried)?;
    let roots = match &visit.roots {
        Ok(roots) => roots,
        Err(reason) => {
            return Err(Unwell::wrong(
                "no-roots",
                format!("nobody is trusted here: {reason}"),
                "name the CA by --ca",
            ));
        }
    };
    if presented.issuer() == Some(tls::STAND_IN) {
        return Err(Unwell::wrong(
            "awaits-certificate",
            "the gate has none yet: it waits for its ACME authority",
            "the gate's log and its /readyz say what is being waited for, and when it is tried again",
        ));
    }
    if let Some(issuer) = presented.unknown_issuer(roots, visit.ca.is_some()) {
        return Err(untrusted(issuer, visit.ca.is_some()));
    }
    let name = server_name(visit)?;
    if let Some(refusal) = presented.refusal(roots, &name) {
        // What the steps before have named already has no need to be said again in other words.
        let now = SystemTime::now();
        let is_current = presented
            .dates()
            .is_none_or(|(start, end)| (start..end).contains(&now));
        if !is_current || !presented.is_for(&name) || presented.stale_intermediate(now).is_some() {
            return Ok("the chain leads to a trusted CA".to_owned());
        }
        return Err(Unwell::wrong(
            "certificate-refused",
            format!("clients refuse the certificate: {refusal}"),
            "make a certificate for servers, with keys and signatures of today",
        ));
    }
    let setup = |reason| Unwell::wrong("no-roots", reason, "name the CA by --ca");
    let config = tls::client_config(visit.ca.as_deref()).map_err(setup)?;
    visit.line = Some(Line {
        address: visit.address.ok_or_else(not_tried)?,
        host: host(visit),
        tls: Some((Arc::clone(&config), name)),
    });
    visit.may_log_in = true;
    let issuer = presented.issuer().unwrap_or("a CA without a common name");
    Ok(format!("signed by {issuer:?}, and trusted"))
}

fn untrusted(issuer: Issuer, private: bool) -> Unwell {
    const GIVE: &str = "give the CA's certificate by --ca, and to every client (portreeve cert says where each wants it)";
    match issuer {
        Issuer::Itself => Unwell::wrong(
            "unknown-ca",
            "the chain ends at a certificate that vouches for itself and is not trusted here",
            GIVE,
        ),
        Issuer::Namesake(name) => Unwell::wrong(
            "unknown-ca",
            format!("signed by {name:?}, with another key than the trusted CA of that name has"),
            "the CA was made anew: give its present certificate by --ca, and to every client",
        ),
        Issuer::Unknown(name) => Unwell::wrong(
            "unknown-ca",
            format!("signed by {name:?}, which is not trusted here"),
            format!(
                "{GIVE}; if it is an intermediate, put its certificate into the file of --tls-cert, behind the server's own"
            ),
        ),
        Issuer::Missing(name) => Unwell::wrong(
            "missing-intermediate",
            format!("signed by {name:?}, whose certificate the gate does not send"),
            format!(
                "put it into the file of --tls-cert, behind the server's own (certbot calls that fullchain.pem){}",
                if private {
                    "; or --ca names the CA of another server"
                } else {
                    ""
                }
            ),
        ),
    }
}

fn server_name(visit: &Visit) -> Result<ServerName<'static>, Unwell> {
    match &visit.place.host_port.host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| {
            let said = format!("{name} is not a name that TLS can check");
            Unwell::wrong("wrong-name", said, "use a DNS name, without underscores")
        }),
    }
}

/// As clients write `Host`: without a port that goes without saying.
fn host(visit: &Visit) -> String {
    let place = &visit.place;
    let text = place.host_port.to_string();
    let usual = if place.tls { ":443" } else { ":80" };
    text.strip_suffix(usual).unwrap_or(&text).to_owned()
}
