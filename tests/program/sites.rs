//! Several hosts behind one gate: which of them a request is for, that nothing is shared between them, and that they come and go.

use crate::support::certificates::{Ca, client};
use crate::support::gate::refused;
use crate::support::{AUTH, Backend, Client, Dir, Gate, Message, basic};
use std::fs;
use std::sync::Arc;

const ALICE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
/// With the password "other".
const OTHER_ALICE: &str = "alice:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI=\n";

/// A gate with a directory of sites, each a name and its lines.
struct Hosts {
    gate: Gate,
    main: Backend,
    wiki: Backend,
}

fn conf(dir: &Dir, name: &str, text: &str) -> String {
    fs::create_dir_all(dir.path("sites")).unwrap();
    dir.file(&format!("sites/{name}.conf"), text)
}

fn hosts(more: &[&str]) -> Hosts {
    let (main, wiki) = (Backend::echo(), Backend::echo());
    let dir = Dir::new();
    let users = dir.file("wiki.users", OTHER_ALICE);
    conf(
        &dir,
        "wiki",
        &format!(
            "# The wiki.\nhost Wiki.example.com\nhost *.wiki.example.com\nhost dotted.example.\nbackend {}\nhtpasswd {users}\nrealm Wiki\n",
            wiki.url()
        ),
    );
    let sites = dir.path("sites");
    let mut args = vec!["--backend", main.url(), "--sites", &sites];
    args.extend(more);
    let gate = Gate::start_in(dir, &args);
    Hosts { gate, main, wiki }
}

fn ask_as(client: &mut Client, host: &str, auth: &str) -> Message {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n\r\n"));
    client.answer()
}

fn other() -> String {
    basic(b"alice", b"other")
}

#[test]
fn the_host_leads_to_its_site_and_every_other_to_the_main_one() {
    let hosts = hosts(&[]);
    let mut client = hosts.gate.http();
    let other = other();
    let mut to_main = 0;
    for (host, is_wiki) in [
        ("wiki.example.com", true),
        ("WIKI.Example.Com", true),
        ("wiki.example.com.", true),
        ("wiki.example.com:8443", true),
        ("a.wiki.example.com", true),
        ("b.a.wiki.example.com:1", true),
        ("example.com", false),
        ("dotted.example", true),
        ("dotted.example.", true),
        ("wiki.example.com.evil.example", false),
        ("xwiki.example.com", false),
        ("127.0.0.1", false),
        ("[::1]:443", false),
        ("localhost", false),
    ] {
        let (right, wrong) = match is_wiki {
            true => (other.as_str(), AUTH),
            false => (AUTH, other.as_str()),
        };
        assert_eq!(ask_as(&mut client, host, right).status(), 200, "{host}");
        let refused = ask_as(&mut client, host, wrong);
        assert_eq!(refused.status(), 401, "{host}");
        let realm = match is_wiki {
            true => "Basic realm=\"Wiki\"",
            false => "Basic realm=\"Registry\"",
        };
        let challenge = refused.field("www-authenticate").unwrap();
        assert!(challenge.starts_with(realm), "{challenge}");
        to_main += usize::from(!is_wiki);
    }
    assert_eq!(hosts.main.requests().len(), to_main);
    assert_eq!(hosts.wiki.requests().len(), 14 - to_main);
    // The host is told in the log where a site has it.
    let log = hosts.gate.log.wait_for_count(28);
    let with_host = log
        .iter()
        .filter(|line| line.contains(" host=b.a.wiki.example.com"));
    assert_eq!(with_host.count(), 2, "{log:?}");
    assert!(!log.iter().any(|line| line.contains("host=localhost")));
}

#[test]
fn a_request_without_a_host_and_one_of_an_absolute_form_are_for_whom_they_name() {
    let hosts = hosts(&[]);
    let mut client = hosts.gate.http();
    client.send(format!("GET / HTTP/1.0\r\n{AUTH}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
    hosts.main.wait_for_request(0);
    let mut client = hosts.gate.http();
    client.send(format!(
        "GET http://wiki.example.com/x HTTP/1.1\r\nHost: wiki.example.com\r\n{}\r\n\r\n",
        other()
    ));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(hosts.wiki.requests().len(), 1);
}

#[test]
fn without_a_main_backend_an_unknown_host_is_misdirected() {
    let wiki = Backend::echo();
    let dir = Dir::new();
    let site = dir.file(
        "w",
        format!("host wiki.example.com\nbackend {}\n", wiki.url()),
    );
    let gate = Gate::start_in(dir, &["--site", &site]);
    let mut client = gate.http();
    assert_eq!(ask_as(&mut client, "wiki.example.com", AUTH).status(), 200);
    let refused = ask_as(&mut client, "other.example.com", AUTH);
    assert_eq!(refused.status(), 421);
    assert!(refused.text().contains("no host of this name"));
    client.send(format!(
        "GET /v2/ HTTP/1.1\r\nHost: x.example\r\n{AUTH}\r\n\r\n"
    ));
    let refused = client.answer();
    assert_eq!(refused.status(), 421);
    refused.assert_oci("UNSUPPORTED");
    assert_eq!(wiki.requests().len(), 1);
}

#[test]
fn a_token_of_one_site_is_nothing_at_another() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let key = dir.path("token.key");
    let access = dir.file("access", "anonymous pull public/**\nalice pull team/**\n");
    let site = dir.file("w", "host wiki.example.com\n");
    let args = [
        "--backend",
        backend.url(),
        "--token-key",
        &key,
        "--access",
        &access,
        "--site",
        &site,
    ];
    let gate = Gate::start_in(dir, &args);
    let mut client = gate.http();
    let mut status = |target: &str, host: &str, auth: &str| {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n\r\n"
        ));
        client.answer()
    };
    let manifest = "/v2/team/app/manifests/v1";
    for (own, other) in [("wiki.example.com", "main"), ("main", "wiki.example.com")] {
        let text = status("/v2/token", own, AUTH).text();
        let token = text.split('"').nth(3).unwrap();
        let bearer = format!("Authorization: Bearer {token}");
        assert_eq!(status(manifest, own, &bearer).status(), 200);
        assert_eq!(status(manifest, other, &bearer).status(), 401);
    }
}

#[test]
fn the_name_in_tls_chooses_the_certificate_of_a_site_and_another_host_is_misdirected() {
    let ca = Ca::new();
    let (main, wiki) = (Backend::echo(), Backend::echo());
    let dir = Dir::new();
    let pair = |name: &str| {
        let pair = ca.sign(&[name]);
        (
            dir.file(&format!("{name}.crt"), pair.cert),
            dir.file(&format!("{name}.key"), pair.key),
        )
    };
    let (cert, key) = pair("main.example.com");
    let (wiki_cert, wiki_key) = pair("wiki.example.com");
    let site = dir.file(
        "w",
        format!(
            "host wiki.example.com\nbackend {}\ntls-cert {wiki_cert}\ntls-key {wiki_key}\n",
            wiki.url()
        ),
    );
    let second = dir.file("v", "host second.example.com\n");
    let start = |proxy: &str| {
        let args = [
            "--listen",
            "https://127.0.0.1:0",
            "--backend",
            main.url(),
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--site",
            &site,
            "--site",
            &second,
            "--trusted-proxy",
            proxy,
        ];
        Gate::start(&args)
    };
    let trust = Arc::new(client(&ca.pem(), rustls::ALL_VERSIONS));
    let gate = start("10.0.0.0/8");
    let connect = |gate: &Gate, name: &str| {
        Client::try_tls(gate.authority("https"), name, Arc::clone(&trust))
    };
    let mut on_wiki = connect(&gate, "wiki.example.com").unwrap();
    assert_eq!(ask_as(&mut on_wiki, "wiki.example.com", AUTH).status(), 200);
    for host in ["main.example.com", "second.example.com", "x"] {
        let refused = ask_as(&mut on_wiki, host, AUTH);
        assert_eq!(refused.status(), 421, "{host}");
        assert!(refused.text().contains("another host"));
    }
    let mut on_main = connect(&gate, "main.example.com").unwrap();
    for host in ["main.example.com", "wiki.example.com", "x"] {
        // That name is no site's, as a proxy has it that names one host for all.
        assert_eq!(ask_as(&mut on_main, host, AUTH).status(), 200, "{host}");
    }
    assert!(connect(&gate, "second.example.com").is_err());
    drop(gate);
    let gate = start("127.0.0.0/8");
    let mut proxied = connect(&gate, "wiki.example.com").unwrap();
    for host in ["main.example.com", "second.example.com", "wiki.example.com"] {
        assert_eq!(ask_as(&mut proxied, host, AUTH).status(), 200, "{host}");
    }
}

#[test]
fn a_site_comes_changes_and_goes_without_a_restart() {
    let hosts = hosts(&[]);
    let Hosts { gate, main, wiki } = &hosts;
    let path = |name: &str| gate.dir.path(&format!("sites/{name}.conf"));
    let put = |name: &str, text: &str| {
        let new = gate.dir.file("new", text);
        fs::rename(new, path(name)).unwrap();
    };
    let mut client = gate.http();
    let mut status = |host: &str, auth: &str| ask_as(&mut client, host, auth).status();
    // It comes.
    put(
        "new",
        &format!("host new.example.com\nbackend {}\n", wiki.url()),
    );
    gate.messages.wait_for_text("new.example.com is as");
    assert_eq!(status("new.example.com", AUTH), 200);
    assert_eq!(wiki.requests().len(), 1);
    // A bad one changes nothing, whatever is bad.
    put("new", "host new.example.com\nbackend ftp://x\nrealmm x\n");
    gate.messages.wait_for_text("new.conf:2: backend");
    let second = gate.messages.wait_for_text("new.conf:3: realmm");
    assert!(second.contains("the last good one stays"), "{second}");
    put("newer", "host Wiki.example.com\n");
    let fault = gate.messages.wait_for_text("newer.conf:1: host");
    assert!(fault.contains("another site has this host"), "{fault}");
    assert_eq!(status("new.example.com", AUTH), 200);
    assert_eq!(status("wiki.example.com", &other()), 200);
    assert_eq!(wiki.requests().len(), 3);
    // It changes.
    put(
        "new",
        &format!(
            "host new.example.com\nhost newest.example.com\nbackend {}\n",
            main.url()
        ),
    );
    gate.messages.wait_for("the change", |line| {
        line.contains("guarding") && line.contains("new.example.com: ") && line.contains(main.url())
    });
    gate.messages.wait_for_count_of("new.example.com is as", 2);
    assert_eq!(status("newest.example.com", AUTH), 200);
    assert_eq!((main.requests().len(), wiki.requests().len()), (1, 3));
    // Its users change.
    fs::write(gate.dir.path("wiki.users"), ALICE).unwrap();
    gate.messages.wait_for_text("wiki.example.com: 1 user from");
    assert_eq!(status("wiki.example.com", AUTH), 200);
    assert_eq!(status("wiki.example.com", &other()), 401);
    // It goes, and the name is nobody's any more.
    fs::remove_file(path("wiki")).unwrap();
    gate.messages
        .wait_for_text("wiki.example.com is no site any more");
    assert_eq!(status("wiki.example.com", AUTH), 200);
    assert_eq!(main.requests().len(), 2);
}

#[test]
fn a_file_that_was_not_taken_is_as_soon_as_what_was_wrong_elsewhere_is_mended() {
    let hosts = hosts(&[]);
    let Hosts { gate, main, wiki } = &hosts;
    let path = |name: &str| gate.dir.path(&format!("sites/{name}.conf"));
    let users = gate.dir.path("later.users");
    // Its users come after it.
    let text = format!(
        "host later.example.com\nbackend {}\nhtpasswd {users}\n",
        wiki.url()
    );
    fs::write(path("later"), text).unwrap();
    gate.messages.wait_for_text("later.conf:3: htpasswd");
    fs::write(&users, OTHER_ALICE).unwrap();
    gate.messages.wait_for_text("later.example.com is as");
    let mut client = gate.http();
    assert_eq!(
        ask_as(&mut client, "later.example.com", &other()).status(),
        200
    );
    // Its host is given up by another.
    fs::write(path("a"), "host later.example.com\nhost a.example.com\n").unwrap();
    gate.messages.wait_for_text("a.conf:1: host");
    fs::remove_file(path("later")).unwrap();
    gate.messages.wait_for_text("later.example.com is as \"");
    gate.messages
        .wait_for_count_of("later.example.com is as", 2);
    assert_eq!(ask_as(&mut client, "later.example.com", AUTH).status(), 200);
    assert_eq!((main.requests().len(), wiki.requests().len()), (1, 1));
}

#[test]
fn two_sites_may_change_their_hosts_between_them_and_the_same_text_is_no_news() {
    let hosts = hosts(&[]);
    let Hosts { gate, main, wiki } = &hosts;
    let path = |name: &str| gate.dir.path(&format!("sites/{name}.conf"));
    let text =
        |host: &str, backend: &Backend| format!("host {host}.example\nbackend {}\n", backend.url());
    let both = |first: String, second: String| {
        // Both before the next look, which is when the directory is another.
        fs::rename(gate.dir.path("sites"), gate.dir.path("away")).unwrap();
        fs::write(gate.dir.path("away/a.conf"), first).unwrap();
        fs::write(gate.dir.path("away/b.conf"), second).unwrap();
        fs::rename(gate.dir.path("away"), gate.dir.path("sites")).unwrap();
    };
    both(text("a", main), text("b", wiki));
    gate.messages.wait_for_text("b.example is as");
    both(text("b", main), text("a", wiki));
    gate.messages.wait_for_count_of("a.example is as", 2);
    gate.messages.wait_for_count_of("b.example is as", 2);
    let mut client = gate.http();
    assert_eq!(ask_as(&mut client, "b.example", AUTH).status(), 200);
    assert_eq!((main.requests().len(), wiki.requests().len()), (1, 0));
    // Touched: nothing is new. What comes next is.
    fs::write(path("a"), text("b", main)).unwrap();
    fs::write(path("c"), text("c", main)).unwrap();
    gate.messages.wait_for_text("c.example is as");
    let again = gate.messages.all();
    assert_eq!(
        again
            .iter()
            .filter(|line| line.contains("b.example is as"))
            .count(),
        2
    );
}

#[test]
fn a_pipe_where_a_file_is_wanted_holds_nothing_up() {
    let hosts = hosts(&[]);
    let Hosts { gate, .. } = &hosts;
    let fifo = gate.dir.path("sites/fifo.conf");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    gate.messages.wait_for_text("a pipe, and a file is wanted");
    fs::write(gate.dir.path("wiki.users"), ALICE).unwrap();
    gate.messages.wait_for_text("wiki.example.com: 1 user from");
}

#[test]
fn a_tag_is_kept_through_two_hosts_of_one_registry() {
    let backend = Backend::script(|mut peer| {
        while let Some(request) = peer.try_request()? {
            match request.start.starts_with("HEAD") {
                true => peer.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
                false => {
                    peer.pause()?;
                    peer.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")?;
                }
            }
        }
        Ok(())
    });
    let dir = Dir::new();
    let access = dir.file("access", "alice pull,create app\n");
    let site = dir.file("s", "host other.example\n");
    let args = [
        "--backend",
        backend.url(),
        "--access",
        &access,
        "--site",
        &site,
    ];
    let gate = Gate::start_in(dir, &args);
    let put = |host: &str, body: &str| {
        let mut client = gate.http();
        client.send(format!(
            "PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\n{AUTH}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client
    };
    let mut first = put("main", "one");
    backend.wait_for_request(1);
    let mut second = put("other.example", "two");
    // It waits for its tag, and asks only then.
    backend.go();
    assert_eq!(first.answer().status(), 201);
    backend.go();
    assert_eq!(second.answer().status(), 201);
    let order: Vec<_> = backend
        .requests()
        .iter()
        .map(|one| one.start[..4].to_owned())
        .collect();
    assert_eq!(order, ["HEAD", "PUT ", "HEAD", "PUT "]);
}

#[test]
fn a_request_that_is_under_way_stays_with_the_site_that_it_came_to() {
    let slow = Backend::slow_where_asked();
    let dir = Dir::new();
    let file = conf(
        &dir,
        "slow",
        &format!("host slow.example.com\nbackend {}\n", slow.url()),
    );
    let sites = dir.path("sites");
    let main = Backend::echo();
    let gate = Gate::start_in(dir, &["--backend", main.url(), "--sites", &sites]);
    let mut client = gate.http();
    client.send(format!(
        "GET /slow HTTP/1.1\r\nHost: slow.example.com\r\n{AUTH}\r\n\r\n"
    ));
    slow.wait_for_request(0);
    fs::remove_file(file).unwrap();
    gate.messages
        .wait_for_text("slow.example.com is no site any more");
    slow.go();
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(ask_as(&mut client, "slow.example.com", AUTH).status(), 200);
    assert_eq!(main.requests().len(), 1);
}

#[test]
fn what_is_wrong_at_the_start_is_said_with_file_and_line() {
    let dir = Dir::new();
    let users = dir.file("bad.users", "alice:nonsense\n");
    conf(&dir, "a", "host a.example\nhost b.example\n");
    conf(&dir, "b", "\nhost B.example\n");
    conf(&dir, "c", &format!("host c.example\nhtpasswd {users}\n"));
    conf(&dir, "d", "backend http://127.0.0.1:1\n");
    conf(&dir, "e", "host 10.0.0.1\n");
    conf(&dir, "f", "host f.example\naccess /nowhere\n");
    conf(&dir, ".hidden", "nonsense\n");
    dir.file("sites/readme", "nonsense\n");
    let sites = dir.path("sites");
    let faults = refused(
        &dir,
        &["--backend", "http://127.0.0.1:1", "--sites", &sites],
    );
    for (place, words) in [
        (
            "sites/b.conf:2: host \"B.example\"",
            "another site has this host",
        ),
        ("bad.users:1", ""),
        ("sites/d.conf:1: host", "required"),
        ("sites/e.conf:1: host \"10.0.0.1\"", "an address"),
        ("sites/f.conf:2: access \"/nowhere\"", "no such file"),
    ] {
        let found = faults
            .iter()
            .filter(|fault| fault.contains(place) && fault.contains(words));
        assert_eq!(found.count(), 1, "{place}: {faults:#?}");
    }
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn a_directory_that_is_not_there_and_a_site_that_is_not_there_are_faults() {
    let dir = Dir::new();
    let backend = ["--backend", "http://127.0.0.1:1"];
    for setting in ["--site", "--sites"] {
        let faults = refused(&dir, &[&backend[..], &[setting, "/nowhere"]].concat());
        let [only] = &faults[..] else {
            panic!("{faults:#?}")
        };
        assert!(
            only.starts_with(&format!("{setting} \"/nowhere\": no such file")),
            "{only}"
        );
    }
}

#[test]
fn who_is_served_and_which_preflights_pass_is_said_for_each_site() {
    let backend = Backend::echo();
    let dir = Dir::new();
    let site = dir.file("w", "host wiki.example.com\nallow 10.0.0.0/8\n");
    let other = dir.file("x", "host ui.example.com\npreflight yes\n");
    let args = [
        "--backend",
        backend.url(),
        "--site",
        &site,
        "--site",
        &other,
    ];
    let gate = Gate::start_in(dir, &args);
    let mut client = gate.http();
    assert_eq!(ask_as(&mut client, "wiki.example.com", AUTH).status(), 403);
    assert_eq!(ask_as(&mut client, "ui.example.com", AUTH).status(), 200);
    assert_eq!(ask_as(&mut client, "main", AUTH).status(), 200);
    for (host, status) in [("ui.example.com", 200), ("main", 401)] {
        client.send(format!(
            "OPTIONS /v2/ HTTP/1.1\r\nHost: {host}\r\nOrigin: https://a\r\n\
             Access-Control-Request-Method: GET\r\n\r\n"
        ));
        assert_eq!(client.answer().status(), status, "{host}");
    }
}

#[test]
fn numbers_are_told_apart_by_site() {
    let admin = Dir::new();
    let socket = admin.path("admin");
    let hosts = hosts(&["--admin", &format!("unix:{socket}")]);
    let mut client = hosts.gate.http();
    for _ in 0..3 {
        ask_as(&mut client, "a.wiki.example.com", &other());
    }
    ask_as(&mut client, "localhost", AUTH);
    hosts.gate.log.wait_for_count(4);
    let text = Client::unix(&socket).ask("GET /metrics", &[]).text();
    let own = "portreeve_site_requests_total{site=\"wiki.example.com\",status=\"2xx\"} 3";
    assert!(text.contains(own), "{text}");
    let url = hosts.wiki.url();
    let backend = format!("portreeve_backend_up{{site=\"wiki.example.com\",backend=\"{url}\"}} 1");
    assert!(text.contains(&backend), "{text}");
    let page = Client::unix(&socket).ask("GET /", &[]).text();
    assert!(page.contains("wiki.example.com: 1 user of the password file"));
}
