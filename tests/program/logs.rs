//! The logs of a whole process: what reaches the two streams, and what happens when nobody reads them.
//!
//! The logs are one for each process, so each test runs this program again, as `a_process_that_logs`.

use portreeve::log::{self as logs, Access, Format};
use portreeve::net::Peer;
use std::{
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// How many requests the process logs, and in which form.
const COUNT: &str = "PORTREEVE_TEST_COUNT";
const FORM: &str = "PORTREEVE_TEST_FORM";

#[test]
#[ignore = "not a test, but what the tests start"]
fn a_process_that_logs() {
    let form = if std::env::var(FORM).unwrap() == "json" {
        Format::Json
    } else {
        Format::Text
    };
    let count = std::env::var(COUNT).unwrap().parse().unwrap();
    logs::open(form);
    logs::start_writing();
    log::info!(target: "portreeve::server", "guarding\nsomething");
    log::debug!(target: "portreeve::server", "hidden");
    log::warn!(target: "rustls::conn", "hidden");
    for number in 0..count {
        let request_id = number.to_string();
        logs::access(&Access {
            peer: Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            user: Some(b"alice"),
            method: "GET",
            target: b"/v2/",
            status: 200,
            elapsed: Duration::from_millis(3),
            request_id: &request_id,
            ..Access::default()
        });
    }
    logs::flush();
    log::error!(target: "portreeve", "the end");
    logs::flush();
    // The test program around this one would say on standard output how it went, and wait there.
    std::process::exit(0);
}

fn start(form: &str, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "--quiet",
            "logs::a_process_that_logs",
        ])
        .env(FORM, form)
        .env(COUNT, count.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn access_lines(mut stdout: ChildStdout) -> Vec<String> {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    text.lines()
        .filter(|line| line.contains("/v2/"))
        .map(str::to_owned)
        .collect()
}

fn messages(child: &mut Child) -> Vec<String> {
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn requests_go_to_standard_output_and_messages_to_standard_error() {
    let mut child = start("text", 2000);
    let lines = access_lines(child.stdout.take().unwrap());
    let messages = messages(&mut child);
    assert!(child.wait().unwrap().success());
    assert_eq!(lines.len(), 2000);
    for (number, line) in lines.iter().enumerate() {
        let expected = format!("Z 127.0.0.1 alice \"GET /v2/\" 200 up=0 down=0 ms=3 id={number}");
        assert!(line.ends_with(&expected), "{line}");
    }
    let [first, last] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert!(first.ends_with("Z INFO guarding\\nsomething"), "{first}");
    assert!(last.ends_with("Z ERROR the end"), "{last}");
}

#[test]
fn json_is_one_object_a_line_on_both() {
    let mut child = start("json", 1);
    let lines = access_lines(child.stdout.take().unwrap());
    let messages = messages(&mut child);
    assert!(child.wait().unwrap().success());
    for line in lines.iter().chain(&messages) {
        assert!(
            line.starts_with("{\"time\":\"2") && line.ends_with('}'),
            "{line}"
        );
    }
    assert_eq!((lines.len(), messages.len()), (1, 2));
}

#[test]
fn a_closed_standard_output_is_said_once_and_ends_nothing() {
    let mut child = start("text", 50_000);
    // The test program around it has written its own words when the first request is there.
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("/v2/") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0);
    }
    drop(stdout);
    let messages = messages(&mut child);
    assert!(child.wait().unwrap().success());
    let said = messages
        .iter()
        .filter(|line| line.contains("standard output cannot be written"));
    assert_eq!(said.count(), 1, "{messages:?}");
    assert!(
        messages.iter().any(|line| line.ends_with("ERROR the end")),
        "{messages:?}"
    );
}

#[test]
fn a_standard_output_that_nobody_reads_stops_nobody() {
    // 50,000 lines are far more than the pipe and the buffer hold.
    let mut child = start("text", 50_000);
    let _stdout = child.stdout.take();
    // The end of standard error comes when the process is gone, although nobody has read a line.
    let messages = messages(&mut child);
    assert!(
        messages.iter().any(|line| line.ends_with("ERROR the end")),
        "{messages:?}"
    );
}
