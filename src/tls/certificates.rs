//! The certificates that the gate shows, and which client gets which.
//!
//! Hostile input: the server name in the client hello, which rustls has checked for grammar.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::pair::Pair;
use crate::lock::EvenIfPoisoned;
use crate::metrics::CertificateStanding;

/// Pairs, never none, that can be replaced as a whole while connections come and go: handshakes that began keep what
/// they have.
pub struct Certificates {
    pairs: RwLock<Arc<Pairs>>,
    has_slow_key: AtomicBool,
}

struct Pairs {
    first: Pair,
    others: Vec<Pair>,
}

impl Certificates {
    /// The first is for clients that ask for an address, for no name or for an unknown one.
    pub fn new(first: Pair, others: Vec<Pair>) -> Certificates {
        let pairs = Arc::new(Pairs { first, others });
        Certificates {
            has_slow_key: AtomicBool::new(pairs.have_slow_key()),
            pairs: RwLock::new(pairs),
        }
    }

    /// Takes other pairs in place of all present ones, from the next handshake on.
    pub fn replace(&self, first: Pair, others: Vec<Pair>) {
        let pairs = Arc::new(Pairs { first, others });
        self.has_slow_key
            .store(pairs.have_slow_key(), Ordering::Relaxed);
        *self.pairs.write().even_if_poisoned() = pairs;
    }

    /// Whether a handshake may take milliseconds of a processor's time, tens of them on a small one: that of an RSA key does.
    pub fn has_slow_key(&self) -> bool {
        self.has_slow_key.load(Ordering::Relaxed)
    }

    /// What clients are shown and until when, for whoever watches.
    pub fn standing(&self) -> Vec<CertificateStanding> {
        let pairs = Arc::clone(&self.pairs.read().even_if_poisoned());
        let all = std::iter::once(&pairs.first).chain(&pairs.others);
        all.map(|pair| CertificateStanding {
            names: pair.names().to_vec(),
            not_after: pair.not_after(),
        })
        .collect()
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let pairs = Arc::clone(&self.pairs.read().even_if_poisoned());
        Arc::clone(pairs.choose(name, schemes).certified_key())
    }
}

impl Pairs {
    fn have_slow_key(&self) -> bool {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        all.any(|pair| pair.certified_key().key.algorithm() == SignatureAlgorithm::RSA)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Pair {
        let Some(name) = name.filter(|_| !self.others.is_empty()) else {
            return &self.first;
        };
        let Ok(name) = ServerName::try_from(name) else {
            return &self.first;
        };
        let mut named = std::iter::once(&self.first)
            .chain(&self.others)
            .filter(|pair| pair.is_for(&name))
            .peekable();
        let Some(fallback) = named.peek().copied() else {
            return &self.first;
        };
        // One name may have an RSA and an ECDSA certificate: the first whose signatures the client understands.
        named
            .find(|pair| pair.certified_key().key.choose_scheme(schemes).is_some())
            .unwrap_or(fallback)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name(), hello.signature_schemes()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::process::Command;

    use super::super::pair::load_pair;
    use super::super::scratch::Scratch;
    use super::*;

    fn pair(scratch: &Scratch, kind: &str) -> Pair {
        let run = Command::new("openssl")
            .args(
                format!("req -x509 -newkey {kind} -nodes -days 9 -subj /CN=a -keyout key -out crt")
                    .split(' '),
            )
            .args(["-addext", "subjectAltName=DNS:a.example"])
            .current_dir(scratch.path())
            .output()
            .expect("openssl is installed");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        load_pair(&scratch.path().join("crt"), &scratch.path().join("key"))
            .map_err(|_| "good")
            .unwrap()
    }

    #[test]
    fn of_two_certificates_for_one_name_the_client_gets_the_first_it_understands() {
        let scratch = Scratch::new();
        let ec = pair(&scratch, "ec -pkeyopt ec_paramgen_curve:P-256");
        let rsa = pair(&scratch, "rsa:2048");
        let (ec_leaf, rsa_leaf) = (ec.leaf().cloned(), rsa.leaf().cloned());
        let certificates = Certificates::new(ec, vec![rsa]);
        let shown = |schemes: &[SignatureScheme]| {
            let chosen = certificates.choose(Some("a.example"), schemes);
            chosen.cert.first().cloned()
        };
        let (ecdsa, pss) = (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
        );
        assert_eq!(shown(&[pss, ecdsa]), ec_leaf);
        assert_eq!(shown(&[pss]), rsa_leaf);
        assert_eq!(shown(&[SignatureScheme::ED25519]), ec_leaf);
    }
}
