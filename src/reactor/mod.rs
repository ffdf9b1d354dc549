//! Many tasks on few threads: loops that run what is ready, and a pool of threads that may wait.
//!
//! A loop (one for each processor) owns an epoll, its timers, and the tasks that were placed on it, which stay with it. It runs a
//! task when one of its sockets is ready, when its deadline has passed or when it was woken, for a bounded step. A task that has
//! to make a call that blocks says so, and its next step is on a thread of the pool; the loop goes on without it. It knows a task
//! by the trait [`Task`] alone, and nothing of what it is for.

mod event_loop;
mod loops;
mod pool;
mod run_queue;
mod shared;
mod slots;
mod task;
mod timers;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::io;
use std::sync::Arc;

pub use loops::Reactor;
pub use task::{Class, Context, Doors, Kind, Notice, Task, Wait, Waker};

use event_loop::EventLoop;

impl<T: Task> Reactor<T> {
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
}
