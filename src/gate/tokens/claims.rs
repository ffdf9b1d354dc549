//! What a token says: who, and until when.

use zeroize::Zeroizing;

/// For which a token is good, in seconds...
pub const LIFETIME: u64 = 3600;
/// ...and this much more, for clocks that differ and requests that were on their way.
const GRACE: u64 = 600;
/// A digest of SHA-256.
const FINGERPRINT: usize = 32;

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody in particular.
    Anonymous,
    /// A user of a password file, as long as the line there is the same.
    User {
        /// The name.
        name: Vec<u8>,
        /// Of the line.
        fingerprint: [u8; FINGERPRINT],
    },
    /// Whoever an API lets in by this value of `Authorization`, which it is asked about again.
    Credentials(Zeroizing<Vec<u8>>),
}

/// All of a token.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it is for.
    pub who: Who,
    /// Seconds since 1970.
    pub end: u64,
}

impl Claims {
    /// Of a token that is given now.
    pub fn new(who: Who, now: u64) -> Claims {
        let end = now.saturating_add(LIFETIME);
        Claims { who, end }
    }

    /// Whether it still counts.
    pub fn holds(&self, now: u64) -> bool {
        now < self.end.saturating_add(GRACE)
    }

    /// As it is sealed.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::new());
        let (kind, fixed, rest): (u8, &[u8], &[u8]) = match &self.who {
            Who::Anonymous => (0, b"", b""),
            Who::User { name, fingerprint } => (1, fingerprint, name),
            Who::Credentials(value) => (2, b"", value),
        };
        out.reserve_exact(1 + 8 + fixed.len() + rest.len());
        out.push(kind);
        out.extend_from_slice(&self.end.to_be_bytes());
        out.extend_from_slice(fixed);
        out.extend_from_slice(rest);
        out
    }

    /// Of what was sealed.
    pub fn decode(text: &[u8]) -> Option<Claims> {
        let (kind, rest) = text.split_first()?;
        let (end, rest) = rest.split_first_chunk()?;
        let who = match kind {
            0 if rest.is_empty() => Who::Anonymous,
            1 => {
                let (fingerprint, name) = rest.split_first_chunk()?;
                Who::User {
                    name: name.to_vec(),
                    fingerprint: *fingerprint,
                }
            }
            2 => Who::Credentials(Zeroizing::new(rest.to_vec())),
            _ => return None,
        };
        let end = u64::from_be_bytes(*end);
        Some(Claims { who, end })
    }
}
