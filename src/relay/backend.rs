//! One backend: how it is reached, and the connections to it that wait for their next request.
//!
//! Owns dialling, TLS towards the backend and the pool, and one question of our own. It knows nothing
//! of clients' requests. What a backend says to those is hostile too, and is read by `exchange`.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustls::pki_types::ServerName;

use super::probe::Health;
use crate::config::{self, HostPort};
use crate::http::{Framing, Input, RequestHead, ResponseHead};
use crate::leader::step_down;
use crate::metrics::{BackendStanding, BackendState, Counter};
use crate::stream::{Patience, Socket, Stream};
use crate::tls;

/// Idle connections kept for one backend: one for each of the requests that are served at once by default. With fewer, a
/// busy gate dials and closes all the time (at 256 clients half of its time went there).
const MOST_IDLE: usize = 256;
/// An idle connection is given up after this, before most servers' own limits matter.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// A request that must not be sent twice takes a kept connection only this soon after its last
/// use: common servers close idle ones after 2 seconds or more, and a close at the wrong moment
/// could not be told from a request that was carried out.
const SURELY_OPEN: Duration = Duration::from_secs(1);

/// Whether a request may be sent again when a kept connection turns out to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is safe (GET, HEAD, OPTIONS without a body).
    Safe,
    /// It might be carried out twice.
    Never,
}

impl Repeat {
    /// What holds for this request.
    pub fn of(head: &RequestHead) -> Repeat {
        match (head.method(), head.framing()) {
            ("GET" | "HEAD" | "OPTIONS", Framing::Empty) => Repeat::Safe,
            // As many a client says it. One that waits to be asked for nothing is asked once only.
            ("GET" | "HEAD" | "OPTIONS", Framing::Length(0)) if !head.expects_continue() => {
                Repeat::Safe
            }
            _ => Repeat::Never,
        }
    }
}

/// A connection to a backend, in use.
#[derive(Debug)]
pub struct Link {
    /// What the backend sends.
    pub input: Input<Stream>,
    /// Whether it has served a request before, and so may be closed by now.
    pub reused: bool,
    /// Whether the poller has seen it before.
    pub is_registered: bool,
}

/// One backend.
#[derive(Debug)]
pub struct Backend {
    address: config::Backend,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    connect_timeout: Duration,
    silence: Duration,
    idle: Mutex<Vec<Idle>>,
    health: Health,
    connections: Counter,
    failures: Counter,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    is_registered: bool,
    since: Instant,
}

impl Backend {
    /// `tls` is given for an `https://` backend. `silence` is the idle time-out of bodies.
    pub fn new(
        address: config::Backend,
        tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
        connect_timeout: Duration,
        silence: Duration,
    ) -> Backend {
        Backend {
            address,
            tls,
            connect_timeout,
            silence,
            idle: Mutex::default(),
            health: Health::unknown(Instant::now()),
            connections: Counter::new(),
            failures: Counter::new(),
        }
    }

    /// Where it is, as configured.
    pub fn address(&self) -> &config::Backend {
        &self.address
    }

    /// What is known of it.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Counts a request that it did not answer.
    pub fn failed(&self) {
        self.failures.one();
    }

    /// How it is, for whoever watches.
    pub fn standing(&self) -> BackendStanding {
        BackendStanding {
            url: self.address.to_string(),
            state: self.health.state(),
            connections: self.connections.value(),
            failures: self.failures.value(),
        }
    }

    /// A kept connection that still looks open, or a new one.
    pub fn connect(&self, repeat: Repeat) -> io::Result<Link> {
        self.health.asked(Instant::now());
        match self.take_idle(repeat) {
            Some(idle) => Ok(Link {
                input: Input::new(idle.stream),
                reused: true,
                is_registered: idle.is_registered,
            }),
            None => self.dial(),
        }
    }

    /// A new connection, with its handshake done.
    pub fn dial(&self) -> io::Result<Link> {
        let dialled = self.dial_uncounted();
        match &dialled {
            Ok(_) => self.connections.one(),
            Err(_) => self.failures.one(),
        }
        dialled
    }

    /// A new connection that will carry no request, and counts as none.
    pub(super) fn probe(&self) -> io::Result<Stream> {
        self.dial_uncounted().map(|link| link.input.into_stream())
    }

    /// Says once when connecting begins to fail, and once when it works again.
    fn dial_uncounted(&self) -> io::Result<Link> {
        let dialled = self.dial_quietly();
        let state = match &dialled {
            Ok(_) => BackendState::Up,
            Err(_) => BackendState::Down,
        };
        let before = self.health.found(state, Instant::now());
        match &dialled {
            Err(error) if before != BackendState::Down => {
                ::log::error!("backend {} is down: {error}", self.address);
            }
            Ok(_) if before == BackendState::Down => {
                ::log::info!("backend {} is up again", self.address);
            }
            _ => {}
        }
        dialled
    }

    fn dial_quietly(&self) -> io::Result<Link> {
        step_down();
        let socket = match &self.address {
            config::Backend::Unix(path) => connect_unix(path, self.connect_timeout)?,
            config::Backend::Http(place) | config::Backend::Https(place) => {
                connect_tcp(place, self.connect_timeout)?
            }
        };
        socket.send_at_once();
        let mut stream = match &self.tls {
            None => Stream::clear(socket),
            Some((config, name)) => {
                let connection = rustls::ClientConnection::new(Arc::clone(config), name.clone())
                    .map_err(io::Error::other)?;
                Stream::tls(socket, connection)
            }
        };
        stream.patience = Patience::Full;
        stream.socket().time_out_after(self.connect_timeout)?;
        stream
            .handshake()
            .map_err(|error| io::Error::new(error.kind(), tls::trouble(&error, "--backend-ca")))?;
        stream.socket().time_out_after(self.silence)?;
        Ok(Link {
            input: Input::new(stream),
            reused: false,
            is_registered: false,
        })
    }

    /// Whether it wants a password of its own for what docker asks first. Not known where it does not answer within the time
    /// that connecting may take.
    pub fn asks_for_password(&self) -> io::Result<bool> {
        let until = Instant::now() + self.connect_timeout * 2;
        let mut link = self.dial_quietly()?;
        let host = match &self.address {
            config::Backend::Unix(_) => "localhost".to_owned(),
            config::Backend::Http(place) | config::Backend::Https(place) => place.to_string(),
        };
        let stream = link.input.stream_mut();
        stream.socket().time_out_after(self.connect_timeout)?;
        write!(
            stream,
            "GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        stream.flush()?;
        while Instant::now() < until {
            match ResponseHead::parse(link.input.buffered(), "GET") {
                Ok(Some((head, length))) if head.status() < 200 => link.input.consume(length),
                Ok(Some((head, _))) => return Ok(head.asks_for_password()),
                Ok(None) if link.input.fill()? == 0 => break,
                Ok(None) => {}
                Err(fault) => return Err(io::Error::other(fault)),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Keeps a connection whose last answer was read to its end, with nothing behind it.
    pub fn keep(&self, link: Link) {
        if !link.input.buffered().is_empty() {
            return;
        }
        let idle = Idle {
            stream: link.input.into_stream(),
            is_registered: link.is_registered,
            since: Instant::now(),
        };
        let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_IDLE {
            kept.push(idle);
        }
    }

    /// Gives up the connections that have been idle too long.
    pub fn prune(&self) {
        let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|idle| idle.since.elapsed() < IDLE_FOR);
    }

    fn take_idle(&self, repeat: Repeat) -> Option<Idle> {
        let freshness = match repeat {
            Repeat::Safe => IDLE_FOR,
            Repeat::Never => SURELY_OPEN,
        };
        loop {
            // The youngest first; the lock is not held while its socket is asked.
            let mut idle = {
                let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                kept.pop_if(|idle| idle.since.elapsed() < freshness)?
            };
            // An idle backend that says something says goodbye, or nonsense.
            if !idle.stream.has_word() {
                idle.stream.patience = Patience::Full;
                return Some(idle);
            }
        }
    }
}

fn connect_tcp(place: &HostPort, limit: Duration) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(Socket::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_unix(path: &Path, limit: Duration) -> io::Result<Socket> {
    let address = SocketAddrUnix::new(path)?;
    let fd = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // A full backlog makes connect wait, and the time-out of sending bounds it.
    sockopt::set_socket_timeout(&fd, Timeout::Send, Some(limit))?;
    rustix::net::connect(&fd, &address)?;
    Ok(Socket::new(fd))
}
