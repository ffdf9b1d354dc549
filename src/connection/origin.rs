//! Where a request comes from, and by what name the client reached us.
//!
//! Owns the question whom to believe: what a client says of itself counts for nothing, what a
//! trusted proxy says of its client counts. Most proxies only add to a list that the client began,
//! so that all of its fields but their last element are hostile, and are taken apart as bytes: what
//! is no text must not make what stands beside it look as if it were not there.

use std::net::{IpAddr, SocketAddr};

use crate::http::{Authority, RequestHead};
use crate::net::{Cidr, is_trusted, push_address};

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

impl Origin {
    /// The client's address as text: the list begins with it.
    pub(super) fn client_text(&self) -> &str {
        match self.forwarded_for.split_once(',') {
            Some((client, _)) => client,
            None => &self.forwarded_for,
        }
    }

    /// `peer` is who is connected to us, `by_tls` how.
    pub fn of(head: &RequestHead, peer: IpAddr, by_tls: bool, trusted: &[Cidr]) -> Origin {
        let own_proto = if by_tls { "https" } else { "http" };
        if !is_trusted(trusted, peer) {
            return Origin {
                client: peer,
                forwarded_for: address_text(peer),
                proto: own_proto,
                host: head.host().to_owned(),
            };
        }
        let (client, forwarded_for) = believed(head, peer, trusted);
        Origin {
            client,
            forwarded_for,
            proto: match last_element(head, "x-forwarded-proto") {
                Some(b"https") => "https",
                Some(b"http") => "http",
                _ => own_proto,
            },
            host: last_element(head, "x-forwarded-host")
                .filter(|host| Authority::parse(host).is_some())
                .and_then(text)
                .unwrap_or(head.host())
                .to_owned(),
        }
    }
}

/// The client, and the list that leads from it to `peer`, a trusted proxy: the rightmost element of `X-Forwarded-For` that
/// is not a trusted address, and what stands right of it. One that is no address counts as the peer's own.
fn believed(head: &RequestHead, peer: IpAddr, trusted: &[Cidr]) -> (IpAddr, String) {
    let mut lists: Vec<&[u8]> = head.values("x-forwarded-for").collect();
    // A proxy that keeps a list names its client there, and passes on what the client says in the other field.
    if lists.is_empty() {
        lists.extend(last_element(head, "x-real-ip"));
    }
    let mut hops = vec![peer];
    for element in lists.iter().rev().flat_map(|list| list.rsplit(is_comma)) {
        let Some(address) = address(element) else {
            return (peer, peer.to_string());
        };
        hops.push(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    let client = hops.last().copied().unwrap_or(peer);
    let list: Vec<String> = hops.iter().rev().map(IpAddr::to_string).collect();
    (client, list.join(", "))
}

/// An address as proxies write it: plain, in brackets, with a port or without.
fn address(element: &[u8]) -> Option<IpAddr> {
    let text = text(element.trim_ascii())?;
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

/// What the peer itself has said: all before it may be the client's.
fn last_element<'a>(head: &'a RequestHead, name: &'a str) -> Option<&'a [u8]> {
    let value = head.values(name).last()?;
    value.rsplit(is_comma).next().map(<[u8]>::trim_ascii)
}

fn address_text(address: IpAddr) -> String {
    let mut text = String::with_capacity(16);
    push_address(&mut text, address);
    text
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(peer: &str, fields: &[u8]) -> Origin {
        let bytes = [b"GET / HTTP/1.1\r\nHost: gate:5443\r\n", fields, b"\r\n"].concat();
        let (head, _) = RequestHead::parse(&bytes).unwrap().unwrap();
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
            (
                "10.0.0.1",
                "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n",
                "10.0.0.3",
                "10.0.0.3, 10.0.0.2, 10.0.0.1",
            ),
            ("10.0.0.1", "X-Real-IP: junk\r\n", "10.0.0.1", "10.0.0.1"),
            (
                "10.0.0.1",
                "X-Real-IP: 6.6.6.6\r\nX-Real-IP: 9.9.9.9\r\n",
                "9.9.9.9",
                "9.9.9.9, 10.0.0.1",
            ),
            ("10.0.0.1", "", "10.0.0.1", "10.0.0.1"),
        ] {
            let got = origin(peer, fields.as_bytes());
            assert_eq!(
                (got.client.to_string().as_str(), got.forwarded_for.as_str()),
                (client, list),
                "{fields}"
            );
        }
    }

    #[test]
    fn what_a_client_writes_before_its_own_address_changes_nothing() {
        for theirs in [
            &b"\xff"[..],
            b"\xc3\xa9, 7.7.7.7",
            b"",
            b" ,",
            b"\"",
            b"unknown",
            b"\t",
        ] {
            let list = [b"X-Forwarded-For: ", theirs, b", 9.9.9.9\r\n"].concat();
            let apart = [
                b"X-Forwarded-For: ",
                theirs,
                b"\r\nX-Forwarded-For: 9.9.9.9\r\n",
            ]
            .concat();
            for fields in [list, apart] {
                let fields = [b"X-Real-IP: 6.6.6.6\r\n", &fields[..]].concat();
                let got = origin("10.0.0.1", &fields);
                assert_eq!(
                    got.client.to_string(),
                    "9.9.9.9",
                    "{}",
                    fields.escape_ascii()
                );
                assert_eq!(got.forwarded_for, "9.9.9.9, 10.0.0.1");
            }
        }
    }

    #[test]
    fn an_element_that_is_no_address_counts_as_the_peers_own() {
        for list in [
            &b"\xff"[..],
            b"",
            b",",
            b"6.6.6.6,",
            b"6.6.6.6, \xff",
            b"6.6.6.6, unknown",
            b"6.6.6.6, unknown, 10.0.0.2",
            b"6.6.6.6 7.7.7.7",
            b"6.6.6.6:99999",
            b"fe80::1%eth0",
        ] {
            let fields = [b"X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: ", list, b"\r\n"].concat();
            let got = origin("10.0.0.1", &fields);
            assert_eq!(
                got.client.to_string(),
                "10.0.0.1",
                "{}",
                list.escape_ascii()
            );
            assert_eq!(got.forwarded_for, "10.0.0.1");
        }
    }

    #[test]
    fn scheme_and_host_are_believed_from_a_trusted_proxy_only() {
        let fields =
            b"X-Forwarded-Proto: \xff, http\r\nX-Forwarded-Host: \xff, registry.example\r\n";
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
        let odd = origin(
            "10.0.0.1",
            b"X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: a b\r\n",
        );
        assert_eq!((odd.proto, odd.host.as_str()), ("https", "gate:5443"));
    }
}
