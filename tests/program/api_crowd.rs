//! Crowds before a slow API: who floods it keeps out neither others nor, as long as there is room, themselves.

use crate::support::api::{answer, api, gate};
use crate::support::{AUTH, Backend, Gate, Message, basic};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Who comes from so many addresses...
const ADDRESSES: usize = 12;
/// ...with so many connections each...
const CONNECTIONS: usize = 30;
/// ...keeps nobody else waiting for longer than this.
const AT_MOST: Duration = Duration::from_secs(3);
const NEWCOMERS: usize = 20;

/// An API that takes this long, and knows everybody by the password "secret" alone.
fn slow(takes: Duration) -> Backend {
    api(move |request| {
        std::thread::sleep(takes);
        // What stands for ":secret", wherever it begins.
        let is_right = |field: &str| {
            ["OnNlY3JldA==", "pzZWNyZXQ=", "6c2VjcmV0"]
                .iter()
                .any(|end| field.ends_with(end))
        };
        let status = match request.field("Authorization") {
            Some(field) if is_right(field) => "200 OK",
            _ => "401 No",
        };
        answer(status, &[])
    })
}

/// Sends one wrong password after the other, from all addresses over all connections, while somebody else does this.
fn under_a_flood(gate: &Gate, wrong: impl Fn(usize, usize) -> String + Sync, work: impl FnOnce()) {
    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..ADDRESSES * CONNECTIONS {
            let (is_over, sent, wrong) = (&is_over, &sent, &wrong);
            scope.spawn(move || {
                let from = format!("X-Forwarded-For: 9.9.{}.9", number % ADDRESSES);
                let mut client = gate.http();
                for round in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    client.request("GET /v2/", &[&wrong(number, round), &from]);
                    sent.fetch_add(1, Ordering::Relaxed);
                    let status = client.answer().status();
                    assert!(matches!(status, 401 | 503), "{status}");
                    if status == 503 {
                        // It would be the machine that is flooded, and not the API.
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        let over = OnDrop(&is_over);
        while sent.load(Ordering::Relaxed) < ADDRESSES * CONNECTIONS {
            std::thread::yield_now();
        }
        work();
        drop(over);
    });
}

/// Also when an assertion fails, or nobody would end.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While these are asked about, newcomers log in, each from an address of its own.
fn newcomers_get_in(wrong: impl Fn(usize, usize) -> String + Sync) {
    let (api, backend) = (slow(Duration::from_secs(1)), Backend::echo());
    let gate = gate(&api, &backend, &["--trusted-proxy", "127.0.0.1/32"]);
    let come = |number: usize| {
        let from = format!("X-Forwarded-For: 7.7.{number}.7");
        let login = basic(format!("user{number}").as_bytes(), b"secret");
        let mut client = gate.http();
        let begun = Instant::now();
        let status = client.ask("GET /v2/", &[&login, &from]).status();
        (status, begun.elapsed())
    };
    under_a_flood(&gate, wrong, || {
        let came: Vec<_> = std::thread::scope(|scope| {
            let come = &come;
            let threads: Vec<_> = (0..NEWCOMERS)
                .map(|number| scope.spawn(move || come(number)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });
        let got_in = |(status, took): &&(u16, Duration)| *status == 200 && *took < AT_MOST;
        assert_eq!(came.iter().filter(got_in).count(), NEWCOMERS, "{came:?}");
    });
}

#[test]
fn many_who_ask_the_same_wrong_thing_from_a_few_addresses_keep_nobody_else_out() {
    newcomers_get_in(|_, _| basic(b"mallory", b"guess"));
}

#[test]
fn many_who_guess_from_a_few_addresses_keep_nobody_else_out() {
    newcomers_get_in(|number, round| basic(b"mallory", format!("{number} {round}").as_bytes()));
}

#[test]
fn a_few_hundred_who_log_in_at_once_from_one_address_wait_for_their_turn() {
    const LOGINS: usize = 400;
    let (api, backend) = (slow(Duration::from_millis(50)), Backend::echo());
    let gate = gate(&api, &backend, &[]);
    let mut clients: Vec<_> = (0..LOGINS).map(|_| gate.http()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let login = basic(format!("user{number}").as_bytes(), b"secret");
        client.request("GET /v2/", &[&login]);
    }
    let statuses = clients.iter_mut().map(|client| client.answer().status());
    let refused = statuses.filter(|status| *status != 200).count();
    assert_eq!(refused, 0);
}

#[test]
fn who_has_no_turn_in_the_time_of_a_call_is_told_to_come_again() {
    // One call at once, which never ends.
    let api = Backend::script(|mut peer| peer.until_closed().map(drop));
    let backend = Backend::echo();
    let more = ["--workers", "2", "--auth-timeout", "1"];
    let gate = gate(&api, &backend, &more);
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..4).map(|_| gate.http()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.request("GET /", &[&basic(b"user", &[b'0' + number as u8])]);
    }
    let answers: Vec<Message> = clients.iter_mut().map(|client| client.answer()).collect();
    for answer in answers {
        assert_eq!(answer.status(), 503);
        assert!(answer.has("Retry-After"));
    }
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(gate.http().ask("GET /", &[AUTH]).status(), 503);
}
