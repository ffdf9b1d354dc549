//! The value of the `Authorization` field, taken apart (RFC 7617).
//!
//! Owns the user and password of one request, and wipes them. Must not know whether they are right. All of its input is
//! hostile.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A user and a password as somebody claims them. Deliberately without `Debug`, `Display` and `Clone`; wiped when dropped.
pub struct Credentials {
    /// `user:password`, decoded.
    decoded: Zeroizing<Vec<u8>>,
    /// Where the first colon is.
    colon: usize,
}

impl Credentials {
    /// The claimed name: any bytes but a colon, not checked by anybody yet.
    pub fn user(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    /// The password: any bytes.
    pub fn password(&self) -> &[u8] {
        self.decoded.get(self.colon + 1..).unwrap_or_default()
    }

    fn split(decoded: Zeroizing<Vec<u8>>) -> Option<Credentials> {
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Credentials { decoded, colon })
    }

    /// Credentials for tests.
    #[cfg(test)]
    pub(crate) fn of(user: &[u8], password: &[u8]) -> Credentials {
        let mut decoded = Zeroizing::new(user.to_vec());
        decoded.push(b':');
        decoded.extend_from_slice(password);
        Credentials {
            decoded,
            colon: user.len(),
        }
    }
}

/// What a request shows at the gate.
pub enum Presented {
    /// Nothing, or the empty user with the empty password that podman and skopeo send first.
    Absent,
    /// A user and a password.
    Basic(Credentials),
    /// Something that cannot be read as Basic credentials: another scheme, bad base64, no colon, not visible ASCII.
    Unusable,
}

/// Why a request is refused before anybody looks at what its `Authorization` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationFault {
    /// There are two of the fields, and two readers may believe different ones: 400.
    Twice,
    /// The field is longer than the limit: 431.
    TooLong,
}

/// Reads the values of all `Authorization` fields of one request; `limit` is in bytes of the value.
pub fn read_authorization<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    limit: usize,
) -> Result<Presented, AuthorizationFault> {
    let Some(value) = values.next() else {
        return Ok(Presented::Absent);
    };
    if values.next().is_some() {
        return Err(AuthorizationFault::Twice);
    }
    if value.len() > limit {
        return Err(AuthorizationFault::TooLong);
    }
    Ok(read_basic(value).unwrap_or(Presented::Unusable))
}

/// `None` is for whatever is not Basic.
fn read_basic(value: &[u8]) -> Option<Presented> {
    /// The scheme's name, compared without regard to case (RFC 9110 section 11.1).
    const SCHEME: &[u8] = b"basic";
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || !rest.starts_with(b" ") {
        return None;
    }
    // Anything that is not visible ASCII is outside the base64 alphabet too, so the decoder refuses it.
    let encoded = rest.trim_ascii_start();
    // Room for all at once: a vector that grows leaves copies of the password behind that nobody wipes.
    let mut decoded = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(
        encoded.len(),
    )));
    STANDARD.decode_vec(encoded, &mut decoded).ok()?;
    let credentials = Credentials::split(decoded)?;
    if credentials.user().is_empty() && credentials.password().is_empty() {
        return Some(Presented::Absent);
    }
    Some(Presented::Basic(credentials))
}

/// A `Basic` field value (RFC 7617, 2), of a user whose name has no colon.
pub fn basic_of(user: &[u8], password: &[u8]) -> Vec<u8> {
    let plain = [user, b":", password].concat();
    format!("Basic {}", STANDARD.encode(plain)).into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `user|password`, or how it was not read.
    fn read(values: &[&[u8]]) -> String {
        match read_authorization(values.iter().copied(), 4096) {
            Ok(Presented::Absent) => "absent".into(),
            Ok(Presented::Unusable) => "unusable".into(),
            Ok(Presented::Basic(c)) => {
                format!(
                    "{}|{}",
                    c.user().escape_ascii(),
                    c.password().escape_ascii()
                )
            }
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn a_field_is_read_as_the_rfc_has_it() {
        for (value, expected) in [
            (&b"Basic YWxpY2U6c2VjcmV0"[..], "alice|secret"),
            (b"bAsIc YWxpY2U6c2VjcmV0", "alice|secret"),
            (b"Basic   YWxpY2U6c2VjcmV0", "alice|secret"),
            (b"Basic YTpiOmM6", "a|b:c:"),
            (b"Basic YTo=", "a|"),
            (b"Basic OmI=", "|b"),
            (b"Basic /zr+AA==", "\\xff|\\xfe\\x00"),
            (b"Basic Og==", "absent"),
            (b"Basic", "unusable"),
            (b"Basic ", "unusable"),
            (b"", "unusable"),
            (b"BasicYWxpY2U6c2VjcmV0", "unusable"),
            (b"Basic\tYWxpY2U6c2VjcmV0", "unusable"),
            (b"Bearer YWxpY2U6c2VjcmV0", "unusable"),
            (b"Basic YWxpY2U=", "unusable"),
            (b"Basic YWxp Y2U6c2VjcmV0", "unusable"),
            (b"Basic YTpi=", "unusable"),
            (b"Basic YTpiYw", "unusable"),
            (b"Basic YTo-_w==", "unusable"),
            (b"Basic YWxp\x00", "unusable"),
            (b"Basic \xff\xfe", "unusable"),
            (b"Bas\xc3\xafc YTpi", "unusable"),
        ] {
            assert_eq!(read(&[value]), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn none_is_absent_two_are_refused_and_the_limit_is_exact() {
        assert_eq!(read(&[]), "absent");
        assert_eq!(read(&[b"Basic YTpi", b"Basic YTpi"]), "Twice");
        assert_eq!(read(&[b"Basic YTpi", b""]), "Twice");
        let mut value = b"Basic ".to_vec();
        value.resize(4096, b'A');
        assert_eq!(read(&[&value]), "unusable");
        value.push(b'A');
        assert_eq!(read(&[&value]), "TooLong");
    }
}
