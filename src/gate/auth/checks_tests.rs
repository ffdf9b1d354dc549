//! Who is next, by the order in which threads get their slots.

#![allow(clippy::unwrap_used)]

use super::*;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

fn assert_empty(checks: &Checks) {
    let queue = checks.lock();
    for line in &queue.lines {
        assert!(line.count == 0 && line.waiting.is_empty() && line.order.is_empty());
    }
    assert!(queue.neighbours.is_empty());
}

/// Has each of these wait for a slot, in this order, while there is none, and says in which order they had one. Who is
/// sent away says so with a minus.
fn order_of(checks: &Checks, those: &[(u8, Lane)]) -> Vec<i16> {
    let (report, order) = mpsc::channel();
    let sent_away = AtomicUsize::new(0);
    thread::scope(|scope| {
        let running = checks.begin(network(0), Lane::Clean, None).unwrap();
        for (count, (last, lane)) in those.iter().copied().enumerate() {
            let (report, sent_away) = (report.clone(), &sent_away);
            scope.spawn(move || {
                let name = i16::from(last);
                match checks.begin(network(last), lane, None) {
                    Some(slot) => {
                        report.send(name).unwrap();
                        drop(slot);
                    }
                    None => {
                        report.send(-name).unwrap();
                        sent_away.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            while checks.waiting() + sent_away.load(Ordering::Relaxed) <= count {
                thread::yield_now();
            }
        }
        drop(running);
    });
    drop(report);
    order.iter().collect()
}

fn network(last: u8) -> Network {
    // Each in a neighbourhood of its own.
    Network::of(Ipv4Addr::new(10, 0, last, 0).into())
}

#[test]
fn networks_take_turns_and_only_two_of_each_wait() {
    let checks = Checks::new(1, 8);
    let (report, order) = mpsc::channel();
    thread::scope(|scope| {
        let running = checks.begin(network(1), Lane::Clean, None).unwrap();
        // The flood is first, the others come later.
        for (count, last) in [1, 1, 2, 3, 2].into_iter().enumerate() {
            let (checks, report) = (&checks, report.clone());
            scope.spawn(move || {
                let slot = checks.begin(network(last), Lane::Clean, None).unwrap();
                report.send(last).unwrap();
                drop(slot);
            });
            while checks.waiting() <= count {
                thread::yield_now();
            }
        }
        assert!(checks.begin(network(1), Lane::Clean, None).is_none());
        assert!(checks.begin(network(2), Lane::Clean, None).is_none());
        drop(running);
    });
    drop(report);
    assert_eq!(order.iter().collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    assert_eq!(checks.waiting(), 0);
    assert!(checks.begin(network(1), Lane::Clean, None).is_some());
    assert_eq!(checks.lock().running, 0);
    assert_empty(&checks);
}

#[test]
fn no_more_run_at_once_than_are_allowed_and_one_always_may() {
    let checks = Checks::new(2, 8);
    let slots = [
        checks.begin(network(1), Lane::Clean, None),
        checks.begin(network(1), Lane::Clean, None),
    ];
    assert!(slots.iter().all(Option::is_some));
    assert_eq!(checks.lock().running, 2);
    drop(slots);
    assert_eq!(checks.lock().running, 0);
    assert_eq!(Checks::new(0, 8).at_once, 1);
}

#[test]
fn who_waits_until_a_deadline_leaves_nothing_in_the_queue() {
    let checks = Checks::new(1, 8);
    let running = checks.begin(network(1), Lane::Clean, None).unwrap();
    assert!(
        checks
            .begin(network(1), Lane::Clean, Some(Instant::now()))
            .is_none()
    );
    let soon = Instant::now() + std::time::Duration::from_millis(1);
    assert!(checks.begin(network(2), Lane::Clean, Some(soon)).is_none());
    assert_empty(&checks);
    drop(running);
    assert!(checks.begin(network(2), Lane::Clean, Some(soon)).is_some());
}

#[test]
fn a_slot_is_given_back_by_unwinding() {
    let checks = Checks::new(1, 8);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _slot = checks.begin(network(1), Lane::Clean, None);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert!(checks.begin(network(1), Lane::Clean, None).is_some());
}

#[test]
fn those_with_a_bad_record_wait_behind_the_others_and_are_not_starved() {
    let (clean, wanted, erred) = (Lane::Clean, Lane::Wanted, Lane::Erred);
    let those = [
        (1, erred),
        (2, erred),
        (3, wanted),
        (4, clean),
        (5, clean),
        (6, clean),
        (7, clean),
        (8, clean),
    ];
    let order = order_of(&Checks::new(1, 64), &those);
    assert_eq!(order, [4, 5, 6, 3, 7, 8, 1, 2]);
}

#[test]
fn where_there_is_no_room_the_worst_is_sent_away_and_nobody_as_good() {
    let (clean, wanted, erred) = (Lane::Clean, Lane::Wanted, Lane::Erred);
    // Room for three, in three neighbourhoods: 4 takes the place of one of the two of 1, 5 that of the other, 6 that of 3,
    // and 7, 8 and 9 find none.
    let those = [
        (1, erred),
        (1, erred),
        (3, wanted),
        (4, wanted),
        (5, wanted),
        (6, clean),
        (7, wanted),
        (8, erred),
        (9, wanted),
    ];
    let checks = Checks::new(1, 3);
    let mut order = order_of(&checks, &those);
    let mut served = order.split_off(6);
    order.sort_unstable();
    served.sort_unstable();
    assert_eq!(order, [-9, -8, -7, -5, -1, -1]);
    assert_eq!(served, [3, 4, 6]);
    assert_empty(&checks);
}

#[test]
fn a_neighbourhood_has_a_quarter_of_the_places() {
    let checks = Checks::new(1, 8);
    let neighbour = |last: u8| Network::of(Ipv4Addr::new(10, 9, 9, last).into());
    let running = checks.begin(network(0), Lane::Clean, None).unwrap();
    let now = Some(Instant::now());
    thread::scope(|scope| {
        for last in [1, 2] {
            let checks = &checks;
            scope.spawn(move || checks.begin(neighbour(last), Lane::Clean, None).is_some());
        }
        while checks.waiting() < 2 {
            thread::yield_now();
        }
        assert_eq!(checks.lock().of_neighbours(neighbour(3)), 2);
        assert!(checks.begin(neighbour(3), Lane::Clean, now).is_none());
        assert_eq!(checks.lock().of_neighbours(network(1)), 0);
        drop(running);
    });
    assert_empty(&checks);
}

#[test]
fn a_network_has_two_places_in_both_lanes_together() {
    let checks = Checks::new(1, 8);
    let those = [(1, Lane::Clean), (1, Lane::Erred), (1, Lane::Clean)];
    let mut order = order_of(&checks, &those);
    order.sort_unstable();
    assert_eq!(order, [-1, 1, 1]);
}
