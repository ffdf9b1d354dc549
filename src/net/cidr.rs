//! Addresses: networks that are trusted, and whether an address can be reached from everywhere.
//!
//! It knows nothing of settings. An IPv4 address mapped into IPv6 is its IPv4 address, everywhere.

use std::{fmt, net::IpAddr, str::FromStr};

/// A network: an address with the number of its leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether `address` is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (u32::from(network) ^ u32::from(address)) & mask_v4(self.prefix) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (u128::from(network) ^ u128::from(address)) & mask_v6(self.prefix) == 0
            }
            _ => false,
        }
    }

    /// Whether it is everybody.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// Whether `address` is in one of the networks that are trusted.
pub fn is_trusted(trusted: &[Cidr], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        const FORM: &str = "not a network; write it as in 10.0.0.0/8, fd00::/8 or 10.1.2.3";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(|| {
                    if digits.is_empty() {
                        FORM.to_owned()
                    } else {
                        format!("a prefix here is at most {width} bits")
                    }
                })?,
            Some(_) => return Err(FORM.to_owned()),
        };
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let (address, prefix) = match address.to_canonical() {
            v4 @ IpAddr::V4(_) if address.is_ipv6() && prefix >= 96 => (v4, prefix - 96),
            _ => (address, prefix),
        };
        let network = match address {
            IpAddr::V4(address) => IpAddr::V4((u32::from(address) & mask_v4(prefix)).into()),
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) & mask_v6(prefix)).into()),
        };
        // A list of those who are believed must not be wider than its writer thinks.
        if network != address {
            return Err(format!(
                "has bits behind its prefix; write {network}/{prefix}, or {address} for it alone"
            ));
        }
        Ok(Cidr { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Whether an address is out of reach for the world at large: loopback, private, link-local, unique local, or shared
/// behind a carrier's NAT (RFC 6598).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = Cidr {
                network: IpAddr::V4([100, 64, 0, 0].into()),
                prefix: 10,
            };
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared.contains(IpAddr::V4(v4))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(prefix.into()))
        .unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128_u32.saturating_sub(prefix.into()))
        .unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_it_should() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "::ffff:11.9.9.9", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ];
        for (network, address, expected) in cases {
            let cidr: Cidr = network.parse().unwrap();
            assert_eq!(
                cidr.contains(address.parse().unwrap()),
                expected,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0.1/8",
            "a/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!(
            "10.0.0.1/8".parse::<Cidr>().unwrap_err(),
            "has bits behind its prefix; write 10.0.0.0/8, or 10.0.0.1 for it alone"
        );
        assert_eq!(
            "10.0.0.0/999".parse::<Cidr>().unwrap_err(),
            "a prefix here is at most 32 bits"
        );
    }

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let private = [
            "127.0.0.1",
            "10.1.1.1",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
        ];
        let private_v6 = ["::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1", "::"];
        for text in private.into_iter().chain(private_v6) {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }
}
