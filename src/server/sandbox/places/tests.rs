#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::config::Purpose;
use crate::tls::scratch::Scratch;

fn places_of(role: Role, variables: &[(&str, &str)]) -> Places {
    let variables = variables
        .iter()
        .map(|(name, value)| (format!("PORTREEVE_{name}").into(), (*value).into()));
    let settings = Settings::load(Vec::new(), variables, Purpose::Health).unwrap();
    of(&settings, role, &[])
}

fn has(places: &Places, path: &str, purpose: Use) -> bool {
    let path = PathBuf::from(path);
    places.files.contains(&Place { path, purpose })
}

/// The paths of what is to be read for this file, with links as they are.
fn read(file: &Path) -> Vec<PathBuf> {
    let mut found = Found::default();
    found.read(file);
    let paths = found.places.into_iter().map(|place| place.path);
    paths.map(|path| path.canonicalize().unwrap()).collect()
}

#[test]
fn the_directory_of_a_file_and_of_each_link_to_it_is_read() {
    let scratch = Scratch::new();
    let top = scratch.path().canonicalize().unwrap();
    let at = |name: &str| top.join(name);
    for directory in ["live/x", "archive/x", "mounted/..1", "releases/1", "plain"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for file in [
        "archive/x/cert1.pem",
        "mounted/..1/users",
        "releases/1/users",
        "plain/users",
    ] {
        fs::write(at(file), "").unwrap();
    }
    symlink("../../archive/x/cert1.pem", at("live/x/cert.pem")).unwrap();
    symlink("..1", at("mounted/..data")).unwrap();
    symlink("..data/users", at("mounted/users")).unwrap();
    symlink("releases/1", at("current")).unwrap();
    symlink("circle", at("plain/circle")).unwrap();
    assert_eq!(read(&at("plain/users")), [at("plain")]);
    assert_eq!(read(&at("plain/none")), [at("plain")]);
    assert_eq!(read(&at("plain/circle")), [at("plain")]);
    // certbot.
    assert_eq!(
        read(&at("live/x/cert.pem")),
        [at("live/x"), at("archive/x")]
    );
    // Kubernetes: where the link to the data is, and what it leads to now.
    assert_eq!(
        read(&at("mounted/users")),
        [at("mounted"), at("mounted/..1")]
    );
    // A link that leads beneath its own directory: the next release is there too.
    assert_eq!(read(&at("current/users")), [at("releases/1"), top.clone()]);
}

#[test]
fn not_all_there_is_for_the_sake_of_one_file() {
    for path in ["/no-such-file", "/dev/null", "/proc/self/fd/63"] {
        let mut found = Found::default();
        found.add_directory_of(Path::new(path), Use::Read);
        assert_eq!(found.places[0].path, Path::new(path));
    }
}

#[test]
fn what_it_keeps_itself_is_written_and_nothing_else() {
    let places = places_of(
        Role::Gate,
        &[
            ("LISTEN", "unix:/run/a/gate.sock https://[::1]:0"),
            ("ADMIN", "unix:/run/b/admin.sock"),
            ("TLS_SELF_SIGNED", "/var/lib/own"),
            ("ACME_DIR", "/var/lib/acme"),
            ("ACME", "registry.example.com"),
            ("HTPASSWD", "/srv/users/htpasswd"),
            ("TOKEN_KEY", "/srv/tokens/key"),
        ],
    );
    for (path, purpose) in [
        ("/run/a", Use::Remove),
        ("/run/b", Use::Keep),
        ("/var/lib/own", Use::Keep),
        ("/var/lib/acme", Use::Keep),
        ("/srv/users", Use::Read),
        ("/srv/tokens", Use::Read),
    ] {
        assert!(has(&places, path, purpose), "{path}: {places:#?}");
    }
    let kept = places
        .files
        .iter()
        .filter(|place| place.purpose == Use::Keep);
    assert_eq!(kept.count(), 3, "{places:#?}");
}

#[test]
fn ports_are_those_of_the_settings_unless_sites_may_bring_others() {
    let backends = ("BACKEND", "http://127.0.0.1:5000 https://[::1] unix:/x");
    let ports = |role, variables: &[_]| {
        let ports = places_of(role, variables).ports;
        ports.map(|mut ports| {
            ports.sort_unstable();
            ports.dedup();
            ports
        })
    };
    assert_eq!(ports(Role::Gate, &[backends]), Some(vec![443, 5000]));
    assert_eq!(ports(Role::AuthService, &[backends]), Some(vec![]));
    let api = ("AUTH_BACKEND", "http://api.example.com:81/");
    assert_eq!(
        ports(Role::Gate, &[backends, api]),
        Some(vec![53, 81, 443, 5000])
    );
    let acme = [
        ("ACME", "registry.example.com"),
        ("ACME_DIR", "/x"),
        ("ACME_DIRECTORY", "https://pebble.example.com:14000/dir"),
    ];
    assert_eq!(ports(Role::Gate, &acme), Some(vec![53, 443, 14000]));
    assert_eq!(ports(Role::Gate, &[backends, ("SITES", "/x")]), None);
}

#[test]
fn names_are_looked_up_only_where_there_are_some() {
    let file = Path::new("/etc/resolv.conf");
    let mut names = Found::default();
    names.add_directory_of(file, Use::Read);
    let reads_names = |variables: &[_]| {
        let places = places_of(Role::Gate, variables);
        places.files.contains(&names.places[0])
    };
    assert!(!reads_names(&[("BACKEND", "http://127.0.0.1:5000")]));
    assert!(reads_names(&[("BACKEND", "http://registry:5000")]));
    assert!(reads_names(&[("SITES", "/x")]));
}
