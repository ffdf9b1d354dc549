//! What this machine is called, for the certificate of `--tls-self-signed`.
//!
//! Addresses are read from /proc, which needs neither `unsafe` nor privileges and shows this network namespace alone.
//! Where it cannot be read, the address of the route to the outside stands in. Addresses that come and go, and those
//! nobody types (link-local, temporary IPv6), are left out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustls::pki_types::DnsName;

/// A container host has dozens of bridges. Beyond this many, a certificate grows past what helps anybody.
const MAX_ADDRESSES: usize = 64;

/// Flags of /proc/net/if_inet6 (linux/if_addr.h): temporary, duplicate found, deprecated, not yet usable.
const UNFIT: u8 = 0x01 | 0x08 | 0x20 | 0x40;

/// A name or an address in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// In lower case; may begin with `*.`.
    Dns(String),
    /// Never v4-mapped.
    Address(IpAddr),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Address(address) => address.fmt(f),
        }
    }
}

impl Name {
    /// What a person gave.
    pub fn parse(text: &str) -> Result<Name, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Name::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        match DnsName::try_from(plain) {
            Ok(_) => Ok(Name::Dns(name)),
            // Not quoted: who calls does so, and knows what may be shown.
            Err(_) => Err(
                "neither a DNS name nor an address: no scheme, port or brackets, \
                 and letters outside ASCII as xn--"
                    .to_owned(),
            ),
        }
    }
}

/// The host's name if it can stand in a certificate.
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?.to_ascii_lowercase();
    DnsName::try_from(name.as_str()).is_ok().then_some(name)
}

/// localhost, the host's name with and without its domain, and its addresses.
pub fn own_names() -> Vec<Name> {
    let mut names = vec![
        Name::Dns("localhost".to_owned()),
        Name::Address(Ipv4Addr::LOCALHOST.into()),
        Name::Address(Ipv6Addr::LOCALHOST.into()),
    ];
    if let Some(host) = host_name() {
        let short = host.split('.').next().unwrap_or_default().to_owned();
        for name in [host, short] {
            if DnsName::try_from(name.as_str()).is_ok() {
                names.push(Name::Dns(name));
            }
        }
    }
    names.extend(addresses().into_iter().map(Name::Address));
    let mut unique = Vec::with_capacity(names.len());
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

fn addresses() -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").map(|table| local_v4(&table));
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").map(|table| global_v6(&table));
    let v4 = v4.unwrap_or_else(|_| outgoing(Ipv4Addr::new(192, 0, 2, 1).into()));
    let v6 = v6.unwrap_or_default();
    let mut addresses: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// A local address is a leaf of the trie with the route `/32 host LOCAL` below it.
fn local_v4(table: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(
                leaf.filter(|leaf| !leaf.is_loopback() && !leaf.is_link_local())
                    .map(IpAddr::from),
            );
        }
    }
    found
}

/// Columns: address, interface number, prefix length, scope, flags, interface; all hexadecimal but the last.
fn global_v6(table: &str) -> Vec<IpAddr> {
    let global = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let address = u128::from_str_radix(columns.next()?, 16).ok()?;
        let scope = columns.nth(2)?;
        let flags = u32::from_str_radix(columns.next()?, 16).ok()?;
        let fits = scope == "00" && flags & u32::from(UNFIT) == 0;
        fits.then_some(IpAddr::V6(Ipv6Addr::from_bits(address)))
    };
    table.lines().filter_map(global).collect()
}

/// Connecting a datagram socket sends nothing, but makes the kernel choose a source address. The destination is one
/// that documentation has for itself (RFC 5737).
fn outgoing(towards: IpAddr) -> Vec<IpAddr> {
    let address = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(towards, 9))?;
        socket.local_addr()
    });
    let address = address.map(|address| address.ip()).ok();
    address
        .into_iter()
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_taken_from_the_routing_trie() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.0\n        /24 link UNICAST\n     \
                     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 169.254.3.4\n        /32 host LOCAL\n     \
                     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(table), [IpAddr::from([192, 0, 2, 2])]);
    }

    #[test]
    fn only_lasting_global_ipv6_addresses_are_taken() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                     fd000000000000000000000000000002 04 40 00 82     eth0\n\
                     20010db8000000000000000000000007 04 40 00 01     eth0\n\
                     20010db8000000000000000000000008 04 40 00 20     eth0\nnonsense\n";
        assert_eq!(global_v6(table), ["fd00::2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn names_are_checked_and_made_uniform() {
        assert_eq!(
            Name::parse("Registry.Example.").unwrap().to_string(),
            "registry.example"
        );
        assert_eq!(
            Name::parse("*.example.org").unwrap().to_string(),
            "*.example.org"
        );
        assert_eq!(
            Name::parse("::ffff:10.0.0.1").unwrap().to_string(),
            "10.0.0.1"
        );
        for wrong in [
            "",
            "https://a",
            "a:5000",
            "[::1]",
            "a b",
            "büro.example",
            "*",
            "a.*.b",
            "10.0.0",
        ] {
            assert!(
                Name::parse(wrong).unwrap_err().contains("neither"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn this_machine_answers_to_localhost() {
        let names: Vec<String> = own_names().iter().map(Name::to_string).collect();
        assert_eq!(names[..3], ["localhost", "127.0.0.1", "::1"]);
    }
}
