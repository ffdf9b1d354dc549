//! The process: what is read, bound and started, and its end.
//!
//! Owns the process: what is started in which order, signals, and the exit status.

mod authority;
mod bound;
mod doors;
mod ephemeral_storage;
mod exposure;
mod guard;
mod listener;
mod maintenance;
mod notify;
mod prepare;
mod reload;
mod sandbox;
mod site_files;
mod sites;
mod socket_activation;
mod start;
mod stop;
mod unit;

use std::io;
use std::process::ExitCode;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::Admin;
use crate::config::{Fault, Settings, in_order};
use crate::exit::WRONG_CONFIGURATION;
use crate::files::Reader;
use crate::log;
use crate::metrics;
use crate::processors;
use crate::terminal::{complain, tell};
use authority::Discovery;
use bound::{Bound, Role};
use exposure::LookUps;
use listener::Listener;
use prepare::{Prepared, Writing, prepare};
use socket_activation::HandedOver;
use start::Running;
use unit::Unit;

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
    log::open(settings.log);
    let signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            ::log::error!("signals cannot be caught: {error}");
            log::flush();
            return ExitCode::FAILURE;
        }
    };
    let before = reload::Before::of(&settings);
    let ready = handed_over.and_then(|handed_over| {
        let prepared = prepare(&settings, role, Writing::Allowed)?;
        let bound = bind(&settings, handed_over)?;
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
    processors::count();
    // A sandbox holds the thread that makes it, and those that are started afterwards.
    let confined = sandbox::enter(&settings, role, &prepared.sites);
    log::start_writing();
    if let Err(fault) = confined {
        ::log::error!("{fault}");
        log::flush();
        return ExitCode::FAILURE;
    }
    log_panics();
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
    let (mut prepared, mut faults) = match prepare(&settings, Role::Gate, Writing::Refused) {
        Ok(prepared) => (Some(prepared), Vec::new()),
        Err(faults) => (None, faults),
    };
    let mut warnings = Vec::new();
    if let Some(unit) = &unit {
        unit.examine(&mut settings, &mut faults, &mut warnings);
    }
    let mut look_ups = None;
    if let Some(prepared) = &mut prepared {
        look_ups = Some(std::mem::take(&mut prepared.exposure).look_up());
        // What is known is said before anything is waited for.
        prepared.words.drain(..).for_each(|word| tell(&word));
        warnings.append(&mut prepared.warnings);
        for (settings, site) in prepared.guarded(&settings) {
            match authority::probe(settings, site) {
                Some(Discovery::Fault(fault)) => faults.push(fault),
                Some(Discovery::Warning(warning)) => warnings.push(warning),
                None => {}
            }
            warnings.extend(authority::password_asked(settings, site));
        }
    }
    warnings.extend(look_ups.iter().flat_map(LookUps::warnings));
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
    prepare(settings, Role::Gate, Writing::Refused)
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

fn bind(settings: &Settings, mut handed_over: HandedOver) -> Result<Bound, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut listeners = Vec::new();
    for listen in &settings.listen {
        match Listener::bind(&listen.value, &mut handed_over) {
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
    signals: Signals,
) -> io::Result<()> {
    Running::start(settings, role, before, prepared, bound, signals)?.until_stopped()
}
