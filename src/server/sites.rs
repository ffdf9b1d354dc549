//! The hosts that have settings of their own.
//!
//! Owns which of them there are, and what of each is taken when its file comes, changes or goes. A site whose file is bad stays as
//! it was.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::guard::{Shared, guard};
use super::prepare::{self, Found, Quoted, Writing};
use super::reload::{Before, Stamp};
use super::site_files::OwnPairs;
use crate::config::{self, ClientAuth, Fault, Settings, SiteSettings};
use crate::connection::{Checked, Clients, Named, Site};
use crate::lock::EvenIfPoisoned;
use crate::tls::{self, Certificates, Demand, OfSite};

/// Of a host that is in two files.
const DOUBLE: &str = "another site has this host";

/// A site, and what it was made of.
pub struct Guarded {
    /// What its file says.
    pub settings: SiteSettings,
    /// What guards it.
    pub site: Arc<Site>,
    /// The certificates of its own.
    pub pairs: OwnPairs,
    /// Its file as it was before it was read.
    pub stamp: Option<Stamp>,
    /// The files that it names as they were before they were read.
    pub before: Option<Before>,
}

impl Guarded {
    /// Reads all that a site's settings name.
    pub fn new(
        settings: SiteSettings,
        stamp: Option<Stamp>,
        shared: &Shared,
        certificates: &Arc<Certificates>,
        writing: Writing,
        found: &mut Found,
    ) -> Option<Guarded> {
        let before = Before::of(&settings.settings);
        let pairs = prepare::pairs(&settings.settings, found);
        let site = guard(&settings.settings, settings.name(), shared, writing, found)?;
        let site = asking(site, &settings.settings, certificates, found)?;
        Some(Guarded {
            settings,
            site: Arc::new(site),
            pairs: Arc::new(Mutex::new(pairs)),
            stamp,
            before: Some(before),
        })
    }
}

/// What a message about a site begins with.
pub fn label(name: &str) -> String {
    match name.is_empty() {
        true => String::new(),
        false => format!("{name}: "),
    }
}

/// The settings of all sites, and their files as they were before they were read.
pub fn read(settings: &Settings, faults: &mut Vec<Fault>) -> Vec<(Option<Stamp>, SiteSettings)> {
    let Some(files) = &settings.sites else {
        return Vec::new();
    };
    let list = files.list().map_err(|fault| faults.push(fault));
    let mut sites = Vec::new();
    for file in list.unwrap_or_default() {
        let stamp = Stamp::of(&file);
        match files.read(&file) {
            Ok(site) => sites.push((stamp, site)),
            Err(bad) => faults.extend(bad),
        }
    }
    faults.extend(doubles(sites.iter().map(|(_, site)| site)));
    sites
}

/// Names that several sites have.
fn doubles<'a>(sites: impl Iterator<Item = &'a SiteSettings>) -> Vec<Fault> {
    let mut seen = HashSet::new();
    let hosts = sites.flat_map(|site| &site.hosts);
    hosts
        .filter(|host| !seen.insert(host.value.as_str()))
        .map(|host| host.fault(DOUBLE))
        .collect()
}

/// The names of one that others have already.
pub fn doubles_of(settings: &SiteSettings, taken: &[String]) -> Vec<Fault> {
    let hosts = settings.hosts.iter();
    hosts
        .filter(|host| taken.contains(&host.value))
        .map(|host| host.fault(DOUBLE))
        .collect()
}

/// All names that an authority is to sign for, each once.
pub fn names(wanted: &[&config::Acme]) -> Vec<String> {
    let mut names = Vec::new();
    for name in wanted.iter().flat_map(|acme| &acme.names) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Has clients shown the certificates of all these sites.
pub fn show<'a>(sites: impl Iterator<Item = &'a Guarded>, certificates: &Certificates) {
    let own = sites.map(|site| OfSite {
        names: hosts(site).map(str::to_owned).collect(),
        pairs: site.pairs.lock().even_if_poisoned().clone(),
    });
    certificates.replace_of_sites(own.filter(|own| !own.pairs.is_empty()).collect());
}

/// The sites by their names.
pub fn named<'a>(sites: impl Iterator<Item = &'a Guarded>) -> Named {
    let mut named = Named::default();
    for site in sites {
        named.insert(&site.site, hosts(site));
    }
    named
}

fn hosts(site: &Guarded) -> impl Iterator<Item = &str> {
    site.settings.hosts.iter().map(|host| host.value.as_str())
}

/// The same site, that asks clients for certificates if its settings want that.
pub fn asking(
    site: Site,
    settings: &Settings,
    certificates: &Arc<Certificates>,
    found: &mut Found,
) -> Option<Site> {
    let Some(clients) = &settings.client_certificates else {
        return Some(site);
    };
    match config_asking(clients, certificates) {
        Ok(config) => {
            let how = match clients.auth {
                ClientAuth::Optional => "a password or ",
                ClientAuth::Required => "",
            };
            found.words.push(format!(
                "{}clients show {how}a certificate of {}",
                label(&site.name),
                Quoted(&clients.ca.value)
            ));
            Some(Site {
                clients: Some(Clients::new(demand(clients.auth), config)),
                ..site
            })
        }
        Err(fault) => {
            found.faults.push(fault);
            None
        }
    }
}

/// How TLS is spoken to clients that are asked for certificates.
pub fn config_asking(
    clients: &config::ClientCertificates,
    certificates: &Arc<Certificates>,
) -> Result<Checked, Fault> {
    let verifier = tls::client_verifier(&clients.ca.value, demand(clients.auth));
    let checked = verifier.and_then(|verifier| {
        let config = tls::server_config(Arc::clone(certificates), Some(Arc::clone(&verifier)))?;
        Ok(Checked {
            config,
            verifier: Some(verifier),
        })
    });
    checked.map_err(|reason| clients.ca.fault(reason))
}

fn demand(auth: ClientAuth) -> Demand {
    match auth {
        ClientAuth::Optional => Demand::Optional,
        ClientAuth::Required => Demand::Required,
    }
}
