//! From text to values: one function for each kind of value, whose reasons say what would have been right.
//!
//! It must not know which setting a value is for, nor repeat the value, which the fault quotes already.

use crate::log::Format;
use crate::net::is_name;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// What the backend sees of the client's credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackendAuthorization {
    /// Nothing.
    #[default]
    Drop,
    /// `Basic user:`, without the password.
    User,
    /// The client's field.
    Pass,
}

/// Where paths are refused that two programs could read differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paths {
    /// Wherever the path decides.
    #[default]
    Strict,
    /// Under `/v2/` alone: an API that is asked about each path copes with the rest.
    AsSent,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate or a password.
    #[default]
    Optional,
    /// A certificate always.
    Required,
}

/// Whether the process gives up what it has no use for once it is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel can.
    #[default]
    On,
    /// It keeps all that its user may.
    Off,
    /// It does not serve without.
    Require,
}

/// A day; what is meant to be longer is a slip.
const LONGEST_SECONDS: u32 = 86_400;
/// The challenge is a header field of every 401.
const LONGEST_REALM: usize = 256;
/// Of a path that clients need for themselves.
const OF_REGISTRY: &str =
    "/v2/ is the registry's own, which docker asks; write another path, such as /healthz";
/// More would be no limit for who guesses; they are counted one by one.
const MOST_GUESSES: u32 = 1_000;

/// Every switch takes these words, in any case, wherever it stands.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["on", "yes", "true", "1"]) {
        Ok(true)
    } else if is_one_of(["off", "no", "false", "0"]) {
        Ok(false)
    } else {
        Err("none of on, off, yes, no, true, false, 1 and 0".to_owned())
    }
}

pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub(crate) fn realm(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_REALM {
        Err(format!("over {LONGEST_REALM} bytes"))
    } else {
        Ok(text.to_owned())
    }
}

/// A name for a certificate: of a host, `*.` and such a name, or an address.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let text = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() || is_name(text.strip_prefix("*.").unwrap_or(text)) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("neither the name of a host nor an address".to_owned())
    }
}

/// A name that an authority signs for after a challenge at the name itself.
pub(crate) fn acme_name(text: &str) -> Result<String, String> {
    let name = name(text)?;
    if name.starts_with("*.") {
        return Err(
            "a wildcard name has to be proved by DNS, which is not done here; write each name"
                .to_owned(),
        );
    }
    match name.parse::<IpAddr>() {
        Ok(_) => Err("an address, and certificates are had for names alone".to_owned()),
        Err(_) => Ok(name),
    }
}

/// The name of a site, in lower case, or `*.` and a name for all below it.
pub(crate) fn site_name(text: &str) -> Result<String, String> {
    // The same name, as DNS writes it.
    let text = text.strip_suffix('.').unwrap_or(text);
    match name(text) {
        Ok(name) if name.parse::<IpAddr>().is_ok() => {
            Err("an address, and a site is found by its name".to_owned())
        }
        Ok(name) if !name.ends_with('.') => Ok(name),
        _ => Err(
            "not the name of a host, as wiki.example.com, or *.example.com for all below it; it has no port".to_owned(),
        ),
    }
}

pub(crate) fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text {
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err("neither optional nor required".to_owned()),
    }
}

/// The address of something that is reached by TLS.
pub(crate) fn https_url(text: &str) -> Result<String, String> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match text.strip_prefix("https://") {
        Some(rest) if is_visible && !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("not a URL that begins with https://".to_owned()),
    }
}

/// Somebody's address.
pub(crate) fn email(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() && !b",?&\"<>".contains(&byte);
    match text.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && text.bytes().all(is_fit) => {
            Ok(text.to_owned())
        }
        _ => Err("not an e-mail address, as ops@example.com".to_owned()),
    }
}

/// The name of a kind of certificate.
pub(crate) fn profile(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_fit) {
        true => Ok(text.to_owned()),
        false => Err("not the name of a profile: letters, digits, and - _ .".to_owned()),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    seconds_from(1, text)
}

pub(crate) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    seconds_from(0, text)
}

fn seconds_from(least: u32, text: &str) -> Result<Duration, String> {
    let bounds = least..=LONGEST_SECONDS;
    match digits(text) {
        Some(seconds) if bounds.contains(&seconds) => Ok(Duration::from_secs(seconds.into())),
        _ => Err(match with_unit(text) {
            Some(seconds) if bounds.contains(&seconds) => {
                format!("seconds, without a unit; write {seconds}")
            }
            _ => format!("not a number of whole seconds between {least} and {LONGEST_SECONDS}"),
        }),
    }
}

/// The seconds of a time as other programs have it: `10s`, `5 min`, `1h`.
fn with_unit(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    digits(number)?.checked_mul(factor)
}

pub(crate) fn workers(text: &str) -> Result<usize, String> {
    count(1, 65_536, text)
}

pub(crate) fn connections(text: &str) -> Result<usize, String> {
    count(1, 10_000_000, text)
}

pub(crate) fn connections_or_off(text: &str) -> Result<usize, String> {
    count(0, 10_000_000, text)
}

pub(crate) fn guesses_or_off(text: &str) -> Result<usize, String> {
    count(0, MOST_GUESSES, text)
}

fn count(least: u32, most: u32, text: &str) -> Result<usize, String> {
    digits(text)
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("not a number between {least} and {most}"))
}

/// Digits alone: no sign, no unit.
fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

pub(crate) fn backend_authorization(text: &str) -> Result<BackendAuthorization, String> {
    match text {
        "drop" => Ok(BackendAuthorization::Drop),
        "user" => Ok(BackendAuthorization::User),
        "pass" => Ok(BackendAuthorization::Pass),
        _ => Err("neither drop nor user nor pass".to_owned()),
    }
}

pub(crate) fn paths(text: &str) -> Result<Paths, String> {
    match text {
        "strict" => Ok(Paths::Strict),
        "as-sent" => Ok(Paths::AsSent),
        _ => Err("neither strict nor as-sent".to_owned()),
    }
}

/// A path as a request has it, or `off`, which is how a flag takes back what a variable or a file says.
pub(crate) fn health_path(text: &str) -> Result<Option<String>, String> {
    if text == "off" {
        return Ok(None);
    }
    let is_path = text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    match text.strip_prefix("/v2") {
        _ if !is_path => Err("not a path; write it as in /healthz, without a query".to_owned()),
        Some("") => Err(OF_REGISTRY.to_owned()),
        Some(rest) if rest.starts_with('/') => Err(OF_REGISTRY.to_owned()),
        _ => Ok(Some(text.to_owned())),
    }
}

pub(crate) fn sandbox(text: &str) -> Result<Sandbox, String> {
    match text {
        "on" => Ok(Sandbox::On),
        "off" => Ok(Sandbox::Off),
        "require" => Ok(Sandbox::Require),
        _ => Err("neither on nor off nor require".to_owned()),
    }
}

pub(crate) fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("neither text nor json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_know_eight_words_in_any_case() {
        for text in ["true", "yes", "1", "on", "YES", "On", "tRUE"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "no", "0", "off", "NO", "Off", "FALSE"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "y", "2", "nope", "onn", "ja", "01"] {
            assert!(switch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_with_a_unit_is_refused_with_its_seconds() {
        for (given, expected) in [
            ("10s", "10"),
            ("10S", "10"),
            ("10 sec", "10"),
            ("5m", "300"),
            ("2min", "120"),
            ("1h", "3600"),
            ("1d", "86400"),
        ] {
            assert_eq!(
                seconds(given),
                Err(format!("seconds, without a unit; write {expected}")),
                "{given}"
            );
        }
        for given in ["0s", "2d", "500ms", "s", "10x", "9999999999s", "99999999h"] {
            assert_eq!(
                seconds(given),
                Err("not a number of whole seconds between 1 and 86400".to_owned()),
                "{given}"
            );
        }
    }

    #[test]
    fn seconds_are_whole_and_bounded() {
        assert_eq!(seconds("1"), Ok(Duration::from_secs(1)));
        assert_eq!(seconds("86400"), Ok(Duration::from_secs(86_400)));
        for text in [
            "",
            "0",
            "86401",
            "-1",
            "+1",
            "1.5",
            "99999999999999999999",
            "٣",
        ] {
            assert_eq!(
                seconds(text),
                Err("not a number of whole seconds between 1 and 86400".to_owned()),
                "{text}"
            );
        }
        assert_eq!(seconds_or_none("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn counts_are_bounded() {
        assert_eq!(workers("1"), Ok(1));
        assert_eq!(connections_or_off("0"), Ok(0));
        assert_eq!(
            workers("0"),
            Err("not a number between 1 and 65536".to_owned())
        );
        assert_eq!(
            connections("1k"),
            Err("not a number between 1 and 10000000".to_owned())
        );
    }

    #[test]
    fn a_health_path_hides_nothing_of_a_registry() {
        assert_eq!(health_path("off"), Ok(None));
        for path in ["/", "/healthz", "/a/b;c%20", "/v2x", "/V2/"] {
            assert_eq!(health_path(path), Ok(Some(path.to_owned())));
        }
        for path in [
            "",
            "healthz",
            "http://a/",
            "/a?b",
            "/a#b",
            "/a b",
            "/\u{e9}",
        ] {
            assert!(
                health_path(path).is_err_and(|why| why.contains("/healthz")),
                "{path}"
            );
        }
        for path in ["/v2", "/v2/", "/v2/_catalog"] {
            assert_eq!(health_path(path), Err(OF_REGISTRY.to_owned()));
        }
    }

    #[test]
    fn names_for_a_certificate_are_names_or_addresses() {
        for (given, expected) in [
            ("Registry.Example", "registry.example"),
            ("*.example", "*.example"),
            ("[::1]", "::1"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(name(given).as_deref(), Ok(expected));
        }
        for given in ["", "*", "a.*.b", "https://a", "a:443", "a b", "ä"] {
            assert!(name(given).is_err(), "{given}");
        }
    }
}
