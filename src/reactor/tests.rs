//! The reactor with toy tasks: what runs a task and what does not, and what becomes of one that is elsewhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::shared::Message;
use super::slots::index_of;
use super::*;
use crate::stream::{Poll, Socket};

/// How long anything is waited for before a test fails.
const AT_MOST: Duration = Duration::from_secs(10);
/// A time that no test lives to see.
const NEVER: Duration = Duration::from_secs(3600);
/// A deadline that a test waits for.
const SOON: Duration = Duration::from_millis(30);

type Step = Box<dyn FnMut(&mut Context<'_>, &mut Instant) -> Wait + Send>;

/// A task whose steps a test writes. What it holds is dropped with it.
struct Toy {
    step: Step,
    deadline: Instant,
    class: Class,
    notices: Option<Sender<Notice>>,
}

impl Toy {
    fn new(step: impl FnMut(&mut Context<'_>, &mut Instant) -> Wait + Send + 'static) -> Box<Toy> {
        Box::new(Toy {
            step: Box::new(step),
            deadline: Instant::now() + NEVER,
            class: Class::Known,
            notices: None,
        })
    }

    fn telling(mut self: Box<Self>, notices: Sender<Notice>) -> Box<Toy> {
        self.notices = Some(notices);
        self
    }
}

impl Task for Toy {
    fn run(&mut self, cx: &mut Context<'_>) -> Wait {
        (self.step)(cx, &mut self.deadline)
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn class(&self) -> Class {
        self.class
    }

    fn notice(&mut self, notice: Notice, _now: Instant) {
        if let Some(notices) = &self.notices {
            notices.send(notice).unwrap();
        }
    }
}

/// No listener at all, or one, from which each client becomes a task.
struct Door {
    listener: Option<TcpListener>,
    /// What accepting fails with before anything else.
    failures: Mutex<Vec<Errno>>,
    welcome: fn(TcpStream, Sender<usize>) -> Box<Toy>,
    tell: Mutex<Sender<usize>>,
}

impl Doors<Toy> for Door {
    fn watch(&self, poll: &Poll) {
        if let Some(listener) = &self.listener {
            poll.add_listener(listener, 0).unwrap();
        }
    }

    fn leave(&self, poll: &Poll) {
        if let Some(listener) = &self.listener {
            poll.remove_listener(listener);
        }
    }

    fn accept(&self, _number: usize) -> rustix::io::Result<Option<Box<Toy>>> {
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error);
        }
        match self.listener.as_ref().unwrap().accept() {
            Ok((client, _)) => {
                let tell = self.tell.lock().unwrap().clone();
                Ok(Some((self.welcome)(client, tell)))
            }
            Err(error) => Err(Errno::from_io_error(&error).unwrap()),
        }
    }

    fn end_with_us(&self) -> Vec<usize> {
        Vec::from_iter(self.listener.as_ref().map(|_| 0))
    }
}

/// A task that says on which loop it runs, once, and stays until its client has gone.
fn stays(client: TcpStream, tell: Sender<usize>) -> Box<Toy> {
    client.set_nonblocking(true).unwrap();
    let mut socket = Socket::new(client);
    let mut is_new = true;
    Toy::new(move |cx, _| {
        socket.report_to(cx.poll, cx.key).unwrap();
        if std::mem::take(&mut is_new) {
            tell.send(cx.loop_number).unwrap();
        }
        match socket.receive(&mut [0; 16]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Wait::Event,
            _ => Wait::Done,
        }
    })
}

/// Loops to which tasks are given by the tests themselves.
fn reactor(loops: usize) -> Arc<Reactor<Toy>> {
    let door = Door {
        listener: None,
        failures: Mutex::default(),
        welcome: stays,
        tell: Mutex::new(channel().0),
    };
    let reactor = Reactor::new(loops, 4).unwrap();
    reactor.start(Arc::new(door)).unwrap();
    reactor
}

/// Loops with a listener.
fn listening(
    loops: usize,
    failures: Vec<Errno>,
) -> (Arc<Reactor<Toy>>, SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    let door = Door {
        listener: Some(listener),
        failures: Mutex::new(failures),
        welcome: stays,
        tell: Mutex::new(tell),
    };
    let reactor = Reactor::new(loops, 4).unwrap();
    reactor.start(Arc::new(door)).unwrap();
    (reactor, address, told)
}

fn begin(reactor: &Reactor<Toy>, task: Box<Toy>) {
    let first = &reactor.loops[0];
    first.load.fetch_add(1, Ordering::Relaxed);
    first.post(Message::New(task));
}

fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(AT_MOST).expect("nothing came")
}

/// Once everything that was put to the loop before has been heeded and run.
fn settle(reactor: &Reactor<Toy>) {
    let (tell, told) = channel();
    let mut turns = 0;
    begin(
        reactor,
        Toy::new(move |_, _| {
            turns += 1;
            match turns {
                // Behind all that was ready when it was first run, more than once.
                1..4 => Wait::Again,
                _ => {
                    tell.send(()).unwrap();
                    Wait::Done
                }
            }
        }),
    );
    next(&told);
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let late = Instant::now() + AT_MOST;
    while !is_so() {
        assert!(Instant::now() < late, "waited in vain: {what}");
        thread::yield_now();
    }
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// A pair of sockets, of which the first does not block.
fn pair() -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Socket::new(ours), theirs)
}

/// All that is there; `None` at the end.
fn drain(socket: &Socket) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 3];
        match socket.receive(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return Some(all);
            }
        }
    }
}

#[test]
fn a_task_is_run_when_its_socket_is_ready_and_goes_when_it_is_done() {
    let reactor = reactor(1);
    let (mut socket, mut peer) = pair();
    let (tell, told) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            socket.report_to(cx.poll, cx.key).unwrap();
            let came = drain(&socket);
            let is_over = came.is_none();
            tell.send(came).unwrap();
            match is_over {
                true => Wait::Done,
                false => Wait::Event,
            }
        }),
    );
    assert_eq!(next(&told), Some(Vec::new()));
    for word in ["first", "second", "third"] {
        peer.write_all(word.as_bytes()).unwrap();
        let mut came = Vec::new();
        while came.len() < word.len() {
            came.extend(next(&told).unwrap());
        }
        assert_eq!(came, word.as_bytes());
    }
    drop(peer);
    while next(&told).is_some() {}
    // It was dropped, and counts no more.
    assert!(told.recv_timeout(AT_MOST).is_err());
    until("its place is free", || reactor.tasks() == 0);
}

#[test]
fn a_task_is_run_at_its_deadline_and_not_before() {
    let reactor = reactor(1);
    let (tell, told) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, deadline| {
            tell.send((cx.now, *deadline)).unwrap();
            // The first is moved nearer, the second away.
            *deadline = cx.now + SOON;
            Wait::Event
        }),
    );
    next(&told);
    for _ in 0..3 {
        let (now, deadline) = next(&told);
        assert!(now >= deadline, "{:?} too early", deadline - now);
    }
}

#[test]
fn a_task_is_run_when_it_is_woken_from_any_thread() {
    let reactor = reactor(2);
    let (tell, told) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            tell.send((cx.waker(), cx.loop_number)).unwrap();
            Wait::Event
        }),
    );
    let (waker, _) = next(&told);
    for _ in 0..100 {
        waker.wake();
        assert_eq!(next(&told).1, 0);
    }
}

#[test]
fn a_step_that_blocks_leaves_the_loop_to_others_and_comes_back_to_it() {
    let reactor = reactor(1);
    let (tell, told) = channel();
    let (go, gone) = channel::<()>();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            tell.send((thread_name(), cx.loop_number)).unwrap();
            if cx.may_block(Kind::Check) {
                assert!(!cx.may_block(Kind::Lookup));
                gone.recv_timeout(AT_MOST).unwrap();
                return Wait::Again;
            }
            Wait::Thread(Kind::Check)
        }),
    );
    let (tell, other) = channel();
    assert_eq!(next(&told), ("loop-0".to_owned(), 0));
    assert_eq!(next(&told), ("worker".to_owned(), 0));
    for number in 0..10 {
        let tell = tell.clone();
        begin(
            &reactor,
            Toy::new(move |_, _| {
                tell.send(number).unwrap();
                Wait::Done
            }),
        );
        assert_eq!(next(&other), number);
    }
    go.send(()).unwrap();
    assert_eq!(next(&told), ("loop-0".to_owned(), 0));
}

#[test]
fn steps_for_which_no_thread_is_free_wait_and_all_are_made() {
    let reactor = reactor(1);
    let most = 2;
    let (tell, told) = channel();
    let (go, gone) = channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    // Of the four threads at least two are not for checks; how many there are for these is the pool's to know.
    for number in 0..most + 5 {
        let (tell, gone) = (tell.clone(), Arc::clone(&gone));
        begin(
            &reactor,
            Toy::new(move |cx, _| match cx.may_block(Kind::Check) {
                true => {
                    gone.lock().unwrap().recv_timeout(AT_MOST).unwrap();
                    tell.send(number).unwrap();
                    Wait::Done
                }
                false => Wait::Thread(Kind::Check),
            }),
        );
    }
    until("the rest waits", || {
        let (busy, waiting) = reactor.blocking();
        busy >= 1 && busy + waiting == most + 5
    });
    // A look-up has a thread although checks have all of theirs.
    let (looked_up, result) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| match cx.may_block(Kind::Lookup) {
            true => {
                looked_up.send(()).unwrap();
                Wait::Done
            }
            false => Wait::Thread(Kind::Lookup),
        }),
    );
    next(&result);
    for _ in 0..most + 5 {
        go.send(()).unwrap();
    }
    let mut made: Vec<usize> = (0..most + 5).map(|_| next(&told)).collect();
    made.sort_unstable();
    assert_eq!(made, Vec::from_iter(0..most + 5));
    until("all are gone", || reactor.tasks() == 0);
}

#[test]
fn steps_that_come_at_once_have_a_thread_each() {
    for _ in 0..10 {
        let reactor = reactor(1);
        until("its first thread is idle", || reactor.blocking().0 == 0);
        let (held, holds) = channel();
        let (go, gone) = channel::<()>();
        begin(
            &reactor,
            Toy::new(move |_, _| {
                held.send(()).unwrap();
                gone.recv_timeout(AT_MOST).unwrap();
                Wait::Done
            }),
        );
        next(&holds);
        // One behind the other in one turn of the loop: the idle thread has not woken when the second comes.
        let (tell, told) = channel();
        let mut going = Vec::new();
        for kind in [Kind::Check, Kind::Lookup] {
            let tell = tell.clone();
            let (go, gone) = channel::<()>();
            going.push(go);
            begin(
                &reactor,
                Toy::new(move |cx, _| match cx.may_block(kind) {
                    true => {
                        tell.send(()).unwrap();
                        gone.recv_timeout(AT_MOST).unwrap();
                        Wait::Done
                    }
                    false => Wait::Thread(kind),
                }),
            );
        }
        go.send(()).unwrap();
        next(&told);
        next(&told);
        for go in going {
            go.send(()).unwrap();
        }
        until("both are gone", || reactor.tasks() == 0);
    }
}

/// What can happen to a task while it is on a thread of the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Byte,
    End,
    Wake,
    Leave,
    All,
    Deadline,
    Nothing,
}

#[test]
fn nothing_that_happens_to_a_task_while_it_is_out_is_lost() {
    let reactor = reactor(1);
    for meanwhile in [
        Meanwhile::Byte,
        Meanwhile::End,
        Meanwhile::Wake,
        Meanwhile::Leave,
        Meanwhile::All,
        Meanwhile::Deadline,
        Meanwhile::Nothing,
    ] {
        let (mut socket, mut peer) = pair();
        let (tell, told) = channel();
        let (go, gone) = channel::<()>();
        let (notice, noticed) = channel();
        let mut steps = 0;
        begin(
            &reactor,
            Toy::new(move |cx, deadline| {
                steps += 1;
                socket.report_to(cx.poll, cx.key).unwrap();
                let came = drain(&socket);
                tell.send((cx.waker(), steps, came)).unwrap();
                match steps {
                    // That it can be written to is reported at once.
                    1 => Wait::Event,
                    2 => Wait::Thread(Kind::Check),
                    3 => {
                        gone.recv_timeout(AT_MOST).unwrap();
                        if meanwhile == Meanwhile::Deadline {
                            *deadline = cx.now;
                        }
                        Wait::Event
                    }
                    _ => Wait::Done,
                }
            })
            .telling(notice),
        );
        let (waker, ..) = next(&told);
        assert_eq!((next(&told).1, next(&told).1), (2, 3));
        match meanwhile {
            Meanwhile::Byte => peer.write_all(b"x").unwrap(),
            Meanwhile::End => peer.shutdown(std::net::Shutdown::Write).unwrap(),
            Meanwhile::Wake => waker.wake(),
            Meanwhile::Leave => waker.evict(),
            Meanwhile::All => reactor.tell_all(Notice::Drain),
            Meanwhile::Deadline | Meanwhile::Nothing => {}
        }
        settle(&reactor);
        assert!(
            told.try_recv().is_err() && noticed.try_recv().is_err(),
            "{meanwhile:?} before it was back"
        );
        go.send(()).unwrap();
        if meanwhile == Meanwhile::Nothing {
            // That it is not run for nothing can be seen only until something happens.
            until("it is back", || reactor.blocking().0 == 0);
            settle(&reactor);
            assert!(told.try_recv().is_err(), "run though nothing has happened");
            waker.wake();
        }
        let (_, steps, came) = next(&told);
        assert_eq!(steps, 4, "{meanwhile:?}");
        let wanted = match meanwhile {
            Meanwhile::Byte => Some(b"x".to_vec()),
            Meanwhile::End => None,
            _ => Some(Vec::new()),
        };
        assert_eq!(came, wanted, "{meanwhile:?}");
        let heard = noticed.try_recv().ok();
        let wanted = match meanwhile {
            Meanwhile::Leave => Some(Notice::Leave),
            Meanwhile::All => Some(Notice::Drain),
            _ => None,
        };
        assert_eq!(heard, wanted, "{meanwhile:?}");
        until("it is gone", || reactor.tasks() == 0);
    }
}

#[test]
fn what_is_meant_for_a_task_that_is_over_reaches_nobody() {
    let reactor = reactor(1);
    let (tell, told) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            tell.send((cx.waker(), cx.key)).unwrap();
            Wait::Done
        }),
    );
    let (stale, old) = next(&told);
    until("its place is free", || reactor.tasks() == 0);
    let (tell, told) = channel();
    let (notice, noticed) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            tell.send((cx.waker(), cx.key)).unwrap();
            Wait::Event
        })
        .telling(notice),
    );
    let (waker, new) = next(&told);
    assert_eq!(index_of(new), index_of(old), "the place is another one");
    assert_ne!(new, old);
    stale.wake();
    stale.evict();
    settle(&reactor);
    assert!(told.try_recv().is_err() && noticed.try_recv().is_err());
    waker.evict();
    next(&told);
    assert_eq!(next(&noticed), Notice::Leave);
}

#[test]
fn a_panic_ends_one_task_alone_and_gives_its_place_back() {
    let reactor = reactor(1);
    let (tell, survivor) = channel();
    begin(
        &reactor,
        Toy::new(move |cx, _| {
            tell.send(cx.waker()).unwrap();
            Wait::Event
        }),
    );
    let waker = next(&survivor);
    let mut places = Vec::new();
    for on_a_thread in [false, true, false, true] {
        let (mut socket, mut peer) = pair();
        let (tell, told) = channel();
        begin(
            &reactor,
            Toy::new(move |cx, _| {
                socket.report_to(cx.poll, cx.key).unwrap();
                tell.send(index_of(cx.key)).unwrap();
                if on_a_thread && !cx.may_block(Kind::Check) {
                    return Wait::Thread(Kind::Check);
                }
                panic!("meant to be seen here")
            }),
        );
        places.push(next(&told));
        // All that it held is dropped, its socket among it.
        peer.set_read_timeout(Some(AT_MOST)).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        until("its place is free", || reactor.tasks() == 1);
        assert_eq!(reactor.loops[0].poll.len(), 0);
        waker.wake();
        next(&survivor);
    }
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    until("its thread is free", || reactor.blocking() == (0, 0));
}

#[test]
fn a_crowd_of_known_ones_leaves_steps_to_strangers_and_the_other_way_round() {
    for (crowd, few) in [
        (Class::Known, Class::Stranger),
        (Class::Stranger, Class::Known),
    ] {
        let reactor = reactor(1);
        let (order, ran) = channel();
        let (made, wakers) = channel();
        for (class, count) in [(crowd, 20), (few, 5)] {
            for _ in 0..count {
                let (order, made) = (order.clone(), made.clone());
                let mut task = Toy::new(move |cx, _| {
                    let _ = made.send(cx.waker());
                    order.send(class).unwrap();
                    Wait::Event
                });
                task.class = class;
                begin(&reactor, task);
                next(&ran);
            }
        }
        let wakers: Vec<Waker> = (0..25).map(|_| next(&wakers)).collect();
        // The loop is held until all of them wait for it.
        let (held, holds) = channel();
        let (go, gone) = channel::<()>();
        begin(
            &reactor,
            Toy::new(move |_, _| {
                held.send(()).unwrap();
                gone.recv_timeout(AT_MOST).unwrap();
                Wait::Done
            }),
        );
        next(&holds);
        wakers.iter().for_each(Waker::wake);
        go.send(()).unwrap();
        let order: Vec<Class> = (0..25).map(|_| next(&ran)).collect();
        let last = order.iter().rposition(|class| *class == few).unwrap();
        assert!(
            last < 20 && order[..4].contains(&few),
            "few wait for all of the crowd: {order:?}"
        );
    }
}

#[test]
fn new_tasks_are_spread_evenly_and_their_ends_are_counted() {
    const CLIENTS: usize = 60;
    let (reactor, address, told) = listening(3, Vec::new());
    let mut clients = Vec::new();
    let mut counts = [0; 3];
    for _ in 0..CLIENTS {
        clients.push(TcpStream::connect(address).unwrap());
        // One after the other, as if all loops but one were asleep.
        counts[next(&told)] += 1;
    }
    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
    assert!(spread <= 2, "{counts:?}");
    assert_eq!(reactor.tasks(), CLIENTS);
    clients.clear();
    until("all are gone", || reactor.tasks() == 0);

    // All at once.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut counts = [0; 3];
    for _ in 0..CLIENTS {
        counts[next(&told)] += 1;
    }
    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
    assert!(spread <= CLIENTS / 5, "{counts:?}");
    drop(clients);
    until("all are gone", || reactor.tasks() == 0);
}

#[test]
fn accepting_pauses_where_nothing_is_left_and_goes_on_by_itself() {
    let (_reactor, address, told) = listening(1, vec![Errno::CONNABORTED, Errno::MFILE]);
    let begun = Instant::now();
    let _client = TcpStream::connect(address).unwrap();
    next(&told);
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "no pause: {:?}",
        begun.elapsed()
    );
}

#[test]
fn who_has_connected_before_the_end_is_taken_in_and_who_comes_later_is_not() {
    let (reactor, address, told) = listening(1, Vec::new());
    let (held, holds) = channel();
    let (go, gone) = channel::<()>();
    begin(
        &reactor,
        Toy::new(move |_, _| {
            held.send(()).unwrap();
            gone.recv_timeout(AT_MOST).unwrap();
            Wait::Done
        }),
    );
    next(&holds);
    let early: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let closing = thread::spawn({
        let reactor = Arc::clone(&reactor);
        move || reactor.close()
    });
    until("it was told", || {
        let inbox = reactor.loops[0].inbox.lock().unwrap();
        !inbox.is_empty()
    });
    go.send(()).unwrap();
    closing.join().unwrap();
    for _ in &early {
        next(&told);
    }
    let _late = TcpStream::connect(address);
    settle(&reactor);
    assert!(told.try_recv().is_err(), "accepted after the end");
    assert!(reactor.is_alive(Duration::from_millis(100)));
}
