//! One loop: what is ready is run, and then it waits for more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::loops::Reactor;
use super::pool::Job;
use super::run_queue::RunQueue;
use super::shared::{Message, Shared};
use super::slots::{Place, Slots, index_of};
use super::task::{Context, Doors, Notice, Task, Wait};
use super::timers::Timers;
use crate::stream::{Events, Report, early};

/// Steps between two looks at what else is ready.
const STEPS: usize = 64;
/// New clients taken at once from one listener, before those who are here have their turn.
const ACCEPTS: usize = 16;
/// How often the queue of a listener is emptied so, at most, when no more are to come.
const LAST_ACCEPTS: usize = 4096;
/// How long nobody is accepted where there is nothing left to accept with.
const PAUSE: Duration = Duration::from_millis(200);
/// A loop that has this many tasks more than the one that has the fewest gives new ones to that.
const UNEVEN: usize = 2;

/// A loop, on its thread.
pub(super) struct EventLoop<T> {
    reactor: Arc<Reactor<T>>,
    number: usize,
    shared: Arc<Shared<T>>,
    /// Until no new task is to come.
    doors: Option<Arc<dyn Doors<T>>>,
    /// Nobody is accepted before.
    paused: Option<Instant>,

    slots: Slots<T>,
    timers: Timers,
    queue: RunQueue,
}

impl<T: Task> EventLoop<T> {
    pub(super) fn new(
        reactor: Arc<Reactor<T>>,
        number: usize,
        doors: Arc<dyn Doors<T>>,
    ) -> EventLoop<T> {
        let shared = match reactor.loops.get(number) {
            Some(shared) => Arc::clone(shared),
            None => unreachable!("a loop that is none of the reactor's"),
        };
        EventLoop {
            reactor,
            number,
            shared,
            doors: Some(doors),
            paused: None,
            slots: Slots::new(),
            timers: Timers::new(Instant::now()),
            queue: RunQueue::default(),
        }
    }

    pub(super) fn run(mut self) {
        if let Some(doors) = &self.doors {
            doors.watch(&self.shared.poll);
        }
        let (mut events, mut reports) = (Events::default(), Vec::new());
        loop {
            // Whatever is a bug outside of a step costs what it was about, and not the loop.
            let turn = AssertUnwindSafe(|| self.turn(&mut events, &mut reports));
            let _ = catch_unwind(turn);
        }
    }

    fn turn(&mut self, events: &mut Events, reports: &mut Vec<Report>) {
        let limit = self.limit(Instant::now());
        self.shared.poll.wait(limit, events, reports);
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        for report in reports.drain(..) {
            match report {
                Report::Owner(key) => self.enqueue(key),
                Report::Listener(number) => self.accept(number),
            }
        }
        for message in self.shared.take_messages() {
            self.heed(message);
        }
        self.look_at_the_clock();
        for _ in 0..STEPS {
            if early::stops() {
                break;
            }
            let Some(key) = self.queue.pop() else {
                break;
            };
            self.step(key);
        }
    }

    /// How long the kernel may wait; `None` is for ever.
    fn limit(&self, now: Instant) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let pause = self
            .paused
            .map(|until| until.saturating_duration_since(now));
        // A little more, so that the time has surely come.
        let timer = self.timers.next(now);
        let first = [pause, timer].into_iter().flatten().min()?;
        Some(first + Duration::from_micros(500))
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        while let Some(index) = self.timers.passed(now) {
            let key = self.slots.key(index).unwrap_or(u64::MAX);
            match self.slots.find(key) {
                Some(slot) => self.timers.cancel(&mut slot.timer, index),
                None => return,
            }
            self.enqueue(key);
        }
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
            if let Some(doors) = &self.doors {
                doors.watch(&self.shared.poll);
            }
        }
    }

    fn enqueue(&mut self, key: u64) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        match &mut slot.task {
            Place::Out { is_wanted, .. } => *is_wanted = true,
            Place::Here(task) if !slot.is_queued => {
                slot.is_queued = true;
                let class = task.class();
                self.queue.push(key, class);
            }
            Place::Here(_) | Place::Nowhere => {}
        }
    }

    fn step(&mut self, key: u64) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        slot.is_queued = false;
        let out = Place::Out {
            is_wanted: false,
            notices: Vec::new(),
        };
        let mut task = match std::mem::replace(&mut slot.task, out) {
            Place::Here(task) => task,
            elsewhere => {
                slot.task = elsewhere;
                return;
            }
        };
        let mut cx = Context {
            now: Instant::now(),
            poll: &self.shared.poll,
            key,
            loop_number: self.number,
            may_block: None,
            handle: &*self.shared,
        };
        // A bug costs one task: unwinding drops it, and the loop goes on.
        let ran = catch_unwind(AssertUnwindSafe(move || {
            let wait = task.run(&mut cx);
            (task, wait)
        }));
        self.take_back(key, ran.ok());
    }

    /// Does what a task needs that has made a step.
    fn take_back(&mut self, key: u64, ran: Option<(Box<T>, Wait)>) {
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        let (is_wanted, notices) = match &mut slot.task {
            Place::Out { is_wanted, notices } => (*is_wanted, std::mem::take(notices)),
            Place::Here(_) | Place::Nowhere => return,
        };
        let Some((mut task, wait)) = ran.filter(|(_, wait)| *wait != Wait::Done) else {
            self.timers.cancel(&mut slot.timer, index_of(key));
            self.slots.remove(key);
            self.shared.load.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        if let Wait::Thread(kind) = wait {
            slot.task = Place::Out { is_wanted, notices };
            self.reactor.pool.submit(Job {
                kind,
                task,
                key,
                home: Arc::clone(&self.shared),
                loop_number: self.number,
            });
            return;
        }
        for notice in &notices {
            task.notice(*notice, Instant::now());
        }
        self.timers
            .set(&mut slot.timer, index_of(key), task.deadline());
        slot.task = Place::Here(task);
        if is_wanted || !notices.is_empty() || wait == Wait::Again {
            self.enqueue(key);
        }
    }

    fn heed(&mut self, message: Message<T>) {
        match message {
            // It was counted when it was sent.
            Message::New(task) => self.begin(task),
            Message::Back(key, ran) => self.take_back(key, ran),
            Message::Run(key) => self.enqueue(key),
            Message::Tell(key, notice) => self.tell(key, notice),
            Message::TellAll(notice) => {
                for key in self.slots.keys() {
                    self.tell(key, notice);
                }
            }
            Message::Close(_dropped_at_the_end) => self.close(),
        }
    }

    fn tell(&mut self, key: u64, notice: Notice) {
        let now = Instant::now();
        let Some(slot) = self.slots.find(key) else {
            return;
        };
        match &mut slot.task {
            Place::Here(task) => task.notice(notice, now),
            // It will be told when it is back.
            Place::Out { notices, .. } => {
                notices.push(notice);
                return;
            }
            Place::Nowhere => return,
        }
        self.enqueue(key);
    }

    /// Accepts those who are in queues that end with their listeners: they have connected, and their requests are on their way.
    fn close(&mut self) {
        let Some(doors) = self.doors.take() else {
            return;
        };
        doors.leave(&self.shared.poll);
        for number in doors.end_with_us() {
            for _ in 0..LAST_ACCEPTS {
                match doors.accept(number) {
                    Ok(Some(task)) => {
                        self.shared.load.fetch_add(1, Ordering::Relaxed);
                        self.begin(task);
                    }
                    Ok(None) => {}
                    Err(error) if is_of_one_client(error) => {}
                    Err(_) => break,
                }
            }
        }
    }

    fn accept(&mut self, number: usize) {
        if self.paused.is_some() {
            return;
        }
        for _ in 0..ACCEPTS {
            let Some(doors) = &self.doors else {
                return;
            };
            let accepted = doors.accept(number);
            if accepted.is_ok() {
                self.reactor.exhaustion.is_over();
            }
            match accepted {
                Ok(Some(task)) => self.place(task),
                Ok(None) => {}
                Err(Errno::AGAIN) => return,
                Err(error) if is_of_one_client(error) => {}
                Err(error) => {
                    self.reactor.exhaustion.is_there(error);
                    doors.leave(&self.shared.poll);
                    self.paused = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    /// Puts a new task where there are fewest.
    fn place(&mut self, task: Box<T>) {
        let load = self.shared.load.load(Ordering::Relaxed);
        if let Some(least) = self.reactor.least_loaded()
            && least.load.load(Ordering::Relaxed) + UNEVEN <= load
        {
            // It counts there from now on, not only when it is taken up.
            least.load.fetch_add(1, Ordering::Relaxed);
            least.post(Message::New(task));
            return;
        }
        self.shared.load.fetch_add(1, Ordering::Relaxed);
        self.begin(task);
    }

    fn begin(&mut self, task: Box<T>) {
        let key = self.slots.insert(task);
        self.enqueue(key);
    }
}

/// Whether accepting failed for one client only, or for a signal: the next one may be fine.
fn is_of_one_client(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::PERM
    )
}
