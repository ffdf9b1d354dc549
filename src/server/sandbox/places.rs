//! Which places a gate with these settings still needs once it serves.
//!
//! Owns the list: what is read anew when it changes, what it keeps itself, where it connects to. Must not know how the rest is put
//! out of reach. A file that is replaced is another one to the kernel, so that it is its directory that is needed.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::super::bound::Role;
use super::super::reload;
use super::super::sites::Guarded;
use crate::config::{Acme, Admin, Backend, Listen, Settings};
use crate::net::{Host, HostPort};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;
/// Where names are looked up.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// What a dynamic C library asks too, and where the code is that it loads for that.
const NAMES_OF_GLIBC: [&str; 3] = ["/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
const CODE_OF_GLIBC: [&str; 5] = [
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];
/// The name of this user, for messages.
const USERS: &str = "/etc/passwd";
/// Where systems have their root certificates, of which a site that comes may be in want.
const ROOTS: [&str; 8] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
    "/usr/local/share/certs",
    "/var/lib/ca-certificates",
];
/// The variables that say where else they are.
const ROOTS_ELSEWHERE: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Names over TCP, where an answer is long.
const DNS: u16 = 53;
/// Where an authority's directory may send to.
const HTTPS: u16 = 443;

/// What is left to the process.
#[derive(Debug)]
pub struct Places {
    /// Files and directories with all that is beneath them.
    pub files: Vec<Place>,
    /// Of TCP, to connect to; none if any may be wanted.
    pub ports: Option<Vec<u16>>,
    /// Whether systemd is told through a socket without a path.
    pub has_abstract_sockets: bool,
}

/// A file or a directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is now.
    pub path: PathBuf,
    /// What for.
    pub purpose: Use,
}

/// What a place is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Files are read.
    Read,
    /// Files are made, written, read and removed.
    Keep,
    /// A socket is removed at the end.
    Remove,
}

/// What a process with these settings needs. A site that comes later may need more, and is refused with that reason.
pub fn of(settings: &Settings, role: Role, sites: &[Guarded]) -> Places {
    let mut found = Found::default();
    found.of_process(settings);
    found.of_host(settings, role);
    for site in sites {
        found.read(&site.settings.file);
        found.of_host(&site.settings.settings, role);
    }
    if settings.sites.is_some() {
        found.of_sites_to_come(settings);
    }
    if settings.sites.is_some() || found.has_names {
        found.of_names();
    }
    let notified = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    Places {
        files: found.places,
        ports: settings.sites.is_none().then_some(found.ports),
        has_abstract_sockets: notified.as_encoded_bytes().starts_with(b"@"),
    }
}

#[derive(Default)]
struct Found {
    places: Vec<Place>,
    /// By their texts, as other sets here are.
    known: HashSet<String>,
    /// Of what it connects to.
    ports: Vec<u16>,
    /// Whether one of these is a name.
    has_names: bool,
}

impl Found {
    /// The files that guard a host, and what is asked or served behind it.
    fn of_host(&mut self, settings: &Settings, role: Role) {
        for file in reload::files_of(settings) {
            self.read(&file);
        }
        for backend in &settings.backend {
            if let (Role::Gate, Backend::Http(place) | Backend::Https(place)) =
                (role, &backend.value)
            {
                self.connect(place);
            }
        }
        if let Some(api) = &settings.auth_backend {
            self.connect(&api.value.host_port);
        }
        if let Some(acme) = &settings.acme {
            self.ports.push(HTTPS);
            if let Some(place) = authority(acme) {
                self.connect(&place);
            }
        }
    }

    fn connect(&mut self, place: &HostPort) {
        self.ports.push(place.port);
        if let Host::Name(_) = place.host {
            self.has_names = true;
        }
    }

    /// What belongs to the process, whatever hosts it serves.
    fn of_process(&mut self, settings: &Settings) {
        self.add(USERS.into(), Use::Read);
        for listen in &settings.listen {
            if let Listen::Unix(path) = &listen.value {
                self.add_directory_of(path, Use::Remove);
            }
        }
        if let Some(admin) = &settings.admin
            && let Admin::Unix(path) = &admin.value
        {
            self.add_directory_of(path, Use::Keep);
        }
        if let Some(acme) = &settings.acme {
            self.add(acme.state.value.clone(), Use::Keep);
        }
        if let Some(own) = &settings.tls_self_signed {
            self.add(own.value.clone(), Use::Keep);
        }
    }

    fn of_names(&mut self) {
        self.ports.push(DNS);
        for file in NAMES {
            self.read(Path::new(file));
        }
        if !cfg!(target_env = "musl") {
            for file in NAMES_OF_GLIBC {
                self.read(Path::new(file));
            }
            for path in CODE_OF_GLIBC {
                self.add(path.into(), Use::Read);
            }
        }
    }

    fn of_sites_to_come(&mut self, settings: &Settings) {
        let directory = settings.sites.as_ref().and_then(|files| files.directory());
        if let Some(directory) = directory {
            self.read(&directory.join("x.conf"));
        }
        for roots in ROOTS {
            self.add(roots.into(), Use::Read);
        }
        for elsewhere in ROOTS_ELSEWHERE {
            let paths = std::env::var_os(elsewhere).unwrap_or_default();
            for path in std::env::split_paths(&paths) {
                self.add(path, Use::Read);
            }
        }
        // It is made when the first site has rights for everybody.
        if let Some(key) = settings.token_keys.first()
            && !key.value.exists()
        {
            self.add_directory_of(&key.value, Use::Keep);
        }
    }

    /// A file that may be replaced, and each link on the way to it.
    fn read(&mut self, path: &Path) {
        let Ok(mut path) = std::path::absolute(path) else {
            return;
        };
        for _ in 0..MOST_LINKS {
            self.add_directory_of(&path, Use::Read);
            let directory = path.parent().unwrap_or(&path);
            self.links_beneath(directory);
            match fs::read_link(&path) {
                Ok(next) => path = directory.join(next),
                Err(_) => break,
            }
        }
    }

    /// A link within a directory, to a place beneath it, may soon lead to another one there: so releases are switched.
    fn links_beneath(&mut self, directory: &Path) {
        for link in directory.ancestors() {
            let leads_beneath = fs::read_link(link).is_ok_and(|next| {
                let mut parts = next.components();
                parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
            });
            if leads_beneath {
                self.add_directory_of(link, Use::Read);
            }
        }
    }

    /// The directory in which a file may be replaced. All that there is would be too much: in `/` it is the file alone, as it is
    /// where a container has it from elsewhere, since nothing takes the place of a mount.
    fn add_directory_of(&mut self, path: &Path, purpose: Use) {
        let Ok(path) = &std::path::absolute(path) else {
            return;
        };
        let directory = path.parent().unwrap_or(path);
        let is_root = fs::canonicalize(directory).is_ok_and(|it| it == Path::new("/"));
        let is_of_kernel = ["/dev", "/proc", "/sys"]
            .iter()
            .any(|place| path.starts_with(place));
        if is_root || is_of_kernel || is_mount(path) {
            self.add(path.to_owned(), purpose);
        } else {
            self.add(directory.to_owned(), purpose);
        }
    }

    fn add(&mut self, path: PathBuf, purpose: Use) {
        if self.known.insert(format!("{purpose:?}{path:?}")) {
            self.places.push(Place { path, purpose });
        }
    }
}

fn is_mount(path: &Path) -> bool {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    found.is_ok_and(|it| it.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Of `https://HOST:PORT/…`.
fn authority(acme: &Acme) -> Option<HostPort> {
    let (_, rest) = acme.directory.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    HostPort::parse(authority, Some(HTTPS)).ok()
}

#[cfg(test)]
mod tests;
