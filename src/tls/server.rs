//! How the gate speaks TLS to clients.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};

use super::certificates::Certificates;
use super::provider::{HTTP_1_0, HTTP_1_1, provider};

/// What an ACME authority speaks that looks at a challenge, and nothing else (RFC 8737, 4).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// TLS 1.2 and 1.3, `http/1.1` and `http/1.0`, resumption by tickets (their keys live in this process and change every six hours, so
/// that it costs no memory per client), and no early data: a replayed `PUT` would be a second one. Where challenges are answered
/// `acme-tls/1` too. `clients` checks certificates of clients, if those are asked for: each such configuration has ticket keys of its own,
/// so that nobody resumes with a certificate that was checked against something else.
pub fn server_config(
    certificates: Arc<Certificates>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, String> {
    let answers_challenges = certificates.answers_challenges();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates);
    // In the order of preference. Clients that offer none of these are refused.
    config.alpn_protocols = vec![HTTP_1_1.to_vec(), HTTP_1_0.to_vec()];
    if answers_challenges {
        config.alpn_protocols.push(ACME_TLS.to_vec());
    }
    config.ticketer =
        Ticketer::new().map_err(|error| format!("no key for session tickets: {error}"))?;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use rustls::client::WebPkiServerVerifier;
    use rustls::pki_types::ServerName;
    use rustls::{
        ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, ProtocolVersion,
        RootCertStore, ServerConnection, SupportedProtocolVersion,
    };

    use super::super::host::Name;
    use super::super::issue::Authority;
    use super::super::pair::{Pair, load_pair};
    use super::super::scratch::Scratch;
    use super::super::{client_config, pem};
    use super::*;

    /// A CA on disk, and pairs that it signed.
    struct Trial {
        scratch: Scratch,
        authority: Authority,
    }

    impl Trial {
        fn new() -> Trial {
            let scratch = Scratch::new();
            let made = Authority::make("trial", SystemTime::now()).unwrap();
            let (ca, key) = (
                scratch.file("ca.crt", made.certificate),
                scratch.file("ca.key", made.key),
            );
            let authority = Authority::load(&ca, &key).unwrap();
            Trial { scratch, authority }
        }

        fn pair(&self, names: &[&str]) -> Pair {
            let names: Vec<Name> = names
                .iter()
                .map(|name| Name::parse(name).unwrap())
                .collect();
            let issued = self.authority.issue(&names, SystemTime::now()).unwrap();
            let cert = self.scratch.file("leaf.crt", issued.certificate);
            load_pair(&cert, &self.scratch.file("leaf.key", issued.key)).unwrap()
        }

        fn client(&self) -> Arc<ClientConfig> {
            client_config(Some(&self.scratch.path().join("ca.crt"))).unwrap()
        }

        fn server(&self, first: &[&str], others: &[&[&str]]) -> Arc<ServerConfig> {
            let others = others.iter().map(|names| self.pair(names));
            let pairs = std::iter::once(self.pair(first)).chain(others).collect();
            server_config(certificates(pairs), None).unwrap()
        }
    }

    fn certificates(pairs: Vec<Pair>) -> Arc<Certificates> {
        Arc::new(Certificates::new(pairs, Vec::new(), None))
    }

    fn only(version: &'static SupportedProtocolVersion, ca: &Path) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(pem::read_certificates(ca).unwrap().remove(0))
            .unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_webpki_verifier(verifier)
            .with_no_client_auth()
    }

    /// A whole handshake in memory, with the tickets that come after it.
    fn shake(
        client: &Arc<ClientConfig>,
        server: &Arc<ServerConfig>,
        name: &str,
    ) -> Result<(ClientConnection, ServerConnection), Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(client), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok((client, server))
    }

    fn shown(client: &ClientConnection) -> Vec<String> {
        let leaf = &client.peer_certificates().unwrap()[0];
        super::super::facts::Facts::read(leaf).unwrap().names
    }

    #[test]
    fn both_sides_agree_on_tls_1_3_the_hybrid_key_exchange_and_http() {
        let trial = Trial::new();
        let (client, server) = shake(
            &trial.client(),
            &trial.server(&["a.example"], &[]),
            "a.example",
        )
        .unwrap();
        assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = server.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert_eq!(client.alpn_protocol(), Some(b"http/1.1".as_slice()));
    }

    #[test]
    fn tls_1_2_works_too_and_resumes() {
        let trial = Trial::new();
        let server = trial.server(&["a.example"], &[]);
        let client = Arc::new(only(&TLS12, &trial.scratch.path().join("ca.crt")));
        let (_, first) = shake(&client, &server, "a.example").unwrap();
        assert_eq!(first.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert_eq!(
            first.alpn_protocol(),
            None,
            "a client without ALPN is welcome"
        );
        let (_, second) = shake(&client, &server, "a.example").unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    }

    #[test]
    fn the_second_connection_resumes_without_early_data() {
        let trial = Trial::new();
        let (client, server) = (trial.client(), trial.server(&["a.example"], &[]));
        let (_, first) = shake(&client, &server, "a.example").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        let (mut second, resumed) = shake(&client, &server, "a.example").unwrap();
        assert_eq!(resumed.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(second.early_data().is_none() && !second.is_early_data_accepted());
    }

    #[test]
    fn the_name_asked_for_chooses_the_certificate() {
        let trial = Trial::new();
        let server = trial.server(
            &["a.example", "127.0.0.1"],
            &[&["b.example"], &["*.wild.example"]],
        );
        let names =
            |name: &str| shake(&trial.client(), &server, name).map(|(client, _)| shown(&client));
        assert_eq!(names("a.example").unwrap(), ["a.example", "127.0.0.1"]);
        assert_eq!(names("B.EXAMPLE").unwrap(), ["b.example"]);
        assert_eq!(names("x.wild.example").unwrap(), ["*.wild.example"]);
        // An address is no server name in TLS: the first answers.
        assert_eq!(names("127.0.0.1").unwrap(), ["a.example", "127.0.0.1"]);
        // So it does for a name that none has, and the client says no.
        for unknown in ["c.example", "x.y.wild.example", "wild.example"] {
            assert!(
                matches!(names(unknown), Err(Error::InvalidCertificate(_))),
                "{unknown}"
            );
        }
    }

    #[test]
    fn a_replaced_certificate_is_shown_from_the_next_handshake_on() {
        let trial = Trial::new();
        let certificates = certificates(vec![trial.pair(&["a.example"])]);
        let server = server_config(Arc::clone(&certificates), None).unwrap();
        shake(&trial.client(), &server, "a.example").unwrap();
        certificates.replace(vec![trial.pair(&["a.example", "new.example"])]);
        let (client, _) = shake(&trial.client(), &server, "a.example").unwrap();
        assert_eq!(shown(&client), ["a.example", "new.example"]);
    }

    #[test]
    fn a_client_that_speaks_only_http_2_is_refused() {
        let trial = Trial::new();
        let mut client = only(&TLS13, &trial.scratch.path().join("ca.crt"));
        client.alpn_protocols = vec![b"h2".to_vec()];
        let refused = shake(
            &Arc::new(client),
            &trial.server(&["a.example"], &[]),
            "a.example",
        );
        assert_eq!(refused.err(), Some(Error::NoApplicationProtocol));
    }

    #[test]
    fn another_ca_is_not_trusted() {
        let (trial, stranger) = (Trial::new(), Trial::new());
        let refused = shake(
            &stranger.client(),
            &trial.server(&["a.example"], &[]),
            "a.example",
        );
        assert!(matches!(refused, Err(Error::InvalidCertificate(_))));
    }
}
