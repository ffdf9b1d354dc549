//! The way to the API, below HTTP: the addresses of its name, and connections to it.
//!
//! Owns what ureq has of its own for that, and what is dear there: it starts a thread for each name look-up, also where the
//! name is an address, sets both time-outs of the socket anew for each call, and takes six system calls to see whether a
//! connection is open. Must not know what is said. The other side may be silent, deaf, or gone while nobody looked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::http::INPUT_LIMIT;
use crate::lock::EvenIfPoisoned;
use crate::net::{HostPort, Resolver};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver as Resolve};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Error, Timeout};

/// What an answer's head may hold; no decision needs more.
pub(crate) const LONGEST_HEAD: usize = 16 * 1024;
/// More than the longest head that is taken, so that one that is too long can be told.
pub(crate) const INPUT: usize = 2 * LONGEST_HEAD;
/// A line of a question must fit: a value that a client sent, and the name and the address that are added to it.
pub(crate) const OUTPUT: usize = INPUT_LIMIT + 4096;
/// ureq has room for so many.
const MOST_ADDRESSES: usize = 16;
/// A socket waits for so long at once. The kernel is late by up to an eighth of what a socket is to wait for, half a second
/// and more of the usual time-out; and this is set once, as long as answers come sooner than calls end.
const SLICE: Duration = Duration::from_millis(200);
/// Where there is no limit, which no call is without.
const LONGEST: Duration = Duration::from_secs(3600);

/// Where the API is, and which of its addresses answers.
#[derive(Debug)]
pub(crate) struct Place {
    host_port: HostPort,
    resolver: Resolver,
    /// The address that was connected to last.
    good: Mutex<Option<SocketAddr>>,
}

impl Place {
    pub(crate) fn new(host_port: HostPort) -> Place {
        Place {
            host_port,
            resolver: Resolver::default(),
            good: Mutex::default(),
        }
    }

    /// The addresses, the one that answered last before the others.
    pub(crate) fn addresses(&self, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.resolver.find(&self.host_port, deadline)?;
        if found.len() > 1 {
            put_first(*self.good(), &mut found);
        }
        Ok(found)
    }

    /// Connects to the first that answers. All but the last have half of the time that is left, so that one that is silent
    /// leaves some for the others.
    pub(crate) fn connect(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Nothing is left for the others, and no time at all would be a fault of the caller's.
            if left.is_zero() {
                break;
            }
            let is_last = index + 1 == addresses.len();
            match TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }) {
                Ok(stream) => {
                    *self.good() = Some(*address);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn good(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.good.lock().even_if_poisoned()
    }
}

/// The addresses of the API, for ureq.
#[derive(Debug)]
pub(crate) struct Names(pub(crate) Arc<Place>);

impl Resolve for Names {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found =
            self.0
                .addresses(Instant::now() + left(timeout))
                .map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => Error::Timeout(Timeout::Resolve),
                    io::ErrorKind::NotFound => Error::HostNotFound,
                    _ => Error::Io(error),
                })?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(MOST_ADDRESSES) {
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// Connections to the API, for ureq.
#[derive(Debug)]
pub(crate) struct Dial(pub(crate) Arc<Place>);

impl Connector for Dial {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let deadline = Instant::now() + left(details.timeout);
        let stream = self
            .0
            .connect(&details.addrs, deadline)
            .map_err(|error| said(error, details.timeout))?;
        // A question is one write, and its answer is waited for.
        stream.set_nodelay(true)?;
        Ok(Some(Connection::new(stream)))
    }
}

/// A connection in the clear.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What is set at the socket, for writing and for reading.
    timeouts_set: [Duration; 2],
    /// Whether something was read since it was last asked whether this is open.
    was_read: bool,
    buffers: Pair,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            timeouts_set: [Duration::ZERO; 2],
            was_read: false,
            buffers: Pair {
                output: vec![0; OUTPUT],
                input: vec![0; INPUT],
                taken: 0,
                filled: 0,
                is_moving: false,
            },
        }
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (stream, [timeouts_set, _]) = (&self.stream, &mut self.timeouts_set);
        let mut output = self.buffers.output.get(..amount).unwrap_or_default();
        while !output.is_empty() {
            let set = |limit| stream.set_write_timeout(Some(limit));
            let count = in_slices(timeouts_set, timeout, set, || (&self.stream).write(output))?;
            output = output.get(count..).unwrap_or_default();
            if count == 0 {
                return Err(Error::Io(io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.was_read = true;
        let (stream, [_, timeouts_set]) = (&self.stream, &mut self.timeouts_set);
        let set = |limit| stream.set_read_timeout(Some(limit));
        let room = self.buffers.input_append_buf();
        let count = in_slices(timeouts_set, timeout, set, || (&self.stream).read(room))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Asked when it is put away after a call, and when it is taken out for the next, which tells as much about both: more
    /// than the answer, or the end, is still there then.
    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.was_read) {
            return true;
        }
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(
            rustix::net::recv(&self.stream, &mut byte, flags),
            Err(Errno::AGAIN)
        )
    }
}

/// The buffers of a connection, which are made once.
#[derive(Debug)]
struct Pair {
    output: Vec<u8>,
    input: Vec<u8>,
    /// What of the input is done with.
    taken: usize,
    /// What there is of the input.
    filled: usize,
    /// Whether the last look at the input took any of it.
    is_moving: bool,
}

impl Buffers for Pair {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        self.input.get(self.taken..self.filled).unwrap_or_default()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.taken > 0 {
            self.input.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        self.input.get_mut(self.filled..).unwrap_or_default()
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled = (self.filled + amount).min(self.input.len());
    }

    fn input_consume(&mut self, amount: usize) {
        self.is_moving = amount > 0;
        self.taken = (self.taken + amount).min(self.filled);
    }

    /// For the body of a request, which no question has.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let room = self.input.get_mut(self.filled..).unwrap_or_default();
        (room, &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.is_moving && self.taken < self.filled
    }
}

/// The others stay in the resolver's order: the sort is stable.
fn put_first(good: Option<SocketAddr>, found: &mut [SocketAddr]) {
    found.sort_by_key(|address| Some(*address) != good);
}

/// What is left of a call.
fn left(timeout: NextTimeout) -> Duration {
    (*timeout.after).min(LONGEST)
}

/// Makes a call that waits at a socket, until it is done or `timeout` is over. `set` is what the socket waits for at once.
fn in_slices(
    set: &mut Duration,
    timeout: NextTimeout,
    set_it: impl Fn(Duration) -> io::Result<()>,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Result<usize, Error> {
    let mut left = left(timeout);
    let deadline = Instant::now() + left;
    while !left.is_zero() {
        let limit = left.min(SLICE);
        if *set != limit {
            set_it(limit)?;
            *set = limit;
        }
        match call() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            done => return done.map_err(|error| said(error, timeout)),
        }
        left = deadline.saturating_duration_since(Instant::now());
    }
    Err(Error::Timeout(timeout.reason))
}

/// That there was no time is told by what there was none for.
fn said(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(20);

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address whose port is taken, and nobody listens.
    fn refusing() -> (rustix::fd::OwnedFd, SocketAddr) {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        (socket, address)
    }

    /// One whose queue of connections is full: it neither accepts nor refuses.
    fn deaf() -> (rustix::fd::OwnedFd, Vec<TcpStream>, SocketAddr) {
        let (socket, address) = refusing();
        rustix::net::listen(&socket, 0).unwrap();
        let dial = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
        let queue = std::iter::from_fn(|| dial().ok()).take(100).collect();
        (socket, queue, address)
    }

    fn place() -> Place {
        Place::new(HostPort::parse("localhost:80", None).unwrap())
    }

    fn within(after: Duration) -> NextTimeout {
        NextTimeout {
            after: after.into(),
            reason: Timeout::Global,
            per_read: None,
            per_write: None,
        }
    }

    fn pair() -> (Connection, TcpStream) {
        let (listener, address) = listener();
        let stream = TcpStream::connect(address).unwrap();
        (Connection::new(stream), listener.accept().unwrap().0)
    }

    fn is_open_to_the_end(connection: &mut Connection) -> bool {
        let until = Instant::now() + LONG;
        while Instant::now() < until {
            if !connection.is_open() {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    #[test]
    fn a_dead_address_leaves_time_for_the_next_which_is_the_first_from_then_on() {
        let (_listener, good) = listener();
        let (_socket, _queue, deaf) = deaf();
        let (_taken, refusing) = refusing();
        for dead in [deaf, refusing] {
            let place = place();
            let limit = Duration::from_millis(600);
            let stream = place
                .connect(&[dead, good], Instant::now() + limit)
                .unwrap();
            assert_eq!(stream.peer_addr().unwrap(), good);
            assert_eq!(*place.good(), Some(good));
        }
        let begun = Instant::now();
        let limit = Duration::from_millis(100);
        let error = place().connect(&[deaf, deaf], begun + limit).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= limit && begun.elapsed() < LONG);
    }

    #[test]
    fn the_address_that_answered_is_before_the_others() {
        let [a, b, c] = [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 80)));
        for (good, expected) in [
            (None, [a, b, c]),
            (Some(a), [a, b, c]),
            (Some(c), [c, a, b]),
            (Some(SocketAddr::from(([192, 0, 2, 4], 80))), [a, b, c]),
        ] {
            let mut found = [a, b, c];
            put_first(good, &mut found);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_kept_connection_is_open_until_the_other_side_says_or_ends_anything() {
        for end in [false, true] {
            let (mut connection, mut other) = pair();
            assert!(connection.is_open());
            other.write_all(b"answer").unwrap();
            assert!(connection.await_input(within(LONG)).unwrap());
            assert_eq!(connection.buffers.input(), b"answer");
            connection.buffers.input_consume(6);
            assert!(connection.is_open(), "put away");
            assert!(connection.is_open(), "taken out");
            match end {
                true => drop(other),
                false => other.write_all(b"more").unwrap(),
            }
            assert!(!is_open_to_the_end(&mut connection));
        }
    }

    #[test]
    fn what_is_waited_for_is_given_up_in_time_and_the_socket_is_told_once() {
        let (mut connection, _other) = pair();
        let limit = Duration::from_millis(120);
        let begun = Instant::now();
        let error = connection.await_input(within(limit)).unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::Global)), "{error}");
        assert!(begun.elapsed() >= limit && begun.elapsed() < LONG);
        assert!(begun.elapsed() < SLICE * 10, "it is not told late");

        let told = RefCell::new(Vec::new());
        let tell = |limit: Duration| {
            told.borrow_mut().push(limit.as_millis());
            Ok(())
        };
        let mut set = Duration::ZERO;
        for millis in [5000, 4999, 200, 150, 5000] {
            let timeout = within(Duration::from_millis(millis));
            assert_eq!(in_slices(&mut set, timeout, tell, || Ok(7)).unwrap(), 7);
        }
        assert_eq!(*told.borrow(), [200, 150, 200]);
        let none = in_slices(&mut set, within(Duration::ZERO), tell, || Ok(7));
        assert!(matches!(none, Err(Error::Timeout(_))));
        let mut answers = [Err(io::ErrorKind::WouldBlock.into()), Ok(7)].into_iter();
        let late = in_slices(&mut set, within(LONG), tell, || answers.next().unwrap());
        assert_eq!(late.unwrap(), 7);
    }

    #[test]
    fn a_buffer_takes_more_behind_what_is_not_done_with() {
        let (mut connection, _other) = pair();
        let buffers = &mut connection.buffers;
        for (taken, left) in [(0, "abcd"), (3, "dabcd"), (5, "abcd")] {
            buffers.input_consume(taken);
            assert_eq!(
                buffers.can_use_input(),
                taken > 0 && buffers.taken < buffers.filled
            );
            buffers.input_append_buf()[..4].copy_from_slice(b"abcd");
            buffers.input_appended(4);
            assert_eq!(buffers.input(), left.as_bytes());
        }
        assert_eq!(buffers.input_append_buf().len(), INPUT - 4);
    }
}
