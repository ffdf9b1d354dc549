//! Addresses that clients connect to.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::net::SocketFlags;

use super::socket_activation::HandedOver;
use crate::config::Listen;
use crate::net::{HostPort, Peer};
use crate::stream::{Choose, Socket, SocketFile, Stream, bind_unix};

/// Connections that the kernel keeps for us until they are accepted; it caps this by `somaxconn`.
const BACKLOG: i32 = 4096;

/// A bound address.
pub struct Listener {
    // Before the descriptor, so that a socket's file goes while it still listens.
    family: Family,
    fd: OwnedFd,
    url: String,
    is_tls: bool,
    redirects: bool,
    is_handed_over: bool,
}

/// Who can connect, and what is left to do at the end.
enum Family {
    Tcp,
    /// A Unix socket of somebody else's, who removes it.
    Unix,
    /// A Unix socket of our own, whose file goes with it.
    OwnUnix {
        _file: SocketFile,
    },
}

impl Listener {
    /// Binds `listen`, or takes what was handed over for it.
    pub fn bind(listen: &Listen, handed_over: &mut HandedOver) -> io::Result<Listener> {
        let given = handed_over.len();
        let Bound(fd, url, family) = match listen {
            Listen::Https(place) => bind_tcp("https", place, handed_over)?,
            Listen::Http(place) => bind_tcp("http", place, handed_over)?,
            Listen::Unix(path) => bind_local(path, handed_over)?,
            Listen::Redirect(place) => bind_tcp("redirect", place, handed_over)?,
        };
        let is_handed_over = handed_over.len() < given;
        rustix::net::listen(&fd, BACKLOG)?;
        Ok(Listener {
            family,
            fd,
            url,
            is_tls: matches!(listen, Listen::Https(_)),
            redirects: matches!(listen, Listen::Redirect(_)),
            is_handed_over,
        })
    }

    /// The next client, and who it is; `choose` is for those that speak TLS. `None` when it is of no use: it is gone already,
    /// or nothing can be said to it.
    pub fn accept(
        &self,
        choose: Option<&Arc<Choose>>,
    ) -> rustix::io::Result<Option<(Stream, Peer)>> {
        let (fd, address) =
            rustix::net::acceptfrom_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        // Asked later, the address of a client that has reset meanwhile would be unknown.
        let peer = match (address.map(SocketAddr::try_from), &self.family) {
            // A v4-mapped peer is its IPv4 address, everywhere.
            (Some(Ok(address)), _) => Peer::Address(address.ip().to_canonical()),
            (_, Family::Unix | Family::OwnUnix { .. }) => Peer::Unix,
            (_, Family::Tcp) => return Ok(None),
        };
        let socket = Socket::new(fd);
        socket.send_at_once();
        // Never in the clear for want of a configuration.
        Ok(match (self.is_tls, choose) {
            (false, _) => Some((Stream::clear(socket), peer)),
            (true, Some(choose)) => Some((Stream::greeting(socket, choose), peer)),
            (true, None) => None,
        })
    }

    /// Its port, if TLS is spoken there.
    pub fn tls_port(&self) -> Option<u16> {
        let (_, port) = self.url.rsplit_once(':')?;
        port.parse().ok().filter(|_| self.is_tls)
    }

    /// Whether its clients are only sent elsewhere.
    pub fn redirects(&self) -> bool {
        self.redirects
    }

    /// Whether somebody else holds it open, so that its queue does not end with this.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What binding gives: the socket, its URL, and its kind.
struct Bound(OwnedFd, String, Family);

fn bind_tcp(scheme: &str, place: &HostPort, handed_over: &mut HandedOver) -> io::Result<Bound> {
    let listener = match handed_over.tcp(place) {
        Some(listener) => listener,
        None => new_tcp(scheme, place)?,
    };
    let url = format!("{scheme}://{}", listener.local_addr()?);
    Ok(Bound(listener.into(), url, Family::Tcp))
}

fn new_tcp(scheme: &str, place: &HostPort) -> io::Result<TcpListener> {
    let wanted: Vec<_> = place.to_socket_addrs()?.collect();
    let listener = TcpListener::bind(wanted.as_slice()).or_else(|error| {
        let any_v6 = wanted
            .iter()
            .all(|one| one.is_ipv6() && one.ip().is_unspecified());
        if !any_v6 || !lacks_ipv6(&error) {
            return Err(error);
        }
        let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, place.port));
        ::log::warn!("this host has no IPv6: {scheme}://{place} becomes {scheme}://{instead}");
        TcpListener::bind(instead)
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn bind_local(path: &Path, handed_over: &mut HandedOver) -> io::Result<Bound> {
    let (listener, family) = match handed_over.unix(path) {
        Some(listener) => (listener, Family::Unix),
        None => {
            let (listener, file) = bind_unix(path)?;
            (listener, Family::OwnUnix { _file: file })
        }
    };
    listener.set_nonblocking(true)?;
    Ok(Bound(
        listener.into(),
        format!("unix:{}", path.display()),
        family,
    ))
}
