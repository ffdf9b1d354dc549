//! The password file: its lines, its users, and every fault in it.
//!
//! Owns the file's grammar, which is Apache's: `user:hash`, comments, blank lines. Must not know who asks. The file is
//! written by those who run the gate, but by hand and with several programs, so everything wrong with it is named with
//! its line and a remedy; a message never repeats what may be a password.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::dummy_work::DummyWork;
use super::hash::Hash;
use super::shape::HashFault;
use crate::files::{self, BOM, LineFault};

/// Far more than the largest file that makes sense (a million users), and far less than what would hurt to read.
const LARGEST_FILE: u64 = 256 * 1024 * 1024;
/// The longest name that a fault repeats, in bytes: that of any mail address that is used.
const LONGEST_SHOWN: usize = 64;

/// Everybody who may log in.
pub struct Users {
    entries: HashMap<Arc<[u8]>, User>,
    dummy_work: DummyWork,
}

struct User {
    secret: Secret,
    line: usize,
}

/// What stands behind the colon of a line that is right.
pub(crate) enum Secret {
    Hash(Hash),
    /// With `!` or `*` before or in place of the hash, as `passwd -l` and `usermod -L` leave it: no password is right.
    Locked,
}

impl Users {
    /// Reads the contents of a password file, or names all that is wrong with it. No message holds a part of a line, which
    /// may be a password at any place.
    pub fn parse(bytes: &[u8]) -> Result<Users, Vec<LineFault>> {
        Users::parse_file(bytes, "FILE")
    }

    /// `file` is its name as a shell wants it, for hints.
    fn parse_file(bytes: &[u8], file: &str) -> Result<Users, Vec<LineFault>> {
        if files::is_utf16(bytes) {
            let message = files::UTF_16.to_owned();
            return Err(vec![LineFault { line: 0, message }]);
        }
        let mut entries: HashMap<Arc<[u8]>, User> = HashMap::new();
        let mut dummy_work = DummyWork::default();
        let mut faults = Vec::new();
        for line in lines(bytes) {
            let number = line.number;
            let entry = match named_secret(&line, bytes, file) {
                Ok(None) => continue,
                Ok(Some((user, secret))) => match entries.entry(user.into()) {
                    Entry::Occupied(first) => Err(format!(
                        "the user of line {} again: remove one of the two",
                        first.get().line
                    )),
                    Entry::Vacant(place) => Ok((place, secret)),
                },
                Err(message) => Err(message),
            };
            match entry {
                Ok((place, secret)) => {
                    if let Secret::Hash(hash) = &secret {
                        dummy_work.include(hash.scheme());
                    }
                    place.insert(User {
                        secret,
                        line: number,
                    });
                }
                Err(message) => faults.push(LineFault {
                    line: number,
                    message,
                }),
            }
        }
        if entries.is_empty() && faults.is_empty() {
            faults.push(LineFault {
                line: 0,
                message: format!("no user in it: add one with \"portreeve passwd {file} USER\""),
            });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Users {
            entries,
            dummy_work,
        })
    }

    /// Reads a password file. That it cannot be read is a fault of line 0.
    pub fn load(path: &Path) -> Result<Users, Vec<LineFault>> {
        let name = files::shell_word(&path.to_string_lossy());
        let message = match files::read_at_most(path, LARGEST_FILE) {
            Ok(Some(bytes)) => return Users::parse_file(&bytes, &name),
            Ok(None) => {
                format!(
                    "larger than {} MiB: not a password file",
                    LARGEST_FILE >> 20
                )
            }
            Err(error) => unreadable(path, &name, &error),
        };
        Err(vec![LineFault { line: 0, message }])
    }

    /// How many there are. Never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A digest of a user's line, if one can log in by it.
    pub fn fingerprint(&self, user: &[u8]) -> Option<[u8; 32]> {
        let (name, hash) = self.find(user)?;
        let length = (name.len() as u64).to_be_bytes();
        let line = [&length[..], name, hash.text().as_bytes()].concat();
        digest(&SHA256, &line).as_ref().try_into().ok()
    }

    /// Whether there is a line for somebody.
    pub fn has(&self, user: &[u8]) -> bool {
        self.entries.contains_key(user)
    }

    /// How many of them are locked.
    pub fn locked(&self) -> usize {
        let users = self.entries.values();
        users
            .filter(|user| matches!(user.secret, Secret::Locked))
            .count()
    }

    /// The weak kinds of hashes in the file and what to do about them, for the log. `None` if there are none. `file` is its
    /// name as a shell wants it.
    pub fn weak(&self, file: &str) -> Option<String> {
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for user in self.entries.values() {
            let Secret::Hash(hash) = &user.secret else {
                continue;
            };
            let scheme = hash.scheme();
            if !scheme.is_weak() {
                continue;
            }
            match kinds.iter_mut().find(|(name, _)| *name == scheme.name()) {
                Some((_, count)) => *count += 1,
                None => kinds.push((scheme.name(), 1)),
            }
        }
        if kinds.is_empty() {
            return None;
        }
        kinds.sort_unstable();
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|(name, count)| match count {
                1 => format!("{name} (1 user)"),
                _ => format!("{name} ({count} users)"),
            })
            .collect();
        Some(format!(
            "weak hashes: {}: \"portreeve passwd --list {file}\" shows whose, \"portreeve passwd {file} USER\" makes a strong one",
            kinds.join(", ")
        ))
    }

    /// The user of that name, if one can log in by it: one who is locked is like one who is not there. The name is shared,
    /// so that holding on to it costs no allocation.
    pub(in crate::gate::auth) fn find(&self, user: &[u8]) -> Option<(&Arc<[u8]>, &Hash)> {
        let (name, user) = self.entries.get_key_value(user)?;
        match &user.secret {
            Secret::Hash(hash) => Some((name, hash)),
            Secret::Locked => None,
        }
    }

    /// Whether `password` is that of `user`. Takes as long as a hash does; if the answer is no, always the same work.
    pub(in crate::gate::auth) fn check(&self, user: &[u8], password: &[u8]) -> bool {
        // C programs end a password at a NUL, so that what follows would not count there: refused, as if unknown.
        let hash = match self.find(user) {
            Some((_, hash)) if !password.contains(&0) => Some(hash),
            _ => None,
        };
        if hash.is_some_and(|hash| hash.verify(password)) {
            return true;
        }
        self.dummy_work.make_up(hash.map(Hash::scheme), password);
        false
    }
}

/// A user's name as it can be printed anywhere.
pub(crate) fn shown(user: &[u8]) -> String {
    match std::str::from_utf8(user) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => user.escape_ascii().to_string(),
    }
}

/// The same of what stands before the colon of a line, where it may be anything else than a name: a hash, where somebody
/// put the two in the wrong order, or a part of another file.
pub(crate) fn shown_unless_secret(user: &[u8]) -> String {
    let begins_a_hash = user.starts_with(b"$") || user.starts_with(b"{");
    match begins_a_hash || user.len() > LONGEST_SHOWN {
        true => "…".to_owned(),
        false => shown(user),
    }
}

/// Why a password file cannot be read, and what to do.
/// Whose password a line says, if anybody's, and what it is; or what is wrong with it.
fn named_secret<'a>(
    line: &Line<'a>,
    bytes: &[u8],
    file: &str,
) -> Result<Option<(&'a [u8], Secret)>, String> {
    let user = match line.content {
        Content::Nothing => return Ok(None),
        Content::NoColon => {
            return Err(format!(
                "no colon: \"user:hash\" is wanted, as \"portreeve passwd {file} USER\" writes it, or a \"#\" before a comment"
            ));
        }
        Content::User { user, .. } => user,
    };
    if user.is_empty() {
        let message = "an empty user name: write one before the colon, or remove the line";
        return Err(message.to_owned());
    }
    if user.iter().any(u8::is_ascii_control) {
        return Err("a control character in the user's name: remove it".to_owned());
    }
    match line.secret(bytes) {
        Ok(secret) => Ok(Some((user, secret))),
        Err(wrong @ HashFault::Prefixed(_)) => Err(wrong.to_string()),
        Err(wrong) => Err(format!(
            "{wrong}: make it anew with \"portreeve passwd {file} USER\""
        )),
    }
}

fn unreadable(path: &Path, name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if !path.is_symlink() => {
            format!("no such file: make it with \"portreeve passwd {name} USER\"")
        }
        io::ErrorKind::IsADirectory => "a directory: a file is wanted".to_owned(),
        _ => files::why(path, error),
    }
}

/// One line of a password file.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Where it is in the file, with its end, without a byte order mark.
    pub(crate) whole: Range<usize>,
    pub(crate) content: Content<'a>,
}

impl Line<'_> {
    /// What stands behind the colon of a line with a user, which is part of `bytes`.
    pub(crate) fn secret(&self, bytes: &[u8]) -> Result<Secret, HashFault> {
        let Content::User { hash, .. } = &self.content else {
            return Err(HashFault::Missing);
        };
        let text = bytes.get(hash.clone()).unwrap_or_default();
        if matches!(text.first(), Some(b'!' | b'*')) {
            return Ok(Secret::Locked);
        }
        // user:realm:MD5, where the realm stands in place of the hash.
        let rest = bytes.get(hash.end..self.whole.end).unwrap_or_default();
        let sum = rest.trim_ascii().strip_prefix(b":").unwrap_or_default();
        let is_digest = sum.len() == 32 && sum.iter().all(u8::is_ascii_hexdigit);
        match Hash::parse(text) {
            Ok(hash) => Ok(Secret::Hash(hash)),
            Err(_) if is_digest => Err(HashFault::Digest),
            Err(fault) => Err(fault),
        }
    }
}

/// What is on a line. No judgement yet.
pub(crate) enum Content<'a> {
    /// Blank or a comment.
    Nothing,
    NoColon,
    User {
        user: &'a [u8],
        /// Where the hash is in the file. As in Apache and nginx, another colon ends it and a remark may follow.
        hash: Range<usize>,
    },
}

/// The lines of a password file, whatever their ends, blanks around them left out of account.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let start = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    let rest = bytes.get(start..).unwrap_or_default();
    let mut at = start;
    rest.split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .map(move |(index, raw)| {
            let whole = at..at + raw.len();
            at = whole.end;
            let before = raw.len() - raw.trim_ascii_start().len();
            let text = raw.trim_ascii();
            let content = if text.is_empty() || text.starts_with(b"#") {
                Content::Nothing
            } else if let Some(colon) = text.iter().position(|byte| *byte == b':') {
                let (user, rest) = text.split_at(colon);
                let rest = rest.get(1..).unwrap_or_default();
                let length = rest
                    .iter()
                    .position(|byte| *byte == b':')
                    .unwrap_or(rest.len());
                let hash = whole.start + before + colon + 1;
                Content::User {
                    user,
                    hash: hash..hash + length,
                }
            } else {
                Content::NoColon
            };
            Line {
                number: index + 1,
                whole,
                content,
            }
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALICE: &str = "alice:$2y$04$Rv1V/zQaiFUIGfTtte8ROu4Okb3JZDvJbDLnQyi2Mqz2/JGv7aVHK";
    const BOB: &str = "bob:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=";

    fn faults(text: &[u8]) -> Vec<(usize, String)> {
        let faults = Users::parse(text).err().unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| (fault.line, fault.message))
            .collect()
    }

    #[test]
    fn comments_blank_lines_blanks_crlf_a_bom_and_remarks_are_accepted() {
        for text in [
            format!("{ALICE}\n{BOB}\n"),
            format!("{ALICE}\n{BOB}"),
            format!("{ALICE}\r\n{BOB}\r\n"),
            format!("\u{feff}{ALICE}\n{BOB}\n"),
            format!("# who may\n\n  \t\n{ALICE}\n  # not: this\n{BOB}\n\n"),
            format!(" {ALICE} \t\n\t{BOB}:in the cellar: since 2019\n"),
        ] {
            let users = Users::parse(text.as_bytes()).ok().unwrap();
            assert_eq!(users.len(), 2, "{text}");
            for user in [&b"alice"[..], b"bob"] {
                assert!(users.check(user, b"correct horse"), "{text}");
                assert!(!users.check(user, b"correct horse "), "{text}");
            }
            assert!(!users.check(b"carol", b"correct horse"));
            assert!(!users.check(b"", b""));
        }
    }

    #[test]
    fn a_name_may_be_any_bytes() {
        let users = Users::parse(b"\xff\xfe b:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n")
            .ok()
            .unwrap();
        assert!(users.check(b"\xff\xfe b", b"correct horse"));
    }

    #[test]
    fn all_faults_are_named_with_line_and_remedy_and_without_the_password() {
        let text = format!(
            "\n{ALICE}\nbob:hunter2\ncarol\n:{{SHA}}L55TUjtiq8FBorTWAZ0jy6g129A=\n# fine\n{ALICE}\r\n\
             dora:HXITJXUuLrQvY\nemil:\nfred:$$2y$$04$$Rv1V\ng\u{7}:x\nhugo:$2y$04$Rv1V\n"
        );
        let found = faults(text.as_bytes());
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 7, 8, 9, 10, 11, 12]);
        for ((_, message), part) in found.iter().zip([
            "plain text, or a hash that lost its \"$\": make it anew with \"portreeve passwd FILE USER\"",
            "no colon",
            "an empty user name",
            "the user of line 2 again",
            "DES crypt",
            "no hash after the colon",
            "doubled",
            "a control character",
            "truncated bcrypt hash; was a \"$\" eaten by a shell or compose?",
        ]) {
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("hunter2"));
        }
    }

    #[test]
    fn no_message_quotes_a_part_of_a_line() {
        for line in [
            "hunter2",
            "hunter2:",
            "hunter2:hunter2",
            "hunter2:hunter2:hunter2",
            "hunter2\u{7}:x",
            "hunter2:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\nhunter2:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
            "$2y$04$hunter2:alice",
            "a:{hunter2}x",
            "a:$hunter2$x",
        ] {
            let found = faults(line.as_bytes());
            assert_eq!(found.len(), 1, "{line}");
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn a_locked_user_is_one_who_cannot_log_in() {
        for locked in [
            "!",
            "*",
            "!!",
            "!*",
            "*LK*",
            "!{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
            "*{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
        ] {
            let text = format!("{ALICE}\nbob:{locked}\n");
            let users = Users::parse(text.as_bytes()).ok().unwrap();
            assert_eq!((users.len(), users.locked()), (2, 1), "{locked}");
            assert!(users.check(b"alice", b"correct horse"));
            for password in [&b"correct horse"[..], b"", locked.as_bytes()] {
                assert!(!users.check(b"bob", password), "{locked}");
            }
            assert_eq!(users.weak("FILE"), None);
            let again = faults(format!("{text}bob:!\n").as_bytes());
            assert!(
                matches!(&again[..], [(3, message)] if message.contains("line 2 again")),
                "{again:?}"
            );
        }
        assert!(Users::parse(b"bob:!\n").is_ok());
    }

    #[test]
    fn what_is_of_another_kind_is_called_by_its_name() {
        let utf16: Vec<u8> = format!("{ALICE}\n")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (text, line, part) in [
            (&utf16[..], 0, "UTF-16"),
            (&[b"\xff\xfe", &utf16[..]].concat(), 0, "UTF-16"),
            (
                b"bob:Registry:0123456789abcdef0123456789ABCDEF\r\n",
                1,
                "htdigest",
            ),
            (
                b"bob:{BCRYPT}$2y$04$Rv1V/zQaiFUIGfTtte8ROu4Okb3JZDvJbDLnQyi2Mqz2/JGv7aVHK",
                1,
                "remove the \"{BCRYPT}\" before it",
            ),
            (
                b"bob:{blf-crypt}$2y$04$Rv1V/zQaiFUIGfTtte8ROu4Okb3JZDvJbDLnQyi2Mqz2/JGv7aVHK",
                1,
                "remove the \"{BLF-CRYPT}\" before it",
            ),
            (
                b"bob:{BCRYPT}rubbish",
                1,
                "an unknown kind of hash \"{BCRYPT}\"",
            ),
            (
                b"bob:{CRYPT}HXITJXUuLrQvY",
                1,
                "an unknown kind of hash \"{CRYPT}\"",
            ),
        ] {
            let found = faults(text);
            assert!(
                matches!(&found[..], [(number, message)] if *number == line && message.contains(part)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn hints_name_the_file_as_a_shell_wants_it() {
        let found = Users::parse_file(b"", "'my users'").err().unwrap();
        assert_eq!(
            found[0].message,
            "no user in it: add one with \"portreeve passwd 'my users' USER\""
        );
        let missing = Users::load(Path::new("/nowhere/$(x)")).err().unwrap();
        assert_eq!(
            missing[0].message,
            "no such file: make it with \"portreeve passwd '/nowhere/$(x)' USER\""
        );
    }

    #[test]
    fn a_file_without_a_user_is_a_fault() {
        for text in ["", "\n\n", "# nobody\n", "\u{feff}"] {
            let found = faults(text.as_bytes());
            assert_eq!(found.len(), 1);
            assert!(
                found
                    .iter()
                    .all(|(line, message)| *line == 0 && message.starts_with("no user"))
            );
        }
        let missing = Users::load(Path::new("/nowhere/htpasswd"))
            .err()
            .unwrap_or_default();
        assert!(
            missing
                .iter()
                .all(|fault| fault.line == 0 && fault.message.starts_with("no such file"))
        );
        assert_eq!(
            Users::load(Path::new("/")).err().map(|faults| faults.len()),
            Some(1)
        );
    }

    #[test]
    fn a_nul_in_the_password_is_refused_even_where_it_would_fit() {
        let users = Users::parse(BOB.as_bytes()).ok().unwrap();
        assert!(!users.check(b"bob", b"correct horse\0"));
        assert!(!users.check(b"bob", b"correct horse\0x"));
    }

    #[test]
    fn weak_kinds_are_named() {
        assert_eq!(
            Users::parse(ALICE.as_bytes()).ok().unwrap().weak("FILE"),
            None
        );
        let text = format!(
            "{ALICE}\n{BOB}\ncarol:{{SHA}}L55TUjtiq8FBorTWAZ0jy6g129A=\ndora:$1$rqiZQ46f$x1FiKirucJ0IHxHLusP7j.\n"
        );
        let weak = Users::parse(text.as_bytes())
            .ok()
            .unwrap()
            .weak("FILE")
            .unwrap();
        assert!(
            weak.starts_with("weak hashes: $1$ (1 user), {SHA} (2 users): "),
            "{weak}"
        );
    }

    #[test]
    fn lines_say_where_they_are() {
        let text = b"\xef\xbb\xbf a:b:c\r\n#\nx";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].whole, 3..11);
        assert!(
            matches!(&found[0].content, Content::User { user: b"a", hash } if text[hash.clone()] == *b"b")
        );
        assert_eq!(found[2].whole, 13..14);
        assert!(matches!(found[2].content, Content::NoColon));
    }
}
