//! The PROXY header, by which a balancer says ahead of a connection's bytes for whom it connects (HAProxy, "The PROXY protocol",
//! versions 1 and 2).
//!
//! Owns its grammar alone. Must not know who is believed. All input is hostile until its end: what could be read in two ways
//! is a fault.

use std::net::IpAddr;

/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// Version 2: the signature, version and command, family, and the length of what follows.
const HEAD: usize = 16;
/// Version 1: the longest line that the protocol has (2.1), its end included.
const LONGEST_LINE: usize = 107;
/// The longest header, in bytes. Addresses take 232; the rest is for fields that are skipped: names, ids, a client's certificate.
/// nginx has the same bound.
pub const LONGEST: usize = 4096;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The balancer's own, or of a client without an address: the peer's counts.
    Peer,
    /// A client's. Never an IPv4 address mapped into IPv6.
    Client(IpAddr),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They begin with something else, such as TLS or HTTP.
    Absent,
    /// The line of version 1 is none.
    Malformed,
    /// It is neither 1 nor 2.
    Version,
    /// It is neither PROXY nor LOCAL.
    Command,
    /// Of addresses over which there are no TCP connections.
    Family,
    /// It has no room for its addresses, or the connection ends within it.
    Cut,
    /// Over what any balancer sends.
    TooLong,
}

impl Fault {
    /// In words for the operator.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Absent => {
                "no PROXY header, with which its connections have to begin: have it send one (send-proxy-v2, proxy_protocol), or take \
                 it out of proxy-protocol"
            }
            Fault::Malformed => "a malformed PROXY header",
            Fault::Version => "a PROXY header of an unknown version",
            Fault::Command => "a PROXY header with an unknown command",
            Fault::Family => "a PROXY header with an unknown family of addresses",
            Fault::Cut => "a PROXY header that is cut short",
            Fault::TooLong => "a PROXY header that is too long",
        }
    }
}

/// Reads a header from the beginning of `input`: whose connection it is, and how many bytes it took. `None`: more are needed,
/// [`LONGEST`] at most.
pub fn parse(input: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    if may_begin_with(input, SIGNATURE) {
        binary(input)
    } else if may_begin_with(input, WORD) {
        line(input)
    } else {
        Err(Fault::Absent)
    }
}

fn may_begin_with(input: &[u8], wanted: &[u8]) -> bool {
    input
        .iter()
        .zip(wanted)
        .all(|(byte, wanted)| byte == wanted)
}

/// Version 2 (2.2).
fn binary(input: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    let Some((head, rest)) = input.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // The room that the addresses take. LOCAL may have any, of no meaning.
    let addresses = match (command, family) {
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        (0x21, _) => return Err(Fault::Family),
        _ if command >> 4 != 2 => return Err(Fault::Version),
        _ => return Err(Fault::Command),
    };
    if HEAD + length > LONGEST {
        return Err(Fault::TooLong);
    }
    if length < addresses {
        return Err(Fault::Cut);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(None);
    };
    let source = match addresses {
        12 => block.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        36 => block.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    };
    Ok(Some((source.map_or(Source::Peer, client), HEAD + length)))
}

/// Version 1 (2.1).
fn line(input: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    let mut within = input.iter().take(LONGEST_LINE);
    let Some(end) = within.position(|byte| *byte == b'\n') else {
        return match input.len() < LONGEST_LINE {
            true => Ok(None),
            false => Err(Fault::TooLong),
        };
    };
    let line = input.get(WORD.len()..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(Fault::Malformed)?;
    let mut words = line.split(|byte| *byte == b' ');
    let is_v4 = match words.next() {
        Some(b"TCP4") => true,
        Some(b"TCP6") => false,
        // Whatever follows is of no meaning.
        Some(b"UNKNOWN") => return Ok(Some((Source::Peer, end + 1))),
        _ => return Err(Fault::Family),
    };
    let mut words = words.map(|word| std::str::from_utf8(word).unwrap_or_default());
    let mut address = || {
        let address: IpAddr = words.next()?.parse().ok()?;
        (address.is_ipv4() == is_v4).then_some(address)
    };
    let (source, destination) = (address(), address());
    let has_ports = words.next().is_some_and(is_port) && words.next().is_some_and(is_port);
    match (source, destination, words.next()) {
        (Some(source), Some(_), None) if has_ports => Ok(Some((client(source), end + 1))),
        _ => Err(Fault::Malformed),
    }
}

fn client(address: IpAddr) -> Source {
    Source::Client(address.to_canonical())
}

/// Digits without a zero before them.
fn is_port(word: &str) -> bool {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    is_plain && (word == "0" || !word.starts_with('0')) && word.parse::<u16>().is_ok()
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
#[cfg(test)]
mod tests;
