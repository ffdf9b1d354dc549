//! The end of a gate: what is told to whom in which order.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::notify;
use super::reload::Asked;
use super::start::Running;
use crate::exit;
use crate::log;
use crate::reactor::Notice;

/// How long new clients may come after the signal to end, and how long those that are idle have to come with another
/// request: as long as whoever spreads clients over several gates may need to see that this one ends.
const LAG: Duration = Duration::from_secs(5);

impl Running {
    /// Waits for the signal to end, and ends in good order.
    pub(super) fn until_stopped(mut self) -> io::Result<()> {
        let signal = await_end(&mut self.signals, &self.reload);
        notify::stopping();
        let begun = Instant::now();
        let until = begun + self.drain;
        // Whoever watches this gate needs a while to see that it ends and sends clients there until then. At a terminal nobody
        // does, and where systemd holds the sockets clients wait in them for the next gate.
        let grace = LAG.min(self.drain / 2);
        let lag = match signal {
            SIGINT => Duration::ZERO,
            _ if self.are_handed_over => Duration::ZERO,
            _ => grace,
        };
        ::log::info!(
            "stopping: no new connections{}, requests in flight get {} s",
            match lag.is_zero() {
                true => String::new(),
                false => format!(" after {} s", lag.as_secs_f32()),
            },
            self.drain.as_secs()
        );
        let signals = self.signals;
        thread::Builder::new()
            .name("end-at-once".into())
            .spawn(move || end_at_once(signals))?;
        self.service.draining.store(true, Ordering::Release);
        thread::sleep(lag);
        // Before that another client may come, and the paths of Unix sockets are still there.
        self.reactor.close();
        self.reactor.tell_all(Notice::Hurry);
        // A client that does not know yet gets one more answer, which tells it.
        self.limiter.wait_until_empty(begun + grace);
        self.reactor.tell_all(Notice::Drain);
        if !self.limiter.wait_until_empty(until) {
            ::log::warn!(
                "{} connections were cut at the end of the drain time",
                self.limiter.taken()
            );
        }
        Ok(())
    }
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
    std::process::exit(exit::FAILED.into());
}
