//! The command as a whole on real files in a temporary directory.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::gate::auth::Users;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const BOB: &str = "bob:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=";

struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "portreeve-passwd-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn file(&self, contents: &[u8]) -> PathBuf {
        let path = self.0.join("htpasswd");
        fs::write(&path, contents).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn passwd(file: &Path, action: Action, password: &[u8]) -> Result<(Outcome, String), String> {
    let request = PasswdRequest {
        file: file.to_owned(),
        action,
        source: Source::Stdin,
    };
    let mut out = Vec::new();
    let outcome = run_with(&request, &mut out, |_, _| {
        Ok(Zeroizing::new(password.to_vec()))
    })?;
    Ok((outcome, String::from_utf8(out).unwrap()))
}

/// For what is sure to work.
fn done(file: &Path, action: Action, password: &[u8]) {
    let (outcome, _) = passwd(file, action, password).unwrap();
    assert_eq!(outcome, Outcome::Done);
}

fn set_to(user: &str) -> Action {
    Action::Set {
        user: user.into(),
        cost: 4,
    }
}

fn verify(user: &str) -> Action {
    Action::Verify { user: user.into() }
}

fn remove(user: &str) -> Action {
    Action::Delete { user: user.into() }
}

#[test]
fn a_user_is_added_changed_verified_and_removed() {
    let directory = Directory::new();
    let file = directory.0.join("htpasswd");
    let (outcome, said) = passwd(&file, set_to("alice"), b"one").unwrap();
    assert_eq!(outcome, Outcome::Done);
    assert!(
        said.starts_with("added user \"alice\"") && said.contains("chmod 640"),
        "{said}"
    );
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("alice:$2y$04$")
    );
    let (_, said) = passwd(&file, set_to("alice"), b"two").unwrap();
    assert!(
        said.starts_with("changed") && !said.contains("chmod"),
        "{said}"
    );
    assert_eq!(
        passwd(&file, verify("alice"), b"one").unwrap().0,
        Outcome::WrongPassword
    );
    assert_eq!(
        passwd(&file, verify("alice"), b"two\0").unwrap().0,
        Outcome::WrongPassword
    );
    assert_eq!(
        passwd(&file, verify("alice"), b"two").unwrap().0,
        Outcome::Done
    );
    assert!(
        passwd(&file, verify("bob"), b"two")
            .unwrap_err()
            .starts_with("no user \"bob\"")
    );
    assert_eq!(Users::load(&file).ok().unwrap().len(), 1);
    assert!(passwd(&file, remove("bob"), b"").is_err());
    let (_, said) = passwd(&file, remove("alice"), b"").unwrap();
    assert!(said.contains("no user is left"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"");
    assert_eq!(directory.names(), ["htpasswd"]);
}

#[test]
fn lines_that_nobody_understands_stay_byte_for_byte() {
    let directory = Directory::new();
    let odd = "\u{feff}# who may\r\n\r\n  carol:x:\u{e4}\r\nwithout a colon\r\n";
    let bob = format!("{BOB}:in the cellar\r\n");
    let mut contents = [odd.as_bytes(), bob.as_bytes(), b"\xff\xfe\x00 torn"].concat();
    let file = directory.file(&contents);
    done(&file, set_to("dora"), b"secret");
    let now = fs::read(&file).unwrap();
    contents.extend_from_slice(b"\r\ndora:$2y$04$");
    assert!(now.starts_with(&contents) && now.ends_with(b"\r\n"));
    done(&file, set_to("bob"), b"secret");
    let now = fs::read(&file).unwrap();
    assert!(now.starts_with(&[odd.as_bytes(), b"bob:$2y$04$"].concat()));
    assert!(now.windows(16).any(|part| part == b":in the cellar\r\n"));
    done(&file, remove("bob"), b"");
    done(&file, remove("dora"), b"");
    let expected = [odd.as_bytes(), b"\xff\xfe\x00 torn\r\n"].concat();
    assert_eq!(fs::read(&file).unwrap(), expected);
}

#[test]
fn the_mode_the_owner_and_a_link_are_kept() {
    let directory = Directory::new();
    let file = directory.file(format!("{BOB}\n").as_bytes());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root can give a file away; elsewhere the owner is kept without that.
    let _ = std::os::unix::fs::chown(&file, Some(65532), Some(65533));
    let before = fs::metadata(&file).unwrap();
    let link = directory.0.join("link");
    symlink("htpasswd", &link).unwrap();
    done(&link, set_to("alice"), b"secret");
    let after = fs::metadata(&file).unwrap();
    assert_ne!(before.ino(), after.ino());
    let owned = |data: &fs::Metadata| (data.mode(), data.uid(), data.gid());
    assert_eq!(owned(&before), owned(&after));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // A link to where nothing is yet.
    let dangling = directory.0.join("dangling");
    symlink("new", &dangling).unwrap();
    done(&dangling, set_to("alice"), b"secret");
    assert_eq!(directory.names(), ["dangling", "htpasswd", "link", "new"]);
    // One that goes round.
    let round = directory.0.join("round");
    symlink("round", &round).unwrap();
    assert!(
        passwd(&round, set_to("alice"), b"secret")
            .unwrap_err()
            .contains("too many links")
    );
}

#[test]
fn two_writers_lose_nothing_of_one_another() {
    let directory = Directory::new();
    let file = directory.0.join("htpasswd");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for n in 0..10 {
                    done(file, set_to(&format!("user{thread}-{n}")), b"secret");
                }
            });
        }
    });
    assert_eq!(Users::load(&file).ok().unwrap().len(), 40);
    assert_eq!(directory.names(), ["htpasswd"]);
}

#[test]
fn what_could_not_work_later_is_refused_and_changes_nothing() {
    let directory = Directory::new();
    let file = directory.0.join("htpasswd");
    for name in [
        "",
        "a:b",
        "a\nb",
        "a\u{7f}",
        "#alice",
        " alice",
        "\u{feff}alice",
    ] {
        assert!(passwd(&file, set_to(name), b"secret").is_err(), "{name:?}");
    }
    for password in [&b""[..], b"a\0b", &[b'x'; 73]] {
        assert!(passwd(&file, set_to("alice"), password).is_err());
    }
    for cost in [0, 3, 17, 31, 99] {
        let user = b"alice".to_vec();
        assert!(passwd(&file, Action::Set { user, cost }, b"secret").is_err());
    }
    for action in [remove("alice"), verify("alice"), Action::List] {
        assert!(
            passwd(&file, action, b"")
                .unwrap_err()
                .contains("no such file")
        );
    }
    assert!(passwd(&directory.0, set_to("alice"), b"secret").is_err());
    assert!(passwd(&directory.0.join("no/where"), set_to("alice"), b"secret").is_err());
    assert!(directory.names().is_empty());
    done(&file, set_to("alice"), &[b'x'; 72]);
    done(&file, set_to("J\u{fc}rgen M."), b"secret");
    assert_eq!(Users::load(&file).ok().unwrap().len(), 2);
}

#[test]
fn a_user_who_is_there_twice_is_not_changed_but_can_be_removed() {
    let directory = Directory::new();
    let file = directory.file(format!("{BOB}\n#\n{BOB}\n").as_bytes());
    for action in [set_to("bob"), verify("bob")] {
        let error = passwd(&file, action, b"secret").unwrap_err();
        assert!(error.contains("lines 1 and 3"), "{error}");
    }
    done(&file, remove("bob"), b"");
    assert_eq!(fs::read(&file).unwrap(), b"#\n");
}

#[test]
fn removing_a_user_gives_nobody_another_name() {
    let directory = Directory::new();
    let marked = "\u{feff}eve:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n";
    for (text, left) in [
        (format!("{BOB}\n{marked}"), format!("\n{marked}")),
        (
            format!("\u{feff}{BOB}\n{marked}"),
            format!("\u{feff}{marked}"),
        ),
        (format!("\u{feff}{BOB}\nx:y\n"), "\u{feff}x:y\n".to_owned()),
    ] {
        let file = directory.file(text.as_bytes());
        done(&file, remove("bob"), b"");
        assert_eq!(fs::read_to_string(&file).unwrap(), left);
        assert!(passwd(&file, verify("eve"), b"correct horse").is_err());
    }
}

#[test]
fn the_list_is_aligned_and_hides_no_fault() {
    let directory = Directory::new();
    let text = format!(
        "# x\nalice:$2y$05$e1t6mIy5XiCyinWeol4hm.RVVF6xwd9i37varrt97X2B6JzhlbpjG\n{BOB}\n\
         j\u{fc}rgen:$5$m0kJ5HhjMughR8Gb$w3Fh8m2qIBp.y9YukJe7hlM.q27gzI5VoEH4gV7KCd8\n\
         mallory:hunter2\nnothing\n"
    );
    let file = directory.file(text.as_bytes());
    let (_, table) = passwd(&file, Action::List, b"").unwrap();
    assert_eq!(
        table,
        "USER     HASH    COST  REMARK\n\
         alice    bcrypt     5\n\
         bob      {SHA}      -  weak\n\
         j\u{fc}rgen   $5$     5000\n\
         mallory  -          -  line 5: plain text, or a hash that lost its \"$\"\n\
         -        -          -  line 6: no colon\n"
    );
}
