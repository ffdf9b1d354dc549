//! A TLS session over a socket, on either side.
//!
//! Owns what rustls wants to be called when, what is read ahead of it, and the bounds on what it is given: rustls resets each
//! of its own limits (on key updates, on empty records) at what the other is for, so that neither bounds a peer that
//! alternates. Must not know HTTP. Everything read is hostile; what TLS refuses is an error, after its alert was tried.

use std::fmt;
use std::io::{self, Read};
use std::time::Instant;

use super::ahead::Ahead;
use super::socket::With;
use super::{Interest, Patience, Progress, Socket};

/// Records without content in a row that end any connection. A handshake has a dozen, its fragments counted; a peer that
/// changes its keys or pads what it sends stays far below.
const MOST_WITHOUT_CONTENT: usize = 64;
/// Reads of one step that bring no content, before it is others' turn: each is a system call, and 18 KiB at most.
pub(super) const MOST_READS: usize = 16;
/// What rustls holds at most of a handshake that is not whole, in bytes...
const MOST_OF_HANDSHAKE: usize = 64 * 1024;
/// ...and makes room for beyond what it holds.
const ROOM: usize = 4 * 1024;

/// A session, and the ciphertext read ahead of it.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) connection: rustls::Connection,
    /// Ciphertext read from the socket ahead of rustls, which itself reads 16 KiB at most.
    pub(super) ahead: Ahead,
}

impl Tls {
    pub(super) fn has_plaintext(&mut self) -> bool {
        match self.connection.process_new_packets() {
            Ok(state) => state.plaintext_bytes_to_read() > 0 || state.peer_has_closed(),
            Err(_) => true,
        }
    }

    /// Memory that holds what has come and is not whole, in bytes. rustls does not tell: it is what it was given since the
    /// last content, or the last answer in a handshake, in a buffer that doubles.
    pub(super) fn held(&self) -> usize {
        let given = match self.ahead.records.unanswered() {
            0 => 0,
            given => (given + ROOM).min(MOST_OF_HANDSHAKE).next_power_of_two(),
        };
        given + self.ahead.size()
    }

    /// Reads once from the socket (or from what was read ahead) and decrypts. `Ok(0)` is the end. To be called only where
    /// there is no plaintext to be read.
    pub(super) fn take_in(&mut self, socket: &Socket, patience: &Patience) -> io::Result<usize> {
        if self.ahead.records.without_content() >= MOST_WITHOUT_CONTENT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Contentless));
        }
        let was_handshaking = self.connection.is_handshaking();
        let taken = self.connection.read_tls(&mut Source {
            ahead: &mut self.ahead,
            socket: With(socket, patience),
        })?;
        let state = match self.connection.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert that says why, if the socket takes it.
                let _ = self.flush(socket, &Patience::None);
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
            self.flush(socket, patience)?;
        }
        Ok(taken)
    }

    pub(super) fn read(
        &mut self,
        socket: &Socket,
        patience: &Patience,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let is_impatient = matches!(patience, Patience::None);
        let mut reads = 0;
        // When this began to wait, if records without content have come since: they are no reason to wait longer.
        let mut waits_since = None;
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(taken) if taken > 0 => return Ok(taken + self.read_more(socket, buffer, taken)?),
                done => return done,
            }
            if is_impatient {
                if self.is_others_turn(reads) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.take_in(socket, patience)?;
            } else {
                if let Some(begun) = waits_since
                    && self.ahead.is_empty()
                {
                    socket.wait_since(begun, patience)?;
                }
                let begun = waits_since.unwrap_or_else(Instant::now);
                let before = self.ahead.records.without_content();
                self.take_in(socket, patience)?;
                // Bytes of a record that is not whole are bytes that move.
                waits_since = (self.ahead.records.without_content() > before).then_some(begun);
            }
            reads += 1;
        }
    }

    /// Whether a step that does not wait has read often enough for now. The kernel tells of what is still there, but not of
    /// what was read ahead.
    pub(super) fn is_others_turn(&self, reads: usize) -> bool {
        reads >= MOST_READS && self.ahead.is_empty()
    }

    /// Fills the rest of `buffer` from what was read ahead, without touching the socket.
    fn read_more(&mut self, socket: &Socket, buffer: &mut [u8], from: usize) -> io::Result<usize> {
        let mut more = 0;
        while !self.ahead.is_empty() {
            let Some(rest) = buffer
                .get_mut(from + more..)
                .filter(|rest| !rest.is_empty())
            else {
                break;
            };
            // What fails here fails again at the next read, after these bytes were used.
            if self.take_in(socket, &Patience::None).is_err() {
                break;
            }
            match self.connection.reader().read(rest) {
                Ok(0) | Err(_) => {}
                Ok(taken) => more += taken,
            }
        }
        Ok(more)
    }

    pub(super) fn flush(&mut self, socket: &Socket, patience: &Patience) -> io::Result<Progress> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut With(socket, patience)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && matches!(patience, Patience::None) =>
                {
                    return Ok(Progress::Waits(Interest::Write));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Done)
    }
}

/// Where rustls reads from.
struct Source<'a> {
    ahead: &'a mut Ahead,
    socket: With<'a>,
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
