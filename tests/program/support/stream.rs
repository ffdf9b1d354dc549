//! The two ends of a connection, whatever it goes over, with what a test must be able to do and to tell: half-close, reset,
//! and whether the other side ended cleanly.
use super::PATIENCE;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsClient(Box<StreamOwned<ClientConnection, TcpStream>>),
    TlsServer(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// How the other side ended what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// An end of file, and over TLS a close-notify before it.
    Clean,
    /// A reset, or over TLS an end without a close-notify: says what it was.
    Cut(String),
}

impl Stream {
    pub fn tcp(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::Tcp(socket)
    }

    pub fn unix(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::Unix(socket)
    }

    /// The TCP socket underneath, if there is one.
    pub fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Unix(_) => None,
            Self::TlsClient(tls) => Some(&tls.sock),
            Self::TlsServer(tls) => Some(&tls.sock),
        }
    }

    /// Says that no more will be sent, and can still receive.
    pub fn half_close(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
            Self::TlsClient(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.shutdown(Shutdown::Write)
            }
            Self::TlsServer(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.shutdown(Shutdown::Write)
            }
        }
    }

    /// Ends the connection with a reset instead of an end of file (a Unix socket is just closed).
    pub fn reset(self) {
        if let Some(socket) = self.socket() {
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    /// Reads until something came, the end was seen, or `PATIENCE` is over (an error).
    pub fn receive(&mut self, into: &mut [u8]) -> io::Result<Result<usize, End>> {
        loop {
            return match self.read(into) {
                Ok(0) => Ok(Err(End::Clean)),
                Ok(count) => Ok(Ok(count)),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(io::Error::new(
                        ErrorKind::TimedOut,
                        format!("nothing came for {PATIENCE:?}"),
                    )),
                    _ => Ok(Err(End::Cut(error.to_string()))),
                },
            };
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
            Self::TlsClient(stream) => stream.read(into),
            Self::TlsServer(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::TlsClient(stream) => stream.write(bytes),
            Self::TlsServer(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            Self::TlsClient(stream) => stream.flush(),
            Self::TlsServer(stream) => stream.flush(),
        }
    }
}
