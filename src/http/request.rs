//! A request head, read as strictly as the grammar allows. Knows nothing of who asks or what for. All input is hostile:
//! what could be read in two ways is refused here, before anybody's password is looked at.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use super::fields::{Fields, Span, leads_to_websocket};
use super::framing::{ConnectionOptions, Declared, Framing, FramingFields, Version};
use super::grammar::is_token;
use super::host::Authority;
use super::paths::is_registry;
use super::refusal::Refusal;
use super::scan::{Limits, LineFault, scan};
use super::target::Target;

/// 32 KiB, which is what nginx and Apache allow in sum, and 100 fields, as Apache; docker sends ten, browsers thirty.
const LIMITS: Limits = Limits {
    bytes: 32 * 1024,
    lines: 1 + 100,
};
/// Upload states and signed URLs reach a few KiB.
const TARGET_LIMIT: usize = 16 * 1024;
/// What a server is called that is asked without a name and whose address nobody has told.
const NAMELESS: &str = "localhost";

/// A request head that may go on its way. Holds credentials: it is never cloned, and its `Debug` shows no field.
pub struct RequestHead {
    fields: Fields,
    method: Span,
    target: Span,
    path: Span,
    host: Span,
    named_by: NamedBy,
    version: Version,
    framing: Framing,
    connection: ConnectionOptions,
    expects_continue: bool,
}

/// What says which host the client asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    /// Its `Host` field.
    Field,
    /// The absolute form of its target. HTTP/1.0 alone.
    Target,
    /// The address that it was sent to. HTTP/1.0 alone.
    Address,
}

impl RequestHead {
    /// Reads a head from the beginning of `input`. `None`: more bytes are needed; else the head and how many bytes it
    /// took. Limits, line ends and NUL are judged in incomplete input too. One empty line before the request line is
    /// skipped (RFC 9112, 2.2).
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let (skipped, input) = match input.strip_prefix(b"\r\n") {
            Some(rest) => (2, rest),
            None => (0, input),
        };
        let lines = match scan(input, &LIMITS) {
            Ok(None) | Err(LineFault::TooLong) if target_is_too_long(input) => {
                return Err(Refusal::TargetTooLong);
            }
            Ok(None) => return Ok(None),
            Ok(Some(lines)) => lines,
            Err(fault) => return Err(fault.into()),
        };
        let head = input.get(..lines.end).unwrap_or_default();
        let line = head.get(..lines.first).unwrap_or_default();
        Ok(Some((Self::of(head, line)?, skipped + lines.end)))
    }

    fn of(head: &[u8], line: &[u8]) -> Result<Self, Refusal> {
        let (method, rest) = split_blank(line).ok_or(Refusal::BadRequestLine)?;
        let (target, version) = split_blank(rest).ok_or(Refusal::BadRequestLine)?;
        if !is_token(method) {
            return Err(Refusal::BadMethod);
        }
        let version = Version::parse(version)?;
        if target.len() > TARGET_LIMIT {
            return Err(Refusal::TargetTooLong);
        }
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Refusal::MethodNotAllowed);
        }
        let parsed = Target::parse(method, target)?;
        let mut fields = Fields::parse(head, line.len() + 2)?;
        let known = Known::gather(&fields, version)?;
        let (host, named_by) = match (known.host, parsed.authority) {
            (Some(host), absolute) => {
                let named = Authority::parse(fields.bytes(host)).ok_or(Refusal::BadHost)?;
                if absolute.is_some_and(|(scheme, authority)| !authority.is(&named, scheme)) {
                    return Err(Refusal::OtherAuthority);
                }
                (host, NamedBy::Field)
            }
            (None, Some((_, authority))) => (
                fields.append(authority.to_string().as_bytes()),
                NamedBy::Target,
            ),
            (None, None) => (fields.append(NAMELESS.as_bytes()), NamedBy::Address),
        };
        let forwarded = match &parsed.forwarded {
            // The end of the target as it came.
            Cow::Borrowed(text) => {
                Span::new(method.len() + 1 + target.len() - text.len(), text.len())
            }
            Cow::Owned(text) => fields.append(text),
        };
        Ok(Self {
            fields,
            method: Span::new(0, method.len()),
            target: forwarded,
            path: forwarded.shortened_to(parsed.path),
            host,
            named_by,
            version,
            framing: match known.declared {
                Declared::Nothing => Framing::Empty,
                Declared::Length(length) => Framing::Length(length),
                Declared::Chunked => Framing::Chunked,
            },
            connection: known.connection,
            expects_continue: known.expects_continue,
        })
    }

    /// Case-sensitive, any word.
    pub fn method(&self) -> &str {
        self.fields.text(self.method)
    }

    /// As it is forwarded: byte for byte, an absolute form reduced to path and query. Need not be UTF-8.
    pub fn target(&self) -> &[u8] {
        self.fields.bytes(self.target)
    }

    /// The target without its query; `*` of an OPTIONS for the whole server.
    pub fn path(&self) -> &[u8] {
        self.fields.bytes(self.path)
    }

    /// Whether it asks to go on as a WebSocket (RFC 6455, 4.1).
    pub fn wants_websocket(&self) -> bool {
        self.connection().lists_fields
            && self.method() == "GET"
            && self.version == Version::Http11
            && self.framing == Framing::Empty
            && leads_to_websocket(self.values("upgrade"), self.values("connection"))
            && self.values("sec-websocket-key").next().is_some()
    }

    /// What the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The value of `Host`, with its port if it has one. HTTP/1.0 has none: then what the target names, or else what
    /// [`was_sent_to`](Self::was_sent_to) says.
    pub fn host(&self) -> &str {
        self.fields.text(self.host)
    }

    /// Says the address, with its port, that stands for a host where the client names none; it is asked for only then, and
    /// without one it is `localhost`.
    pub fn was_sent_to(&mut self, address: impl FnOnce() -> Option<SocketAddr>) {
        if self.named_by == NamedBy::Address
            && let Some(address) = address()
        {
            self.host = self.fields.append(address.to_string().as_bytes());
        }
    }

    /// Whether the host stands in no field that could be passed on.
    pub(super) fn lacks_host(&self) -> bool {
        self.named_by != NamedBy::Field
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

    /// Never [`Framing::UntilClose`].
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The client waits for a 100 before it sends its body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
            && self.version == Version::Http11
            && !matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// The client wants to use the connection again.
    pub fn keeps_alive(&self) -> bool {
        self.connection.persistent(self.version)
    }

    /// The path is `/v2` or below it.
    pub fn is_registry(&self) -> bool {
        is_registry(self.path())
    }

    /// Whether a browser asks what a page of another origin may do (Fetch, "CORS protocol"). One with a body is none.
    pub fn is_preflight(&self) -> bool {
        let has_one = |name| self.values(name).count() == 1;
        self.method() == "OPTIONS"
            && self.path().starts_with(b"/")
            && matches!(self.framing, Framing::Empty | Framing::Length(0))
            && has_one("origin")
            && has_one("access-control-request-method")
    }

    pub(super) fn connection(&self) -> ConnectionOptions {
        self.connection
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("path", &String::from_utf8_lossy(self.path()))
            .finish_non_exhaustive()
    }
}

/// What the fields say together that the gate has to know.
struct Known {
    host: Option<Span>,
    declared: Declared,
    connection: ConnectionOptions,
    expects_continue: bool,
}

impl Known {
    fn gather(fields: &Fields, version: Version) -> Result<Self, Refusal> {
        let mut host = None;
        let mut framing = FramingFields::default();
        let mut connection = ConnectionOptions::default();
        let mut expects_continue = false;
        for (name, value, span) in fields.spanned() {
            // The length of a name tells most of them apart at once.
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"host") => match host {
                    None => host = Some(span),
                    Some(_) => return Err(Refusal::HostTwice),
                },
                6 if name.eq_ignore_ascii_case(b"expect") => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal::UnknownExpectation);
                    }
                    expects_continue = true;
                }
                10 if name.eq_ignore_ascii_case(b"connection") => connection.add(value)?,
                14 if name.eq_ignore_ascii_case(b"content-length") => framing.length(value)?,
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => framing.codings(value)?,
                _ => {}
            }
        }
        // RFC 9112, 3.2: HTTP/1.0 does not know the field, and the probes of balancers still speak that.
        if host.is_none() && version == Version::Http11 {
            return Err(Refusal::NoHost);
        }
        Ok(Self {
            host,
            declared: framing.declared(version)?,
            connection,
            expects_continue,
        })
    }
}

fn split_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = text.split_at_checked(text.iter().position(|byte| *byte == b' ')?)?;
    Some((before, after.get(1..)?))
}

/// Of input without a whole head: whether its target is too long already.
fn target_is_too_long(input: &[u8]) -> bool {
    let line = input
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    input.len() > TARGET_LIMIT
        && split_blank(line).is_some_and(|(_, rest)| {
            split_blank(rest).map_or(rest.len(), |(target, _)| target.len()) > TARGET_LIMIT
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
