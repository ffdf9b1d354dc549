//! What the process gives up once all is read and bound, so that a fault in it is of little use to an attacker.
//!
//! Owns when that happens and what is said of it; what is given up is `files` (Landlock) and `calls` (seccomp). Both hold the
//! calling thread and those that it starts afterwards, so that there must be no other yet.

mod calls;
mod files;
mod places;
#[cfg(debug_assertions)]
mod tries;

use super::bound::Role;
use super::sites::Guarded;
use crate::config::{Fault, Sandbox, Settings};

/// Confines the process as `--sandbox` says, and says what it lacks.
///
/// # Errors
/// What is missing of that which is required.
pub fn enter(settings: &Settings, role: Role, sites: &[Guarded]) -> Result<(), Fault> {
    let confined = match settings.sandbox.value {
        Sandbox::Off => Ok(()),
        Sandbox::On | Sandbox::Require => confine(settings, role, sites),
    };
    #[cfg(debug_assertions)]
    tries::begin();
    confined
}

fn confine(settings: &Settings, role: Role, sites: &[Guarded]) -> Result<(), Fault> {
    let wanted = &settings.sandbox;
    // Files and ports first: the second half takes the calls for it away.
    let files = files::confine(&places::of(settings, role, sites));
    let calls = calls::confine();
    let mut missing = String::new();
    for (half, why, so) in [
        (
            "Landlock",
            files.as_ref().err(),
            "files and ports are as open as to its user",
        ),
        (
            "seccomp",
            calls.as_ref().err(),
            "it may make all calls of the kernel",
        ),
    ] {
        if let Some(why) = why {
            let and = if missing.is_empty() { "there is" } else { "," };
            missing += &format!("{and} no {half} ({why}: {so})");
        }
    }
    if !missing.is_empty() {
        if wanted.value == Sandbox::Require {
            return Err(wanted.fault(missing));
        }
        ::log::warn!("the sandbox is not whole: {missing}");
    }
    let lacking = files.unwrap_or_default();
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        ::log::info!("of the sandbox, this kernel's Landlock has no limits for {lacking}");
    }
    Ok(())
}
