//! The beginning of TLS with a client: what it says first decides by which configuration it is answered.
//!
//! Owns what comes until the client's first message is whole. Everything read is hostile.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};

use super::ahead::Ahead;
use super::socket::Socket;
use super::tls::{Source, Tls, check_content};

/// Says which configuration is for a client.
pub type Choose = dyn Fn(&ClientHello<'_>) -> Arc<ServerConfig> + Send + Sync;

/// A client that has not said all of its first message.
pub(super) struct Greeting {
    acceptor: Acceptor,
    choose: Arc<Choose>,
    pub(super) ahead: Ahead,
}

impl Greeting {
    pub(super) fn new(choose: Arc<Choose>) -> Greeting {
        Greeting {
            acceptor: Acceptor::default(),
            choose,
            ahead: Ahead::of_server(),
        }
    }

    /// Reads once. `Ok(None)` where more has to come.
    pub(super) fn take_in(&mut self, socket: &Socket) -> io::Result<Option<Tls>> {
        let ahead = &mut self.ahead;
        check_content(ahead)?;
        if self.acceptor.read_tls(&mut Source { ahead, socket })? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let accepted = match self.acceptor.accept() {
            Ok(None) => return Ok(None),
            Ok(Some(accepted)) => {
                let config = (self.choose)(&accepted.client_hello());
                accepted.into_connection(config)
            }
            Err(refused) => Err(refused),
        };
        match accepted {
            Ok(connection) => {
                let mut ahead = std::mem::take(&mut self.ahead);
                ahead.records.was_answered();
                Ok(Some(Tls::begun(connection, ahead)))
            }
            Err((error, mut alert)) => {
                // The alert that says why, if the socket takes it.
                let mut socket = socket;
                let _ = alert.write(&mut socket);
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeting")
    }
}
