//! What is known of a backend's health, and how it is found out where no request does.
//!
//! Owns the state that is shown of a backend, and when it is due to be asked without a request: a standby that no request
//! reaches may have been dead for weeks when it is needed. A probe connects, with TLS to the end of the handshake, says
//! goodbye, and sends no request. Each backend has a thread of its own, so that one that lets all time out delays no other.
//! What a backend sends during a probe is thrown away.

use std::io;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::context::Relay;
use crate::stream::{Interest, Stream};

/// A backend has so long to close after the goodbye. What it still sends (session tickets, its own close-notify) is read
/// meanwhile: to close over it would be a reset, which servers log.
const GOODBYE: Duration = Duration::from_secs(2);

impl Relay {
    /// Probes the backend at this place if it has not been asked for a while. Says when to look again. `None` if there is no such
    /// backend.
    pub fn watch(&self, place: usize) -> Option<Duration> {
        let backend = self.backends.get(place)?;
        if backend.health().due_in(Instant::now()).is_zero() {
            self.probe(place, backend);
        }
        Some(backend.health().due_in(Instant::now()))
    }

    fn probe(&self, place: usize, backend: &Backend) {
        // Requests need not find out the same meanwhile, and wait for it.
        let is_trial = self.choice.take_trial(place, Instant::now());
        match backend.probe() {
            Ok(stream) => {
                if is_trial {
                    self.choice.end_trial(place, Instant::now());
                }
                say_goodbye(stream);
            }
            Err(_) => drop(self.choice.failed(place, Instant::now())),
        }
    }
}

fn say_goodbye(mut stream: Stream) {
    let until = Instant::now() + GOODBYE;
    stream.finish();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !matches!(stream.socket().wait(Interest::Read, left), Ok(true)) {
            return;
        }
        match stream.socket().discard() {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
