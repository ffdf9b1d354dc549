//! The network that a request comes from, as far as limits and memory tell sources apart.
//!
//! Owns that one translation. Must not know why somebody asks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One source of requests: an IPv4 address, or an IPv6 /64, which is what one customer is given and can choose from at
/// will. A v4-mapped IPv6 address is its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The larger network that whoever has many such networks most likely has them from: an IPv4 /24, or an IPv6 /48.
    pub fn neighbourhood(self) -> Network {
        const SLASH_24: u32 = u32::MAX << 8;
        const SLASH_48: u128 = u128::MAX << 80;
        Network(match self.0 {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & SLASH_24).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & SLASH_48).into(),
        })
    }

    /// The network that `address` belongs to.
    pub fn of(address: IpAddr) -> Network {
        /// The upper 64 bits: the part of an IPv6 address that a provider assigns.
        const SLASH_64: u128 = u128::MAX << 64;
        match address.to_canonical() {
            IpAddr::V6(v6) => Network(Ipv6Addr::from_bits(v6.to_bits() & SLASH_64).into()),
            v4 => Network(v4),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_neighbour_is_the_same_network_and_a_mapped_address_is_its_ipv4_address() {
        for (address, network) in [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_ne!(of("10.0.0.7"), of("10.0.0.8"));
        for (one, other, same) in [
            ("10.0.0.7", "10.0.0.8", true),
            ("10.0.0.7", "10.0.1.7", false),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", true),
            ("2001:db8:1:2::1", "2001:db8:2:2::1", false),
        ] {
            let is_same = of(one).neighbourhood() == of(other).neighbourhood();
            assert_eq!(is_same, same, "{one} and {other}");
        }
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
