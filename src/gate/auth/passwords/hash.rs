//! One password hash of a password file, of a kind that is accepted, and whether a password fits it.
//!
//! Owns all hashing, and is the only one who names `pwhash`. Must not know users or files. The hash was looked at by
//! `shape`; the password is hostile.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pwhash::bcrypt::{BcryptSetup, BcryptVariant};

use super::apr1::apr1;
use super::shape::{BCRYPT_COSTS, HashFault, SHA1_LENGTH, Scheme, scheme_of};

/// The work of the MD5 and SHA crypts grows with the length of the password, up to a hundredfold with what fits into
/// a request. No crypt library makes a hash of more than 512 bytes, so a longer password is wrong and hashed in part.
const LONGEST_CRYPT_PASSWORD: usize = 512;
/// A hash of an accepted kind, of the right shape, that can be checked within a bounded time.
pub(crate) struct Hash {
    scheme: Scheme,
    /// As it stands in the file. ASCII.
    text: Box<str>,
}

impl Hash {
    /// Takes what stands behind the colon of a line.
    pub(crate) fn parse(text: &[u8]) -> Result<Hash, HashFault> {
        let text = std::str::from_utf8(text).map_err(|_| HashFault::PlainText)?;
        let scheme = scheme_of(text)?;
        Ok(Hash {
            scheme,
            text: text.into(),
        })
    }

    /// A hash that costs what one of `scheme` costs and that is there to be failed.
    pub(in crate::gate::auth) fn decoy(scheme: Scheme) -> Hash {
        let text = match scheme {
            Scheme::Bcrypt { cost } => format!("$2y${cost:02}${}", ".".repeat(53)),
            Scheme::Apr1 => format!("$apr1$........${}", ".".repeat(22)),
            Scheme::Md5 => format!("$1$........${}", ".".repeat(22)),
            Scheme::Sha256 { rounds } => {
                format!("$5$rounds={rounds}$................${}", ".".repeat(43))
            }
            Scheme::Sha512 { rounds } => {
                format!("$6$rounds={rounds}$................${}", ".".repeat(86))
            }
            Scheme::Sha1 => format!("{{SHA}}{}", STANDARD.encode([0; SHA1_LENGTH])),
            Scheme::SaltedSha1 => format!("{{SSHA}}{}", STANDARD.encode([0; SHA1_LENGTH + 8])),
        };
        Hash {
            scheme,
            text: text.into(),
        }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// As it stands in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the password is the one. This is the expensive part: all hashing goes through here.
    // $1$ and $5$ are deprecated for new passwords, which this does not make.
    #[allow(deprecated)]
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        #[cfg(test)]
        count::add(self.scheme);
        let text = &*self.text;
        let (password, whole) = match self.scheme {
            Scheme::Apr1 | Scheme::Md5 | Scheme::Sha256 { .. } | Scheme::Sha512 { .. } => password
                .get(..LONGEST_CRYPT_PASSWORD)
                .map_or((password, true), |part| {
                    (part, part.len() == password.len())
                }),
            Scheme::Bcrypt { .. } | Scheme::Sha1 | Scheme::SaltedSha1 => (password, true),
        };
        let fits = match self.scheme {
            // The last two bits of a salt are unused, some programs set them, and pwhash writes them as zero: the
            // sums are compared and not the whole.
            Scheme::Bcrypt { .. } => {
                let computed = pwhash::bcrypt::hash_with(text, password);
                let sum = |text: &str| text.get(29..).map(|sum| sum.as_bytes().to_vec());
                same(
                    computed.ok().as_deref().and_then(sum).as_deref(),
                    sum(text).as_deref(),
                )
            }
            Scheme::Apr1 => {
                let mut parts = text.split('$').skip(2);
                let salt = parts.next().unwrap_or_default();
                same(
                    Some(apr1(password, salt.as_bytes()).as_bytes()),
                    parts.next().map(str::as_bytes),
                )
            }
            Scheme::Md5 => {
                let computed = pwhash::md5_crypt::hash_with(text, password);
                same(
                    computed.ok().as_deref().map(str::as_bytes),
                    Some(text.as_bytes()),
                )
            }
            Scheme::Sha256 { .. } => {
                let computed = pwhash::sha256_crypt::hash_with(text, password);
                same(
                    computed.ok().as_deref().map(str::as_bytes),
                    Some(text.as_bytes()),
                )
            }
            Scheme::Sha512 { .. } => {
                let computed = pwhash::sha512_crypt::hash_with(text, password);
                same(
                    computed.ok().as_deref().map(str::as_bytes),
                    Some(text.as_bytes()),
                )
            }
            Scheme::Sha1 | Scheme::SaltedSha1 => sha1_fits(text, password),
        };
        fits & whole
    }
}

/// Makes the line part for a new password: `$2y$`, which every program that reads such files knows, with a random salt.
/// `None` if the cost is out of bounds.
pub(crate) fn bcrypt(password: &[u8], cost: u32) -> Option<String> {
    let setup = BcryptSetup {
        salt: None,
        cost: BCRYPT_COSTS.contains(&cost).then_some(cost),
        variant: Some(BcryptVariant::V2y),
    };
    setup.cost?;
    pwhash::bcrypt::hash_with(setup, password).ok()
}

/// Compares in a time that does not depend on where the two differ. Nothing is never the same as anything.
fn same(computed: Option<&[u8]>, stored: Option<&[u8]>) -> bool {
    match (computed, stored) {
        (Some(computed), Some(stored)) if !stored.is_empty() => {
            verify_slices_are_equal(computed, stored).is_ok()
        }
        _ => false,
    }
}

/// `{SHA}` and `{SSHA}`: base64 of the SHA-1 of password and salt, followed by the salt.
fn sha1_fits(text: &str, password: &[u8]) -> bool {
    let encoded = text.split_once('}').map_or("", |(_, encoded)| encoded);
    let stored = STANDARD.decode(encoded).unwrap_or_default();
    let Some((sum, salt)) = stored.split_at_checked(SHA1_LENGTH) else {
        return false;
    };
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    context.update(salt);
    same(Some(context.finish().as_ref()), Some(sum))
}

/// What was hashed by this thread, so that tests can compare work and not time.
#[cfg(test)]
pub(crate) mod count {
    use super::Scheme;
    use std::cell::RefCell;

    thread_local!(static DONE: RefCell<Vec<Scheme>> = const { RefCell::new(Vec::new()) });

    pub(in crate::gate::auth) fn add(scheme: Scheme) {
        DONE.with_borrow_mut(|done| done.push(scheme));
    }

    /// All since the last time this was asked.
    pub(crate) fn take() -> Vec<Scheme> {
        DONE.take()
    }
}

#[cfg(test)]
mod tests;
