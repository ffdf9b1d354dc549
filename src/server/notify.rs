//! What systemd is told: that the gate serves, that it reads its files again, that it stops, and that it still turns.
//!
//! Without systemd (no `NOTIFY_SOCKET`) nothing is said. The only room that names `sd_notify`.

use std::io;
use std::sync::Arc;
use std::thread;

use sd_notify::NotifyState;

use crate::reactor::{Reactor, Task};

/// Signs of life in the time after which systemd takes the gate for dead.
const SIGNS: u32 = 4;

/// Every listener accepts from now on.
pub fn ready() {
    say(NotifyState::Ready);
}

/// The files are being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say_all(&[NotifyState::Reloading, now]),
        Err(_) => say(NotifyState::Reloading),
    }
}

/// Nothing new is accepted, and what is under way comes to its end.
pub fn stopping() {
    say(NotifyState::Stopping);
}

/// Gives signs of life if systemd waits for them (`WatchdogSec=`), for as long as every loop goes round. A thread that waits for a
/// hash or an API is no sign of death, and where a loop stands still its clients do.
pub fn give_signs_of_life<T: Task>(reactor: Arc<Reactor<T>>) -> io::Result<()> {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return Ok(());
    };
    let signs = move || {
        loop {
            if reactor.is_alive(period / SIGNS) {
                say(NotifyState::Watchdog);
            }
        }
    };
    thread::Builder::new()
        .name("watchdog".into())
        .spawn(signs)
        .map(drop)
}

fn say(state: NotifyState<'_>) {
    say_all(&[state]);
}

fn say_all(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        ::log::warn!("systemd cannot be told: {error}");
    }
}
