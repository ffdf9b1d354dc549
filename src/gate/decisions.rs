//! The table of `tests/access/decisions`: what a gate with an access file says of each request.

use std::sync::Arc;
use std::task::Waker;

use super::access::{Access, OtherGroups};
use super::auth::{Guesses, Hashes, Htpasswd, Users, basic_of};
use super::tokens::TokenKeys;
use super::{
    Authority, Decision, Denial, Gatekeeper, Grant, Handshake, PathRules, Proof, Task, Visit,
};
use crate::http::{PathDecides, RequestHead};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Everybody's password is "correct horse".
const HASH: &str = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=";

/// A gate for all who are named, where that access file holds.
fn gatekeeper(access: &str, users: &[&str]) -> Gatekeeper {
    let lines: Vec<_> = users
        .iter()
        .map(|user| format!("{user}:{HASH}\n"))
        .collect();
    let users = Users::parse(lines.concat().as_bytes()).ok().unwrap();
    let guesses = Guesses {
        most: None,
        exempt: Vec::new(),
    };
    let access = Access::parse(access.as_bytes(), OtherGroups::None).unwrap();
    let paths = PathRules {
        always: PathDecides::Everywhere,
        asked_about: PathDecides::Everywhere,
    };
    let authority = Authority::Htpasswd(Htpasswd::new(users, guesses, Hashes::default()));
    let handshake = Handshake {
        keys: TokenKeys::random().unwrap(),
        is_lasting: false,
        external: None,
    };
    Gatekeeper::new(authority, "test", paths, Some(access), handshake)
}

fn decide(gate: &Gatekeeper, user: &str, request: &str, more: &str) -> Result<Grant, Denial> {
    let mut head = format!("{request} HTTP/1.1\r\nHost: h\r\n{more}").into_bytes();
    if user != "-" {
        head.extend_from_slice(b"Authorization: ");
        head.extend_from_slice(&basic_of(user.as_bytes(), b"correct horse"));
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let (head, _) = match RequestHead::parse(&head) {
        Ok(parsed) => parsed.unwrap(),
        Err(refusal) => return Err(Denial::of(refusal)),
    };
    let visit = Visit {
        client: [127, 0, 0, 1].into(),
        forwarded_for: "",
        proto: "http",
        host: "h",
        request_id: "1",
        proof: &Proof::None,
    };
    let mut decision = gate.decide(&head, &visit);
    loop {
        decision = match decision {
            Decision::Made(made) => return made,
            Decision::Later(inquiry) | Decision::Blocks(inquiry) => {
                gate.go_on(inquiry, &head, &visit, Waker::noop(), true)
            }
        };
    }
}

fn said(decision: &Result<Grant, Denial>) -> String {
    match decision {
        Err(denial) => denial.refusal.status().to_string(),
        Ok(grant) => match (grant.task(), grant.target()) {
            (Task::Relay, None) => "yes".to_owned(),
            (Task::Relay, Some(target)) => format!("yes>{}", String::from_utf8_lossy(target)),
            (Task::Preflight, _) => "preflight".to_owned(),
            (Task::List(..), _) => "list".to_owned(),
            (Task::Token(_), _) => "token".to_owned(),
            (Task::Create { tags, .. }, _) => format!("create {}", tags.join(" ")),
        },
    }
}

/// With `$D` and `${repeat COUNT TEXT}` spelt out.
fn spelt_out(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${repeat ") {
        let (inside, behind) = after.split_once('}').unwrap();
        let (count, text) = inside.split_once(' ').unwrap();
        out.push_str(before);
        out.push_str(&text.repeat(count.parse().unwrap()));
        rest = behind;
    }
    out.push_str(rest);
    out.replace("$D", DIGEST)
}

/// User, request, decision.
type Row = (String, String, String);

/// Each block of the table: the lines of its file, and its rows.
fn blocks() -> Vec<(String, Vec<Row>)> {
    let text = include_str!("../../tests/access/decisions");
    let blocks = text.split("\n\n").map(|block| {
        let lines: Vec<_> = block
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let file = lines.iter().filter_map(|line| line.strip_prefix("= "));
        let file: String = file.map(|line| format!("{line}\n")).collect();
        let rows = lines.iter().filter(|line| !line.starts_with("= "));
        let rows = rows.map(|row| {
            let row = spelt_out(row);
            let mut words = row.splitn(4, ' ').map(str::to_owned);
            let [user, method, target, decision] = std::array::from_fn(|_| words.next().unwrap());
            (user, format!("{method} {target}"), decision)
        });
        (file, rows.collect::<Vec<_>>())
    });
    blocks.filter(|(file, _)| !file.is_empty()).collect()
}

#[test]
fn the_table() {
    let mut rows_seen = 0;
    for (file, rows) in blocks() {
        let mut users: Vec<_> = rows.iter().map(|(user, ..)| user.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        let gate = gatekeeper(&file, &users);
        for (user, request, expected) in &rows {
            let decision = said(&decide(&gate, user, request, ""));
            assert_eq!(&decision, expected, "{user} {request}\n{file}");
            rows_seen += 1;
        }
    }
    assert!(rows_seen >= 200, "{rows_seen}");
}

/// The same lines in another order decide alike, and another line takes nothing away.
#[test]
fn order_means_nothing_and_a_line_more_takes_nothing_away() {
    for (file, rows) in blocks() {
        let users: Vec<_> = rows.iter().map(|(user, ..)| user.as_str()).collect();
        let mut users = users;
        users.sort_unstable();
        users.dedup();
        let reversed: String = file.lines().rev().map(|line| format!("{line}\n")).collect();
        let more = format!("{file}zoe pull,push,delete **\n* pull zzz/**\nanonymous path /zzz\n");
        let (reversed, more) = (gatekeeper(&reversed, &users), gatekeeper(&more, &users));
        for (user, request, expected) in &rows {
            for gate in [&reversed, &more] {
                let decision = said(&decide(gate, user, request, ""));
                assert_eq!(&decision, expected, "{user} {request}\n{file}");
            }
        }
    }
}

#[test]
fn a_denial_names_user_deed_and_place() {
    let gate = gatekeeper("alice pull team/**\n", &["alice"]);
    for (user, request, message, missing) in [
        (
            "alice",
            "PUT /v2/team/app/manifests/v1",
            "alice may not push to team/app",
            Some("push"),
        ),
        (
            "alice",
            "GET /v2/other/manifests/v1",
            "alice may not pull other",
            Some("pull"),
        ),
        (
            "alice",
            "DELETE /v2/team/app/manifests/v1",
            "alice may not delete from team/app",
            Some("delete"),
        ),
        ("alice", "GET /ui", "alice may not use /ui", Some("path")),
        (
            "alice",
            "OPTIONS /v2/team/app/tags/list",
            "alice may not use OPTIONS on team/app",
            None,
        ),
    ] {
        let denial = decide(&gate, user, request, "").err().unwrap();
        assert_eq!(denial.refusal.message(), message);
        assert_eq!(denial.user.as_deref(), Some(user.as_bytes()));
        assert!(denial.is_proved);
        assert_eq!(denial.missing.map(|missing| missing.right), missing);
    }
}

#[test]
fn a_form_begins_no_upload() {
    let gate = gatekeeper("alice push a\nanonymous push b\n", &["alice"]);
    for (kind, expected) in [
        ("application/x-www-form-urlencoded", "415"),
        ("Application/X-WWW-Form-urlencoded ; charset=x", "415"),
        ("multipart/form-data; boundary=x", "415"),
        // Go trims and lowers by Unicode: a no-break space behind, an ideographic one before, a dotted capital I within.
        ("application/x-www-form-urlencoded\u{a0}", "415"),
        ("\u{3000}application/x-www-form-urlencoded", "415"),
        ("appl\u{130}cation/x-www-form-urlencoded", "415"),
        ("multipart/form-data\u{a0}; boundary=B", "415"),
        ("application/octet-stream", "yes"),
        ("text/plain; x=multipart/form-data", "yes"),
    ] {
        let more = format!("Content-Type: {kind}\r\nContent-Length: 0\r\n");
        for (user, repository) in [("alice", "a"), ("-", "b")] {
            let request = format!("POST /v2/{repository}/blobs/uploads/");
            assert_eq!(
                said(&decide(&gate, user, &request, &more)),
                expected,
                "{kind}"
            );
        }
        let decision = decide(&gate, "alice", "PUT /v2/a/blobs/uploads/x?digest=x", &more);
        assert_eq!(said(&decision), "yes");
    }
    let twice = "Content-Type: a/b\r\nContent-Type: multipart/form-data\r\n";
    assert_eq!(
        said(&decide(&gate, "alice", "POST /v2/a/blobs/uploads/", twice)),
        "415"
    );
}

#[test]
fn wrong_credentials_are_asked_for_again_where_anybody_may() {
    let gate = Arc::new(gatekeeper("anonymous pull a\n", &["alice"]));
    for authorization in ["Basic YWxpY2U6d3Jvbmc=", "Basic !", "Bearer x"] {
        let more = format!("Authorization: {authorization}\r\n");
        let decision = decide(&gate, "-", "GET /v2/a/manifests/v1", &more);
        assert_eq!(said(&decision), "401", "{authorization}");
    }
    let nobody = "Authorization: Basic Og==\r\n";
    assert_eq!(
        said(&decide(&gate, "-", "GET /v2/a/manifests/v1", nobody)),
        "yes"
    );
}
