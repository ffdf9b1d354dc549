//! From settings to everything that serving needs, with all faults at once.
//!
//! What `serve` and `check` have in common: every file is read here, and nothing is bound.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;

use super::exposure::Exposure;
use super::{authority, ephemeral_storage};
use crate::acme::{Keeper, Plan, Way};
use crate::config::{self, Fault, Placed, Settings};
use crate::files::{LineFault, shell_word};
use crate::gate::access::{Access, OtherGroups};
use crate::gate::auth::{Guesses, Htpasswd, Users};
use crate::gate::tokens::TokenKeys;
use crate::gate::{Authority, Handshake};
use crate::net::Host;
use crate::relay::Backend;
use crate::stream::room_for_socket;
use crate::text::escape;
use crate::tls::{self, Certificates, Pair, SelfSigned, Which};

/// Of a user, what a warning repeats, in bytes.
const LONGEST_USER: usize = 64;
/// Names of a certificate that the start words show.
const NAMES_SHOWN: usize = 4;

/// From this long before its end a private CA is worth a word: a new one has to be carried to all clients by hand.
const CA_SOON: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// All that was read.
pub struct Prepared {
    /// For the `https://` listeners, if there are any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What the listeners show, if it can change.
    pub certificates: Option<Arc<Certificates>>,
    /// The private CA, if it is used.
    pub self_signed: Option<SelfSigned>,
    /// Who has certificates made by an authority, if that is wanted.
    pub keeper: Option<Keeper>,
    /// Who decides who may pass: the checked password file, or the API.
    pub authority: Authority,
    /// Who may do what, if a file says so.
    pub access: Option<Access>,
    /// What tokens are sealed by.
    pub handshake: Handshake,
    /// The backends, in order.
    pub backends: Vec<Backend>,
    /// Lines that say what is guarded, with what.
    pub words: Vec<String>,
    /// What is odd, but no reason not to start.
    pub warnings: Vec<String>,
    /// More of that, which takes a while to find out.
    pub exposure: Exposure,
}

/// Whether the private CA may be made now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// `serve` makes what is missing.
    Allowed,
    /// `check` only says whether it could.
    Refused,
}

/// Reads everything.
pub fn prepare(settings: &Settings, writing: Writing) -> Result<Prepared, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    let mut words = Vec::new();
    let exposure = Exposure::begin(settings);

    sockets(settings, &mut faults);
    let pairs = pairs(settings, &mut faults, &mut warnings);
    let self_signed = self_signed(settings, writing, &mut faults, &mut warnings);
    let mut who = Vec::new();
    let authority = authority(settings, &mut faults, &mut warnings, &mut who);
    let access = access(settings, authority.as_ref(), &mut faults, &mut warnings);
    let handshake = handshake(
        settings,
        writing,
        access.as_ref(),
        &mut faults,
        &mut warnings,
    );
    let backends = backends(settings, &mut faults);
    words.extend(guarding(&backends, &who));
    let rights = access.as_ref().zip(settings.access.as_ref());
    words.extend(rights.map(about_access));
    let keeper = acme(settings, writing, &mut faults);
    let certificates = certificates(self_signed.as_ref(), keeper.as_ref(), pairs, &mut words);
    let tls = certificates.as_ref().and_then(|certificates| {
        let config = tls::server_config(Arc::clone(certificates));
        let blamed = |reason| faults.extend(settings.listen.first().map(|one| one.fault(reason)));
        config.map_err(blamed).ok()
    });
    match (authority, handshake) {
        (Some(authority), Some(handshake)) if faults.is_empty() => Ok(Prepared {
            tls,
            certificates,
            self_signed,
            keeper,
            authority,
            access,
            handshake,
            backends,
            words,
            warnings,
            exposure,
        }),
        _ => Err(faults),
    }
}

/// What listeners show, our own certificate first.
fn certificates(
    self_signed: Option<&SelfSigned>,
    keeper: Option<&Keeper>,
    pairs: Vec<Pair>,
    words: &mut Vec<String>,
) -> Option<Arc<Certificates>> {
    let own = self_signed.map(|own| own.pair().clone());
    let shown: Vec<_> = own.into_iter().chain(pairs).collect();
    words.extend(shown.iter().map(about));
    words.extend(self_signed.map(|own| {
        let until = tls::date(own.ca_not_after());
        format!(
            "clients need its private CA {}, until {until}",
            Quoted(&own.ca_path())
        )
    }));
    let issued = keeper.map(Keeper::shown).unwrap_or_default();
    words.extend(issued.iter().map(|issued| match &issued.awaited {
        None => about(&issued.pair),
        Some(awaited) => awaited.words(&issued.pair.names().join(", ")),
    }));
    let challenges = keeper.map(|keeper| {
        let answers = keeper.answers();
        Box::new(move |name: &str| answers.answer(name)) as Box<tls::Challenges>
    });
    Certificates::new(shown, issued, challenges).map(Arc::new)
}

/// Who keeps the certificates of an authority. `check` looks whether that could be.
fn acme(settings: &Settings, writing: Writing, faults: &mut Vec<Fault>) -> Option<Keeper> {
    let acme = settings.acme.as_ref()?;
    let roots = tls::trust_anchors(acme.ca.as_ref().map(|ca| ca.value.as_path()));
    let roots = match (roots, &acme.ca) {
        (Ok(roots), _) => roots,
        (Err(why), Some(ca)) => {
            faults.push(ca.fault(why));
            return None;
        }
        (Err(why), None) => {
            faults.push(acme.state.fault(why));
            return None;
        }
    };
    if writing == Writing::Refused {
        let could = tls::store::could_write(&acme.state.value);
        faults.extend(could.err().map(|why| acme.state.fault(why)));
        return None;
    }
    let mut listeners = settings.listen.iter();
    let redirects = listeners.any(|listen| matches!(listen.value, config::Listen::Redirect(_)));
    let plan = Plan {
        names: acme.names.clone(),
        state: acme.state.value.clone(),
        authority: acme.directory.clone(),
        email: acme.email.clone(),
        profile: acme.profile.clone(),
        ways: match redirects {
            true => vec![Way::Tls, Way::Clear],
            false => vec![Way::Tls],
        },
        roots,
    };
    let opened = Keeper::open(plan);
    opened
        .map_err(|why| faults.push(acme.state.fault(why)))
        .ok()
}

/// What stands where Unix sockets are to be made: only looked at.
fn sockets(settings: &Settings, faults: &mut Vec<Fault>) {
    for listen in &settings.listen {
        if let config::Listen::Unix(path) = &listen.value {
            faults.extend(room_for_socket(path).err().map(|what| listen.fault(what)));
        }
    }
    if let Some(admin) = &settings.admin
        && let config::Admin::Unix(path) = &admin.value
    {
        faults.extend(room_for_socket(path).err().map(|what| admin.fault(what)));
    }
}

fn pairs(settings: &Settings, faults: &mut Vec<Fault>, warnings: &mut Vec<String>) -> Vec<Pair> {
    let mut loaded = Vec::new();
    for pair in &settings.tls_pairs {
        match load_pair(pair) {
            Ok(good) => {
                let odd = good.warnings(SystemTime::now());
                warnings.extend(
                    odd.into_iter()
                        .map(|odd| format!("{}: {odd}", pair.cert.origin)),
                );
                loaded.push(good);
            }
            Err(bad) => faults.extend(bad),
        }
    }
    loaded
}

/// Reads a certificate and its key.
pub fn load_pair(pair: &config::Pair) -> Result<Pair, Vec<Fault>> {
    tls::load_pair(&pair.cert.value, &pair.key.value).map_err(|bad| {
        let blamed = bad.into_iter().map(|fault| match fault.which {
            Which::Cert => pair.cert.fault(fault.message),
            Which::Key => pair.key.fault(fault.message),
        });
        blamed.collect()
    })
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

/// What clients are shown, and until when.
pub fn about(pair: &Pair) -> String {
    let until = pair
        .not_after()
        .map_or("an unknown date".to_owned(), tls::date);
    let names = pair.names();
    let more = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names: Vec<_> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    if names.is_empty() {
        return format!("certificate without names, until {until}");
    }
    format!("certificate for {}{more}, until {until}", names.join(", "))
}

fn self_signed(
    settings: &Settings,
    writing: Writing,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) -> Option<SelfSigned> {
    let directory = settings.tls_self_signed.as_ref()?;
    let opened = match writing {
        Writing::Allowed => SelfSigned::open(&directory.value, &settings.tls_names).map(Some),
        Writing::Refused => SelfSigned::check(&directory.value, &settings.tls_names).map(|()| None),
    };
    warnings.extend(ephemeral_storage::warning(&directory.value));
    let own = opened
        .map_err(|reason| faults.push(directory.fault(reason)))
        .ok()
        .flatten()?;
    let now = SystemTime::now();
    let odd = own.pair().warnings(now).into_iter();
    let end = own.ca_not_after();
    let ends = (now + CA_SOON >= end).then(|| {
        let until = tls::date(end);
        format!("the private CA ends on {until}, and clients trust nothing of it then: make a new one, and give it to them")
    });
    warnings.extend(
        odd.chain(ends)
            .map(|odd| format!("{}: {odd}", directory.origin)),
    );
    Some(own)
}

fn authority(
    settings: &Settings,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
    words: &mut Vec<String>,
) -> Option<Authority> {
    let api = authority::prepare(settings, faults, words).map(|api| Authority::Api(Arc::new(api)));
    let users = users(settings, faults, warnings, words);
    let guesses = Guesses {
        most: settings.guesses,
        exempt: settings.guesses_exempt.clone(),
    };
    api.or_else(|| users.map(|users| Authority::Htpasswd(Htpasswd::new(users, guesses))))
}

fn users(
    settings: &Settings,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
    words: &mut Vec<String>,
) -> Option<Users> {
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
            warnings.extend(
                users
                    .weak(&shell_word(&file.value.to_string_lossy()))
                    .map(|weak| format!("{}: {weak}", Quoted(&file.value))),
            );
            Some(users)
        }
        Err(bad) => {
            faults.extend(bad);
            None
        }
    }
}

fn access(
    settings: &Settings,
    authority: Option<&Authority>,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) -> Option<Access> {
    let file = settings.access.as_ref()?;
    let access = load_access(file, other_groups(settings))
        .map_err(|bad| faults.extend(bad))
        .ok()?;
    if let Some(Authority::Htpasswd(htpasswd)) = authority {
        warnings.extend(unknown_users(&access, file, |user| htpasswd.knows(user)));
    }
    Some(access)
}

/// The keys of tokens, and where clients are sent for them.
fn handshake(
    settings: &Settings,
    writing: Writing,
    access: Option<&Access>,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<String>,
) -> Option<Handshake> {
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

fn backends(settings: &Settings, faults: &mut Vec<Fault>) -> Vec<Backend> {
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
        backends.push(Backend::new(backend.value.clone(), tls, timeouts.connect));
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

/// `1 user`, `2 users`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A path as messages show it.
pub struct Quoted<'a>(pub &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string_lossy())
    }
}
