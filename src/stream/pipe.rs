//! A pipe between two sockets in the clear, by which bytes pass that nobody here looks at, without being copied.
//!
//! Owns both ends of the pipe and every `splice(2)`. It knows nothing of whose bytes they are. What was taken in stands in the
//! pipe until it was handed over: whoever takes in hands over before taking in more, so that no byte waits for another.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::pipe::{self, PipeFlags, SpliceFlags};

use super::channel::Stream;
use super::early;
use super::socket::{Interest, Socket};

/// What a pipe holds, in bytes: the most that the kernel gives to everyone. Measured: through 64 KiB a transfer costs more of a
/// processor's time than through a buffer, through 256 KiB about as much, through this a quarter to a third less.
pub const PIPE_SIZE: usize = 1024 * 1024;

/// A pipe, and how much stands in it.
#[derive(Debug)]
pub struct Pipe {
    exit: OwnedFd,
    entry: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptors are left, or the kernel gives no pipe of that size, as to users who have very many.
    pub fn new() -> io::Result<Pipe> {
        let (exit, entry) = pipe::pipe_with(PipeFlags::CLOEXEC)?;
        pipe::fcntl_setpipe_size(&entry, PIPE_SIZE)?;
        Ok(Pipe {
            exit,
            entry,
            held: 0,
        })
    }

    /// What was taken in and not yet handed over, in bytes.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes what is there, up to `most` bytes; `0` at the end.
    fn take_in(&mut self, from: &Socket, most: usize) -> io::Result<usize> {
        let most = early::share_of(most.min(PIPE_SIZE.saturating_sub(self.held)));
        // The other sides have their turn first, and more comes at once: measured, where they share the processors it is half
        // of the processor's time for each byte, and twice as many a second.
        std::thread::yield_now();
        let taken = from.spliced(Interest::Read, |fd| {
            pipe::splice(fd, None, &self.entry, None, most, SpliceFlags::empty())
        });
        let taken = match taken {
            // Something is there, and nothing of it for a pipe: an urgent byte (MSG_OOB) stands before the rest.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && from.is_urgent() => {
                from.look_again();
                return Err(io::ErrorKind::InvalidInput.into());
            }
            taken => taken?,
        };
        self.held += taken;
        Ok(taken)
    }

    /// Hands over what there is room for. Where the socket is closed there is no signal only because the standard library
    /// has turned that one off.
    fn hand_over(&mut self, to: &Socket) -> io::Result<usize> {
        let taken = to.spliced(Interest::Write, |fd| {
            let most = early::share_of(self.held);
            pipe::splice(&self.exit, None, fd, None, most, SpliceFlags::empty())
        })?;
        self.held = self.held.saturating_sub(taken);
        Ok(taken)
    }
}

/// What was taken in and cannot be handed over as such. Never waits.
impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.held.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let taken = rustix::io::read(&self.exit, buffer.get_mut(..most).unwrap_or_default())?;
        self.held = self.held.saturating_sub(taken);
        Ok(taken)
    }
}

impl Stream {
    /// Whether all that its peer says and is told passes a TCP socket as it is, and nothing is left unsent: then it may go
    /// through a pipe. Out of a Unix socket that is no gain: measured, it costs 1.4 times as much as through a buffer.
    pub fn is_bare(&self) -> bool {
        !self.is_tls() && !self.has_unsent() && !self.socket.is_local()
    }

    /// As a read, but into a pipe that is empty. For a stream that is bare.
    ///
    /// # Errors
    /// As a read, and one that [`refuses_pipes`].
    pub fn pour_into(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        pipe.take_in(&self.socket, most)
    }

    /// Writes once out of a pipe that is not empty. For a stream that is bare.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room, one that [`refuses_pipes`], and those of the socket.
    pub fn pour_from(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        let sent = pipe.hand_over(&self.socket)?;
        self.sent += sent as u64;
        Ok(sent)
    }
}

/// Whether the kernel, or whoever filters its calls, does not let this socket and a pipe meet. Nothing was moved then.
pub fn refuses_pipes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}
