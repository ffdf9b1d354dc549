//! Connections that begin with a PROXY header: whose they are.
//!
//! Owns who is believed, and the order: the header is looked at where it lies in the kernel, and then taken byte for byte, so
//! that nothing of what follows it is touched. Must not know its grammar.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use super::state::{Connection, Next, State};
use crate::log::Seldom;
use crate::net::{Cidr, Peer, is_trusted};
use crate::reactor::Context;
use crate::stream::proxy_header::{self, Fault, Source};

/// Peers whose connections begin with a PROXY header.
pub struct Balancers {
    /// Where they connect from.
    pub networks: Vec<Cidr>,
    /// When a fault of one was told last: behind a balancer that sends no header any client could cause it.
    pub told: Seldom,
}

impl Balancers {
    /// Whether it is one of them. A local peer never is: it has no address.
    pub fn have(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => self.networks.iter().any(|one| one.contains(address)),
            Peer::Unix => false,
        }
    }
}

impl Connection {
    /// Looks for the header, and takes nothing.
    pub(super) fn read_announcement(&mut self, cx: &Context<'_>) -> Next {
        let mut room = [0; proxy_header::LONGEST];
        let socket = self.input.stream().socket();
        // Asked first: nothing can then come behind what is seen.
        let has_ended = socket.has_ended();
        let here = match socket.peek(&mut room) {
            Ok(length) => room.get(..length).unwrap_or_default(),
            Err(error) => return self.stand_still(State::Announcing, &error, cx),
        };
        match proxy_header::parse(here) {
            Ok(Some((source, unread))) => {
                socket.look_again();
                if let Source::Client(address) = source {
                    self.comes_from(address);
                }
                Next::On(State::Announced { unread })
            }
            // Somebody has looked whether the port is open.
            Ok(None) if here.is_empty() => Next::Abandon,
            Ok(None) if has_ended => self.disbelieve(Fault::Cut),
            Ok(None) => self.wait(State::Announcing, cx),
            Err(fault) => self.disbelieve(fault),
        }
    }

    /// Takes the header, and not one byte more.
    pub(super) fn take_announcement(&mut self, mut unread: usize, cx: &Context<'_>) -> Next {
        let mut room = [0; proxy_header::LONGEST];
        while unread > 0 {
            let room = room.get_mut(..unread).unwrap_or_default();
            match self.input.stream().socket().receive(room) {
                Ok(0) => return Next::Abandon,
                Ok(taken) => unread = unread.saturating_sub(taken),
                Err(error) => return self.stand_still(State::Announced { unread }, &error, cx),
            }
        }
        Next::On(State::Handshake)
    }

    /// What follows from a read that got nothing.
    fn stand_still(&mut self, state: State, error: &io::Error, cx: &Context<'_>) -> Next {
        match error.kind() {
            ErrorKind::WouldBlock => self.wait(state, cx),
            ErrorKind::Interrupted => Next::On(state),
            _ => Next::Abandon,
        }
    }

    /// From now on this is the peer, for trust and limits too.
    fn comes_from(&mut self, address: IpAddr) {
        self.peer = Peer::Address(address);
        if !is_trusted(&self.service.trusted, address) {
            self.place.counts_for(address);
        }
    }

    fn disbelieve(&self, fault: Fault) -> Next {
        if self.service.balancers.told.is_due() {
            ::log::info!("{}: {}", self.peer.address(), fault.reason());
        }
        Next::Abandon
    }
}
