//! Files with the settings of one host each, beside the main ones.
//!
//! The grammar is that of the main file, with `host` lines that name the host. What such a file does not say is as in the main
//! settings, wherever those were given, but for what belongs to one host alone.

use std::fs;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Origin, Place, Placed};
use super::file::{self, Given};
use super::reader::Reader;
use super::settings::{Purpose, Settings};
use super::source::Sources;
use super::table::Id;
use super::values;
use crate::files;

/// What the file of a site may say beside `host`.
pub(super) const OF_A_SITE: [Id; 25] = [
    Id::backend,
    Id::backend_ca,
    Id::htpasswd,
    Id::auth_backend,
    Id::auth_cache,
    Id::auth_timeout,
    Id::auth_ca,
    Id::auth_probe,
    Id::access,
    Id::external_url,
    Id::client_ca,
    Id::client_auth,
    Id::realm,
    Id::guesses,
    Id::guesses_exempt,
    Id::tls_cert,
    Id::tls_key,
    Id::acme,
    Id::backend_authorization,
    Id::paths,
    Id::body_timeout,
    Id::response_timeout,
    Id::connect_timeout,
    Id::allow,
    Id::preflight,
];
/// Names of one site. Each is compared with all others when a file changes.
const MOST_HOSTS: usize = 1_000;
/// What a site never has from the main settings: these are about the main host.
const OF_ITS_OWN: [Id; 4] = [Id::tls_cert, Id::tls_key, Id::acme, Id::external_url];
/// What goes with a password file, and what with an API: a site that has the one has none of the other.
const OF_A_FILE: [Id; 3] = [Id::htpasswd, Id::guesses, Id::guesses_exempt];
const OF_AN_API: [Id; 5] = [
    Id::auth_backend,
    Id::auth_cache,
    Id::auth_timeout,
    Id::auth_ca,
    Id::auth_probe,
];

/// Where the files are, and what holds where they say nothing.
#[derive(Debug)]
pub struct SiteFiles {
    files: Vec<Placed<PathBuf>>,
    directory: Option<Placed<PathBuf>>,
    main: Vec<(Id, Vec<Given>)>,
}

/// The settings of one site.
#[derive(Debug)]
pub struct SiteSettings {
    /// Where they are from.
    pub file: PathBuf,
    /// Its names, in lower case; at least one.
    pub hosts: Vec<Placed<String>>,
    /// All of them, those of the whole gate included.
    pub settings: Settings,
    /// The file itself. With the same one nothing is new.
    pub text: Vec<u8>,
}

impl SiteFiles {
    pub(super) fn new(
        files: Vec<Placed<PathBuf>>,
        directory: Option<Placed<PathBuf>>,
        main: &Sources,
    ) -> SiteFiles {
        SiteFiles {
            files,
            directory,
            main: main.values.clone(),
        }
    }

    /// Whether there may be others later.
    pub fn may_grow(&self) -> bool {
        self.directory.is_some()
    }

    /// Where others may come.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(|place| place.value.as_path())
    }

    /// The files that there are now.
    ///
    /// # Errors
    /// Why the directory cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, Fault> {
        let mut found: Vec<_> = self.files.iter().map(|file| file.value.clone()).collect();
        if let Some(directory) = &self.directory {
            let path = &directory.value;
            let why = |error| directory.fault(files::why(path, &error));
            let mut more = Vec::new();
            for entry in fs::read_dir(path).map_err(why)? {
                let path = entry.map_err(why)?.path();
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                if name.ends_with(b".conf") && !name.starts_with(b".") {
                    more.push(path);
                }
            }
            more.sort();
            found.append(&mut more);
        }
        found.dedup();
        Ok(found)
    }

    /// Reads one of them.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(&self, path: &Path) -> Result<SiteSettings, Vec<Fault>> {
        let name = path.to_string_lossy();
        let given = self.files.iter().find(|file| file.value == path);
        let bytes = file::read(&name).map_err(|why| {
            let origin = given.map(|file| &file.origin);
            let other = Origin::line(&name, 1);
            vec![origin.unwrap_or(&other).fault(why)]
        })?;
        self.settings(path, &bytes)
    }

    fn settings(&self, path: &Path, bytes: &[u8]) -> Result<SiteSettings, Vec<Fault>> {
        let name = path.to_string_lossy().into_owned();
        let lines = file::parse_site(&name, bytes);
        let (mut faults, hosts) = (lines.faults, lines.hosts);
        let is_given = |id: Id| lines.values.iter().any(|(of, _)| *of == id);
        let has_file = is_given(Id::htpasswd);
        let has_api = is_given(Id::auth_backend);
        let mut sources = Sources {
            meant: lines.meant,
            ..Sources::default()
        };
        for (id, main) in &self.main {
            let own = lines.values.iter().filter(|(of, _)| of == id);
            let own: Vec<Given> = own.map(|(_, given)| given.clone()).collect();
            let is_left = OF_ITS_OWN.contains(id)
                || has_file && OF_AN_API.contains(id)
                || has_api && OF_A_FILE.contains(id);
            let values = match own.is_empty() {
                true if is_left => Vec::new(),
                true => main.clone(),
                false => own,
            };
            sources.values.push((*id, values));
        }
        let (settings, found) = Settings::of_sources(sources, Purpose::Site);
        let place = hosts.first().map_or_else(
            || Place::Line {
                file: name.clone(),
                line: 1,
            },
            |host| host.place.clone(),
        );
        // What is wrong in the main settings is said there.
        faults.extend(
            found
                .into_iter()
                .filter_map(|fault| match fault.origin().place() {
                    Place::Line { file, .. } if *file == name => Some(fault),
                    Place::Default => Some(
                        Origin::without_value(place.clone(), fault.origin().name())
                            .fault(fault.reason()),
                    ),
                    _ => None,
                }),
        );
        let mut read = Reader::new(Sources::default());
        let hosts = hosts.into_iter().take(MOST_HOSTS + 1).collect();
        let hosts = read.names(hosts, values::site_name);
        let is_missing = |fault: &Fault| fault.origin().name() == file::HOST;
        if hosts.len() > MOST_HOSTS {
            let reason = format!("{} hosts, and a site may have {MOST_HOSTS}", hosts.len());
            faults.push(Origin::without_value(place.clone(), file::HOST).fault(reason));
        }
        if hosts.is_empty() && !read.faults.iter().chain(&faults).any(is_missing) {
            let reason = "required; name the host that this is for, as in host wiki.example.com";
            faults.push(Origin::without_value(place, "host").fault(reason));
        }
        faults.append(&mut read.faults);
        match faults.is_empty() {
            true => Ok(SiteSettings {
                file: path.to_owned(),
                hosts,
                settings,
                text: bytes.to_vec(),
            }),
            false => Err(super::fault::in_order(faults)),
        }
    }
}

impl SiteSettings {
    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.value.as_str())
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.hosts.first().map_or("", |host| &host.value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::table::by_name;

    /// The site of `text` beside main settings of these flags; else its faults.
    fn site(main: &[(&str, &str)], text: &str) -> Result<SiteSettings, Vec<String>> {
        let flags = [("site", "/nowhere")].iter().chain(main);
        let flags = flags.map(|(name, value)| (by_name(name).unwrap(), (*value).to_owned()));
        let (settings, faults) =
            Settings::read(flags.collect(), std::iter::empty(), Purpose::Serve);
        assert_eq!(faults, []);
        let files = settings.sites.unwrap();
        let read = files.settings(Path::new("w.conf"), text.as_bytes());
        read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const MAIN: [(&str, &str); 4] = [
        ("backend", "http://127.0.0.1:1"),
        ("htpasswd", "/main"),
        ("guesses", "3"),
        ("realm", "Main"),
    ];

    #[test]
    fn what_a_site_does_not_say_is_as_in_the_main_settings() {
        let own = site(&MAIN, "host A.example\nhost *.b.example\n").unwrap();
        assert_eq!(own.name(), "a.example");
        assert_eq!(own.hosts.len(), 2);
        assert_eq!(own.settings.realm, "Main");
        assert_eq!(own.settings.guesses, Some(3));
        assert_eq!(own.settings.htpasswd.unwrap().value, Path::new("/main"));
        let own = site(&MAIN, "host a\nrealm Own\nbackend unix:/b\nhtpasswd /own\n").unwrap();
        assert_eq!(own.settings.realm, "Own");
        assert_eq!(own.settings.backend.len(), 1);
        assert_eq!(own.settings.htpasswd.unwrap().value, Path::new("/own"));
    }

    #[test]
    fn a_site_with_an_api_has_no_password_file_and_the_other_way() {
        let own = site(&MAIN, "host a\nauth-backend http://127.0.0.1:2/\n").unwrap();
        assert!(own.settings.htpasswd.is_none() && own.settings.auth_backend.is_some());
        let api = [
            ("backend", "http://127.0.0.1:1"),
            ("auth-backend", "http://127.0.0.1:2/"),
            ("auth-timeout", "9"),
        ];
        let own = site(&api, "host a\nhtpasswd /own\n").unwrap();
        assert!(own.settings.htpasswd.is_some() && own.settings.auth_backend.is_none());
    }

    #[test]
    fn certificates_and_the_address_of_the_main_host_are_its_own() {
        let main = [
            ("tls-cert", "/c"),
            ("tls-key", "/k"),
            ("external-url", "https://main.example"),
        ];
        let main: Vec<_> = MAIN.into_iter().chain(main).collect();
        let own = site(&main, "host a\n").unwrap();
        assert!(own.settings.tls_pairs.is_empty() && own.settings.external_url.is_none());
    }

    #[test]
    fn each_fault_has_its_line() {
        for (text, expected) in [
            ("realm x\n", "w.conf:1: host: required; "),
            ("", "w.conf:1: host: required; "),
            ("host 10.0.0.1\n", "w.conf:1: host \"10.0.0.1\": an address"),
            ("\nhost [::1]\n", "w.conf:2: host \"[::1]\": an address"),
            (
                "host a:80\n",
                "w.conf:1: host \"a:80\": not the name of a host",
            ),
            ("host a..b\n", "w.conf:1: host \"a..b\": not the name"),
            ("host *\n", "w.conf:1: host \"*\": not the name"),
            ("host\n", "w.conf:1: host: no value"),
            ("host a\nhost A\n", "w.conf:2: host \"A\": twice"),
            ("host a\nhost a.\n", "w.conf:2: host \"a.\": twice"),
            ("host a..\n", "w.conf:1: host \"a..\": not the name"),
            (
                "host a\nlisten unix:/x\n",
                "w.conf:2: listen: is for the whole gate",
            ),
            (
                "host a\nrelm x\n",
                "w.conf:2: relm: no such setting; did you mean realm?",
            ),
            (
                "host a\nbackend ftp://x\n",
                "w.conf:2: backend \"ftp://x\": ",
            ),
            (
                "host a\ntls-cert /c\n",
                "w.conf:2: tls-cert \"/c\": has no tls-key",
            ),
            (
                "host a\nhtpasswd /x\nauth-backend http://a/\n",
                "w.conf:2: htpasswd \"/x\": only one can say",
            ),
            (
                "host a\nhtpasswd /x\nauth-timeout 3\n",
                "w.conf:3: auth-timeout \"3\": means something only with auth-backend",
            ),
            (
                "host a\nclient-auth required\n",
                "w.conf:2: client-auth \"required\": means something only with client-ca",
            ),
            ("host a\nacme a\n", "w.conf:2: acme \"a\": needs acme-dir"),
        ] {
            let faults = site(&MAIN, text).err().unwrap();
            assert!(
                matches!(&faults[..], [only] if only.starts_with(expected)),
                "{text:?}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_site_needs_a_backend_and_users_from_somewhere() {
        let faults = site(&[], "host a\n").err().unwrap();
        let starts = [
            "w.conf:1: backend: required",
            "w.conf:1: htpasswd: required",
        ];
        assert_eq!(faults.len(), 2, "{faults:?}");
        for start in starts {
            assert!(
                faults.iter().any(|fault| fault.starts_with(start)),
                "{faults:?}"
            );
        }
    }
}
