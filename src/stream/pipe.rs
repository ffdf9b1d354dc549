//! A pipe between two sockets in the clear, by which bytes pass that nobody here looks at, without being copied.
//!
//! Owns both ends of the pipe and every `splice(2)`. It knows nothing of whose bytes they are. What was taken in stands in the
//! pipe until it was handed over: whoever takes in hands over before taking in more, so that no byte waits for another.
//!
//! A socket that blocks waits here up to its own time-outs, as in reads and writes. What must not wait needs [`Unblocked`]: no
//! flag of `splice` says so to a TCP socket.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};
use rustix::pipe::{self, PipeFlags, SpliceFlags};

use super::socket::{Patience, Socket, patient};
use super::{Session, Spoke, Stream};

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
    fn take_in(&mut self, from: &Socket, most: usize, patience: &Patience) -> io::Result<usize> {
        let most = most.min(PIPE_SIZE.saturating_sub(self.held));
        let mut was_ready = false;
        loop {
            // More comes at once then: measured, a fifth more bytes a second, and a sixth less of a processor's time for each.
            std::thread::yield_now();
            let flags = SpliceFlags::empty();
            match (
                pipe::splice(from, None, &self.entry, None, most, flags),
                patience,
            ) {
                (Ok(taken), _) => {
                    self.held += taken;
                    return Ok(taken);
                }
                // Something is there, and nothing of it for a pipe: an urgent byte (MSG_OOB) stands before the rest.
                (Err(Errno::AGAIN), _) if was_ready => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                (Err(Errno::AGAIN), Patience::Watching(other)) => {
                    from.wait_beside(other, from.silence()?)?;
                    was_ready = true;
                }
                (Err(error), Patience::Full) => return Err(patient(error)),
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    /// Hands over what there is room for. Where the socket is closed there is no signal only because the standard library
    /// has turned that one off.
    fn hand_over(&mut self, to: &Socket) -> Result<usize, Errno> {
        let flags = SpliceFlags::empty();
        let taken = pipe::splice(&self.exit, None, to, None, self.held, flags)?;
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
        matches!(&self.session, Session::Clear { unsent } if unsent.is_empty())
            && sockopt::socket_domain(&self.socket)
                .is_ok_and(|family| family != AddressFamily::UNIX)
    }

    /// As a read, by the patience, but into a pipe. For a stream that is bare.
    pub fn pour_into(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        pipe.take_in(&self.socket, most, &self.patience)
    }

    /// As a patient write, but out of a pipe that is not empty. For a stream that is bare.
    pub fn pour_from(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        pipe.hand_over(&self.socket).map_err(patient)
    }

    /// As [`Stream::write_unless_spoken`], but out of a pipe that is not empty. For a stream that is bare and [`Unblocked`].
    pub fn pour_unless_spoken(&mut self, pipe: &mut Pipe, silence: Duration) -> io::Result<usize> {
        loop {
            if self.has_word() {
                return Err(io::Error::other(Spoke));
            }
            match pipe.hand_over(&self.socket) {
                Err(Errno::AGAIN) => drop(self.socket.wait_either_way(silence)?),
                done => return Ok(done?),
            }
        }
    }
}

/// A socket that does not block, for as long as this lives.
#[derive(Debug)]
pub struct Unblocked(Socket);

impl Unblocked {
    /// For all who use the socket.
    pub fn new(socket: &Socket) -> io::Result<Unblocked> {
        rustix::io::ioctl_fionbio(socket, true)?;
        Ok(Unblocked(socket.clone()))
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        // It went one way, and goes back the same.
        let _ = rustix::io::ioctl_fionbio(&self.0, false);
    }
}

/// Whether the kernel, or whoever filters its calls, does not let this socket and a pipe meet. Nothing was moved then.
pub fn refuses_pipes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::super::{Interest, spoke, timed_out};
    use super::*;

    /// A stream as the relay has it, and its peer.
    fn tcp() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (bare(Socket::new(listener.accept().unwrap().0)), peer)
    }

    fn unix() -> (Stream, UnixStream) {
        let (own, peer) = UnixStream::pair().unwrap();
        (bare(Socket::new(own)), peer)
    }

    fn bare(socket: Socket) -> Stream {
        socket.time_out_after(Duration::from_millis(50)).unwrap();
        let mut stream = Stream::clear(socket);
        stream.patience = Patience::Full;
        stream
    }

    /// A pipe with something in it.
    fn filled() -> Pipe {
        let mut pipe = Pipe::new().unwrap();
        pipe.held = rustix::io::write(&pipe.entry, &[7; 4096]).unwrap();
        pipe
    }

    #[test]
    fn who_says_or_takes_nothing_in_time_is_timed_out() {
        let ((tcp, _peer), (unix, _other)) = (tcp(), unix());
        for mut stream in [tcp, unix] {
            let mut pipe = Pipe::new().unwrap();
            let error = stream.pour_into(&mut pipe, 10).unwrap_err();
            assert!(timed_out(&error), "{error:?}");
            let error = loop {
                match stream.pour_from(&mut filled()) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(timed_out(&error), "{error:?}");
        }
    }

    #[test]
    fn what_a_full_unblocked_socket_does_not_take_stays_and_can_be_read() {
        let ((tcp, peer), (unix, other)) = (tcp(), unix());
        let peers: [Box<dyn Read>; 2] = [Box::new(peer), Box::new(other)];
        for (mut stream, mut peer) in [tcp, unix].into_iter().zip(peers) {
            let unblocked = Unblocked::new(stream.socket()).unwrap();
            let (mut given, mut taken) = (0, 0);
            let (mut pipe, error) = loop {
                let mut pipe = filled();
                given += pipe.held();
                match pipe.hand_over(stream.socket()) {
                    Ok(count) if pipe.held() == 0 => taken += count,
                    Ok(count) => {
                        taken += count;
                        let error = pipe.hand_over(stream.socket()).unwrap_err();
                        break (pipe, error);
                    }
                    Err(error) => break (pipe, error),
                }
            };
            assert_eq!(error, Errno::AGAIN);
            let mut rest = Vec::new();
            pipe.read_to_end(&mut rest).unwrap();
            assert_eq!(taken + rest.len(), given);
            let silence = Duration::from_millis(20);
            let error = stream.pour_unless_spoken(&mut filled(), silence);
            assert!(timed_out(&error.unwrap_err()));
            drop((unblocked, stream));
            let mut arrived = Vec::new();
            peer.read_to_end(&mut arrived).unwrap();
            assert_eq!(arrived.len(), taken);
        }
    }

    #[test]
    fn who_speaks_gets_no_more() {
        let (mut stream, mut peer) = tcp();
        let _unblocked = Unblocked::new(stream.socket()).unwrap();
        peer.write_all(b"enough").unwrap();
        stream
            .socket()
            .wait(Interest::Read, Duration::from_secs(5))
            .unwrap();
        let mut pipe = filled();
        let error = stream.pour_unless_spoken(&mut pipe, Duration::ZERO);
        assert!(spoke(&error.unwrap_err()));
        assert_eq!(pipe.held(), 4096);
    }

    #[test]
    fn a_socket_blocks_again_once_it_need_not_any_longer() {
        let (stream, _peer) = tcp();
        drop(Unblocked::new(stream.socket()).unwrap());
        let flags = rustix::fs::fcntl_getfl(stream.socket()).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }

    #[test]
    fn what_is_no_stream_refuses_pipes() {
        let mut pipe = Pipe::new().unwrap();
        let directory = Socket::new(std::fs::File::open("/").unwrap());
        let error = pipe.take_in(&directory, 10, &Patience::Full).unwrap_err();
        assert!(refuses_pipes(&error), "{error:?}");
    }
}
