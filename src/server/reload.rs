//! Files that are taken anew when they change: the password file, the access file, certificates and keys.
//!
//! Owns the question whether a file is another one than that which was taken, whole, and good. Must not know what is in it.
//! Whoever replaces a file may do so by rename, by a link that points elsewhere (Kubernetes' `..data`, certbot), or by
//! writing into it (`htpasswd`), so that a look may meet half of it: it is taken when it has not changed for a while, and
//! what is not good is named once, while the last good one stays.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::notify;
use super::prepare::{self, Quoted};
use crate::config::{Fault, Pair, Placed, Settings};
use crate::connection::Service;
use crate::metrics::{self, Reload};
use crate::tls::Certificates;

/// Between two looks.
const ROUND: Duration = Duration::from_secs(1);
/// What has stood still for this long is whole.
const STILL: Duration = Duration::from_millis(200);

/// Somebody has asked for a look at once, by SIGHUP; also what has not changed is then read.
pub struct Asked;

/// Starts the looks, which end with the process. `files` are as they were before the first of them was read.
pub fn start(files: Files, asked: Receiver<Asked>) -> io::Result<()> {
    let Files { mut watched } = files;
    let rounds = move || {
        loop {
            match asked.recv_timeout(ROUND) {
                Ok(Asked) => {
                    notify::reloading();
                    look(&mut watched, |_| true);
                    notify::ready();
                }
                Err(RecvTimeoutError::Timeout) => look(&mut watched, Watched::has_changed),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    thread::Builder::new()
        .name("reload".into())
        .spawn(rounds)
        .map(drop)
}

/// What is watched.
pub struct Files {
    watched: Vec<Watched>,
}

/// Files that are only good together.
struct Watched {
    files: Vec<PathBuf>,
    /// As they were when they were last read, good or bad.
    seen: Vec<Option<Stamp>>,
    read: Reader,
}

/// Reads, and gives what is to be done if that is to count.
type Reader = Box<dyn Fn() -> Result<Take, Vec<Fault>> + Send>;
/// Takes what was read; returns the words for it.
type Take = Box<dyn FnOnce() -> String>;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How the files are now, to be asked before they are read for the first time, so that no change is missed.
pub struct Before {
    htpasswd: Vec<Option<Stamp>>,
    access: Vec<Option<Stamp>>,
    pairs: Vec<Option<Stamp>>,
}

impl Before {
    /// The state of all files that `settings` names.
    pub fn of(settings: &Settings) -> Before {
        Before {
            htpasswd: stamps(&password_files(settings)),
            access: stamps(&access_files(settings)),
            pairs: stamps(&certificate_files(settings)),
        }
    }
}

impl Files {
    /// What is to be watched, and where to put it.
    pub fn new(
        settings: &Settings,
        before: Before,
        service: &Arc<Service>,
        certificates: Option<&Arc<Certificates>>,
    ) -> Files {
        let mut watched = Vec::new();
        if let Some(file) = settings.htpasswd.clone() {
            watched.push(Watched {
                files: password_files(settings),
                seen: before.htpasswd,
                read: users(file, Arc::clone(service)),
            });
        }
        if let Some(file) = settings.access.clone() {
            watched.push(Watched {
                files: access_files(settings),
                seen: before.access,
                read: access(file, settings, Arc::clone(service)),
            });
        }
        if let (Some(shown), false) = (certificates, settings.tls_pairs.is_empty()) {
            watched.push(Watched {
                files: certificate_files(settings),
                seen: before.pairs,
                read: certificates_of(settings.tls_pairs.clone(), Arc::clone(shown)),
            });
        }
        Files { watched }
    }
}

fn users(file: Placed<PathBuf>, service: Arc<Service>) -> Reader {
    Box::new(move || {
        let users = prepare::load_users(&file)?;
        let words = format!(
            "{} from {}, taken anew",
            prepare::count(users.len(), "user"),
            Quoted(&file.value)
        );
        let service = Arc::clone(&service);
        let take = move || {
            service.gatekeeper.replace_users(users);
            words
        };
        Ok(Box::new(take) as Take)
    })
}

fn access(file: Placed<PathBuf>, settings: &Settings, service: Arc<Service>) -> Reader {
    let others = prepare::other_groups(settings);
    let is_nowhere = prepare::nowhere_for_tokens(settings);
    Box::new(move || {
        let access = prepare::load_access(&file, others)?;
        if access.has_anonymous() && is_nowhere {
            return Err(vec![file.fault(prepare::NOWHERE)]);
        }
        let words = format!("{}, taken anew", prepare::about_access((&access, &file)));
        let service = Arc::clone(&service);
        let take = move || {
            service.gatekeeper.replace_access(access);
            words
        };
        Ok(Box::new(take) as Take)
    })
}

fn certificates_of(pairs: Vec<Pair>, certificates: Arc<Certificates>) -> Reader {
    Box::new(move || {
        let loaded: Vec<_> = pairs.iter().map(prepare::load_pair).collect();
        let (good, bad): (Vec<_>, Vec<_>) = loaded.into_iter().partition(Result::is_ok);
        let faults: Vec<_> = bad.into_iter().filter_map(Result::err).flatten().collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let good: Vec<_> = good.into_iter().filter_map(Result::ok).collect();
        let words: Vec<_> = good.iter().map(prepare::about).collect();
        let certificates = Arc::clone(&certificates);
        let take = move || {
            certificates.replace(good);
            format!("{}, taken anew", words.join("; "))
        };
        Ok(Box::new(take) as Take)
    })
}

fn password_files(settings: &Settings) -> Vec<PathBuf> {
    let file = settings.htpasswd.as_ref();
    file.map(|file| file.value.clone()).into_iter().collect()
}

fn access_files(settings: &Settings) -> Vec<PathBuf> {
    let file = settings.access.as_ref();
    file.map(|file| file.value.clone()).into_iter().collect()
}

fn certificate_files(settings: &Settings) -> Vec<PathBuf> {
    let pairs = settings.tls_pairs.iter();
    pairs
        .flat_map(|pair| [pair.cert.value.clone(), pair.key.value.clone()])
        .collect()
}

/// Reads those that `wanted` is true for, if they stand still.
fn look(watched: &mut [Watched], wanted: fn(&Watched) -> bool) {
    let mut wanted: Vec<_> = watched.iter_mut().filter(|one| wanted(one)).collect();
    if wanted.is_empty() {
        return;
    }
    let before: Vec<_> = wanted.iter().map(|one| stamps(&one.files)).collect();
    thread::sleep(STILL);
    for (one, before) in wanted.iter_mut().zip(before) {
        one.take_if_still(before);
    }
}

impl Watched {
    fn has_changed(&self) -> bool {
        stamps(&self.files) != self.seen
    }

    fn take_if_still(&mut self, before: Vec<Option<Stamp>>) {
        if stamps(&self.files) != before {
            // The next round finds it changed still.
            return;
        }
        let read = (self.read)();
        if stamps(&self.files) != before {
            return;
        }
        self.seen = before;
        match read {
            Ok(take) => {
                ::log::info!("{}", take());
                metrics::reload(Reload::Good);
            }
            Err(faults) => {
                faults
                    .iter()
                    .for_each(|fault| ::log::error!("{fault}; the last good one stays"));
                metrics::reload(Reload::Bad);
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

impl Stamp {
    /// Of what the path leads to, also through links; nothing where it leads nowhere.
    fn of(path: &Path) -> Option<Stamp> {
        let it = fs::metadata(path).ok()?;
        Some(Stamp {
            device: it.dev(),
            inode: it.ino(),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}
