//! Why a handshake with a server failed, for the person who named that server.
//!
//! Owns the words and the remedy; everything else rustls says well enough. What the server sent is hostile, and nothing of
//! it is repeated here.

use std::io;

use rustls::{CertificateError, Error, InvalidMessage};

/// In a person's words; `ca` is the setting that names whom to trust.
pub fn trouble(error: &io::Error, ca: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner.and_then(|inner| known(inner, ca)) {
        Some(words) => words,
        None => crate::log::reason(error),
    }
}

/// The same of what is not wrapped.
pub fn trouble_of(error: &Error, ca: &str) -> String {
    known(error, ca).unwrap_or_else(|| error.to_string())
}

fn known(error: &Error, ca: &str) -> Option<String> {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(format!(
            "nobody who is trusted has signed its certificate; name the CA that has by {ca} FILE"
        )),
        // The issuer has the name of somebody who is trusted, and another key.
        Error::InvalidCertificate(CertificateError::BadSignature) => Some(format!(
            "its certificate is not signed by the CA of that name which is trusted; name the one that has by {ca} FILE"
        )),
        // The first byte of its first record is of no kind that there is: most likely "HTTP/1.1 400 Bad Request".
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(
            "it does not answer in TLS; write http:// if it is meant to speak in the clear"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_setting_can_mend_names_the_setting() {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let namesake = Error::InvalidCertificate(CertificateError::BadSignature);
        let clear = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let expired = Error::InvalidCertificate(CertificateError::Expired);
        for (error, expected) in [
            (unknown, "name the CA that has by --backend-ca FILE"),
            (namesake, "name the one that has by --backend-ca FILE"),
            (clear, "write http:// if"),
            (expired, "xpired"),
        ] {
            for words in [
                trouble_of(&error, "--backend-ca"),
                trouble(
                    &io::Error::new(io::ErrorKind::InvalidData, error),
                    "--backend-ca",
                ),
            ] {
                assert!(words.contains(expected), "{words}");
            }
        }
        let other = io::Error::from_raw_os_error(111);
        assert_eq!(trouble(&other, "--backend-ca"), "connection refused");
    }
}
