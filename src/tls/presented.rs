//! What another server shows of itself, looked at piece by piece: dates, names, and who vouches for it.
//!
//! Owns a handshake that refuses nobody, for looking only: no secret may follow it. Everything in a certificate is
//! hostile. That a client would be content is for [`Presented::refusal`] to say, which asks rustls; the rest only finds
//! words for why it is not.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::facts::Facts;
use super::issue::CA_NAME;
use super::provider::{HTTP_1_1, provider};

use crate::lock::EvenIfPoisoned;

/// No honest chain is longer, and every link is looked at.
const MOST: usize = 10;

/// A chain as it was sent, leaf first.
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    facts: Vec<Option<Facts>>,
    /// As in `TLS 1.3`.
    pub version: &'static str,
}

/// Why nobody who is trusted vouches for a chain.
#[derive(Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The last certificate that was sent vouches for itself.
    Itself,
    /// A CA of this name, and no trusted one is called so.
    Unknown(String),
    /// A trusted CA has this name, and another key.
    Namesake(String),
    /// An intermediate of this name was most likely not sent.
    Missing(String),
}

impl Presented {
    /// Dates of the leaf, if they can be read.
    pub fn dates(&self) -> Option<(SystemTime, SystemTime)> {
        let leaf = self.facts.first()?.as_ref()?;
        Some((leaf.not_before, leaf.not_after))
    }

    /// The first certificate after the leaf whose time is not now: its name and dates.
    pub fn stale_intermediate(&self, now: SystemTime) -> Option<(String, SystemTime, SystemTime)> {
        let later = self.facts.iter().skip(1).flatten();
        let mut stale = later.filter(|facts| now < facts.not_before || now >= facts.not_after);
        let found = stale.next()?;
        let name = found.subject.clone().unwrap_or_default();
        Some((name, found.not_before, found.not_after))
    }

    /// What the leaf is for.
    pub fn names(&self) -> &[String] {
        let leaf = self.facts.first().and_then(Option::as_ref);
        leaf.map(|leaf| &*leaf.names).unwrap_or_default()
    }

    /// Whether a client would take the leaf for the server that it wanted.
    pub fn is_for(&self, name: &ServerName<'_>) -> bool {
        let leaf = self.chain.first().map(ParsedCertificate::try_from);
        leaf.is_some_and(|leaf| {
            leaf.is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok())
        })
    }

    /// Who signed the leaf, by its own words.
    pub fn issuer(&self) -> Option<&str> {
        self.facts.first()?.as_ref()?.issuer.as_deref()
    }

    /// Whether a client that trusts these would be content now; else why not, in the words of rustls.
    pub fn refusal(
        &self,
        roots: &[CertificateDer<'static>],
        name: &ServerName<'_>,
    ) -> Option<String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let verifier = match WebPkiServerVerifier::builder_with_provider(
            Arc::new(store),
            provider(),
        )
        .build()
        {
            Ok(verifier) => verifier,
            Err(error) => return Some(error.to_string()),
        };
        let Some((leaf, intermediates)) = self.chain.split_first() else {
            return Some("no certificate was sent".to_owned());
        };
        let verified = verifier.verify_server_cert(leaf, intermediates, name, &[], UnixTime::now());
        verified.err().map(|error| error.to_string())
    }

    /// Whether the chain leads to one of these, dates and names left aside; else what is missing.
    pub fn unknown_issuer(
        &self,
        roots: &[CertificateDer<'static>],
        private: bool,
    ) -> Option<Issuer> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let (leaf, intermediates) = self.chain.split_first()?;
        let parsed = ParsedCertificate::try_from(leaf).ok()?;
        let within = self.dates().map(|(start, _)| start)?;
        let within = within.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &store,
            intermediates,
            UnixTime::since_unix_epoch(within),
            provider().signature_verification_algorithms.all,
        );
        use rustls::{CertificateError, Error};
        match verified.err()? {
            // The latter for a CA of the same name and another key.
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {}
            _ => return None,
        }
        let last = self.facts.last()?.as_ref()?;
        let issuer = last.issuer.clone().unwrap_or_default();
        let is_known = |root: &CertificateDer<'_>| {
            Facts::read(root).is_some_and(|root| root.subject.as_deref() == Some(&*issuer))
        };
        Some(if roots.iter().any(is_known) {
            Issuer::Namesake(issuer)
        } else if last.subject.as_deref() == Some(&*issuer) {
            Issuer::Itself
        } else if !issuer.starts_with(CA_NAME) && (private || last.tells_of_its_issuer) {
            // Whoever named a CA meant the one of this server, and public authorities sign by intermediates.
            Issuer::Missing(issuer)
        } else {
            Issuer::Unknown(issuer)
        })
    }
}

/// A configuration for one handshake that takes whatever comes, and what keeps it.
pub fn look() -> Result<(Arc<ClientConfig>, Arc<Recorder>), String> {
    let recorder = Arc::new(Recorder::default());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok((Arc::new(config), recorder))
}

/// Keeps the chain that was shown.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<(Vec<CertificateDer<'static>>, &'static str)>);

impl Recorder {
    /// What was shown, if a certificate was.
    pub fn presented(&self) -> Option<Presented> {
        let (chain, version) = self.0.lock().even_if_poisoned().clone();
        let facts = chain.iter().map(Facts::read).collect();
        (!chain.is_empty()).then_some(Presented {
            chain,
            facts,
            version,
        })
    }

    fn note(&self, version: &'static str) {
        self.0.lock().even_if_poisoned().1 = version;
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates).take(MOST);
        let chain = chain.map(|one| one.clone().into_owned()).collect();
        self.0.lock().even_if_poisoned().0 = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note("TLS 1.2");
        let known = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note("TLS 1.3");
        let known = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
