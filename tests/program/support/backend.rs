//! Backends: one that follows a script byte by byte and records what it gets, one that echoes like a well-behaved server,
//! and addresses at which nobody answers.
use super::acceptor::Acceptor;
use super::certificates::{Ca, server};
use super::message::{Inbox, Message};
use super::records::Secrets;
use super::stream::{End, Stream};
use super::watched::Watched;
use super::{Dir, PATIENCE};
use rustls::ServerConfig;
use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// What the backend saw of one connection.
#[derive(Default)]
pub struct Record {
    /// All bytes that were read from it.
    pub received: Vec<u8>,
    /// The requests that were read whole, in order.
    pub requests: Vec<Message>,
    /// Their numbers among those of all connections.
    numbers: Vec<usize>,
    /// How its script ended, once it has.
    pub ended: Option<Result<(), String>>,
}

/// The requests of all connections, in the order in which they were read.
fn in_order(records: &[Record]) -> impl Iterator<Item = &Message> {
    let mut all: Vec<(usize, &Message)> = Vec::new();
    for record in records {
        all.extend(record.numbers.iter().copied().zip(&record.requests));
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, request)| request)
}

/// A backend that runs a script for each connection.
pub struct Backend {
    pub acceptor: Acceptor,
    /// The CA of an `https://` backend, PEM.
    pub ca: Option<String>,
    record: Watched<Vec<Record>>,
    go: Sender<()>,
    _dir: Option<Dir>,
}

impl Backend {
    /// Over TCP: `script` is run for each connection, which is closed when it returns.
    pub fn script(script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::run(Acceptor::tcp(), None, None, script)
    }

    pub fn script_unix(script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let dir = Dir::new();
        let acceptor = Acceptor::unix(&dir.path("backend.sock"));
        Self::run(acceptor, None, Some(dir), script)
    }

    pub fn script_tls(script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let ca = Ca::new();
        let acceptor = Acceptor::tls(server(&ca.sign(&["127.0.0.1", "localhost"])));
        Self::run(acceptor, Some(ca.pem()), None, script)
    }

    /// Over TLS 1.3 with secrets that are logged, and nothing that it sends by itself.
    pub fn script_tls_logged(
        secrets: Arc<Secrets>,
        script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let ca = Ca::new();
        let mut config = ServerConfig::clone(&server(&ca.sign(&["127.0.0.1", "localhost"])));
        config.key_log = secrets;
        config.send_tls13_tickets = 0;
        let acceptor = Acceptor::tls(Arc::new(config));
        Self::run(acceptor, Some(ca.pem()), None, script)
    }

    /// Well-behaved: keeps connections, decodes bodies, answers each request with what it saw (see `echo`).
    pub fn echo() -> Self {
        Self::script(echo)
    }

    /// Answers `ok` at once, but for `/slow` and what is below it only when the test says so.
    pub fn slow_where_asked() -> Self {
        Self::script(|mut peer| {
            while let Some(request) = peer.try_request()? {
                if request.start.contains(" /slow") {
                    peer.pause()?;
                }
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Ok(())
        })
    }

    fn run(
        (acceptor, streams): (Acceptor, Receiver<Stream>),
        ca: Option<String>,
        dir: Option<Dir>,
        script: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let record = Watched::new(Vec::new());
        let (go, told) = channel();
        let (told, script) = (Arc::new(Mutex::new(told)), Arc::new(script));
        let records = record.clone();
        std::thread::spawn(move || {
            for stream in streams {
                let index = records.update(|records: &mut Vec<Record>| {
                    records.push(Record::default());
                    records.len() - 1
                });
                let peer = Peer {
                    index,
                    inbox: Inbox::new(stream),
                    record: records.clone(),
                    told: Arc::clone(&told),
                };
                let (script, records) = (Arc::clone(&script), records.clone());
                std::thread::spawn(move || {
                    let ended = script(peer).map_err(|error| error.to_string());
                    records.update(|records| records[index].ended = Some(ended));
                });
            }
        });
        Self {
            acceptor,
            ca,
            record,
            go,
            _dir: dir,
        }
    }

    /// What `--backend` takes.
    pub fn url(&self) -> &str {
        &self.acceptor.url
    }

    /// Lets one `pause` of a script go on.
    pub fn go(&self) {
        self.go.send(()).unwrap();
    }

    /// Accepts no more.
    pub fn stop(&mut self) {
        self.acceptor.stop();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.record.look(Vec::len)
    }

    /// Fails the test if any byte of a request came.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let received = self.record.look(|records| {
            records
                .iter()
                .map(|record| record.received.clone())
                .collect::<Vec<_>>()
                .concat()
        });
        assert!(
            received.is_empty(),
            "reached the backend:\n{}",
            super::readable(&received)
        );
        let requests = self.requests();
        assert!(requests.is_empty(), "reached the backend: {requests:?}");
    }

    /// All requests that were read whole so far.
    pub fn requests(&self) -> Vec<Message> {
        self.record
            .look(|records| in_order(records).cloned().collect())
    }

    /// Waits for the request with that number over all connections.
    #[track_caller]
    pub fn wait_for_request(&self, number: usize) -> Message {
        let found = self
            .record
            .wait(PATIENCE, |records| in_order(records).nth(number).cloned());
        found.unwrap_or_else(|| panic!("request {number} never reached the backend"))
    }

    /// Waits until the script of a connection has read what `wanted` is content with.
    #[track_caller]
    pub fn wait_for_bytes(&self, index: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let look = |records: &Vec<Record>| {
            let record = records.get(index)?;
            wanted(&record.received).then(|| record.received.clone())
        };
        self.record.wait(PATIENCE, look).unwrap_or_else(|| {
            let received = self
                .record
                .look(|records| records.get(index).map(|record| record.received.clone()));
            panic!(
                "connection {index} of the backend got only {:?}",
                received.map(|bytes| super::readable(&bytes))
            )
        })
    }

    /// Waits until a connection has brought a whole head, whatever has come behind it.
    #[track_caller]
    pub fn wait_for_head(&self, index: usize) {
        let whole = |bytes: &[u8]| bytes.windows(4).any(|window| window == b"\r\n\r\n");
        self.wait_for_bytes(index, whole);
    }

    /// Waits until the script of a connection has ended, and says how.
    #[track_caller]
    pub fn wait_for_end(&self, index: usize) -> Result<(), String> {
        let ended = self
            .record
            .wait(2 * PATIENCE, |records| records.get(index)?.ended.clone());
        ended.unwrap_or_else(|| panic!("the script of connection {index} never ended"))
    }

    /// What a connection received, once its script has ended well.
    #[track_caller]
    pub fn received(&self, index: usize) -> Vec<u8> {
        if let Err(error) = self.wait_for_end(index) {
            panic!("the script of connection {index}: {error}");
        }
        self.record.look(|records| records[index].received.clone())
    }
}

/// The gate's connection, as a script sees it.
pub struct Peer {
    /// The number of this connection, from 0.
    pub index: usize,
    inbox: Inbox,
    record: Watched<Vec<Record>>,
    told: Arc<Mutex<Receiver<()>>>,
}

impl Peer {
    /// Reads the head of a request.
    pub fn head(&mut self) -> io::Result<Message> {
        let head = self.inbox.head();
        self.note();
        head?.ok_or_else(|| io::Error::other("closed before a request"))
    }

    /// Reads a request with its body; fails if it is not whole.
    pub fn request(&mut self) -> io::Result<Message> {
        self.try_request()?
            .ok_or_else(|| io::Error::other("closed before a request"))
    }

    /// Reads a request with its body; `None` if the gate closed before it.
    pub fn try_request(&mut self) -> io::Result<Option<Message>> {
        let request = self.inbox.request();
        self.note();
        let Some(request) = request? else {
            return Ok(None);
        };
        if let Some(cut) = &request.cut {
            return Err(io::Error::other(cut.clone()));
        }
        self.record.update(|records| {
            let number = records.iter().map(|record| record.requests.len()).sum();
            let record = &mut records[self.index];
            record.requests.push(request.clone());
            record.numbers.push(number);
        });
        Ok(Some(request))
    }

    /// Reads the body that belongs to a head.
    pub fn body(&mut self, mut head: Message) -> io::Result<Vec<u8>> {
        let read = self.inbox.body_of_request(&mut head);
        self.note();
        read?;
        match head.cut {
            Some(cut) => Err(io::Error::other(cut)),
            None => Ok(head.body),
        }
    }

    /// Reads exactly so many bytes.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let bytes = self.inbox.exactly(count);
        self.note();
        let bytes = bytes?;
        if bytes.len() < count {
            Err(io::Error::other(format!(
                "closed after {} of {count} bytes",
                bytes.len()
            )))
        } else {
            Ok(bytes)
        }
    }

    /// Reads a head, then until the gate closes.
    pub fn head_and_rest(mut self) -> io::Result<()> {
        self.head()?;
        self.until_closed().map(drop)
    }

    /// Reads until the gate closes.
    pub fn until_closed(&mut self) -> io::Result<(Vec<u8>, End)> {
        let rest = self.inbox.rest();
        self.note();
        rest
    }

    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.inbox.send(bytes.as_ref())
    }

    /// Another handle on the TCP socket underneath, for bytes that are not to go through TLS.
    pub fn socket(&self) -> TcpStream {
        let socket = self.inbox.stream.socket().expect("a TCP socket");
        socket.try_clone().unwrap()
    }

    /// Waits until the test says `Backend::go`.
    pub fn pause(&mut self) -> io::Result<()> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.recv_timeout(PATIENCE)
            .map_err(|_| io::Error::other("never told to go on"))
    }

    /// Closes what this side sends and still reads.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.inbox.stream.half_close()
    }

    /// Closes cleanly: over TLS with a close-notify.
    pub fn close(mut self) {
        let _ = self.inbox.stream.half_close();
    }

    /// Closes with a reset.
    pub fn reset(self) {
        self.inbox.stream.reset();
    }

    fn note(&self) {
        self.record.update(|records| {
            records[self.index]
                .received
                .clone_from(&self.inbox.received)
        });
    }
}

/// Answers request after request with its request line, its fields, and `body LENGTH SHA-256`, each on a line.
fn echo(mut peer: Peer) -> io::Result<()> {
    while let Some(request) = peer.try_request()? {
        let mut text = format!("{}\n", request.start);
        for (name, value) in &request.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push_str(&format!(
            "\nbody {} {}\n",
            request.body.len(),
            sha256(&request.body)
        ));
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        if !request.start.starts_with("HEAD ") {
            answer.push_str(&text);
        }
        peer.say(answer)?;
    }
    Ok(())
}

/// As lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
