//! What stands before one host: from its settings to a [`Site`].
//!
//! Owns what of the settings belongs to one host, and reads the files that they name. All faults are found before any is said.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::authority;
use super::bound::Role;
use super::prepare::{Found, Quoted, Writing, count};
use super::sites::label;
use crate::config::{self, Fault, Paths, Placed, Settings};
use crate::connection::{Forwarding, Site};
use crate::files::{LineFault, shell_word};
use crate::gate::access::{Access, OtherGroups};
use crate::gate::auth::api::Calls;
use crate::gate::auth::{Guesses, Hashes, Htpasswd, Users};
use crate::gate::tokens::TokenKeys;
use crate::gate::{Authority, Gatekeeper, Handshake, PathRules};
use crate::http::PathDecides;
use crate::log::Seldom;
use crate::metrics::SiteCounts;
use crate::net::Host;
use crate::relay::{Backend, Memory, Relay};
use crate::text::escape;
use crate::tls;

/// Threads for calls, if nobody says how many there are to be: half of them are for calls at once.
const POOL: usize = 256;
/// Of a user, what a warning repeats, in bytes.
const LONGEST_USER: usize = 64;

/// What all sites of a process share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) hashes: Hashes,
    pub(super) calls: Calls,
    pub(super) memory: Memory,
}

impl Shared {
    /// `workers` is how many threads may wait.
    pub(super) fn new(role: Role, workers: Option<usize>) -> Shared {
        Shared {
            role,
            hashes: Hashes::default(),
            calls: Calls::of_pool(workers.unwrap_or(POOL)),
            memory: Memory::default(),
        }
    }
}

/// Makes what guards the host of this name, which the main one does not have.
pub(super) fn guard(
    settings: &Settings,
    name: &str,
    shared: &Shared,
    writing: Writing,
    found: &mut Found,
) -> Option<Site> {
    let mut who = Vec::new();
    let authority = authority(settings, shared, found, &mut who);
    let access = access(settings, authority.as_ref(), found);
    let handshake = handshake(settings, writing, access.as_ref(), found);
    let backends = backends(settings, &label(name), &mut found.faults);
    let label = label(name);
    let rights = access.as_ref().zip(settings.access.as_ref());
    let words = guarding(&backends, &who).into_iter();
    let words = words.chain(rights.map(about_access));
    found.words.extend(words.map(|word| label.clone() + &word));
    let (authority, handshake) = (authority?, handshake?);
    let paths = path_rules(shared.role, settings.paths, access.is_some());
    let timeouts = settings.timeouts;
    let relay = Relay::new(backends, timeouts.response, timeouts.body, &shared.memory)
        .reached_at(handshake.external.clone());
    let handshake = Handshake {
        keys: handshake.keys.at(name),
        ..handshake
    };
    let realm = &settings.realm;
    let mut gatekeeper = Gatekeeper::new(authority, realm, paths, access, handshake).at(name);
    if settings.preflight {
        gatekeeper = gatekeeper.letting_preflights_through();
    }
    Some(Site {
        name: name.into(),
        allowed: settings.allowed.clone(),
        gatekeeper,
        forwarding: (shared.role == Role::Gate).then(|| Forwarding {
            relay,
            authorization: settings.backend_authorization,
            told: Seldom::default(),
        }),
        clients: None,
        counts: SiteCounts::default(),
    })
}

/// Where a path has to read the same for everybody. What a proxy asks an auth service about is not decided by any.
fn path_rules(role: Role, paths: Paths, has_access: bool) -> PathRules {
    let (always, asked_about) = match (role, paths) {
        (Role::AuthService, _) => (PathDecides::Nowhere, PathDecides::Nowhere),
        (Role::Gate, _) if has_access => (PathDecides::Everywhere, PathDecides::Everywhere),
        (Role::Gate, Paths::Strict) => (PathDecides::InRegistry, PathDecides::Everywhere),
        (Role::Gate, Paths::AsSent) => (PathDecides::InRegistry, PathDecides::InRegistry),
    };
    PathRules {
        always,
        asked_about,
    }
}

/// What is guarded, and with what: one line for a person who looks whether all is as it was meant.
fn guarding(backends: &[Backend], who: &[String]) -> Option<String> {
    let places: Vec<_> = backends
        .iter()
        .map(|backend| backend.address().to_string())
        .collect();
    match (places.is_empty(), who.is_empty()) {
        (true, true) => None,
        // Only the auth service.
        (true, false) => Some(who.join(", ")),
        (false, _) => Some(format!(
            "guarding {}, {}",
            places.join(" and "),
            who.join(", ")
        )),
    }
}

fn authority(
    settings: &Settings,
    shared: &Shared,
    found: &mut Found,
    words: &mut Vec<String>,
) -> Option<Authority> {
    let api = authority::prepare(settings, &shared.calls, &mut found.faults, words);
    let api = api.map(|api| Authority::Api(Arc::new(api)));
    let users = users(settings, found, words);
    let guesses = Guesses {
        most: settings.guesses,
        exempt: settings.guesses_exempt.clone(),
    };
    api.or_else(|| {
        let hashes = shared.hashes.clone();
        users.map(|users| Authority::Htpasswd(Htpasswd::new(users, guesses, hashes)))
    })
}

fn users(settings: &Settings, found: &mut Found, words: &mut Vec<String>) -> Option<Users> {
    let file = settings.htpasswd.as_ref()?;
    match load_users(file) {
        Ok(users) => {
            words.push(format!(
                "for {} in {}{}",
                count(users.len(), "user"),
                Quoted(&file.value),
                match users.locked() {
                    0 => String::new(),
                    locked => format!(" ({locked} locked)"),
                }
            ));
            found.warnings.extend(
                users
                    .weak(&shell_word(&file.value.to_string_lossy()))
                    .map(|weak| format!("{}: {weak}", Quoted(&file.value))),
            );
            Some(users)
        }
        Err(bad) => {
            found.faults.extend(bad);
            None
        }
    }
}

fn access(settings: &Settings, authority: Option<&Authority>, found: &mut Found) -> Option<Access> {
    let file = settings.access.as_ref()?;
    let access = load_access(file, other_groups(settings))
        .map_err(|bad| found.faults.extend(bad))
        .ok()?;
    if let Some(Authority::Htpasswd(htpasswd)) = authority {
        found
            .warnings
            .extend(unknown_users(&access, file, |user| htpasswd.knows(user)));
    }
    Some(access)
}

/// The keys of tokens, and where clients are sent for them.
fn handshake(
    settings: &Settings,
    writing: Writing,
    access: Option<&Access>,
    found: &mut Found,
) -> Option<Handshake> {
    let (faults, warnings) = (&mut found.faults, &mut found.warnings);
    let files: Vec<_> = settings
        .token_keys
        .iter()
        .map(|file| file.value.as_path())
        .collect();
    // Without an access file there are no tokens, and no key is made for them.
    let is_lasting = !files.is_empty() && settings.access.is_some();
    let has_anonymous = access.is_some_and(Access::has_anonymous);
    let keys = match is_lasting {
        true => TokenKeys::load(&files, writing == Writing::Allowed).or_else(|bad| {
            let blamed = bad.into_iter().filter_map(|fault| {
                let file = settings.token_keys.get(fault.place)?;
                Some(file.fault(fault.message))
            });
            // Package and image name a file for all, and most have no use for it.
            match has_anonymous {
                true => {
                    faults.extend(blamed);
                    Err(())
                }
                false => {
                    warnings.extend(blamed.map(|fault| fault.to_string()));
                    TokenKeys::random().map_err(drop)
                }
            }
        }),
        false => TokenKeys::random().map_err(|reason| {
            faults.extend(settings.access.as_ref().map(|access| access.fault(reason)));
        }),
    };
    if let Some(file) = settings.access.as_ref().filter(|_| has_anonymous) {
        faults.extend(nowhere_for_tokens(settings).then(|| file.fault(NOWHERE)));
        if !is_lasting {
            let what = match settings.auth_backend {
                Some(_) => "tokens are for pulls without credentials alone, and end with a restart",
                None => "a restart ends running tokens",
            };
            warnings.push(format!("{}: {what}; set token-key to a file", file.origin));
        }
    }
    let external = settings.external_url.as_ref().map(|url| {
        let url = &url.value;
        (url.scheme.to_owned(), url.authority.clone())
    });
    Some(Handshake {
        keys: keys.ok()?,
        is_lasting,
        external,
    })
}

/// Whether nobody could say where clients are to be sent for a token: how they reach a listener in the clear off loopback only
/// somebody in front of it knows.
pub fn nowhere_for_tokens(settings: &Settings) -> bool {
    let is_open = |listen: &Placed<config::Listen>| match &listen.value {
        config::Listen::Http(place) => !place.is_loopback(),
        config::Listen::Https(_) | config::Listen::Unix(_) | config::Listen::Redirect(_) => false,
    };
    settings.external_url.is_none()
        && settings.trusted_proxies.is_empty()
        && settings.listen.iter().any(is_open)
}

/// Of an access file with a line for those without credentials, where that is so.
pub const NOWHERE: &str = "has a line for anonymous, whose clients are sent for a token, and on an http:// listener nobody knows \
                           where to: set external-url, or name the proxy in front with trusted-proxy";

/// Where the groups of an access file may come from besides that.
pub fn other_groups(settings: &Settings) -> OtherGroups {
    match settings.auth_backend {
        Some(_) => OtherGroups::OfApi,
        None => OtherGroups::None,
    }
}

/// Reads an access file.
pub fn load_access(file: &Placed<PathBuf>, others: OtherGroups) -> Result<Access, Vec<Fault>> {
    Access::load(&file.value, others).map_err(|bad| blamed(file, bad))
}

/// The users of an access file whom nobody can log in as: a slip in a name, or a user who is still to be made.
fn unknown_users(
    access: &Access,
    file: &Placed<PathBuf>,
    is_known: impl Fn(&[u8]) -> bool,
) -> Vec<String> {
    let users = access.users().into_iter();
    let unknown = users.filter(|(user, _)| !is_known(user));
    unknown
        .map(|(user, line)| {
            let user = escape::shown(escape::cut(user, LONGEST_USER));
            let place = config::Origin::line(&file.value.to_string_lossy(), line);
            let fault = place.fault(format!("the password file has no user {user}"));
            fault.to_string()
        })
        .collect()
}

/// How many lines say who may do what.
pub fn about_access((access, file): (&Access, &Placed<PathBuf>)) -> String {
    let strangers = match access.has_anonymous() {
        true => "; something may be done without credentials",
        false => "",
    };
    format!(
        "who may do what: {} in {}{strangers}",
        count(access.len(), "line"),
        Quoted(&file.value)
    )
}

/// Faults of a file, each at its line.
fn blamed(file: &Placed<PathBuf>, bad: Vec<LineFault>) -> Vec<Fault> {
    let blamed = bad.into_iter().map(|fault| match fault.line {
        0 => file.fault(fault.message),
        line => config::Origin::line(&file.value.to_string_lossy(), line).fault(fault.message),
    });
    blamed.collect()
}

/// Reads a password file.
pub fn load_users(file: &Placed<PathBuf>) -> Result<Users, Vec<Fault>> {
    Users::load(&file.value).map_err(|bad| blamed(file, bad))
}

fn backends(settings: &Settings, label: &str, faults: &mut Vec<Fault>) -> Vec<Backend> {
    let needs_tls = settings
        .backend
        .iter()
        .find(|one| matches!(one.value, config::Backend::Https(_)));
    let ca = settings.backend_ca.as_ref();
    let client = needs_tls.and_then(|backend| {
        let made = tls::client_config(ca.map(|ca| ca.value.as_path()));
        let blamed = |reason: String| match ca {
            Some(ca) => ca.fault(reason),
            None => backend.fault(reason),
        };
        made.map_err(|reason| faults.push(blamed(reason))).ok()
    });
    let mut backends = Vec::new();
    for backend in &settings.backend {
        let tls = match (&backend.value, &client) {
            (config::Backend::Https(place), Some(client)) => match server_name(&place.host) {
                Ok(name) => Some((Arc::clone(client), name)),
                Err(reason) => {
                    faults.push(backend.fault(reason));
                    continue;
                }
            },
            _ => None,
        };
        let timeouts = settings.timeouts;
        let backend = Backend::new(backend.value.clone(), tls, timeouts.connect);
        backends.push(backend.called(label.to_owned()));
    }
    backends
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| "not a name that TLS can check".to_owned()),
    }
}
