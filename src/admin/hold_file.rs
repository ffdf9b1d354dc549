//! The file beside the admin socket in which a gate keeps that it is read-only, so that it is still so after a restart.
//!
//! Owns its form: the end in seconds since 1970 and the name of the hold, on one line. Whoever may write there may hold back writes
//! all the same.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::files::read_at_most;

/// What a file of ours has at most.
const LONGEST: u64 = 256;

/// Where a hold is kept.
pub(super) struct HoldFile(PathBuf);

/// What is kept of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// When it ends at the latest.
    pub(super) ends: SystemTime,
    /// What whoever holds calls it.
    pub(super) id: String,
}

impl HoldFile {
    /// The one of the admin socket at `socket`.
    pub(super) fn beside(socket: &Path) -> HoldFile {
        let mut path = OsString::from(socket);
        path.push(".hold");
        HoldFile(path.into())
    }

    /// What it says; none if it is not there. An error says why that cannot be told.
    pub(super) fn read(&self) -> io::Result<Option<Kept>> {
        match read_at_most(&self.0, LONGEST) {
            Ok(bytes) => match bytes.as_deref().and_then(parse) {
                Some(kept) => Ok(Some(kept)),
                None => Err(io::Error::other("not in the form in which it was written")),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        let ends = kept.ends.duration_since(SystemTime::UNIX_EPOCH);
        let line = format!("{} {}\n", ends.unwrap_or_default().as_secs(), kept.id);
        let new = self.0.with_extension("hold.new");
        fs::write(&new, line)?;
        fs::rename(&new, &self.0)
    }

    pub(super) fn remove(&self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                ::log::error!(
                    "{}: {error}: remove it, or the gate is read-only after its next start",
                    self.0.display()
                );
            }
            _ => {}
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

fn parse(bytes: &[u8]) -> Option<Kept> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (ends, id) = line.split_once(' ')?;
    let since = Duration::from_secs(ends.parse().ok()?);
    Some(Kept {
        ends: SystemTime::UNIX_EPOCH.checked_add(since)?,
        id: id.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_is_understood() {
        let kept = Kept {
            ends: SystemTime::UNIX_EPOCH + Duration::from_secs(12),
            id: "ab".into(),
        };
        for (text, expected) in [
            ("12 ab\n", Some(kept)),
            ("12 ab", None),
            ("", None),
            ("soon ab\n", None),
            ("-1 ab\n", None),
            ("99999999999999999999 ab\n", None),
            ("18446744073709551615 ab\n", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }
}
