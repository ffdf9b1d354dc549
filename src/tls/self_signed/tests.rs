//! The life of a directory, with the clock in the hand of the test.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::tls::scratch::Scratch;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn open(directory: &Path, now: SystemTime) -> SelfSigned {
    SelfSigned::open_at(directory, &["registry.example".to_owned()], now).unwrap()
}

fn refused(directory: &Path, now: SystemTime) -> String {
    SelfSigned::open_at(directory, &[], now)
        .err()
        .expect("a refusal")
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn openssl_verifies(directory: &Path) {
    let verified = Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            "registry.example",
        ])
        .arg("-CAfile")
        .args([directory.join("ca.crt"), directory.join("server.crt")])
        .output()
        .expect("openssl is installed");
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn the_first_start_makes_a_ca_and_a_certificate_for_all_names() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("new/tls");
    let now = SystemTime::now();
    let made = open(&directory, now);
    assert!(made.made_new_ca());
    assert_eq!(made.ca_path(), directory.join("ca.crt"));
    for name in ["localhost", "127.0.0.1", "::1", "registry.example"] {
        assert!(made.pair().names().iter().any(|has| has == name), "{name}");
    }
    let (start, end) = (
        made.pair().not_before().unwrap(),
        made.pair().not_after().unwrap(),
    );
    assert!(start < now - Duration::from_secs(3500) && end > now + 364 * DAY);
    assert!(end.duration_since(start).unwrap() < 397 * DAY);
    assert!(made.ca_not_after() > now + 3650 * DAY);
    assert_eq!(made.pair().warnings(now), [""; 0]);
    openssl_verifies(&directory);
}

#[test]
fn keys_and_the_directory_are_for_their_owner_alone() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("tls");
    open(&directory, SystemTime::now());
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("ca.key")), 0o600);
    assert_eq!(mode(&directory.join("server.key")), 0o600);

    fs::set_permissions(directory.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    open(&directory, SystemTime::now());
    assert_eq!(mode(&directory.join("ca.key")), 0o600);
}

#[test]
fn opening_again_changes_no_byte() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    open(scratch.path(), now);
    let names = ["ca.crt", "ca.key", "server.crt", "server.key"];
    let before = names.map(|name| read(scratch.path(), name));
    let again = open(scratch.path(), now + DAY);
    assert!(!again.made_new_ca());
    assert_eq!(before, names.map(|name| read(scratch.path(), name)));
}

#[test]
fn two_thirds_through_its_life_the_certificate_is_renewed_and_the_ca_is_not() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    let mut signed = open(scratch.path(), now);
    let (ca, server) = (
        read(scratch.path(), "ca.crt"),
        read(scratch.path(), "server.crt"),
    );
    let due = signed.renew_at();
    assert!(due > now + 242 * DAY && due < now + 245 * DAY);

    assert_eq!(signed.renew_if_due(due - Duration::from_secs(1)), Ok(false));
    assert_eq!(read(scratch.path(), "server.crt"), server);
    assert_eq!(signed.renew_if_due(due), Ok(true));
    assert_ne!(read(scratch.path(), "server.crt"), server);
    assert_eq!(read(scratch.path(), "ca.crt"), ca);
    assert!(signed.renew_at() > due + 240 * DAY);
    assert_eq!(signed.renew_if_due(due), Ok(false));

    // The same when the service was not running at that time.
    let server = read(scratch.path(), "server.crt");
    let late = open(scratch.path(), due + 300 * DAY);
    assert!(!late.made_new_ca() && late.renew_at() > due + 500 * DAY);
    assert_ne!(read(scratch.path(), "server.crt"), server);
}

#[test]
fn a_certificate_signed_after_a_restart_verifies_with_the_ca_of_before() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    open(scratch.path(), now - 10 * DAY);
    fs::remove_file(scratch.path().join("server.crt")).unwrap();
    open(scratch.path(), now);
    openssl_verifies(scratch.path());
}

#[test]
fn a_ca_made_with_openssl_signs_too() {
    let scratch = Scratch::new();
    let made = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 30 -utf8 -subj /CN=Home".split(' '))
        .args(["-addext", "keyUsage=critical,keyCertSign"])
        .arg("-keyout")
        .arg(scratch.path().join("ca.key"))
        .arg("-out")
        .arg(scratch.path().join("ca.crt"))
        .output()
        .expect("openssl is installed");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let signed = open(scratch.path(), SystemTime::now());
    // No longer than the CA, and not renewed over and over as that one nears its end.
    assert_eq!(signed.pair().not_after().unwrap(), signed.ca_not_after());
    assert_eq!(signed.renew_at(), signed.ca_not_after());
    openssl_verifies(scratch.path());
}

#[test]
fn another_name_a_lost_key_or_another_ca_make_a_new_certificate() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    open(scratch.path(), now);
    let more = [
        "registry.example".to_owned(),
        "*.Example.org".to_owned(),
        "10.9.8.7".to_owned(),
    ];
    let signed = SelfSigned::open_at(scratch.path(), &more, now).unwrap();
    assert!(
        signed
            .pair()
            .names()
            .iter()
            .any(|name| name == "*.example.org")
    );
    assert!(signed.pair().names().iter().any(|name| name == "10.9.8.7"));

    let other = Scratch::new();
    open(other.path(), now);
    fs::copy(
        other.path().join("server.key"),
        scratch.path().join("server.key"),
    )
    .unwrap();
    open(scratch.path(), now);
    assert_ne!(
        read(scratch.path(), "server.key"),
        read(other.path(), "server.key")
    );
    openssl_verifies(scratch.path());

    fs::copy(
        other.path().join("server.key"),
        scratch.path().join("server.key"),
    )
    .unwrap();
    fs::copy(
        other.path().join("server.crt"),
        scratch.path().join("server.crt"),
    )
    .unwrap();
    open(scratch.path(), now);
    openssl_verifies(scratch.path());
}

#[test]
fn a_ca_is_never_replaced_by_itself() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    open(scratch.path(), now);
    let (ca, key) = (scratch.path().join("ca.crt"), scratch.path().join("ca.key"));
    let (ca_text, key_text) = (fs::read(&ca).unwrap(), fs::read(&key).unwrap());
    let says = |fault: &str, now| {
        let message = refused(scratch.path(), now);
        assert!(
            message.contains(fault) && message.contains("or delete ca.crt, ca.key"),
            "{message}"
        );
    };

    says("ca.crt\" expired on 20", now + 3653 * DAY);
    fs::remove_file(&key).unwrap();
    says("ca.crt\" is there, but not its key", now);
    fs::write(&key, &key_text).unwrap();
    fs::remove_file(&ca).unwrap();
    says("ca.key\" is there, but not its certificate", now);
    fs::write(&ca, "nothing").unwrap();
    says("ca.crt\": no certificate in it", now);
    fs::copy(scratch.path().join("server.crt"), &ca).unwrap();
    says("ca.crt\": not the certificate of a CA", now);
    fs::write(&ca, &ca_text).unwrap();
    fs::copy(scratch.path().join("server.key"), &key).unwrap();
    says("ca.key\": does not fit", now);
    fs::write(&key, &key_text).unwrap();
    assert!(!open(scratch.path(), now).made_new_ca());
}

#[test]
fn files_of_another_origin_are_never_overwritten() {
    let scratch = Scratch::new();
    let key = scratch.file("server.key", "somebody's");
    let message = refused(scratch.path(), SystemTime::now());
    assert!(message.contains("not made here"), "{message}");
    assert!(SelfSigned::check(scratch.path(), &[]).is_err());
    assert_eq!(fs::read(key).unwrap(), b"somebody's");
    assert!(!scratch.path().join("ca.key").exists());
}

#[test]
fn a_clock_that_was_never_set_dates_nothing() {
    let scratch = Scratch::new();
    let message = refused(scratch.path(), SystemTime::UNIX_EPOCH + DAY);
    assert!(message.contains("the clock says 1970-01-02"), "{message}");
    assert!(!scratch.path().join("ca.crt").exists());
    // But what there is goes on.
    open(scratch.path(), SystemTime::now());
    open(scratch.path(), SystemTime::UNIX_EPOCH + DAY);
}

#[test]
fn what_still_serves_is_kept_where_nothing_can_be_written() {
    let scratch = Scratch::new();
    let now = SystemTime::now();
    let due = open(scratch.path(), now).renew_at();
    let server = read(scratch.path(), "server.crt");
    // A directory in place of the lock stops every writer, also one that is root.
    fs::remove_file(scratch.path().join(".lock")).unwrap();
    fs::create_dir(scratch.path().join(".lock")).unwrap();
    let mut kept = open(scratch.path(), due + DAY);
    assert_eq!(read(scratch.path(), "server.crt"), server);
    assert!(kept.renew_if_due(due + DAY).unwrap_err().contains(".lock"));
    assert!(refused(scratch.path(), now + 366 * DAY).contains(".lock"));
}

#[test]
fn many_starts_at_once_agree() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("tls");
    let now = SystemTime::now();
    let opened: Vec<SelfSigned> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open(&directory, now)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    assert_eq!(
        opened.iter().filter(|signed| signed.made_new_ca()).count(),
        1
    );
    let leaf = opened[0].pair().leaf();
    assert!(opened.iter().all(|signed| signed.pair().leaf() == leaf));
    openssl_verifies(&directory);
    let left = fs::read_dir(&directory).unwrap().count();
    assert_eq!(left, 5, "four files and the lock");
}

#[test]
fn check_writes_nothing() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("tls");
    assert_eq!(SelfSigned::check(&directory, &[]), Ok(()));
    assert!(!directory.exists());
    assert!(
        SelfSigned::check(&directory, &["a:1".to_owned()])
            .unwrap_err()
            .contains("\"a:1\"")
    );
    let file = scratch.file("file", "");
    assert!(
        SelfSigned::check(&file.join("tls"), &[])
            .unwrap_err()
            .contains("not a directory")
    );
    open(&directory, SystemTime::now());
    assert_eq!(SelfSigned::check(&directory, &[]), Ok(()));
}
