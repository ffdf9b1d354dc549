//! A push and a pull of one tiny blob, as docker makes them: begun, sent in chunks, finished, looked for, pulled whole and
//! in part, and removed.

use aws_lc_rs::digest::{SHA256, digest};

use super::access::trouble;
use super::finding::{Found, Unwell};
use super::line::{Answer, Ask, Sent, shown};
use super::visit::{Visit, not_tried};
use crate::text::hex;

/// More than 1 MiB in one request: nginx takes no more unless it is told to, and refuses every real layer with 413.
const LARGE: usize = (1 << 20) + (64 << 10);

pub(super) fn start(visit: &mut Visit) -> Found {
    if !visit.logged_in {
        return Err(not_tried());
    }
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| not_tried())?;
    let blob = format!("portreeve doctor {}\n", hex(&bytes)).into_bytes();
    let digits = hex(digest(&SHA256, &blob).as_ref());
    visit.upload.blob = blob;
    visit.upload.digest = format!("sha256:{digits}");

    visit.upload.session = Some(begin(visit)?);
    Ok(format!(
        "begun in {}, and Location leads to the gate",
        visit.repository
    ))
}

/// Where an upload that was begun goes on.
fn begin(visit: &Visit) -> Result<String, Unwell> {
    let target = format!("/v2/{}/blobs/uploads/", visit.repository);
    let answer = with_password(visit, "POST", &target, None, Sent::Nothing)?;
    match answer.status() {
        202 => visit.place.target(answer.only("Location")),
        405 | 500 | 507 => Err(Unwell::wrong(
            "read-only",
            format!("the registry begins no upload: {}", answer.in_short()),
            "its storage is full, read-only or not its own, or maintenance.readonly is on: look at its log",
        )),
        _ => Err(trouble(visit, &answer, &format!("POST {target}"))),
    }
}

pub(super) fn patch(visit: &mut Visit) -> Found {
    let session = visit.upload.session.clone().ok_or_else(not_tried)?;
    // The rest goes with the last request.
    let half = visit.upload.blob.len() / 2;
    let first = visit.upload.blob.get(..half).unwrap_or_default();
    let answer = with_password(visit, "PATCH", &session, None, Sent::Chunked(first))?;
    if answer.status() != 202 {
        return Err(trouble(visit, &answer, "PATCH"));
    }
    visit.upload.session = Some(visit.place.target(answer.only("Location"))?);
    visit.upload.sent = half;
    Ok(format!("{half} bytes in chunks"))
}

pub(super) fn finish(visit: &mut Visit) -> Found {
    let session = match &visit.upload.session {
        Some(session) if visit.upload.sent > 0 => session,
        _ => return Err(not_tried()),
    };
    let more = if session.contains('?') { '&' } else { '?' };
    let target = format!(
        "{session}{more}digest={}",
        visit.upload.digest.replace(':', "%3A")
    );
    let rest = visit
        .upload
        .blob
        .get(visit.upload.sent..)
        .unwrap_or_default();
    let answer = with_password(visit, "PUT", &target, None, Sent::Whole(rest))?;
    if answer.status() != 201 {
        return Err(trouble(visit, &answer, "PUT"));
    }
    visit.upload.stored = true;
    visit.upload.session = None;
    visit.place.target(answer.only("Location"))?;
    let digests = answer.values("Docker-Content-Digest");
    if digests.iter().any(|digest| *digest != visit.upload.digest) {
        return Err(Unwell::wrong(
            "wrong-digest",
            format!(
                "stored as {}, but {} was sent",
                digests.concat(),
                visit.upload.digest
            ),
            "something between here and the registry changes what is sent",
        ));
    }
    Ok(format!("stored as {}", visit.upload.digest))
}

pub(super) fn pull(visit: &mut Visit) -> Found {
    let target = stored(visit)?;
    let answer = with_password(visit, "HEAD", &target, None, Sent::Nothing)?;
    let answer = match answer.status() {
        200 => with_password(visit, "GET", &target, None, Sent::Nothing)?,
        300..=399 => answer,
        _ => return Err(trouble(visit, &answer, "HEAD of the blob")),
    };
    match answer.status() {
        200 if answer.body == visit.upload.blob => {
            visit.upload.pulled = true;
            Ok(format!("{} bytes, as they were sent", answer.body.len()))
        }
        200 => Err(Unwell::wrong(
            "wrong-bytes",
            "the blob came back, but not as it was sent",
            "something between here and the registry changes what is sent",
        )),
        301 | 302 | 303 | 307 | 308 => elsewhere(visit, &answer),
        _ => Err(trouble(visit, &answer, "GET of the blob")),
    }
}

/// A registry may send clients to its storage, where no password of ours goes.
fn elsewhere(visit: &Visit, answer: &Answer) -> Found {
    let location = answer.only("Location").unwrap_or_default();
    if visit.place.tls && location.to_ascii_lowercase().starts_with(b"http:") {
        return Err(Unwell::wrong(
            "plain-location",
            format!("blobs are at {:?}, in the clear", shown(&location)),
            "let the registry's storage be reached by https:, or set storage.redirect.disable: true",
        ));
    }
    Err(Unwell::Note {
        said: format!("the registry sends clients to {:?} for blobs", shown(&location)),
        remedy: "see that clients reach it, or set storage.redirect.disable: true in the registry's configuration"
            .to_owned(),
    })
}

/// Clients that were cut off go on where they were.
pub(super) fn range(visit: &mut Visit) -> Found {
    if !visit.upload.pulled {
        return Err(not_tried());
    }
    let target = stored(visit)?;
    let answer = with_password(visit, "GET", &target, Some("bytes=4-9"), Sent::Nothing)?;
    let wanted = visit.upload.blob.get(4..10).unwrap_or_default();
    let named = format!("bytes 4-9/{}", visit.upload.blob.len());
    match answer.status() {
        206 if answer.body == wanted && answer.values("Content-Range") == [named] => {
            Ok("6 bytes out of the middle".to_owned())
        }
        206 => Err(Unwell::wrong(
            "wrong-range",
            "206, but not with the bytes that were asked for",
            "something between here and the registry changes what is sent",
        )),
        200 => Err(Unwell::Note {
            said: "Range is passed over: the whole blob came".to_owned(),
            remedy: "a pull that was cut off begins anew: see what takes Range away".to_owned(),
        }),
        _ => Err(trouble(visit, &answer, "GET with Range")),
    }
}

/// As much as a layer has, in one request, in an upload that is called off: nothing of it stays, also where the registry
/// deletes nothing.
pub(super) fn large(visit: &mut Visit) -> Found {
    stored(visit)?;
    let first = begin(visit)?;
    let bytes = visit.upload.blob.iter().copied().cycle().take(LARGE);
    let bytes: Vec<u8> = bytes.collect();
    let answer = with_password(visit, "PATCH", &first, None, Sent::Chunked(&bytes));
    let next = match &answer {
        Ok(answer) if answer.status() == 202 => Some(visit.place.target(answer.only("Location"))),
        _ => None,
    };
    // Whatever came of it.
    let session = match &next {
        Some(Ok(next)) => next,
        _ => &first,
    };
    let left = call_off(visit, session);
    let answer = answer?;
    let Some(next) = next else {
        let what = format!("PATCH with {LARGE} bytes");
        return Err(trouble(visit, &answer, &what));
    };
    next?;
    Ok(match left {
        Ok(left) => format!("{LARGE} bytes in one request, then {left}"),
        Err(_) => format!("{LARGE} bytes in one request"),
    })
}

/// Takes away what was brought, as far as the registry lets it.
pub(super) fn clean_up(visit: &mut Visit) -> Found {
    if let Ok(target) = stored(visit) {
        let answer = with_password(visit, "DELETE", &target, None, Sent::Nothing)?;
        let name = &visit.repository;
        return match answer.status() {
            202 => Ok(format!("the blob is removed from {name}")),
            // The registry's default.
            405 => Ok(format!(
                "the registry deletes nothing: {} bytes stay in {name} until its garbage is collected",
                visit.upload.blob.len()
            )),
            _ => Err(Unwell::Note {
                said: format!("DELETE: {}", answer.in_short()),
                remedy: format!("{} bytes stay in {name}", visit.upload.blob.len()),
            }),
        };
    }
    let session = visit.upload.session.clone().ok_or_else(not_tried)?;
    call_off(visit, &session)
}

/// Takes away what of an upload has arrived, as far as the registry lets it.
fn call_off(visit: &Visit, session: &str) -> Found {
    let answer = with_password(visit, "DELETE", session, None, Sent::Nothing)?;
    match answer.status() {
        204 => Ok("the upload is called off".to_owned()),
        status => Ok(format!(
            "an upload in {} is left to expire (status {status})",
            visit.repository
        )),
    }
}

fn stored(visit: &Visit) -> Result<String, Unwell> {
    if visit.upload.stored {
        Ok(format!(
            "/v2/{}/blobs/{}",
            visit.repository, visit.upload.digest
        ))
    } else {
        Err(not_tried())
    }
}

fn with_password(
    visit: &Visit,
    method: &str,
    target: &str,
    range: Option<&str>,
    body: Sent<'_>,
) -> Result<Answer, Unwell> {
    visit.send(&Ask {
        method,
        target,
        authorization: visit.authorization.as_ref().map(|value| value.as_slice()),
        range,
        body,
    })
}
