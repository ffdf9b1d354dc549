//! Whether the API lets anybody in.
//!
//! Owns the question about a user who cannot exist. A default virtual host, a health page, a typing error in the path:
//! whatever answers 200 to everything is an open door, and looks as if all were well.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::breaker::Contact;
use super::call::{Caller, Failure};
use super::question::Question;
use crate::gate::auth::basic_of;
use crate::gate::visit::{Proof, Visit};
use crate::lock::EvenIfPoisoned;
use crate::text::hex;

/// Of an API that lets a made-up user in, in letters that nobody passes over.
pub const OPEN: &str =
    "THIS API LETS ANYBODY IN: IT SAID YES TO A MADE-UP USER WITH A MADE-UP PASSWORD";
/// Of an API that could not say.
pub const LATER: &str =
    "too busy to be asked about a made-up user; it is asked again when it lets somebody in";

/// An API with too much to do is left alone for this long.
const PAUSE: Duration = Duration::from_secs(60);

/// What an API says to a made-up credential.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// No, as it should be.
    Closed,
    /// Yes.
    Open,
    /// It has too much to do to say; it is asked again.
    Later,
    /// It answered neither yes nor no: how.
    Odd(String),
    /// It did not answer: why. It is asked again.
    Silent(String),
}

/// Asks about somebody who cannot exist.
pub(super) struct Prober {
    caller: Caller,
    timeout: Duration,
    /// From when on it may be asked again, if it is to be.
    due: Mutex<Option<Instant>>,
}

impl Prober {
    pub(super) fn new(caller: Caller, timeout: Duration) -> Prober {
        Prober {
            caller,
            timeout,
            due: Mutex::new(None),
        }
    }

    /// Asks what could not be asked at the start, on a thread of its own: the client who made the first contact does not
    /// wait for it.
    pub(super) fn catch_up(prober: &Arc<Prober>, shown: &str) {
        // Whoever asks takes it, so that one asks at a time.
        if prober.due().take_if(|due| *due <= Instant::now()).is_none() {
            return;
        }
        let (own, shown) = (Arc::clone(prober), shown.to_owned());
        let probe = move || match own.probe() {
            Probed::Open => ::log::error!("auth-backend {shown}: {OPEN}"),
            Probed::Odd(why) => ::log::warn!("auth-backend {shown}: {}", odd(&why)),
            Probed::Later => *own.due() = Some(Instant::now() + PAUSE),
            Probed::Closed | Probed::Silent(_) => {}
        };
        if thread::Builder::new().spawn(probe).is_err() {
            *prober.due() = Some(Instant::now() + PAUSE);
        }
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().even_if_poisoned()
    }

    pub(super) fn probe(&self) -> Probed {
        let visit = Visit {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            forwarded_for: "127.0.0.1",
            proto: "https",
            host: "localhost",
            request_id: "probe",
            proof: &Proof::None,
        };
        let Some(authorization) = made_up() else {
            return Probed::Odd("there are no random numbers for it".to_owned());
        };
        let question = Question::of("GET", b"/v2/", &visit, Some(&authorization));
        let called = self.caller.ask(&question, Instant::now() + self.timeout);
        let probed = match called.outcome {
            Ok((Answer::Allowed(_), _)) => Probed::Open,
            Ok((Answer::Unauthorized(_) | Answer::Denied, _)) => Probed::Closed,
            Ok((Answer::Throttled(_) | Answer::Unavailable(_), _)) => Probed::Later,
            Err(Failure { why, .. }) if called.contact == Contact::Answered => Probed::Odd(why),
            Err(Failure { why, .. }) => Probed::Silent(why),
        };
        *self.due() = match probed {
            Probed::Silent(_) | Probed::Later => Some(Instant::now()),
            Probed::Closed | Probed::Open | Probed::Odd(_) => None,
        };
        probed
    }
}

/// Of an API that said neither yes nor no.
pub fn odd(why: &str) -> String {
    format!("asked about a made-up user, {why}; 401 would be the answer to expect")
}

/// Of an API that cannot be found out about, and why.
pub fn could_not_ask(why: &str) -> String {
    format!(
        "could not be asked about a made-up user: {why}; it is asked again when it lets somebody in"
    )
}

/// `None` if there are no random numbers.
fn made_up() -> Option<Vec<u8>> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let text = hex(&bytes);
    let (user, password) = text.split_at_checked(8)?;
    let user = format!("portreeve-probe-{user}");
    Some(basic_of(user.as_bytes(), password.as_bytes()))
}
