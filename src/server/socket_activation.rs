//! Sockets that systemd has opened for the gate, so that clients wait in their queue while it starts again.
//!
//! One rule: such a socket serves the `--listen` that names the same address, and a configuration is the same with and
//! without a socket unit. It must not know what is listened for. The only room that names `listenfd`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;

use crate::config::{Fault, Origin, Place};
use crate::net::HostPort;

/// Says for whom the sockets are. `listenfd` does without it; systemd never does, and what else would be taken for a
/// socket is one of our own.
const FOR_WHOM: &str = "LISTEN_PID";

/// The sockets that nobody has asked for yet.
#[derive(Default)]
pub struct HandedOver {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<UnixListener>,
}

impl HandedOver {
    /// Takes all there are, once, before the process has opened anything or started a thread.
    pub fn take() -> Result<HandedOver, Vec<Fault>> {
        if std::env::var_os(FOR_WHOM).is_none_or(|pid| pid.is_empty()) {
            return Ok(HandedOver::default());
        }
        let mut from = ListenFd::from_env();
        let mut all = HandedOver::default();
        let mut faults = Vec::new();
        for at in 0..from.len() {
            if let Err(error) = all.take_one(&mut from, at) {
                faults.push(of_listen(format!(
                    "what systemd hands over cannot be listened at: {error}"
                )));
            }
        }
        if faults.is_empty() {
            Ok(all)
        } else {
            Err(faults)
        }
    }

    fn take_one(&mut self, from: &mut ListenFd, at: usize) -> io::Result<()> {
        if let Ok(Some(socket)) = from.take_unix_listener(at) {
            socket.set_nonblocking(true)?;
            self.unix.push(socket);
        } else if let Some(socket) = from.take_tcp_listener(at)? {
            socket.set_nonblocking(true)?;
            self.tcp.push((socket.local_addr()?, socket));
        }
        Ok(())
    }

    /// The one at this address, if there is one.
    pub fn tcp(&mut self, place: &HostPort) -> Option<TcpListener> {
        if self.tcp.is_empty() {
            return None;
        }
        let wanted: Vec<_> = place.to_socket_addrs().ok()?.collect();
        let serves = |given: &SocketAddr| wanted.iter().any(|one| is_same(*one, *given));
        let at = self.tcp.iter().position(|(given, _)| serves(given))?;
        Some(self.tcp.swap_remove(at).1)
    }

    /// The one at this path, if there is one.
    pub fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let serves = |given: &UnixListener| {
            given
                .local_addr()
                .is_ok_and(|address| address.as_pathname() == Some(path))
        };
        let at = self.unix.iter().position(serves)?;
        Some(self.unix.swap_remove(at))
    }

    /// How many nobody has asked for yet.
    pub fn len(&self) -> usize {
        self.tcp.len() + self.unix.len()
    }

    /// What nobody has asked for: clients would wait there for ever.
    pub fn faults(&self) -> Vec<Fault> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let unix = self.unix.iter().map(|socket| {
            let address = socket.local_addr().ok();
            let path = address.as_ref().and_then(|address| address.as_pathname());
            format!("unix:{}", path.unwrap_or(Path::new("?")).display())
        });
        let unclaimed = |address: String| {
            of_listen(format!(
                "systemd has opened {address}, and no listen names it; make ListenStream= of portreeve.socket say what \
                 listen says"
            ))
        };
        tcp.chain(unix).map(unclaimed).collect()
    }
}

impl fmt::Debug for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(&self.tcp)
            .entries(&self.unix)
            .finish()
    }
}

fn of_listen(reason: String) -> Fault {
    Origin::without_value(Place::Default, "listen").fault(reason)
}

/// Where the host has no IPv6, systemd takes `0.0.0.0` for a bare port, as the gate does for `[::]`.
fn is_same(wanted: SocketAddr, given: SocketAddr) -> bool {
    let any_v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let any_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    wanted.port() == given.port()
        && (wanted.ip().to_canonical() == given.ip().to_canonical()
            || (wanted.ip() == any_v6 && given.ip() == any_v4))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Listen;

    fn place(text: &str) -> HostPort {
        match format!("http://{text}").parse() {
            Ok(Listen::Http(place)) => place,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_socket_serves_the_listener_of_its_address_alone() {
        let cases = [
            ("[::]:443", "[::]:443", true),
            ("[::]:443", "0.0.0.0:443", true),
            ("0.0.0.0:443", "[::]:443", false),
            ("[::]:443", "[::]:8443", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
        ];
        for (wanted, given, expected) in cases {
            assert_eq!(
                is_same(wanted.parse().unwrap(), given.parse().unwrap()),
                expected,
                "{wanted} {given}"
            );
        }
    }

    #[test]
    fn what_nobody_asks_for_is_a_fault() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut all = HandedOver::default();
        all.tcp.push((address, socket));
        let other = place("127.0.0.1:1");
        assert!(all.tcp(&other).is_none());
        assert!(all.faults()[0].to_string().contains(&address.to_string()));
        let same = place(&address.to_string());
        assert!(all.tcp(&same).is_some());
        assert!(all.faults().is_empty());
    }
}
