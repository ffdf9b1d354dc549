//! Heads as they are passed on: the fields in their order and with their bytes, without those that belong to one
//! connection or to the gate, and with framing that is written from what was parsed, never copied.
//! Every value that is added is checked once more where it is written: what could end its line is left out.

use super::fields::{Folded, connection_lists};
use super::framing::{Declared, Framing, Version};
use super::grammar::is_clean_value;
use super::request::RequestHead;
use super::response::ResponseHead;

/// What most heads need, in bytes.
const ROOM: usize = 1024;

/// Our own answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the gate tells the backend of a request. A value that would not read back as it is here is not sent at all.
#[derive(Clone, Copy)]
pub struct ForwardedBy<'a> {
    /// The whole list of `X-Forwarded-For`.
    pub for_: &'a str,
    /// `http` or `https`.
    pub proto: &'a str,
    /// The host that the client asked for, with its port.
    pub host: &'a str,
    /// The client's address.
    pub real_ip: &'a str,
    /// Made anew for each request.
    pub request_id: &'a str,
    /// Who was let in, where it is known.
    pub remote_user: Option<&'a [u8]>,
    /// The value of `Authorization` that the backend is to see.
    pub authorization: Option<&'a [u8]>,
    /// What is asked for, if not what the client asks for.
    pub target: Option<&'a [u8]>,
    /// What goes on of the client's own fields.
    pub own: Own,
}

/// What goes on of a client's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// All that are not of one connection or of the gate.
    All,
    /// The same, without framing: the body is put behind the head later, by [`append_body`].
    AllWithoutBody,
    /// What a CORS preflight consists of: there is no body.
    Preflight,
    /// All, and that the connection is to go on as a WebSocket (RFC 6455, 4.1).
    WebSocket,
}

impl Own {
    fn has(self, name: &[u8]) -> bool {
        const ASKED: &[u8] = b"access-control-request-";
        let begin = name.get(..ASKED.len()).unwrap_or_default();
        self != Own::Preflight
            || name.eq_ignore_ascii_case(b"host")
            || name.eq_ignore_ascii_case(b"origin")
            || begin.eq_ignore_ascii_case(ASKED)
    }
}

/// What is said of a connection that goes on as a WebSocket.
const UPGRADE: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// What an answer's head needs to know of the request that it answers.
#[derive(Debug, Clone, Copy)]
pub struct ResponseShape<'a> {
    /// Of the client.
    pub version: Version,
    /// The client's connection may be used again.
    pub keep: bool,
    /// A body without a length goes out in chunks. Without effect for an HTTP/1.0 client.
    pub chunked: bool,
    /// The value of `Location` to send in place of the backend's.
    pub location: Option<&'a [u8]>,
}

impl ResponseShape<'_> {
    /// A body of unknown length either goes in chunks or ends with the connection.
    fn sends_chunks(&self, head: &ResponseHead) -> bool {
        self.chunked
            && self.version == Version::Http11
            && matches!(head.framing(), Framing::Chunked | Framing::UntilClose)
    }
}

/// Appends the head for the backend. Its connection stays persistent.
pub fn write_request_head(out: &mut Vec<u8>, head: &RequestHead, extra: &ForwardedBy<'_>) {
    [
        head.method().as_bytes(),
        b" ",
        extra.target.unwrap_or(head.target()),
        b" HTTP/1.1\r\n",
    ]
    .iter()
    .for_each(|part| out.extend_from_slice(part));
    if head.lacks_host() {
        push_field(out, b"Host", head.host().as_bytes());
    }
    let lists_fields = head.connection().lists_fields;
    for (name, value) in head.raw_fields() {
        let folded = Folded::of(name);
        let dropped = folded.is_dropped_on_the_way_in()
            || folded.is_framing()
            || folded.as_bytes() == b"expect"
            || !extra.own.has(name)
            || (lists_fields && connection_lists(head.values("connection"), name));
        if !dropped {
            push_field(out, name, value);
        }
    }
    match head.framing() {
        _ if extra.own == Own::WebSocket => out.extend_from_slice(UPGRADE),
        _ if extra.own != Own::All => {}
        Framing::Length(length) => push_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::UntilClose => {}
    }
    push_added(out, extra);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields of a question that the gate has itself in the course of a request, each with its line end: where it goes, and
/// on whose behalf.
pub fn write_own_fields(out: &mut Vec<u8>, head: &RequestHead, extra: &ForwardedBy<'_>) {
    push_field(out, b"Host", head.host().as_bytes());
    push_field(
        out,
        b"User-Agent",
        concat!("portreeve/", env!("CARGO_PKG_VERSION")).as_bytes(),
    );
    push_added(out, extra);
}

/// Puts a body behind a head that says nothing of one.
pub fn append_body(head: &mut Vec<u8>, body: &[u8]) {
    head.truncate(head.len().saturating_sub(2));
    push_length(head, body.len() as u64);
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body);
}

fn push_added(out: &mut Vec<u8>, extra: &ForwardedBy<'_>) {
    let added = [
        (b"X-Forwarded-For".as_slice(), Some(extra.for_.as_bytes())),
        (b"X-Forwarded-Proto", Some(extra.proto.as_bytes())),
        (b"X-Forwarded-Host", Some(extra.host.as_bytes())),
        (b"X-Real-IP", Some(extra.real_ip.as_bytes())),
        (b"X-Request-ID", Some(extra.request_id.as_bytes())),
        (b"X-Remote-User", extra.remote_user),
        (b"Authorization", extra.authorization),
    ];
    for (name, value) in added {
        if let Some(value) = value.filter(|value| is_clean_value(value)) {
            push_field(out, name, value);
        }
    }
}

/// Appends the head of a final answer for the client.
pub fn write_response_head(out: &mut Vec<u8>, head: &ResponseHead, to: &ResponseShape<'_>) {
    out.reserve(ROOM);
    push_status_line(out, head);
    let chunked = to.sends_chunks(head);
    push_end_to_end(out, head, chunked && head.announces_trailers(), to.location);
    match (head.framing(), head.declared()) {
        (Framing::Length(length), _) => push_length(out, length),
        // What a GET would have had; of 1xx and 204 it says nothing (RFC 9110, 8.6).
        (Framing::Empty, Declared::Length(length)) if !matches!(head.status(), 100..=199 | 204) => {
            push_length(out, length)
        }
        _ if chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    let ends_with_connection =
        !chunked && matches!(head.framing(), Framing::Chunked | Framing::UntilClose);
    if !to.keep || ends_with_connection {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if to.version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a 1xx that is relayed, such as 103: for HTTP/1.1 clients only, neither 100 nor 101.
pub fn write_interim_head(out: &mut Vec<u8>, head: &ResponseHead) {
    push_status_line(out, head);
    push_end_to_end(out, head, false, None);
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a 101 that leads to a WebSocket.
pub fn write_switch_head(out: &mut Vec<u8>, head: &ResponseHead) {
    push_status_line(out, head);
    push_end_to_end(out, head, false, None);
    out.extend_from_slice(UPGRADE);
    out.extend_from_slice(b"\r\n");
}

fn push_status_line(out: &mut Vec<u8>, head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, head.status().into());
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_end_to_end(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    trailers: bool,
    location: Option<&[u8]>,
) {
    let lists_fields = head.connection().lists_fields;
    for (name, value) in head.raw_fields() {
        let folded = Folded::of(name);
        let listed = lists_fields && connection_lists(head.values("connection"), name);
        let dropped = folded.is_hop_by_hop() || folded.is_framing() || listed;
        match location.filter(|location| is_clean_value(location)) {
            _ if dropped && !(trailers && !listed && name.eq_ignore_ascii_case(b"trailer")) => {}
            Some(location) if name.eq_ignore_ascii_case(b"location") => {
                push_field(out, name, location)
            }
            _ => push_field(out, name, value),
        }
    }
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // Room for all at once, since each head has many.
    out.reserve(name.len() + value.len() + 4);
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
