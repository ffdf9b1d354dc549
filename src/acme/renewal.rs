//! When an authority would have a certificate renewed (RFC 9773).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::session::{Http, Trouble, good, is_address, unreachable};
use crate::text::Json;
use crate::tls::{self, Pair};

/// Between two questions where the authority does not say when to ask again, and its bounds where it does.
const USUALLY: Duration = Duration::from_secs(6 * 60 * 60);
const LEAST: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the authority suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The renewal should be between these two, where something is suggested.
    pub window: Option<(SystemTime, SystemTime)>,
    /// After this long it may suggest something else.
    pub ask_again: Duration,
}

/// Asks about one certificate.
///
/// # Errors
/// Why there is no answer.
pub fn suggestion(
    http: &mut dyn Http,
    directory: &str,
    pair: &Pair,
) -> Result<Suggestion, Trouble> {
    let nothing = Suggestion {
        window: None,
        ask_again: MOST,
    };
    let reply = http.ask(directory, None, false);
    let json = good(&reply.map_err(|why| unreachable(&why))?, "its directory")?;
    let place = json.text("renewalInfo").filter(|url| is_address(url));
    let (Some(place), Some(id)) = (place, id_of(pair)) else {
        return Ok(nothing);
    };
    let url = format!("{}/{id}", place.trim_end_matches('/'));
    let reply = http
        .ask(&url, None, false)
        .map_err(|why| unreachable(&why))?;
    let json = good(&reply, "when to renew")?;
    let window = json.get("suggestedWindow");
    let at = |name: &str| tls::instant(window.and_then(|window: &Json| window.text(name))?);
    Ok(Suggestion {
        window: at("start")
            .zip(at("end"))
            .filter(|(start, end)| start < end),
        ask_again: reply.retry_after.unwrap_or(USUALLY).clamp(LEAST, MOST),
    })
}

/// By what the authority knows a certificate: the identifier of its issuer's key, and its serial number (4.1).
fn id_of(pair: &Pair) -> Option<String> {
    let (issuer, serial) = pair.serial()?;
    Some(format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(issuer),
        URL_SAFE_NO_PAD.encode(serial)
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Reply;
    use super::*;

    struct Fake(&'static str, &'static str, Option<Duration>);

    impl Http for Fake {
        fn ask(&mut self, url: &str, body: Option<&[u8]>, _: bool) -> Result<Reply, String> {
            assert!(body.is_none());
            let Fake(directory, info, retry_after) = self;
            let body = match url {
                "https://ca.example/dir" => directory,
                _ => {
                    assert!(url.starts_with("https://ca.example/info/"), "{url}");
                    info
                }
            };
            Ok(Reply {
                status: 200,
                body: body.as_bytes().to_vec(),
                retry_after: *retry_after,
                ..Reply::default()
            })
        }
    }

    #[test]
    fn a_window_is_taken_as_it_is_said_and_nothing_odd_for_one() {
        let offers = r#"{"renewalInfo":"https://ca.example/info"}"#;
        let good = r#"{"suggestedWindow":{"start":"2026-11-27T00:00:00Z","end":"2026-11-28T00:00:00.5Z"}}"#;
        let swapped =
            r#"{"suggestedWindow":{"start":"2026-11-28T00:00:00Z","end":"2026-11-27T00:00:00Z"}}"#;
        let day = Duration::from_secs(86_400);
        let start = tls::instant("2026-11-27T00:00:00Z").unwrap();
        let window = Some((start, start + day));
        // What stands in for a certificate is of nobody's key.
        let nobodys = tls::stand_in("a.example").unwrap();
        let hour = Duration::from_secs(3600);
        for (directory, info, retry_after, wanted, ask_again) in [
            (offers, good, None, window, USUALLY),
            (offers, good, Some(hour), window, hour),
            (offers, good, Some(Duration::ZERO), window, LEAST),
            (offers, good, Some(day * 9), window, MOST),
            (offers, swapped, None, None, USUALLY),
            (offers, "{}", None, None, USUALLY),
            (
                offers,
                r#"{"suggestedWindow":{"start":7,"end":"soon"}}"#,
                None,
                None,
                USUALLY,
            ),
            ("{}", good, None, None, MOST),
            (
                r#"{"renewalInfo":"http://ca.example/info"}"#,
                good,
                None,
                None,
                MOST,
            ),
        ] {
            let mut fake = Fake(directory, info, retry_after);
            let scratch = tls::scratch::Scratch::new();
            let pair = tls::scratch::signed(&scratch, "a.example");
            let found = suggestion(&mut fake, "https://ca.example/dir", &pair).unwrap();
            let wanted = Suggestion {
                window: wanted,
                ask_again,
            };
            assert_eq!(found, wanted, "{directory} {info}");
            let found = suggestion(&mut fake, "https://ca.example/dir", &nobodys).unwrap();
            assert_eq!(found.window, None);
        }
    }
}
