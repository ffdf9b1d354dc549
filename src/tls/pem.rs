//! Files of certificates and keys, as PEM.
//!
//! Owns reading them within bounds and saying in a person's words what is wrong with them. Knows nothing of what a
//! certificate says. The files are the administrator's: not hostile, but often the wrong one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::files;

/// A chain with its key is some ten kilobytes, the bundle of all public roots a quarter of a megabyte.
const MAX_FILE: u64 = 1024 * 1024;

/// All certificates of a file in their order, never none.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(&text, &error))?;
    if certificates.is_empty() {
        return Err(found_instead("certificate", &text));
    }
    Ok(certificates)
}

/// The one private key of a file: PKCS#8, PKCS#1 (RSA) or SEC1 (EC), not encrypted.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    if is_encrypted(&text) {
        return Err(ENCRYPTED.to_owned());
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(&text, &error))?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (None, _) => Err(found_instead("private key", &text)),
        (Some(_), others) => Err(format!(
            "{} private keys in it, and no telling which one is meant: leave one",
            others + 1
        )),
    }
}

const ENCRYPTED: &str = "the private key is encrypted, and nobody is there to type its passphrase at start: \
     write it without one, `openssl pkey -in OLD -out NEW`";

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|error| files::why(path, &error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!(
            "larger than {MAX_FILE} bytes: not a file of certificates or keys"
        ));
    }
    // The PEM reader would skip a first section behind a byte order mark without a word.
    if text.starts_with(b"\xEF\xBB\xBF") {
        text.drain(..3);
    }
    Ok(text)
}

fn damaged(text: &[u8], error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { end_marker } => format!(
            "cut short: no \"-----END {}-----\" line",
            String::from_utf8_lossy(end_marker).escape_debug()
        ),
        Error::IllegalSectionStart { line } => {
            format!("malformed PEM: {:?}", String::from_utf8_lossy(line))
        }
        _ if is_encrypted(text) => ENCRYPTED.to_owned(),
        _ => "malformed PEM: not base64 between its BEGIN and END lines".to_owned(),
    }
}

fn found_instead(wanted: &str, text: &[u8]) -> String {
    if text.is_empty() {
        return format!("no {wanted} in it: the file is empty");
    }
    let labels = labels(text);
    if labels.is_empty() {
        // Every DER certificate, key and PKCS#12 store is one ASN.1 SEQUENCE of more than 255 bytes.
        return if text.starts_with(&[0x30, 0x82]) || text.starts_with(&[0x30, 0x81]) {
            format!("no {wanted} in it: binary (DER or PKCS#12), not PEM; convert it with openssl")
        } else {
            format!("no {wanted} in it: not a PEM file")
        };
    }
    format!("no {wanted} in it, only {}", labels.join(", "))
}

/// What the sections of a file call themselves, each once and at most four.
fn labels(text: &[u8]) -> Vec<String> {
    let mut labels = Vec::new();
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(rest) = line.trim_ascii().strip_prefix(b"-----BEGIN ") else {
            continue;
        };
        let label = rest.strip_suffix(b"-----").unwrap_or(rest);
        let label = String::from_utf8_lossy(label.get(..40).unwrap_or(label));
        let label = format!("\"{}\"", label.escape_debug());
        if !labels.contains(&label) {
            labels.push(label);
        }
        if labels.len() == 4 {
            break;
        }
    }
    labels
}

/// PKCS#8 says it in the label, the older forms in a header between label and base64 (RFC 1421).
fn is_encrypted(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}
