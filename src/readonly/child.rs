//! The command that runs while pushes are held back.
//!
//! Owns its process, with all that it starts: a group of its own, which ends with this process whatever becomes of that. No code may
//! run between fork and exec without `unsafe`, so that this program starts itself again, says so to the kernel, and becomes the
//! command.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal, getppid, kill_process_group, set_parent_process_death_signal};

use crate::terminal::complain;

/// How this program is called that is to become the command.
pub const CHILD: &str = "portreeve: readonly";

/// As shells have it: a command that could not be run.
const NOT_RUN: u8 = 127;

pub(super) struct Child(process::Child);

impl Child {
    pub(super) fn start(command: &[OsString]) -> Result<Child, String> {
        // In another group than the terminal's it would be stopped when it reads there.
        let stdin = match io::stdin().is_terminal() {
            true => Stdio::null(),
            false => Stdio::inherit(),
        };
        let started = Command::new("/proc/self/exe")
            .arg0(CHILD)
            .arg(process::id().to_string())
            .args(command)
            .stdin(stdin)
            .process_group(0)
            .spawn();
        let failed = |error: io::Error| format!("the command cannot be started: {error}");
        started.map(Child).map_err(failed)
    }

    /// Its exit status once it has ended, as shells have it.
    pub(super) fn status(&mut self) -> Result<Option<u8>, String> {
        let ended = self.0.try_wait().map_err(|error| error.to_string())?;
        Ok(ended.map(|status| {
            let by_signal = status.signal().map(|signal| 128 + signal);
            let status = status.code().or(by_signal);
            status
                .and_then(|status| status.try_into().ok())
                .unwrap_or(u8::MAX)
        }))
    }

    pub(super) fn signal(&self, signal: Signal) {
        // One that has ended needs none.
        let _ = kill_process_group(Pid::from_child(&self.0), signal);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }
}

/// Becomes the command of the arguments behind the parent's process number.
pub fn become_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let parent = arguments.next();
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    let own_parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    // It may have died before that was said.
    let is_there = own_parent.as_deref().map(OsStr::new) == parent.as_deref();
    let Some(command) = arguments.next().filter(|_| bound.is_ok() && is_there) else {
        return ExitCode::from(NOT_RUN);
    };
    let error = Command::new(&command).args(arguments).exec();
    complain(&format!(
        "portreeve: {}: {error}",
        command.to_string_lossy()
    ));
    ExitCode::from(NOT_RUN)
}
