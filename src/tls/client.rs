//! How the gate speaks TLS to what is behind it.
//!
//! The only file that names `rustls-native-certs`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::pem;
use super::provider::{HTTP_1_1, provider};
use crate::log::reason;

/// TLS 1.2 and 1.3, `http/1.1`, sessions resumed. The other side must chain to a certificate in `ca`, and to no other;
/// without it, to one of the system's. The error says what is wrong with the file or the system, without the file's
/// name.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trust_anchors(ca)?);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// The certificates that [`client_config`] would trust, all of them usable and never none; for those who set TLS up by
/// themselves.
pub fn trust_anchors(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    match ca {
        Some(path) => anchors_of_file(path),
        None => anchors_of_system(),
    }
}

fn anchors_of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = pem::read_certificates(path)?;
    for (index, certificate) in certificates.iter().enumerate() {
        if !is_usable(certificate) {
            return Err(format!("certificate {} in it is malformed", index + 1));
        }
    }
    Ok(certificates)
}

fn anchors_of_system() -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = rustls_native_certs::load_native_certs();
    // A system may carry roots that are odd or unreadable: those that can be used are enough.
    found.certs.retain(is_usable);
    if found.certs.is_empty() {
        let why = found
            .errors
            .first()
            .map(|error| format!(" ({})", why(error)))
            .unwrap_or_default();
        return Err(format!(
            "no root certificates on this system{why}: install the package ca-certificates, \
             or name a file with the CA that is to be trusted"
        ));
    }
    Ok(found.certs)
}

/// Without the line that is no PEM, which the error would quote: the variable `SSL_CERT_FILE` may name a key by mistake.
fn why(error: &rustls_native_certs::Error) -> String {
    match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, path } => {
            format!("{path:?}: {}", reason(inner))
        }
        _ => error.context.to_owned(),
    }
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn a_file_without_a_usable_root_is_refused_in_words() {
        let scratch = Scratch::new();
        let refused = |path: &Path| client_config(Some(path)).unwrap_err();
        assert_eq!(
            refused(&scratch.path().join("absent")),
            "no such file or directory"
        );
        assert_eq!(refused(scratch.path()), "is a directory");
        assert_eq!(
            refused(&scratch.file("empty", "")),
            "no certificate in it: the file is empty"
        );
        let junk = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        assert_eq!(
            refused(&scratch.file("junk", junk)),
            "certificate 1 in it is malformed"
        );
    }
}
