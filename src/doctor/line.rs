//! One request over a connection of its own, and its answer.
//!
//! Owns the bounds: a whole exchange takes no longer than [`LIMIT`] and what a large body needs, a head is no longer than
//! `http` has it, of a body [`LONGEST_BODY`] bytes are kept. Everything that comes back is hostile. It must not know what is asked or why.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::words;
use crate::http::{Body, Input, ResponseHead};
use crate::log::reason;
use crate::stream::{Interest, Progress, Socket, Stream};

/// For connecting.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For a whole exchange without a large body, from the handshake to the last byte of the answer. A registry that stores in
/// the cloud may need some seconds.
const LIMIT: Duration = Duration::from_secs(20);
/// A body that is sent gets a second more for each of so many bytes: a thin line is slow and not broken.
const SLOWEST: usize = 16 * 1024;
/// As docker sends them.
const CHUNK: usize = 32 * 1024;
/// All that is asked for is short.
const LONGEST_BODY: usize = 64 * 1024;
/// How a record of TLS begins that says what is wrong: the kind, and the major version.
const ALERT: [u8; 2] = [21, 3];
/// Of those 1xx that may come before an answer.
const MOST_INTERIM: usize = 8;
/// How much of a text of the server is repeated.
const SHOWN: usize = 200;

/// Where requests go.
pub(super) struct Line {
    pub(super) address: SocketAddr,
    pub(super) host: String,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) authorization: Option<&'a [u8]>,
    /// The value of `Range`.
    pub(super) range: Option<&'a str>,
    pub(super) body: Sent<'a>,
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    Nothing,
    Whole(&'a [u8]),
    Chunked(&'a [u8]),
}

/// What came back.
pub(super) struct Answer {
    head: ResponseHead,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer, in words.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The other side speaks TLS.
    Alert,
    /// It says nothing at all, and closes.
    Closed(String),
    /// Anything else.
    Otherwise(String),
}

impl From<String> for Unanswered {
    fn from(said: String) -> Unanswered {
        Unanswered::Otherwise(said)
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Alert => out.write_str("its answer is an alert of TLS"),
            Unanswered::Closed(said) | Unanswered::Otherwise(said) => out.write_str(said),
        }
    }
}

impl Line {
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Unanswered> {
        let body = match ask.body {
            Sent::Nothing => Vec::new(),
            Sent::Whole(bytes) => bytes.to_vec(),
            Sent::Chunked(bytes) => chunked(bytes),
        };
        let seconds = u64::try_from(body.len() / SLOWEST).unwrap_or(u64::MAX);
        let mut wire = self.open_for(LIMIT.saturating_add(Duration::from_secs(seconds)))?;
        let head = self.head(ask);
        wire.write_all(&head).map_err(|error| in_words(&error))?;
        // Who refuses early may close early: its answer says more than a failure to write.
        let sent = wire.write_all(&body);
        answer(wire, ask.method).map_err(|error| match (&error, sent) {
            (Unanswered::Otherwise(_), Err(error)) => Unanswered::Otherwise(in_words(&error)),
            _ => error,
        })
    }

    /// A new connection, its handshake done.
    pub(super) fn open(&self) -> Result<Wire, String> {
        self.open_for(LIMIT)
    }

    /// Whether TLS is spoken here, if the other side says so soon.
    pub(super) fn can_open(&self) -> bool {
        self.open_for(CONNECT_LIMIT).is_ok()
    }

    fn open_for(&self, limit: Duration) -> Result<Wire, String> {
        let socket = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)
            .map_err(|error| in_words(&error))?;
        let socket = Socket::new(socket);
        socket.send_at_once();
        let stream = match &self.tls {
            None => Stream::clear(socket),
            Some((config, name)) => {
                let session = rustls::ClientConnection::new(Arc::clone(config), name.clone())
                    .map_err(|error| error.to_string())?;
                Stream::tls(socket, session)
            }
        };
        let mut wire = Wire {
            stream,
            limit,
            until: Instant::now() + limit,
        };
        wire.until_done(Stream::handshake)
            .map_err(|error| in_words(&error))?;
        Ok(wire)
    }

    fn head(&self, ask: &Ask<'_>) -> Vec<u8> {
        let version = env!("CARGO_PKG_VERSION");
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: portreeve-doctor/{version}\r\nConnection: close\r\n",
            ask.method, ask.target, self.host
        );
        if let Some(range) = ask.range {
            head.push_str(&format!("Range: {range}\r\n"));
        }
        match ask.body {
            Sent::Nothing if matches!(ask.method, "GET" | "HEAD" | "DELETE") => {}
            Sent::Nothing => head.push_str("Content-Length: 0\r\n"),
            Sent::Whole(bytes) => head.push_str(&format!(
                "Content-Type: application/octet-stream\r\nContent-Length: {}\r\n",
                bytes.len()
            )),
            Sent::Chunked(_) => head.push_str(
                "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n",
            ),
        }
        let mut head = head.into_bytes();
        if let Some(value) = ask.authorization {
            head.extend_from_slice(b"Authorization: ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in bytes.chunks(CHUNK) {
        body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

fn answer(wire: Wire, method: &str) -> Result<Answer, Unanswered> {
    let mut input = Input::new(wire);
    let mut interim = 0;
    let head = loop {
        match ResponseHead::parse(input.buffered(), method) {
            Ok(Some((head, used))) => {
                input.consume(used);
                if !matches!(head.status(), 100..=199) {
                    break head;
                }
                interim += 1;
                if interim > MOST_INTERIM {
                    return Err("1xx after 1xx, and no answer".to_owned().into());
                }
            }
            Ok(None) => match input.fill() {
                Ok(0) if input.buffered().is_empty() => {
                    return Err(Unanswered::Closed("closed without an answer".to_owned()));
                }
                Ok(0) => return Err("closed within the head of its answer".to_owned().into()),
                Ok(_) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionReset
                        && input.buffered().is_empty() =>
                {
                    return Err(Unanswered::Closed(in_words(&error)));
                }
                Err(error) => return Err(in_words(&error).into()),
            },
            Err(_) if input.buffered().starts_with(&ALERT) => return Err(Unanswered::Alert),
            Err(bad) => return Err(format!("its answer is not HTTP: {bad}").into()),
        }
    };
    let mut body = Vec::new();
    Body::new(&mut input, head.framing())
        .take(LONGEST_BODY as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| format!("within the body of its answer: {}", in_words(&error)))?;
    if body.len() > LONGEST_BODY {
        return Err(format!("its answer is over {LONGEST_BODY} bytes").into());
    }
    Ok(Answer { head, body })
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head.status()
    }

    /// All values of a field, as text, each cut to what can be shown.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.head.values(name).map(shown).collect()
    }

    /// The one value of a field, whole.
    pub(super) fn only(&self, name: &str) -> Option<Vec<u8>> {
        let mut values = self.head.values(name);
        let value = values.next()?.to_vec();
        values.next().is_none().then_some(value)
    }

    /// What was said, in words, if anything was.
    pub(super) fn words(&self) -> Option<String> {
        words::of(&self.body).map(|words| shown(words.as_bytes()))
    }

    /// The status, and the beginning of what was said with it.
    pub(super) fn in_short(&self) -> String {
        let status = self.status().to_string();
        match self.words() {
            None => status,
            // Pages repeat it in their title.
            Some(words) if words.starts_with(&status) => words,
            Some(words) => format!("{status}: {words}"),
        }
    }
}

/// The beginning of a text of the server.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes)).into_owned();
    if bytes.len() > SHOWN {
        text + "..."
    } else {
        text
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed too early".to_owned(),
        _ => reason(error),
    }
}

/// A stream whose every wait ends at one time, however slowly the other side drips.
pub(super) struct Wire {
    stream: Stream,
    limit: Duration,
    /// The end of `limit`.
    until: Instant,
}

impl Wire {
    fn until_done(&mut self, step: impl Fn(&mut Stream) -> io::Result<Progress>) -> io::Result<()> {
        while let Progress::Waits(interest) = step(&mut self.stream)? {
            self.wait(interest)?;
        }
        Ok(())
    }

    fn wait(&self, interest: Interest) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if !left.is_zero() && self.stream.socket().wait(interest, left)? {
            return Ok(());
        }
        let late = format!("no answer within {} s", self.limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, late))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Checked each time: who drips is never waited for.
            if Instant::now() >= self.until {
                self.wait(Interest::Read)?;
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Interest::Read)?;
                }
                done => return done,
            }
        }
    }
}

impl Write for Wire {
    /// Takes everything.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.stream.write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until_done(Stream::push)
    }
}
