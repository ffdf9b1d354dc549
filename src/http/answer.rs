//! How an answer of our own, a refusal or an auth service's yes, is written to a client: whole, in the shape that docker,
//! podman, proxies and people understand.
//! Its input is our own but for the challenges of an external API, which are checked before they are sent.

use std::io::Write;
use std::time::SystemTime;

use httpdate::fmt_http_date;

use super::framing::Version;
use super::grammar::is_clean_value;
use super::refusal::Refusal;
use crate::text::{Object, escape};

/// What `Allow` says where CONNECT or TRACE was asked for.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// And while nothing is written.
const READ_ONLY: &str = "GET, HEAD";

/// What an auth service says, to the letter, as the Node service of the classic recipe did: whoever asks may compare.
const CONFIRMED: &str = "User authenticated successfully";
const UNAUTHORIZED: &str = "Unauthorized";

/// What the health path says where all is well, as the admin endpoint does.
const READY: &str = "ready\n";

/// What the body of an answer of our own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The JSON of the OCI specification, for registry clients: what is under `/v2/`.
    Oci,
    /// A sentence for a person.
    Plain,
    /// The words of an auth service, for proxies; a sentence where it has none.
    AuthService,
}

/// What an answer of our own needs to know of the request that it answers.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What the body is.
    pub form: Form,
    /// The method was HEAD: the body is left out, its length is not.
    pub head_only: bool,
    /// The connection may be used again, as far as the request goes.
    pub keep: bool,
    /// Of the client.
    pub version: Version,
}

impl Refusal {
    /// Appends the whole answer, and says how long its body is. The connection is announced as closing unless `to.keep` and
    /// the framing still holds.
    pub fn write(&self, out: &mut Vec<u8>, to: Shape) -> u64 {
        let body = match to.form {
            Form::Oci => self.json(),
            Form::AuthService if self.status() == 401 => UNAUTHORIZED.to_owned(),
            Form::Plain | Form::AuthService => format!("{}\n", self.message()),
        };
        begin(out, self.status(), &body, to);
        if to.form == Form::Oci {
            push(
                out,
                format_args!("Docker-Distribution-Api-Version: registry/2.0\r\n"),
            );
        }
        if let Self::Unauthorized { challenges } = self {
            for challenge in challenges
                .iter()
                .filter(|challenge| is_clean_value(challenge.as_bytes()))
            {
                push(out, format_args!("WWW-Authenticate: {challenge}\r\n"));
            }
        }
        if let Some(seconds) = self.retry_after() {
            push(out, format_args!("Retry-After: {seconds}\r\n"));
        }
        let allowed = match self {
            Self::MethodNotAllowed => Some(ALLOWED),
            Self::ReadOnly { .. } => Some(READ_ONLY),
            _ => None,
        };
        if let Some(allowed) = allowed {
            push(out, format_args!("Allow: {allowed}\r\n"));
        }
        let keep = to.keep && !self.breaks_framing();
        end(out, &body, Shape { keep, ..to })
    }

    fn json(&self) -> String {
        let mut body = String::new();
        Object::new(&mut body)
            .member("errors", |out| {
                out.push('[');
                Object::new(out)
                    .text("code", self.code())
                    .text("message", self.message())
                    .member("detail", |out| match self.retry_after() {
                        Some(seconds) => {
                            Object::new(out).number("retry_after", seconds.into()).end()
                        }
                        None => out.push_str("null"),
                    })
                    .end();
                out.push(']');
            })
            .end();
        body.push('\n');
        body
    }
}

/// Appends an auth service's whole yes, and says how long its body is. `user` is named if it is given, and must be fit for a
/// field.
pub fn write_confirmation(out: &mut Vec<u8>, user: Option<&[u8]>, to: Shape) -> u64 {
    begin(out, 200, CONFIRMED, to);
    if let Some(user) = user.filter(|user| is_clean_value(user)) {
        out.extend_from_slice(b"X-Remote-User: ");
        out.extend_from_slice(user);
        out.extend_from_slice(b"\r\n");
    }
    end(out, CONFIRMED, to)
}

/// Appends the whole yes of the health path, which nobody is to keep, and says how long its body is.
pub fn write_ready(out: &mut Vec<u8>, to: Shape) -> u64 {
    begin(out, 200, READY, to);
    push(out, format_args!("Cache-Control: no-store\r\n"));
    end(out, READY, to)
}

/// Appends the answer that sends a client elsewhere with the same method and body (RFC 9110, 15.4.9). `location` is clean.
pub fn write_redirect(out: &mut Vec<u8>, location: &[u8], to: Shape) -> u64 {
    begin_as(out, 308, "text/plain; charset=utf-8", ELSEWHERE);
    out.extend_from_slice(b"Location: ");
    out.extend_from_slice(location);
    out.extend_from_slice(b"\r\n");
    end(out, ELSEWHERE, to)
}

/// Appends an answer that is a text of our own.
pub fn write_text(out: &mut Vec<u8>, text: &str, to: Shape) -> u64 {
    begin_as(out, 200, "application/octet-stream", text);
    end(out, text, to)
}

/// What a person reads whose client does not follow.
const ELSEWHERE: &str = "come by https://\n";

/// Status line and the fields that every answer of our own has.
/// Appends the answer that lists repositories (OCI distribution spec, as distribution has it). `next` is where the list goes on.
pub fn write_catalog(out: &mut Vec<u8>, names: &[String], next: Option<&str>, to: Shape) -> u64 {
    let mut body = String::new();
    Object::new(&mut body)
        .member("repositories", |out| {
            out.push('[');
            for (at, name) in names.iter().enumerate() {
                out.push_str(if at == 0 { "\"" } else { ",\"" });
                escape::json(out, name.as_bytes());
                out.push('"');
            }
            out.push(']');
        })
        .end();
    body.push('\n');
    begin_as(out, 200, "application/json; charset=utf-8", &body);
    push(
        out,
        format_args!("Docker-Distribution-Api-Version: registry/2.0\r\n"),
    );
    if let Some(next) = next.filter(|next| is_clean_value(next.as_bytes())) {
        push(out, format_args!("Link: <{next}>; rel=\"next\"\r\n"));
    }
    end(out, &body, to)
}

/// Appends the answer that gives a token for so many seconds (Docker's token specification). Some clients read the one name, some
/// the other.
pub fn write_token(out: &mut Vec<u8>, token: &str, seconds: u64, to: Shape) -> u64 {
    let mut body = String::new();
    Object::new(&mut body)
        .text("token", token)
        .text("access_token", token)
        .number("expires_in", seconds)
        .end();
    body.push('\n');
    begin_as(out, 200, "application/json", &body);
    push(
        out,
        format_args!(
            "Docker-Distribution-Api-Version: registry/2.0\r\nCache-Control: no-store\r\n"
        ),
    );
    end(out, &body, to)
}

fn begin(out: &mut Vec<u8>, status: u16, body: &str, to: Shape) {
    let kind = match to.form {
        Form::Oci => "application/json",
        Form::Plain | Form::AuthService => "text/plain; charset=utf-8",
    };
    begin_as(out, status, kind, body);
}

fn begin_as(out: &mut Vec<u8>, status: u16, kind: &str, body: &str) {
    // It has no date before 1970, where a clock stands that was never set.
    let clock = SystemTime::now().max(SystemTime::UNIX_EPOCH);
    let date = fmt_http_date(clock);
    push(
        out,
        format_args!(
            "HTTP/1.1 {status} {}\r\nDate: {date}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n",
            phrase(status),
            body.len()
        ),
    );
}

/// What becomes of the connection, and the body, as far as there is one; its length.
fn end(out: &mut Vec<u8>, body: &str, to: Shape) -> u64 {
    if !to.keep {
        push(out, format_args!("Connection: close\r\n"));
    } else if to.version == Version::Http10 {
        push(out, format_args!("Connection: keep-alive\r\n"));
    }
    out.extend_from_slice(b"\r\n");
    let content = if to.head_only { "" } else { body };
    out.extend_from_slice(content.as_bytes());
    content.len() as u64
}

/// The challenge of HTTP Basic: the realm as a quoted string, without whatever could end the line.
pub fn basic_challenge(realm: &str) -> String {
    let mut challenge = String::from("Basic realm=\"");
    for character in realm.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            challenge.push('\\');
        }
        challenge.push(character);
    }
    challenge.push('"');
    challenge
}

/// Writing to memory cannot fail.
pub(super) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        308 => "Permanent Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
