//! The kernel's reports on many sockets at once (`epoll`).
//!
//! Owns the epoll and the table of the sockets that are registered in it. Each socket is registered once, edge-triggered, for
//! everything; what is reported sets bits in its [`Readiness`] and names its owner, an opaque key. Listeners are
//! level-triggered and shared between several of these. It must not know what an owner is.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use super::readiness::{ENDED, NOBODY, READ, Readiness, TORN, URGENT, WRITE};

use crate::lock::EvenIfPoisoned;

/// Reports taken at once.
const EVENTS: usize = 256;
/// The generation of what is no socket: listeners, by their number, and the wake-up.
const SPECIAL: u64 = u32::MAX as u64;
/// What is reported of a socket: everything, once each time.
const OF_SOCKETS: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);
/// The number of the wake-up among these.
const WAKE: u32 = u32::MAX;

/// What there is to do after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Something has changed for the owner with this key.
    Owner(u64),
    /// Clients wait at the listener with this number.
    Listener(usize),
}

/// Room for what the kernel reports at once, used again and again.
pub struct Events(Vec<Event>);

impl Default for Events {
    fn default() -> Events {
        Events(Vec::with_capacity(EVENTS))
    }
}

/// An epoll, with what is registered in it.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
    wake: OwnedFd,
    sources: Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    slots: Vec<Source>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Source {
    /// Counts the sockets that had this slot, so that a report for an earlier one is known as that.
    generation: u32,
    readiness: Option<Arc<Readiness>>,
}

/// A socket's place in a [`Poll`].
#[derive(Debug)]
pub(super) struct Registration {
    poll: Arc<Poll>,
    index: u32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut sources = self.poll.sources();
        let Some(source) = sources.slots.get_mut(self.index as usize) else {
            return;
        };
        source.readiness = None;
        source.generation = source.generation.wrapping_add(1) % u32::MAX;
        sources.free.push(self.index);
    }
}

impl Registration {
    pub(super) fn is_in(&self, poll: &Arc<Poll>) -> bool {
        Arc::ptr_eq(&self.poll, poll)
    }

    /// Has everything that the socket can do now be reported once more, if that is possible.
    pub(super) fn report_again(&self, fd: &impl AsFd) -> bool {
        let sources = self.poll.sources();
        sources
            .slots
            .get(self.index as usize)
            .is_some_and(|source| {
                epoll::modify(&self.poll.epoll, fd, source.data(self.index), OF_SOCKETS).is_ok()
            })
    }
}

impl Poll {
    /// With nothing registered.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new() -> io::Result<Poll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &wake, special(WAKE), flags)?;
        Ok(Poll {
            epoll,
            wake,
            sources: Mutex::default(),
        })
    }

    /// Has the next [`wait`](Self::wait), or the one under way, return.
    pub fn wake(&self) {
        // It only fails when it is rung already, four billion times.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits up to `limit` (`None`: for ever) for something to happen, and adds to `reports` what did.
    pub fn wait(&self, limit: Option<Duration>, events: &mut Events, reports: &mut Vec<Report>) {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let Events(events) = events;
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                ::log::error!("epoll: {error}");
                return;
            }
        }
        let sources = self.sources();
        for event in events.iter() {
            let data = event.data.u64();
            let number = (data & u64::from(u32::MAX)) as u32;
            if data >> 32 != SPECIAL {
                reports.extend(sources.note(number, (data >> 32) as u32, event.flags));
            } else if number != WAKE {
                reports.push(Report::Listener(number as usize));
            }
        }
    }

    /// Reports on a listener under this number, as one of several that may take its clients.
    ///
    /// # Errors
    /// Those of `epoll_ctl`.
    pub fn add_listener(&self, listener: &impl AsFd, number: usize) -> io::Result<()> {
        let number = u32::try_from(number).map_err(io::Error::other)?;
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, listener, special(number), flags)?)
    }

    /// No longer reports on a listener.
    pub fn remove_listener(&self, listener: &impl AsFd) {
        let _ = epoll::delete(&self.epoll, listener);
    }

    pub(super) fn register(
        self: &Arc<Poll>,
        fd: &impl AsFd,
        readiness: &Arc<Readiness>,
    ) -> io::Result<Registration> {
        let mut sources = self.sources();
        let index = match sources.free.pop() {
            Some(index) => index,
            None => {
                sources.slots.push(Source::default());
                u32::try_from(sources.slots.len() - 1).map_err(io::Error::other)?
            }
        };
        let Some(source) = sources.slots.get_mut(index as usize) else {
            return Err(io::Error::other("no such place"));
        };
        source.readiness = Some(Arc::clone(readiness));
        let data = source.data(index);
        drop(sources);
        let registration = Registration {
            poll: Arc::clone(self),
            index,
        };
        epoll::add(&self.epoll, fd, data, OF_SOCKETS)?;
        Ok(registration)
    }

    /// How many sockets are registered.
    pub fn len(&self) -> usize {
        let sources = self.sources();
        sources.slots.len() - sources.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().even_if_poisoned()
    }
}

impl Source {
    fn data(&self, index: u32) -> EventData {
        EventData::new_u64(u64::from(self.generation) << 32 | u64::from(index))
    }
}

impl Sources {
    fn note(&self, index: u32, generation: u32, flags: EventFlags) -> Option<Report> {
        let source = self.slots.get(index as usize)?;
        let readiness = source.readiness.as_ref()?;
        if source.generation != generation {
            return None;
        }
        readiness.set(bits(flags));
        let owner = readiness.owner();
        (owner != NOBODY).then_some(Report::Owner(owner))
    }
}

fn special(number: u32) -> EventData {
    EventData::new_u64(SPECIAL << 32 | u64::from(number))
}

fn bits(flags: EventFlags) -> u8 {
    [
        (EventFlags::IN, READ),
        (EventFlags::OUT, WRITE),
        (EventFlags::RDHUP, ENDED | READ),
        (EventFlags::PRI, URGENT | READ),
        (EventFlags::HUP, TORN | ENDED | READ | WRITE),
        (EventFlags::ERR, TORN | ENDED | READ | WRITE),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(0, |bits, (_, bit)| bits | bit)
}
