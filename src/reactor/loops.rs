//! All loops and the pool, as each of them sees the others.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use super::pool::Pool;
use super::shared::{Message, Shared};
use super::task::{Notice, Task};
use crate::stream::Poll;

/// Whether it was said that accepting pauses.
#[derive(Default)]
pub(super) struct Exhaustion {
    is_said: AtomicBool,
    /// So that what two loops find out is said in the order in which it was found.
    saying: Mutex<()>,
}

impl Exhaustion {
    pub(super) fn is_there(&self, error: Errno) {
        let _saying = self.saying.lock();
        if !self.is_said.swap(true, Ordering::Relaxed) {
            ::log::error!("accepting pauses: {error}");
        }
    }

    pub(super) fn is_over(&self) {
        if !self.is_said.load(Ordering::Relaxed) {
            return;
        }
        let _saying = self.saying.lock();
        if self.is_said.swap(false, Ordering::Relaxed) {
            ::log::info!("accepting goes on");
        }
    }
}

/// All loops and the pool.
pub struct Reactor<T> {
    pub(super) loops: Vec<Arc<Shared<T>>>,
    pub(super) pool: Arc<Pool<T>>,
    pub(super) exhaustion: Exhaustion,
}

impl<T: Task> Reactor<T> {
    /// So many loops, and a pool of at most `threads` threads.
    ///
    /// # Errors
    /// No descriptors or threads are left.
    pub fn new(loops: usize, threads: usize) -> io::Result<Arc<Reactor<T>>> {
        let mut shared = Vec::with_capacity(loops);
        for _ in 0..loops.max(1) {
            let poll = Arc::new(Poll::new()?);
            shared.push(Arc::new_cyclic(|itself| Shared {
                itself: std::sync::Weak::clone(itself),
                poll,
                inbox: Mutex::default(),
                load: AtomicUsize::new(0),
                turns: AtomicUsize::new(0),
            }));
        }
        Ok(Arc::new(Reactor {
            loops: shared,
            pool: Pool::new(threads),
            exhaustion: Exhaustion::default(),
        }))
    }

    /// The numbers of the loops go from 0 to one less than this.
    pub fn loops(&self) -> usize {
        self.loops.len()
    }

    /// Tasks there are.
    pub fn tasks(&self) -> usize {
        self.loads().iter().sum()
    }

    /// Tasks there are on each loop.
    pub fn loads(&self) -> Vec<usize> {
        let loads = self
            .loops
            .iter()
            .map(|one| one.load.load(Ordering::Relaxed));
        loads.collect()
    }

    /// Threads that the pool may have.
    pub fn threads(&self) -> usize {
        self.pool.most()
    }

    /// Threads of the pool that are at work, and steps that wait for one.
    pub fn blocking(&self) -> (usize, usize) {
        self.pool.busy()
    }

    /// Tells all tasks.
    pub fn tell_all(&self, notice: Notice) {
        for one in &self.loops {
            one.post(Message::TellAll(notice));
        }
    }

    /// Takes no new tasks but those that have come already; returns when that is done.
    pub fn close(&self) {
        let (open, closed) = std::sync::mpsc::channel();
        for one in &self.loops {
            one.post(Message::Close(open.clone()));
        }
        drop(open);
        let _ = closed.recv();
    }

    /// Whether every loop goes round within `limit`.
    pub fn is_alive(&self, limit: Duration) -> bool {
        let before: Vec<_> = self.loops.iter().map(|one| one.turns()).collect();
        self.loops.iter().for_each(|one| one.poll.wake());
        std::thread::sleep(limit);
        let turned = |(one, before): (&Arc<Shared<T>>, &usize)| one.turns() != *before;
        self.loops.iter().zip(&before).all(turned)
    }

    /// The loop that has the fewest tasks.
    pub(super) fn least_loaded(&self) -> Option<&Arc<Shared<T>>> {
        let load = |one: &&Arc<Shared<T>>| one.load.load(Ordering::Relaxed);
        self.loops.iter().min_by_key(load)
    }
}
