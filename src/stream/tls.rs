//! A TLS session over a socket, on either side.
//!
//! Owns what rustls wants to be called when, what is read ahead of it, and the bounds on what it is given: rustls resets each
//! of its own limits (on key updates, on empty records) at what the other is for, so that neither bounds a peer that
//! alternates. Must not know HTTP. Everything read is hostile; what TLS refuses is an error, after its alert was tried.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use super::ahead::Ahead;
use super::progress::Progress;
use super::socket::{Interest, Socket};

/// Records without content in a row that end any connection. A handshake has a dozen, its fragments counted; a peer that
/// changes its keys or pads what it sends stays far below.
const MOST_WITHOUT_CONTENT: usize = 64;
/// Reads of one step that bring no content, before it is others' turn: each is a system call, and 18 KiB at most.
pub(super) const MOST_READS: usize = 16;
/// What rustls holds at most of a handshake that is not whole, in bytes...
const MOST_OF_HANDSHAKE: usize = 64 * 1024;
/// ...and makes room for beyond what it holds.
const ROOM: usize = 4 * 1024;
/// What is encrypted at once, in bytes. Measured: with 64 KiB a pull costs a twentieth more CPU.
const SLICE: usize = 256 * 1024;
/// What a session costs beside that, and what a buffer that doubles leaves behind in the allocator, in bytes. Measured.
const SESSION: usize = 16 * 1024;

/// A session, and the ciphertext read ahead of it.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) connection: rustls::Connection,
    /// Ciphertext read from the socket ahead of rustls, which itself reads 16 KiB at most.
    pub(super) ahead: Ahead,
    /// Ciphertext that the socket has taken, in bytes.
    pub(super) sent: u64,
}

impl Tls {
    /// On the side that speaks first.
    pub(super) fn of_client(connection: rustls::ClientConnection) -> Tls {
        Tls::of(connection.into(), Ahead::default())
    }

    /// On the other, once the client's first message is there.
    pub(super) fn begun(connection: rustls::ServerConnection, ahead: Ahead) -> Tls {
        Tls::of(connection.into(), ahead)
    }

    fn of(mut connection: rustls::Connection, ahead: Ahead) -> Tls {
        // Whoever writes looks first whether there is room.
        connection.set_buffer_limit(None);
        Tls {
            connection,
            ahead,
            sent: 0,
        }
    }

    /// Whether there is something to be read without the socket: content, or the end.
    pub(super) fn has_plaintext(&mut self) -> bool {
        match self.connection.process_new_packets() {
            Ok(state) => state.plaintext_bytes_to_read() > 0 || state.peer_has_closed(),
            Err(_) => true,
        }
    }

    /// Whether the peer has said that it sends nothing more.
    pub(super) fn has_ended(&mut self) -> bool {
        match self.connection.process_new_packets() {
            Ok(state) => state.peer_has_closed(),
            Err(_) => true,
        }
    }

    /// Memory that holds what has come and is not whole, in bytes. rustls does not tell: it is what it was given since the
    /// last content, or the last answer in a handshake, in a buffer that doubles; and the session around it.
    pub(super) fn held(&self) -> usize {
        held(&self.ahead)
    }

    /// Reads once from the socket (or from what was read ahead) and decrypts. `Ok(0)` is the end. To be called only where
    /// there is no plaintext to be read.
    pub(super) fn take_in(&mut self, socket: &Socket) -> io::Result<usize> {
        check_content(&self.ahead)?;
        let was_handshaking = self.connection.is_handshaking();
        let ahead = &mut self.ahead;
        let taken = self.connection.read_tls(&mut Source { ahead, socket })?;
        let state = match self.connection.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert that says why, if the socket takes it.
                let _ = self.flush(socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        let is_handshaking = self.connection.is_handshaking();
        if state.plaintext_bytes_to_read() > 0 || was_handshaking && !is_handshaking {
            self.ahead.records.brought_content();
        } else if is_handshaking && state.tls_bytes_to_write() > 0 {
            self.ahead.records.was_answered();
        }
        if self.connection.wants_write() && !is_handshaking {
            // A key update is answered.
            self.flush(socket)?;
        }
        Ok(taken)
    }

    /// As a read of the stream. `WouldBlock` also where it is others' turn: more may be there then, see
    /// [`Stream::may_have_more`](super::Stream::may_have_more).
    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MOST_READS {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(taken) if taken > 0 => return Ok(taken + self.read_more(socket, buffer, taken)),
                done => return done,
            }
            self.take_in(socket)?;
        }
        match self.connection.reader().read(buffer) {
            Ok(taken) if taken > 0 => Ok(taken + self.read_more(socket, buffer, taken)),
            done => done,
        }
    }

    /// Fills the rest of `buffer` from what was read ahead, without touching the socket.
    fn read_more(&mut self, socket: &Socket, buffer: &mut [u8], from: usize) -> usize {
        let mut more = 0;
        while !self.ahead.is_empty() {
            let Some(rest) = buffer
                .get_mut(from + more..)
                .filter(|rest| !rest.is_empty())
            else {
                break;
            };
            // What fails here fails again at the next read, after these bytes were used.
            if self.take_in(socket).is_err() {
                break;
            }
            match self.connection.reader().read(rest) {
                Ok(0) | Err(_) => {}
                Ok(taken) => more += taken,
            }
        }
        more
    }

    /// Encrypts all of it, in one record if it fits. What is large is handed over in slices, so that the ciphertext of one is
    /// still near the processor when the socket takes it; what the socket does not take is kept.
    pub(super) fn write(
        &mut self,
        socket: &Socket,
        pieces: &[IoSlice<'_>],
        wanted: usize,
    ) -> io::Result<()> {
        // It has no bound, and takes everything.
        if wanted <= SLICE {
            return self.connection.writer().write_vectored(pieces).map(drop);
        }
        let mut is_full = false;
        for slice in pieces.iter().flat_map(|piece| piece.chunks(SLICE)) {
            self.connection.writer().write_all(slice)?;
            is_full = is_full || self.flush(socket)? != Progress::Done;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, mut socket: &Socket) -> io::Result<Progress> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent += sent as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waits(Interest::Write));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Done)
    }
}

/// Memory for what came through here and is not whole.
pub(super) fn held(ahead: &Ahead) -> usize {
    let given = match ahead.records.unanswered() {
        0 => 0,
        given => (given + ROOM).min(MOST_OF_HANDSHAKE).next_power_of_two() + SESSION,
    };
    given + ahead.size()
}

/// Whether what comes brings something now and then.
pub(super) fn check_content(ahead: &Ahead) -> io::Result<()> {
    match ahead.records.without_content() < MOST_WITHOUT_CONTENT {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, Contentless)),
    }
}

/// Where rustls reads from.
pub(super) struct Source<'a> {
    pub(super) ahead: &'a mut Ahead,
    pub(super) socket: &'a Socket,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ahead.give(&mut self.socket, buffer)
    }
}

/// Why a connection ends that rustls would go on with.
#[derive(Debug)]
struct Contentless;

impl fmt::Display for Contentless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MOST_WITHOUT_CONTENT} records without content in a row")
    }
}

impl std::error::Error for Contentless {}
