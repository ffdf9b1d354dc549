//! What went wrong with a client's TLS, in words for whoever runs the gate.

use std::io;

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved,
};

/// What an error of a TLS stream says, with the cause where rustls names a rule alone.
pub fn reason(error: &io::Error) -> String {
    let inner = error.get_ref();
    let words = inner.and_then(|inner| words(inner.downcast_ref::<Error>()?));
    words.map_or_else(|| error.to_string(), str::to_owned)
}

/// What webpki has found, of which rustls has no word of its own.
fn says(error: &OtherError, what: &str) -> bool {
    format!("{error:?}").contains(what)
}

fn words(error: &Error) -> Option<&'static str> {
    Some(match error {
        // The name is part of what both sides sign: going on as if it had not been sent is not possible.
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | Error::InvalidMessage(InvalidMessage::InvalidServerName) => {
            "the client sent a server name (SNI) that is no host name, perhaps one with a port: \
             have it send the name alone"
        }
        // Else there is always one.
        Error::General(said) if said == "no server certificate chain resolved" => {
            "no certificate is there: an ACME authority's challenge was asked for (acme-tls/1) that is not open, or no \
             site has one yet"
        }
        Error::NoApplicationProtocol => {
            "the client offers neither http/1.1 nor http/1.0 (ALPN): only these are spoken here"
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the client offers neither TLS 1.3 nor TLS 1.2: only these are spoken here",
        Error::InvalidCertificate(CertificateError::Other(why))
            if says(why, "UnsupportedCertVersion") =>
        {
            "the client's certificate is of X.509 version 1: have it made with extensions, as by openssl x509 -extfile"
        }
        Error::InvalidCertificate(CertificateError::Other(why))
            if says(why, "CaUsedAsEndEntity") =>
        {
            "the client's certificate is that of a CA: have one made for the client, which the CA signs"
        }
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
