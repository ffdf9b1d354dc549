//! A client that sends exactly the bytes a test gives it, and tells exactly what came back and how it ended.
use super::message::{Inbox, Message};
use super::stream::{End, Stream};
use super::{PATIENCE, readable};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

pub struct Client {
    inbox: Inbox,
    /// The gate's authority, for `Host`.
    pub host: String,
}

impl Client {
    /// Connects in the clear to `HOST:PORT`.
    pub fn clear(authority: &str) -> Self {
        let stream = Stream::tcp(dial(authority));
        Self {
            inbox: Inbox::new(stream),
            host: authority.to_owned(),
        }
    }

    /// Connects in the clear from that address, which is one of this machine's.
    pub fn clear_from(from: [u8; 4], authority: &str) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let to: SocketAddr = authority.parse().unwrap();
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((from, 0))).unwrap();
        connect(&socket, &to).unwrap();
        Self {
            inbox: Inbox::new(Stream::tcp(TcpStream::from(socket))),
            host: authority.to_owned(),
        }
    }

    /// Connects to a Unix socket, where what one side has sent has arrived when its write returns.
    pub fn unix(path: &str) -> Self {
        let stream = Stream::unix(UnixStream::connect(path).unwrap());
        Self {
            inbox: Inbox::new(stream),
            host: "gate.example".to_owned(),
        }
    }

    /// Connects with TLS to `HOST:PORT`, asking for `name`, and finishes the handshake.
    pub fn tls(authority: &str, name: &str, config: Arc<ClientConfig>) -> Self {
        Self::try_tls(authority, name, config)
            .unwrap_or_else(|error| panic!("TLS with {authority} as {name}: {error}"))
    }

    /// The same on a socket that is connected, with these bytes before the hello, all in one write.
    pub fn tls_behind(
        begin: &[u8],
        socket: TcpStream,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let Stream::Tcp(mut socket) = Stream::tcp(socket) else {
            unreachable!()
        };
        let authority = socket.peer_addr()?.to_string();
        let name = name.to_owned().try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut first = begin.to_vec();
        tls.write_tls(&mut first)?;
        socket.write_all(&first)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let stream = Stream::TlsClient(Box::new(StreamOwned::new(tls, socket)));
        Ok(Self {
            inbox: Inbox::new(stream),
            host: authority,
        })
    }

    pub fn try_tls(authority: &str, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_behind(b"", dial(authority), name, config)
    }

    /// The TLS connection underneath.
    pub fn session(&self) -> &ClientConnection {
        match &self.inbox.stream {
            Stream::TlsClient(tls) => &tls.conn,
            _ => panic!("this client is in the clear"),
        }
    }

    /// Another handle on the TCP socket underneath, for bytes that are not to go through TLS.
    pub fn socket(&self) -> TcpStream {
        let socket = self.inbox.stream.socket().expect("a TCP socket");
        socket.try_clone().unwrap()
    }

    /// Another handle on the socket in the clear, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        match &self.inbox.stream {
            Stream::Tcp(socket) => socket.try_clone().unwrap(),
            _ => panic!("only a client in the clear has a second handle"),
        }
    }

    /// How long it waits from now on for more to come.
    pub fn set_patience(&self, patience: Duration) {
        match &self.inbox.stream {
            Stream::Unix(socket) => socket.set_read_timeout(Some(patience)).unwrap(),
            other => {
                let socket = other.socket().expect("a TCP socket");
                socket.set_read_timeout(Some(patience)).unwrap();
            }
        }
    }

    /// Over a Unix socket: waits until the gate has given the connection up, which is more than its having said all; `false`
    /// if it has not within `limit`.
    pub fn is_given_up(&self, limit: Duration) -> bool {
        let Stream::Unix(socket) = &self.inbox.stream else {
            panic!("only a Unix socket tells that");
        };
        let mut asked = [PollFd::new(socket, PollFlags::empty())];
        let limit = limit.try_into().unwrap();
        poll(&mut asked, Some(&limit)).unwrap();
        asked[0].revents().contains(PollFlags::HUP)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes) {
            panic!(
                "sending: {error}; received so far:\n{}",
                readable(&self.inbox.received)
            );
        }
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.inbox.send(bytes.as_ref())
    }

    /// Sends a request without a body: request line and these fields, `Host` among them by itself.
    #[track_caller]
    pub fn request(&mut self, line: &str, fields: &[&str]) {
        self.request_with(line, fields, b"");
    }

    /// Sends a request and these bytes behind its head.
    #[track_caller]
    pub fn request_with(&mut self, line: &str, fields: &[&str], body: &[u8]) {
        let mut head = format!("{line} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for field in fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.send([head.as_bytes(), body].concat());
    }

    /// One request and its answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str, fields: &[&str]) -> Message {
        self.request(line, fields);
        if line.starts_with("HEAD ") {
            self.answer_to_head()
        } else {
            self.answer()
        }
    }

    pub fn half_close(&mut self) {
        self.inbox.stream.half_close().unwrap();
    }

    /// Closes with a reset.
    pub fn reset(self) {
        self.inbox.stream.reset();
    }

    /// The next answer, whole, a 1xx too.
    #[track_caller]
    pub fn answer(&mut self) -> Message {
        let answer = self.inbox.answer(false);
        self.whole(answer)
    }

    /// The next answer, to a HEAD.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Message {
        let answer = self.inbox.answer(true);
        self.whole(answer)
    }

    /// The next answer as far as it comes; `cut` tells whether it is whole. `None` if the gate ended without one.
    pub fn try_answer(&mut self, to_head: bool) -> io::Result<Option<Message>> {
        self.inbox.answer(to_head)
    }

    /// The head of the next answer; its body is read by `exactly`.
    #[track_caller]
    pub fn answer_head(&mut self) -> Message {
        let answer = self.inbox.answer_head(false);
        self.whole(answer)
    }

    /// Exactly so many bytes.
    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        match self.inbox.exactly(count) {
            Ok(bytes) if bytes.len() == count => bytes,
            other => panic!(
                "{count} bytes expected: {other:?}; received in all:\n{}",
                readable(&self.inbox.received)
            ),
        }
    }

    /// Everything up to the end, and how it ended.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        match self.inbox.rest() {
            Ok(rest) => rest,
            Err(error) => panic!(
                "waiting for the end: {error}; received in all:\n{}",
                readable(&self.inbox.received)
            ),
        }
    }

    pub fn try_rest(&mut self) -> io::Result<(Vec<u8>, End)> {
        self.inbox.rest()
    }

    /// Fails the test if anything more comes, or if the gate does not end cleanly.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let (rest, end) = self.rest();
        assert!(
            rest.is_empty() && end == End::Clean,
            "a clean end expected, {end:?} after\n{}",
            readable(&rest)
        );
    }

    /// Fails the test if the connection does not serve another request.
    #[track_caller]
    pub fn assert_open(&mut self) {
        let answer = self.ask("GET /v2/", &[]);
        assert_eq!(
            answer.status(),
            401,
            "a connection that was to be kept:\n{}",
            readable(&answer.raw)
        );
    }

    pub fn received(&self) -> &[u8] {
        &self.inbox.received
    }

    #[track_caller]
    fn whole(&self, answer: io::Result<Option<Message>>) -> Message {
        match answer {
            Ok(Some(answer)) if answer.cut.is_none() => answer,
            Ok(Some(answer)) => panic!(
                "{}:\n{}",
                answer.cut.unwrap_or_default(),
                readable(&answer.raw)
            ),
            Ok(None) => panic!(
                "the gate ended without an answer; received in all:\n{}",
                readable(&self.inbox.received)
            ),
            Err(error) => panic!(
                "{error}; received in all:\n{}",
                readable(&self.inbox.received)
            ),
        }
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inbox.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inbox.stream.flush()
    }
}

fn dial(authority: &str) -> TcpStream {
    let address: SocketAddr = authority
        .parse()
        .unwrap_or_else(|_| panic!("not an address with a port: {authority:?}"));
    TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("connecting to {authority}: {error}"))
}
