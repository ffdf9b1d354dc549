//! One backend: how it is reached, what is known of it, and the connections to it that wait for their next request.
//!
//! Owns TLS towards the backend and the pool, which has a shelf for each loop: a connection stays where its socket is reported.
//! It knows nothing of requests. What a backend says is hostile too, and is read by `exchange`.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use super::health::Health;
use crate::config;
use crate::http::{Framing, Input, RequestHead, ResponseHead};
use crate::lock::EvenIfPoisoned;
use crate::metrics::{BackendStanding, BackendState, Counter, Waits};
use crate::net::Resolver;
use crate::reactor::Context;
use crate::stream::{Interest, NOBODY, Progress, Socket, Stream};
use crate::tls;

/// Idle connections kept for one backend by each loop. With fewer than there are requests at once, a busy gate dials and closes
/// all the time (at 256 clients half of its time went there).
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
pub(super) struct Link {
    /// What the backend sends.
    pub(super) input: Input<Stream>,
    /// Whether it has served a request before, and so may be closed by now.
    pub(super) is_reused: bool,
}

impl Link {
    pub(super) fn new(stream: Stream, is_reused: bool) -> Link {
        Link {
            input: Input::new(stream),
            is_reused,
        }
    }
}

/// One backend.
#[derive(Debug)]
pub struct Backend {
    address: config::Backend,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    connect_timeout: Duration,
    resolver: Resolver,
    /// What messages about it begin with.
    site: String,
    /// By the number of the loop.
    idle: Vec<Mutex<Vec<Idle>>>,
    health: Health,
    connections: Counter,
    failures: Counter,
    waits: Waits,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Backend {
    /// `tls` is given for an `https://` backend.
    pub fn new(
        address: config::Backend,
        tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
        connect_timeout: Duration,
    ) -> Backend {
        // A shelf for each.
        let loops = crate::processors::count();
        Backend {
            address,
            tls,
            connect_timeout,
            resolver: Resolver::default(),
            idle: (0..loops).map(|_| Mutex::default()).collect(),
            site: String::new(),
            health: Health::unknown(Instant::now()),
            connections: Counter::new(),
            failures: Counter::new(),
            waits: Waits::new(),
        }
    }

    /// The same, whose messages begin with this.
    pub fn called(self, site: String) -> Backend {
        Backend { site, ..self }
    }

    /// Where it is, as configured.
    pub fn address(&self) -> &config::Backend {
        &self.address
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// For one address, its handshake included.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A new session of TLS, if it is reached by that.
    pub(super) fn session(&self) -> Option<io::Result<rustls::ClientConnection>> {
        let (config, name) = self.tls.as_ref()?;
        let session = rustls::ClientConnection::new(Arc::clone(config), name.clone());
        Some(session.map_err(io::Error::other))
    }

    /// What is known of it.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Counts a request that it did not answer.
    pub fn failed(&self) {
        self.failures.one();
    }

    /// Counts an answer, whose head came after this time.
    pub(super) fn answered(&self, waited: Duration) {
        self.waits.count(waited);
    }

    /// How it is, for whoever watches.
    pub fn standing(&self) -> BackendStanding {
        BackendStanding {
            site: String::new(),
            url: self.address.to_string(),
            state: self.health.state(),
            connections: self.connections.value(),
            failures: self.failures.value(),
            waits: self.waits.counted(),
            latency: self.waits.latest(),
            since: self.health.since(),
        }
    }

    /// Takes note of how an attempt to connect for a request has ended.
    pub(super) fn dialled(&self, outcome: Result<(), &io::Error>) {
        match outcome {
            Ok(()) => self.connections.one(),
            Err(_) => self.failures.one(),
        }
        self.found(outcome);
    }

    /// Says once when connecting begins to fail, and once when it works again.
    fn found(&self, outcome: Result<(), &io::Error>) {
        let state = match outcome {
            Ok(()) => BackendState::Up,
            Err(_) => BackendState::Down,
        };
        let before = self.health.found(state, Instant::now());
        match outcome {
            Err(error) if before != BackendState::Down => {
                ::log::error!("{}backend {} is down: {error}", self.site, self.address);
            }
            Ok(()) if before == BackendState::Down => {
                ::log::info!("{}backend {} is up again", self.site, self.address);
            }
            _ => {}
        }
    }

    /// A new connection that will carry no request of a client, and counts as none. Waits.
    ///
    /// # Errors
    /// Why there is none to be had.
    pub(super) fn probe(&self) -> io::Result<Stream> {
        let stream = self.connect_and_wait();
        self.found(stream.as_ref().map(drop));
        stream
    }

    fn connect_and_wait(&self) -> io::Result<Stream> {
        let socket = match &self.address {
            config::Backend::Unix(path) => Socket::new(UnixStream::connect(path)?),
            config::Backend::Http(place) | config::Backend::Https(place) => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                let mut found = None;
                for address in place.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, self.connect_timeout) {
                        Ok(stream) => {
                            found = Some(Socket::new(stream));
                            break;
                        }
                        Err(error) => last = error,
                    }
                }
                found.ok_or(last)?
            }
        };
        let Some(session) = self.session() else {
            return Ok(Stream::clear(socket));
        };
        let mut stream = Stream::tls(socket, session?);
        let until = Instant::now() + self.connect_timeout;
        wait_until(until, &mut stream, |stream| {
            stream.handshake().map_err(|error| untrusted(&error))
        })?;
        Ok(stream)
    }

    /// Whether it wants a password of its own for what docker asks first. Not known where it does not answer within the time
    /// that connecting may take. Waits.
    pub fn asks_for_password(&self) -> io::Result<bool> {
        let mut stream = self.connect_and_wait()?;
        let until = Instant::now() + self.connect_timeout;
        let host = match &self.address {
            config::Backend::Unix(_) => "localhost".to_owned(),
            config::Backend::Http(place) | config::Backend::Https(place) => place.to_string(),
        };
        write!(
            stream,
            "GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        wait_until(until, &mut stream, Stream::push)?;
        let mut input = Input::new(stream);
        loop {
            match ResponseHead::parse(input.buffered(), "GET") {
                Ok(Some((head, length))) if head.status() < 200 => input.consume(length),
                Ok(Some((head, _))) => return Ok(head.asks_for_password()),
                Ok(None) => match input.fill() {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        wait_for(until, input.stream(), Interest::Read)?;
                    }
                    Err(error) => return Err(error),
                },
                Err(fault) => return Err(io::Error::other(fault)),
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end, with nothing behind it.
    pub(super) fn keep(&self, link: Link, cx: &Context<'_>) {
        if !link.input.buffered().is_empty() {
            return;
        }
        let mut stream = link.input.into_stream();
        // Surplus bytes, which may lie in TLS already, would be taken for the next answer.
        let says_more = stream.may_have_more() && stream.has_word();
        if says_more || stream.has_unsent() || stream.report_to(cx.poll, NOBODY).is_err() {
            return;
        }
        let since = cx.now;
        let mut kept = self.shelf(cx.loop_number);
        if kept.len() < MOST_IDLE {
            kept.push(Idle { stream, since });
        }
    }

    /// Gives up the connections that have been idle too long.
    pub fn prune(&self) {
        for loop_number in 0..self.idle.len() {
            self.shelf(loop_number)
                .retain(|idle| idle.since.elapsed() < IDLE_FOR);
        }
    }

    /// A kept connection that still looks open.
    pub(super) fn take_kept(&self, repeat: Repeat, cx: &Context<'_>) -> Option<Link> {
        self.health.asked(cx.now);
        let freshness = match repeat {
            Repeat::Safe => IDLE_FOR,
            Repeat::Never => SURELY_OPEN,
        };
        loop {
            // The youngest first; the lock is not held while its socket is asked.
            let Idle { mut stream, .. } = self
                .shelf(cx.loop_number)
                .pop_if(|idle| cx.now.saturating_duration_since(idle.since) < freshness)?;
            // The owner first: what is reported from here on is ours.
            if stream.report_to(cx.poll, cx.key).is_err() {
                continue;
            }
            // An idle backend that says something says goodbye, or nonsense. Where that may be found out too late, the kernel
            // is asked itself.
            let may_have = stream.may_have_more() || repeat == Repeat::Never;
            if !(may_have && stream.has_word()) {
                return Some(Link::new(stream, true));
            }
        }
    }

    fn shelf(&self, loop_number: usize) -> MutexGuard<'_, Vec<Idle>> {
        // There are as many as loops can be.
        let shelf = self.idle.get(loop_number % self.idle.len().max(1));
        match shelf {
            Some(shelf) => shelf.lock().even_if_poisoned(),
            None => unreachable!("as many shelves as loops"),
        }
    }
}

/// Makes steps until they are done, on a thread that may wait.
fn wait_until(
    until: Instant,
    stream: &mut Stream,
    mut step: impl FnMut(&mut Stream) -> io::Result<Progress>,
) -> io::Result<()> {
    while let Progress::Waits(interest) = step(stream)? {
        // What was read already the kernel tells nobody of.
        if interest == Interest::Write || !stream.may_have_more() {
            wait_for(until, stream, interest)?;
        } else if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

fn wait_for(until: Instant, stream: &Stream, interest: Interest) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    match !left.is_zero() && stream.socket().wait(interest, left)? {
        true => Ok(()),
        false => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Why a backend is not believed, and which setting mends that.
pub(super) fn untrusted(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), tls::trouble(error, "--backend-ca"))
}
