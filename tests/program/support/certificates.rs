//! Certificates made for a test: a CA and what it signs, as PEM, and rustls configurations that use them.
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn sign(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Ca {
    /// For a client, with these parts of its subject, and names or mail addresses beside it.
    pub fn sign_client(&self, subject: &[(DnType, &str)], aliases: &[&str]) -> Pair {
        self.sign_as_client(subject, aliases, 2100)
    }

    /// The same with only a common name, and an end of its life.
    pub fn sign_client_until(&self, year: i32, name: &str) -> Pair {
        self.sign_as_client(&[(DnType::CommonName, name)], &[], year)
    }

    /// The same with a life of this length from now on.
    pub fn sign_client_for(&self, life: std::time::Duration, name: &str) -> Pair {
        let end = std::time::SystemTime::now() + life;
        self.sign_with(&[(DnType::CommonName, name)], &[], end.into())
    }

    fn sign_as_client(&self, subject: &[(DnType, &str)], aliases: &[&str], year: i32) -> Pair {
        self.sign_with(subject, aliases, date_time_ymd(year, 1, 1))
    }

    fn sign_with(
        &self,
        subject: &[(DnType, &str)],
        aliases: &[&str],
        end: time::OffsetDateTime,
    ) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        for alias in aliases {
            let text = (*alias).try_into().unwrap();
            params.subject_alt_names.push(match alias.contains('@') {
                true => SanType::Rfc822Name(text),
                false => SanType::DnsName(text),
            });
        }
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = end;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A server that shows this certificate.
pub fn server(pair: &Pair) -> Arc<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pair.cert.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(
        builder
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap(),
    )
}

/// A client that trusts this CA alone and speaks only these versions.
pub fn client(ca: &str, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    configure(ca, versions, default_provider())
}

/// A client that trusts this CA alone and offers only these key exchanges, the first preferred.
pub fn client_with_groups(ca: &str, groups: Vec<&'static dyn SupportedKxGroup>) -> ClientConfig {
    let mut provider = default_provider();
    provider.kx_groups = groups;
    configure(ca, rustls::ALL_VERSIONS, provider)
}

fn configure(
    ca: &str,
    versions: &[&'static SupportedProtocolVersion],
    provider: CryptoProvider,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}
