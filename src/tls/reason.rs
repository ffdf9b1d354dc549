//! What went wrong with a client's TLS, in words for whoever runs the gate.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// What an error of a TLS stream says, with the cause where rustls names a rule alone.
pub fn reason(error: &io::Error) -> String {
    let inner = error.get_ref();
    let words = inner.and_then(|inner| words(inner.downcast_ref::<Error>()?));
    words.map_or_else(|| error.to_string(), str::to_owned)
}

fn words(error: &Error) -> Option<&'static str> {
    Some(match error {
        // The name is part of what both sides sign: going on as if it had not been sent is not possible.
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | Error::InvalidMessage(InvalidMessage::InvalidServerName) => {
            "the client sent a server name (SNI) that is no host name, perhaps one with a port: \
             have it send the name alone"
        }
        // The one reason for which no certificate is found.
        Error::General(said) if said == "no server certificate chain resolved" => {
            "an ACME authority's challenge is asked for (acme-tls/1), and none is open for that name"
        }
        Error::NoApplicationProtocol => {
            "the client offers neither http/1.1 nor http/1.0 (ALPN): only these are spoken here"
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the client offers neither TLS 1.3 nor TLS 1.2: only these are spoken here",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what the client sent is not TLS"
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        ) => {
            "the client does not trust the certificate: have it trust the CA, or show it another \
             certificate"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_remedy_is_said_in_words_and_the_rest_as_it_is() {
        let said = |error| reason(&io::Error::new(io::ErrorKind::InvalidData, error));
        let name = PeerMisbehaved::ServerNameMustContainOneHostName;
        assert!(said(Error::from(name)).contains("(SNI) that is no host name"));
        assert!(said(Error::NoApplicationProtocol).contains("ALPN"));
        assert_eq!(said(Error::DecryptError), Error::DecryptError.to_string());
        assert_eq!(reason(&io::Error::other("other")), "other");
    }
}
