//! Where a request comes from, and by what name the client reached us.
//!
//! Owns the question whom to believe: what a client says of itself counts for nothing, what a
//! trusted proxy says of its client counts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::Cidr;
use crate::http::RequestHead;
use crate::log::Peer;

/// Where a request comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client, behind all trusted proxies. A local socket counts as 127.0.0.1.
    pub client: IpAddr,
    /// The value of `X-Forwarded-For` for the backend: the client, then the proxies that are believed.
    pub forwarded_for: String,
    /// `https` or `http`, as the client reached the first of us.
    pub proto: &'static str,
    /// The host that the client asked for.
    pub host: String,
}

/// The address that a peer counts as, for limits, trust and the backend.
pub fn address_of(peer: Peer) -> IpAddr {
    match peer {
        Peer::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Peer::Address(address) => address,
    }
}

/// Whether `address` is that of a trusted proxy, behind which there are many clients.
pub fn is_trusted(trusted: &[Cidr], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

impl Origin {
    /// `peer` is who is connected to us, `by_tls` how.
    pub fn of(head: &RequestHead, peer: IpAddr, by_tls: bool, trusted: &[Cidr]) -> Origin {
        let own_proto = if by_tls { "https" } else { "http" };
        if !is_trusted(trusted, peer) {
            return Origin {
                client: peer,
                forwarded_for: peer.to_string(),
                proto: own_proto,
                host: head.host().to_owned(),
            };
        }
        let (client, forwarded_for) = believed(head, peer, trusted);
        Origin {
            client,
            forwarded_for,
            proto: match last_value(head, "x-forwarded-proto") {
                Some("https") => "https",
                Some("http") => "http",
                _ => own_proto,
            },
            host: last_value(head, "x-forwarded-host")
                .filter(|host| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()))
                .unwrap_or(head.host())
                .to_owned(),
        }
    }
}

/// The rightmost address of `X-Forwarded-For` that is not trusted, with what stands right of it.
/// An entry that is no address ends the search: what stands left of it cannot be believed.
fn believed(head: &RequestHead, peer: IpAddr, trusted: &[Cidr]) -> (IpAddr, String) {
    let lists: Vec<&str> = head.values("x-forwarded-for").map(text).collect();
    let mut hops = vec![peer];
    for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        let Some(address) = parse_address(entry.trim()) else {
            break;
        };
        hops.push(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    if hops.len() == 1
        && let Some(address) = last_value(head, "x-real-ip").and_then(parse_address)
    {
        hops.push(address);
    }
    let client = hops.last().copied().unwrap_or(peer);
    let list: Vec<String> = hops.iter().rev().map(IpAddr::to_string).collect();
    (client, list.join(", "))
}

/// An address as proxies write it: plain, in brackets, with a port or without.
fn parse_address(text: &str) -> Option<IpAddr> {
    let plain = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    plain
        .parse()
        .or_else(|_| text.parse().map(|address: SocketAddr| address.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

fn last_value<'a>(head: &'a RequestHead, name: &'a str) -> Option<&'a str> {
    let value = head.values(name).last()?;
    text(value).rsplit(',').next().map(str::trim)
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(peer: &str, fields: &str) -> Origin {
        let bytes = format!("GET / HTTP/1.1\r\nHost: gate:5443\r\n{fields}\r\n");
        let (head, _) = RequestHead::parse(bytes.as_bytes()).unwrap().unwrap();
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        Origin::of(&head, peer.parse().unwrap(), true, &trusted)
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        // peer, fields, client, list for the backend
        for (peer, fields, client, list) in [
            (
                "1.2.3.4",
                "X-Forwarded-For: 9.9.9.9\r\n",
                "1.2.3.4",
                "1.2.3.4",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: 9.9.9.9\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.0.0.2\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.2, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: 6.6.6.6, junk\r\n",
                "10.0.0.1",
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: [2001:db8::1]:443\r\n",
                "2001:db8::1",
                "2001:db8::1, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Forwarded-For: ::ffff:9.9.9.9\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "X-Real-IP: 9.9.9.9\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.1",
            ),
            (
                "::1",
                "X-Forwarded-For: 9.9.9.9:1234\r\n",
                "9.9.9.9",
                "9.9.9.9, ::1",
            ),
            ("10.0.0.1", "", "10.0.0.1", "10.0.0.1"),
        ] {
            let got = origin(peer, fields);
            assert_eq!(
                (got.client.to_string().as_str(), got.forwarded_for.as_str()),
                (client, list),
                "{fields}"
            );
        }
    }

    #[test]
    fn scheme_and_host_are_believed_from_a_trusted_proxy_only() {
        let fields = "X-Forwarded-Proto: http\r\nX-Forwarded-Host: registry.example\r\n";
        let stranger = origin("1.2.3.4", fields);
        assert_eq!(
            (stranger.proto, stranger.host.as_str()),
            ("https", "gate:5443")
        );
        let proxy = origin("10.0.0.1", fields);
        assert_eq!(
            (proxy.proto, proxy.host.as_str()),
            ("http", "registry.example")
        );
    }
}
