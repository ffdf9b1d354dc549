//! A listener that sends everybody to `https://`.

use crate::support::{AUTH, Backend, Client, Dir, Gate};

#[test]
fn everybody_is_sent_to_tls_with_method_body_and_target_as_they_came() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let tls = dir.path("tls");
    let args = [
        "--listen",
        "redirect://127.0.0.1:0",
        "--listen",
        "https://127.0.0.1:0",
        "--tls-self-signed",
        &tls,
        "--backend",
        backend.url(),
    ];
    let gate = Gate::start_in(dir, &args);
    let port = gate.authority("https").rsplit(':').next().unwrap();
    let mut client = Client::clear(gate.authority("redirect"));
    for (line, fields, place) in [
        ("GET /v2/?x=y", &["Host: a.example"][..], "a.example"),
        (
            "PUT /v2/a%2Fb",
            &["Host: a.example:80", AUTH, "Content-Length: 0"],
            "a.example",
        ),
        ("DELETE /", &["Host: [::1]:80"], "[::1]"),
        (
            "GET /.well-known/acme-challenge/token",
            &["Host: a.example"],
            "a.example",
        ),
    ] {
        client.send(format!(
            "{line} HTTP/1.1\r\n{}\r\n\r\n",
            fields.join("\r\n")
        ));
        let answer = client.answer();
        let target = line.split(' ').nth(1).unwrap();
        assert_eq!(answer.status(), 308, "{line}");
        let wanted = format!("https://{place}:{port}{target}");
        assert_eq!(answer.field("location"), Some(&*wanted));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status(), 308);
    backend.assert_untouched();
    let log = gate.log.wait_for_count(5);
    assert!(log.iter().all(|line| line.contains(" 308 ")), "{log:?}");
}
