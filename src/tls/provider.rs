//! What all cryptography of TLS is done with, and the protocols spoken over it.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The protocol spoken over TLS here, on both sides (RFC 7301 names it).
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// The other one that a client may offer alone, as `curl -0` does.
pub(super) const HTTP_1_0: &[u8] = b"http/1.0";

/// What all cryptography of TLS is done with. The process default of rustls is never set and never asked.
///
/// The order of the key exchanges is ours: without its feature `prefer-post-quantum` rustls would put the hybrid last,
/// and a recorded session could be read once somebody has a quantum computer.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            kx_groups: vec![
                aws_lc_rs::kx_group::X25519MLKEM768,
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
                aws_lc_rs::kx_group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}
