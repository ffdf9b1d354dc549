//! Certificates that clients show: what they must chain to, and whom they name.
//!
//! Hostile input: what a client shows. Its chain has been believed before its name is read; whoever signs may still write
//! anything into it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::client::trust_anchors;
use super::facts::Facts;
use super::provider::provider;

/// Whether a client may come without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It may.
    Optional,
    /// It may not.
    Required,
}

/// What checks certificates of clients against those in `ca`, a PEM file.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn client_verifier(ca: &Path, demand: Demand) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trust_anchors(Some(ca))?);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match demand {
        Demand::Optional => builder.allow_unauthenticated(),
        Demand::Required => builder,
    };
    builder.build().map_err(|error| error.to_string())
}

/// When a certificate ends.
pub fn end_of(certificate: &[u8]) -> Option<SystemTime> {
    Some(Facts::read(&CertificateDer::from(certificate))?.not_after)
}

/// The user that a certificate names: the common name of its subject, if there is one and it can be a user's; else its first DNS
/// or e-mail name that can. `None` if there is no such name.
pub fn user_of(certificate: &[u8]) -> Option<String> {
    let facts = Facts::read(&CertificateDer::from(certificate))?;
    let common = facts.common_names;
    let own = match &common[..] {
        [Some(only)] => Some(only),
        // Of several nobody could tell which one is meant.
        _ => None,
    };
    own.into_iter()
        .chain(&facts.aliases)
        .find(|name| can_be_user(name))
        .cloned()
}

/// As in a password file.
fn can_be_user(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_control() || c == ':')
}
