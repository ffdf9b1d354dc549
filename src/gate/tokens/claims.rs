//! What a token says: who, and until when.

use zeroize::Zeroizing;

/// For which a token is good, in seconds...
const LIFETIME: u64 = 3600;
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

/// How long a token is good, in seconds.
pub fn lifetime() -> u64 {
    #[cfg(debug_assertions)]
    if let Some(short) = shortened() {
        return short;
    }
    LIFETIME
}

fn grace() -> u64 {
    #[cfg(debug_assertions)]
    if shortened().is_some() {
        return 0;
    }
    GRACE
}

/// A debug build has tokens end sooner where the environment says so (`TOKEN_LIFETIME=1`), so that a test sees one end.
#[cfg(debug_assertions)]
fn shortened() -> Option<u64> {
    static LIFETIME: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *LIFETIME.get_or_init(|| std::env::var("TOKEN_LIFETIME").ok()?.parse().ok())
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
        let end = now.saturating_add(lifetime());
        Claims { who, end }
    }

    /// Whether it still counts.
    pub fn holds(&self, now: u64) -> bool {
        now < self.end.saturating_add(grace())
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
