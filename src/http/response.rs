//! An answer's head, read as strictly as a request's: a backend is trusted with its clients' data, not with their
//! connections. All input is hostile.

use std::fmt;

use super::fields::{FieldFault, Fields, Span, hop_by_hop, leads_to_websocket};
use super::framing::{
    ConnectionOptions, Declared, Framing, FramingFault, FramingFields, ProtectedField, Version,
};
use super::grammar::{elements, is_value_byte, trim};
use super::input::INPUT_LIMIT;
use super::scan::{Limits, LineFault, scan};

/// Twice what a client may send: registries answer with long `Link`, `Location` and cookie fields. No more than an
/// [`Input`](super::Input) holds, so that this limit is met first.
const LIMITS: Limits = Limits {
    bytes: INPUT_LIMIT,
    lines: 1 + 200,
};

/// Why an answer is not HTTP that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each one's `Display` says what it is.
pub enum BadResponse {
    BareLineFeed,
    BareCarriageReturn,
    Nul,
    FoldedLine,
    StatusLine,
    FieldName,
    FieldValue,
    HeadTooLong,
    TooManyFields,
    LengthTwice,
    Length,
    LengthAndCoding,
    Coding,
    UnknownCoding,
    CodingInOldVersion,
    ProtectedFieldListed,
}

impl fmt::Display for BadResponse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::BareLineFeed => "a bare LF as line end",
            Self::BareCarriageReturn => "a bare CR",
            Self::Nul => "a NUL in the head",
            Self::FoldedLine => "a folded header line",
            Self::StatusLine => "no status line of HTTP/1.x",
            Self::FieldName => "a field name outside the grammar",
            Self::FieldValue => "a field value outside the grammar",
            Self::HeadTooLong => "header fields over 64 KiB",
            Self::TooManyFields => "more than 200 header fields",
            Self::LengthTwice => "two content-length fields",
            Self::Length => "a content-length that is not a plain number",
            Self::LengthAndCoding => "content-length together with transfer-encoding",
            Self::Coding => {
                "a transfer-encoding that is malformed, or chunked repeated or not last"
            }
            Self::UnknownCoding => "a transfer coding other than chunked",
            Self::CodingInOldVersion => "a transfer-encoding in HTTP/1.0",
            Self::ProtectedFieldListed => {
                "a connection field that names a field that must not be taken out"
            }
        })
    }
}

impl std::error::Error for BadResponse {}

impl From<LineFault> for BadResponse {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::BareLineFeed => Self::BareLineFeed,
            LineFault::BareCarriageReturn => Self::BareCarriageReturn,
            LineFault::Nul => Self::Nul,
            LineFault::Folded => Self::FoldedLine,
            LineFault::TooLong => Self::HeadTooLong,
            LineFault::TooManyLines => Self::TooManyFields,
        }
    }
}

impl From<FieldFault> for BadResponse {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Name => Self::FieldName,
            FieldFault::Value => Self::FieldValue,
        }
    }
}

impl From<FramingFault> for BadResponse {
    fn from(fault: FramingFault) -> Self {
        match fault {
            FramingFault::LengthTwice => Self::LengthTwice,
            FramingFault::LengthUnclean => Self::Length,
            FramingFault::LengthAndCoding => Self::LengthAndCoding,
            FramingFault::CodingMalformed => Self::Coding,
            FramingFault::CodingUnknown => Self::UnknownCoding,
            FramingFault::CodingInOldVersion => Self::CodingInOldVersion,
        }
    }
}

impl From<ProtectedField> for BadResponse {
    fn from(_: ProtectedField) -> Self {
        Self::ProtectedFieldListed
    }
}

/// An answer's head that may be passed on. May hold cookies: it is never cloned, and its `Debug` shows no field.
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    declared: Declared,
    framing: Framing,
    connection: ConnectionOptions,
    announces_trailers: bool,
    ends_at_close: bool,
}

impl ResponseHead {
    /// Reads a head from the beginning of `input`; `request_method` is that of the request which it answers. `None`: more
    /// bytes are needed; else the head and how many bytes it took.
    pub fn parse(input: &[u8], request_method: &str) -> Result<Option<(Self, usize)>, BadResponse> {
        let Some(lines) = scan(input, &LIMITS)? else {
            return Ok(None);
        };
        let head = input.get(..lines.end).unwrap_or_default();
        let line = head.get(..lines.first).unwrap_or_default();
        let (version, status, reason) = status_line(line).ok_or(BadResponse::StatusLine)?;
        let fields = Fields::parse(head, lines.first + 2)?;
        let mut framing = FramingFields::default();
        let mut connection = ConnectionOptions::default();
        let mut announces_trailers = false;
        for (name, value, _) in fields.spanned() {
            match name.len() {
                7 if name.eq_ignore_ascii_case(b"trailer") => announces_trailers = true,
                10 if name.eq_ignore_ascii_case(b"connection") => connection.add(value)?,
                14 if name.eq_ignore_ascii_case(b"content-length") => framing.length(value)?,
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => framing.codings(value)?,
                _ => {}
            }
        }
        let declared = framing.declared(version)?;
        let never_has_body = matches!(status, 100..=199 | 204 | 304);
        let framing = match declared {
            // RFC 9112, 6.3: these have no body whatever they say.
            _ if request_method == "HEAD" || never_has_body => Framing::Empty,
            Declared::Nothing => Framing::UntilClose,
            Declared::Length(length) => Framing::Length(length),
            Declared::Chunked => Framing::Chunked,
        };
        let reason = Span::new(lines.first - reason.len(), reason.len());
        Ok(Some((
            Self {
                fields,
                status,
                reason,
                version,
                declared,
                framing,
                connection,
                announces_trailers,
                ends_at_close: declared == Declared::Nothing && !never_has_body,
            },
            lines.end,
        )))
    }

    /// Whether it goes on as a WebSocket.
    pub fn is_websocket(&self) -> bool {
        leads_to_websocket(self.values("upgrade"), self.values("connection"))
    }

    /// 100 to 999: three digits, of which RFC 9110, 15 gives those from 600 on no meaning, and proxies pass them.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// As the backend phrased it, perhaps empty.
    pub fn reason(&self) -> &[u8] {
        self.fields.bytes(self.reason)
    }

    /// What the backend speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Every field as it came and in its order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// The same, with names as bytes, which costs less.
    pub(super) fn raw_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.spanned().map(|(name, value, _)| (name, value))
    }

    /// The values of all fields of this name, whatever its case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.values(name)
    }

    /// Where the body ends that follows this head.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The backend wants a user and a password: a 401 with a Basic challenge, alone or beside others.
    pub fn asks_for_password(&self) -> bool {
        self.status == 401 && self.values("www-authenticate").any(has_basic)
    }

    /// The backend will take another request on this connection, once this answer was read to its end. An answer whose body
    /// would end at the close does not say so, even where it has none (to a HEAD): its backend is about to close.
    pub fn keeps_alive(&self) -> bool {
        !self.ends_at_close && self.connection.persistent(self.version)
    }

    /// Trailers may follow the body that are to be relayed.
    pub fn announces_trailers(&self) -> bool {
        self.announces_trailers && self.framing == Framing::Chunked
    }

    /// Of a trailer section as [`Body::trailers`](super::Body::trailers) hands it out, the fields that `Trailer` named.
    pub fn announced(&self, trailers: &[u8]) -> Vec<u8> {
        let is_announced = |name: &[u8]| {
            self.values("trailer")
                .any(|value| elements(value).any(|element| element.eq_ignore_ascii_case(name)))
        };
        let mut announced = Vec::new();
        for line in trailers.split_inclusive(|byte| *byte == b'\n') {
            if is_announced(line.split(|byte| *byte == b':').next().unwrap_or_default()) {
                announced.extend_from_slice(line);
            }
        }
        announced
    }

    /// What the head said of a length, also where there is no body.
    pub(super) fn declared(&self) -> Declared {
        self.declared
    }

    pub(super) fn connection(&self) -> ConnectionOptions {
        self.connection
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}

/// Whether a trailer field may be relayed: none that frames, routes or authenticates a message or tells what its content
/// is, since the recipient has acted on those already (RFC 9110, 6.5.1).
pub(super) fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 14] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-range",
        "authorization",
        "www-authenticate",
        "set-cookie",
        "location",
        "cache-control",
        "expect",
        "range",
        "retry-after",
        "vary",
    ];
    !hop_by_hop(name) && !NEVER.iter().any(|never| never.eq_ignore_ascii_case(name))
}

/// Whether one of the challenges in a value of `WWW-Authenticate` (RFC 9110, 11.6.1) is of the scheme Basic. A comma stands
/// between two of them as between two parameters, and may also be quoted.
fn has_basic(value: &[u8]) -> bool {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let mut elements = value.split(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        !is_quoted && *byte == b','
    });
    elements.any(|element| {
        let element = trim(element);
        let scheme = element
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next()
            .unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"basic")
    })
}

/// RFC 9112, 4. Without a reason its blank may be missing: many servers leave it out.
fn status_line(line: &[u8]) -> Option<(Version, u16, &[u8])> {
    let (version, rest) = line.split_at_checked(8)?;
    let version = Version::parse(version).ok()?;
    let [
        b' ',
        hundreds @ b'1'..=b'9',
        tens @ b'0'..=b'9',
        ones @ b'0'..=b'9',
        rest @ ..,
    ] = rest
    else {
        return None;
    };
    let status = [hundreds, tens, ones]
        .into_iter()
        .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    reason
        .iter()
        .all(|byte| is_value_byte(*byte))
        .then_some((version, status, reason))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
