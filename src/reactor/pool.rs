//! The threads that may wait.
//!
//! Owns how many there are and which step is next. Each kind of call has its bound, and the bounds leave threads for name
//! look-ups, since calls wait for those. A step that finds no thread free waits in a queue, and holds none.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::shared::{Message, Shared};
use super::task::{Context, Kind, Task};

use crate::lock::EvenIfPoisoned;

/// Threads that name look-ups have for themselves, where there are enough.
const LOOKUPS: usize = 4;
/// A thread without work ends after this, so that a quiet gate is a small one.
const IDLE_THREAD: Duration = Duration::from_secs(20);
/// Enough for a handshake, bcrypt and a relay in a debug build; untouched pages cost nothing.
const STACK: usize = 512 * 1024;

/// The pool.
pub(super) struct Pool<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    most: usize,
}

struct State<T> {
    queues: [Queue<T>; Kind::ALL.len()],
    threads: usize,
    idle: usize,
}

struct Queue<T> {
    waiting: VecDeque<Job<T>>,
    running: usize,
    most: usize,
}

/// A step of a task.
pub(super) struct Job<T> {
    pub(super) kind: Kind,
    pub(super) task: Box<T>,
    pub(super) key: u64,
    pub(super) home: Arc<Shared<T>>,
    pub(super) loop_number: usize,
}

impl<T: Task> Pool<T> {
    pub(super) fn new(most: usize) -> Arc<Pool<T>> {
        let most = most.max(2);
        let processors = crate::processors::count();
        let queue = |kind| Queue {
            waiting: VecDeque::new(),
            running: 0,
            most: match kind {
                Kind::Lookup => LOOKUPS.min(most),
                Kind::Handshake => processors.min(most),
                // The rest, but at least one.
                Kind::Check => most.saturating_sub(LOOKUPS).max(1),
            },
        };
        Arc::new(Pool {
            state: Mutex::new(State {
                queues: Kind::ALL.map(queue),
                threads: 0,
                idle: 0,
            }),
            ready: Condvar::new(),
            most,
        })
    }

    /// Starts the first thread, so that there is one whatever the system says later.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        self.lock().threads += 1;
        self.spawn()
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Threads at work, and steps that wait for one.
    pub(super) fn busy(&self) -> (usize, usize) {
        let state = self.lock();
        let waiting = state.queues.iter().map(|queue| queue.waiting.len()).sum();
        (state.threads - state.idle, waiting)
    }

    /// Has a step made by a thread that may wait.
    pub(super) fn submit(self: &Arc<Self>, job: Job<T>) {
        let mut state = self.lock();
        if let Some(queue) = state.queues.get_mut(job.kind.place()) {
            queue.waiting.push_back(job);
        }
        // One that is idle may have been called for another step already.
        if state.startable() <= state.idle {
            drop(state);
            self.ready.notify_one();
        } else if state.threads < self.most {
            state.threads += 1;
            drop(state);
            if let Err(error) = self.spawn() {
                let mut state = self.lock();
                state.threads -= 1;
                let threads = state.threads;
                drop(state);
                ::log::warn!("no thread for another worker: {error}; going on with {threads}");
            }
        }
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        std::thread::Builder::new()
            .name("worker".into())
            .stack_size(STACK)
            .spawn(move || pool.work())
            .map(drop)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let kind = job.kind;
            job.run();
            if let Some(queue) = self.lock().queues.get_mut(kind.place()) {
                queue.running -= 1;
            }
        }
    }

    /// The next step; `None` when this thread has been idle for long.
    fn next(&self) -> Option<Job<T>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            state.idle += 1;
            let (woken, timeout) = self
                .ready
                .wait_timeout(state, IDLE_THREAD)
                .even_if_poisoned();
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.is_quiet() && state.threads > 1 {
                state.threads -= 1;
                return None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().even_if_poisoned()
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<Job<T>> {
        let mut queues = self.queues.iter_mut();
        let queue = queues.find(|queue| queue.running < queue.most && !queue.waiting.is_empty())?;
        queue.running += 1;
        queue.waiting.pop_front()
    }

    /// Steps that wait for nothing but a thread.
    fn startable(&self) -> usize {
        let of = |queue: &Queue<T>| queue.waiting.len().min(queue.most - queue.running);
        self.queues.iter().map(of).sum()
    }

    fn is_quiet(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }
}

impl<T: Task> Job<T> {
    fn run(self) {
        let Job {
            kind,
            mut task,
            key,
            home,
            loop_number,
        } = self;
        let mut cx = Context {
            now: Instant::now(),
            poll: &home.poll,
            key,
            loop_number,
            may_block: Some(kind),
            handle: &*home,
        };
        // A bug costs one task: unwinding drops it, and this thread goes on.
        let ran = catch_unwind(AssertUnwindSafe(move || {
            let wait = task.run(&mut cx);
            (task, wait)
        }));
        home.post(Message::Back(key, ran.ok()));
    }
}
