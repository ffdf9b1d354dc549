//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::push_address;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Peer {
    /// A client on a Unix socket, which has no address.
    #[default]
    Unix,
    /// A client with an address.
    Address(IpAddr),
}

impl Peer {
    /// The address that it counts as, for limits, trust and the backend.
    pub fn address(self) -> IpAddr {
        match self {
            Peer::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Peer::Address(address) => address,
        }
    }

    /// Appends it as the log shows it.
    pub(crate) fn push_to(self, line: &mut String) {
        match self {
            Peer::Unix => line.push_str("unix"),
            Peer::Address(address) => push_address(line, address.to_canonical()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Unix => f.write_str("unix"),
            Peer::Address(address) => address.to_canonical().fmt(f),
        }
    }
}
