//! TLS on both sides: what the gate shows to clients, and what it asks of an `https://` backend.
//!
//! Owns the one cryptographic provider, certificates and keys on disk and in memory, and the private CA of
//! `--tls-self-signed`. Knows nothing of sockets, HTTP or settings: files and names come in as arguments, faults go
//! out as text for the caller to put a place before.
//!
//! Hostile input: the client hello (its server name chooses a certificate). Files are not hostile but often wrong.

mod certificates;
mod client;
mod clients;
mod der;
mod facts;
mod host;
mod issue;
mod pair;
mod pem;
mod presented;
mod provider;
mod reason;
#[cfg(test)]
pub(crate) mod scratch;
mod self_signed;
mod server;
pub mod store;
mod trouble;

pub use certificates::{Certificates, Challenges, Issued, OfSite};
pub use client::{client_config, trust_anchors};
pub use clients::{Demand, client_verifier, end_of, user_of};
pub use facts::{date, instant};
pub use host::{Name, host_name};
pub use issue::{Request, STAND_IN, challenge, new_key, request, stand_in};
pub use pair::{Pair, PairFault, Which, load_pair};
pub use pem::read_key;
pub use presented::{Issuer, Presented, Recorder, look};
pub use provider::provider;
pub use reason::reason;
pub use self_signed::SelfSigned;
pub use server::{ACME_TLS, server_config};
pub use trouble::{trouble, trouble_of};

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use std::process::Command;

    /// Cargo.lock does not tell: it lists optional dependencies that nothing turns on.
    #[test]
    fn there_is_no_second_cryptographic_provider_in_the_tree() {
        let holds = |package: &str| {
            let tree = Command::new(env!("CARGO"))
                .args([
                    "tree",
                    "--offline",
                    "--edges",
                    "normal,build",
                    "--invert",
                    package,
                ])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .output()
                .expect("cargo runs");
            String::from_utf8_lossy(&tree.stdout).contains("portreeve")
        };
        assert!(holds("aws-lc-rs"));
        assert!(!holds("ring"));
    }
}
