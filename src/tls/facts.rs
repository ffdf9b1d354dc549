//! What a certificate says of itself.
//!
//! The only file that names `x509-cert`. It judges nothing: whether a chain holds is for rustls to say. That parser
//! is stricter in places than the one of rustls, so "unreadable" here must never be a reason to refuse a certificate.

use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, BasicConstraints, ExtendedKeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;

/// id-at-commonName, X.520.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// id-kp-serverAuth and anyExtendedKeyUsage, RFC 5280, 4.2.1.12.
const FOR_SERVERS: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

/// The few fields that matter here.
pub struct Facts {
    /// Names and addresses of the subjectAltName, DNS names in lower case.
    pub names: Vec<String>,
    /// Start of its life.
    pub not_before: SystemTime,
    /// End of its life.
    pub not_after: SystemTime,
    /// X.509 version 3. Older ones cannot hold names.
    pub is_version_3: bool,
    /// basicConstraints says CA.
    pub is_ca: bool,
    /// The common name of whom it is about.
    pub subject: Option<String>,
    /// The common name of who signed it.
    pub issuer: Option<String>,
    /// The whole name of whom it is about, to be compared.
    pub subject_name: Vec<u8>,
    /// The whole name of who signed it, to be compared.
    pub issuer_name: Vec<u8>,
    /// Servers may use it: extendedKeyUsage says so, or says nothing.
    pub is_for_servers: bool,
    /// subjectKeyIdentifier.
    pub key_id: Option<Vec<u8>>,
    /// authorityInfoAccess, by which public authorities say where the issuer's certificate is to be had.
    pub tells_of_its_issuer: bool,
}

impl Facts {
    /// `None` if the parser cannot read it.
    pub fn read(der: &CertificateDer<'_>) -> Option<Facts> {
        let certificate = Certificate::from_der(der).ok()?;
        let body = &certificate.tbs_certificate;
        let names = match body.get::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        let is_ca =
            matches!(body.get::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca);
        let key_id = match body.get::<SubjectKeyIdentifier>() {
            Ok(Some((_, SubjectKeyIdentifier(id)))) => Some(id.as_bytes().to_vec()),
            _ => None,
        };
        let is_for_servers = match body.get::<ExtendedKeyUsage>() {
            Ok(Some((_, ExtendedKeyUsage(uses)))) => {
                uses.iter().any(|usage| FOR_SERVERS.contains(usage))
            }
            _ => true,
        };
        Some(Facts {
            names,
            not_before: body.validity.not_before.to_system_time(),
            not_after: body.validity.not_after.to_system_time(),
            is_version_3: body.version == x509_cert::Version::V3,
            is_ca,
            subject: common_name(&body.subject),
            issuer: common_name(&body.issuer),
            subject_name: body.subject.to_der().ok()?,
            issuer_name: body.issuer.to_der().ok()?,
            is_for_servers,
            key_id,
            tells_of_its_issuer: matches!(body.get::<AuthorityInfoAccessSyntax>(), Ok(Some(_))),
        })
    }
}

/// A date as people write it, for messages.
pub fn date(time: SystemTime) -> String {
    match x509_cert::der::DateTime::from_system_time(time) {
        Ok(date) => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        Err(_) => "an unknown date".to_owned(),
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn common_name(name: &Name) -> Option<String> {
    let mut parts = name.0.iter().flat_map(|part| part.0.iter());
    let part = parts.find(|part| part.oid == COMMON_NAME)?;
    String::from_utf8(part.value.value().to_vec()).ok()
}
