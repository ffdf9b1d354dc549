//! One socket, TCP or Unix, and every call on it. None of them waits.
//!
//! Owns the descriptor, and what is known of its readiness: a call that the kernel would answer with `EAGAIN` is not made. It
//! knows nothing of TLS or HTTP.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};

use super::early;
use super::poll::{Poll, Registration};
use super::readiness::{ENDED, READ, Readiness, TORN, URGENT, WRITE};

/// What a socket is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, an end or an error can be read.
    Read,
    /// Bytes can be written.
    Write,
}

/// A connected socket, or one that connects.
#[derive(Debug)]
pub struct Socket {
    readiness: Arc<Readiness>,
    registration: Option<Registration>,
    is_local: bool,
    fd: OwnedFd,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Takes over a descriptor that does not block.
    pub fn new(fd: impl Into<OwnedFd>) -> Socket {
        let fd = fd.into();
        let is_local = !sockopt::socket_domain(&fd)
            .is_ok_and(|family| matches!(family, AddressFamily::INET | AddressFamily::INET6));
        Socket {
            readiness: Arc::new(Readiness::new()),
            registration: None,
            is_local,
            fd,
        }
    }

    /// As [`new`](Self::new), for a descriptor whose connection is under way: it can do nothing until that is reported.
    pub fn connecting(fd: impl Into<OwnedFd>) -> Socket {
        let socket = Socket::new(fd);
        socket.readiness.take(READ);
        socket.readiness.take(WRITE);
        socket
    }

    /// Has `poll` report on it, to `owner`. Once for each socket; later calls change the owner.
    ///
    /// # Errors
    /// Those of `epoll_ctl`, and where another poll has it.
    pub fn report_to(&mut self, poll: &Arc<Poll>, owner: u64) -> io::Result<()> {
        self.readiness.belongs_to(owner);
        match &self.registration {
            Some(registration) if registration.is_in(poll) => Ok(()),
            Some(_) => Err(io::Error::other("another loop has this socket")),
            None => {
                self.registration = Some(poll.register(&self.fd, &self.readiness)?);
                Ok(())
            }
        }
    }

    /// Whether it is a Unix socket.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Without this an answer over TLS stalls for 40 ms. Unix sockets refuse the option and need it not.
    pub fn send_at_once(&self) {
        if !self.is_local {
            let _ = sockopt::set_tcp_nodelay(self, true);
        }
    }

    /// Whether the last word of the kernel was that `interest` can be served.
    pub fn is_ready(&self, interest: Interest) -> bool {
        self.readiness.has(match interest {
            Interest::Read => READ,
            Interest::Write => WRITE,
        })
    }

    /// Whether the peer sends nothing any more but what is here already.
    pub fn has_ended(&self) -> bool {
        self.readiness.has(ENDED)
    }

    /// Whether both directions are over, or it was reset.
    pub fn is_torn(&self) -> bool {
        self.readiness.has(TORN)
    }

    /// The address and port that the peer connected to, if it is one of those.
    pub fn own_address(&self) -> Option<SocketAddr> {
        let address = SocketAddr::try_from(rustix::net::getsockname(self).ok()?).ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// Reads once.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there, else those of `recv`.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_ready(Interest::Read) && early::hides() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.receive_with(buffer, RecvFlags::DONTWAIT)
    }

    /// Looks at what has come, and takes nothing. The next look waits for more: where this was enough, [`look_again`](Self::look_again).
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_ready(Interest::Read) && early::hides() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.readiness.take(READ) || self.is_postponed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The kernel reports each arrival, whether or not what came before was taken.
        let peeked = rustix::net::recv(self, buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        if peeked == Err(Errno::INTR) {
            self.look_again();
        }
        Ok(peeked?.0)
    }

    /// Throws away up to 64 KiB of what has come; how much it was, `0` at the end.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn discard(&self) -> io::Result<usize> {
        let mut scratch = [0; 64 * 1024];
        // TCP then copies nothing (tcp(7)); other sockets do as ever.
        self.receive_with(&mut scratch, RecvFlags::DONTWAIT | RecvFlags::TRUNC)
    }

    fn receive_with(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        if !self.readiness.take(READ) || self.is_postponed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = early::share_of(buffer.len());
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let received = rustix::net::recv(self, buffer, flags).map(|(taken, _)| taken);
        match received {
            Err(Errno::AGAIN) => {}
            // Less than there was room for is all there is, unless an end lies behind it, or something that stops a read.
            Ok(taken) if taken > 0 && taken < room && self.tells_of_more() => {}
            _ => self.readiness.set(READ),
        }
        Ok(received?)
    }

    /// Whether the kernel is sure to report what comes behind a read that got less than it asked for.
    pub(super) fn tells_of_more(&self) -> bool {
        self.registration.is_some() && !self.is_local && !self.readiness.has(ENDED | TORN | URGENT)
    }

    /// Writes once, from several pieces.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room, else those of `send`.
    pub fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.readiness.take(WRITE) || self.is_postponed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let first = pieces.iter().find(|piece| !piece.is_empty());
        let few = first.and_then(|first| first.get(..early::share_of(first.len())));
        let is_cut = few.map(<[u8]>::len) < first.map(|first| first.len());
        let sent = match pieces {
            _ if is_cut => rustix::net::send(self, few.unwrap_or_default(), flags),
            [one] => rustix::net::send(self, one, flags),
            many => rustix::net::sendmsg(self, many, &mut SendAncillaryBuffer::default(), flags),
        };
        if sent != Err(Errno::AGAIN) {
            self.readiness.set(WRITE);
        }
        Ok(sent?)
    }

    /// Has `splice` read from here or write to here, with the same bookkeeping as [`receive`](Self::receive) and
    /// [`send`](Self::send).
    pub(super) fn spliced(
        &self,
        interest: Interest,
        splice: impl FnOnce(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let bit = match interest {
            Interest::Read => READ,
            Interest::Write => WRITE,
        };
        if !self.readiness.take(bit) || self.is_postponed() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let moved = splice(&self.fd);
        if moved != Err(Errno::AGAIN) {
            self.readiness.set(bit);
        }
        Ok(moved?)
    }

    /// Whether this call is to find nothing, as if the kernel had said so: it reports again what it could have had.
    fn is_postponed(&self) -> bool {
        let registration = self.registration.as_ref();
        registration
            .is_some_and(|registration| early::postpones() && registration.report_again(&self.fd))
    }

    /// Whether a read would return now, asked of the kernel: bytes, an end or an error. Takes nothing.
    pub fn has_something(&self) -> bool {
        let mut byte = [0];
        match rustix::net::recv(self, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok(_) => true,
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Whether an urgent byte has come, at which a read stops.
    pub(super) fn is_urgent(&self) -> bool {
        self.readiness.has(URGENT)
    }

    /// Has the next read ask the kernel, whatever it last said.
    pub fn look_again(&self) {
        self.readiness.set(READ);
    }

    /// How a connection attempt has ended.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connected(&self) -> io::Result<()> {
        sockopt::socket_error(self)??;
        Ok(())
    }

    /// Waits, on this thread, until `interest` can be served; `false` when `limit` passed first. For the commands that talk to
    /// one peer and have nothing else to do.
    ///
    /// # Errors
    /// Those of `poll`.
    pub fn wait(&self, interest: Interest, limit: Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let flags = match interest {
            Interest::Read => PollFlags::IN | PollFlags::RDHUP,
            Interest::Write => PollFlags::OUT,
        };
        let limit = Timespec::try_from(limit).ok();
        loop {
            match poll(&mut [PollFd::new(self, flags)], limit.as_ref()) {
                Ok(ready) => {
                    self.readiness.set(READ | WRITE);
                    return Ok(ready > 0);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the peer that nothing more comes, and goes on reading.
    pub fn half_close(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Write);
    }

    /// Makes the coming close a reset, or a proper end again, whoever closes and why.
    pub fn abort_on_close(&self, abort: bool) {
        let _ = sockopt::set_socket_linger(self, abort.then_some(Duration::ZERO));
    }
}

/// As rustls and `std::io` want to see it.
impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
