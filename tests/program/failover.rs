//! Several backends: who is asked, when the next one is, when never, and who is left alone.

use crate::support::acceptor::Refusing;
use crate::support::{AUTH, Backend, Client, Gate, Peer};
use std::time::Instant;

const BUSY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nFrom: first\r\n\r\nbusy";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

/// A gate before these backends, in this order.
fn before(backends: &[&Backend]) -> Gate {
    let urls: Vec<_> = backends.iter().map(|backend| backend.url()).collect();
    started(&urls, &[])
}

fn started(urls: &[&str], more: &[&str]) -> Gate {
    let mut args: Vec<_> = urls.iter().flat_map(|url| ["--backend", url]).collect();
    args.extend(more);
    Gate::start(&args)
}

/// Answers every request on every connection with these bytes.
fn always(answer: impl Into<String>) -> Backend {
    let answer = answer.into();
    Backend::script(move |mut peer| {
        while peer.try_request()?.is_some() {
            peer.say(&answer)?;
        }
        Ok(())
    })
}

/// Answers every request with 200 and this body.
fn saying(body: &str) -> Backend {
    always(ok(body))
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one request on each connection and closes it without a word.
fn closing() -> Backend {
    Backend::script(|mut peer| {
        peer.request()?;
        peer.close();
        Ok(())
    })
}

/// Never answers.
fn silent(mut peer: Peer) -> std::io::Result<()> {
    peer.request()?;
    peer.until_closed().map(drop)
}

/// Opens uploads under its name, goes on with any and ends them; answers everything else with its name, but closes
/// without a word where it is asked for its poison.
fn registry(name: &'static str) -> Backend {
    Backend::script(move |mut peer| {
        while let Some(request) = peer.try_request()? {
            let (method, target) = request.start.split_once(' ').unwrap();
            let path = target.split([' ', '?']).next().unwrap();
            if path == format!("/poison-{name}") {
                peer.close();
                return Ok(());
            }
            peer.say(match method {
                "POST" => format!(
                    "HTTP/1.1 202 Accepted\r\nLocation: http://{name}{UPLOADS}{name}?_state=a%2Fb\r\n\
                     Content-Length: 0\r\n\r\n"
                ),
                "PATCH" => format!(
                    "HTTP/1.1 202 Accepted\r\nLocation: {path}?_state=c\r\nContent-Length: 0\r\n\r\n"
                ),
                "PUT" => "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".into(),
                "DELETE" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
                "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".into(),
                _ => ok(name),
            })?;
        }
        Ok(())
    })
}

/// Has a registry open a session, and says what is asked for afterwards.
fn open(client: &mut Client) -> String {
    let opened = client.ask(&format!("POST {UPLOADS}"), &[AUTH, "Content-Length: 0"]);
    assert_eq!(opened.status(), 202);
    let location = opened.field("Location").unwrap();
    format!("{UPLOADS}{}", location.split_once(UPLOADS).unwrap().1)
}

/// How many requests each has seen that name this upload.
fn seen(backends: [&Backend; 2], session: &str) -> [usize; 2] {
    let path = session.split('?').next().unwrap();
    backends.map(|backend| {
        let requests = backend.requests();
        requests
            .iter()
            .filter(|request| request.start.contains(path))
            .count()
    })
}

fn put(client: &mut Client, target: &str) -> u16 {
    client.request_with(
        &format!("PUT {target}"),
        &[AUTH, "Content-Length: 5"],
        b"hello",
    );
    client.answer().status()
}

fn in_log(gate: &Gate, wanted: &[&str]) {
    gate.log.wait_for(&format!("{wanted:?}"), |line| {
        wanted.iter().all(|text| line.contains(text))
    });
}

#[test]
fn the_first_backend_has_it_all_while_it_is_well() {
    let (first, second) = (saying("first"), saying("second"));
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "first");
        assert_eq!(put(&mut client, "/v2/a"), 200);
    }
    assert_eq!(second.connections(), 0);
}

#[test]
fn any_request_goes_to_the_next_backend_when_there_is_no_connection() {
    let nobody = Refusing::new();
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
        let second = saying("");
        let url = format!("http://{}", nobody.authority);
        let gate = started(&[&url, second.url()], &[]);
        for mut client in [gate.http(), gate.https()] {
            let body: &[u8] = if method == "PUT" { b"hello" } else { b"" };
            let mut fields = vec![AUTH];
            if !body.is_empty() {
                fields.extend(["Content-Length: 5", "Expect: 100-continue"]);
            }
            client.request(&format!("{method} /v2/a"), &fields);
            if !body.is_empty() {
                assert_eq!(client.answer().status(), 100);
                client.send(body);
            }
            let answer = match method {
                "HEAD" => client.answer_to_head(),
                _ => client.answer(),
            };
            assert_eq!(answer.status(), 200, "{method}");
            client.assert_open();
        }
        assert_eq!(second.requests().len(), 2, "{method}");
        assert_eq!(
            second.requests()[0].body,
            if method == "PUT" { &b"hello"[..] } else { b"" }
        );
        in_log(&gate, &[method, " 200 ", &nobody.authority]);
    }
}

#[test]
fn an_upload_that_nobody_takes_is_502_and_names_all_in_the_log() {
    let (one, two) = (Refusing::new(), Refusing::new());
    let urls = [&one, &two].map(|nobody| format!("http://{}", nobody.authority));
    let gate = started(&[&urls[0], &urls[1]], &[]);
    let mut client = gate.http();
    for _ in 0..2 {
        assert_eq!(put(&mut client, "/v2/a"), 502);
        assert_eq!(client.ask("GET /v2/a", &[AUTH]).status(), 502);
    }
    in_log(&gate, &["PUT", " 502 ", &one.authority, &two.authority]);
    in_log(&gate, &["GET", " 502 ", &one.authority, &two.authority]);
}

#[test]
fn what_has_been_sent_is_sent_to_the_next_only_if_it_changes_nothing() {
    // Each with what a request that may not go on gets from the first.
    let first = [
        ("closes", closing as fn() -> Backend, 502),
        ("is silent", || Backend::script(silent), 504),
        ("sends garbage", || always("nonsense\r\n\r\n"), 502),
        (
            "breaks off",
            || {
                Backend::script(|mut peer| {
                    peer.request()?;
                    peer.say("HTTP/1.1 200 O")?;
                    peer.close();
                    Ok(())
                })
            },
            502,
        ),
        ("is busy", || always(BUSY), 503),
        ("fails", || always(BUSY.replace("503", "500")), 500),
        (
            "cannot reach another",
            || always(BUSY.replace("503", "504")),
            504,
        ),
    ];
    for (name, first, status) in first {
        for (method, length, goes_on) in [
            ("GET", None, true),
            ("HEAD", None, true),
            ("OPTIONS", None, true),
            ("GET", Some("Content-Length: 5"), false),
            ("GET", Some("Content-Length: 0"), true),
            ("DELETE", None, false),
            ("POST", Some("Content-Length: 0"), false),
            ("PUT", Some("Content-Length: 5"), false),
            ("PATCH", Some("Transfer-Encoding: chunked"), false),
        ] {
            let rough = matches!(name, "is silent" | "fails" | "cannot reach another");
            if rough && !matches!((method, length), ("GET", None) | ("PUT", _)) {
                // Enough of what takes a second, or is much the same.
                continue;
            }
            let (first, second) = (first(), saying(""));
            let gate = started(
                &[first.url(), second.url()],
                &["--response-timeout", "1", "--listen", "http://127.0.0.1:0"],
            );
            let mut client = gate.http();
            let mut fields = vec![AUTH];
            fields.extend(length);
            let body: &[u8] = match length {
                Some("Content-Length: 5") => b"hello",
                Some("Transfer-Encoding: chunked") => b"5\r\nhello\r\n0\r\n\r\n",
                _ => b"",
            };
            client.request_with(&format!("{method} /v2/a"), &fields, body);
            let answer = match method {
                "HEAD" => client.answer_to_head(),
                _ => client.answer(),
            };
            let wanted = if goes_on { 200 } else { status };
            assert_eq!(answer.status(), wanted, "it {name}: {method} {length:?}");
            assert_eq!(
                second.connections(),
                usize::from(goes_on),
                "it {name}: {method}"
            );
            assert_eq!(first.connections(), 1, "it {name}: {method}");
            if goes_on {
                in_log(
                    &gate,
                    &[method, &wanted.to_string(), first.acceptor.authority()],
                );
            }
        }
    }
}

#[test]
fn a_status_that_is_an_answer_is_passed_on() {
    for status in ["404", "401", "429", "501", "505", "507"] {
        let first = always(BUSY.replace("503", status));
        let second = saying("second");
        let gate = before(&[&first, &second]);
        let answer = gate.http().ask("GET /v2/", &[AUTH]);
        assert_eq!(answer.status().to_string(), status);
        assert_eq!(second.connections(), 0);
    }
}

#[test]
fn the_last_answer_is_relayed_as_it_is() {
    let gone = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nFrom: second\r\n\r\ngone";
    let (first, second) = (always(BUSY), always(gone));
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    for _ in 0..2 {
        let answer = client.ask("GET /v2/a", &[AUTH]);
        assert_eq!((answer.status(), answer.text().as_str()), (502, "gone"));
        assert_eq!(answer.field("From"), Some("second"));
    }
    // And a 5xx puts nobody aside.
    assert_eq!((first.requests().len(), second.requests().len()), (2, 2));
    in_log(&gate, &["answered 503", first.acceptor.authority()]);
    client.assert_open();
}

#[test]
fn an_answer_is_better_than_none_from_those_behind_it() {
    let silence: fn() -> Backend = || Backend::script(silent);
    for last in [closing, silence] {
        let nobody = Refusing::new();
        let (first, last) = (always(BUSY), last());
        let unreachable = format!("http://{}", nobody.authority);
        let gate = started(
            &[first.url(), &unreachable, last.url()],
            &["--response-timeout", "1"],
        );
        for mut client in [gate.http(), gate.https()] {
            let answer = client.ask("GET /v2/a", &[AUTH]);
            assert_eq!((answer.status(), answer.text().as_str()), (503, "busy"));
            assert_eq!(answer.field("From"), Some("first"));
            client.assert_open();
        }
        assert_eq!(last.connections(), 1, "it was put aside");
        in_log(
            &gate,
            &["answered 503", &nobody.authority, last.acceptor.authority()],
        );
    }
}

#[test]
fn an_interim_answer_that_came_with_a_busy_one_is_not_passed_on() {
    let first = always(format!(
        "HTTP/1.1 103 Early Hints\r\nFrom: first\r\n\r\n{BUSY}"
    ));
    let second = saying("second");
    let gate = before(&[&first, &second]);
    let answer = gate.http().ask("GET /v2/a", &[AUTH]);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "second"));
}

#[test]
fn one_that_failed_is_left_alone_for_a_while() {
    let silence: fn() -> Backend = || Backend::script(silent);
    let garbage: fn() -> Backend = || always("nonsense\r\n\r\n");
    for first in [closing, silence, garbage] {
        let (first, second) = (first(), saying("second"));
        let gate = started(&[first.url(), second.url()], &["--response-timeout", "1"]);
        let mut client = gate.http();
        let begin = Instant::now();
        for _ in 0..5 {
            assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
            assert_eq!(put(&mut client, "/v2/a"), 200);
        }
        assert!(begin.elapsed().as_secs() < 9, "too slow to say anything");
        assert_eq!(first.connections(), 1);
        gate.messages.wait_for_text("is left alone for 10 s");
    }
}

#[test]
fn one_that_cannot_be_connected_to_is_left_alone_for_a_while() {
    // Over TLS whose certificate nobody trusts every attempt is seen.
    let first = Backend::script_tls(|mut peer| peer.request().map(drop));
    let second = saying("second");
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    for _ in 0..5 {
        assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
    }
    assert_eq!(first.connections(), 1);
}

#[test]
fn an_upload_that_failed_puts_its_backend_aside_too() {
    let (first, second) = (closing(), saying("second"));
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    assert_eq!(put(&mut client, "/v2/a"), 502);
    assert_eq!(put(&mut client, "/v2/a"), 200);
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
    assert_eq!(first.connections(), 1);
}

#[test]
fn an_old_connection_that_the_backend_had_closed_is_not_held_against_it() {
    let first = Backend::script(|mut peer| {
        if peer.index > 0 {
            peer.request()?;
            peer.say(ok("again"))?;
            return peer.until_closed().map(drop);
        }
        peer.request()?;
        peer.say(ok("first"))?;
        peer.request()?;
        peer.close();
        Ok(())
    });
    let second = saying("second");
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "first");
    // It may have been carried out, so it is not sent again; but the backend is well.
    assert_eq!(put(&mut client, "/v2/a"), 502);
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "again");
    assert_eq!(second.connections(), 0);
}

#[test]
fn if_all_are_aside_all_are_tried_and_one_that_answers_is_back() {
    let recovering = |body: &'static str| {
        Backend::script(move |mut peer| {
            peer.request()?;
            if peer.index == 0 {
                peer.close();
                return Ok(());
            }
            peer.say(ok(body))?;
            while peer.try_request()?.is_some() {
                peer.say(ok(body))?;
            }
            Ok(())
        })
    };
    let (first, second) = (recovering("first"), recovering("second"));
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /v2/", &[AUTH]).status(), 502);
    for _ in 0..3 {
        assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "first");
    }
    assert_eq!((first.connections(), second.connections()), (2, 1));
}

#[test]
fn when_the_last_live_backend_fails_those_aside_are_tried() {
    let first = Backend::script(|mut peer| {
        peer.request()?;
        if peer.index > 0 {
            peer.say(ok("first"))?;
        }
        peer.close();
        Ok(())
    });
    let second = registry("second");
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
    assert_eq!(client.ask("GET /poison-second", &[AUTH]).text(), "first");
}

#[test]
fn an_upload_session_stays_with_the_backend_that_opened_it() {
    let (first, second) = (registry("first"), registry("second"));
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    let ask =
        |client: &mut Client, target: &str| client.ask(&format!("GET {target}"), &[AUTH]).text();

    let at_first = open(&mut client);
    assert_eq!(ask(&mut client, "/poison-first"), "second");
    let at_second = open(&mut client);
    assert_eq!(ask(&mut client, "/v2/"), "second", "the first is aside");
    // The session of the one that is aside goes to it all the same, and that shows that it is well again.
    assert_eq!(ask(&mut client, &at_first), "first");
    assert_eq!(ask(&mut client, "/v2/"), "first");
    // And the session of the other stays there, although the first is well.
    for (session, name, wanted) in [(&at_first, "first", [5, 0]), (&at_second, "second", [0, 4])] {
        for (method, status) in [("PATCH", 202), ("HEAD", 200), ("PATCH", 202), ("PUT", 201)] {
            // From whichever connection.
            let answer = gate
                .https()
                .ask(&format!("{method} {session}"), &[AUTH, "X: y"]);
            assert_eq!(answer.status(), status, "{method} {name}");
        }
        assert_eq!(seen([&first, &second], session), wanted, "{name}");
    }
}

#[test]
fn a_session_is_tried_with_no_other_backend_even_if_its_own_is_down() {
    // Opened by the first, which then closes every connection without a word.
    let first = Backend::script(|mut peer| {
        let request = peer.request()?;
        if request.start.starts_with("POST") {
            peer.say(format!(
                "HTTP/1.1 202 Accepted\r\nLocation: {UPLOADS}1?_state=x\r\nConnection: close\r\n\
                 Content-Length: 0\r\n\r\n"
            ))?;
        }
        peer.close();
        Ok(())
    });
    let second = registry("second");
    let gate = before(&[&first, &second]);
    let mut client = gate.http();
    let opened = client.ask(&format!("POST {UPLOADS}"), &[AUTH, "Content-Length: 0"]);
    assert_eq!(opened.status(), 202);
    for (method, connections) in [("GET", 2), ("PATCH", 3), ("HEAD", 4), ("PUT", 5)] {
        let answer = client.ask(&format!("{method} {UPLOADS}1?_state=y"), &[AUTH, "X: y"]);
        assert_eq!(answer.status(), 502, "{method}");
        // Aside as it is, it is asked, and the other is not.
        assert_eq!(first.connections(), connections, "{method}");
        assert_eq!(second.connections(), 0, "{method}");
    }
    // Another request, and another session, go to the second.
    assert_eq!(client.ask("GET /v2/", &[AUTH]).text(), "second");
    assert_eq!(put(&mut client, &format!("{UPLOADS}other?digest=z")), 201);
}

#[test]
fn a_session_that_is_over_or_unknown_takes_the_first_live_backend() {
    for (method, status) in [("PUT", 201), ("DELETE", 204)] {
        let (first, second) = (registry("first"), registry("second"));
        let gate = before(&[&first, &second]);
        let mut client = gate.http();
        let session = open(&mut client);
        let ended = client.ask(&format!("{method} {session}"), &[AUTH, "X: y"]);
        assert_eq!(ended.status(), status);
        assert_eq!(put(&mut client, &format!("{UPLOADS}unknown?digest=z")), 201);
        assert_eq!((first.requests().len(), second.connections()), (3, 0));
        assert_eq!(client.ask("GET /poison-first", &[AUTH]).text(), "second");
        assert_eq!(
            client.ask(&format!("GET {session}"), &[AUTH]).text(),
            "second"
        );
        assert_eq!(put(&mut client, &format!("{UPLOADS}unknown?digest=z")), 201);
        assert_eq!(seen([&first, &second], &session), [1, 1]);
    }
}

#[test]
fn a_gate_is_ready_as_long_as_one_backend_is_reachable() {
    let nobody = Refusing::new();
    let mut second = Backend::script(|_| Ok(()));
    let url = format!("http://{}", nobody.authority);
    let dir = crate::support::Dir::new();
    let admin = format!("unix:{}", dir.path("admin.sock"));
    let gate = started(&[&url, second.url()], &["--admin", &admin]);
    let mut args = vec!["health"];
    args.extend(gate.args.iter().map(String::as_str));
    let ready = || crate::support::gate::run(&args).code();
    assert_eq!(ready(), Some(0));
    // The connection that the question left behind would do until its end.
    second.wait_for_end(0).unwrap();
    second.stop();
    assert_eq!(ready(), Some(1));
}

#[test]
fn a_status_without_a_meaning_is_relayed_and_its_backend_is_asked_again() {
    for status in [600, 799, 999] {
        let answer = format!("HTTP/1.1 {status} Odd\r\nContent-Length: 2\r\nX-Own: 1\r\n\r\nok");
        let (first, second) = (always(answer), saying("second"));
        let gate = before(&[&first, &second]);
        let mut client = gate.http();
        for _ in 0..2 {
            let answer = client.ask("GET /", &[AUTH]);
            assert_eq!(answer.status(), status);
            assert_eq!(
                (answer.text().as_str(), answer.field("X-Own")),
                ("ok", Some("1"))
            );
        }
        client.request_with("PUT /", &[AUTH, "Content-Length: 1"], b"a");
        assert_eq!(client.answer().status(), status);
        assert_eq!(first.requests().len(), 3);
        second.assert_untouched();
        in_log(&gate, &["GET", &format!(" {status} ")]);
    }
}
