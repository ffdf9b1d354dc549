//! Those who fall silent, on either side and at each stage; and those who are only slow.

use crate::support::acceptor::Deaf;
use crate::support::{AUTH, Backend, End, Gate, Peer, behind_head};
use std::time::Instant;

#[test]
fn a_silent_backend_is_504_at_the_response_time_out() {
    let backend = Backend::script(Peer::head_and_rest);
    let gate = Gate::start(&["--backend", backend.url(), "--response-timeout", "1"]);
    for (index, mut client) in gate.both().into_iter().enumerate() {
        let begin = Instant::now();
        let answer = client.ask("GET /v2/a", &[AUTH]);
        assert_eq!(answer.status(), 504);
        answer.assert_oci("UNAVAILABLE");
        assert!(
            begin.elapsed().as_millis() >= 900,
            "{:?} is too early",
            begin.elapsed()
        );
        backend.wait_for_end(index).unwrap();
        client.assert_open();
    }
}

#[test]
fn a_backend_that_falls_silent_within_an_answer_cuts_it() {
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        peer.until_closed().map(drop)
    });
    let gate = Gate::start(&["--backend", backend.url(), "--body-timeout", "1"]);
    for mut client in gate.both() {
        client.request("GET /", &[AUTH]);
        client.answer_head();
        let (body, end) = client.rest();
        assert_eq!(body, b"hello");
        assert!(matches!(end, End::Cut(_)), "{end:?}");
    }
    // In words, not as the kernel has it.
    for line in gate.log.wait_for_count(2) {
        let told = line.contains("nothing moved in time") && !line.contains("os error");
        assert!(told, "{line}");
    }
}

#[test]
fn a_backend_that_cannot_be_connected_to_in_time_is_an_error() {
    let deaf = Deaf::new();
    let gate = Gate::start(&[
        "--backend",
        &format!("http://{}", deaf.authority),
        "--connect-timeout",
        "1",
    ]);
    let mut client = gate.http();
    let answer = client.ask("GET /v2/", &[AUTH]);
    assert!(matches!(answer.status(), 502 | 504), "{}", answer.start);
    answer.assert_oci("UNAVAILABLE");
    client.assert_open();
}

#[test]
fn a_client_that_takes_nothing_is_cut_at_the_body_time_out() {
    const ENOUGH: usize = 1 << 12;
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            ENOUGH << 16
        ))?;
        let block = vec![b'x'; 1 << 16];
        for _ in 0..ENOUGH {
            peer.say(&block)?;
        }
        Ok(())
    });
    let gate = Gate::start(&["--backend", backend.url(), "--body-timeout", "1"]);
    for (index, mut client) in gate.both().into_iter().enumerate() {
        client.request("GET /", &[AUTH]);
        let error = backend.wait_for_end(index).unwrap_err();
        let given_up = ["reset", "roken pipe"]
            .iter()
            .any(|word| error.contains(word));
        assert!(
            given_up,
            "the gate did not give up, the backend did: {error}"
        );
        drop(client);
    }
    gate.http().assert_open();
}

#[test]
fn a_client_that_falls_silent_within_an_upload_is_cut_at_the_body_time_out() {
    let backend = Backend::script(Peer::head_and_rest);
    let gate = Gate::start(&["--backend", backend.url(), "--body-timeout", "1"]);
    for (index, mut client) in gate.both().into_iter().enumerate() {
        client.request_with("PUT /v2/a", &[AUTH, "Content-Length: 10"], b"hello");
        assert_eq!(behind_head(&backend.received(index)), b"hello");
        let (answer, _) = client.rest();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            crate::support::readable(&answer)
        );
    }
}

#[test]
fn a_slow_transfer_within_the_time_outs_is_not_cut() {
    // Three pauses that together are longer than the time-out, each shorter: the test's own waiting is the point here.
    let backend = Backend::script(|mut peer| {
        peer.request()?;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        for _ in 0..4 {
            peer.pause()?;
            peer.say("x")?;
        }
        Ok(())
    });
    let gate = Gate::start(&[
        "--backend",
        backend.url(),
        "--body-timeout",
        "1",
        "--idle-timeout",
        "1",
        "--header-timeout",
        "1",
        "--response-timeout",
        "1",
    ]);
    let mut client = gate.https();
    client.request("GET /", &[AUTH]);
    client.answer_head();
    for _ in 0..4 {
        let (_hold, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(std::time::Duration::from_millis(500));
        backend.go();
        assert_eq!(client.exactly(1), b"x");
    }
}

#[test]
fn an_idle_client_connection_is_closed_cleanly_at_the_idle_time_out() {
    let gate = Gate::start(&["--backend", "http://127.0.0.1:5000", "--idle-timeout", "1"]);
    for mut client in gate.both() {
        client.assert_open();
        client.assert_closed();
    }
}
