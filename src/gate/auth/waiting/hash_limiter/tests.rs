//! Who is next and who finds room, by polling: no thread waits here.

#![allow(clippy::unwrap_used)]

use super::*;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

use Priority::{Clean, Erred, Wanted};

/// Nobody waits for these.
fn bounds(at_once: usize, waiting: usize) -> HashLimits {
    HashLimits {
        at_once,
        of_network: usize::MAX,
        of_neighbourhood: usize::MAX,
        reserved: 0,
        waiting,
        waiting_of_network: 64,
        waiting_of_neighbourhood: waiting.div_ceil(4),
    }
}

/// Each in a neighbourhood of its own.
fn network(number: u16) -> Network {
    let [high, low] = number.to_be_bytes();
    Network::of(Ipv4Addr::new(10, high, low, 0).into())
}

fn neighbour(number: u8) -> Network {
    Network::of(Ipv4Addr::new(172, 16, 0, number).into())
}

fn apply(limiter: &HashLimiter, network: Network, priority: Priority) -> HashAdmission {
    limiter.apply(HashApplicant {
        network,
        priority,
        most: usize::MAX,
    })
}

fn granted(admission: HashAdmission) -> Permit {
    match admission {
        HashAdmission::Granted(permit) => permit,
        HashAdmission::Queued(_) | HashAdmission::Refused => panic!("it does not go on at once"),
    }
}

fn queued(admission: HashAdmission) -> Ticket {
    match admission {
        HashAdmission::Queued(ticket) => ticket,
        HashAdmission::Granted(_) | HashAdmission::Refused => panic!("it does not wait"),
    }
}

fn is_refused(admission: &HashAdmission) -> bool {
    matches!(admission, HashAdmission::Refused)
}

fn poll(ticket: &mut Ticket) -> Poll<Result<Permit, Displaced>> {
    ticket.poll(Waker::noop())
}

fn is_displaced(ticket: &mut Ticket) -> bool {
    matches!(poll(ticket), Poll::Ready(Err(Displaced)))
}

/// Gives the permits back one after the other, and says in which order these have theirs.
fn order(mut running: Permit, mut waiting: Vec<(u16, Ticket)>) -> Vec<u16> {
    let mut order = Vec::new();
    loop {
        drop(running);
        let next = waiting
            .iter_mut()
            .enumerate()
            .find_map(|(at, (name, ticket))| match poll(ticket) {
                Poll::Ready(Ok(permit)) => Some((at, *name, permit)),
                _ => None,
            });
        let Some((at, name, permit)) = next else {
            return order;
        };
        order.push(name);
        waiting.remove(at);
        running = permit;
    }
}

fn assert_empty(limiter: &HashLimiter) {
    let queue = limiter.0.lock();
    assert_eq!((queue.running, queue.waiting), (0, 0));
    assert!(queue.networks.is_empty() && queue.neighbourhoods.is_empty());
    assert!(queue.turns.is_empty());
    for line in &queue.lines {
        assert!(line.waiting.is_empty() && line.order.is_empty());
    }
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Count>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn networks_take_turns_however_many_of_one_wait() {
    let limiter = HashLimiter::new(bounds(1, 64));
    let running = granted(apply(&limiter, network(1), Clean));
    // The flood is first, the others come later.
    let waiting = [1, 1, 2, 3, 2, 1]
        .map(|name| (name, queued(apply(&limiter, network(name), Clean))))
        .into();
    assert_eq!(order(running, waiting), [1, 2, 3, 1, 2, 1]);
    assert_empty(&limiter);
}

#[test]
fn no_more_run_at_once_than_are_allowed_and_one_always_may() {
    let limiter = HashLimiter::new(bounds(2, 64));
    let permits = [1, 1].map(|name| granted(apply(&limiter, network(name), Clean)));
    drop(queued(apply(&limiter, network(2), Clean)));
    assert_eq!(limiter.running(), 2);
    drop(permits);
    assert_empty(&limiter);
    drop(granted(apply(
        &HashLimiter::new(bounds(0, 64)),
        network(1),
        Clean,
    )));
}

#[test]
fn what_is_dropped_is_given_back_whatever_became_of_it() {
    let limiter = HashLimiter::new(bounds(1, 64));
    let running = granted(apply(&limiter, network(1), Clean));
    let (left, had, mut last) = (
        queued(apply(&limiter, network(2), Clean)),
        queued(apply(&limiter, network(3), Clean)),
        queued(apply(&limiter, network(4), Clean)),
    );
    drop(left);
    drop(running);
    // Its turn has come, and it never asked.
    assert!(poll(&mut last).is_pending());
    drop(had);
    let Poll::Ready(Ok(permit)) = poll(&mut last) else {
        panic!("its turn has come");
    };
    assert!(poll(&mut last).is_pending(), "it has said its last word");
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _permit = permit;
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    drop(last);
    assert_empty(&limiter);
}

#[test]
fn whoever_waits_is_woken_once_by_the_last_waker_and_a_thread_by_its_deadline() {
    let limiter = HashLimiter::new(bounds(1, 64));
    let running = granted(apply(&limiter, network(1), Clean));
    let mut ticket = queued(apply(&limiter, network(2), Clean));
    let [first, last] = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    for count in [&first, &last] {
        assert!(ticket.poll(&Waker::from(Arc::clone(count))).is_pending());
    }
    let soon = Instant::now() + Duration::from_millis(1);
    let late = apply(&limiter, network(3), Clean).wait_until(soon);
    assert!(late.is_none());
    let thread = std::thread::spawn({
        let admission = apply(&limiter, network(4), Clean);
        move || admission.wait_until(Instant::now() + Duration::from_secs(60))
    });
    drop(running);
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    assert_eq!(last.0.load(Ordering::Relaxed), 1);
    drop(poll(&mut ticket));
    drop(ticket);
    drop(thread.join().unwrap().unwrap());
    assert_empty(&limiter);
}

#[test]
fn those_with_a_bad_record_wait_behind_the_others_and_are_not_starved() {
    let limiter = HashLimiter::new(bounds(1, 64));
    let running = granted(apply(&limiter, network(0), Clean));
    let lanes = [Erred, Erred, Wanted, Clean, Clean, Clean, Clean, Clean];
    let waiting = (1..)
        .zip(lanes)
        .map(|(name, priority)| (name, queued(apply(&limiter, network(name), priority))))
        .collect();
    assert_eq!(order(running, waiting), [4, 5, 6, 3, 7, 8, 1, 2]);
    assert_empty(&limiter);
}

#[test]
fn where_there_is_no_room_the_worst_leaves_and_then_whoever_has_most() {
    let all = HashLimits {
        waiting_of_neighbourhood: 99,
        ..bounds(1, 4)
    };
    let limiter = HashLimiter::new(all);
    let _running = granted(apply(&limiter, network(0), Clean));
    let join = |name, priority| queued(apply(&limiter, network(name), priority));
    let mut erred = join(1, Erred);
    let mut wanted = [join(2, Wanted), join(3, Wanted), join(2, Wanted)];
    // Nobody is worse than one who errs, and none of those has more.
    assert!(is_refused(&apply(&limiter, network(4), Erred)));
    let mut clean = vec![join(5, Clean), join(5, Clean), join(5, Clean)];
    assert!(is_displaced(&mut erred));
    // Of the worse ones the last one of whoever has most goes first.
    assert!(is_displaced(&mut wanted[2]));
    assert!(is_displaced(&mut wanted[1]));
    clean.push(join(6, Clean));
    assert!(is_displaced(&mut wanted[0]));
    // Among equals whoever has more.
    clean.push(join(7, Clean));
    let displaced = clean.iter_mut().map(is_displaced).collect::<Vec<_>>();
    assert_eq!(displaced, [false, false, true, false, false]);
    assert_eq!(limiter.waiting(), 4);
}

#[test]
fn however_many_neighbours_fill_their_part_a_newcomer_finds_a_place() {
    let limiter = HashLimiter::new(bounds(1, 8));
    let _running = granted(apply(&limiter, network(0), Clean));
    let mut first = [1, 1].map(|n| queued(apply(&limiter, neighbour(n), Clean)));
    // A quarter is theirs; the newcomer among them takes the place of whoever has more than it will have.
    let _newcomer = queued(apply(&limiter, neighbour(2), Clean));
    assert!(is_displaced(&mut first[1]));
    assert!(is_refused(&apply(&limiter, neighbour(3), Clean)));
    // The rest is for others, and when it is full, whoever has nothing takes it from whoever has most.
    let mut flood: Vec<_> = (0..6)
        .map(|n| queued(apply(&limiter, network(1 + n % 3), Clean)))
        .collect();
    let _stranger = queued(apply(&limiter, network(9), Clean));
    assert_eq!(
        flood
            .iter_mut()
            .filter_map(|one| is_displaced(one).then_some(()))
            .count(),
        1
    );
    assert!(is_refused(&apply(&limiter, neighbour(2), Clean)));
    assert_eq!(limiter.waiting(), 8);
}

#[test]
fn a_network_and_a_neighbourhood_run_their_share_and_the_last_ones_are_for_those_without() {
    let limiter = HashLimiter::new(HashLimits {
        of_network: 4,
        of_neighbourhood: 6,
        reserved: 2,
        ..bounds(10, 64)
    });
    let go = |network| granted(apply(&limiter, network, Clean));
    let wait = |network| queued(apply(&limiter, network, Clean));
    let mut held: Vec<_> = (0..4).map(|_| go(neighbour(1))).collect();
    let mut over = wait(neighbour(1));
    held.extend((0..2).map(|_| go(neighbour(2))));
    let mut neighbours = wait(neighbour(2));
    // Two are free that are not kept.
    held.extend((0..2).map(|_| go(network(1))));
    let mut kept = wait(network(1));
    held.extend([go(network(2)), go(network(3))]);
    let mut full = wait(network(4));
    for ticket in [&mut over, &mut neighbours, &mut kept, &mut full] {
        assert!(poll(ticket).is_pending());
    }
    // One of the neighbours ends: what is free now is kept for those who have none.
    drop(held.remove(0));
    assert!(poll(&mut over).is_pending());
    assert!(matches!(poll(&mut full), Poll::Ready(Ok(_))));
}

#[test]
fn a_network_that_is_held_to_less_runs_less_at_once() {
    let limiter = HashLimiter::new(bounds(4, 64));
    let apply = |most| {
        limiter.apply(HashApplicant {
            network: network(1),
            priority: Clean,
            most,
        })
    };
    let mut held: Vec<_> = (0..3).map(|_| granted(apply(3))).collect();
    let mut ticket = queued(apply(3));
    limiter.hold_to(network(1), 1);
    drop(held.pop());
    drop(held.pop());
    assert!(poll(&mut ticket).is_pending());
    drop(held.pop());
    assert!(matches!(poll(&mut ticket), Poll::Ready(Ok(_))));
    // Never to nothing, or it would wait for ever.
    limiter.hold_to(network(1), 0);
    drop(granted(apply(0)));
    drop(ticket);
    assert_empty(&limiter);
}
