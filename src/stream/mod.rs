//! Bytes to and from one peer, in the clear or through TLS, waiting or not.
//!
//! Owns the socket and the TLS session over it. It knows nothing of HTTP. Everything read is
//! hostile; what TLS refuses ends the stream with an error after its alert was sent.

mod ahead;
mod local;
mod pipe;
mod socket;
mod tls;

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::time::{Duration, Instant};

use ahead::Ahead;
pub use ahead::in_the_clear;
pub use local::{SocketFile, bind_unix, room_for_socket};
pub use pipe::{PIPE_SIZE, Pipe, Unblocked, refuses_pipes};
use socket::silent;
pub use socket::{Interest, Patience, Socket, timed_out, turned_elsewhere};
use tls::Tls;

/// What a TLS session holds of one write before the socket takes it, in bytes. Measured with blobs: a sixteenth less of a
/// processor's time than with the 64 KiB of rustls, and no more from there on.
const BUFFERED: usize = 256 * 1024;

/// How far a step that does not wait has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done.
    Done,
    /// Go on when the socket can do this.
    Waits(Interest),
}

/// One peer. Reads and writes go by [`Stream::patience`].
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    session: Session,
    /// How reads and writes behave from now on.
    pub patience: Patience,
}

#[derive(Debug)]
enum Session {
    /// Bytes that an impatient write could not hand over yet.
    Clear {
        unsent: Vec<u8>,
    },
    Tls(Box<Tls>),
}

impl Stream {
    /// A stream in the clear.
    pub fn clear(socket: Socket) -> Stream {
        let session = Session::Clear { unsent: Vec::new() };
        Stream {
            socket,
            session,
            patience: Patience::None,
        }
    }

    /// A stream through TLS whose handshake is still to come.
    pub fn tls(socket: Socket, connection: impl Into<rustls::Connection>) -> Stream {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(BUFFERED));
        let ahead = match &connection {
            rustls::Connection::Server(_) => Ahead::of_server(),
            rustls::Connection::Client(_) => Ahead::default(),
        };
        let tls = Tls { connection, ahead };
        Stream {
            socket,
            session: Session::Tls(Box::new(tls)),
            patience: Patience::None,
        }
    }

    /// The socket underneath.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Goes on with the handshake as far as the patience lets it, the time-out being one for all that comes. Errors are the
    /// peer's doing or a time-out; an alert has been tried. After one of [`in_the_clear`] comes [`Stream::turn_clear`].
    pub fn handshake(&mut self) -> io::Result<Progress> {
        let Session::Tls(tls) = &mut self.session else {
            return Ok(Progress::Done);
        };
        let impatient = matches!(self.patience, Patience::None);
        let begun = Instant::now();
        let mut reads = 0;
        loop {
            if tls.flush(&self.socket, &self.patience)? == Progress::Waits(Interest::Write) {
                return Ok(Progress::Waits(Interest::Write));
            }
            if !tls.connection.is_handshaking() {
                return Ok(Progress::Done);
            }
            if impatient && tls.is_others_turn(reads) {
                return Ok(Progress::Waits(Interest::Read));
            }
            if !impatient && tls.ahead.is_empty() {
                self.socket.wait_since(begun, &self.patience)?;
            }
            reads += 1;
            match tls.take_in(&self.socket, &self.patience) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if impatient && error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waits(Interest::Read));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on in the clear with a client that never began with TLS. What it has said is returned.
    pub fn turn_clear(&mut self) -> Vec<u8> {
        let unsent = Vec::new();
        match mem::replace(&mut self.session, Session::Clear { unsent }) {
            Session::Tls(tls) => tls.ahead.into_bytes(),
            Session::Clear { .. } => Vec::new(),
        }
    }

    /// Hands over what an impatient write left behind.
    pub fn push(&mut self) -> io::Result<Progress> {
        match &mut self.session {
            Session::Tls(tls) => tls.flush(&self.socket, &self.patience),
            Session::Clear { unsent } => {
                while !unsent.is_empty() {
                    match self.socket.send(&[IoSlice::new(unsent)], &self.patience) {
                        Ok(sent) => drop(unsent.drain(..sent)),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error)
                            if error.kind() == io::ErrorKind::WouldBlock
                                && matches!(self.patience, Patience::None) =>
                        {
                            return Ok(Progress::Waits(Interest::Write));
                        }
                        Err(error) => return Err(error),
                    }
                }
                *unsent = Vec::new();
                Ok(Progress::Done)
            }
        }
    }

    /// Whether an impatient write has left something behind.
    pub fn has_unsent(&self) -> bool {
        match &self.session {
            Session::Clear { unsent } => !unsent.is_empty(),
            Session::Tls(tls) => tls.connection.wants_write(),
        }
    }

    /// Reads ciphertext in pieces of up to `capacity` bytes until [`Stream::read_as_needed`]: on a
    /// big upload it saves four of five system calls.
    pub fn read_ahead(&mut self, capacity: usize) {
        if let Session::Tls(tls) = &mut self.session {
            tls.ahead.reserve(capacity);
        }
    }

    /// Ends [`Stream::read_ahead`]; what was read ahead is kept until it has been taken.
    pub fn read_as_needed(&mut self) {
        if let Session::Tls(tls) = &mut self.session {
            tls.ahead.shrink();
        }
    }

    /// Whether bytes wait above the kernel, which will never report them: such a stream must not
    /// be parked, but read.
    pub fn holds_bytes(&mut self) -> bool {
        match &mut self.session {
            Session::Clear { .. } => false,
            Session::Tls(tls) => !tls.ahead.is_empty() || tls.has_plaintext(),
        }
    }

    /// Memory that holds what has come and that TLS cannot decrypt yet, or is not asked for, in bytes.
    pub fn held(&self) -> usize {
        match &self.session {
            Session::Clear { .. } => 0,
            Session::Tls(tls) => tls.held(),
        }
    }

    /// Whether the peer has said something, or has closed, without waiting for it and without
    /// taking it. A TLS record that carries no content (a session ticket) does not count. Of many of these only some are
    /// looked at each time.
    pub fn has_word(&mut self) -> bool {
        let Session::Tls(tls) = &mut self.session else {
            return self.socket.is_readable();
        };
        let mut reads = 0;
        loop {
            if tls.has_plaintext() {
                return true;
            }
            if tls.is_others_turn(reads) {
                return false;
            }
            reads += 1;
            match tls.take_in(&self.socket, &Patience::None) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Writes once, waiting up to `silence` for room, but no longer than the peer is silent: when it
    /// speaks instead of listening, the error is one of [`spoke`], and nothing was written.
    pub fn write_unless_spoken(
        &mut self,
        pieces: &[IoSlice<'_>],
        silence: Duration,
    ) -> io::Result<usize> {
        let mut quiet = Quiet::of(silence);
        loop {
            if self.has_word() {
                return Err(io::Error::other(Spoke));
            }
            let sent = match &mut self.session {
                Session::Clear { .. } => match self.socket.send(pieces, &Patience::None) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    done => Some(done?),
                },
                Session::Tls(tls) => match tls.flush(&self.socket, &Patience::None)? {
                    Progress::Done => {
                        let taken = tls.connection.writer().write_vectored(pieces)?;
                        tls.flush(&self.socket, &Patience::None)?;
                        Some(taken)
                    }
                    Progress::Waits(_) => None,
                },
            };
            match sent {
                Some(sent) => return Ok(sent),
                None => quiet.wait(&self.socket)?,
            }
        }
    }

    /// Hands over what writes have left behind, by the rule of [`Stream::write_unless_spoken`]. Once
    /// the socket has it all, whatever the peer says came after it.
    pub fn flush_unless_spoken(&mut self, silence: Duration) -> io::Result<()> {
        self.patience = Patience::None;
        let mut quiet = Quiet::of(silence);
        let flushed = loop {
            match self.push() {
                Ok(Progress::Waits(_)) if self.has_word() => break Err(io::Error::other(Spoke)),
                Ok(Progress::Waits(_)) => {
                    if let Err(error) = quiet.wait(&self.socket) {
                        break Err(error);
                    }
                }
                done => break done.map(drop),
            }
        };
        self.patience = Patience::Full;
        flushed
    }

    /// Says goodbye: close-notify, then a half-close. The peer may still be sending.
    pub fn finish(&mut self) {
        self.patience = Patience::None;
        if let Session::Tls(tls) = &mut self.session {
            tls.connection.send_close_notify();
        }
        let _ = self.push();
        self.socket.half_close();
    }

    /// Gives what follows no clean end: no close-notify, and a reset.
    pub fn abort(&mut self) {
        self.socket.abort_on_close(true);
    }

    /// Waits for the first byte of an answer without taking it. Ends early when `other` is torn down.
    pub fn await_word(&mut self, other: &Socket, limit: Duration) -> io::Result<()> {
        let started = Instant::now();
        loop {
            if let Session::Tls(_) = self.session
                && self.has_word()
            {
                return Ok(());
            }
            let left = limit.saturating_sub(started.elapsed());
            self.socket.wait_unless_torn(other, left)?;
            if let Session::Clear { .. } = self.session {
                return Ok(());
            }
            // What came may be without content, and so may be what comes next.
            if left.is_zero() {
                return match self.has_word() {
                    true => Ok(()),
                    false => Err(silent()),
                };
            }
        }
    }
}

/// How long a write still waits for room: anew whenever there is some, but not because the peer sends what is no word.
struct Quiet {
    limit: Duration,
    since: Option<Instant>,
}

impl Quiet {
    fn of(limit: Duration) -> Quiet {
        Quiet { limit, since: None }
    }

    /// Waits until the socket can do something.
    fn wait(&mut self, socket: &Socket) -> io::Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let left = self.limit.saturating_sub(since.elapsed());
        match socket.wait_either_way(left)? {
            Interest::Write => self.since = None,
            // What it has sent stays readable, if it is looked at in steps.
            Interest::Read if left.is_zero() => return Err(silent()),
            Interest::Read => {}
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.session {
            Session::Clear { .. } => self.socket.receive(buffer, &self.patience),
            Session::Tls(tls) => tls.read(&self.socket, &self.patience, buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// A patient write hands over what it says; an impatient one takes everything and keeps what
    /// the socket had no room for, for [`Stream::push`].
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let impatient = matches!(self.patience, Patience::None);
        match &mut self.session {
            Session::Clear { unsent } if impatient || !unsent.is_empty() => {
                pieces
                    .iter()
                    .for_each(|piece| unsent.extend_from_slice(piece));
                self.push()?;
                Ok(pieces.iter().map(|piece| piece.len()).sum())
            }
            Session::Clear { .. } => self.socket.send(pieces, &self.patience),
            Session::Tls(tls) => {
                let taken = tls.connection.writer().write_vectored(pieces)?;
                tls.flush(&self.socket, &self.patience)?;
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map(drop)
    }
}

/// Whether a write ended because the peer spoke first.
pub fn spoke(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Spoke>())
}

#[derive(Debug)]
struct Spoke;

impl std::fmt::Display for Spoke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the peer answered before everything was sent")
    }
}

impl std::error::Error for Spoke {}
