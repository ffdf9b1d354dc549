//! One peer: its socket, and the TLS session over it.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::early;
use super::greeting::{Choose, Greeting};
use super::poll::Poll;
use super::progress::Progress;
use super::socket::{Interest, Socket};
use super::tls::{self, Tls};

/// One peer. Reads return `WouldBlock` where nothing is there. Writes take everything and keep what the socket has no room
/// for, so whoever writes more than a head looks first whether anything is [`unsent`](Stream::has_unsent).
#[derive(Debug)]
pub struct Stream {
    session: Session,
    /// Bytes in the clear that the socket has taken.
    pub(super) sent: u64,
    pub(super) socket: Socket,
}

#[derive(Debug)]
enum Session {
    Clear(Unsent),
    Greeting(Box<Greeting>),
    Tls(Box<Tls>),
}

/// What the socket had no room for.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    start: usize,
}

impl Unsent {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Stream {
    /// A stream in the clear.
    pub fn clear(socket: Socket) -> Stream {
        Stream {
            session: Session::Clear(Unsent::default()),
            sent: 0,
            socket,
        }
    }

    /// A stream through TLS to a server, whose handshake is still to come.
    pub fn tls(socket: Socket, connection: rustls::ClientConnection) -> Stream {
        Stream {
            session: Session::Tls(Box::new(Tls::of_client(connection))),
            sent: 0,
            socket,
        }
    }

    /// The same from a client, for which `choose` finds a configuration.
    pub fn greeting(socket: Socket, choose: &Arc<Choose>) -> Stream {
        let greeting = Greeting::new(Arc::clone(choose));
        Stream {
            session: Session::Greeting(Box::new(greeting)),
            sent: 0,
            socket,
        }
    }

    /// The socket underneath.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Has `poll` report on the socket, to `owner`.
    ///
    /// # Errors
    /// Those of [`Socket::report_to`].
    pub fn report_to(&mut self, poll: &Arc<Poll>, owner: u64) -> io::Result<()> {
        self.socket.report_to(poll, owner)
    }

    /// What the peer speaks, once the handshake is over (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.session {
            Session::Tls(tls) => tls.connection.alpn_protocol(),
            Session::Clear(_) | Session::Greeting(_) => None,
        }
    }

    /// The name of the server that a client wants to speak to by TLS, if it said one.
    pub fn server_name(&self) -> Option<&str> {
        match &self.session {
            Session::Tls(tls) => match &tls.connection {
                rustls::Connection::Server(server) => server.server_name(),
                rustls::Connection::Client(_) => None,
            },
            Session::Clear(_) | Session::Greeting(_) => None,
        }
    }

    /// The certificates that the peer has shown and that were believed, its own first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match &self.session {
            Session::Tls(tls) => tls.connection.peer_certificates(),
            Session::Clear(_) | Session::Greeting(_) => None,
        }
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        !matches!(self.session, Session::Clear(_))
    }

    /// Goes on with the handshake as far as it can. Errors are the peer's doing; an alert has been tried. After one of
    /// [`in_the_clear`] comes [`Stream::turn_clear`].
    pub fn handshake(&mut self) -> io::Result<Progress> {
        for reads in 0..=tls::MOST_READS {
            if let Progress::Waits(interest) = self.push()? {
                return Ok(Progress::Waits(interest));
            }
            if !self.is_handshaking() {
                return Ok(Progress::Done);
            }
            if reads == tls::MOST_READS || early::stops() {
                break;
            }
            let taken = match &mut self.session {
                Session::Clear(_) => return Ok(Progress::Done),
                Session::Greeting(greeting) => greeting.take_in(&self.socket),
                Session::Tls(tls) => match tls.take_in(&self.socket) {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    taken => taken.map(|_| None),
                },
            };
            match taken {
                Ok(begun) => {
                    if let Some(tls) = begun {
                        self.session = Session::Tls(Box::new(tls));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waits(Interest::Read));
                }
                Err(error) => return Err(error),
            }
        }
        // It is others' turn. What the peer waits for was sent: nobody may tell of more.
        Ok(Progress::Waits(Interest::Read))
    }

    fn is_handshaking(&self) -> bool {
        match &self.session {
            Session::Clear(_) => false,
            Session::Greeting(_) => true,
            Session::Tls(tls) => tls.connection.is_handshaking(),
        }
    }

    /// Goes on in the clear with a client that never began with TLS. What it has said is returned.
    pub fn turn_clear(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.session, Session::Clear(Unsent::default())) {
            Session::Tls(tls) => tls.ahead.into_bytes(),
            Session::Greeting(greeting) => greeting.ahead.into_bytes(),
            Session::Clear(_) => Vec::new(),
        }
    }

    /// Memory that holds what has come and that TLS cannot decrypt yet, or is not asked for, in bytes.
    pub fn held(&self) -> usize {
        match &self.session {
            Session::Clear(_) => 0,
            Session::Greeting(greeting) => tls::held(&greeting.ahead),
            Session::Tls(tls) => tls.held(),
        }
    }

    /// Hands over what writes have left behind.
    ///
    /// # Errors
    /// Those of the socket but for `WouldBlock`.
    pub fn push(&mut self) -> io::Result<Progress> {
        let unsent = match &mut self.session {
            Session::Tls(tls) => return tls.flush(&self.socket),
            Session::Greeting(_) => return Ok(Progress::Done),
            Session::Clear(unsent) => unsent,
        };
        while !unsent.rest().is_empty() {
            match self.socket.send(&[IoSlice::new(unsent.rest())]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    unsent.start += sent;
                    self.sent += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waits(Interest::Write));
                }
                Err(error) => return Err(error),
            }
        }
        if unsent.start > 0 {
            *unsent = Unsent::default();
        }
        Ok(Progress::Done)
    }

    /// Whether writes have left something behind.
    pub fn has_unsent(&self) -> bool {
        match &self.session {
            Session::Clear(unsent) => !unsent.rest().is_empty(),
            Session::Greeting(_) => false,
            Session::Tls(tls) => tls.connection.wants_write(),
        }
    }

    /// What writes have left behind in the clear, in bytes.
    pub fn unsent(&self) -> usize {
        match &self.session {
            Session::Clear(unsent) => unsent.rest().len(),
            Session::Greeting(_) | Session::Tls(_) => 0,
        }
    }

    /// Bytes that the socket has taken so far: a write that waits moves while this grows.
    pub fn sent(&self) -> u64 {
        match &self.session {
            Session::Clear(_) | Session::Greeting(_) => self.sent,
            Session::Tls(tls) => tls.sent,
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

    /// Whether a read may find something: in the socket as far as is known, or above the kernel, which will never report it.
    pub fn may_have_more(&mut self) -> bool {
        let above = match &mut self.session {
            Session::Clear(_) => false,
            Session::Greeting(greeting) => !greeting.ahead.is_empty(),
            Session::Tls(tls) => !tls.ahead.is_empty() || tls.has_plaintext(),
        };
        above || self.socket.is_ready(Interest::Read)
    }

    /// Whether the peer has said something, or has closed, without taking it. A TLS record that carries no content (a session
    /// ticket) does not count; of many of these only some are looked at each time.
    pub fn has_word(&mut self) -> bool {
        let Session::Tls(tls) = &mut self.session else {
            return self.socket.has_something();
        };
        for _ in 0..tls::MOST_READS {
            if tls.has_plaintext() {
                return true;
            }
            match tls.take_in(&self.socket) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Whether the peer is known to send nothing more: it has closed its direction, or both.
    pub fn has_ended(&mut self) -> bool {
        if self.socket.has_ended() {
            return true;
        }
        match &mut self.session {
            Session::Clear(_) | Session::Greeting(_) => false,
            Session::Tls(tls) => {
                // A close-notify alone the kernel does not know. What comes before it stays in rustls, one record at most.
                for _ in 0..tls::MOST_READS {
                    let is_there = self.socket.is_ready(Interest::Read) && !tls.has_plaintext();
                    if !is_there || !tls.take_in(&self.socket).is_ok_and(|taken| taken > 0) {
                        break;
                    }
                }
                tls.has_ended()
            }
        }
    }

    /// Says that nothing more comes, where TLS has a word for it, as far as the socket takes it.
    pub fn say_goodbye(&mut self) {
        if let Session::Tls(tls) = &mut self.session {
            tls.connection.send_close_notify();
        }
        let _ = self.push();
    }

    /// The end: close-notify, then a half-close. The peer may still be sending.
    pub fn finish(&mut self) {
        self.say_goodbye();
        self.socket.half_close();
    }

    /// Gives what follows no clean end: no close-notify, and a reset.
    pub fn abort(&mut self) {
        self.socket.abort_on_close(true);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.session {
            Session::Clear(_) => self.socket.receive(buffer),
            Session::Greeting(_) => Err(io::ErrorKind::WouldBlock.into()),
            Session::Tls(tls) => tls.read(&self.socket, buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Takes everything, and keeps what the socket has no room for, for [`Stream::push`].
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut passed = 0;
        match &mut self.session {
            Session::Greeting(_) => return Err(io::ErrorKind::NotConnected.into()),
            Session::Tls(tls) => tls.write(&self.socket, pieces, wanted)?,
            Session::Clear(unsent) => {
                if unsent.rest().is_empty() {
                    match self.socket.send(pieces) {
                        Ok(sent) => passed = sent,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                    self.sent += passed as u64;
                }
                if passed < wanted {
                    let mut skip = passed;
                    for piece in pieces {
                        let rest = piece.get(skip.min(piece.len())..).unwrap_or_default();
                        skip = skip.saturating_sub(piece.len());
                        unsent.bytes.extend_from_slice(rest);
                    }
                }
            }
        }
        if passed < wanted {
            self.push()?;
        }
        Ok(wanted)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map(drop)
    }
}
