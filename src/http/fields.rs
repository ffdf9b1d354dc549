//! The fields of one head: their bytes in one allocation with spans over it, and the lists of names that are never
//! passed on. The only place that names `httparse` for heads. All input is hostile, names above all.

use std::str;

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::grammar::{elements, trim};

/// Most heads have fewer fields, and fewer slots are quicker to prepare.
const FEW: usize = 32;
/// The most that any section may have; what its own limit is, the scan before has seen to.
const MANY: usize = 200;

/// A stretch of the raw bytes of a head.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// Heads are at most 64 KiB, so the numbers fit; one that did not would become an empty span.
    pub fn new(start: usize, length: usize) -> Self {
        match (u32::try_from(start), u32::try_from(length)) {
            (Ok(start), Ok(length)) => Self { start, length },
            _ => Self {
                start: 0,
                length: 0,
            },
        }
    }

    /// Its beginning.
    pub fn shortened_to(self, length: usize) -> Self {
        match u32::try_from(length) {
            Ok(length) if length <= self.length => Self { length, ..self },
            _ => self,
        }
    }

    fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start as usize..)
            .and_then(|rest| rest.get(..self.length as usize))
            .unwrap_or_default()
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldFault {
    Name,
    Value,
}

/// A head's raw bytes and where its fields lie in them.
pub(super) struct Fields {
    raw: Vec<u8>,
    spans: Vec<(Span, Span)>,
}

impl Fields {
    /// Takes a whole head, empty line included, whose fields begin at `start`; the line ends have been checked.
    pub fn parse(head: &[u8], start: usize) -> Result<Self, FieldFault> {
        let section = head.get(start..).unwrap_or_default();
        let spans = match parse_into(head, section, &mut [EMPTY_HEADER; FEW]) {
            Err(Error::TooManyHeaders) => parse_into(head, section, &mut [EMPTY_HEADER; MANY]),
            other => other,
        };
        match spans {
            Ok(spans) => Ok(Self {
                raw: head.to_vec(),
                spans,
            }),
            Err(Error::HeaderValue) => Err(FieldFault::Value),
            Err(_) => Err(FieldFault::Name),
        }
    }

    /// Puts text behind the raw bytes that is not in them as it is needed, and says where.
    pub fn append(&mut self, text: &[u8]) -> Span {
        let start = self.raw.len();
        self.raw.extend_from_slice(text);
        Span::new(start, text.len())
    }

    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.raw)
    }

    /// For spans that were seen to be ASCII.
    pub fn text(&self, span: Span) -> &str {
        str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans
            .iter()
            .map(|(name, value)| (self.text(*name), self.bytes(*value)))
    }

    pub fn values(&self, wanted: &str) -> impl Iterator<Item = &[u8]> {
        self.spans
            .iter()
            .filter(move |(name, _)| self.bytes(*name).eq_ignore_ascii_case(wanted.as_bytes()))
            .map(|(_, value)| self.bytes(*value))
    }

    /// With each value's span, for those who keep one.
    pub fn spanned(&self) -> impl Iterator<Item = (&[u8], &[u8], Span)> {
        self.spans
            .iter()
            .map(|(name, value)| (self.bytes(*name), self.bytes(*value), *value))
    }
}

fn parse_into<'a>(
    head: &'a [u8],
    section: &'a [u8],
    slots: &mut [Header<'a>],
) -> Result<Vec<(Span, Span)>, Error> {
    let Status::Complete((used, headers)) = httparse::parse_headers(section, slots)? else {
        return Err(Error::NewLine);
    };
    // The scan found the end of this head; a parser that finds another is not to be believed.
    if used != section.len() {
        return Err(Error::NewLine);
    }
    let origin = head.as_ptr().addr();
    let span = |part: &[u8]| Span::new(part.as_ptr().addr().saturating_sub(origin), part.len());
    Ok(headers
        .iter()
        .map(|header| (span(header.name.as_bytes()), span(header.value)))
        .collect())
}

/// How the names begin of whole families of fields by which gates speak to backends: users, groups, roles and whatever
/// else a backend may take from them.
const OURS: [&[u8]; 5] = [
    b"x-forwarded-",
    b"x-original-",
    b"x-remote-",
    b"remote-",
    b"x-auth-",
];

/// Each byte of a name as the careless compare it.
const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'_' => b'-',
            byte => byte.to_ascii_lowercase(),
        };
        byte += 1;
    }
    table
};

/// A field name as the careless compare it: in lower case, `_` as `-`, cut off behind the longest name that is asked for.
pub(super) struct Folded {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Folded {
    /// No name in any list here is as long, so a longer name that is cut off equals none of them.
    const LONGEST: usize = 24;

    pub fn of(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LONGEST];
        for (folded, byte) in bytes.iter_mut().zip(name) {
            *folded = FOLDED[*byte as usize];
        }
        Self {
            bytes,
            length: name.len().min(Self::LONGEST),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub fn is_framing(&self) -> bool {
        matches!(self.as_bytes(), b"content-length" | b"transfer-encoding")
    }

    pub fn is_hop_by_hop(&self) -> bool {
        match self.as_bytes() {
            b"connection" | b"keep-alive" | b"te" | b"trailer" | b"transfer-encoding"
            | b"upgrade" | b"http2-settings" => true,
            other => other.starts_with(b"proxy-"),
        }
    }

    pub fn is_dropped_on_the_way_in(&self) -> bool {
        match self.as_bytes() {
            b"forwarded" | b"x-real-ip" | b"x-rewrite-url" | b"x-request-id"
            | b"x-docker-token" | b"authorization" => true,
            other => OURS.iter().any(|prefix| other.starts_with(prefix)) || self.is_hop_by_hop(),
        }
    }
}

/// Whether a field belongs to one connection and is never passed on in either direction.
pub fn hop_by_hop(name: &str) -> bool {
    Folded::of(name.as_bytes()).is_hop_by_hop()
}

/// Whether a client's field of this name never reaches the backend as the client sent it: hop-by-hop fields and all
/// those by which the gate itself, and nobody else, speaks to the backend. Case does not count, and `_` counts as `-`,
/// since CGI and its heirs cannot tell them apart.
pub fn dropped_on_the_way_in(name: &str) -> bool {
    Folded::of(name.as_bytes()).is_dropped_on_the_way_in()
}

/// Whether one of these values of `Connection` lists a field of this name, which is then not passed on.
pub fn connection_lists<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    name: impl AsRef<[u8]>,
) -> bool {
    let name = name.as_ref();
    values.any(|value| elements(value).any(|option| same_name(option, name)))
}

/// Whether these values of `Upgrade` and `Connection` are of a connection that goes on as a WebSocket and as nothing else.
pub fn leads_to_websocket<'a>(
    mut upgrade: impl Iterator<Item = &'a [u8]>,
    connection: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let is_it = |value: &[u8]| trim(value).eq_ignore_ascii_case(b"websocket");
    upgrade.next().is_some_and(is_it)
        && upgrade.next().is_none()
        && connection_lists(connection, b"upgrade")
}

/// As [`Folded`] compares, for names of any length.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    let fold = |byte: &u8| FOLDED[*byte as usize];
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
