//! What all may touch of a loop: its inbox, and what it says of itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use super::task::{Notice, Task, Wait, Wakes};
use crate::lock::EvenIfPoisoned;
use crate::stream::Poll;

/// What others put to a loop.
pub(super) enum Message<T> {
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
pub(super) struct Shared<T> {
    pub(super) itself: std::sync::Weak<Shared<T>>,
    pub(super) poll: Arc<Poll>,
    pub(super) inbox: Mutex<Vec<Message<T>>>,
    /// The tasks that are placed on it.
    pub(super) load: AtomicUsize,
    /// How often it went round.
    pub(super) turns: AtomicUsize,
}

impl<T: Task> Shared<T> {
    pub(super) fn post(&self, message: Message<T>) {
        let mut inbox = self.inbox.lock().even_if_poisoned();
        let was_empty = inbox.is_empty();
        inbox.push(message);
        drop(inbox);
        if was_empty {
            self.poll.wake();
        }
    }

    pub(super) fn take_messages(&self) -> Vec<Message<T>> {
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

impl<T> Shared<T> {
    pub(super) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }
}
