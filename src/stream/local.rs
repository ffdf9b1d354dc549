//! Unix sockets to listen on: made, put in place of dead ones, and removed at the end.
//!
//! Owns what happens to the file at such a path, and removes nothing there but sockets: a path may have been mixed up
//! with that of a password file. It must not know who connects.

use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The file of a socket that this process has bound. Removed when dropped, unless another has taken its place. Drop it
/// before the listener: as long as that is open, nothing else has its inode.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.ok().as_ref().map(identity) == self.device_and_inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a Unix socket, also where one that died has left its own behind.
pub fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = UnixListener::bind(path).or_else(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        room_for_socket(path).map_err(io::Error::other)?;
        if !is_dead(path)? {
            return Err(error);
        }
        fs::remove_file(path)?;
        UnixListener::bind(path)
    })?;
    let file = SocketFile {
        path: path.to_owned(),
        device_and_inode: fs::symlink_metadata(path).ok().as_ref().map(identity),
    };
    Ok((listener, file))
}

/// Whether there is nothing at a path, or a socket. The error says what else there is; nothing is changed.
pub fn room_for_socket(path: &Path) -> Result<(), String> {
    // Not `metadata`: a link to a socket is a link, and whoever made it meant something by it.
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => Err(format!(
            "{} is there, and only a dead socket is replaced: name another path",
            kind(there.file_type())
        )),
        _ => Ok(()),
    }
}

fn kind(there: FileType) -> &'static str {
    if there.is_file() {
        "a file"
    } else if there.is_dir() {
        "a directory"
    } else if there.is_symlink() {
        "a link"
    } else if there.is_fifo() {
        "a FIFO"
    } else {
        "a device"
    }
}

/// Whether nobody answers on a socket. Only asked of what is a socket: to connect to a file is refused as well. It does
/// not wait for one whose queue is full, who is alive.
fn is_dead(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let connected = rustix::net::connect(&socket, &SocketAddrUnix::new(path)?);
    Ok(connected == Err(Errno::CONNREFUSED))
}

fn identity(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("portreeve-local-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let scratch = Scratch::new();
        let path = scratch.0.join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind_unix(&path).unwrap();
        let error = bind_unix(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
        drop(listener);
    }

    #[test]
    fn what_is_no_socket_stays_and_is_named() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.0.join(name);
        fs::write(at("file"), "alice:secret").unwrap();
        fs::create_dir(at("directory")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR).unwrap();
        drop(UnixListener::bind(at("dead")).unwrap());
        std::os::unix::fs::symlink(at("dead"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("absent"), at("dangling")).unwrap();
        for (name, what) in [
            ("file", "a file"),
            ("directory", "a directory"),
            ("fifo", "a FIFO"),
            ("link", "a link"),
            ("dangling", "a link"),
        ] {
            let said = room_for_socket(&at(name)).unwrap_err();
            assert!(said.starts_with(&format!("{what} is there")), "{said}");
            assert_eq!(bind_unix(&at(name)).unwrap_err().to_string(), said);
            assert!(fs::symlink_metadata(at(name)).is_ok(), "{name} is gone");
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"alice:secret");
        assert_eq!(room_for_socket(&at("dead")), Ok(()));
        assert_eq!(room_for_socket(&at("nothing")), Ok(()));
    }

    #[test]
    fn what_has_taken_the_place_of_a_socket_is_not_removed_with_it() {
        let scratch = Scratch::new();
        let path = scratch.0.join("socket");
        let (_listener, file) = bind_unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
