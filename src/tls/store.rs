//! Files in the directories of `--tls-self-signed` and `--acme-dir`.
//!
//! Owns modes, whole-or-nothing writing and the lock between processes. Knows nothing of what is in the files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files::Reader;
use crate::log::reason;

/// A private key is for its owner alone.
pub const KEY_MODE: u32 = 0o600;

/// A certificate is for everybody who can reach the directory, as far as the umask allows.
pub const CERTIFICATE_MODE: u32 = 0o644;

/// Who holds the lock makes two keys and writes four small files. Longer than this, and it hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Its name in the directory.
const LOCK: &str = ".lock";

/// Held until dropped.
pub struct Lock {
    _file: File,
}

/// Makes a directory that only its owner may enter, parents included. One that is there keeps its mode.
pub fn make_directory(directory: &Path) -> Result<(), String> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| at(directory, &error))
}

/// The lock, if no other process has it.
pub fn try_lock(directory: &Path) -> Result<Option<Lock>, String> {
    let path = directory.join(LOCK);
    let file = lock_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::Error(error)) => Err(at(&path, &error)),
        Err(TryLockError::WouldBlock) => Ok(None),
    }
}

fn lock_file(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(KEY_MODE)
        .open(path);
    file.map_err(|error| at(path, &error))
}

/// Waits until no other process writes in the directory.
pub fn lock(directory: &Path) -> Result<Lock, String> {
    let path = directory.join(LOCK);
    let file = lock_file(&path)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::Error(error)) => return Err(at(&path, &error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_TIMEOUT => {
                return Err(format!(
                    "{path:?}: another process has held this lock for {LOCK_TIMEOUT:?}: end it"
                ));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Puts a whole file in place of what is there, or leaves that alone. Only under the lock: the name of the
/// temporary file is fixed, so that one left over from a crash is found and removed.
pub fn write(_lock: &Lock, path: &Path, content: &str, mode: u32) -> Result<(), String> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let temporary = path.with_file_name(name);
    let written = remove_if_there(&temporary).and_then(|()| {
        // The mode counts from creation on: no moment at which others may read a key.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|error| at(path, &error))?;
    // Without this a crash may bring the old file back. Some file systems cannot, and lose only that.
    if let Some(directory) = path.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// Whether there is such a file, and it may be read.
pub fn is_there(path: &Path) -> Result<bool, String> {
    match File::open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path, &error)),
    }
}

/// Takes a key away from the eyes of everybody, as a restored backup may have left it.
pub fn guard_key(path: &Path) {
    let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0);
    if open {
        match fs::set_permissions(path, Permissions::from_mode(KEY_MODE)) {
            Ok(()) => {
                log::warn!("{path:?} was open to everybody on this machine, now only to its owner")
            }
            Err(error) => {
                log::warn!(
                    "{path:?} is open to everybody on this machine: chmod 600 ({})",
                    reason(&error)
                );
            }
        }
    }
}

/// Whether the directory could be written to, or made, without doing so.
pub fn could_write(directory: &Path) -> Result<(), String> {
    let parents = directory.ancestors().map(|path| {
        if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        }
    });
    for path in parents {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => return Err(format!("{path:?}: not a directory")),
            Ok(_) => {
                let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
                return rustix::fs::access(path, access).map_err(|error| at(path, &error.into()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(path, &error)),
        }
    }
    Err(format!("{directory:?}: no such file or directory"))
}

/// Removes a file, if it is there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn at(path: &Path, error: &io::Error) -> String {
    let whose = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(" for user {}", Reader::of_this_process()),
        _ => String::new(),
    };
    format!("{path:?}: {}{whose}", reason(error))
}
