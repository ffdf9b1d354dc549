//! A connection to a backend that is being made.
//!
//! Owns the order of its steps: look its name up, connect to one address after the other, shake hands. None of them waits but the
//! look-up, which is made on a thread that may.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, ipproto};

use super::backend::Backend;
use crate::config;
use crate::reactor::{Context, Kind, Wait};
use crate::stream::{Interest, Progress, Socket, Stream};

/// A Unix socket whose queue is full tells nobody when there is room again; it is tried again after this.
const FULL_QUEUE: Duration = Duration::from_millis(20);

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Dial {
    stage: Stage,
    addresses: VecDeque<Address>,
    /// Of the present address.
    until: Instant,
    /// When to go on at the latest.
    wake: Instant,
    last: io::Error,
}

#[derive(Debug)]
enum Stage {
    LookUp,
    /// The next address is to be tried.
    Next,
    /// This one, later once more.
    Again(Address),
    Connecting(Socket),
    Shaking(Stream),
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How far it is.
pub(super) enum Dialled {
    /// It is there, its handshake done.
    Done(Stream),
    /// It goes on later.
    Waits(Dial, Wait),
    /// There is none to be had.
    Failed(io::Error),
}

/// What one stage comes to.
enum Turn {
    On(Stage),
    Stay(Stage, Wait),
    Done(Stream),
    Failed(io::Error),
}

impl Dial {
    pub(super) fn new(now: Instant) -> Dial {
        Dial {
            stage: Stage::LookUp,
            addresses: VecDeque::new(),
            until: now,
            wake: now,
            last: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        }
    }

    /// When it is to be gone on with although nothing has happened.
    pub(super) fn deadline(&self) -> Instant {
        self.wake
    }

    /// Goes on as far as it can.
    pub(super) fn run(mut self, backend: &Backend, cx: &mut Context<'_>) -> Dialled {
        let mut stage = std::mem::replace(&mut self.stage, Stage::Next);
        loop {
            self.wake = self.until;
            let turn = match stage {
                Stage::LookUp => self.look_up(backend, cx),
                Stage::Next => self.next(backend, cx),
                Stage::Again(address) => self.connect(address, backend, cx),
                Stage::Connecting(socket) => self.connected(socket, backend, cx),
                Stage::Shaking(stream) => self.shake_hands(stream, cx),
            };
            match turn {
                Turn::On(next) => stage = next,
                Turn::Stay(same, wait) => {
                    self.stage = same;
                    return Dialled::Waits(self, wait);
                }
                Turn::Done(stream) => return Dialled::Done(stream),
                Turn::Failed(error) => return Dialled::Failed(error),
            }
        }
    }

    fn look_up(&mut self, backend: &Backend, cx: &Context<'_>) -> Turn {
        let place = match backend.address() {
            config::Backend::Unix(path) => {
                self.addresses.push_back(Address::Unix(path.clone()));
                return Turn::On(Stage::Next);
            }
            config::Backend::Http(place) | config::Backend::Https(place) => place,
        };
        let found = match backend.resolver().known(place, cx.now) {
            Some(found) => found,
            None if cx.may_block(Kind::Lookup) => {
                let deadline = Instant::now() + backend.connect_timeout();
                match backend.resolver().look_up(place, deadline) {
                    Ok(found) => found,
                    Err(error) => return Turn::Failed(error),
                }
            }
            None if let Err(error) = backend.resolver().is_lost(place, cx.now) => {
                return Turn::Failed(error);
            }
            None => return Turn::Stay(Stage::LookUp, Wait::Thread(Kind::Lookup)),
        };
        self.addresses
            .extend(found.iter().copied().map(Address::Tcp));
        Turn::On(Stage::Next)
    }

    fn next(&mut self, backend: &Backend, cx: &Context<'_>) -> Turn {
        match self.addresses.pop_front() {
            Some(address) => {
                // A look-up may have taken long.
                self.until = Instant::now().max(cx.now) + backend.connect_timeout();
                self.wake = self.until;
                self.connect(address, backend, cx)
            }
            None => Turn::Failed(std::mem::replace(
                &mut self.last,
                io::ErrorKind::NotFound.into(),
            )),
        }
    }

    fn connect(&mut self, address: Address, backend: &Backend, cx: &Context<'_>) -> Turn {
        let begun = match &address {
            Address::Tcp(address) => connect_tcp(*address),
            Address::Unix(path) => connect_unix(path),
        };
        match begun {
            Ok(mut socket) => match socket.report_to(cx.poll, cx.key) {
                Ok(()) => self.connected(socket, backend, cx),
                Err(error) => self.failed(error),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && cx.now < self.until => {
                self.wake = self.until.min(cx.now + FULL_QUEUE);
                Turn::Stay(Stage::Again(address), Wait::Event)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.failed(silent()),
            Err(error) => self.failed(error),
        }
    }

    fn connected(&mut self, socket: Socket, backend: &Backend, cx: &Context<'_>) -> Turn {
        if !socket.is_ready(Interest::Write) {
            return match cx.now < self.until {
                true => Turn::Stay(Stage::Connecting(socket), Wait::Event),
                false => self.failed(silent()),
            };
        }
        if let Err(error) = socket.connected() {
            return self.failed(error);
        }
        socket.send_at_once();
        match backend.session() {
            None => Turn::Done(Stream::clear(socket)),
            Some(Ok(session)) => Turn::On(Stage::Shaking(Stream::tls(socket, session))),
            Some(Err(error)) => Turn::Failed(error),
        }
    }

    fn shake_hands(&mut self, mut stream: Stream, cx: &Context<'_>) -> Turn {
        match stream.handshake() {
            Ok(Progress::Done) => Turn::Done(stream),
            Ok(Progress::Waits(_)) if cx.now >= self.until => self.failed(silent()),
            Ok(Progress::Waits(interest)) => {
                let wait = Wait::unless(interest == Interest::Read && stream.may_have_more());
                Turn::Stay(Stage::Shaking(stream), wait)
            }
            Err(error) => self.failed(super::backend::untrusted(&error)),
        }
    }

    fn failed(&mut self, error: io::Error) -> Turn {
        self.last = error;
        Turn::On(Stage::Next)
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no connection in time")
}

fn connect_tcp(address: SocketAddr) -> io::Result<Socket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match rustix::net::connect(&fd, &address) {
        Ok(()) => Ok(Socket::new(fd)),
        Err(Errno::INPROGRESS) => Ok(Socket::connecting(fd)),
        Err(error) => Err(error.into()),
    }
}

fn connect_unix(path: &Path) -> io::Result<Socket> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // `WouldBlock` where its queue is full.
    rustix::net::connect(&fd, &address)?;
    Ok(Socket::new(fd))
}
