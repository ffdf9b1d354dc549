//! Many tasks on few threads: loops that run what is ready, and a pool of threads that may wait.
//!
//! A loop (one for each processor) owns an epoll, its timers, and the tasks that were placed on it, which stay with it. It runs a
//! task when one of its sockets is ready, when its deadline has passed or when it was woken, for a bounded step. A task that has
//! to make a call that blocks says so, and its next step is on a thread of the pool; the loop goes on without it. It knows a task
//! by the trait [`Task`] alone, and nothing of what it is for.

mod event_loop;
mod pool;
mod run_queue;
mod slots;
mod timers;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use crate::lock::EvenIfPoisoned;
use crate::stream::Poll;
use event_loop::EventLoop;
pub use pool::Kind;
use pool::Pool;
use rustix::io::Errno;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Work that goes on for a while, in steps, such as a client's connection.
pub trait Task: Send + 'static {
    /// Goes on as far as it can without waiting, for a few milliseconds at most.
    fn run(&mut self, cx: &mut Context<'_>) -> Wait;

    /// When it is to be run again though nothing has happened. Looked at after each step.
    fn deadline(&self) -> Instant;

    /// How its next step stands beside those of others.
    fn class(&self) -> Class;

    /// Is told something between two steps, and run after it.
    fn notice(&mut self, notice: Notice, now: Instant);
}

/// What a task needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// To be run when one of its sockets is ready, when it is woken, or at its deadline.
    Event,
    /// To be run again after others.
    Again,
    /// To be run on a thread that may wait, for a call of this kind.
    Thread(Kind),
    /// Nothing: it is over.
    Done,
}

impl Wait {
    /// Until a peer moves, unless a read of what it sent may find more: what a step that ended early has left is told of by
    /// nobody.
    pub fn unless(may_have_more: bool) -> Wait {
        match may_have_more {
            true => Wait::Again,
            false => Wait::Event,
        }
    }
}

/// Whose step goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// That of somebody who was let in before.
    Known,
    /// That of somebody who was not.
    Stranger,
}

/// What tasks are told by those who start and stop the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is to be room for others: it has to end.
    Leave,
    /// No new task will come, and those that are here should come to their end soon.
    Hurry,
    /// Whoever is between two requests has to end.
    Drain,
}

/// Where new tasks come from.
pub trait Doors<T>: Send + Sync + 'static {
    /// The listeners that a loop is to watch.
    fn watch(&self, poll: &Poll);

    /// Watches them no longer.
    fn leave(&self, poll: &Poll);

    /// The next client at listener `number`. `None` where there is nothing to be done for it.
    ///
    /// # Errors
    /// Those of `accept`.
    fn accept(&self, number: usize) -> rustix::io::Result<Option<Box<T>>>;

    /// Whether clients in the queues of these listeners are lost when they are closed.
    fn end_with_us(&self) -> Vec<usize>;
}

/// What a step has at hand.
pub struct Context<'a> {
    /// The time at which the step began.
    pub now: Instant,
    /// Where the task's sockets are reported on.
    pub poll: &'a Arc<Poll>,
    /// The task, as `poll` knows it.
    pub key: u64,
    /// The number of its loop.
    pub loop_number: usize,
    /// What this thread may wait for, if it is one of the pool.
    may_block: Option<Kind>,
    handle: &'a dyn Wakes,
}

impl Context<'_> {
    /// The same after a call that has taken its time.
    pub fn later(&self) -> Context<'_> {
        Context {
            now: Instant::now(),
            ..*self
        }
    }

    /// Whether this step may make a call of `kind` that blocks. Where it may not, [`Wait::Thread`] has it run where it may.
    pub fn may_block(&self, kind: Kind) -> bool {
        self.may_block == Some(kind)
    }

    /// What runs this task again, from any thread.
    pub fn waker(&self) -> Waker {
        Waker {
            shared: self.handle.share(),
            key: self.key,
        }
    }
}

/// Runs one task again. Of no effect once it is over. Never runs it itself, so it may be called in the midst of anything.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<dyn Wakes>,
    key: u64,
}

impl Waker {
    /// Has the task run soon.
    pub fn wake(&self) {
        self.shared.wake_up(self.key);
    }

    /// Has the task leave.
    pub fn evict(&self) {
        self.shared.evict(self.key);
    }
}

impl std::task::Wake for Waker {
    fn wake(self: Arc<Self>) {
        Waker::wake(&self);
    }
}

/// The part of a loop that does not depend on what its tasks are.
trait Wakes: Send + Sync {
    fn wake_up(&self, key: u64);
    fn evict(&self, key: u64);
    fn share(&self) -> Arc<dyn Wakes>;
}

/// What others put to a loop.
enum Message<T> {
    /// A task to be run here from now on.
    New(Box<T>),
    /// A task that comes back from the pool, and what it needs next; `None` where it is no more.
    Back(u64, Option<(Box<T>, Wait)>),
    /// To be run soon.
    Run(u64),
    /// To be told of something.
    Tell(u64, Notice),
    /// All are to be told of something.
    TellAll(Notice),
    /// No new tasks come; the sender is dropped when nothing is accepted any more.
    Close(Sender<()>),
}

/// What all may touch of a loop.
struct Shared<T> {
    itself: std::sync::Weak<Shared<T>>,
    poll: Arc<Poll>,
    inbox: Mutex<Vec<Message<T>>>,
    /// The tasks that are placed on it.
    load: AtomicUsize,
    /// How often it went round.
    turns: AtomicUsize,
}

impl<T: Task> Shared<T> {
    fn post(&self, message: Message<T>) {
        let mut inbox = self.inbox.lock().even_if_poisoned();
        let was_empty = inbox.is_empty();
        inbox.push(message);
        drop(inbox);
        if was_empty {
            self.poll.wake();
        }
    }

    fn take_messages(&self) -> Vec<Message<T>> {
        std::mem::take(&mut *self.inbox.lock().even_if_poisoned())
    }
}

impl<T: Task> Wakes for Shared<T> {
    fn wake_up(&self, key: u64) {
        self.post(Message::Run(key));
    }

    fn evict(&self, key: u64) {
        self.post(Message::Tell(key, Notice::Leave));
    }

    fn share(&self) -> Arc<dyn Wakes> {
        match self.itself.upgrade() {
            Some(shared) => shared,
            // It is called by a loop, which holds one.
            None => unreachable!("a loop without itself"),
        }
    }
}

/// Whether it was said that accepting pauses.
#[derive(Default)]
struct Exhaustion {
    is_said: AtomicBool,
    /// So that what two loops find out is said in the order in which it was found.
    saying: Mutex<()>,
}

impl Exhaustion {
    fn is_there(&self, error: Errno) {
        let _saying = self.saying.lock();
        if !self.is_said.swap(true, Ordering::Relaxed) {
            ::log::error!("accepting pauses: {error}");
        }
    }

    fn is_over(&self) {
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
    loops: Vec<Arc<Shared<T>>>,
    pool: Arc<Pool<T>>,
    exhaustion: Exhaustion,
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

    /// Starts the loops, which take new tasks from `doors` until [`close`](Self::close) and never end.
    ///
    /// # Errors
    /// No threads are left.
    pub fn start(self: &Arc<Self>, doors: Arc<dyn Doors<T>>) -> io::Result<()> {
        self.pool.start()?;
        for number in 0..self.loops.len() {
            let (reactor, doors) = (Arc::clone(self), Arc::clone(&doors));
            std::thread::Builder::new()
                .name(format!("loop-{number}"))
                .spawn(move || EventLoop::new(reactor, number, doors).run())?;
        }
        Ok(())
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
    fn least_loaded(&self) -> Option<&Arc<Shared<T>>> {
        let load = |one: &&Arc<Shared<T>>| one.load.load(Ordering::Relaxed);
        self.loops.iter().min_by_key(load)
    }
}

impl<T> Shared<T> {
    fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }
}
