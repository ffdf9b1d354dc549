//! A private CA and what it signs, and what an authority of others is asked to sign.
//!
//! The only file that names `rcgen`. Knows nothing of directories or of when something is due. A CA comes back from
//! disk as its certificate and its key; the issuer is rebuilt from the name and the key identifier in the certificate,
//! and everything signed is verified before it is handed out, as a client would.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::facts::{Facts, date};
use super::host::Name;
use super::pair::Pair;
use super::pem;
use super::provider::provider;

/// How the common name of every CA made here begins, and so the issuer of every server certificate.
pub const CA_NAME: &str = "Portreeve private CA of ";

/// The common name of what stands in for a certificate that an authority has not given yet.
pub const STAND_IN: &str = "Portreeve waits for a certificate";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ten years: whoever installed the CA by hand on clients does not want to do so often.
const CA_LIFE: Duration = DAY.saturating_mul(3652);

/// A year and an hour in all. Some clients refuse server certificates of more than 398 days.
const SERVER_LIFE: Duration = DAY.saturating_mul(365);

/// Clocks of clients may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// ub-common-name of RFC 5280 is 64 characters.
const MAX_COMMON_NAME: usize = 64;

/// 2024-01-01: before this a clock has not been set yet (small boards start in 1970), and what it dates is soon void.
const EARLIEST: Duration = Duration::from_secs(1_704_067_200);

/// The year 9000: certificates cannot say more than 9999.
const LATEST: Duration = Duration::from_secs(221_845_392_000);

/// Something to write to two files. The second is secret, hence neither `Debug` nor `Clone`.
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS#8.
    pub key: String,
}

/// A CA that can sign.
pub struct Authority {
    name: String,
    not_after: SystemTime,
    roots: RootCertStore,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new CA for `host`: P-256, ten years, signs server certificates and nothing that signs in turn.
    pub fn make(host: &str, now: SystemTime) -> Result<Issued, String> {
        plausible(now)?;
        let name: String = format!("{CA_NAME}{host}")
            .chars()
            .take(MAX_COMMON_NAME)
            .collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + CA_LIFE).into();
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Reads a CA back. The error names the file that is at fault.
    pub fn load(certificate: &Path, key: &Path) -> Result<Authority, String> {
        let at = |path: &Path, message: &str| format!("{path:?}: {message}");
        let chain = pem::read_certificates(certificate).map_err(|error| at(certificate, &error))?;
        let unreadable = || at(certificate, "malformed certificate");
        let root = chain.first().ok_or_else(unreadable)?;
        let facts = Facts::read(root).ok_or_else(unreadable)?;
        let parsed = ParsedCertificate::try_from(root).map_err(|_| unreadable())?;
        if !facts.is_ca {
            return Err(at(certificate, "not the certificate of a CA"));
        }
        let name = facts
            .subject
            .ok_or_else(|| at(certificate, "has no common name"))?;
        let der = pem::read_key(key).map_err(|error| at(key, &error))?;
        let signing = KeyPair::try_from(&der)
            .map_err(|_| at(key, "malformed, or of a kind that is not supported"))?;
        if signing.subject_public_key_info() != parsed.subject_public_key_info().as_ref() {
            return Err(at(key, &format!("does not fit {certificate:?}")));
        }
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).map_err(|_| unreadable())?;

        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if let Some(id) = facts.key_id {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id);
        }
        Ok(Authority {
            name,
            not_after: facts.not_after,
            roots,
            issuer: Issuer::new(params, signing),
        })
    }

    /// Its common name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// End of its life.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Until when a server certificate signed now would hold: no longer than the CA itself.
    pub fn would_last_until(&self, now: SystemTime) -> SystemTime {
        self.not_after.min(now + SERVER_LIFE)
    }

    /// Whether a client that trusts this CA would trust that chain (leaf first) for a server, dates left aside:
    /// a clock that is wrong for a while says nothing about the chain.
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return false;
        };
        let (Ok(parsed), Some(facts)) = (ParsedCertificate::try_from(leaf), Facts::read(leaf))
        else {
            return false;
        };
        let Ok(start) = facts.not_before.duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            UnixTime::since_unix_epoch(start),
            provider().signature_verification_algorithms.all,
        )
        .is_ok()
    }

    /// A server certificate for these names, with a new key: P-256, a year.
    pub fn issue(&self, names: &[Name], now: SystemTime) -> Result<Issued, String> {
        plausible(now)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Portreeve");
        params.subject_alt_names = names.iter().map(alternative).collect::<Result<_, _>>()?;
        // Explicit, so that a subjectKeyIdentifier is written too.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = self.would_last_until(now).into();
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| failed(&error))?;
        if !self.vouches_for(&[certificate.der().clone()]) {
            return Err(
                "the CA's name is more than one common name, which cannot be signed for here: \
                 make a certificate with your own CA and give it by --tls-cert and --tls-key"
                    .to_owned(),
            );
        }
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A request for a certificate, to be signed by somebody else.
pub struct Request {
    /// PKCS#10, DER.
    pub request: Vec<u8>,
    /// The new key, PEM, PKCS#8. Secret.
    pub key: String,
}

/// A new P-256 key, PEM, PKCS#8.
///
/// # Errors
/// If there is none to be had.
pub fn new_key() -> Result<String, String> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    Ok(key.serialize_pem())
}

/// Asks for a certificate for one DNS name, with a new key.
///
/// # Errors
/// If the name can stand in none.
pub fn request(name: &str) -> Result<Request, String> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let request = named(name)?
        .serialize_request(&key)
        .map_err(|error| failed(&error))?;
    Ok(Request {
        request: request.der().to_vec(),
        key: key.serialize_pem(),
    })
}

/// What stands in for the certificate of a name until there is one: signed by itself, so that no client believes it.
///
/// # Errors
/// If the name can stand in none.
pub fn stand_in(name: &str) -> Result<Pair, String> {
    let mut params = named(name)?;
    let common_name = &mut params.distinguished_name;
    common_name.push(DnType::CommonName, STAND_IN);
    let (certificate, key) = self_signed(params)?;
    Pair::new(vec![certificate], key).map_err(|fault| fault.message)
}

/// What a challenge of TLS-ALPN-01 wants to see at a name (RFC 8737, 3).
///
/// # Errors
/// If the name can stand in none.
pub fn challenge(name: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let mut params = named(name)?;
    let identifier = CustomExtension::new_acme_identifier(digest);
    params.custom_extensions.push(identifier);
    // Its extension is critical, and no reader of certificates here knows it.
    let (certificate, key) = self_signed(params)?;
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| format!("making a certificate failed: {error}"))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
}

fn named(name: &str) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![alternative(&Name::Dns(name.to_owned()))?];
    Ok(params)
}

fn self_signed(
    params: CertificateParams,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((certificate.der().clone(), der.into()))
}

fn alternative(name: &Name) -> Result<SanType, String> {
    Ok(match name {
        Name::Address(address) => SanType::IpAddress(IpAddr::to_canonical(address)),
        Name::Dns(name) => {
            SanType::DnsName(name.as_str().try_into().map_err(|error| failed(&error))?)
        }
    })
}

fn plausible(now: SystemTime) -> Result<(), String> {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if (EARLIEST..LATEST).contains(&since) => Ok(()),
        _ => Err(format!(
            "the clock says {}: set it, then a certificate can be made",
            date(now)
        )),
    }
}

fn failed(error: &rcgen::Error) -> String {
    format!("making a certificate failed: {error}")
}
