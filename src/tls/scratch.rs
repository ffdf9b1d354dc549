//! A directory for one test, gone after it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::host::Name;
use super::issue::Authority;
use super::pair::{Pair, load_pair};

/// Removed with all that is in it when dropped.
pub struct Scratch(PathBuf);

#[allow(clippy::expect_used)]
impl Scratch {
    /// A new empty one.
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("portreeve-tls-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file for the test");
        path
    }
}

/// A certificate for this name, of a CA that is made for it.
#[allow(clippy::unwrap_used)]
pub fn signed(scratch: &Scratch, name: &str) -> Pair {
    let now = SystemTime::now();
    let made = Authority::make("trial", now).unwrap();
    let ca = scratch.file("trial.crt", made.certificate);
    let key = scratch.file("trial.key", made.key);
    let names = [Name::Dns(name.to_owned())];
    let issued = Authority::load(&ca, &key)
        .unwrap()
        .issue(&names, now)
        .unwrap();
    let cert = scratch.file("signed.crt", issued.certificate);
    load_pair(&cert, &scratch.file("signed.key", issued.key)).unwrap()
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
