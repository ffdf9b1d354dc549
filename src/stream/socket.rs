//! One socket, TCP or Unix: reads and writes that wait, that never wait, or that wait for two
//! peers at once.
//!
//! Owns the descriptor and every system call on it. It knows nothing of TLS or HTTP. The socket
//! itself always blocks; a call that must not wait says so itself (`MSG_DONTWAIT`), so that
//! changing from one way to the other costs no system call.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::leader::{leads, step_down};

/// What a call does when the kernel has nothing to give or no room to take.
#[derive(Clone, Debug, Default)]
pub enum Patience {
    /// Returns `WouldBlock` at once: the way with everyone who has not been let in.
    #[default]
    None,
    /// Waits until the socket's own time-out.
    Full,
    /// Waits, and a read also ends with [`turned_elsewhere`] when this other socket turns readable.
    Watching(Socket),
}

/// What one wait on a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Until bytes, an end or an error can be read.
    Read,
    /// Until bytes can be written.
    Write,
}

/// A connected socket. Clones share the descriptor, which closes with the last of them.
#[derive(Clone, Debug)]
pub struct Socket(Arc<OwnedFd>);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// Takes over a connected descriptor.
    pub fn new(fd: impl Into<OwnedFd>) -> Socket {
        Socket(Arc::new(fd.into()))
    }

    /// Without this an answer over TLS stalls for 40 ms. Unix sockets refuse the option and need it not.
    pub fn send_at_once(&self) {
        let _ = sockopt::set_tcp_nodelay(self, true);
    }

    /// Time-out of every waiting read and write, a time of silence and never a total.
    pub fn time_out_after(&self, silence: Duration) -> io::Result<()> {
        sockopt::set_socket_timeout(self, Timeout::Recv, Some(silence))?;
        sockopt::set_socket_timeout(self, Timeout::Send, Some(silence))?;
        Ok(())
    }

    /// The address of our own end, which the peer has connected to; a Unix socket has none.
    pub fn own_address(&self) -> Option<SocketAddr> {
        let address = SocketAddr::try_from(rustix::net::getsockname(self).ok()?).ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// Reads once.
    pub fn receive(&self, buffer: &mut [u8], patience: &Patience) -> io::Result<usize> {
        match patience {
            Patience::None => {
                Ok(rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT).map(|(n, _)| n)?)
            }
            Patience::Full => {
                step_down();
                rustix::net::recv(self, &mut *buffer, RecvFlags::empty())
                    .map(|(n, _)| n)
                    .map_err(patient)
            }
            Patience::Watching(other) => loop {
                match self.receive(buffer, &Patience::None) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                }
                self.wait_beside(other, self.silence()?)?;
            },
        }
    }

    /// Throws away up to 64 KiB of what has come, without waiting; how much it was, `0` at the end.
    pub fn discard(&self) -> io::Result<usize> {
        let mut scratch = [0; 64 * 1024];
        // TCP then copies nothing (tcp(7)); other sockets do as ever.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        Ok(rustix::net::recv(self, &mut scratch, flags).map(|(taken, _)| taken)?)
    }

    /// Writes once, from several pieces.
    pub fn send(&self, pieces: &[IoSlice<'_>], patience: &Patience) -> io::Result<usize> {
        let waits = !matches!(patience, Patience::None);
        if !waits || leads() {
            // What is short has room nearly always, and then nobody has to lead in this one's place.
            match self.send_once(pieces, SendFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) if waits => step_down(),
                sent => return Ok(sent?),
            }
        }
        self.send_once(pieces, SendFlags::empty()).map_err(patient)
    }

    fn send_once(&self, pieces: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
        let flags = flags | SendFlags::NOSIGNAL;
        match pieces {
            [one] => rustix::net::send(self, one, flags),
            many => rustix::net::sendmsg(self, many, &mut SendAncillaryBuffer::default(), flags),
        }
    }

    /// Whether a read would return now: bytes, an end or an error. Takes nothing.
    pub fn is_readable(&self) -> bool {
        let mut byte = [0];
        match rustix::net::recv(self, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok(_) => true,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// Waits until `interest` can be served; `false` when `limit` passed first.
    pub fn wait(&self, interest: Interest, limit: Duration) -> io::Result<bool> {
        let flags = match interest {
            Interest::Read => PollFlags::IN | PollFlags::RDHUP,
            Interest::Write => PollFlags::OUT,
        };
        let mut fds = [PollFd::new(self, flags)];
        poll(&mut fds, limit)
    }

    /// Waits until this socket is writable or readable; where it is both, it is writable.
    pub fn wait_either_way(&self, limit: Duration) -> io::Result<Interest> {
        let mut fds = [PollFd::new(self, PollFlags::IN | PollFlags::OUT)];
        if !poll(&mut fds, limit)? {
            return Err(silent());
        }
        let is_writable = |fd: &PollFd<'_>| fd.revents().contains(PollFlags::OUT);
        Ok(match fds.first().is_some_and(is_writable) {
            true => Interest::Write,
            false => Interest::Read,
        })
    }

    /// Waits for another read of something that is awaited since `begun`: no longer than the time-out of a read that began
    /// then.
    pub(super) fn wait_since(&self, begun: Instant, patience: &Patience) -> io::Result<()> {
        let left = self.silence()?.saturating_sub(begun.elapsed());
        if let Patience::Watching(other) = patience {
            return self.wait_beside(other, left);
        }
        match !left.is_zero() && self.wait(Interest::Read, left)? {
            true => Ok(()),
            false => Err(silent()),
        }
    }

    /// Waits until this socket is readable. Ends with `ConnectionAborted` when `other` is torn down
    /// meanwhile (reset or closed both ways; a half-close is no reason), with `TimedOut` after `limit`.
    pub fn wait_unless_torn(&self, other: &Socket, limit: Duration) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self, PollFlags::IN),
            PollFd::new(other, PollFlags::empty()),
        ];
        if !poll(&mut fds, limit)? {
            return Err(silent());
        }
        match fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            true => Ok(()),
            false => Err(io::ErrorKind::ConnectionAborted.into()),
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

    /// The time-out of its reads.
    pub(super) fn silence(&self) -> io::Result<Duration> {
        Ok(sockopt::socket_timeout(self, Timeout::Recv)?.unwrap_or(Duration::MAX))
    }

    /// Waits until this socket is readable. Ends with [`turned_elsewhere`] when `other` turns readable first.
    pub(super) fn wait_beside(&self, other: &Socket, limit: Duration) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self, PollFlags::IN),
            PollFd::new(other, PollFlags::IN),
        ];
        if !poll(&mut fds, limit)? {
            return Err(silent());
        }
        match fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            true => Ok(()),
            false => Err(io::Error::other(TurnedElsewhere)),
        }
    }
}

/// Whether a read ended because the watched socket turned readable, and may be taken up again.
pub fn turned_elsewhere(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<TurnedElsewhere>())
}

/// Whether a wait took too long.
pub fn timed_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// The kernel's word for a wait that took too long is the same as for one that was not wanted.
pub(super) fn patient(error: rustix::io::Errno) -> io::Error {
    match error {
        rustix::io::Errno::AGAIN => silent(),
        other => other.into(),
    }
}

pub(super) fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing moved in time")
}

#[derive(Debug)]
struct TurnedElsewhere;

impl std::fmt::Display for TurnedElsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side has something to say")
    }
}

impl std::error::Error for TurnedElsewhere {}

/// `poll(2)` that survives signals; `false` when `limit` passed. A signal starts the limit anew,
/// which is harmless: signals are rare and end the process soon.
fn poll(fds: &mut [PollFd<'_>], limit: Duration) -> io::Result<bool> {
    if !limit.is_zero() {
        step_down();
    }
    let limit = Timespec::try_from(limit).ok();
    loop {
        match rustix::event::poll(fds, limit.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A socket with a patience, as rustls and `std::io` want to see it.
pub(super) struct With<'a>(pub &'a Socket, pub &'a Patience);

impl Read for With<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer, self.1)
    }
}

impl Write for With<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(&[IoSlice::new(bytes)], self.1)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send(pieces, self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
