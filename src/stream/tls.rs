//! A TLS session over a socket, on either side.
//!
//! Owns what rustls wants to be called when, and what is read ahead of it. Everything read is
//! hostile; what TLS refuses is an error, after its alert was tried.

use std::io::{self, Read};

use super::socket::With;
use super::{Interest, Patience, Progress, Socket};

/// A session, and the ciphertext read ahead of it.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) connection: rustls::Connection,
    /// Ciphertext read from the socket ahead of rustls, which itself reads 16 KiB at most.
    pub(super) ahead: Ahead,
}

/// Ciphertext that rustls has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Tls {
    pub(super) fn has_plaintext(&mut self) -> bool {
        match self.connection.process_new_packets() {
            Ok(state) => state.plaintext_bytes_to_read() > 0 || state.peer_has_closed(),
            Err(_) => true,
        }
    }

    /// Reads once from the socket (or from what was read ahead) and decrypts. `Ok(0)` is the end.
    pub(super) fn take_in(&mut self, socket: &Socket, patience: &Patience) -> io::Result<usize> {
        let taken = if self.ahead.is_active() {
            if self.ahead.is_empty() {
                self.ahead.fill(socket, patience)?;
            }
            self.connection.read_tls(&mut self.ahead)?
        } else {
            self.connection.read_tls(&mut With(socket, patience))?
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that says why, if the socket takes it.
            let _ = self.flush(socket, &Patience::None);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        if self.connection.wants_write() && !self.connection.is_handshaking() {
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
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(taken) if taken > 0 => return Ok(taken + self.read_more(socket, buffer, taken)?),
                done => return done,
            }
            self.take_in(socket, patience)?;
        }
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

impl Ahead {
    pub(super) fn reserve(&mut self, capacity: usize) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; capacity];
        }
    }

    fn is_active(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn fill(&mut self, socket: &Socket, patience: &Patience) -> io::Result<()> {
        (self.start, self.end) = (0, 0);
        self.end = socket.receive(&mut self.bytes, patience)?;
        Ok(())
    }

    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Ahead::default();
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let held = self.bytes.get(self.start..self.end).unwrap_or_default();
        let taken = held.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), held.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.start += taken;
        Ok(taken)
    }
}
