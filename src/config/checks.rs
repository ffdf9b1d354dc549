//! What must hold between settings that are right each on its own.
//!
//! It must not know where they come from; the faults name the settings at their places.

use super::{
    endpoint::{Admin, AuthBackend, Listen},
    fault::{Fault, Origin, Place, Placed},
    values::{ClientAuth, Paths},
};
use crate::net::HostPort;
use std::path::PathBuf;

/// Which of those that must be there are, right or wrong.
pub(super) struct Have {
    pub(super) backend: bool,
    pub(super) htpasswd: bool,
    pub(super) auth_backend: bool,
    /// Whether certificates and keys can be counted.
    pub(super) pairs: bool,
    pub(super) self_signed: bool,
}

pub(super) fn require_backend(have: &Have) -> Option<Fault> {
    let reason = "required; say where the registry is, as in --backend http://127.0.0.1:5000";
    (!have.backend).then(|| Origin::without_value(Place::Default, "backend").fault(reason))
}

pub(super) fn one_authority(
    have: &Have,
    htpasswd: Option<&Placed<PathBuf>>,
    auth_backend: Option<&Placed<AuthBackend>>,
) -> Option<Fault> {
    if !have.htpasswd && !have.auth_backend {
        let reason =
            "required; say who may pass: --htpasswd FILE, or --auth-backend URL to ask an API";
        return Some(Origin::without_value(Place::Default, "htpasswd").fault(reason));
    }
    let (htpasswd, auth_backend) = (htpasswd?, auth_backend?);
    Some(htpasswd.fault(format!(
        "only one can say who may pass, this or {}",
        auth_backend.origin
    )))
}

pub(super) fn client_auth_fault(has_ca: bool, auth: &Placed<ClientAuth>) -> Option<Fault> {
    let is_stray = !has_ca && *auth.origin.place() != Place::Default;
    is_stray.then(|| auth.fault("means something only with client-ca"))
}

/// An access file is about paths, so that none may be read in two ways.
pub(super) fn paths_fault(paths: &Placed<Paths>, has_access: bool) -> Option<Fault> {
    (has_access && paths.value == Paths::AsSent).then(|| {
        paths.fault(
            "is refused beside access, which decides by paths: nobody may read one in another way",
        )
    })
}

pub(super) fn require_htpasswd(have: &Have) -> Option<Fault> {
    let reason = "required; say who may pass: --htpasswd FILE";
    (!have.htpasswd).then(|| Origin::without_value(Place::Default, "htpasswd").fault(reason))
}

pub(super) fn listen_fault(
    listen: &Placed<Listen>,
    insecure_http: bool,
    has_certificate: bool,
) -> Option<Fault> {
    match &listen.value {
        Listen::Http(host_port) if !host_port.is_loopback() && !insecure_http => Some(listen.fault(
            "passwords would travel in the clear; write https://, or a loopback address, or --insecure-http if \
             something in front ends TLS",
        )),
        Listen::Https(_) if !has_certificate => Some(listen.fault(
            "https:// needs a certificate: --tls-cert FILE and --tls-key FILE, --acme NAME to have one made, or --tls-self-signed \
             DIR for trials and closed networks",
        )),
        _ => None,
    }
}

pub(super) fn certificate_faults(
    have: &Have,
    certs: &[Placed<PathBuf>],
    keys: &[Placed<PathBuf>],
    self_signed: Option<&Placed<PathBuf>>,
    names: &[Placed<String>],
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let counts = format!(
        "they are paired in order, and there are {} tls-cert and {} tls-key",
        certs.len(),
        keys.len()
    );
    let surplus = |more: &[Placed<PathBuf>], fewer: usize, missing: &str| -> Vec<Fault> {
        more.iter()
            .skip(fewer)
            .map(|file| file.fault(format!("has no {missing} beside it; {counts}")))
            .collect()
    };
    if have.pairs {
        faults.extend(surplus(certs, keys.len(), "tls-key"));
        faults.extend(surplus(keys, certs.len(), "tls-cert"));
    }
    match self_signed {
        Some(dir) if !certs.is_empty() || !keys.is_empty() => {
            faults.push(dir.fault("either this or tls-cert and tls-key, not both"));
        }
        _ if have.self_signed => {}
        _ => faults.extend(names.iter().map(|name| {
            name.fault("means something only with tls-self-signed; a tls-cert has its names in it")
        })),
    }
    faults
}

pub(super) fn acme_faults<'a>(
    names: &[Placed<String>],
    has_dir: bool,
    self_signed: Option<&Placed<PathBuf>>,
    others: impl IntoIterator<Item = Option<&'a Origin>>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(first) = names.first() else {
        let stray = others.into_iter().flatten();
        let stray = stray.filter(|origin| *origin.place() != Place::Default);
        return stray
            .map(|origin| {
                origin.fault(
                    "means something only with acme, which names what to have a certificate for",
                )
            })
            .collect();
    };
    if !has_dir {
        faults.push(first.fault("needs acme-dir DIR, where its certificate and key are kept"));
    }
    if let Some(dir) = self_signed {
        faults.push(dir.fault(
            "either this or acme, not both: the authority's certificates are believed by all",
        ));
    }
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|other| other.value == name.value) {
            faults.push(name.fault("twice"));
        }
    }
    faults
}

pub(super) fn admin_fault(admin: &Placed<Admin>, insecure_admin: bool) -> Option<Fault> {
    match &admin.value {
        Admin::Http(host_port) if !host_port.is_loopback() && !insecure_admin => {
            let HostPort { port, .. } = host_port;
            Some(admin.fault(format!(
                "whoever reaches it sees who uses the registry; write http://127.0.0.1:{port}, or --insecure-admin if \
                 that is meant"
            )))
        }
        _ => None,
    }
}

/// Settings of guessing where no password file is checked.
pub(super) fn stray_guesses_faults<'a>(
    have: &Have,
    origins: impl IntoIterator<Item = &'a Origin>,
) -> Vec<Fault> {
    let is_stray = !have.htpasswd && have.auth_backend;
    origins
        .into_iter()
        .filter(|origin| is_stray && *origin.place() != Place::Default)
        .map(|origin| origin.fault("means something only with htpasswd; an API counts by itself"))
        .collect()
}

/// Settings of an API that is not asked. What is only the default is no slip.
pub(super) fn stray_auth_faults<'a>(
    have: &Have,
    origins: impl IntoIterator<Item = Option<&'a Origin>>,
) -> Vec<Fault> {
    let given = |origin: &&Origin| !have.auth_backend && *origin.place() != Place::Default;
    origins
        .into_iter()
        .flatten()
        .filter(given)
        .map(|origin| origin.fault("means something only with auth-backend"))
        .collect()
}
