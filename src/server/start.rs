//! The gate that serves: what is started in which order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use signal_hook::iterator::Signals;

use super::authority;
use super::bound::{Bound, Role};
use super::doors::{self, Entrance};
use super::guard::Shared;
use super::listener::Listener;
use super::prepare::Prepared;
use super::reload::{self, Asked, Files};
use super::site_files::SiteWatch;
use super::sites::{self, Guarded};
use super::{maintenance, notify};
use crate::acme::{Keeper, Wanted};
use crate::admin::{Socket, Watched};
use crate::config::{Acme, Settings};
use crate::connection::{
    Admission, Authorizations, Balancers, Connection, ConnectionLimiter, Detached, HTTPS,
    HealthPath, Hold, Mode, Redirect, RequestIds, Service, Sites, Timeouts,
};
use crate::gate::auth::HeldBack;
use crate::log;
use crate::metrics::{Standing, ThrottledStanding};
use crate::processors;
use crate::reactor::{Notice, Reactor};

/// Descriptors that are not for clients: standard streams, files, listeners, the log, and 32 for both ends of the pipes of big
/// transfers.
const OTHER_DESCRIPTORS: usize = 96;

/// The gate while it serves.
pub(super) struct Running {
    pub(super) service: Arc<Service>,
    pub(super) reactor: Arc<Reactor<Connection>>,
    pub(super) limiter: Arc<ConnectionLimiter>,
    /// Whether somebody else holds every socket that it listens on.
    pub(super) are_handed_over: bool,
    /// For requests in flight after the signal to stop.
    pub(super) drain: Duration,
    pub(super) signals: Signals,
    pub(super) reload: Sender<Asked>,
    /// Removed at the end.
    _socket: Option<Socket>,
}

impl Running {
    /// Everything is started, and goes on in other threads.
    pub(super) fn start(
        settings: &Settings,
        role: Role,
        before: reload::Before,
        mut prepared: Prepared,
        bound: Bound,
        signals: Signals,
    ) -> io::Result<Running> {
        let look_ups = std::mem::take(&mut prepared.exposure).look_up();
        say(settings, &prepared);
        let exposed = look_ups.warnings();
        exposed.iter().for_each(|warning| ::log::warn!("{warning}"));
        let certificates = Arc::clone(&prepared.certificates);
        let plain = prepared.tls.take();
        let self_signed = prepared.self_signed.take();
        let tls_port = bound.listeners.iter().find_map(Listener::tls_port);
        let tls_port = tls_port.unwrap_or(HTTPS);
        let shared = prepared.shared.clone();
        let sites = std::mem::take(&mut prepared.sites);
        let room = room_within_the_file_limit(settings, role);
        let (service, keeper) = service(settings, role, prepared, tls_port, &room)?;
        service.sites.replace(sites::named(sites.iter()));
        let limiter = ConnectionLimiter::new(
            room.connections,
            settings.max_connections_per_address.unwrap_or(0),
        );
        let loops = processors::count();
        let reactor = Reactor::new(loops, threads(settings, loops))?;
        let wanted = keeper
            .as_ref()
            .map(|keeper| (keeper.wanted(), settings.acme.clone()));
        let files = watched(settings, before, &service, &shared, wanted, sites);
        let (reload, asked) = channel();
        let told = Arc::clone(&reactor);
        reload::start(files, asked, move || told.tell_all(Notice::Revised))?;
        maintenance::start(Arc::clone(&service), self_signed)?;
        say_role(role);
        let listeners = bound.listeners;
        let watched = Watched {
            service: Arc::clone(&service),
            listening: listeners.iter().map(Listener::to_string).collect(),
            password_file: settings.htpasswd.as_ref().map(|file| file.value.clone()),
            interrupt: {
                let reactor = Arc::clone(&reactor);
                Box::new(move || reactor.tell_all(Notice::Revised))
            },
            standing: Box::new(standing(&service, &reactor, &limiter, &shared)),
        };
        let admin = bound.admin.map(|admin| admin.start(watched)).transpose()?;
        for listener in &listeners {
            ::log::info!("listening on {listener}");
        }
        let are_handed_over = listeners.iter().all(Listener::is_handed_over);
        reactor.start(Arc::new(Entrance {
            listeners,
            choose: plain.map(|plain| doors::choose(&service, plain)),
            service: Arc::clone(&service),
            limiter: Arc::clone(&limiter),
        }))?;
        // An authority looks at what is shown here.
        if let Some(keeper) = keeper {
            maintenance::keep(keeper, certificates)?;
        }
        notify::ready();
        notify::give_signs_of_life(Arc::clone(&reactor))?;
        Ok(Running {
            _socket: admin,
            service,
            reactor,
            limiter,
            are_handed_over,
            drain: settings.timeouts.drain,
            signals,
            reload,
        })
    }
}

/// What is to be taken anew when it changes.
fn watched(
    settings: &Settings,
    before: reload::Before,
    service: &Arc<Service>,
    shared: &Shared,
    wanted: Option<(Wanted, Option<Acme>)>,
    sites: Vec<Guarded>,
) -> Files {
    let certificates = &service.certificates;
    let shown = Arc::clone(certificates);
    let mut main: Vec<_> = reload::of_pairs(settings, &before, move |pairs| shown.replace(pairs))
        .into_iter()
        .collect();
    if let Some(site) = service.sites.main() {
        main.extend(reload::of_site(settings, before, site, certificates));
    }
    let sites = settings
        .sites
        .as_ref()
        .map(|files| SiteWatch::new(Arc::clone(files), shared.clone(), service, wanted, sites));
    Files { main, sites }
}

/// Says what is known already, and then what has to be asked for: an API and a resolver may take their time, and a person waits.
fn say(settings: &Settings, prepared: &Prepared) {
    let warn = |warnings: &[String]| {
        warnings
            .iter()
            .for_each(|warning| ::log::warn!("{warning}"))
    };
    warn(&prepared.warnings);
    prepared
        .words
        .iter()
        .for_each(|word| ::log::info!("{word}"));
    // Each may take its time.
    thread::scope(|scope| {
        for (settings, site) in prepared.guarded(settings) {
            if settings.auth_backend.is_some() {
                scope.spawn(move || authority::say(authority::probe(settings, site)));
            }
        }
    });
}

fn say_role(role: Role) {
    if role == Role::AuthService {
        ::log::info!(
            "answering 200 or 401 to proxies that ask, whatever the path; nothing is forwarded"
        );
    }
}

/// What all connections share.
fn service(
    settings: &Settings,
    role: Role,
    prepared: Prepared,
    tls_port: u16,
    room: &Room,
) -> io::Result<(Arc<Service>, Option<Keeper>)> {
    let Prepared {
        main,
        certificates,
        keeper,
        ..
    } = prepared;
    let authorizations = keeper.as_ref().map(|keeper| {
        let answers = keeper.answers();
        Box::new(move |token: &str| answers.authorization(token)) as Box<Authorizations>
    });
    let timeouts = settings.timeouts;
    let mode = match role {
        Role::Gate => Mode::Forward,
        Role::AuthService => Mode::Confirm,
    };
    let service = Service {
        sites: Sites::new(main),
        mode,
        trusted: settings.trusted_proxies.clone(),
        balancers: Balancers {
            networks: settings.proxy_protocol.clone(),
            told: log::Seldom::default(),
        },
        health: settings.health_path.clone().map(HealthPath::new),
        admission: Admission::new(settings.max_requests),
        tunnels: Admission::new(room.connections),
        most_tunnels: room.tunnels,
        detached: Arc::new(Detached::default()),
        hold: Arc::new(Hold::default()),
        redirect: Redirect {
            port: tls_port,
            authorizations,
        },
        timeouts: Timeouts {
            header: timeouts.header,
            idle: timeouts.idle,
        },
        request_ids: RequestIds::new(seed()?),
        draining: AtomicBool::new(false),
        certificates,
    };
    Ok((Arc::new(service), keeper))
}

/// Threads of the pool: for hashes and look-ups a few are enough, and calls of an API wait for long.
fn threads(settings: &Settings, loops: usize) -> usize {
    const FOR_CHECKS: usize = 32;
    const FOR_CALLS: usize = 128;
    // A site that asks one may come at any time.
    let for_calls = match settings.auth_backend.is_some() || settings.sites.is_some() {
        true => FOR_CALLS,
        false => 0,
    };
    settings.workers.unwrap_or(loops + FOR_CHECKS + for_calls)
}

/// What is asked when somebody looks.
fn standing(
    service: &Arc<Service>,
    reactor: &Arc<Reactor<Connection>>,
    limiter: &Arc<ConnectionLimiter>,
    shared: &Shared,
) -> impl Fn() -> Standing + Send + use<> {
    let memory = shared.memory.clone();
    let (service, reactor, limiter) = (
        Arc::clone(service),
        Arc::clone(reactor),
        Arc::clone(limiter),
    );
    move || {
        let (in_flight, waiting) = service.admission.counts();
        let (workers_busy, workers_wanted) = reactor.blocking();
        let open = limiter.taken();
        Standing {
            workers: reactor.threads(),
            workers_busy,
            workers_wanted,
            max_requests: service.admission.most(),
            in_flight,
            waiting,
            detached: service.detached.count(),
            read_only: service.hold.standing().ends,
            buffered: memory.buffered(),
            max_connections: limiter.most(),
            open,
            parked: open.saturating_sub(in_flight),
            loops: reactor.loads(),
            sites: service.sites.standing(),
            backends: service.sites.backends(),
            certificates: service.certificates.standing(),
            throttled: throttled(service.sites.held_back()),
        }
    }
}

/// For people, whoever is held back longest first.
fn throttled(mut held: Vec<HeldBack>) -> Vec<ThrottledStanding> {
    let (now, clock) = (Instant::now(), SystemTime::now());
    held.sort_unstable_by_key(|one| std::cmp::Reverse(one.until));
    held.into_iter()
        .map(|one| ThrottledStanding {
            network: one.network.to_string(),
            until: clock + one.until.saturating_duration_since(now),
            in_part: one.in_part,
        })
        .collect()
}

/// What the limit of open files has room for.
struct Room {
    connections: usize,
    /// WebSockets, each of which keeps a connection and one to a backend.
    tunnels: usize,
}

/// A client's request needs two descriptors where there is a backend: its own and one to the backend.
fn room_within_the_file_limit(settings: &Settings, role: Role) -> Room {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(files) = now.and_then(|now| usize::try_from(now).ok()) else {
        let connections = settings.max_connections;
        return Room {
            connections,
            tunnels: connections,
        };
    };
    let backends = match role {
        Role::Gate => settings.max_requests.min(files / 3),
        Role::AuthService => 0,
    };
    let room = files
        .saturating_sub(OTHER_DESCRIPTORS.min(files / 3) + backends)
        .max(1);
    if room < settings.max_connections {
        ::log::warn!(
            "the limit of {files} open files leaves room for {room} connections, not {}; raise it (ulimit -n)",
            settings.max_connections
        );
    }
    let connections = room.min(settings.max_connections);
    // They may have half of what is meant for requests, too.
    let spare = room - connections + backends / 2;
    Room {
        connections,
        tunnels: spare.min(connections),
    }
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(u64::from_ne_bytes(bytes))
}
