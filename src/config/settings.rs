//! The settings as values, and what must hold between them.
//!
//! It knows what each setting means on its own and beside the others; where they come from is `source`. Every fault is
//! found before any is reported.

use super::sites::SiteFiles;
use super::values::{BackendAuthorization, ClientAuth, Paths, Sandbox};
use super::{
    checks,
    endpoint::{Admin, AuthBackend, Backend, ExternalUrl, Listen},
    fault::{Fault, Placed, in_order},
    reader::Reader,
    source::{Flags, Sources},
    table::{Id, Scope},
    values,
};
use crate::log::Format;
use crate::net::Cidr;
use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

/// All settings of `serve`. For `auth`, those that it has no use for have their defaults.
#[derive(Debug)]
pub struct Settings {
    /// Where clients are accepted; at least one.
    pub listen: Vec<Placed<Listen>>,
    /// Whether `http://` is allowed off loopback.
    pub insecure_http: bool,
    /// Where the registry is; at least one for `serve`, unless there are sites.
    pub backend: Vec<Placed<Backend>>,
    /// What an `https://` backend must chain to; the system's roots if none.
    pub backend_ca: Option<Placed<PathBuf>>,
    /// The password file. For `serve` exactly one of this and `auth_backend`, for `auth` this.
    pub htpasswd: Option<Placed<PathBuf>>,
    /// The API that is asked.
    pub auth_backend: Option<Placed<AuthBackend>>,
    /// How long an answer of an API that says nothing about it holds.
    pub auth_cache: Option<Duration>,
    /// For one whole call of the API.
    pub auth_timeout: Duration,
    /// What an `https://` API must chain to; the system's roots if none.
    pub auth_ca: Option<Placed<PathBuf>>,
    /// Whether the API is asked about a made-up credential.
    pub auth_probe: bool,
    /// The file that says who may do what; without one whoever is known may do everything.
    pub access: Option<Placed<PathBuf>>,
    /// The keys of tokens, the one that seals first; a random one if none.
    pub token_keys: Vec<Placed<PathBuf>>,
    /// Where clients reach the gate, if that is not what they ask for.
    pub external_url: Option<Placed<ExternalUrl>>,
    /// Files with the settings of further hosts, if there are any.
    pub sites: Option<Arc<SiteFiles>>,
    /// Whether clients are asked for certificates.
    pub client_certificates: Option<ClientCertificates>,
    /// As typed, to be quoted and escaped in the challenge.
    pub realm: String,
    /// Distinct wrong passwords that a network has within a minute; no limit if none.
    pub guesses: Option<usize>,
    /// Networks whose wrong passwords are not counted.
    pub guesses_exempt: Vec<Cidr>,
    /// The certificates, the default one first. Not empty if there is an `https://` listener without `tls_self_signed`,
    /// unless this is for `health`.
    pub tls_pairs: Vec<Pair>,
    /// The directory of a private CA and its server certificate; never beside `tls_pairs`.
    pub tls_self_signed: Option<Placed<PathBuf>>,
    /// Further names and addresses for that certificate, without brackets, in lower case.
    pub tls_names: Vec<String>,
    /// Names whose certificates come from an authority.
    pub acme: Option<Acme>,
    /// Peers whose connections begin with a PROXY header.
    pub proxy_protocol: Vec<Cidr>,
    /// Peers whose forwarded fields are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// What the backend sees of the credentials.
    pub backend_authorization: BackendAuthorization,
    /// Where paths are refused that can be read in two ways.
    pub paths: Paths,
    /// Networks whose clients are served; everybody if none.
    pub allowed: Vec<Cidr>,
    /// Whether CORS preflights need no credentials.
    pub preflight: bool,
    /// Requests in flight at once; at least 1.
    pub max_requests: usize,
    /// Threads that may wait; by the machine if none.
    pub workers: Option<usize>,
    /// Open client connections; at least 1.
    pub max_connections: usize,
    /// Open connections of one client address; no limit if none.
    pub max_connections_per_address: Option<usize>,
    /// The time-outs of a connection.
    pub timeouts: Timeouts,
    /// Where health and metrics are served.
    pub admin: Option<Placed<Admin>>,
    /// Whether that may be off loopback.
    pub insecure_admin: bool,
    /// The path that the gate answers itself; it begins with `/` and is not of the registry.
    pub health_path: Option<String>,
    /// Form of the log.
    pub log: Format,
    /// What the process gives up once it is started.
    pub sandbox: Placed<Sandbox>,
    /// What is odd without being wrong, one line each; the commands show them on standard error.
    pub warnings: Vec<String>,
}

/// A certificate chain and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// PEM, the server's certificate first.
    pub cert: Placed<PathBuf>,
    /// PEM.
    pub key: Placed<PathBuf>,
}

/// Certificates that clients show.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// PEM, what they must chain to.
    pub ca: Placed<PathBuf>,
    /// Whether a client has to show one.
    pub auth: ClientAuth,
}

/// Certificates of an ACME authority.
#[derive(Debug, Clone)]
pub struct Acme {
    /// DNS names in lower case; at least one.
    pub names: Vec<String>,
    /// Where everything is kept.
    pub state: Placed<PathBuf>,
    /// `https://`, the authority's directory.
    pub directory: String,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// What the authority must chain to; the system's roots if none.
    pub ca: Option<Placed<PathBuf>>,
    /// The kind of certificate.
    pub profile: Option<String>,
}

/// How long things may take; each at least a second.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// TLS handshake and request head, in total.
    pub header: Duration,
    /// A connection without a request.
    pub idle: Duration,
    /// A body in which nothing moves.
    pub body: Duration,
    /// The beginning of the backend's answer.
    pub response: Duration,
    /// Connecting to a backend.
    pub connect: Duration,
    /// Requests in flight after the signal to stop.
    pub drain: Duration,
}

/// What the settings are for, which says what may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Being the gate, or checking that one could be.
    Serve,
    /// Guarding one further host.
    Site,
    /// Being the auth service alone: a file and variables that are meant for `serve` do no harm.
    Auth,
    /// Asking a running gate: only what is given must be right.
    Health,
}

impl Settings {
    /// Reads all sources. Errors are all faults there are, in the order of [`in_order`].
    pub fn load(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
        purpose: Purpose,
    ) -> Result<Settings, Vec<Fault>> {
        let (settings, faults) = Settings::read(flags, environment, purpose);
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(faults)
        }
    }

    /// As [`load`](Self::load). With faults the settings hold what could be understood: good for finding further
    /// faults in the files they name, and for nothing else.
    pub fn read(
        flags: Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
        purpose: Purpose,
    ) -> (Settings, Vec<Fault>) {
        let mut sources = Sources::gather(flags, environment);
        if purpose == Purpose::Auth {
            // One file, or one environment of a container, may be for both commands, so that what only `serve` has a use
            // for is no slip, right or wrong. As a flag it is one, and `auth` has none of them.
            sources.set_aside(|setting| setting.scope == Scope::Serve);
        }
        Settings::of_sources(sources, purpose)
    }

    /// What the sources say.
    pub(super) fn of_sources(sources: Sources, purpose: Purpose) -> (Settings, Vec<Fault>) {
        let mut read = Reader::new(sources);
        let (files, directory) = match purpose {
            Purpose::Site => (Vec::new(), None),
            _ => (
                read.many(Id::site, values::path),
                read.optional(Id::sites, values::path),
            ),
        };
        let has_sites = !files.is_empty() || directory.is_some();
        let sites = has_sites.then(|| SiteFiles::new(files, directory, &read.sources));
        let sites = sites.map(Arc::new);
        let listen = read.many(Id::listen, str::parse);
        let insecure_http = read.one(Id::insecure_http, values::switch);
        let backend = read.many(Id::backend, str::parse);
        let backend_ca = read.optional(Id::backend_ca, values::path);
        let htpasswd = read.optional(Id::htpasswd, values::path);
        let auth_backend = read.optional(Id::auth_backend, str::parse);
        let auth_cache = read.optional(Id::auth_cache, values::seconds_or_none);
        let auth_timeout = read.optional_with_default(Id::auth_timeout, values::seconds);
        let auth_ca = read.optional(Id::auth_ca, values::path);
        let auth_probe = read.optional_with_default(Id::auth_probe, values::switch);
        let access = read.optional(Id::access, values::path);
        let token_keys = read.many(Id::token_key, values::path);
        let external_url = read.optional(Id::external_url, str::parse);
        let client_ca = read.optional(Id::client_ca, values::path);
        let client_auth = read.optional_with_default(Id::client_auth, values::client_auth);
        let realm = read.one(Id::realm, values::realm);
        let guesses = read.optional_with_default(Id::guesses, values::guesses_or_off);
        let guesses_exempt: Vec<Placed<Cidr>> = read.many(Id::guesses_exempt, str::parse);
        let certs = read.many(Id::tls_cert, values::path);
        let keys = read.many(Id::tls_key, values::path);
        let tls_self_signed = read.optional(Id::tls_self_signed, values::path);
        let tls_names = read.many(Id::tls_name, values::name);
        let acme = read.many(Id::acme, values::acme_name);
        let acme_dir = read.optional(Id::acme_dir, values::path);
        let acme_directory = read.optional_with_default(Id::acme_directory, values::https_url);
        let acme_email = read.optional(Id::acme_email, values::email);
        let acme_ca = read.optional(Id::acme_ca, values::path);
        let acme_profile = read.optional(Id::acme_profile, values::profile);
        let proxy_protocol: Vec<Placed<Cidr>> = read.many(Id::proxy_protocol, str::parse);
        let trusted_proxies: Vec<Placed<Cidr>> = read.many(Id::trusted_proxy, str::parse);
        let backend_authorization =
            read.one(Id::backend_authorization, values::backend_authorization);
        let paths = read.optional_with_default(Id::paths, values::paths);
        let allowed: Vec<Placed<Cidr>> = read.many(Id::allow, str::parse);
        let preflight = read.one(Id::preflight, values::switch);
        let max_requests = read.one(Id::max_requests, values::connections);
        let workers = read.optional(Id::workers, values::workers);
        let max_connections = read.one(Id::max_connections, values::connections);
        let per_address = read.one(Id::max_connections_per_address, values::connections_or_off);
        let timeouts = Timeouts {
            header: read.one(Id::header_timeout, values::seconds),
            idle: read.one(Id::idle_timeout, values::seconds),
            body: read.one(Id::body_timeout, values::seconds),
            response: read.one(Id::response_timeout, values::seconds),
            connect: read.one(Id::connect_timeout, values::seconds),
            drain: read.one(Id::drain_timeout, values::seconds),
        };
        let admin = read.optional(Id::admin, admin);
        let insecure_admin = read.one(Id::insecure_admin, values::switch);
        let health_path = read.optional(Id::health_path, values::health_path);
        let log = read.one(Id::log, values::log_format);
        let sandbox = read.optional_with_default(Id::sandbox, values::sandbox);

        let Reader {
            sources,
            mut faults,
        } = read;
        let mut warnings = sources.warnings;
        for (networks, what) in [
            (&proxy_protocol, "everybody's PROXY header is believed"),
            (&trusted_proxies, "everybody's X-Forwarded-For is believed"),
            (&guesses_exempt, "nobody's guesses are counted"),
        ] {
            let everybody = networks.iter().filter(|one| one.value.is_everything());
            warnings.extend(everybody.map(|one| format!("{}: {what}", one.origin)));
        }
        let admin = admin.and_then(|admin| {
            admin.value.map(|value| Placed {
                value,
                origin: admin.origin,
            })
        });
        // What was wrong on its own counts as given, so that one slip makes one fault.
        let wrong = |name: &str| {
            sources
                .faults
                .iter()
                .chain(&faults)
                .any(|fault| fault.origin().name() == name)
                || sources.meant.contains(&name)
        };
        let has_certificate = has_sites
            || !certs.is_empty()
            || !keys.is_empty()
            || tls_self_signed.is_some()
            || !acme.is_empty()
            || ["tls-cert", "tls-key", "tls-self-signed", "acme"]
                .into_iter()
                .any(wrong);
        let acme_is_wrong = wrong("acme");
        let has_acme_dir = acme_dir.is_some() || wrong("acme-dir");
        let have = checks::Have {
            backend: !backend.is_empty() || wrong("backend"),
            htpasswd: htpasswd.is_some() || wrong("htpasswd"),
            auth_backend: auth_backend.is_some() || wrong("auth-backend"),
            pairs: !wrong("tls-cert") && !wrong("tls-key"),
            self_signed: tls_self_signed.is_some() || wrong("tls-self-signed"),
        };
        let has_client_ca = client_ca.is_some() || wrong("client-ca");
        // Beside sites, hosts that none of them has may be nobody's business.
        let has_gate = !has_sites || have.backend;
        // What only seems to be missing, or to have nothing beside it, because the file that has it could not be read.
        let between = if sources.is_file_lost {
            Purpose::Health
        } else {
            purpose
        };

        if has_gate && matches!(between, Purpose::Serve | Purpose::Site) {
            faults.extend(checks::require_backend(&have));
            faults.extend(checks::paths_fault(&paths, access.is_some()));
            faults.extend(checks::one_authority(
                &have,
                htpasswd.as_ref(),
                auth_backend.as_ref(),
            ));
            faults.extend(checks::client_auth_fault(has_client_ca, &client_auth));
            let of_api = [
                auth_cache.as_ref().map(|auth| &auth.origin),
                Some(&auth_timeout.origin),
                auth_ca.as_ref().map(|auth| &auth.origin),
                Some(&auth_probe.origin),
            ];
            faults.extend(checks::stray_auth_faults(&have, of_api));
            let exempt = guesses_exempt.iter().map(|exempt| &exempt.origin);
            faults.extend(checks::stray_guesses_faults(
                &have,
                exempt.chain([&guesses.origin]),
            ));
        }
        if between == Purpose::Auth {
            faults.extend(checks::require_htpasswd(&have));
        }
        if !matches!(between, Purpose::Health | Purpose::Site) {
            faults.extend(
                listen.iter().filter_map(|listen| {
                    checks::listen_fault(listen, insecure_http, has_certificate)
                }),
            );
        }
        if between != Purpose::Health {
            faults.extend(checks::certificate_faults(
                &have,
                &certs,
                &keys,
                tls_self_signed.as_ref(),
                &tls_names,
            ));
            let of_acme = [
                acme_dir.as_ref().map(|dir| &dir.origin),
                Some(&acme_directory.origin),
                acme_email.as_ref().map(|email| &email.origin),
                acme_ca.as_ref().map(|ca| &ca.origin),
                acme_profile.as_ref().map(|profile| &profile.origin),
            ];
            if !(acme_is_wrong || has_sites && acme.is_empty()) {
                faults.extend(checks::acme_faults(
                    &acme,
                    has_acme_dir,
                    tls_self_signed.as_ref(),
                    of_acme,
                ));
            }
        }
        if !matches!(between, Purpose::Health | Purpose::Site) {
            faults.extend(
                admin
                    .iter()
                    .filter_map(|admin| checks::admin_fault(admin, insecure_admin)),
            );
        }
        let mut all = sources.faults;
        all.append(&mut faults);
        let all = in_order(all);
        let settings = Settings {
            listen,
            insecure_http,
            backend,
            backend_ca,
            htpasswd,
            auth_backend,
            auth_cache: auth_cache.map(|auth| auth.value),
            auth_timeout: auth_timeout.value,
            auth_ca,
            auth_probe: auth_probe.value,
            access,
            token_keys,
            external_url,
            sites,
            client_certificates: client_ca.map(|ca| ClientCertificates {
                ca,
                auth: client_auth.value,
            }),
            realm,
            guesses: Some(guesses.value).filter(|most| *most > 0),
            guesses_exempt: values_of(guesses_exempt),
            tls_pairs: certs
                .into_iter()
                .zip(keys)
                .map(|(cert, key)| Pair { cert, key })
                .collect(),
            tls_self_signed,
            tls_names: tls_names.into_iter().map(|name| name.value).collect(),
            acme: acme_dir
                .filter(|_| has_sites || !acme.is_empty())
                .map(|state| Acme {
                    names: acme.into_iter().map(|name| name.value).collect(),
                    state,
                    directory: acme_directory.value,
                    email: acme_email.map(|email| email.value),
                    ca: acme_ca,
                    profile: acme_profile.map(|profile| profile.value),
                }),
            proxy_protocol: values_of(proxy_protocol),
            trusted_proxies: values_of(trusted_proxies),
            backend_authorization,
            paths: paths.value,
            allowed: values_of(allowed),
            preflight,
            max_requests,
            workers: workers.map(|workers| workers.value),
            max_connections,
            max_connections_per_address: Some(per_address).filter(|limit| *limit > 0),
            timeouts,
            admin,
            insecure_admin,
            health_path: health_path.and_then(|path| path.value),
            log,
            sandbox,
            warnings,
        };
        (settings, all)
    }
}

fn values_of<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

/// `off` is how a flag takes back what a variable or a file says.
fn admin(text: &str) -> Result<Option<Admin>, String> {
    if text.eq_ignore_ascii_case("off") {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

#[cfg(test)]
mod tests;
