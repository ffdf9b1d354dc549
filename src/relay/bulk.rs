//! Big bodies from one socket in the clear to another, through a pipe.
//!
//! Owns when a pipe is used and how it is emptied. It knows nothing of what the bytes are. Where there is no pipe to be had, or
//! the kernel wants none between these two, everything is left to [`transfer`], and no byte is lost on the way there.

use std::io::{self, Read, Write};

use super::transfer::{self, Budget, Failure, Share};
use crate::http::Body;
use crate::leader::step_down;
use crate::stream::{PIPE_SIZE, Pipe, Stream, refuses_pipes};

/// Shorter bodies are not worth two descriptors and the system calls that make and end them.
const WORTHWHILE: u64 = 1024 * 1024;

/// Where a pipe may be emptied into.
pub(super) trait Sink: Write {
    /// As a write, out of a pipe that is not empty.
    fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize>;
}

impl Sink for Stream {
    fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        self.pour_from(pipe)
    }
}

/// The share of the budget for one: what stands in a pipe may hold on to twice as much memory, pages that are not full. As they
/// have half of it at most, these are 16, a quarter of what Linux lets the pipes of one user hold (`pipe-user-pages-soft`) before
/// all new ones are tiny; clients that are slow leave buffers to those that need them.
const SHARE: usize = 2 * PIPE_SIZE;

/// A pipe and its share of what all transfers may hold.
pub(super) struct Bulk<'a> {
    pipe: Pipe,
    budget: &'a Budget,
    _share: Share<'a>,
}

impl<'a> Bulk<'a> {
    /// A pipe for what is left of `body`, if that is much, its length is known, and neither side is more than a socket.
    pub(super) fn of(
        body: &mut Body<'_, Stream>,
        sink: &Stream,
        budget: &'a Budget,
    ) -> Option<Bulk<'a>> {
        let is_much = body
            .remaining_length()
            .is_some_and(|left| left >= WORTHWHILE);
        if !(is_much && body.stream_mut().is_bare() && sink.is_bare()) {
            return None;
        }
        Some(Bulk {
            _share: budget.share_of_half(SHARE)?,
            pipe: Pipe::new().ok()?,
            budget,
        })
    }

    /// Brings `body` to `sink`, and leaves to [`transfer::copy`] what cannot go this way. `written` counts what the sink has
    /// taken, whatever the end.
    pub(super) fn carry(
        &mut self,
        body: &mut Body<'_, Stream>,
        sink: &mut impl Sink,
        written: &mut u64,
    ) -> Result<(), Failure> {
        step_down();
        let ahead = body.buffered_len() as u64;
        if ahead > 0 {
            let mut ahead_of_it = Read::take(&mut *body, ahead);
            transfer::copy(&mut ahead_of_it, sink, Some(ahead), self.budget, written)?;
        }
        while let Some(left @ 1..) = body.remaining_length() {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            match body.stream_mut().pour_into(&mut self.pipe, most) {
                // The end, or an urgent byte (MSG_OOB): a read tells which.
                Ok(0) => return Ok(()),
                Ok(taken) => body.went_by(taken as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if refuses_pipes(&error) => return Ok(()),
                Err(error) => return Err(Failure::Source(error)),
            }
            if !self.empty(sink, written)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// `false` if the sink would not have it so, and got it written.
    fn empty(&mut self, sink: &mut impl Sink, written: &mut u64) -> Result<bool, Failure> {
        while self.pipe.held() > 0 {
            match sink.pour(&mut self.pipe) {
                Ok(0) => return Err(Failure::Sink(io::ErrorKind::WriteZero.into())),
                Ok(taken) => *written += taken as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if refuses_pipes(&error) => {
                    let held = Some(self.pipe.held() as u64);
                    transfer::copy(&mut self.pipe, sink, held, self.budget, written)?;
                    return Ok(false);
                }
                Err(error) => return Err(Failure::Sink(error)),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::http::{Framing, Input};
    use crate::stream::{Patience, Socket};

    const SIZE: usize = 2 * 1024 * 1024 + 3;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, peer)
    }

    fn stream(socket: impl Into<OwnedFd>) -> Stream {
        let mut stream = Stream::clear(Socket::new(socket));
        stream.patience = Patience::Full;
        stream
    }

    /// Says `bytes` and ends.
    fn says(bytes: Vec<u8>) -> Stream {
        let (own, mut peer) = pair();
        std::thread::spawn(move || {
            let _ = peer.write_all(&bytes);
            let _ = peer.shutdown(Shutdown::Write);
        });
        stream(own)
    }

    /// Takes out of pipes so often, then only what is written; in pieces of up to 1000 bytes.
    struct Moody {
        pours: usize,
        got: Vec<u8>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let piece = bytes.get(..1000).unwrap_or(bytes);
            self.got.extend_from_slice(piece);
            Ok(piece.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Moody {
        fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
            self.pours = self
                .pours
                .checked_sub(1)
                .ok_or(io::ErrorKind::InvalidInput)?;
            let mut piece = [0; 1000];
            let taken = pipe.read(&mut piece)?;
            self.write(piece.get(..taken).unwrap_or_default())
        }
    }

    fn content() -> Vec<u8> {
        (0..SIZE).map(|number| (number / 251) as u8).collect()
    }

    #[test]
    fn where_pipes_are_refused_no_byte_is_lost_and_none_of_the_next_message_taken() {
        for (pours, ahead) in [(0, false), (1, false), (300, true), (usize::MAX, true)] {
            let mut input = Input::new(says([content().as_slice(), b"next"].concat()));
            if ahead {
                input.fill().unwrap();
            }
            let mut body = Body::new(&mut input, Framing::Length(SIZE as u64));
            let (plain, _peer) = pair();
            let budget = Budget::default();
            let mut bulk = Bulk::of(&mut body, &stream(plain), &budget).unwrap();
            let got = Vec::new();
            let (mut sink, mut written) = (Moody { pours, got }, 0);
            bulk.carry(&mut body, &mut sink, &mut written).unwrap();
            io::copy(&mut body, &mut sink)
                .map(|more| written += more)
                .unwrap();
            assert!(body.is_complete());
            assert_eq!(written, SIZE as u64);
            assert!(sink.got == content());
            let mut next = String::new();
            body.into_input().read_to_string(&mut next).unwrap();
            assert_eq!(next, "next");
        }
    }

    #[test]
    fn a_body_that_ends_early_is_left_to_a_read() {
        let mut input = Input::new(says(vec![0; SIZE - 1]));
        let mut body = Body::new(&mut input, Framing::Length(SIZE as u64));
        let (plain, _peer) = pair();
        let budget = Budget::default();
        let mut bulk = Bulk::of(&mut body, &stream(plain), &budget).unwrap();
        let (pours, got) = (usize::MAX, Vec::new());
        let mut written = 0;
        bulk.carry(&mut body, &mut Moody { pours, got }, &mut written)
            .unwrap();
        assert_eq!(
            (written, body.remaining_length()),
            (SIZE as u64 - 1, Some(1))
        );
        assert_eq!(
            body.read(&mut [0; 8]).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[test]
    fn what_a_pipe_is_not_for_gets_none() {
        let budget = Budget::default();
        let (plain, _peer) = pair();
        let sink = stream(plain);
        for framing in [
            Framing::Length(WORTHWHILE - 1),
            Framing::Chunked,
            Framing::UntilClose,
        ] {
            let mut input = Input::new(says(Vec::new()));
            let mut body = Body::new(&mut input, framing);
            assert!(Bulk::of(&mut body, &sink, &budget).is_none());
        }
        let mut input = Input::new(says(Vec::new()));
        let mut body = Body::new(&mut input, Framing::Length(WORTHWHILE));
        assert!(Bulk::of(&mut body, &sink, &budget).is_some());
        let (unix, _peer) = UnixStream::pair().unwrap();
        assert!(Bulk::of(&mut body, &stream(unix), &budget).is_none());
        let (full, _unread) = pair();
        let mut sink = Stream::clear(Socket::new(full));
        sink.write_all(&vec![0; 16 << 20]).unwrap();
        assert!(sink.has_unsent());
        assert!(Bulk::of(&mut body, &sink, &budget).is_none());
    }
}
