//! What a certificate says of itself (RFC 5280, 4.1).
//!
//! It judges nothing: whether a chain holds is for rustls to say. "Unreadable" here must never be a reason to refuse a certificate.

use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::der::{Value, Values, tag};

/// Of object identifiers, the content.
mod oid {
    /// id-at-commonName, X.520.
    pub const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    /// Extensions, RFC 5280, 4.2.
    pub const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
    pub const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
    /// id-kp-serverAuth and anyExtendedKeyUsage, 4.2.1.12.
    pub const FOR_SERVERS: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 3, 1], &[0x55, 0x1d, 37, 0]];
}

/// In a certificate: the version, and the extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// X.509 version 3.
const VERSION_3: &[u8] = &[2];
/// In an authorityKeyIdentifier.
const KEY_IDENTIFIER: u8 = 0x80;
/// In a subjectAltName.
const MAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// The few fields that matter here.
pub struct Facts {
    /// Names and addresses of the subjectAltName, DNS names in lower case.
    pub names: Vec<String>,
    /// DNS and e-mail names of the subjectAltName, as they stand there.
    pub aliases: Vec<String>,
    /// All common names of whom it is about; `None` for one that is not UTF-8.
    pub common_names: Vec<Option<String>>,
    /// Start of its life.
    pub not_before: SystemTime,
    /// End of its life.
    pub not_after: SystemTime,
    /// X.509 version 3. Older ones cannot hold names.
    pub is_version_3: bool,
    /// basicConstraints says CA.
    pub is_ca: bool,
    /// The common name of whom it is about.
    pub subject: Option<String>,
    /// The common name of who signed it.
    pub issuer: Option<String>,
    /// The whole name of whom it is about, to be compared.
    pub subject_name: Vec<u8>,
    /// The whole name of who signed it, to be compared.
    pub issuer_name: Vec<u8>,
    /// Servers may use it: extendedKeyUsage says so, or says nothing.
    pub is_for_servers: bool,
    /// Its number among those of its issuer, as it is encoded.
    pub serial: Vec<u8>,
    /// The key identifier of who signed it.
    pub issuer_key_id: Option<Vec<u8>>,
    /// subjectKeyIdentifier.
    pub key_id: Option<Vec<u8>>,
    /// authorityInfoAccess, by which public authorities say where the issuer's certificate is to be had.
    pub tells_of_its_issuer: bool,
}

impl Facts {
    /// `None` if it cannot be read.
    pub fn read(der: &CertificateDer<'_>) -> Option<Facts> {
        let mut certificate = Values::of(der).within(tag::SEQUENCE)?;
        let mut body = certificate.within(tag::SEQUENCE)?;
        let version = body.within(VERSION);
        let version = version.and_then(|mut version| version.expect(tag::INTEGER));
        let serial = body.expect(tag::INTEGER)?;
        body.expect(tag::SEQUENCE)?;
        let issuer = body.expect(tag::SEQUENCE)?;
        let mut validity = body.within(tag::SEQUENCE)?;
        let not_before = moment(validity.next()?)?;
        let not_after = moment(validity.next()?)?;
        let subject = body.expect(tag::SEQUENCE)?;
        body.expect(tag::SEQUENCE)?;
        let mut facts = Facts {
            names: Vec::new(),
            aliases: Vec::new(),
            common_names: common_names(subject).collect(),
            not_before,
            not_after,
            is_version_3: version.is_some_and(|version| version.content == VERSION_3),
            is_ca: false,
            subject: common_name(subject),
            issuer: common_name(issuer),
            subject_name: subject.whole.to_vec(),
            issuer_name: issuer.whole.to_vec(),
            is_for_servers: true,
            serial: serial.content.to_vec(),
            issuer_key_id: None,
            key_id: None,
            tells_of_its_issuer: false,
        };
        let mut extensions = body.find(|value| value.tag == EXTENSIONS);
        let extensions = extensions
            .as_mut()
            .and_then(|outer| Values::of(outer.content).within(tag::SEQUENCE));
        for extension in extensions.into_iter().flatten() {
            facts.take(Values::of(extension.content))?;
        }
        Some(facts)
    }

    /// What one extension says. One whose content is odd says nothing.
    fn take(&mut self, mut extension: Values<'_>) -> Option<()> {
        let id = extension.expect(tag::OBJECT_IDENTIFIER)?.content;
        // Whether it is critical is nothing to us.
        extension.expect(tag::BOOLEAN);
        let mut content = Values::of(extension.expect(tag::OCTET_STRING)?.content);
        match id {
            oid::SUBJECT_ALT_NAME => {
                let names: Vec<_> = content
                    .within(tag::SEQUENCE)
                    .into_iter()
                    .flatten()
                    .collect();
                self.names = names.iter().copied().filter_map(name).collect();
                let aliases = names
                    .iter()
                    .filter(|name| [DNS_NAME, MAIL].contains(&name.tag));
                let texts =
                    aliases.filter_map(|name| String::from_utf8(name.content.to_vec()).ok());
                self.aliases = texts.collect();
            }
            oid::BASIC_CONSTRAINTS => {
                let mut constraints = content.within(tag::SEQUENCE);
                let is_ca = constraints
                    .as_mut()
                    .and_then(|all| all.expect(tag::BOOLEAN));
                self.is_ca = is_ca.is_some_and(|is_ca| is_ca.content == [0xff]);
            }
            oid::SUBJECT_KEY_IDENTIFIER => {
                let id = content.expect(tag::OCTET_STRING);
                self.key_id = id.map(|id| id.content.to_vec());
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                let id = content.within(tag::SEQUENCE);
                let id = id.and_then(|mut id| id.expect(KEY_IDENTIFIER));
                self.issuer_key_id = id.map(|id| id.content.to_vec());
            }
            oid::EXTENDED_KEY_USAGE => {
                if let Some(mut uses) = content.within(tag::SEQUENCE) {
                    self.is_for_servers =
                        uses.any(|usage| oid::FOR_SERVERS.contains(&usage.content));
                }
            }
            oid::AUTHORITY_INFO_ACCESS => self.tells_of_its_issuer = true,
            _ => {}
        }
        Some(())
    }
}

/// A date as people write it, for messages.
pub fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok();
    let seconds = since.and_then(|since| i64::try_from(since.as_secs()).ok());
    let date = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    match date {
        Some(date) => {
            let (year, month, day) = date.to_calendar_date();
            format!("{year:04}-{:02}-{day:02}", u8::from(month))
        }
        None => "an unknown date".to_owned(),
    }
}

/// Both kinds of time, as certificates must have them: to the second, and in UTC (4.1.2.5).
fn moment(value: Value<'_>) -> Option<SystemTime> {
    let text = std::str::from_utf8(value.content).ok()?.strip_suffix('Z')?;
    let (year, at) = match value.tag {
        tag::UTC_TIME => match text.get(..2)?.parse().ok()? {
            year @ 0..50 => (2000 + year, 2),
            year => (1900 + year, 2),
        },
        tag::GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, 4),
        _ => return None,
    };
    moment_of(year, text.get(at..)?)
}

/// The form of RFC 3339 in UTC, as in JSON; parts of a second are left out.
pub fn instant(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let (date, time) = whole.split_once('T')?;
    let (year, day) = date.split_once('-')?;
    let fits = |text: &str, between: u8, length: usize| {
        text.len() == length && text.bytes().skip(2).step_by(3).all(|byte| byte == between)
    };
    if year.len() != 4 || !fits(day, b'-', 5) || !fits(time, b':', 8) {
        return None;
    }
    let digits = [day, time].concat().replace(['-', ':'], "");
    moment_of(year.parse().ok()?, &digits)
}

/// Of a year, and two digits each for month, day, hour, minute and second.
fn moment_of(year: i32, text: &str) -> Option<SystemTime> {
    if text.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = |at: usize| -> Option<u8> { text.get(at..at + 2)?.parse().ok() };
    let month = Month::try_from(digits(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, digits(2)?).ok()?;
    let time = Time::from_hms(digits(4)?, digits(6)?, digits(8)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().into())
}

fn name(name: Value<'_>) -> Option<String> {
    match name.tag {
        DNS_NAME => {
            let name = std::str::from_utf8(name.content).ok()?;
            name.is_ascii().then(|| name.to_ascii_lowercase())
        }
        IP_ADDRESS => {
            let v4 = <[u8; 4]>::try_from(name.content).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(name.content).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn common_name(name: Value<'_>) -> Option<String> {
    common_names(name).next()?
}

fn common_names(name: Value<'_>) -> impl Iterator<Item = Option<String>> {
    let parts = Values::of(name.content).flat_map(|part| Values::of(part.content));
    parts.filter_map(|part| {
        let mut part = Values::of(part.content);
        let id = part.expect(tag::OBJECT_IDENTIFIER)?;
        let named = (id.content == oid::COMMON_NAME).then(|| part.next())??;
        Some(String::from_utf8(named.content.to_vec()).ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_of_json_is_read_as_far_as_it_is_in_utc() {
        for (text, shown) in [
            ("2026-11-27T03:21:00Z", Some("2026-11-27")),
            ("2026-11-27T03:21:00.123456789Z", Some("2026-11-27")),
            ("2026-11-27T03:21:00+01:00", None),
            ("2026-11-27 03:21:00Z", None),
            ("2026-13-27T03:21:00Z", None),
            ("2026-11-27T03:21Z", None),
            ("26-11-27T03:21:00Z", None),
            ("2026-1127-03:2T1:00Z", None),
            ("", None),
        ] {
            assert_eq!(instant(text).map(date).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_in_both_forms() {
        let of = |tag: u8, text: &str| {
            let content = text.as_bytes();
            moment(Value {
                tag,
                content,
                whole: content,
            })
            .map(date)
        };
        for (tag, text, shown) in [
            (tag::UTC_TIME, "261127032100Z", Some("2026-11-27")),
            (tag::UTC_TIME, "491231235959Z", Some("2049-12-31")),
            (tag::UTC_TIME, "700101000000Z", Some("1970-01-01")),
            (tag::GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01")),
            (tag::GENERALIZED_TIME, "99991231235959Z", Some("9999-12-31")),
            (tag::UTC_TIME, "260229000000Z", None),
            (tag::UTC_TIME, "2611270321Z", None),
            (tag::UTC_TIME, "26112703210+Z", None),
            (tag::UTC_TIME, "261127032100", None),
            (tag::GENERALIZED_TIME, "261127032100Z", None),
            (tag::INTEGER, "261127032100Z", None),
        ] {
            assert_eq!(of(tag, text).as_deref(), shown, "{text}");
        }
    }
}
