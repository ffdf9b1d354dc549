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

use super::guard::{self, NOWHERE};
use super::notify;
use super::prepare::{self, Quoted};
use super::site_files::SiteWatch;
use super::sites::{self, label};
use crate::config::{ClientCertificates, Fault, Pair, Placed, Settings};
use crate::connection::{Checked, Site};
use crate::metrics::{self, Reload};
use crate::tls::{self, Certificates};

/// Between two looks.
const ROUND: Duration = Duration::from_secs(1);
/// What has stood still for this long is whole.
pub const STILL: Duration = Duration::from_millis(200);

/// Somebody has asked for a look at once, by SIGHUP; also what has not changed is then read.
pub struct Asked;

/// Starts the looks, which end with the process.
///
/// `revised` is called after something was taken.
pub fn start(
    files: Files,
    asked: Receiver<Asked>,
    revised: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let Files {
        mut main,
        mut sites,
    } = files;
    let rounds = move || {
        loop {
            let is_asked = match asked.recv_timeout(ROUND) {
                Ok(Asked) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let wanted: fn(&Watched) -> bool = match is_asked {
                true => |_| true,
                false => Watched::has_changed,
            };
            if is_asked {
                notify::reloading();
            }
            let mut has_news = look(main.iter_mut(), wanted);
            if let Some(sites) = &mut sites {
                has_news |= sites.look(wanted, is_asked);
            }
            if has_news {
                revised();
            }
            if is_asked {
                notify::ready();
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
    /// What the main settings name.
    pub main: Vec<Watched>,
    /// The sites, if there may be some.
    pub sites: Option<SiteWatch>,
}

/// Files that are only good together.
pub struct Watched {
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
pub struct Stamp {
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
    clients: Vec<Option<Stamp>>,
}

impl Before {
    /// The state of all files that `settings` names.
    pub fn of(settings: &Settings) -> Before {
        Before {
            htpasswd: stamps(&named(settings.htpasswd.as_ref())),
            access: stamps(&named(settings.access.as_ref())),
            pairs: stamps(&certificate_files(settings)),
            clients: stamps(&named(
                settings.client_certificates.as_ref().map(|own| &own.ca),
            )),
        }
    }
}

/// What is to be watched of one site, and where to put it.
pub fn of_site(
    settings: &Settings,
    before: Before,
    site: &Arc<Site>,
    certificates: &Arc<Certificates>,
) -> Vec<Watched> {
    let mut watched = Vec::new();
    if let Some(file) = settings.htpasswd.clone() {
        watched.push(Watched {
            files: named(Some(&file)),
            seen: before.htpasswd,
            read: users(file, Arc::clone(site)),
        });
    }
    if let Some(file) = settings.access.clone() {
        watched.push(Watched {
            files: named(Some(&file)),
            seen: before.access,
            read: access(file, settings, Arc::clone(site)),
        });
    }
    if let Some(clients) = settings.client_certificates.clone() {
        watched.push(Watched {
            files: named(Some(&clients.ca)),
            seen: before.clients,
            read: clients_of(clients, Arc::clone(site), Arc::clone(certificates)),
        });
    }
    watched
}

/// The certificates of these settings, which `take` is given when they are good.
pub fn of_pairs(
    settings: &Settings,
    before: &Before,
    take: impl Fn(Vec<tls::Pair>) + Clone + Send + 'static,
) -> Option<Watched> {
    (!settings.tls_pairs.is_empty()).then(|| Watched {
        files: certificate_files(settings),
        seen: before.pairs.clone(),
        read: pairs_of(settings.tls_pairs.clone(), take),
    })
}

fn users(file: Placed<PathBuf>, site: Arc<Site>) -> Reader {
    Box::new(move || {
        let users = guard::load_users(&file)?;
        let words = format!(
            "{}{} from {}, taken anew",
            label(&site.name),
            prepare::count(users.len(), "user"),
            Quoted(&file.value)
        );
        let site = Arc::clone(&site);
        let take = move || {
            site.gatekeeper.replace_users(users);
            words
        };
        Ok(Box::new(take) as Take)
    })
}

fn access(file: Placed<PathBuf>, settings: &Settings, site: Arc<Site>) -> Reader {
    let others = guard::other_groups(settings);
    let is_nowhere = guard::nowhere_for_tokens(settings);
    Box::new(move || {
        let access = guard::load_access(&file, others)?;
        if access.has_anonymous() && is_nowhere {
            return Err(vec![file.fault(NOWHERE)]);
        }
        let words = format!(
            "{}{}, taken anew",
            label(&site.name),
            guard::about_access((&access, &file))
        );
        let site = Arc::clone(&site);
        let take = move || {
            site.gatekeeper.replace_access(access);
            words
        };
        Ok(Box::new(take) as Take)
    })
}

/// What certificates of clients must chain to. Where the file is gone none counts any more.
fn clients_of(
    clients: ClientCertificates,
    site: Arc<Site>,
    certificates: Arc<Certificates>,
) -> Reader {
    Box::new(move || {
        let is_gone = !clients.ca.value.exists();
        let checked = match is_gone {
            true => Checked {
                config: tls::server_config(Arc::clone(&certificates), None)
                    .map_err(|reason| vec![clients.ca.fault(reason)])?,
                verifier: None,
            },
            false => sites::config_asking(&clients, &certificates).map_err(|fault| vec![fault])?,
        };
        let file = Quoted(&clients.ca.value);
        let words = match is_gone {
            true => format!(
                "{}no certificate of a client counts: {file} is gone",
                label(&site.name)
            ),
            false => format!(
                "{}certificates of clients by {file}, taken anew",
                label(&site.name)
            ),
        };
        let site = Arc::clone(&site);
        let take = move || {
            if let Some(own) = &site.clients {
                own.replace(checked);
            }
            words
        };
        Ok(Box::new(take) as Take)
    })
}

fn pairs_of(pairs: Vec<Pair>, take: impl Fn(Vec<tls::Pair>) + Clone + Send + 'static) -> Reader {
    Box::new(move || {
        let loaded: Vec<_> = pairs.iter().map(prepare::load_pair).collect();
        let (good, bad): (Vec<_>, Vec<_>) = loaded.into_iter().partition(Result::is_ok);
        let faults: Vec<_> = bad.into_iter().filter_map(Result::err).flatten().collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let good: Vec<_> = good.into_iter().filter_map(Result::ok).collect();
        let words: Vec<_> = good.iter().map(prepare::about).collect();
        let give = take.clone();
        let take = move || {
            give(good);
            format!("{}, taken anew", words.join("; "))
        };
        Ok(Box::new(take) as Take)
    })
}

/// What these settings name, and what may be wrong with them.
pub fn files_of(settings: &Settings) -> Vec<PathBuf> {
    let ca = settings.client_certificates.as_ref().map(|own| &own.ca);
    let others = [
        settings.htpasswd.as_ref(),
        settings.access.as_ref(),
        settings.backend_ca.as_ref(),
        settings.auth_ca.as_ref(),
        ca,
    ];
    let others = others
        .into_iter()
        .chain(settings.token_keys.iter().map(Some));
    let others = others.flat_map(named);
    others.chain(certificate_files(settings)).collect()
}

fn named(file: Option<&Placed<PathBuf>>) -> Vec<PathBuf> {
    file.map(|file| file.value.clone()).into_iter().collect()
}

fn certificate_files(settings: &Settings) -> Vec<PathBuf> {
    let pairs = settings.tls_pairs.iter();
    pairs
        .flat_map(|pair| [pair.cert.value.clone(), pair.key.value.clone()])
        .collect()
}

/// Reads those that `wanted` is true for, if they stand still. Says whether there were some.
pub fn look<'a>(
    watched: impl Iterator<Item = &'a mut Watched>,
    wanted: fn(&Watched) -> bool,
) -> bool {
    let mut wanted: Vec<_> = watched.filter(|one| wanted(one)).collect();
    if wanted.is_empty() {
        return false;
    }
    let before: Vec<_> = wanted.iter().map(|one| stamps(&one.files)).collect();
    thread::sleep(STILL);
    for (one, before) in wanted.iter_mut().zip(before) {
        one.take_if_still(before);
    }
    true
}

impl Watched {
    /// Whether it is another one than was read last.
    pub fn has_changed(&self) -> bool {
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
            Err(faults) => stays(&faults),
        }
    }
}

/// Says why something is not taken.
pub fn stays(faults: &[Fault]) {
    faults
        .iter()
        .for_each(|fault| ::log::error!("{fault}; the last good one stays"));
    metrics::reload(Reload::Bad);
}

pub fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

impl Stamp {
    /// Of what the path leads to, also through links; nothing where it leads nowhere.
    pub fn of(path: &Path) -> Option<Stamp> {
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
