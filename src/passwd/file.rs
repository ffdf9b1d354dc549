//! A password file that is changed: by one at a time, whole or not at all.
//!
//! Owns the lock and the replacing. Must not know what is in the file.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::files;

/// Nobody else may read a new file: it is for whoever makes it to hand it to the gate's group. With 0640 it would be
/// readable by a group that nobody chose.
const NEW_FILE_MODE: u32 = 0o600;
/// Another writer holds the lock for milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A password file that nobody else who asks for the lock changes meanwhile.
pub(super) struct Locked {
    /// What is replaced: never a link.
    path: PathBuf,
    /// The lock is on the directory: the file itself is replaced by another, may not exist yet, and a lock file beside it
    /// would be left lying about.
    directory: File,
    before: Option<Metadata>,
    contents: Vec<u8>,
}

impl Locked {
    /// Waits for the lock and reads the file. One that does not exist is empty.
    pub(super) fn open(file: &Path) -> Result<Locked, String> {
        let path = target(file)?;
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let directory = File::open(parent)
            .map_err(|error| format!("cannot open {parent:?}: {}", reason(&error)))?;
        lock(&directory, parent)?;
        let (contents, before) = match read(&path) {
            Ok((contents, before)) => (contents, Some(before)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => return Err(format!("cannot read {path:?}: {}", reason(&error))),
        };
        Ok(Locked {
            path,
            directory,
            before,
            contents,
        })
    }

    /// Whether there is such a file yet.
    pub(super) fn exists(&self) -> bool {
        self.before.is_some()
    }

    pub(super) fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// Puts a file with these contents in its place, with the same mode and owner.
    pub(super) fn replace(self, contents: &[u8]) -> Result<(), String> {
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::ResourceBusy => format!(
                "cannot replace {:?}: it is a mount of its own: mount the directory that it is in instead",
                self.path
            ),
            _ => format!("cannot write {:?}: {}", self.path, reason(&error)),
        };
        let mut draft = Draft::new(&self.path).map_err(explain)?;
        if let Some(before) = &self.before {
            let fresh = draft.file.metadata().map_err(explain)?;
            if (fresh.uid(), fresh.gid()) != (before.uid(), before.gid()) {
                fchown(&draft.file, Some(before.uid()), Some(before.gid())).map_err(|error| {
                    format!(
                        "cannot keep the owner {}:{} of {:?}: {}: do this as the owner or as root",
                        before.uid(),
                        before.gid(),
                        self.path,
                        reason(&error)
                    )
                })?;
            }
        }
        let mode = self
            .before
            .as_ref()
            .map_or(NEW_FILE_MODE, |before| before.mode() & 0o7777);
        draft
            .file
            .set_permissions(fs::Permissions::from_mode(mode))
            .map_err(explain)?;
        draft.file.write_all(contents).map_err(explain)?;
        draft.file.sync_all().map_err(explain)?;
        draft.rename(&self.path).map_err(explain)?;
        self.directory.sync_all().map_err(explain)
    }
}

/// Reads the file without changing it, so without a lock: it is replaced whole, never written into.
pub(super) fn contents(file: &Path) -> Result<Vec<u8>, String> {
    read(file)
        .map(|(contents, _)| contents)
        .map_err(|error| format!("cannot read {file:?}: {}", reason(&error)))
}

/// What went wrong, in lower case and without a number where that is known.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::StorageFull
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidInput => error.kind().to_string(),
        _ => error.to_string(),
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    // A look first: opening a pipe would wait for somebody at its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    let mut contents = Vec::new();
    file.read_to_end(&mut contents)?;
    if files::is_utf16(&contents) {
        return Err(io::Error::other(files::UTF_16));
    }
    Ok((contents, file.metadata()?))
}

/// Follows links to what they point to, also where that does not exist yet.
fn target(file: &Path) -> Result<PathBuf, String> {
    let mut path = file.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            // Not a link, or nothing there, or no way to look, which reading it will tell.
            Err(_) => return Ok(path),
        }
    }
    Err(format!("cannot read {file:?}: too many links"))
}

fn lock(directory: &File, path: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "cannot lock {path:?}: somebody else has held the lock for {} s: see \"lslocks\"",
                    LOCK_PATIENCE.as_secs()
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(format!("cannot lock {path:?}: {}", reason(&error)));
            }
        }
    }
}

/// A new file beside the old one. Removed when dropped, unless it has taken its place.
struct Draft {
    file: File,
    path: PathBuf,
    is_in_place: bool,
}

impl Draft {
    fn new(beside: &Path) -> io::Result<Draft> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let mut name = std::ffi::OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        name.push(format!(".{:016x}", u64::from_be_bytes(random)));
        let path = beside.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(NEW_FILE_MODE)
            .open(&path)?;
        Ok(Draft {
            file,
            path,
            is_in_place: false,
        })
    }

    fn rename(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}
