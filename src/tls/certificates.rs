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
use super::server::ACME_TLS;
use crate::lock::EvenIfPoisoned;
use crate::metrics::{Awaited, CertificateStanding};
use crate::net::NameTable;

/// What is shown to an authority that looks at the challenge of a name.
pub type Challenges = dyn Fn(&str) -> Option<Arc<CertifiedKey>> + Send + Sync;

/// What is shown at a name whose certificates come from an authority.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, or what stands in for it.
    pub pair: Pair,
    /// What is being waited for, if that is so.
    pub awaited: Option<Awaited>,
}

/// What is shown at the names of a site.
#[derive(Clone)]
pub struct OfSite {
    /// In lower case.
    pub names: Vec<String>,
    /// At least one.
    pub pairs: Vec<Pair>,
}

/// Pairs that can be replaced while connections come and go: handshakes that began keep what they have. Those of
/// files and those of an ACME authority are replaced each by themselves.
pub struct Certificates {
    pairs: RwLock<Arc<Pairs>>,
    has_slow_key: AtomicBool,
    challenges: Option<Box<Challenges>>,
}

/// The first of all is for clients that ask for an address, for no name or for an unknown one.
#[derive(Clone, Default)]
struct Pairs {
    of_files: Vec<Pair>,
    issued: Vec<Issued>,
    of_sites: NameTable<Arc<[Pair]>>,
    /// The same, each once.
    all_of_sites: Vec<Pair>,
}

impl Certificates {
    /// Those of files and those of an authority, if there are any; those of sites come later.
    pub fn new(
        of_files: Vec<Pair>,
        issued: Vec<Issued>,
        challenges: Option<Box<Challenges>>,
    ) -> Certificates {
        let pairs = Pairs {
            of_files,
            issued,
            of_sites: NameTable::default(),
            all_of_sites: Vec::new(),
        };
        Certificates {
            has_slow_key: AtomicBool::new(pairs.have_slow_key()),
            pairs: RwLock::new(Arc::new(pairs)),
            challenges,
        }
    }

    /// Whether there is nothing to be shown.
    pub fn is_empty(&self) -> bool {
        self.pairs.read().even_if_poisoned().all().next().is_none()
    }

    /// Takes other pairs in place of those of files, from the next handshake on.
    pub fn replace(&self, of_files: Vec<Pair>) {
        self.change(|pairs| pairs.of_files = of_files);
    }

    /// The same for those of an authority.
    pub fn replace_issued(&self, issued: Vec<Issued>) {
        self.change(|pairs| pairs.issued = issued);
    }

    /// The same for those of sites.
    pub fn replace_of_sites(&self, sites: Vec<OfSite>) {
        let mut of_sites = NameTable::default();
        let mut all = Vec::new();
        for OfSite { names, pairs } in sites {
            all.extend(pairs.iter().cloned());
            let pairs: Arc<[Pair]> = pairs.into();
            for name in &names {
                of_sites.insert(name, Arc::clone(&pairs));
            }
        }
        self.change(|pairs| (pairs.of_sites, pairs.all_of_sites) = (of_sites, all));
    }

    fn change(&self, change: impl FnOnce(&mut Pairs)) {
        let mut pairs = self.pairs.write().even_if_poisoned();
        let mut new = Pairs::clone(&pairs);
        change(&mut new);
        self.has_slow_key
            .store(new.have_slow_key(), Ordering::Relaxed);
        *pairs = Arc::new(new);
    }

    /// Whether challenges of an authority are answered.
    pub fn answers_challenges(&self) -> bool {
        self.challenges.is_some()
    }

    /// Whether a handshake may take milliseconds of a processor's time, tens of them on a small one: that of an RSA key does.
    pub fn has_slow_key(&self) -> bool {
        self.has_slow_key.load(Ordering::Relaxed)
    }

    /// What clients are shown and until when, for whoever watches.
    pub fn standing(&self) -> Vec<CertificateStanding> {
        let pairs = Arc::clone(&self.pairs.read().even_if_poisoned());
        let of_files = pairs.of_files.iter().chain(&pairs.all_of_sites);
        let of_files = of_files.map(|pair| (pair, None));
        let issued = pairs.issued.iter();
        let issued = issued.map(|issued| (&issued.pair, issued.awaited.clone()));
        of_files
            .chain(issued)
            .map(|(pair, awaited)| CertificateStanding {
                names: pair.names().to_vec(),
                not_after: pair.not_after(),
                awaited,
            })
            .collect()
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let pairs = Arc::clone(&self.pairs.read().even_if_poisoned());
        pairs
            .choose(name, schemes)
            .map(|pair| Arc::clone(pair.certified_key()))
    }
}

impl Pairs {
    fn all(&self) -> impl Iterator<Item = &Pair> {
        let issued = self.issued.iter().map(|issued| &issued.pair);
        let of_files = self.of_files.iter().chain(issued);
        of_files.chain(&self.all_of_sites)
    }

    fn have_slow_key(&self) -> bool {
        let mut all = self.all();
        all.any(|pair| pair.certified_key().key.algorithm() == SignatureAlgorithm::RSA)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Pair> {
        let mut all = self.all();
        let first = all.next();
        let is_only_one = all.next().is_none();
        if let Some(name) = name
            && let Some(own) = self.of_sites.find(name)
        {
            // Whoever made a site with a certificate meant this one.
            let fits = |pair: &&Pair| pair.certified_key().key.choose_scheme(schemes).is_some();
            return own.iter().find(fits).or(own.first());
        }
        let Some(name) = name.filter(|_| !is_only_one) else {
            return first;
        };
        let Ok(name) = ServerName::try_from(name) else {
            return first;
        };
        let mut named = self.all().filter(|pair| pair.is_for(&name)).peekable();
        let Some(fallback) = named.peek().copied() else {
            return first;
        };
        // One name may have an RSA and an ECDSA certificate: the first whose signatures the client understands.
        named
            .find(|pair| pair.certified_key().key.choose_scheme(schemes).is_some())
            .or(Some(fallback))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(challenges) = &self.challenges
            && let Some(mut protocols) = hello.alpn()
            && protocols.next() == Some(ACME_TLS)
            && protocols.next().is_none()
        {
            return challenges(hello.server_name()?);
        }
        self.choose(hello.server_name(), hello.signature_schemes())
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
        let certificates = Certificates::new(vec![ec, rsa], Vec::new(), None);
        let shown = |schemes: &[SignatureScheme]| {
            let chosen = certificates.choose(Some("a.example"), schemes);
            chosen.unwrap().cert.first().cloned()
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
