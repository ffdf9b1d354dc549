//! The bounded pool of blocking threads.
//!
//! Owns who works on what: short steps of connections (a piece of a handshake or of a head, the
//! decision whether a request may pass) and requests, which may wait for either side. Requests in
//! flight are bounded, and only what may pass ever has or awaits a place among them: whoever is
//! not let in takes none from those who are. Steps have threads of their own beyond that bound, so
//! that a full house can still say no, or that it is full.
//!
//! One thread leads: it watches the connections that wait in the poller and does itself what they need, so that a small request
//! costs nobody a wake-up. Before it waits for one of them it hands the lead over. Others lead beside it only while there is
//! more to do than it gets done, for half of the processors at most: the kernel and the backend need some too.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::poller::Poller;
use super::queues::{Job, Queues};
use crate::connection::{Admitted, Connection, Service, Step};
use crate::leader::{lead, leads, stand_back, step_down};
use crate::stream::Interest;

/// Threads beyond the bound on requests, which lead, serve steps and shake hands while all others carry requests: so many at
/// least.
const SPARE: usize = 2;
/// Requests of one connection, one behind the other, before others have their turn.
const MOST_ROUNDS: usize = 16;
/// What a leader does before it looks who else is ready.
const MOST_UNSEEN: usize = 32;
/// A thread without work ends after this, so that a quiet gate is a small one.
const IDLE_THREAD: Duration = Duration::from_secs(20);
/// Enough for a handshake, bcrypt and a relay in a debug build; untouched pages cost nothing.
const STACK: usize = 512 * 1024;

/// The pool.
pub struct Workers {
    state: Mutex<State>,
    ready: Condvar,
    service: Arc<Service>,
    poller: Arc<Poller>,
    most_threads: usize,
    most_leaders: usize,
    /// Handshakes that go on beside a leader; what is more it does itself, between what is known.
    most_shaking: usize,
}

struct State {
    queues: Queues,
    threads: usize,
    /// Those that wait for something to do.
    idle: usize,
    /// Those that watch the poller, or do what it told them of.
    leaders: usize,
    /// Another one is to lead beside them.
    needs_help: bool,
    /// Nobody leads, because there was no thread to be had.
    lacks_leader: bool,
    /// Threads that shake hands while another one leads.
    shaking: usize,
}

impl Workers {
    /// Threads are started as they are needed, for up to `most_requests` requests at once. The first one leads.
    pub fn start(
        service: Arc<Service>,
        poller: Arc<Poller>,
        most_requests: usize,
    ) -> io::Result<Arc<Workers>> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let most_leaders = processors.div_ceil(2);
        let workers = Arc::new(Workers {
            state: Mutex::new(State {
                queues: Queues::new(most_requests),
                threads: 1,
                idle: 0,
                leaders: 0,
                needs_help: false,
                lacks_leader: false,
                shaking: 0,
            }),
            ready: Condvar::new(),
            poller,
            // Whoever waits for a decision holds a thread, and none that a request could have had.
            most_threads: most_requests
                + SPARE.max(most_leaders + processors)
                + service.gatekeeper.most_waiting(),
            most_leaders,
            most_shaking: processors,
            service,
        });
        workers.spawn()?;
        Ok(workers)
    }

    /// Requests in flight, and those that wait for their turn.
    pub fn requests(&self) -> (usize, usize) {
        let state = self.lock();
        (state.queues.requests(), state.queues.requests_waiting())
    }

    /// Has a worker go on with a connection.
    pub fn submit(self: &Arc<Workers>, connection: Box<Connection>) {
        let mut state = self.lock();
        state.queues.add_step(connection);
        self.call_a_leader(state);
    }

    /// Tries again to have somebody lead where no thread could be made for that. `false` if there is still none.
    pub fn have_a_leader(self: &Arc<Workers>) -> bool {
        let state = self.lock();
        if !state.lacks_leader {
            return true;
        }
        self.call_a_leader(state);
        !self.lock().lacks_leader
    }

    fn add_one(self: &Arc<Workers>, mut state: MutexGuard<'_, State>) {
        if state.threads >= self.most_threads {
            return;
        }
        state.threads += 1;
        drop(state);
        if let Err(error) = self.spawn() {
            let mut state = self.lock();
            state.threads -= 1;
            let threads = state.threads;
            let is_news = !state.lacks_leader;
            state.lacks_leader = state.leaders == 0;
            drop(state);
            if is_news {
                ::log::warn!("no thread for another worker: {error}; going on with {threads}");
            }
        }
    }

    fn spawn(self: &Arc<Workers>) -> io::Result<()> {
        let workers = Arc::clone(self);
        thread::Builder::new()
            .name("worker".into())
            .stack_size(STACK)
            .spawn(move || workers.run())
            .map(drop)
    }

    fn run(self: &Arc<Workers>) {
        let mut unseen = 0;
        loop {
            // A bug costs one connection: unwinding drops it, and this thread goes on.
            match catch_unwind(AssertUnwindSafe(|| self.next(&mut unseen))) {
                Ok(Some(job)) => drop(catch_unwind(AssertUnwindSafe(|| self.work(job)))),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    /// What this thread does next; `None` if it has been without work for long. `unseen` counts what it did since it looked at
    /// the poller.
    fn next(self: &Arc<Workers>, unseen: &mut usize) -> Option<Job> {
        let mut state = self.lock();
        let mut has_looked = false;
        loop {
            // Also before it does something else: whoever called it may have counted on that.
            if !leads() && (state.leaders == 0 || state.needs_help) {
                state.leaders += 1;
                (state.needs_help, state.lacks_leader) = (false, false);
                let workers = Arc::clone(self);
                lead(move || workers.hand_over_the_lead());
            }
            // Whoever was let in goes before strangers, also who has just come; and whoever always has more goes behind those.
            let looks_first = leads()
                && !has_looked
                && (state.queues.is_for_strangers() || *unseen >= MOST_UNSEEN);
            if !looks_first && let Some(job) = state.queues.next() {
                *unseen += 1;
                return Some(job);
            }
            if leads() {
                // One is enough to wait.
                let waits = state.leaders == 1 && state.queues.steps_waiting() == 0;
                let patience = match waits {
                    true => state.queues.first_overdue().unwrap_or(IDLE_THREAD),
                    false => Duration::ZERO,
                };
                drop(state);
                let (ready, is_all) = self.poller.harvest(patience);
                (has_looked, *unseen) = (true, 0);
                state = self.lock();
                let is_idle = !waits && ready.is_empty() && state.queues.steps_waiting() == 0;
                ready.into_iter().for_each(|one| state.queues.add_step(one));
                if is_idle && state.leaders > 1 {
                    state.leaders -= 1;
                    stand_back();
                } else if !is_all {
                    state = self.call_for_help(state);
                }
                continue;
            }
            let patience = state.queues.first_overdue().unwrap_or(IDLE_THREAD);
            state.idle += 1;
            let (woken, timeout) = self
                .ready
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            let queues = &state.queues;
            let is_quiet = queues.steps_waiting() == 0 && queues.requests_waiting() == 0;
            if timeout.timed_out() && is_quiet && state.leaders > 0 {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// Sees that somebody leads. One thread is enough, however much is queued: it waits for nothing either, but hands over in
    /// its turn.
    fn hand_over_the_lead(self: &Arc<Workers>) {
        let mut state = self.lock();
        state.leaders -= 1;
        if state.leaders == 0 || state.queues.steps_waiting() > 0 {
            self.call_a_leader(state);
        }
    }

    /// Sees that another one leads beside the one that has more to do than it can soon.
    fn call_for_help<'a>(
        self: &'a Arc<Workers>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        if state.needs_help || state.leaders >= self.most_leaders {
            return state;
        }
        state.needs_help = true;
        self.call_one(state);
        self.lock()
    }

    /// Sees that a leader comes for what is queued or ready.
    fn call_a_leader(self: &Arc<Workers>, state: MutexGuard<'_, State>) {
        match state.leaders {
            0 => self.call_one(state),
            // One may be waiting in the poller.
            _ => self.poller.call(),
        }
    }

    /// Sees that a thread comes that does not lead yet. One wake-up too many does no harm.
    fn call_one(self: &Arc<Workers>, state: MutexGuard<'_, State>) {
        match state.idle {
            0 => self.add_one(state),
            // Whatever it was woken for, it leads first.
            _ => self.ready.notify_one(),
        }
    }

    fn work(self: &Arc<Workers>, job: Job) {
        let (mut connection, step) = match job {
            Job::Step(mut connection) => {
                let step = match connection.is_served_anonymously() {
                    Some(is_anonymous) => {
                        self.with_turn(is_anonymous, || connection.go_on(&self.service))
                    }
                    None => {
                        let _place = connection.shakes_hands().then(|| self.shake_aside());
                        connection.advance(&self.service)
                    }
                };
                (connection, step)
            }
            Job::Request(mut connection, admitted) => {
                let step = self.serve(&mut connection, admitted);
                (connection, step)
            }
            Job::Overdue(mut connection, admitted) => {
                let step = connection.turn_away(*admitted, &self.service);
                (connection, step)
            }
        };
        self.follow(&mut connection, step)
            .hand_over(self, connection);
    }

    /// Hands over the lead for a handshake, unless enough go on already.
    fn shake_aside(&self) -> Option<Shaking<'_>> {
        let mut state = self.lock();
        if state.shaking >= self.most_shaking {
            return None;
        }
        state.shaking += 1;
        drop(state);
        step_down();
        Some(Shaking(self))
    }

    /// Does what the connection needs until it has to be handed over.
    fn follow(self: &Arc<Workers>, connection: &mut Connection, mut step: Step) -> HandOver {
        let mut rounds = 0;
        loop {
            step = match step {
                // It is others' turn: a client that pipelines may never have to be waited for.
                Step::Again if rounds == MOST_ROUNDS => return HandOver::Step,
                Step::Again => {
                    rounds += 1;
                    connection.advance(&self.service)
                }
                Step::Decide(head) => connection.decide(*head, &self.service),
                Step::Serve(admitted) => {
                    // Not in the condition of the `match`, where the lock would be held until its end.
                    let has_turn = self.lock().queues.try_begin(admitted.is_anonymous());
                    match has_turn {
                        true => self.serve(connection, admitted),
                        false => return HandOver::Queue(admitted),
                    }
                }
                Step::Await => return HandOver::Await,
                Step::Park(interest) => return HandOver::Park(interest),
                // The poller sees that it is paused.
                Step::Pause => return HandOver::Park(Interest::Read),
                Step::Discard => return HandOver::Discard,
                Step::Close => return HandOver::Close,
                Step::Abort => return HandOver::Abort,
            }
        }
    }

    fn serve(&self, connection: &mut Connection, admitted: Box<Admitted>) -> Step {
        self.with_turn(admitted.is_anonymous(), || {
            connection.serve(admitted, &self.service)
        })
    }

    /// Works on a request that has its turn, which is given back unless the request goes on later; also when this panics.
    fn with_turn(&self, is_anonymous: bool, work: impl FnOnce() -> Step) -> Step {
        let turn = Turn {
            workers: self,
            is_anonymous,
        };
        let step = work();
        if matches!(step, Step::Await) {
            std::mem::forget(turn);
        }
        step
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection goes when its worker is done with it.
enum HandOver {
    Step,
    Park(Interest),
    Await,
    Queue(Box<Admitted>),
    Discard,
    Close,
    Abort,
}

impl HandOver {
    fn hand_over(self, workers: &Arc<Workers>, mut connection: Box<Connection>) {
        match self {
            // Whoever hands over looks at the queue next.
            HandOver::Step => workers.lock().queues.add_step(connection),
            HandOver::Park(interest) => workers.poller.park(connection, interest),
            HandOver::Await => {
                if let Some(mut unwatched) = workers.poller.park_served(connection)
                    && let Some(is_anonymous) = unwatched.is_served_anonymously()
                {
                    let give_up = || unwatched.give_up(&workers.service);
                    let step = workers.with_turn(is_anonymous, give_up);
                    workers
                        .follow(&mut unwatched, step)
                        .hand_over(workers, unwatched);
                }
            }
            HandOver::Queue(admitted) => {
                let mut state = workers.lock();
                state.queues.add_request(connection, admitted);
                if state.idle > 0 {
                    drop(state);
                    workers.ready.notify_one();
                }
            }
            HandOver::Discard => {
                connection.part();
                workers.poller.park(connection, Interest::Read);
            }
            HandOver::Close => connection.close(),
            HandOver::Abort => connection.abort(),
        }
    }
}

/// One of the handshakes that go on beside a leader.
struct Shaking<'a>(&'a Workers);

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        self.0.lock().shaking -= 1;
    }
}

/// One of the requests that may be in flight.
struct Turn<'a> {
    workers: &'a Workers,
    is_anonymous: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.workers.lock();
        state.queues.end(self.is_anonymous);
        if state.queues.requests_waiting() > 0 {
            // This thread may have something else to do first.
            match state.idle {
                0 => self.workers.poller.call(),
                _ => self.workers.ready.notify_one(),
            }
        }
    }
}
