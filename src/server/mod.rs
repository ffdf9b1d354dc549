//! The running gate: listeners, workers, the poller, and its end.
//!
//! Owns the process: what is started in which order, signals, and the exit status.

mod asking;
mod caretaker;
mod exposure;
mod handed_over;
mod listener;
mod notify;
mod parked;
mod poller;
mod prepare;
mod queues;
mod reload;
mod unit;
mod volatile;
mod workers;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::{Admin, Watched};
use crate::config::{Fault, Paths, Settings, in_order};
use crate::connection::{Duty, Forwarding, HealthPath, RequestIds, Seats, Service, Timeouts};
use crate::files::Reader;
use crate::gate::auth::HeldBack;
use crate::gate::{Gatekeeper, PathRules};
use crate::http::PathDecides;
use crate::log;
use crate::metrics::{self, Standing, ThrottledStanding};
use crate::relay::Relay;
use crate::terminal::{complain, tell};
use crate::tls::Certificates;
use asking::Discovery;
use handed_over::HandedOver;
use listener::Listener;
use poller::{Limits, Poller};
use prepare::{Prepared, Writing, prepare};
use reload::{Asked, Files};
use unit::Unit;
use workers::Workers;

/// Wrong configuration, as sysexits.h has it.
pub const WRONG_CONFIGURATION: u8 = 78;
/// Descriptors that are not for clients: standard streams, files, listeners, the log, and 32 for both ends of the pipes of big
/// transfers.
const OTHER_DESCRIPTORS: usize = 96;
/// How long new clients may come after the signal to end, and how long those that are idle have to come with another
/// request: as long as whoever spreads clients over several gates may need to see that this one ends.
const LAG: Duration = Duration::from_secs(5);

/// What the process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Stands before backends.
    Gate,
    /// Answers proxies that do the rest themselves.
    AuthService,
}

/// Is the gate, until a signal ends it.
pub fn serve(settings: Settings) -> ExitCode {
    start(settings, Role::Gate)
}

/// Is the auth service alone, until a signal ends it. Settings for backends are passed over.
pub fn auth(settings: Settings) -> ExitCode {
    start(settings, Role::AuthService)
}

fn start(settings: Settings, role: Role) -> ExitCode {
    let handed_over = HandedOver::take();
    metrics::started();
    log::start(settings.log);
    log_panics();
    let signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            ::log::error!("signals cannot be caught: {error}");
            return ExitCode::FAILURE;
        }
    };
    let before = reload::Before::of(&settings);
    let ready = handed_over.and_then(|handed_over| {
        let prepared = prepare(&settings, Writing::Allowed)?;
        let bound = bind(&settings, &prepared, handed_over)?;
        Ok((prepared, bound))
    });
    let (prepared, bound) = match ready {
        Ok(ready) => ready,
        Err(faults) => {
            log::flush();
            report(&in_order(faults));
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let done = run(&settings, role, before, prepared, bound, signals);
    if let Err(error) = &done {
        ::log::error!("{error}");
    }
    log::flush();
    if done.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A panic costs one connection; what it was is said where all messages are, and never waits for
/// whoever reads them.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        ::log::error!("this is a bug, please report it: {panic}")
    }));
}

/// Reports every fault that `serve` would start with, and binds nothing.
pub fn check(mut settings: Settings) -> ExitCode {
    let unit = Unit::of_the_service();
    if let Some(unit) = &unit {
        unit.lend_credentials(&mut settings);
    }
    let (mut prepared, mut faults) = match prepare(&settings, Writing::Refused) {
        Ok(prepared) => (Some(prepared), Vec::new()),
        Err(faults) => (None, faults),
    };
    let mut warnings = Vec::new();
    if let Some(unit) = &unit {
        unit.examine(&mut settings, &mut faults, &mut warnings);
    }
    if let Some(prepared) = &mut prepared {
        // What is known is said before anything is waited for.
        prepared.words.drain(..).for_each(|word| tell(&word));
        warnings.append(&mut prepared.warnings);
        match asking::probe(&settings, &prepared.authority) {
            Some(Discovery::Fault(fault)) => faults.push(fault),
            Some(Discovery::Warning(warning)) => warnings.push(warning),
            None => {}
        }
        warnings.extend(asking::password_asked(&settings, &prepared.backends));
    }
    if let Some(prepared) = prepared {
        warnings.extend(prepared.exposure.warnings());
    }
    for warning in &warnings {
        complain(&format!("warning: {warning}"));
    }
    match faults.is_empty() {
        true => {
            tell("the configuration is good");
            ExitCode::SUCCESS
        }
        false => {
            report(&in_order(faults));
            ExitCode::from(WRONG_CONFIGURATION)
        }
    }
}

/// What is wrong in the files that these settings name.
pub fn faults(settings: &mut Settings) -> Vec<Fault> {
    if let Some(unit) = Unit::of_the_service() {
        unit.lend_credentials(settings);
    }
    prepare(settings, Writing::Refused)
        .err()
        .unwrap_or_default()
}

/// Says on standard error, or to the journal, what is wrong.
pub fn report(faults: &[Fault]) {
    let priority = log::priority(::log::Level::Error);
    for fault in faults {
        complain(&format!("{priority}{fault}"));
    }
}

/// Everything that listens.
struct Bound {
    listeners: Vec<Listener>,
    admin: Option<Admin>,
}

fn bind(
    settings: &Settings,
    prepared: &Prepared,
    mut handed_over: HandedOver,
) -> Result<Bound, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut listeners = Vec::new();
    for listen in &settings.listen {
        let tls = prepared.tls.as_ref();
        match Listener::bind(&listen.value, tls, settings.timeouts.body, &mut handed_over) {
            Ok(listener) => listeners.push(listener),
            Err(error) => faults.push(listen.fault(bind_reason(&error))),
        }
    }
    faults.extend(handed_over.faults());
    let admin = settings.admin.as_ref().and_then(|place| {
        let bound = Admin::bind(&place.value, settings.insecure_admin);
        bound
            .map_err(|error| faults.push(place.fault(bind_reason(&error))))
            .ok()
    });
    if faults.is_empty() {
        Ok(Bound { listeners, admin })
    } else {
        Err(faults)
    }
}

fn bind_reason(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there".to_owned(),
        io::ErrorKind::PermissionDenied => format!(
            " for user {}; ports below 1024 need root or CAP_NET_BIND_SERVICE",
            Reader::of_this_process()
        ),
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address".to_owned(),
        _ => String::new(),
    };
    format!("{}{remedy}", log::reason(error))
}

fn run(
    settings: &Settings,
    role: Role,
    before: reload::Before,
    prepared: Prepared,
    bound: Bound,
    mut signals: Signals,
) -> io::Result<()> {
    let timeouts = settings.timeouts;
    let patience = Timeouts {
        header: timeouts.header,
        idle: timeouts.idle,
        body: timeouts.body,
    };
    // First what is known already: an API and a resolver may take their time, and a person waits.
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
    match asking::probe(settings, &prepared.authority) {
        Some(Discovery::Fault(fault)) => ::log::error!("{fault}"),
        Some(Discovery::Warning(warning)) => ::log::warn!("{warning}"),
        None => {}
    }
    warn(&prepared.exposure.warnings());
    let duty = match role {
        Role::Gate => Duty::Forward(Box::new(Forwarding {
            relay: Relay::new(prepared.backends, timeouts.response, timeouts.body),
            authorization: settings.backend_authorization,
            told: log::Seldom::default(),
        })),
        Role::AuthService => Duty::Confirm,
    };
    let service = Arc::new(Service {
        gatekeeper: Gatekeeper::new(
            prepared.authority,
            &settings.realm,
            path_rules(role, settings.paths),
        ),
        duty,
        trusted: settings.trusted_proxies.clone(),
        health: settings.health_path.clone().map(HealthPath::new),
        patience,
        request_ids: RequestIds::new(seed()?),
        draining: AtomicBool::new(false),
    });
    let seats = Arc::new(Seats::default());
    let limits = Limits {
        connections: connections_within_the_file_limit(settings, role),
        connections_per_network: settings.max_connections_per_address.unwrap_or(0),
        trusted: settings.trusted_proxies.clone(),
        timeouts: patience,
    };
    let poller = Poller::new(Arc::clone(&seats), limits)?;
    let workers = Workers::start(Arc::clone(&service), Arc::clone(&poller), settings.workers)?;
    let certificates = prepared.certificates.as_ref();
    let files = Files::new(settings, before, &service, certificates);
    let (reload, asked) = channel();
    reload::start(files, asked)?;
    caretaker::start(
        Arc::clone(&service),
        prepared.self_signed,
        prepared.certificates.clone(),
    )?;

    if role == Role::AuthService {
        ::log::info!(
            "answering 200 or 401 to proxies that ask, whatever the path; nothing is forwarded"
        );
    }
    let _socket = match bound.admin {
        Some(admin) => {
            let standing = standing(
                settings.workers,
                &service,
                &workers,
                &poller,
                &seats,
                prepared.certificates.clone(),
            );
            Some(admin.start(Watched {
                service: Arc::clone(&service),
                listening: bound.listeners.iter().map(Listener::to_string).collect(),
                password_file: settings.htpasswd.as_ref().map(|file| file.value.clone()),
                standing: Box::new(standing),
            })?)
        }
        None => None,
    };
    let listeners = bound.listeners;
    listeners
        .iter()
        .for_each(|listener| ::log::info!("listening on {listener}"));
    let are_handed_over = listeners.iter().all(Listener::is_handed_over);
    let (open, all_closed) = channel();
    let watched = Arc::clone(&poller);
    thread::Builder::new()
        .name("poller".into())
        .spawn(move || watched.run(listeners, &workers, open))?;
    notify::ready();
    notify::give_signs_of_life(Arc::clone(&poller))?;

    // Everything goes on in other threads; this one waits for the end.
    let signal = await_end(&mut signals, &reload);
    notify::stopping();
    let begun = Instant::now();
    let until = begun + timeouts.drain;
    // Whoever watches this gate needs a while to see that it ends and sends clients there until then. At a terminal nobody
    // does, and where systemd holds the sockets clients wait in them for the next gate.
    let grace = LAG.min(timeouts.drain / 2);
    let lag = match signal {
        SIGINT => Duration::ZERO,
        _ if are_handed_over => Duration::ZERO,
        _ => grace,
    };
    ::log::info!(
        "stopping: no new connections{}, requests in flight get {} s",
        match lag.is_zero() {
            true => String::new(),
            false => format!(" after {} s", lag.as_secs_f32()),
        },
        timeouts.drain.as_secs()
    );
    thread::Builder::new()
        .name("impatience".into())
        .spawn(move || end_at_once(signals))?;
    service.draining.store(true, Ordering::Release);
    thread::sleep(lag);
    poller.stop_accepting();
    // Before that another client may come, and the paths of Unix sockets are still there.
    let _ = all_closed.recv();
    // A client that does not know yet gets one more answer, which tells it.
    seats.wait_until_empty(begun + grace);
    poller.drain();
    if !seats.wait_until_empty(until) {
        ::log::warn!(
            "{} connections were cut at the end of the drain time",
            seats.taken()
        );
    }
    Ok(())
}

/// Where a path has to read the same for everybody. What a proxy asks an auth service about is not decided by any.
fn path_rules(role: Role, paths: Paths) -> PathRules {
    let (always, asked_about) = match (role, paths) {
        (Role::AuthService, _) => (PathDecides::Nowhere, PathDecides::Nowhere),
        (Role::Gate, Paths::Strict) => (PathDecides::InRegistry, PathDecides::Everywhere),
        (Role::Gate, Paths::AsSent) => (PathDecides::InRegistry, PathDecides::InRegistry),
    };
    PathRules {
        always,
        asked_about,
    }
}

/// What is asked when somebody looks.
fn standing(
    most: usize,
    service: &Arc<Service>,
    workers: &Arc<Workers>,
    poller: &Arc<Poller>,
    seats: &Arc<Seats>,
    certificates: Option<Arc<Certificates>>,
) -> impl Fn() -> Standing + Send + use<> {
    let (service, workers) = (Arc::clone(service), Arc::clone(workers));
    let (poller, seats) = (Arc::clone(poller), Arc::clone(seats));
    move || {
        let (busy, waiting) = workers.requests();
        let certificates = certificates.as_ref();
        Standing {
            workers: most,
            busy,
            waiting,
            open: seats.taken(),
            parked: poller.parked(),
            backends: service.duty.backends(),
            certificates: certificates.map_or_else(Vec::new, |shown| shown.standing()),
            throttled: throttled(service.gatekeeper.held_back()),
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

/// Waits for the signal to end; what comes before it has the files looked at.
fn await_end(signals: &mut Signals, reload: &Sender<Asked>) -> i32 {
    for signal in signals.forever() {
        if signal != SIGHUP {
            return signal;
        }
        ::log::info!("SIGHUP: reading the files again");
        let _ = reload.send(Asked);
    }
    SIGTERM
}

/// Whoever says it twice does not want to wait.
fn end_at_once(mut signals: Signals) {
    let _ = signals.forever().find(|signal| *signal != SIGHUP);
    ::log::warn!("stopping at once: requests in flight are cut");
    log::flush();
    std::process::exit(1);
}

/// A client's request needs two descriptors where there is a backend: its own and one to the backend.
fn connections_within_the_file_limit(settings: &Settings, role: Role) -> usize {
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
        return settings.max_connections;
    };
    let backends = match role {
        Role::Gate => settings.workers.min(files / 3),
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
    room.min(settings.max_connections)
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(u64::from_ne_bytes(bytes))
}
