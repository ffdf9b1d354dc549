//! What a task is to a loop, and what a step of it has at hand.

use std::sync::Arc;
use std::time::Instant;

use crate::stream::Poll;

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
    /// What may be done by whom is not as it was.
    Revised,
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
    pub(super) may_block: Option<Kind>,
    pub(super) handle: &'a dyn Wakes,
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
pub(super) trait Wakes: Send + Sync {
    fn wake_up(&self, key: u64);
    fn evict(&self, key: u64);
    fn share(&self) -> Arc<dyn Wakes>;
}

/// What a thread of the pool is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A check of credentials: a hash, or a call of the API.
    Check,
    /// A name look-up.
    Lookup,
    /// A handshake whose private key takes long.
    Handshake,
}

impl Kind {
    /// The order in which they are looked at, which is that of their need: what others wait for first.
    pub(super) const ALL: [Kind; 3] = [Kind::Lookup, Kind::Handshake, Kind::Check];
}

impl Kind {
    pub(super) fn place(self) -> usize {
        Kind::ALL.iter().position(|kind| *kind == self).unwrap_or(0)
    }
}
