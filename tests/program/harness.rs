//! The harness tried on itself: a test must not pass because its tools are blunt.

use crate::support::acceptor::{Deaf, Refusing};
use crate::support::backend::sha256;
use crate::support::certificates;
use crate::support::{Backend, Client, Dir, End, Framing};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_client_and_the_echo_backend_understand_each_other() {
    let backend = Backend::echo();
    let mut client = Client::clear(backend.acceptor.authority());
    client.request_with(
        "PUT /a?b",
        &["Transfer-Encoding: chunked"],
        b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert!(
        answer
            .text()
            .starts_with("PUT /a?b HTTP/1.1\nHost: 127.0.0.1:")
    );
    assert!(
        answer
            .text()
            .ends_with(&format!("body 5 {}\n", sha256(b"abcde")))
    );
    let request = backend.wait_for_request(0);
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert_eq!(client.ask("HEAD /", &[]).body, b"");
    assert_eq!(client.ask("GET /", &[]).status(), 200);
    assert_eq!((backend.connections(), backend.requests().len()), (1, 3));
}

#[test]
fn a_clean_end_and_a_reset_are_told_apart_in_the_clear() {
    let backend = Backend::script(|mut peer| {
        peer.head()?;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")?;
        if peer.index == 0 {
            peer.close()
        } else {
            peer.reset()
        }
        Ok(())
    });
    for expected in [true, false] {
        let mut client = Client::clear(backend.acceptor.authority());
        client.request("GET /", &[]);
        let answer = client.try_answer(false).unwrap().unwrap();
        assert!(answer.cut.is_some());
        let (_, end) = client.rest();
        assert_eq!(end == End::Clean, expected, "{end:?}");
    }
}

#[test]
fn a_missing_close_notify_is_seen_over_tls() {
    let backend = Backend::script_tls(|mut peer| {
        peer.head()?;
        peer.say("HTTP/1.1 200 OK\r\n\r\nhello")?;
        if peer.index == 0 {
            peer.close();
        }
        Ok(())
    });
    let config = Arc::new(certificates::client(
        backend.ca.as_ref().unwrap(),
        rustls::ALL_VERSIONS,
    ));
    let ends = [0, 1].map(|_| {
        let mut client = Client::tls(
            backend.acceptor.authority(),
            "localhost",
            Arc::clone(&config),
        );
        client.request("GET /", &[]);
        client.answer_head();
        client.rest()
    });
    assert_eq!(ends[0], (b"hello".to_vec(), End::Clean));
    assert_eq!(ends[1].0, b"hello");
    assert!(matches!(ends[1].1, End::Cut(_)), "{:?}", ends[1]);
}

#[test]
fn a_script_pauses_until_it_is_told_and_records_what_it_got() {
    let backend = Backend::script_unix(|mut peer| {
        peer.exactly(2)?;
        peer.pause()?;
        peer.say("x")?;
        peer.until_closed()?;
        Ok(())
    });
    use std::io::{Read, Write};
    let mut client =
        std::os::unix::net::UnixStream::connect(backend.url().strip_prefix("unix:").unwrap())
            .unwrap();
    client.write_all(b"ab").unwrap();
    backend.wait_for_bytes(0, |bytes| bytes == b"ab");
    backend.go();
    client.read_exact(&mut [0]).unwrap();
    client.write_all(b"c").unwrap();
    drop(client);
    assert_eq!(backend.received(0), b"abc");
}

#[test]
fn a_stopped_backend_refuses_and_a_deaf_one_does_not_answer() {
    let mut backend = Backend::echo();
    backend.stop();
    assert!(TcpStream::connect(backend.acceptor.authority()).is_err());
    assert!(TcpStream::connect(Refusing::new().authority.as_str()).is_err());
    let deaf = Deaf::new();
    let error =
        TcpStream::connect_timeout(&deaf.authority.parse().unwrap(), Duration::from_millis(200))
            .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_directory_goes_with_its_owner() {
    let dir = Dir::new();
    let path = dir.file("a", "b");
    assert!(std::fs::exists(&path).unwrap());
    drop(dir);
    assert!(!std::fs::exists(&path).unwrap());
}
