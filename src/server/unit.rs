//! The service that systemd starts on this machine: whom it runs as, what it is handed, and what of the settings its user
//! cannot read, for whoever runs `check` as root, who can read everything.
//!
//! Owns the little of systemd's files that says so: `User=`, `Group=`, `SupplementaryGroups=`, `DynamicUser=`,
//! `ProtectHome=`, `PrivateTmp=`, `LoadCredential=` and `ExecStart=`, in the unit and its drop-ins. What it does not
//! understand it passes over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Fault, Place, Placed, Settings};
use crate::files::{self, Reader};

const NAME: &str = "portreeve.service";
/// Where units are, the first to be believed first.
const PLACES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Where systemd puts what it hands to a service.
const CREDENTIALS: &str = "/run/credentials/portreeve.service";
/// What `ProtectHome=` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `PrivateTmp=` hides.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// What `--tls-self-signed` keeps.
const SELF_SIGNED: [&str; 4] = ["ca.crt", "ca.key", "server.crt", "server.key"];

/// The service, as far as reading files goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    reader: Reader,
    /// By their names, where they come from.
    credentials: BTreeMap<String, PathBuf>,
    /// What it starts with, if it says so.
    config: Option<PathBuf>,
    hides_homes: bool,
    hides_temporary_files: bool,
}

/// What the files of the unit say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    user: String,
    group: String,
    further_groups: Vec<String>,
    is_dynamic: bool,
    hides_homes: bool,
    hides_temporary_files: bool,
    credentials: BTreeMap<String, PathBuf>,
    config: Option<PathBuf>,
}

impl Unit {
    /// The service of this machine, if there is one, and if this is root, who may look.
    pub fn of_the_service() -> Option<Unit> {
        let root = Path::new("/");
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        rustix::process::geteuid()
            .is_root()
            .then(|| Unit::new(Said::read(root)?, &text("etc/passwd"), &text("etc/group")))
            .flatten()
    }

    fn new(said: Said, users: &str, groups: &str) -> Option<Unit> {
        let known = Reader::known(&said.user, users, groups);
        let mut reader = match known {
            Some(reader) => reader,
            None if said.is_dynamic => Reader::dynamic(match said.user.as_str() {
                "" => "portreeve",
                name => name,
            }),
            // Root, or a user of a directory service, of whom nothing is known.
            None => return None,
        };
        for group in said.further_groups.iter().chain([&said.group]) {
            reader.join(group, groups);
        }
        Some(Unit {
            reader,
            credentials: said.credentials,
            config: said.config,
            hides_homes: said.hides_homes,
            hides_temporary_files: said.hides_temporary_files || said.is_dynamic,
        })
    }

    /// What keeps the service from reading the file at `path`, and what to do.
    fn obstacle(&self, path: &Path) -> Option<String> {
        let whole = path.canonicalize().ok();
        let is_in = |directory: &&str| {
            let whole = whole.as_ref();
            whole.is_some_and(|path| path.starts_with(directory))
        };
        let homes = HOMES.into_iter().find(is_in);
        let homes = homes.filter(|_| self.hides_homes);
        let temporary = TEMPORARY.into_iter().find(is_in);
        let temporary = temporary.filter(|_| self.hides_temporary_files);
        let hidden = homes
            .map(|directory| (directory, "ProtectHome="))
            .or(temporary.map(|directory| (directory, "PrivateTmp=")));
        if let Some((directory, setting)) = hidden {
            return Some(format!(
                "the service does not see {directory:?} ({setting} of its unit); keep it elsewhere, as in /etc/portreeve, \
                 or have systemd hand it over by LoadCredential=, see portreeve(8)"
            ));
        }
        let obstacle = self.reader.obstacle(path)?;
        Some(format!(
            "user {}, as which the service runs, {obstacle}; {}",
            self.reader,
            files::remedy(true)
        ))
    }

    /// Puts what systemd would hand over in place of what is there only while the service runs.
    pub fn lend_credentials(&self, settings: &mut Settings) {
        for file in files_of(settings) {
            if let Some(source) = self.source_of(&file.value) {
                file.value = source;
            }
        }
    }

    fn source_of(&self, path: &Path) -> Option<PathBuf> {
        let name = path.strip_prefix(CREDENTIALS).ok()?.to_str()?;
        let source = self.credentials.get(name)?;
        (!path.exists()).then(|| source.clone())
    }

    /// Says which files the service's user cannot read: a fault where the setting stands in the file that the service
    /// starts with, else a warning, since these may be the settings of another gate.
    pub fn examine(
        &self,
        settings: &mut Settings,
        faults: &mut Vec<Fault>,
        warnings: &mut Vec<String>,
    ) {
        let mut named: Vec<(Placed<PathBuf>, PathBuf)> = Vec::new();
        for file in files_of(settings) {
            named.push((file.clone(), file.value.clone()));
        }
        if let Some(directory) = &settings.tls_self_signed {
            let kept = SELF_SIGNED.map(|name| directory.value.join(name));
            named.extend(kept.map(|path| (directory.clone(), path)));
        }
        for (setting, path) in named {
            // What is handed over is read by systemd, which may.
            let is_handed_over = path.starts_with(CREDENTIALS)
                || self.credentials.values().any(|source| *source == path)
                    && setting.origin.text().starts_with(CREDENTIALS);
            let Some(obstacle) = self.obstacle(&path).filter(|_| !is_handed_over) else {
                continue;
            };
            let fault = setting.fault(obstacle);
            match setting.origin.place() {
                Place::Line { file, .. } if self.starts_with(Path::new(file)) => faults.push(fault),
                _ => warnings.push(fault.to_string()),
            }
        }
    }

    fn starts_with(&self, config: &Path) -> bool {
        let whole = |path: &Path| path.canonicalize().ok();
        let own = self.config.as_deref();
        own.is_some_and(|own| own == config || whole(own).is_some() && whole(own) == whole(config))
    }
}

/// All files that settings name and that must be readable while the gate runs.
fn files_of(settings: &mut Settings) -> impl Iterator<Item = &mut Placed<PathBuf>> {
    let pairs = settings
        .tls_pairs
        .iter_mut()
        .flat_map(|pair| [&mut pair.cert, &mut pair.key]);
    let others = [
        &mut settings.htpasswd,
        &mut settings.backend_ca,
        &mut settings.auth_ca,
        &mut settings.access,
    ];
    let of_acme = settings.acme.iter_mut();
    let of_acme = of_acme.flat_map(|acme| acme.ca.iter_mut().chain([&mut acme.state]));
    pairs.chain(others.into_iter().flatten()).chain(of_acme)
}

impl Said {
    /// The unit with its drop-ins, if it is installed below `root` and not masked.
    fn read(root: &Path) -> Option<Said> {
        let places = PLACES.map(|place| root.join(place));
        let unit = places
            .iter()
            .find_map(|place| fs::read_to_string(place.join(NAME)).ok())?;
        // A masked one is a link to /dev/null.
        if unit.trim().is_empty() {
            return None;
        }
        // By name; of two of the same name the one in the earlier place counts.
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for place in places {
            let found = fs::read_dir(place.join(format!("{NAME}.d")));
            for entry in found.into_iter().flatten().flatten() {
                let path = entry.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "conf")
                {
                    drop_ins.entry(entry.file_name()).or_insert(path);
                }
            }
        }
        let mut said = Said::default();
        said.take(&unit);
        for path in drop_ins.values() {
            said.take(&fs::read_to_string(path).unwrap_or_default());
        }
        Some(said)
    }

    fn take(&mut self, text: &str) {
        let text = text.replace("\\\n", " ");
        let mut is_service = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                is_service = line == "[Service]";
            } else if line.starts_with(['#', ';']) || !is_service {
                continue;
            } else if let Some((key, value)) = line.split_once('=') {
                self.set(key.trim_end(), value.trim_start());
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let is_on = matches!(value, "yes" | "true" | "on" | "1");
        match key {
            "User" => self.user = value.to_owned(),
            "Group" => self.group = value.to_owned(),
            "DynamicUser" => self.is_dynamic = is_on,
            "ProtectHome" => self.hides_homes = is_on || value == "tmpfs",
            "PrivateTmp" => self.hides_temporary_files = is_on || value == "disconnected",
            // An empty value takes back what was said before.
            "SupplementaryGroups" if value.is_empty() => self.further_groups.clear(),
            "SupplementaryGroups" => {
                let groups = value.split_whitespace().map(str::to_owned);
                self.further_groups.extend(groups);
            }
            "LoadCredential" | "LoadCredentialEncrypted" if value.is_empty() => {
                self.credentials.clear();
            }
            "LoadCredential" => {
                if let Some((name, path)) = value.split_once(':') {
                    self.credentials.insert(name.to_owned(), path.into());
                }
            }
            "ExecStart" if value.is_empty() => self.config = None,
            "ExecStart" => {
                let mut words = value.split_whitespace();
                while let Some(word) = words.next() {
                    if word == "--config" {
                        self.config = words.next().map(PathBuf::from);
                    } else if let Some(path) = word.strip_prefix("--config=") {
                        self.config = Some(path.into());
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::scratch::Scratch;

    const USERS: &str = "root:x:0:0::/:/bin/sh\nportreeve:x:998:997::/:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nportreeve:x:997:\nssl-cert:x:110:\n";

    #[test]
    fn the_unit_that_is_shipped_says_whom_it_runs_as_and_with_which_file() {
        let mut said = Said::default();
        said.take(include_str!("../../packaging/systemd/portreeve.service"));
        assert_eq!(
            said,
            Said {
                user: "portreeve".into(),
                group: "portreeve".into(),
                config: Some("/etc/portreeve/portreeve.conf".into()),
                hides_homes: true,
                hides_temporary_files: true,
                ..Said::default()
            }
        );
    }

    #[test]
    fn drop_ins_add_and_take_back() {
        let scratch = Scratch::new();
        let root = scratch.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Said::read(root), None);
        write(
            "usr/lib/systemd/system/portreeve.service",
            "[Unit]\nUser=nobody\n[Service]\n# User=x\nUser = portreeve\nLoadCredential=old:/old\n\
             ExecStart=/usr/bin/portreeve serve \\\n  --config /etc/a.conf\n",
        );
        write(
            "usr/lib/systemd/system/portreeve.service.d/10-key.conf",
            "[Service]\nLoadCredential=never:/seen\n",
        );
        write(
            "etc/systemd/system/portreeve.service.d/10-key.conf",
            "[Service]\nLoadCredential=\nLoadCredential=key:/etc/letsencrypt/live/x/privkey.pem\nLoadCredential=cert:/c\n",
        );
        write(
            "etc/systemd/system/portreeve.service.d/20-group.conf",
            "[Service]\nSupplementaryGroups=ssl-cert adm\nExecStart=\nExecStart=/usr/bin/portreeve serve --config=/etc/b.conf\n",
        );
        write(
            "etc/systemd/system/portreeve.service.d/30-group.conf.off",
            "[Service]\nUser=root\n",
        );
        let said = Said::read(root).unwrap();
        assert_eq!(said.user, "portreeve");
        assert_eq!(said.further_groups, ["ssl-cert", "adm"]);
        assert_eq!(said.config, Some("/etc/b.conf".into()));
        let names: Vec<_> = said.credentials.keys().cloned().collect();
        assert_eq!(names, ["cert", "key"]);
        // The one in /etc takes the place of the packaged one.
        write(
            "etc/systemd/system/portreeve.service",
            "[Service]\nDynamicUser=yes\n",
        );
        let said = Said::read(root).unwrap();
        assert!(said.is_dynamic && said.user.is_empty());
        write("etc/systemd/system/portreeve.service", "");
        assert_eq!(Said::read(root), None);
    }

    #[test]
    fn a_user_of_whom_nothing_is_known_is_not_judged() {
        let said = |user: &str, is_dynamic| Said {
            user: user.into(),
            is_dynamic,
            ..Said::default()
        };
        let unit = |said| Unit::new(said, USERS, GROUPS);
        assert!(unit(said("portreeve", false)).is_some());
        assert!(unit(said("", true)).is_some());
        assert!(unit(said("", false)).is_none());
        assert!(unit(said("ldap-user", false)).is_none());
    }
}
