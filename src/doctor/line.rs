//! One request over a connection of its own, and its answer.
//!
//! Owns the bounds: a whole exchange takes no longer than [`LIMIT`], a head is no longer than `http` has it, of a body
//! [`LONGEST_BODY`] bytes are kept. Everything that comes back is hostile. It must not know what is asked or why.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::http::{Body, Input, ResponseHead};
use crate::log::reason;
use crate::stream::{Interest, Progress, Socket, Stream};

/// For connecting.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For a whole exchange, from the handshake to the last byte of the answer. A registry that stores in the cloud may need
/// some seconds.
const LIMIT: Duration = Duration::from_secs(20);
/// All that is asked for is short.
const LONGEST_BODY: usize = 64 * 1024;
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

impl Line {
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let mut wire = self.open()?;
        let head = self.head(ask);
        wire.write_all(&head).map_err(|error| in_words(&error))?;
        let body = match ask.body {
            Sent::Nothing => Vec::new(),
            Sent::Whole(bytes) => bytes.to_vec(),
            Sent::Chunked(bytes) => {
                let size = format!("{:x}\r\n", bytes.len());
                [size.as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
            }
        };
        // Who refuses early may close early: its answer says more than a failure to write.
        let sent = wire.write_all(&body);
        answer(wire, ask.method).map_err(|error| match sent {
            Err(error) => in_words(&error),
            Ok(()) => error,
        })
    }

    /// A new connection, its handshake done.
    pub(super) fn open(&self) -> Result<Wire, String> {
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
        let until = Instant::now() + LIMIT;
        let mut wire = Wire { stream, until };
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

fn answer(wire: Wire, method: &str) -> Result<Answer, String> {
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
                    return Err("1xx after 1xx, and no answer".to_owned());
                }
            }
            Ok(None) => match input.fill() {
                Ok(0) if input.buffered().is_empty() => {
                    return Err("closed without an answer".to_owned());
                }
                Ok(0) => return Err("closed within the head of its answer".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(in_words(&error)),
            },
            Err(bad) => return Err(format!("its answer is not HTTP: {bad}")),
        }
    };
    let mut body = Vec::new();
    Body::new(&mut input, head.framing())
        .take(LONGEST_BODY as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| format!("within the body of its answer: {}", in_words(&error)))?;
    if body.len() > LONGEST_BODY {
        return Err(format!("its answer is over {LONGEST_BODY} bytes"));
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

    /// The status, and the beginning of what was said with it.
    pub(super) fn in_short(&self) -> String {
        match self.body.trim_ascii() {
            [] => format!("{}", self.status()),
            body => format!("{}: {}", self.status(), shown(body)),
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
        let late = format!("no answer within {} s", LIMIT.as_secs());
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
