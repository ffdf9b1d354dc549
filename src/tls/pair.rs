//! A certificate chain with its private key.
//!
//! Owns loading a pair from two PEM files, every fault such files can have, and what is worth a warning. Knows
//! nothing of who asks for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::client::trust_anchors;
use super::facts::{Facts, date};
use super::pem;
use super::provider::provider;

/// From this long before its end a certificate is worth a word at start: about when an ACME client that works would
/// have renewed one of 90 days.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A chain, leaf first, with the key that fits. Cheap to clone.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: Option<SystemTime>,
    not_after: Option<SystemTime>,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The chain.
    Cert,
    /// The private key.
    Key,
}

/// What is wrong with one file of a pair. `Display` gives the message, without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFault {
    /// The file it is about.
    pub which: Which,
    /// Lower case, no full stop, with the remedy if there is one.
    pub message: String,
}

impl fmt::Display for PairFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reads a PEM chain (leaf first) and its PEM key. All faults are returned, not only the first. A certificate out of
/// its dates is no fault, see [`Pair::warnings`].
pub fn load_pair(cert: &Path, key: &Path) -> Result<Pair, Vec<PairFault>> {
    let chain = pem::read_certificates(cert).and_then(readable);
    let key = pem::read_key(key);
    match (chain, key) {
        (Ok(chain), Ok(key)) => Pair::new(chain, key).map_err(|fault| vec![fault]),
        (chain, key) => {
            let cert = chain.err().map(|message| PairFault {
                which: Which::Cert,
                message,
            });
            let key = key.err().map(|message| PairFault {
                which: Which::Key,
                message,
            });
            Err(cert.into_iter().chain(key).collect())
        }
    }
}

impl Pair {
    /// Of a chain, leaf first, and its key.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Pair, PairFault> {
        let on_key = |message: &str| PairFault {
            which: Which::Key,
            message: message.to_owned(),
        };
        let key = provider().key_provider.load_private_key(key).map_err(|_| {
            on_key(
                "malformed, or of a kind that is not supported: \
                 RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519 is",
            )
        })?;
        let facts = chain.first().and_then(Facts::read);
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // Some kinds of key do not tell their public half: then the first handshake has to show it.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) if fits_a_later_one(&key) => {
                return Err(PairFault {
                    which: Which::Cert,
                    message: "the key belongs to a later certificate of the chain: put the server's own first, \
                              then those that signed it"
                        .to_owned(),
                });
            }
            Err(_) => {
                return Err(on_key(
                    "does not fit the certificate: each is half of another pair",
                ));
            }
        }
        let (not_before, not_after) = facts.as_ref().map(|f| (f.not_before, f.not_after)).unzip();
        Ok(Pair {
            key: Arc::new(key),
            names: facts.map(|facts| facts.names).unwrap_or_default(),
            not_before,
            not_after,
        })
    }

    /// DNS names in lower case and addresses the certificate is for, as it has them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The key identifier of the leaf's issuer, and its number among those of that one, if both are known.
    pub fn serial(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let facts = self.leaf().and_then(Facts::read)?;
        Some((facts.issuer_key_id?, facts.serial))
    }

    /// Start of the leaf's life; `None` if it could not be read.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.not_before
    }

    /// End of the leaf's life; `None` if it could not be read.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// What will make clients refuse it, now or soon, each a line for the log.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(start) = self.not_before.filter(|start| now < *start) {
            warnings.push(format!(
                "the certificate is not valid before {}: clients refuse it until then, unless this clock is wrong",
                date(start)
            ));
        }
        match self.not_after {
            Some(end) if now >= end => {
                warnings.push(format!(
                    "the certificate expired on {}: clients refuse it",
                    date(end)
                ));
            }
            Some(end) if now + SOON >= end => {
                warnings.push(format!(
                    "the certificate expires on {}: renew it",
                    date(end)
                ));
            }
            _ => {}
        }
        // Dates that could not be read mean that the names could not be read either.
        if self.names.is_empty() && self.not_after.is_some() {
            warnings.push(
                "the certificate has no subjectAltName, and clients do not look at its common name: they refuse it"
                    .to_owned(),
            );
        }
        let leaf = self.leaf().and_then(Facts::read);
        if leaf.is_some_and(|leaf| !leaf.is_for_servers) {
            warnings.push(
                "the certificate is not for servers (its extendedKeyUsage lacks serverAuth): clients refuse it"
                    .to_owned(),
            );
        }
        warnings.extend(missing_issuer(&self.key.cert).map(|issuer| {
            format!(
                "the certificate of its issuer {issuer:?} is not in the file, and clients that lack it refuse the \
                 server's: put it behind that one, as in the fullchain.pem of ACME clients"
            )
        }));
        warnings
    }

    /// As rustls wants it.
    pub(super) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The leaf as it is sent.
    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }

    /// Whether a client that asked for this name would take the certificate for it: exact, or by a wildcard for one
    /// label. The same code as in a client of rustls.
    pub(super) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let leaf = self.leaf().map(ParsedCertificate::try_from);
        leaf.is_some_and(|leaf| {
            leaf.is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok())
        })
    }
}

/// Refuses what no client could read either.
fn readable(chain: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, String> {
    for (index, certificate) in chain.iter().enumerate() {
        let parsed = ParsedCertificate::try_from(certificate).is_ok();
        let facts = Facts::read(certificate);
        match (index, parsed, facts) {
            (_, true, _) => {}
            (0, false, Some(facts)) if !facts.is_version_3 => {
                return Err(
                    "of X.509 version 1, which cannot hold names, so that clients refuse it: \
                     make it anew with a subjectAltName (`openssl x509 -req` needs -extfile)"
                        .to_owned(),
                );
            }
            // Further up the chain it is enough that somebody can read it: an old root may be of version 1.
            (1.., false, Some(_)) => {}
            _ => return Err(format!("certificate {} in it is malformed", index + 1)),
        }
    }
    Ok(chain)
}

/// Who signed the last certificate that belongs to the chain, if an intermediate is missing there. That can be told where the
/// server's own certificate stands alone and says where its issuer's is to be had, as public authorities do, who sign by
/// intermediates; and where others in the file have signed nothing. A private CA that is no intermediate is known to clients
/// and need not be in the file.
fn missing_issuer(chain: &[CertificateDer<'_>]) -> Option<String> {
    let facts: Vec<Facts> = chain.iter().map(Facts::read).collect::<Option<_>>()?;
    let mut last = facts.first()?;
    let mut length = 1;
    while last.subject_name != last.issuer_name && length < facts.len() {
        let mut later = facts.iter().skip(1);
        match later.find(|other| other.subject_name == last.issuer_name) {
            Some(signer) => (last, length) = (signer, length + 1),
            None => break,
        }
    }
    let is_alone = length == 1;
    let can_be_told = is_alone && (facts.len() > 1 || last.tells_of_its_issuer);
    if !can_be_told || last.subject_name == last.issuer_name {
        return None;
    }
    let roots = trust_anchors(None).unwrap_or_default();
    let is_root = |root: &CertificateDer<'_>| {
        Facts::read(root).is_some_and(|root| root.subject_name == last.issuer_name)
    };
    if roots.iter().any(is_root) {
        return None;
    }
    Some(last.issuer.clone().unwrap_or_default())
}

fn fits_a_later_one(key: &CertifiedKey) -> bool {
    let Some(public) = key.key.public_key() else {
        return false;
    };
    key.cert.iter().skip(1).any(|certificate| {
        ParsedCertificate::try_from(certificate)
            .is_ok_and(|certificate| certificate.subject_public_key_info() == public)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
