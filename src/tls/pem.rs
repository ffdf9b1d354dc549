//! Files of certificates and keys, as PEM.
//!
//! Owns reading them within bounds and saying in a person's words what is wrong with them. Knows nothing of what a
//! certificate says. The files are the administrator's: not hostile, but often the wrong one, or mangled on their way
//! through a shell or a variable. What is in them is secret: a message is made of the words here and never of a file's
//! bytes, which is why it can name a section only by [`LABELS`].

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

/// What the sections of such files are called (RFC 7468, and what openssl and ssh write). A message may name these.
const LABELS: [&str; 19] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "CMS",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "EC PARAMETERS",
    "DH PARAMETERS",
    "PGP PRIVATE KEY BLOCK",
];
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

fn damaged(text: &[u8], error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    if is_encrypted(text) {
        return ENCRYPTED.to_owned();
    }
    match (mangled(text), error) {
        (Some(how), _) => how.to_owned(),
        (None, Error::MissingSectionEnd { end_marker }) => match known(end_marker) {
            Some(label) => format!("cut short: no \"-----END {label}-----\" line"),
            None => "cut short: a section has no END line".to_owned(),
        },
        (None, _) => "malformed PEM: not base64 between its BEGIN and END lines".to_owned(),
    }
}

fn found_instead(wanted: &str, text: &[u8]) -> String {
    if text.is_empty() {
        return format!("no {wanted} in it: the file is empty");
    }
    if let Some(how) = mangled(text) {
        return format!("no {wanted} in it: {how}");
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

/// What became of a file that was one of PEM once, if its shape tells.
fn mangled(text: &[u8]) -> Option<&'static str> {
    if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") {
        return Some("written as UTF-16: write it as UTF-8 or ASCII");
    }
    let holds = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    if !holds(BEGIN) {
        return None;
    }
    if holds(b"\\n") {
        return Some(
            "the line breaks were lost: a backslash and an n stand where a line should end",
        );
    }
    lines(text).find_map(|line| match marker(line) {
        Marker::None | Marker::Alone => None,
        Marker::Indented => Some(
            "lines begin with blanks: -----BEGIN and -----END must stand at the beginning of their lines",
        ),
        Marker::Behind => Some("something stands before -----BEGIN on its line: take it away"),
        Marker::Glued => Some(
            "the line breaks were lost: -----BEGIN …----- and -----END …----- must stand on lines of their own, \
             with the base64 on lines between them",
        ),
    })
}

/// Whether a line has a BEGIN or END in it, and whether it has it right.
enum Marker {
    None,
    /// As it must be; blanks at its end are allowed.
    Alone,
    /// Alone, but not at the beginning.
    Indented,
    /// Whole, with a quote or a name before it.
    Behind,
    /// With what belongs on other lines.
    Glued,
}

fn marker(line: &[u8]) -> Marker {
    let at = |part: &[u8]| line.windows(part.len()).position(|window| window == part);
    let Some(start) = [at(BEGIN), at(END)].into_iter().flatten().min() else {
        return Marker::None;
    };
    let (before, rest) = line.split_at(start);
    let rest = rest.strip_prefix(BEGIN).or_else(|| rest.strip_prefix(END));
    let label = rest.and_then(|rest| rest.trim_ascii_end().strip_suffix(DASHES));
    let is_whole = label.is_some_and(|label| !label.contains(&b'-'));
    match before {
        _ if !is_whole => Marker::Glued,
        [] => Marker::Alone,
        _ if before.trim_ascii().is_empty() => Marker::Indented,
        _ if at(BEGIN) == Some(start) => Marker::Behind,
        _ => Marker::Glued,
    }
}

/// What the sections of a file call themselves, each once and at most four.
fn labels(text: &[u8]) -> Vec<String> {
    let mut labels = Vec::new();
    for line in lines(text) {
        let Some(rest) = line.strip_prefix(BEGIN) else {
            continue;
        };
        let label = rest.trim_ascii_end().strip_suffix(DASHES).and_then(known);
        let label = label.map_or("a section of another kind".to_owned(), |label| {
            format!("\"{label}\"")
        });
        if !labels.contains(&label) {
            labels.push(label);
        }
        if labels.len() == 4 {
            break;
        }
    }
    labels
}

fn known(label: &[u8]) -> Option<&'static str> {
    LABELS.into_iter().find(|known| known.as_bytes() == label)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
}

/// PKCS#8 says it in the label, the older forms in a header between label and base64 (RFC 1421).
fn is_encrypted(text: &[u8]) -> bool {
    lines(text).any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}
