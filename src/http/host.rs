//! Hosts and ports as they stand in `Host`, in an absolute target and in a `Location`. All input is hostile.

use std::fmt;
use std::net::Ipv6Addr;
use std::str;

use super::grammar::is_unreserved;

/// The two schemes that HTTP/1.x is spoken under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`, port 80 unless another is named.
    Http,
    /// `https`, port 443 unless another is named.
    Https,
}

impl Scheme {
    /// The port that is meant where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As it stands in a URL and in `X-Forwarded-Proto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Splits `http://` or `https://` off, in any case.
    pub(super) fn split(url: &[u8]) -> Option<(Self, &[u8])> {
        [Self::Https, Self::Http].into_iter().find_map(|scheme| {
            let (name, rest) = url.split_at_checked(scheme.as_str().len())?;
            let rest = rest.strip_prefix(b"://")?;
            name.eq_ignore_ascii_case(scheme.as_str().as_bytes())
                .then_some((scheme, rest))
        })
    }
}

/// A host with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads what may stand in `Host`: a name, an IPv4 address or an IPv6 address in brackets, then perhaps a port.
    /// Narrower than RFC 3986, which would let a registered name hold commas, quotes and percent escapes: the text goes
    /// into `X-Forwarded-Host`, which is a list, and into URLs.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (address, after) = literal.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                // The address and its two brackets.
                (text.get(..address.len() + 2)?, after)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, after) = text.split_at_checked(end)?;
                if name.is_empty() || !name.bytes().all(is_unreserved) {
                    return None;
                }
                (name, after)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            // RFC 3986, 3.2.3: an empty port is the default one.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok().filter(|port| *port != 0)?)
            }
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// With the brackets of an IPv6 address.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name the same place under `scheme`.
    pub(super) fn is(&self, other: &Self, scheme: Scheme) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port_under(scheme) == other.port_under(scheme)
    }

    pub(super) fn port_under(&self, scheme: Scheme) -> u16 {
        self.port.unwrap_or(scheme.default_port())
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.host)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for (text, host, port) in [
            ("registry", "registry", None),
            (
                "my_registry.example:5443",
                "my_registry.example",
                Some(5443),
            ),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:443", "[2001:DB8::1]", Some(443)),
            ("registry:", "registry", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_host() {
        for text in [
            "",
            ":80",
            "a b",
            "a,b",
            "a@b",
            "user:pw@b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%41",
            "a:b",
            "a:+1",
            "a:65536",
            "a:0",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[]",
            "a\"",
            "\u{e9}",
            "a\t",
            "a:80 ",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Authority::parse(b"\xff"), None);
    }

    #[test]
    fn the_default_port_is_the_schemes() {
        let plain = Authority::parse(b"Registry.example").unwrap();
        let https = Authority::parse(b"registry.EXAMPLE:443").unwrap();
        assert!(plain.is(&https, Scheme::Https));
        assert!(!plain.is(&https, Scheme::Http));
    }
}
