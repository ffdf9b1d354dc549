//! An access file before a registry that a test plays: who gets through with what, what a backend sees of it, tags that stay, and
//! a catalogue as far as the viewer may see it.

use crate::support::backend::sha256;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, Peer, api, basic, gate};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

const ALICE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const BOB: &str = "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

/// What the registry has: manifests by `repository:tag`, and the names of its catalogue.
#[derive(Clone, Default)]
struct Registry {
    tags: Arc<Mutex<BTreeMap<String, String>>>,
    names: Arc<Vec<String>>,
    /// In place of what it has to say of a tag.
    about_tags: Option<&'static str>,
    /// Names on a page, whatever is asked.
    at_once: usize,
}

impl Registry {
    fn with_names(names: impl Iterator<Item = String>) -> Registry {
        Registry {
            names: Arc::new(names.collect()),
            at_once: 1000,
            ..Registry::default()
        }
    }

    fn backend(&self) -> Backend {
        let registry = self.clone();
        Backend::script(move |mut peer| {
            while let Some(request) = peer.try_request()? {
                registry.answer(&mut peer, &request)?;
            }
            Ok(())
        })
    }

    fn answer(&self, peer: &mut Peer, request: &Message) -> io::Result<()> {
        let mut words = request.start.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let path = target.split('?').next().unwrap();
        if path == "/v2/_catalog" {
            return self.catalog(peer, target);
        }
        let tag = path
            .strip_prefix("/v2/")
            .and_then(|rest| rest.split_once("/manifests/"));
        let Some((repository, tag)) = tag else {
            return peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        };
        let key = format!("{repository}:{tag}");
        match method {
            "HEAD" => {
                let found = self.tags.lock().unwrap().get(&key).cloned();
                peer.say(match (self.about_tags, found) {
                    (Some(said), _) => said.to_owned(),
                    (None, Some(digest)) => format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nDocker-Content-Digest: sha256:{digest}\r\n\r\n"
                    ),
                    (None, None) => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                })
            }
            _ => {
                let digest = sha256(&request.body);
                self.tags.lock().unwrap().insert(key, digest.clone());
                peer.say(format!(
                    "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nDocker-Content-Digest: sha256:{digest}\r\n\r\n"
                ))
            }
        }
    }

    fn catalog(&self, peer: &mut Peer, target: &str) -> io::Result<()> {
        let last = target
            .split_once("last=")
            .map(|(_, last)| last.split('&').next().unwrap().replace("%2F", "/"));
        let after = self
            .names
            .iter()
            .filter(|name| last.as_ref().is_none_or(|last| *name > last));
        let page: Vec<_> = after.clone().take(self.at_once).collect();
        let link = match after.count() > page.len() {
            true => format!(
                "Link: </v2/_catalog?last={}&n={}>; rel=\"next\"\r\n",
                page.last().unwrap(),
                self.at_once
            ),
            false => String::new(),
        };
        let mut body = String::new();
        write!(body, "{{\"repositories\": {page:?}}}").unwrap();
        peer.say(format!(
            "HTTP/1.1 200 OK\r\n{link}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// A gate with this access file, for alice and bob, whose passwords are "secret".
fn gate_with(access: &str, backend: &Backend) -> Gate {
    let dir = Dir::new();
    let users = dir.file("users", format!("{ALICE}{BOB}"));
    let access = dir.file("access", access);
    Gate::start_in(
        dir,
        &[
            "--htpasswd",
            &users,
            "--access",
            &access,
            "--backend",
            backend.url(),
        ],
    )
}

fn bob() -> String {
    basic(b"bob", b"secret")
}

fn put(client: &mut Client, target: &str, auth: &str, body: &str) -> Message {
    let length = format!("Content-Length: {}", body.len());
    client.request_with(&format!("PUT {target}"), &[auth, &length], body.as_bytes());
    client.answer()
}

#[test]
fn who_lacks_a_right_is_told_which_and_the_backend_hears_nothing_of_it() {
    let backend = Backend::echo();
    let gate = gate_with("alice pull team/**\n", &backend);
    for mut client in gate.both() {
        let answer = put(&mut client, "/v2/team/app/manifests/v1", AUTH, "{}");
        assert_eq!(answer.status(), 403);
        answer.assert_oci("DENIED");
        assert!(
            answer.text().contains("\"alice may not push to team/app\""),
            "{}",
            answer.text()
        );
        let answer = client.ask("GET /v2/team/nothing", &[AUTH]);
        assert_eq!(answer.status(), 404);
        answer.assert_oci("NAME_UNKNOWN");
        let answer = client.ask("GET /ui", &[AUTH]);
        assert_eq!(
            (answer.status(), answer.text()),
            (403, "alice may not use /ui\n".to_owned())
        );
        let answer = client.ask("GET /v2/team/app/manifests/v1", &[]);
        assert_eq!(answer.status(), 401);
        answer.assert_oci("UNAUTHORIZED");
    }
    gate.log.wait_for("the denial", |line| {
        line.contains("alice \"PUT /v2/team/app/manifests/v1\" 403")
            && line.contains("note=\"alice may not push to team/app\"")
    });
    gate.messages.wait_for("the audit", |line| {
        line.contains("denied alice push on team/app from 127.0.0.1")
    });
    backend.assert_untouched();
}

#[test]
fn an_anonymous_line_lets_strangers_pull_and_nothing_else() {
    let backend = Backend::echo();
    let gate = gate_with("anonymous pull public/**\nalice push public/**\n", &backend);
    let mut client = gate.http();
    let answer = client.ask("GET /v2/public/app/manifests/v1", &[]);
    assert_eq!(answer.status(), 200);
    let seen = answer.text().to_ascii_lowercase();
    assert!(
        !seen.contains("x-remote-user") && !seen.contains("authorization"),
        "{seen}"
    );
    for (line, fields, status) in [
        ("GET /v2/", &[][..], 401),
        ("GET /v2/_catalog", &[], 401),
        ("POST /v2/public/app/blobs/uploads/", &[], 401),
        ("GET /v2/other/app/manifests/v1", &[], 401),
        (
            "GET /v2/public/app/manifests/v1",
            &["Authorization: Basic YWxpY2U6d3Jvbmc="],
            401,
        ),
        (
            "GET /v2/public/app/manifests/v1",
            &["Authorization: Basic Og=="],
            200,
        ),
        ("GET /v2/", &[AUTH], 200),
        ("POST /v2/public/app/blobs/uploads/", &[AUTH], 200),
        ("GET /v2/public/app/manifests/v1", &[bob().as_str()], 200),
        ("POST /v2/public/app/blobs/uploads/", &[bob().as_str()], 403),
    ] {
        assert_eq!(
            client.ask(line, fields).status(),
            status,
            "{line} {fields:?}"
        );
    }
}

#[test]
fn a_mount_of_what_may_not_be_read_goes_on_as_an_upload() {
    let backend = Backend::echo();
    let gate = gate_with(
        "alice push own/**\nalice pull team/open\nbob push team/**\n",
        &backend,
    );
    let mut client = gate.http();
    for (query, forwarded) in [
        (
            "?mount=sha256:ab&from=team/open",
            "?mount=sha256:ab&from=team/open",
        ),
        ("?mount=sha256:ab&from=team%2Fsecret&x=%20", "?x=%20"),
        ("?mount=sha256:ab", ""),
    ] {
        let line = format!("POST /v2/own/app/blobs/uploads/{query}");
        let answer = client.ask(&line, &[AUTH]);
        let wanted = format!("POST /v2/own/app/blobs/uploads/{forwarded} HTTP/1.1");
        assert_eq!(
            answer.text().lines().next(),
            Some(wanted.as_str()),
            "{query}"
        );
    }
    let form = "Content-Type: application/x-www-form-urlencoded";
    let body = b"mount=sha256:ab&from=team/secret";
    let length = format!("Content-Length: {}", body.len());
    client.request_with(
        "POST /v2/own/app/blobs/uploads/",
        &[AUTH, form, &length],
        body,
    );
    assert_eq!(client.answer().status(), 415);
    let answer = client.ask("POST /v2/own/app/blobs/uploads/?mount=a;from=b", &[AUTH]);
    assert_eq!(answer.status(), 400);
}

#[test]
fn a_tag_that_exists_is_not_moved_by_who_may_only_create() {
    let registry = Registry::default();
    let backend = registry.backend();
    let gate = gate_with("alice create release/**\nbob push release/**\n", &backend);
    for mut client in gate.both() {
        registry.tags.lock().unwrap().clear();
        assert_eq!(
            put(&mut client, "/v2/release/app/manifests/v1", AUTH, "one").status(),
            201
        );
        assert_eq!(
            put(&mut client, "/v2/release/app/manifests/v1", AUTH, "one").status(),
            201
        );
        let answer = put(&mut client, "/v2/release/app/manifests/v1", AUTH, "two");
        assert_eq!(answer.status(), 409);
        answer.assert_oci("DENIED");
        assert!(
            answer
                .text()
                .contains("\"tag v1 exists and may not be moved\""),
            "{}",
            answer.text()
        );
        // In chunks, and asked for.
        let fields = [AUTH, "Transfer-Encoding: chunked", "Expect: 100-continue"];
        client.request("PUT /v2/release/app/manifests/v2", &fields);
        assert_eq!(client.answer().status(), 100);
        client.send("3\r\nthr\r\n2\r\nee\r\n0\r\n\r\n");
        assert_eq!(client.answer().status(), 201);
        let tags = registry.tags.lock().unwrap().clone();
        assert_eq!(tags.get("release/app:v2"), Some(&sha256(b"three")));
        assert_eq!(tags.get("release/app:v1"), Some(&sha256(b"one")));
        assert_eq!(
            put(&mut client, "/v2/release/app/manifests/v1", &bob(), "two").status(),
            201
        );
        let signature = format!("/v2/release/app/manifests/sha256-{}.sig", "a".repeat(64));
        for body in ["one", "two"] {
            assert_eq!(put(&mut client, &signature, AUTH, body).status(), 201);
        }
        // By digest, and beside it by a tag.
        let digest = format!("/v2/release/app/manifests/sha256:{}", sha256(b"x"));
        assert_eq!(put(&mut client, &digest, AUTH, "x").status(), 201);
        assert_eq!(
            put(&mut client, &format!("{digest}?tag=v1"), AUTH, "x").status(),
            409
        );
        assert_eq!(
            put(&mut client, &format!("{digest}?tag=v9"), AUTH, "x").status(),
            201
        );
    }
    let heads = backend
        .requests()
        .into_iter()
        .filter(|request| request.start.starts_with("HEAD "));
    for head in heads {
        assert!(
            head.field("accept")
                .unwrap()
                .contains("application/vnd.oci.image.index.v1+json")
        );
        assert_eq!(head.field("x-remote-user"), Some("alice"));
        assert!(!head.has("authorization") && !head.has("content-length"));
    }
}

#[test]
fn what_cannot_be_told_of_a_tag_is_no_leave_to_move_it() {
    for said in [
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDocker-Content-Digest: md5:ab\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:ab\r\nDocker-Content-Digest: sha256:cd\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let registry = Registry {
            about_tags: Some(said),
            ..Registry::default()
        };
        let backend = registry.backend();
        let gate = gate_with("alice create release/**\n", &backend);
        let answer = put(
            &mut gate.http(),
            "/v2/release/app/manifests/v1",
            AUTH,
            "one",
        );
        assert_eq!(answer.status(), 503, "{said}");
        assert!(answer.has("retry-after"), "{said}");
        answer.assert_oci("UNAVAILABLE");
        assert!(registry.tags.lock().unwrap().is_empty(), "{said}");
    }
}

#[test]
fn of_two_who_create_a_tag_at_once_one_does() {
    let registry = Registry::default();
    let backend = registry.backend();
    let gate = gate_with("* create release/**\n", &backend);
    for round in 0..50 {
        let target = format!("/v2/release/app/manifests/v{round}");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|number| {
                    let (mut client, target) = (gate.http(), &target);
                    scope.spawn(move || {
                        put(&mut client, target, AUTH, &format!("{number}")).status()
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won = statuses.iter().filter(|status| **status == 201).count();
        let lost = statuses.iter().filter(|status| **status == 409).count();
        assert_eq!((won, lost), (1, 3), "{statuses:?}");
    }
}

#[test]
fn a_manifest_that_is_too_long_or_cut_short_creates_nothing() {
    let registry = Registry::default();
    let backend = registry.backend();
    let gate = gate_with("alice create release/**\n", &backend);
    let mut client = gate.http();
    let length = format!("Content-Length: {}", 4 * 1024 * 1024 + 1);
    client.request("PUT /v2/release/app/manifests/v1", &[AUTH, &length]);
    let answer = client.answer();
    assert_eq!(answer.status(), 413);
    answer.assert_oci("SIZE_INVALID");
    let mut client = gate.http();
    client.request(
        "PUT /v2/release/app/manifests/v1",
        &[AUTH, "Transfer-Encoding: chunked"],
    );
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    for _ in 0..5 {
        // It may be told no before the last one.
        let _ = client.try_send(&chunk);
    }
    assert_eq!(client.answer().status(), 413);
    let mut client = gate.http();
    client.request_with(
        "PUT /v2/release/app/manifests/v1",
        &[AUTH, "Content-Length: 9"],
        b"half",
    );
    client.half_close();
    // There is nothing to say to it.
    assert!(client.rest().0.is_empty());
    let whole = "y".repeat(4 * 1024 * 1024);
    let answer = put(
        &mut gate.https(),
        "/v2/release/app/manifests/v1",
        AUTH,
        &whole,
    );
    assert_eq!(answer.status(), 201);
    let tags = registry.tags.lock().unwrap().clone();
    assert_eq!(tags.get("release/app:v1"), Some(&sha256(whole.as_bytes())));
}

/// All pages of the catalogue.
fn catalogue(client: &mut Client, first: &str, auth: &str) -> (Vec<String>, usize) {
    let (mut names, mut pages) = (Vec::new(), 0);
    let mut target = first.to_owned();
    loop {
        let answer = client.ask(&format!("GET {target}"), &[auth]);
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(
            answer.field("content-type"),
            Some("application/json; charset=utf-8")
        );
        pages += 1;
        let text = answer.text();
        let list = text
            .trim()
            .strip_prefix("{\"repositories\":[")
            .and_then(|rest| rest.strip_suffix("]}"));
        let list = list.unwrap_or_else(|| panic!("{text}")).split(',');
        names.extend(
            list.filter(|name| !name.is_empty())
                .map(|name| name.trim_matches('"').to_owned()),
        );
        let Some(link) = answer.field("link") else {
            return (names, pages);
        };
        let next = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""));
        target = next.unwrap_or_else(|| panic!("{link}")).to_owned();
        assert!(pages < 100);
    }
}

#[test]
fn the_catalogue_shows_what_may_be_pulled_and_is_refilled() {
    let names = (0..1000).map(|number| format!("team{}/app{number:04}", number % 7));
    let mut all: Vec<String> = names
        .chain(["own/a", "own/b", "own/c"].map(str::to_owned))
        .collect();
    all.sort();
    for at_once in [1000, 100, 1] {
        let registry = Registry {
            at_once,
            ..Registry::with_names(all.iter().cloned())
        };
        let backend = registry.backend();
        let gate = gate_with("alice pull own/**\nbob push team3/**\n", &backend);
        let mut client = gate.http();
        let own = ["own/a", "own/b", "own/c"];
        if at_once > 1 {
            assert_eq!(
                catalogue(&mut client, "/v2/_catalog", AUTH),
                (own.map(str::to_owned).to_vec(), 1)
            );
        }
        let (found, pages) = catalogue(&mut client, "/v2/_catalog?n=2", AUTH);
        assert_eq!(found, own);
        assert!(pages >= 2);
        let (found, _) = catalogue(&mut client, "/v2/_catalog?n=10", &bob());
        let wanted: Vec<_> = all
            .iter()
            .filter(|name| name.starts_with("team3/"))
            .cloned()
            .collect();
        assert_eq!(found, wanted);
        let (found, _) = catalogue(&mut client, "/v2/_catalog?n=2&last=own%2Fa", AUTH);
        assert_eq!(found, ["own/b", "own/c"]);
    }
}

#[test]
fn a_catalogue_that_is_huge_or_none_is_bounded_and_told() {
    let registry = Registry::with_names((0..25_000).map(|number| format!("team/app{number:05}")));
    let backend = registry.backend();
    let gate = gate_with("alice pull team/app24999\n", &backend);
    let mut client = gate.http();
    assert_eq!(
        catalogue(&mut client, "/v2/_catalog", AUTH),
        (vec!["team/app24999".to_owned()], 3)
    );
    let (found, pages) = catalogue(&mut client, "/v2/_catalog", &bob());
    assert_eq!((found.len(), pages), (0, 3));
    let answer = client.ask("GET /v2/_catalog?n=0", &[AUTH]);
    assert_eq!(answer.text(), "{\"repositories\":[]}\n");
    client.request("HEAD /v2/_catalog?n=1", &[AUTH]);
    assert_eq!(client.answer_to_head().status(), 200);
    for said in [
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"repositories\":[\"a\"",
    ] {
        let backend = Backend::script(move |mut peer| {
            peer.request()?;
            peer.say(said)
        });
        let gate = gate_with("alice pull **\n", &backend);
        assert_eq!(
            gate.http().ask("GET /v2/_catalog", &[AUTH]).status(),
            502,
            "{said}"
        );
    }
}

#[test]
fn a_catalogue_goes_on_behind_a_name_that_is_not_shown() {
    let registry = Registry::with_names((0..10_500).map(|number| format!("hidden/app{number:05}")));
    let backend = registry.backend();
    let gate = gate_with("alice pull own/**\n", &backend);
    let mut client = gate.http();
    let answer = client.ask("GET /v2/_catalog?n=5", &[AUTH]);
    let link = answer.field("link").unwrap();
    assert!(!link.contains("hidden") && link.len() > 256, "{link}");
    let forged = client.ask("GET /v2/_catalog?last=~aGlkZGVu", &[AUTH]);
    assert_eq!(forged.status(), 400);
    assert_eq!(
        catalogue(&mut client, "/v2/_catalog", AUTH),
        (Vec::new(), 2)
    );
    // It went on where it was, and not from the beginning.
    let last = backend.requests().pop().unwrap();
    assert!(
        last.start.contains("last=hidden%2Fapp09999"),
        "{}",
        last.start
    );
}

#[test]
fn what_a_registry_says_in_place_of_its_catalogue_is_told() {
    for (said, status) in [
        ("404 Not Found\r\n", 404),
        ("405 No\r\n", 405),
        ("401 No\r\nWWW-Authenticate: Basic realm=\"inner\"\r\n", 401),
        ("503 Later\r\n", 503),
    ] {
        let backend = Backend::script(move |mut peer| {
            peer.request()?;
            peer.say(format!("HTTP/1.1 {said}Content-Length: 0\r\n\r\n"))
        });
        let gate = gate_with("alice pull **\n", &backend);
        let answer = gate.http().ask("GET /v2/_catalog", &[AUTH]);
        assert_eq!(answer.status(), status, "{said}");
        assert_eq!(
            answer.field("www-authenticate"),
            (status == 401).then_some("Basic realm=\"inner\"")
        );
    }
    // Some have a limit of their own, and refuse a page over it.
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            let (status, body) = match request.start.contains("n=") {
                true => ("400 Too Many", "{}"),
                false => ("200 OK", "{\"repositories\":[\"a\",\"b\"]}"),
            };
            let length = body.len();
            peer.say(format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))?;
        }
        Ok(())
    });
    let gate = gate_with("alice pull a\n", &backend);
    let (names, _) = catalogue(&mut gate.http(), "/v2/_catalog?n=7", AUTH);
    assert_eq!(names, ["a"]);
}

/// The time-out is the one that was set, as for any other answer.
#[test]
fn a_catalogue_that_does_not_come_is_given_up_when_any_answer_is() {
    let backend = Backend::script(|peer| peer.head_and_rest());
    let dir = Dir::new();
    let access = dir.file("access", "alice pull a\n");
    let args = ["--access", &access, "--backend", backend.url()];
    let gate = Gate::start_in(dir, &[&args[..], &["--response-timeout", "1"]].concat());
    let answer = gate.http().ask("GET /v2/_catalog", &[AUTH]);
    assert_eq!(answer.status(), 504);
}

/// A registry that stores "slow" only when it is told to go on.
fn slow_registry(tags: &Tags) -> Backend {
    let tags = Arc::clone(tags);
    Backend::script(move |mut peer| {
        while let Some(request) = peer.try_request()? {
            let mut words = request.start.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let found = tags.lock().unwrap().get(&target).cloned();
            match (method, found) {
                ("HEAD", Some(digest)) => peer.say(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nDocker-Content-Digest: sha256:{digest}\r\n\r\n"
                ))?,
                ("HEAD", None) => peer.say("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")?,
                ("GET", _) => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
                _ if request.body == b"lost" => return Ok(()),
                _ => {
                    if request.body == b"slow" {
                        peer.pause()?;
                    }
                    tags.lock().unwrap().insert(target, sha256(&request.body));
                    peer.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")?;
                }
            }
        }
        Ok(())
    })
}

type Tags = Arc<Mutex<BTreeMap<String, String>>>;

/// Over the bound of requests that go on without a client too: what was sent may be stored.
#[test]
fn who_goes_away_leaves_no_tag_to_be_moved_afterwards() {
    const MANY: usize = 34;
    let tags = Tags::default();
    let backend = slow_registry(&tags);
    let gate = gate_with("* create release/**\n", &backend);
    let target = |number| format!("/v2/release/app/manifests/v{number}");
    let slow = |number| {
        let mut client = gate.http();
        let line = format!("PUT {}", target(number));
        client.request_with(&line, &[AUTH, "Content-Length: 4"], b"slow");
        client
    };
    let gone: Vec<Client> = (0..MANY).map(slow).collect();
    backend.wait_for_request(2 * MANY - 1);
    // It waits for its tag, and is carried out too.
    let waiting = slow(0);
    let mut client = gate.http();
    let mut meanwhile = || (0..50).for_each(|_| drop(client.ask("GET /v2/", &[AUTH])));
    meanwhile();
    waiting.reset();
    gone.into_iter().for_each(Client::reset);
    meanwhile();
    let mut others: Vec<Client> = (0..MANY)
        .map(|number| {
            let mut other = gate.http();
            let line = format!("PUT {}", target(number));
            other.request_with(&line, &[&bob(), "Content-Length: 5"], b"other");
            other
        })
        .collect();
    meanwhile();
    (0..=MANY).for_each(|_| backend.go());
    for other in &mut others {
        assert_eq!(other.answer().status(), 409);
    }
    let log = gate.log.wait_for_count(3 * 50 + 2 * MANY + 1);
    let stored = log.iter().filter(|line| line.contains("/v0\" 201"));
    assert_eq!(stored.count(), 2);
    assert_eq!(tags.lock().unwrap().len(), MANY);
}

#[test]
fn a_tag_whose_end_nobody_heard_of_is_taken_for_a_while() {
    let tags = Tags::default();
    let backend = slow_registry(&tags);
    let dir = Dir::new();
    let access = dir.file("access", "alice create release/**\n");
    let args = ["--access", &access, "--backend", backend.url()];
    let gate = Gate::start_with(dir, &[("UNHEARD_TAGS", "1")], &args);
    let target = "/v2/release/app/manifests/v1";
    assert_eq!(put(&mut gate.http(), target, AUTH, "lost").status(), 502);
    let mut client = gate.http();
    client.request_with(
        &format!("PUT {target}"),
        &[AUTH, "Content-Length: 5"],
        b"other",
    );
    gate.http().ask("GET /v2/", &[AUTH]);
    tags.lock()
        .unwrap()
        .insert(target.to_owned(), sha256(b"lost"));
    assert_eq!(client.answer().status(), 409);
}

#[test]
fn manifests_that_drip_take_no_more_memory_than_has_come() {
    let registry = Registry::default();
    let backend = registry.backend();
    let gate = gate_with("* create release/**\n", &backend);
    let target = "/v2/release/app/manifests/v1";
    let dripping: Vec<Client> = (0..40)
        .map(|number| {
            let mut client = gate.http();
            let (framing, piece) = match number % 2 {
                0 => ("Transfer-Encoding: chunked", "1\r\n{\r\n"),
                _ => ("Content-Length: 4194304", "{"),
            };
            client.request(&format!("PUT {target}{number}"), &[AUTH, framing]);
            client.send(piece);
            client
        })
        .collect();
    for auth in [AUTH, &bob()] {
        let body = "y".repeat(4 * 1024 * 1024);
        let answer = put(&mut gate.http(), target, auth, &body);
        assert_eq!(answer.status(), 201);
    }
    drop(dripping);
}

#[test]
fn a_new_file_counts_and_a_bad_one_changes_nothing() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let access = dir.file("access", "alice pull a\n");
    let gate = Gate::start_in(dir, &["--access", &access, "--backend", backend.url()]);
    let mut client = gate.http();
    let mut status = |name: &str| {
        client
            .ask(&format!("GET /v2/{name}/manifests/x"), &[AUTH])
            .status()
    };
    assert_eq!((status("a"), status("b")), (200, 403));
    std::fs::write(&access, "alice pull b\n").unwrap();
    gate.messages.wait_for("a new file", |line| {
        line.contains("who may do what: 1 line in") && line.contains("taken anew")
    });
    assert_eq!((status("a"), status("b")), (403, 200));
    std::fs::write(&access, "alice pull a\nalice read a\n").unwrap();
    gate.messages.wait_for("a bad file", |line| {
        line.contains("access:2: the second word is no list of rights")
            && line.contains("the last good one stays")
    });
    assert_eq!((status("a"), status("b")), (403, 200));
}

#[test]
fn faults_and_unknown_users_are_named_with_their_lines() {
    let dir = Dir::new();
    let access = dir.file("access", "alice read a\n@devs pull a\n");
    let said = gate::refused(
        &dir,
        &[
            "--backend",
            "http://127.0.0.1:1",
            "--access",
            &access,
            "--paths",
            "as-sent",
        ],
    );
    let said = said.join("\n");
    for part in [
        "access:1: the second word is no list of rights",
        "access:2: no line says who is in @devs",
        "--paths \"as-sent\": is refused beside access",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let users = dir.file("users", ALICE);
    let access = dir.file(
        "access",
        "alice pull a\ncarol pull b\n@devs pull a\n@devs = alice dora\n",
    );
    let outcome = gate::run(&[
        "check",
        "--backend",
        "http://127.0.0.1:1",
        "--htpasswd",
        &users,
        "--access",
        &access,
        "--listen",
        "http://127.0.0.1:0",
    ]);
    assert_eq!(outcome.code(), Some(0), "{}", outcome.text());
    for part in [
        "access:2: the password file has no user carol",
        "access:4: the password file has no user dora",
    ] {
        assert!(outcome.text().contains(part), "{}", outcome.text());
    }
    assert!(!outcome.text().contains("no user alice"));
}

#[test]
fn may_says_yes_or_no_and_by_which_line() {
    let dir = Dir::new();
    let access = dir.file(
        "access",
        "# x\nalice pull,push team/**  # all\n@devs push web\nanonymous path /ui/**\n@devs = bob\n",
    );
    for (words, code, part) in [
        ("alice push team/app", 0, "yes: alice may push team/app:"),
        (
            "alice push team/app",
            0,
            "access:2: alice pull,push team/**",
        ),
        ("alice create team/app", 0, "access:2:"),
        (
            "alice delete team/app",
            1,
            "no: no line lets alice delete team/app",
        ),
        ("bob pull web", 0, "access:3:"),
        (
            "anonymous pull team/app",
            1,
            "no: no line lets anonymous pull team/app",
        ),
        ("anonymous path /ui/x", 0, "access:4:"),
        ("alice read x", 2, "a right is one of"),
        ("alice pull X", 2, "no name of a repository"),
        ("alice path ui", 2, "begins with a slash"),
        (
            "alice path /v2/team/app/tags/list",
            2,
            "granted by a path line",
        ),
        (
            "alice path /V2/team/app/tags/list",
            2,
            "granted by a path line",
        ),
    ] {
        let mut args = vec!["may", "--access", &access];
        args.extend(words.split(' '));
        let outcome = gate::run(&args);
        assert_eq!(outcome.code(), Some(code), "{words}: {}", outcome.text());
        assert!(outcome.text().contains(part), "{words}: {}", outcome.text());
    }
    let bad = dir.file("bad", "alice\n@x pull a\n");
    let outcome = gate::run(&["may", "--access", &bad, "alice", "pull", "a"]);
    assert_eq!(outcome.code(), Some(78));
    assert!(
        outcome.text().contains("bad:1: three words") && outcome.text().contains("bad:2:"),
        "{}",
        outcome.text()
    );
    let groups = dir.file("groups", "@ops pull a\n");
    let outcome = gate::run(&[
        "may", "--access", &groups, "--group", "ops", "zoe", "pull", "a",
    ]);
    assert_eq!(outcome.code(), Some(0), "{}", outcome.text());
}

#[test]
fn with_an_api_both_must_allow_and_its_groups_count() {
    let api = api::api(|request| {
        let fields = match request.field("Authorization") {
            Some(value) if Some(value) == AUTH.strip_prefix("Authorization: ") => {
                &["X-Remote-User: alice", "X-Remote-Groups: ops, devs"][..]
            }
            // Let in without a name.
            Some("Basic Ym9iOnNlY3JldA==") => &["Cache-Control: max-age=60"],
            Some(_) => return api::answer("403 No", &[]),
            None => &[],
        };
        api::answer("200 OK", fields)
    });
    let backend = Backend::echo();
    let dir = Dir::new();
    let access = dir.file(
        "access",
        "@devs push team/**\n* pull known/**\nanonymous pull public/**\nalice pull own\n",
    );
    let gate = Gate::start_in(
        dir,
        &[
            "--auth-backend",
            api.url(),
            "--auth-probe",
            "off",
            "--access",
            &access,
            "--backend",
            backend.url(),
        ],
    );
    let mut client = gate.http();
    let bob = bob();
    for (line, fields, status) in [
        ("POST /v2/team/app/blobs/uploads/", &[AUTH][..], 200),
        ("GET /v2/own/manifests/x", &[AUTH], 200),
        ("GET /v2/other/manifests/x", &[AUTH], 403),
        ("GET /v2/known/app/manifests/x", &[bob.as_str()], 200),
        ("GET /v2/known/app/manifests/x", &[bob.as_str()], 200),
        ("POST /v2/team/app/blobs/uploads/", &[bob.as_str()], 403),
        ("GET /v2/", &[bob.as_str()], 200),
        ("GET /v2/public/app/manifests/x", &[], 200),
        ("GET /v2/known/app/manifests/x", &[], 401),
        ("GET /v2/", &[], 401),
        (
            "GET /v2/public/app/manifests/x",
            &["Authorization: Basic eDp5"],
            403,
        ),
    ] {
        assert_eq!(
            client.ask(line, fields).status(),
            status,
            "{line} {fields:?}"
        );
    }
    let answer = client.ask("POST /v2/team/app/blobs/uploads/", &[bob.as_str()]);
    assert!(
        answer
            .text()
            .contains("\"this user may not push to team/app\""),
        "{}",
        answer.text()
    );
}
