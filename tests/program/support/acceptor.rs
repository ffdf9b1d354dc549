//! Listening on loopback or a Unix socket, in the clear or with TLS, until told to stop; and addresses at which nobody
//! answers.
use super::stream::Stream;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

/// Hands over connections as they come, until it is dropped or stopped.
pub struct Acceptor {
    pub url: String,
    address: Address,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    pub fn tcp() -> (Self, Receiver<Stream>) {
        Self::over_tcp("http", None)
    }

    pub fn tls(config: Arc<ServerConfig>) -> (Self, Receiver<Stream>) {
        Self::over_tcp("https", Some(config))
    }

    pub fn unix(path: &str) -> (Self, Receiver<Stream>) {
        let listener = UnixListener::bind(path).unwrap();
        Self::start(
            format!("unix:{path}"),
            Address::Unix(path.to_owned()),
            Listener::Unix(listener),
            None,
        )
    }

    fn over_tcp(scheme: &str, tls: Option<Arc<ServerConfig>>) -> (Self, Receiver<Stream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self::start(
            format!("{scheme}://{address}"),
            Address::Tcp(address),
            Listener::Tcp(listener),
            tls,
        )
    }

    fn start(
        url: String,
        address: Address,
        listener: Listener,
        tls: Option<Arc<ServerConfig>>,
    ) -> (Self, Receiver<Stream>) {
        let (sender, receiver) = channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            loop {
                let stream = match &listener {
                    Listener::Tcp(listener) => Stream::tcp(listener.accept().unwrap().0),
                    Listener::Unix(listener) => Stream::unix(listener.accept().unwrap().0),
                };
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let stream = match (stream, &tls) {
                    (Stream::Tcp(socket), Some(config)) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        Stream::TlsServer(Box::new(StreamOwned::new(session, socket)))
                    }
                    (stream, _) => stream,
                };
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        (
            Self {
                url,
                address,
                stopping,
                thread: Some(thread),
            },
            receiver,
        )
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> &str {
        self.url.split("//").nth(1).unwrap_or_default()
    }

    /// Accepts no more; who connects is refused from here on.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stopping.store(true, Ordering::SeqCst);
        let woken = match &self.address {
            Address::Tcp(address) => TcpStream::connect(address).is_ok(),
            Address::Unix(path) => UnixStream::connect(path).is_ok(),
        };
        if woken {
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A loopback address that refuses connections: its port is taken, and nobody listens.
pub struct Refusing {
    pub authority: String,
    _socket: rustix::fd::OwnedFd,
}

impl Refusing {
    pub fn new() -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        Self {
            authority: address.to_string(),
            _socket: socket,
        }
    }
}

/// A loopback address that neither accepts nor refuses: its queue is full, and what is sent to it is dropped.
pub struct Deaf {
    pub authority: String,
    _socket: rustix::fd::OwnedFd,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    pub fn new() -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&socket, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        let dial = || TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300));
        let queue = std::iter::from_fn(|| dial().ok()).take(100).collect();
        Self {
            authority: address.to_string(),
            _socket: socket,
            _queue: queue,
        }
    }
}
