//! One host that is guarded: who may pass, and what is behind. And all of them, by their names.
//!
//! Owns what belongs to one host and which host a request is for. Nothing that is remembered is shared between two of them. The
//! name that a client asks for is hostile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::config::BackendAuthorization;
use crate::gate::Gatekeeper;
use crate::gate::auth::HeldBack;
use crate::lock::EvenIfPoisoned;
use crate::log::Seldom;
use crate::metrics::{BackendStanding, SiteCounts, SiteStanding};
use crate::net::{Cidr, NameTable};
use crate::relay::Relay;
use crate::tls::Demand;

/// Of a backend with a password of its own, behind a gate that keeps the client's to itself.
pub const ASKS_FOR_PASSWORD: &str = "the backend asks for a password itself, and is told none: set backend-authorization to \
     pass if it has the same users, or let it ask for none";

/// One host that is guarded.
pub struct Site {
    /// What it is called in the log: its first name. The main one has none.
    pub name: Box<str>,
    /// The networks that are served; all, if none is named.
    pub allowed: Vec<Cidr>,
    /// Who may do what.
    pub gatekeeper: Gatekeeper,
    /// What is behind. Nothing where the gate only answers proxies that ask.
    pub forwarding: Option<Forwarding>,
    /// How clients are asked for certificates, if they are.
    pub clients: Option<Clients>,
    /// Requests that are over.
    pub counts: SiteCounts,
}

/// Certificates of clients.
pub struct Clients {
    demand: Demand,
    checked: RwLock<Checked>,
}

/// How they are asked for and checked.
pub struct Checked {
    /// How TLS is spoken to them.
    pub config: Arc<ServerConfig>,
    /// What checks them. Nothing where none counts.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Clients {
    /// Asked for as strictly as `demand` says.
    pub fn new(demand: Demand, checked: Checked) -> Clients {
        Clients {
            demand,
            checked: RwLock::new(checked),
        }
    }

    /// Whether none may come without one.
    pub fn are_required(&self) -> bool {
        self.demand == Demand::Required
    }

    /// How TLS is spoken to them.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.checked.read().even_if_poisoned().config)
    }

    /// Takes another way to check them, from the next handshake on.
    pub fn replace(&self, checked: Checked) {
        *self.checked.write().even_if_poisoned() = checked;
    }

    /// Whether a chain that was believed once would be now.
    pub(super) fn believe(&self, chain: &[CertificateDer<'static>]) -> bool {
        let verifier = self.checked.read().even_if_poisoned().verifier.clone();
        let (Some(verifier), Some((own, others))) = (verifier, chain.split_first()) else {
            return false;
        };
        let now = UnixTime::now();
        verifier.verify_client_cert(own, others, now).is_ok()
    }
}

/// What is needed to go on behind the gate.
pub struct Forwarding {
    /// Where granted requests go.
    pub relay: Relay,
    /// What the backend is told of the user.
    pub authorization: BackendAuthorization,
    /// When somebody was told last that a backend wants a password that it never sees.
    pub told: Seldom,
}

impl Forwarding {
    /// What the log should say of a backend that asks for a password, if that is not because it saw a wrong one; the
    /// messages say it once a minute too.
    pub(super) fn on_password_asked(&self) -> Option<&'static str> {
        if self.authorization != BackendAuthorization::Drop {
            return None;
        }
        if self.told.is_due() {
            ::log::warn!("{ASKS_FOR_PASSWORD}");
        }
        Some(ASKS_FOR_PASSWORD)
    }
}

impl Site {
    /// Whether a request could be served now; the error says why not. May take as long as a connection to a backend.
    pub fn ready(&self) -> Result<(), String> {
        self.gatekeeper.ready()?;
        match &self.forwarding {
            Some(forwarding) => forwarding.relay.reachable(),
            None => Ok(()),
        }
    }

    /// How the backends are, in order.
    pub fn standing(&self) -> Vec<BackendStanding> {
        let mut all = self.relay().map(Relay::standing).unwrap_or_default();
        all.iter_mut()
            .for_each(|backend| backend.site = self.name.to_string());
        all
    }

    /// The backends, if something is forwarded.
    pub fn relay(&self) -> Option<&Relay> {
        self.forwarding.as_ref().map(|forwarding| &forwarding.relay)
    }
}

/// All hosts that are guarded.
#[derive(Default)]
pub struct Sites {
    /// For every name that has no site of its own, if it guards something.
    main: Option<Arc<Site>>,
    /// Whether there is another, so that most gates ask no further.
    has_others: AtomicBool,
    others: RwLock<Arc<Named>>,
}

/// Those with names.
#[derive(Default)]
pub struct Named {
    all: Vec<Arc<Site>>,
    by_name: NameTable<Arc<Site>>,
}

impl Named {
    /// Adds a site under its names, which are in lower case.
    pub fn insert<'a>(&mut self, site: &Arc<Site>, names: impl IntoIterator<Item = &'a str>) {
        self.all.push(Arc::clone(site));
        for name in names {
            self.by_name.insert(name, Arc::clone(site));
        }
    }
}

impl Sites {
    /// Only the main one, if there is one.
    pub fn new(main: Option<Arc<Site>>) -> Sites {
        Sites {
            main,
            ..Sites::default()
        }
    }

    /// Takes other sites in place of all present ones. Requests that are under way stay with those that they came to.
    pub fn replace(&self, others: Named) {
        self.has_others
            .store(!others.all.is_empty(), Ordering::Relaxed);
        *self.others.write().even_if_poisoned() = Arc::new(others);
    }

    /// The one that a host leads to. `None` where it leads nowhere.
    pub fn of(&self, host: &str) -> Option<Arc<Site>> {
        self.named(host).or_else(|| self.main.clone())
    }

    /// The one that has this name.
    pub fn named(&self, host: &str) -> Option<Arc<Site>> {
        if !self.are_several() {
            return None;
        }
        let others = self.others.read().even_if_poisoned();
        others.by_name.find(host).cloned()
    }

    /// Whether there are others than the main one.
    pub fn are_several(&self) -> bool {
        self.has_others.load(Ordering::Relaxed)
    }

    /// The main one.
    pub fn main(&self) -> Option<&Arc<Site>> {
        self.main.as_ref()
    }

    /// All of them, the main one first.
    pub fn all(&self) -> Vec<Arc<Site>> {
        let others = Arc::clone(&self.others.read().even_if_poisoned());
        self.main.iter().chain(&others.all).cloned().collect()
    }

    /// How those with names are.
    pub fn standing(&self) -> Vec<SiteStanding> {
        let others = Arc::clone(&self.others.read().even_if_poisoned());
        let sites = others.all.iter();
        sites.map(|site| site.counts.standing(&site.name)).collect()
    }

    /// The networks that are held back now, because somebody there guesses passwords.
    pub fn held_back(&self) -> Vec<HeldBack> {
        let all = self.all();
        all.iter()
            .flat_map(|site| site.gatekeeper.held_back())
            .collect()
    }

    /// How the backends of all are, in order.
    pub fn backends(&self) -> Vec<BackendStanding> {
        let all = self.all();
        all.iter().flat_map(|site| site.standing()).collect()
    }

    /// Whether one of them could serve a request now; the error says why not.
    pub fn ready(&self) -> Result<(), String> {
        let mut reasons = Vec::new();
        for site in self.all() {
            match site.ready() {
                Ok(()) => return Ok(()),
                Err(why) if site.name.is_empty() => reasons.push(why),
                Err(why) => reasons.push(format!("{}: {why}", site.name)),
            }
        }
        match reasons.is_empty() {
            true => Err("there is no site".to_owned()),
            false => Err(reasons.join("; ")),
        }
    }
}
