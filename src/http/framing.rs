//! Where a message's body ends, and whether the connection outlives it: the fields that decide it, taken together.
//! Two readers who disagree here are what request smuggling lives on, so anything that could be read in two ways is a
//! fault. All input is hostile.

use super::fields::Folded;
use super::grammar::{elements, is_token};

/// The minor versions that are told apart; any later 1.x counts as 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// No chunks, no 1xx, no persistence unless asked for.
    Http10,
    /// All the rest.
    Http11,
}

/// Why a version is not one that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionFault {
    Malformed,
    OtherMajor,
}

impl Version {
    /// `HTTP/`, a digit, a dot, a digit, and nothing else (RFC 9112, 2.3).
    pub(super) fn parse(text: &[u8]) -> Result<Self, VersionFault> {
        match text.strip_prefix(b"HTTP/") {
            Some(b"1.1") => Ok(Self::Http11),
            Some(b"1.0") => Ok(Self::Http10),
            Some([b'1', b'.', b'0'..=b'9']) => Ok(Self::Http11),
            Some([b'0'..=b'9', b'.', b'0'..=b'9']) => Err(VersionFault::OtherMajor),
            _ => Err(VersionFault::Malformed),
        }
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes; 0 where a length of 0 was said.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// Where the sender closes. Answers only.
    UntilClose,
}

/// What the framing fields of one head say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

/// Why the framing fields of one head cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FramingFault {
    LengthTwice,
    LengthUnclean,
    LengthAndCoding,
    CodingMalformed,
    CodingUnknown,
    CodingInOldVersion,
}

/// Gathers `Content-Length` and `Transfer-Encoding` while the fields pass by.
#[derive(Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    unknown: bool,
}

impl FramingFields {
    /// A list of identical lengths is refused like a list of different ones: some hop will have taken the first.
    pub fn length(&mut self, value: &[u8]) -> Result<(), FramingFault> {
        if self.length.is_some() {
            return Err(FramingFault::LengthTwice);
        }
        self.length = Some(parse_length(value).ok_or(FramingFault::LengthUnclean)?);
        Ok(())
    }

    /// RFC 9112, 6.1: `chunked` once and last.
    pub fn codings(&mut self, value: &[u8]) -> Result<(), FramingFault> {
        self.coded = true;
        for coding in elements(value) {
            if self.chunked
                || !is_token(
                    coding
                        .split(|byte| *byte == b';')
                        .next()
                        .unwrap_or_default(),
                )
            {
                return Err(FramingFault::CodingMalformed);
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
            } else {
                self.unknown = true;
            }
        }
        Ok(())
    }

    pub fn declared(&self, version: Version) -> Result<Declared, FramingFault> {
        match (self.coded, self.length) {
            (true, Some(_)) => Err(FramingFault::LengthAndCoding),
            (true, None) if version == Version::Http10 => Err(FramingFault::CodingInOldVersion),
            (true, None) if self.unknown || !self.chunked => Err(FramingFault::CodingUnknown),
            (true, None) => Ok(Declared::Chunked),
            (false, Some(length)) => Ok(Declared::Length(length)),
            (false, None) => Ok(Declared::Nothing),
        }
    }
}

/// Digits and nothing else, and no more than a signed 64-bit number holds, since many programs count in those.
fn parse_length(value: &[u8]) -> Option<u64> {
    // 19 digits are the most that fit; more of them could only be zeros in front.
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length: u64 = 0;
    for byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    (length <= i64::MAX as u64).then_some(length)
}

/// A `Connection` field named one of the fields that must never be taken out of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProtectedField;

/// What the `Connection` fields of one head say together.
#[derive(Default, Clone, Copy)]
pub(super) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    /// Some option may be the name of a field.
    pub lists_fields: bool,
}

impl ConnectionOptions {
    pub fn add(&mut self, value: &[u8]) -> Result<(), ProtectedField> {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !option.is_empty() {
                if is_protected(option) {
                    return Err(ProtectedField);
                }
                self.lists_fields = true;
            }
        }
        Ok(())
    }

    /// RFC 9112, 9.3.
    pub fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

fn is_protected(name: &[u8]) -> bool {
    matches!(
        Folded::of(name).as_bytes(),
        b"host"
            | b"content-length"
            | b"transfer-encoding"
            | b"authorization"
            | b"content-type"
            | b"content-range"
            | b"expect"
    )
}

#[cfg(test)]
mod tests;
