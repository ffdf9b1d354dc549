//! Hosts and ports, as they stand between `//` and the path of a URL.
//!
//! No reason repeats a part of what is refused, which may hold a password at any place.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

/// RFC 1035, 2.3.4.
const LONGEST_NAME: usize = 253;
/// RFC 1035, 2.3.4.
const LONGEST_LABEL: usize = 63;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port; 0 lets the kernel choose, where something listens.
    pub port: u16,
}

impl HostPort {
    /// Parses what stands between `//` and the path of a URL.
    pub fn parse(authority: &str, default_port: Option<u16>) -> Result<HostPort, String> {
        const BRACKETS: &str = "an IPv6 address stands in brackets, as in [::1]";
        if authority.contains('@') {
            return Err("user information is not allowed in it".to_owned());
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            if address.contains('%') {
                return Err(
                    "an address with a zone (what stands behind the %) cannot be used here; write another address, one \
                     that is good on every link"
                        .to_owned(),
                );
            }
            let address = address
                .parse()
                .map_err(|_| "not an IPv6 address in the brackets")?;
            let port = match port {
                "" => None,
                _ => Some(
                    port.strip_prefix(':')
                        .ok_or("something other than :PORT follows the bracket")?,
                ),
            };
            (Host::Address(IpAddr::V6(address)), port)
        } else {
            let (host, port) = match authority.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(BRACKETS.to_owned()),
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            (host.parse()?, port)
        };
        let port = match (port, default_port) {
            (None, Some(port)) => port,
            (None, None) => return Err("the port is missing".to_owned()),
            (Some(digits), _) => {
                let is_number =
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                digits
                    .parse()
                    .ok()
                    .filter(|_| is_number)
                    .ok_or("the port is not a number between 0 and 65535")?
            }
        };
        Ok(HostPort { host, port })
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    pub(crate) fn must_be_local(&self) -> Result<(), String> {
        match &self.host {
            Host::Name(name) if name != "localhost" => Err(
                "listening is on an address, not on a name; 0.0.0.0 or [::] is every address"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    pub(crate) fn must_be_reachable(&self) -> Result<(), String> {
        match &self.host {
            _ if self.port == 0 => Err("nothing can be reached at port 0".to_owned()),
            Host::Address(IpAddr::V6(address)) if address.is_unicast_link_local() => Err(
                "an address of one link alone cannot be reached without its zone, which cannot be used here; write \
                 another address of that host, or its name"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl ToSocketAddrs for HostPort {
    type Iter = std::vec::IntoIter<SocketAddr>;

    /// A name is resolved, which may take as long as the resolver likes.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match &self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)].into_iter()),
            Host::Name(name) => (name.as_str(), self.port).to_socket_addrs(),
        }
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name, in lower case.
    Name(String),
}

impl FromStr for Host {
    type Err = String;

    /// A name or an IPv4 address; an IPv6 address has brackets in a URL, which are not part of a host.
    fn from_str(text: &str) -> Result<Host, String> {
        if text.is_empty() {
            return Err("the host is missing".to_owned());
        }
        if text == "*" {
            return Err("the host is missing; 0.0.0.0 or [::] is every address".to_owned());
        }
        if let Ok(address) = text.parse() {
            return Ok(Host::Address(IpAddr::V4(address)));
        }
        // What ends in a number is an address to every resolver: 127.1, 300.0.0.1.
        let last = text.rsplit('.').next().unwrap_or_default();
        if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("not an IPv4 address".to_owned());
        }
        if is_name(text) {
            Ok(Host::Name(text.to_ascii_lowercase()))
        } else {
            Err("not the name of a host".to_owned())
        }
    }
}

impl fmt::Display for Host {
    /// Without brackets, as a certificate or a resolver has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => name.fmt(f),
        }
    }
}

/// Whether a host may be called that. An underline is not in the RFCs, but in the names of compose files and swarms.
pub(crate) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= LONGEST_NAME
        && text
            .strip_suffix('.')
            .unwrap_or(text)
            .split('.')
            .all(is_label)
}
