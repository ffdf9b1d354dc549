//! Files that settings name, before anybody looks at what is in them: why one cannot be had, how a hint names it, and
//! whether it is text at all.
//!
//! Owns the words for that, and who may read what. Must not know what a file is for. The files are the administrator's: not
//! hostile, but often elsewhere, or somebody else's.

mod reader;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use reader::{Obstacle, Reader};

use reader::MOST_LINKS;

use crate::log::reason;

/// Of a file that begins as UTF-16 does.
pub const UTF_16: &str = "UTF-16, as some programs of Windows write text: save it as UTF-8";

/// What some editors put in front of a text, where it means nothing.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// Of a file that is out of reach since the start, although its modes would let this user have it.
const OUTSIDE: &str = "outside of what the sandbox allows, which is what the configuration named at the start; restart the gate";

/// Whether the process has given up most files.
static CONFINED: AtomicBool = AtomicBool::new(false);

/// From here on files may be out of reach although their modes are good.
pub fn confined() {
    CONFINED.store(true, Ordering::Relaxed);
}

/// One fault of a file that is read line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Counted from 1; 0 is for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// What is in a file, unless that is more than `most` bytes.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    // Opening a pipe waits for somebody to write, which may be for ever. What a shell hands over as one is meant.
    let is_handed_over = ["/dev/", "/proc/"]
        .iter()
        .any(|place| path.starts_with(place));
    if !is_handed_over && fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::other("a pipe, and a file is wanted"));
    }
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok((length as u64 <= most).then_some(bytes))
}

/// Why the file at `path` cannot be had, and what to do.
pub fn why(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => match dangling(path) {
            Some(end) => format!("a link that leads to {end:?}, where there is nothing"),
            None => reason(error),
        },
        io::ErrorKind::PermissionDenied => {
            let reader = Reader::of_this_process();
            // Something else than the modes may forbid it, and then there is no more to say.
            let what = match reader.obstacle(path) {
                Some(obstacle) => format!(": user {reader} {obstacle}"),
                None if CONFINED.load(Ordering::Relaxed) => return OUTSIDE.to_owned(),
                None => format!(" for user {reader}"),
            };
            let is_service = std::env::var_os("INVOCATION_ID").is_some();
            format!("permission denied{what}; {}", remedy(is_service))
        }
        _ => reason(error),
    }
}

/// How a user gets to read what that user may not.
pub fn remedy(is_service: bool) -> &'static str {
    if is_service {
        "let a group of that user read it, or have systemd hand it over by LoadCredential=, see portreeve(8)"
    } else {
        "let that user or a group of that user read it"
    }
}

/// Whether the bytes are text in UTF-16: one half of its first characters is a NUL, which no other text has, with a byte
/// order mark before them or without.
pub fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe] | [0xfe, 0xff] | [0xff, 0xfe, _, 0, ..] | [0xfe, 0xff, 0, _, ..] => true,
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] => a.is_ascii_graphic() && *b != 0,
        _ => false,
    }
}

/// A word as a shell wants it, for a command that a person may copy.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:@%,=".contains(c);
    if text.chars().any(char::is_control) {
        // What a terminal would obey is spelt out.
        format!("$'{}'", text.escape_debug())
    } else if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Where a link ends that leads to nothing; nothing if it is no link.
fn dangling(path: &Path) -> Option<PathBuf> {
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&end) {
            Ok(next) => end = tidy(&end.parent().unwrap_or(Path::new("")).join(next)),
            Err(_) => break,
        }
    }
    (end != path && !end.exists()).then_some(end)
}

/// Without `x/..`, which a person has to think about. Wrong where `x` is a link, and then the path is left as it is.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if tidied.is_symlink() || tidied.file_name().is_none() => {
                return path.to_owned();
            }
            Component::ParentDir => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::scratch::Scratch;
    use std::os::unix::fs::symlink;

    fn missing() -> io::Error {
        io::Error::from_raw_os_error(2)
    }

    #[test]
    fn a_dangling_link_says_where_it_leads() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("live/x")).unwrap();
        symlink("../../archive/x/cert1.pem", at("live/x/cert.pem")).unwrap();
        symlink("live/x/cert.pem", at("link")).unwrap();
        let expected = format!(
            "a link that leads to {:?}, where there is nothing",
            at("archive/x/cert1.pem")
        );
        assert_eq!(why(&at("live/x/cert.pem"), &missing()), expected);
        assert_eq!(why(&at("link"), &missing()), expected);
        assert_eq!(why(&at("none"), &missing()), "no such file or directory");
        symlink("circle", at("circle")).unwrap();
        let endless = why(&at("circle"), &io::Error::from_raw_os_error(40));
        assert!(!endless.contains("leads to"), "{endless}");
    }

    #[test]
    fn utf16_is_known_with_a_mark_and_without() {
        for bytes in [
            &b"\xff\xfea\0"[..],
            b"\xfe\xff\0a",
            b"\xff\xfe",
            b"a\0b\0",
            b"\0a\0b",
        ] {
            assert!(is_utf16(bytes), "{bytes:?}");
        }
        for bytes in [
            &b""[..],
            b"a",
            b"abcd",
            b"\xef\xbb\xbfa",
            b"\0\0\0\0",
            b"\xff\xfe b:{SHA}",
        ] {
            assert!(!is_utf16(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell_where_they_must_be() {
        for (given, expected) in [
            ("/etc/portreeve/htpasswd", "/etc/portreeve/htpasswd"),
            ("", "''"),
            ("my users", "'my users'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("~/x", "'~/x'"),
            ("ä", "'ä'"),
            ("a\nb'c", r"$'a\nb\'c'"),
        ] {
            assert_eq!(shell_word(given), expected);
        }
    }
}
