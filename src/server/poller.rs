//! The connections with which no worker is busy, and one thread that accepts new ones and keeps the deadlines of all.
//!
//! Owns what the kernel is asked to tell: of listeners to its own thread, of connections to the workers that lead. It reads
//! nothing but what is thrown away. Nothing here waits on a client.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use super::listener::Listener;
use super::parked::Parked;
use super::workers::Workers;
use crate::config::Cidr;
use crate::connection::{Connection, Held, Seats, Timeouts, is_trusted};
use crate::log::Peer;
use crate::metrics;
use crate::stream::{Interest, Socket};

/// Connections accepted in one turn from one listener.
const ACCEPTS: usize = 64;
/// Turns of accepting from one listener at the end: all that its queue can hold.
const LAST_TURNS: usize = 64;
/// How long accepting pauses when descriptors or memory have run out, and whatever needs a thread when there is none.
const PAUSE: Duration = Duration::from_millis(100);
/// Deadlines are looked at no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Events taken from the kernel at once: as much as one leader does soon, which is a millisecond of small requests.
const EVENTS: usize = 32;

const WAKE: u64 = u64::MAX;
const NUDGE: u64 = u64::MAX - 1;

/// What the poller allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Open connections from one source network; zero is no limit.
    pub connections_per_network: usize,
    /// Proxies, which no limit by network is for.
    pub trusted: Vec<Cidr>,
    /// Time for a new client's handshake and head.
    pub timeouts: Timeouts,
}

/// The parked connections.
pub struct Poller {
    /// Tells its own thread of listeners.
    doors: OwnedFd,
    wake: OwnedFd,
    /// Tells leaders of connections.
    epoll: OwnedFd,
    nudge: OwnedFd,
    parked: Mutex<Parked>,
    /// When deadlines are looked at next, in milliseconds since `started`.
    next_sweep: AtomicU64,
    started: Instant,
    next_id: AtomicU64,
    is_nudged: AtomicBool,
    turns: AtomicU64,
    accepting: AtomicBool,
    /// Whether nobody may be between two requests any more.
    draining: AtomicBool,
    /// Whether the last attempt to accept found nothing left to accept with.
    exhausted: AtomicBool,
    seats: Arc<Seats>,
    held: Arc<Held>,
    limits: Limits,
}

impl Poller {
    /// Makes the poller; [`Poller::run`] is its thread.
    pub fn new(seats: Arc<Seats>, limits: Limits) -> io::Result<Arc<Poller>> {
        let doors = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&doors, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let parked = Parked::default();
        let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &nudge, EventData::new_u64(NUDGE), EventFlags::IN)?;
        Ok(Arc::new(Poller {
            doors,
            wake,
            epoll,
            nudge,
            held: Arc::clone(parked.held()),
            parked: Mutex::new(parked),
            next_sweep: AtomicU64::new(u64::MAX),
            started: Instant::now(),
            next_id: AtomicU64::new(0),
            accepting: AtomicBool::new(true),
            is_nudged: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            seats,
            limits,
        }))
    }

    /// Keeps a connection until its socket can do `interest`, or until its deadline.
    pub fn park(&self, connection: Box<Connection>, interest: Interest) {
        if let Some(unwatched) = self.keep(connection, interest_flags(interest), None) {
            unwatched.close();
        }
    }

    /// Keeps a connection until the backend that has its request speaks, the client is gone, or the deadline. Gives it back
    /// where the kernel cannot tell of that.
    #[must_use]
    pub fn park_served(&self, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let backend = connection.awaited();
        // The kernel tells of a socket that is torn down whatever it is asked for.
        self.keep(connection, EventFlags::empty(), backend)
    }

    fn keep(
        &self,
        mut connection: Box<Connection>,
        flags: EventFlags,
        backend: Option<(Socket, bool)>,
    ) -> Option<Box<Connection>> {
        let id = connection.id;
        let was_registered = std::mem::replace(&mut connection.is_registered, true);
        let socket = connection.stream().socket().clone();
        // In the table before it is armed: the event may come at once, and finds it there.
        let mut parked = self.lock();
        if self.draining.load(Ordering::Acquire) && connection.awaits_request() {
            drop(parked);
            return Some(connection);
        }
        if !self.accepting.load(Ordering::Acquire) {
            connection.hurry();
        }
        let pause = connection.paused_until();
        let due = self.millis(pause.map_or(connection.deadline(), |until| {
            until.min(connection.deadline())
        }));
        let leavers = parked.insert(connection);
        let armed = match pause {
            // It is armed when it goes on. (One that is new here is not held back this once.)
            Some(_) if was_registered => Ok(()),
            _ => self.arm(&socket, id, flags, was_registered),
        };
        let armed = armed.and_then(|()| match backend {
            Some((backend, was_registered)) => {
                self.arm(&backend, id, interest_flags(Interest::Read), was_registered)
            }
            None => Ok(()),
        });
        let unwatched = armed.err().and_then(|error| {
            ::log::warn!("a connection cannot be watched: {error}");
            parked.remove(id)
        });
        drop(parked);
        drop(leavers);
        if due < self.next_sweep.fetch_min(due, Ordering::AcqRel) {
            self.wake();
        }
        unwatched
    }

    /// Connections for which nobody does anything.
    pub fn parked(&self) -> usize {
        self.lock().resting()
    }

    /// Waits up to `patience` for connections that can go on, and says whether these are all.
    #[allow(clippy::vec_box)] // They stay where they are, and only change hands.
    pub fn harvest(&self, patience: Duration) -> (Vec<Box<Connection>>, bool) {
        let mut events = Vec::with_capacity(EVENTS);
        let patience = Timespec::try_from(patience).ok();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => ::log::error!("epoll: {error}"),
        }
        let mut ready = Vec::with_capacity(events.len());
        let mut discarding = Vec::new();
        let mut parked = self.lock();
        for event in &events {
            match event.data.u64() {
                NUDGE => {
                    clear(&self.nudge);
                    self.turns.fetch_add(1, Ordering::Relaxed);
                }
                id => match parked.remove(id) {
                    Some(connection) if connection.is_discarding() => discarding.push(connection),
                    connection => ready.extend(connection),
                },
            }
        }
        drop(parked);
        for mut connection in discarding {
            if connection.discard() {
                self.park(connection, Interest::Read);
            }
        }
        (ready, events.len() < EVENTS)
    }

    /// Lets no new client in. Those that are here may come with another request.
    pub fn stop_accepting(&self) {
        self.accepting.store(false, Ordering::Release);
        self.lock().hurry();
        // The deadlines are others now.
        self.next_sweep.store(0, Ordering::Release);
        self.wake();
    }

    /// Closes what waits between two requests, now and from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        let awaiting = self.lock().split(Connection::awaits_request);
        awaiting
            .into_iter()
            .for_each(|connection| connection.close());
    }

    /// The poller's thread. `listeners` are closed when no new client is to come, and `open` is dropped
    /// when that is done. Never returns.
    pub fn run(&self, mut listeners: Vec<Listener>, workers: &Arc<Workers>, open: Sender<()>) {
        let mut open = Some(open);
        for (token, listener) in (0..).zip(&listeners) {
            let data = EventData::new_u64(token);
            if let Err(error) = epoll::add(&self.doors, listener, data, EventFlags::IN) {
                ::log::error!("{listener} cannot be watched: {error}");
            }
        }
        let mut paused_until: Option<Instant> = None;
        let mut has_leader = true;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(
                &self.doors,
                spare_capacity(&mut events),
                self.patience(paused_until, has_leader).as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => ::log::error!("epoll: {error}"),
            }
            if !self.accepting.load(Ordering::Acquire)
                && let Some(_dropped_at_the_end) = open.take()
            {
                self.accept_the_last(&listeners);
                listeners.clear();
            }
            let mut exhausted = false;
            for event in &events {
                match event.data.u64() {
                    WAKE => clear(&self.wake),
                    token => {
                        if let Some(listener) =
                            usize::try_from(token).ok().and_then(|at| listeners.get(at))
                        {
                            exhausted |= self.accept(listener);
                        }
                    }
                }
            }
            if exhausted && paused_until.is_none() {
                paused_until = Some(Instant::now() + PAUSE);
                self.listen_to(&listeners, EventFlags::empty());
            }
            if paused_until.is_some_and(|until| until <= Instant::now()) {
                paused_until = None;
                self.listen_to(&listeners, EventFlags::IN);
            }
            if self.next_sweep.load(Ordering::Acquire) <= self.millis(Instant::now()) {
                self.sweep(workers);
            }
            has_leader = workers.have_a_leader();
            if self.is_nudged.swap(false, Ordering::AcqRel) {
                match has_leader {
                    true => self.call(),
                    // All threads that could be made are at work, which is no sign of death.
                    false => drop(self.turns.fetch_add(1, Ordering::Relaxed)),
                }
            }
        }
    }

    /// Accepts who is in a queue that ends with its listener: they have connected, and their requests are on their way.
    fn accept_the_last(&self, listeners: &[Listener]) {
        for listener in listeners.iter().filter(|one| !one.is_handed_over()) {
            for _ in 0..LAST_TURNS {
                if self.accept(listener) {
                    break;
                }
            }
        }
    }

    /// Accepts what waits. `true` when there is nothing left to accept with.
    fn accept(&self, listener: &Listener) -> bool {
        for _ in 0..ACCEPTS {
            let accepted = match listener.accept() {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return false,
                // The client's fault, or a signal: the next one may be fine.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::PERM) => continue,
                Err(error) => {
                    if !self.exhausted.swap(true, Ordering::Relaxed) {
                        ::log::error!("accepting pauses: {error}");
                    }
                    return true;
                }
            };
            if self.exhausted.swap(false, Ordering::Relaxed) {
                ::log::info!("accepting goes on");
            }
            let Some((stream, peer)) = accepted else {
                continue;
            };
            let counted = match peer {
                Peer::Address(address) if !is_trusted(&self.limits.trusted, address) => {
                    Some(address)
                }
                // Many clients come through it.
                Peer::Address(_) | Peer::Unix => None,
            };
            let most = self.limits.connections_per_network;
            let Some(seat) = self.seats.take(counted, most) else {
                continue;
            };
            if self.seats.taken() > self.limits.connections && !self.make_room() {
                // Everybody is busy; this one cannot be served.
                continue;
            }
            metrics::CONNECTIONS.one();
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let is_tls = listener.is_tls();
            let (held, timeouts) = (self.held.share(), &self.limits.timeouts);
            let connection = Connection::new(id, stream, peer, is_tls, seat, held, timeouts);
            self.park(Box::new(connection), Interest::Read);
        }
        false
    }

    /// Closes one parked connection, if there is one that has to leave for others.
    fn make_room(&self) -> bool {
        let mut parked = self.lock();
        let Some(leaver) = parked.first_to_leave().and_then(|id| parked.remove(id)) else {
            return false;
        };
        drop(parked);
        leaver.close();
        true
    }

    /// Closes what is past its deadline, and finds the next deadline.
    fn sweep(&self, workers: &Arc<Workers>) {
        let now = Instant::now();
        self.next_sweep.store(u64::MAX, Ordering::Release);
        let (late, rested, next) = {
            let mut parked = self.lock();
            let late = parked.split(|one| one.deadline() <= now);
            let rested = parked.rested(now);
            (late, rested, parked.next_deadline())
        };
        let (served, late): (Vec<_>, Vec<_>) = late.into_iter().partition(|one| one.is_served());
        late.into_iter().for_each(|connection| connection.close());
        // The backend has been silent for too long, which the client is to be told.
        rested
            .into_iter()
            .chain(served)
            .for_each(|connection| workers.submit(connection));
        if let Some(next) = next {
            let due = self.millis(next.max(now + SWEEP_EVERY));
            self.next_sweep.fetch_min(due, Ordering::AcqRel);
        }
    }

    fn arm(&self, fd: &impl AsFd, id: u64, flags: EventFlags, again: bool) -> io::Result<()> {
        let flags = EventFlags::ONESHOT | flags;
        let armed = match again {
            true => epoll::modify(&self.epoll, fd, EventData::new_u64(id), flags),
            false => epoll::add(&self.epoll, fd, EventData::new_u64(id), flags),
        };
        armed.map_err(Into::into)
    }

    /// Begins, or ends, to be told of clients at these addresses.
    fn listen_to(&self, listeners: &[Listener], flags: EventFlags) {
        for (token, listener) in (0..).zip(listeners) {
            if let Err(error) =
                epoll::modify(&self.doors, listener, EventData::new_u64(token), flags)
            {
                ::log::error!("{listener} cannot be watched: {error}");
            }
        }
    }

    /// How long the kernel may wait for events; `None` is for ever.
    fn patience(&self, paused_until: Option<Instant>, has_leader: bool) -> Option<Timespec> {
        if !has_leader {
            return Timespec::try_from(PAUSE).ok();
        }
        let now = self.millis(Instant::now());
        let sweep = self.next_sweep.load(Ordering::Acquire);
        let until = paused_until.map_or(sweep, |until| sweep.min(self.millis(until)));
        if until == u64::MAX {
            return None;
        }
        // A millisecond more, so that the deadline has surely passed.
        Timespec::try_from(Duration::from_millis(until.saturating_sub(now) + 1)).ok()
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Makes it go round once more.
    pub fn wake(&self) {
        ring(&self.wake);
    }

    /// Has a leader that waits in [`harvest`](Self::harvest) return.
    pub fn call(&self) {
        ring(&self.nudge);
    }

    /// Has its thread and a leader show, by another of its [`turns`](Self::turns), that they go round.
    pub fn nudge(&self) {
        self.is_nudged.store(true, Ordering::Release);
        self.wake();
    }

    /// How often it has gone round after a nudge; one that was nudged and stays at the same number hangs.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interest_flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Read => EventFlags::IN | EventFlags::RDHUP,
        Interest::Write => EventFlags::OUT,
    }
}

fn ring(event: &OwnedFd) {
    let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
}

fn clear(event: &OwnedFd) {
    let mut count = [0; 8];
    let _ = rustix::io::read(event, &mut count);
}
