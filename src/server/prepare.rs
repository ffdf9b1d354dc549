//! From settings to everything that serving needs, with all faults at once.
//!
//! What `serve` and `check` have in common: every file is read here, and nothing is bound.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::bound::Role;
use super::ephemeral_storage;
use super::exposure::Exposure;
use super::guard::{Shared, guard};
use super::sites::{self, Guarded};
use crate::acme::{Keeper, Plan, Way};
use crate::config::{self, Fault, Settings};
use crate::connection::Site;
use crate::stream::room_for_socket;
use crate::tls::{self, Certificates, Pair, SelfSigned, Which};

/// Names of a certificate that the start words show.
const NAMES_SHOWN: usize = 4;

/// From this long before its end a private CA is worth a word: a new one has to be carried to all clients by hand.
const CA_SOON: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// All that was read.
pub struct Prepared {
    /// For the `https://` listeners, where nothing is asked of clients.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What the listeners show.
    pub certificates: Arc<Certificates>,
    /// The private CA, if it is used.
    pub self_signed: Option<SelfSigned>,
    /// Who has certificates made by an authority, if that is wanted.
    pub keeper: Option<Keeper>,
    /// What guards all names that have no site, if anything does.
    pub main: Option<Arc<Site>>,
    /// The other sites.
    pub sites: Vec<Guarded>,
    /// What all of them share.
    pub shared: Shared,
    /// Lines that say what is guarded, with what.
    pub words: Vec<String>,
    /// What is odd, but no reason not to start.
    pub warnings: Vec<String>,
    /// More of that, which takes a while to find out.
    pub exposure: Exposure,
}

impl Prepared {
    /// Whatever is guarded, each with its settings; those of the main one are `main`.
    pub fn guarded<'a>(&'a self, main: &'a Settings) -> Vec<(&'a Settings, &'a Site)> {
        let sites = self.sites.iter();
        let sites = sites.map(|one| (&one.settings.settings, &*one.site));
        let main = self.main.iter().map(|site| (main, &**site));
        main.chain(sites).collect()
    }
}

/// What is said of what was read.
#[derive(Default)]
pub struct Found {
    /// All that is wrong.
    pub faults: Vec<Fault>,
    /// What is odd, but no reason not to start.
    pub warnings: Vec<String>,
    /// Lines that say what is guarded, with what.
    pub words: Vec<String>,
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
pub fn prepare(settings: &Settings, role: Role, writing: Writing) -> Result<Prepared, Vec<Fault>> {
    let mut found = Found::default();
    let shared = Shared::new(role, settings.workers);
    sockets(settings, &mut found.faults);
    let site_settings = sites::read(settings, &mut found.faults);
    let exposure = Exposure::of(
        std::iter::once(settings).chain(site_settings.iter().map(|(_, site)| &site.settings)),
    );
    let pairs = pairs(settings, &mut found);
    let self_signed = self_signed(settings, writing, &mut found);
    let main = (settings.sites.is_none() || !settings.backend.is_empty())
        .then(|| guard(settings, "", &shared, writing, &mut found));
    let of_acme = settings.acme.iter();
    let of_acme = of_acme.chain(
        site_settings
            .iter()
            .filter_map(|(_, site)| site.settings.acme.as_ref()),
    );
    let keeper = acme(settings, of_acme.collect(), writing, &mut found.faults);
    let certificates = certificates(
        self_signed.as_ref(),
        keeper.as_ref(),
        pairs,
        &mut found.words,
    );
    let sites = site_settings.into_iter().filter_map(|(stamp, site)| {
        Guarded::new(site, stamp, &shared, &certificates, writing, &mut found)
    });
    let sites: Vec<_> = sites.collect();
    sites::show(sites.iter(), &certificates);
    found
        .faults
        .extend(without_certificate(settings, &certificates));
    let main = match main {
        // What is wrong is among the faults.
        Some(None) => return Err(found.faults),
        Some(Some(main)) => sites::asking(main, settings, &certificates, &mut found).map(Arc::new),
        None => None,
    };
    let wants_tls = settings.listen.iter().find(|listen| is_tls(&listen.value));
    let tls = wants_tls.and_then(|listen| {
        let config = tls::server_config(Arc::clone(&certificates), None);
        config
            .map_err(|reason| found.faults.push(listen.fault(reason)))
            .ok()
    });
    let Found {
        faults,
        mut warnings,
        words,
    } = found;
    // Sites may name the same files.
    let mut said = HashSet::new();
    warnings.retain(|warning| said.insert(warning.clone()));
    match faults.is_empty() {
        true => Ok(Prepared {
            tls,
            certificates,
            self_signed,
            keeper,
            main,
            sites,
            shared,
            words,
            warnings,
            exposure,
        }),
        false => Err(faults),
    }
}

fn is_tls(listen: &config::Listen) -> bool {
    matches!(listen, config::Listen::Https(_))
}

/// A listener that has nothing to show and will have nothing.
fn without_certificate(settings: &Settings, certificates: &Certificates) -> Option<Fault> {
    let listen = settings
        .listen
        .iter()
        .find(|listen| is_tls(&listen.value))?;
    let files = settings.sites.as_ref()?;
    (certificates.is_empty() && !files.may_grow()).then(|| {
        listen.fault("https:// needs a certificate, and neither the main settings nor a site has one: tls-cert and tls-key, or acme")
    })
}

/// What listeners show, our own certificate first.
fn certificates(
    self_signed: Option<&SelfSigned>,
    keeper: Option<&Keeper>,
    pairs: Vec<Pair>,
    words: &mut Vec<String>,
) -> Arc<Certificates> {
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
    Arc::new(Certificates::new(shown, issued, challenges))
}

/// Who keeps the certificates of an authority, for the names of all sites. `check` looks whether that could be.
fn acme(
    settings: &Settings,
    wanted: Vec<&config::Acme>,
    writing: Writing,
    faults: &mut Vec<Fault>,
) -> Option<Keeper> {
    let acme = wanted.first()?;
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
        names: sites::names(&wanted),
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

pub(super) fn pairs(settings: &Settings, found: &mut Found) -> Vec<Pair> {
    let mut loaded = Vec::new();
    for pair in &settings.tls_pairs {
        match load_pair(pair) {
            Ok(good) => {
                let odd = good.warnings(SystemTime::now());
                found.warnings.extend(
                    odd.into_iter()
                        .map(|odd| format!("{}: {odd}", pair.cert.origin)),
                );
                loaded.push(good);
            }
            Err(bad) => found.faults.extend(bad),
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

fn self_signed(settings: &Settings, writing: Writing, found: &mut Found) -> Option<SelfSigned> {
    let directory = settings.tls_self_signed.as_ref()?;
    let opened = match writing {
        Writing::Allowed => SelfSigned::open(&directory.value, &settings.tls_names).map(Some),
        Writing::Refused => SelfSigned::check(&directory.value, &settings.tls_names).map(|()| None),
    };
    found
        .warnings
        .extend(ephemeral_storage::warning(&directory.value));
    let own = opened
        .map_err(|reason| found.faults.push(directory.fault(reason)))
        .ok()
        .flatten()?;
    let now = SystemTime::now();
    let odd = own.pair().warnings(now).into_iter();
    let end = own.ca_not_after();
    let ends = (now + CA_SOON >= end).then(|| {
        let until = tls::date(end);
        format!("the private CA ends on {until}, and clients trust nothing of it then: make a new one, and give it to them")
    });
    found.warnings.extend(
        odd.chain(ends)
            .map(|odd| format!("{}: {odd}", directory.origin)),
    );
    Some(own)
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
