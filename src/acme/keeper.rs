//! Who sees to it that each name has a certificate that is good for a while: looks at what is there, orders what is due, and waits
//! after what went wrong.
//!
//! A certificate that still works is never given up for a failure.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::authority::Authority;
use super::order::{Way, Wish, obtain};
use super::renewal::{Suggestion, suggestion};
use super::session::Trouble;
use super::state::State;
use crate::lock::EvenIfPoisoned;
use crate::metrics::Awaited;
use crate::tls::store::Lock;
use crate::tls::{self, Issued, Pair};

/// Between two looks while a name has no certificate: another gate may be getting it...
const SOON: Duration = Duration::from_secs(1);
/// ...and while all is well.
const SELDOM: Duration = Duration::from_secs(15);
/// After the first failure where the authority was not there...
const AFTER_SILENCE: Duration = Duration::from_secs(2);
/// ...and where it said no: an authority counts failures, five in an hour.
const AFTER_A_NO: Duration = Duration::from_secs(60);
/// Until the authority is asked again when to renew, where it did not answer.
const AFTER_NO_ANSWER: Duration = Duration::from_secs(60 * 60);
/// At most, after many.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Plan {
    /// DNS names in lower case, a certificate for each, as they are at first.
    pub names: Vec<String>,
    /// Where everything is kept.
    pub state: PathBuf,
    /// The address of the authority's directory.
    pub authority: String,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// The kind of certificate.
    pub profile: Option<String>,
    /// How the authority may look at a name, the best way first.
    pub ways: Vec<Way>,
    /// What the authority's own certificate must chain to.
    pub roots: Vec<CertificateDer<'static>>,
}

/// The names that are wanted, which may change.
pub type Wanted = Arc<Mutex<Vec<String>>>;

/// The keeper.
pub struct Keeper {
    wanted: Wanted,
    plan: Plan,
    state: State,
    names: Vec<Kept>,
    has_told_terms: bool,
}

/// How it is with one name.
struct Kept {
    name: String,
    pair: Pair,
    /// Whether the pair was issued, and does not only stand in.
    is_issued: bool,
    failures: u32,
    /// Of the last attempt, and when the next may be.
    trouble: Option<String>,
    not_before: Option<SystemTime>,
    /// When the authority would have it renewed, and when it is asked that again.
    suggested: Option<SystemTime>,
    ask_at: Option<SystemTime>,
}

/// What is shown at each name while an authority looks at its challenge.
pub struct Answers {
    state: State,
    wanted: Wanted,
}

impl Answers {
    /// In the clear, for whoever names the token of an open challenge.
    pub fn authorization(&self, token: &str) -> Option<String> {
        self.state.authorization(token)
    }

    /// For a name of ours, while a challenge of it is open.
    pub fn answer(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let own = name.to_ascii_lowercase();
        let is_ours = self.wanted.lock().even_if_poisoned().contains(&own);
        is_ours
            .then(|| tls::challenge(&own, &self.state.published(&own)?).ok())
            .flatten()
    }
}

impl Keeper {
    /// Takes what is there. Nothing is ordered yet.
    ///
    /// # Errors
    /// What is wrong with the directory.
    pub fn open(plan: Plan) -> Result<Keeper, String> {
        let state = State::open(&plan.state)?;
        let names = plan.names.iter().map(|name| Kept::of(name, &state));
        Ok(Keeper {
            wanted: Arc::new(Mutex::new(plan.names.clone())),
            names: names.collect::<Result<_, String>>()?,
            plan,
            state,
            has_told_terms: false,
        })
    }

    /// What is to be shown, one for each name.
    pub fn shown(&self) -> Vec<Issued> {
        let shown = self.names.iter().map(|kept| Issued {
            pair: kept.pair.clone(),
            awaited: (!kept.is_issued || kept.trouble.is_some()).then(|| Awaited {
                trouble: kept.trouble.clone(),
                next_try: kept.not_before,
            }),
        });
        shown.collect()
    }

    /// What answers challenges, in any thread.
    pub fn answers(&self) -> Answers {
        Answers {
            state: self.state.clone(),
            wanted: self.wanted(),
        }
    }

    /// The names that are wanted, to be changed.
    pub fn wanted(&self) -> Wanted {
        Arc::clone(&self.wanted)
    }

    /// Looks which names are wanted now. Says whether they are others than before.
    fn follow(&mut self) -> bool {
        let wanted = self.wanted.lock().even_if_poisoned().clone();
        let before = self.names.len();
        self.names.retain(|kept| wanted.contains(&kept.name));
        let mut has_changed = self.names.len() != before;
        for name in &wanted {
            if self.names.iter().any(|kept| kept.name == *name) {
                continue;
            }
            match Kept::of(name, &self.state) {
                Ok(kept) => self.names.push(kept),
                Err(why) => {
                    log::error!("acme: {name}: {why}");
                    continue;
                }
            }
            has_changed = true;
        }
        has_changed
    }

    /// Looks once, and orders what is due, which blocks. `changed` is called with all that is to be shown after each change. Says how long
    /// nothing will be due.
    pub fn round(&mut self, changed: &dyn Fn(Vec<Issued>)) -> Duration {
        if self.follow() {
            changed(self.shown());
        }
        for place in 0..self.names.len() {
            if self.look(place, SystemTime::now()) {
                changed(self.shown());
            }
        }
        match self
            .names
            .iter()
            .all(|kept| kept.is_issued && kept.trouble.is_none())
        {
            true => SELDOM,
            false => SOON,
        }
    }

    /// Whether something is to be shown otherwise now.
    fn look(&mut self, place: usize, now: SystemTime) -> bool {
        let Some(kept) = self.names.get_mut(place) else {
            return false;
        };
        let found = self.state.pair(&kept.name);
        if let Some(found) = found
            && (!kept.is_issued || found.not_after() != kept.pair.not_after())
        {
            // Another gate has it.
            kept.take(found);
            return true;
        }
        kept.ask(&self.plan, now);
        if !kept.is_due(now) || kept.not_before.is_some_and(|then| now < then) {
            return false;
        }
        let lock = match self.state.try_lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => return false,
            Err(why) => {
                kept.failed(Trouble::new(why), now);
                return true;
            }
        };
        // Somebody may just have been quicker.
        if let Some(found) = self.state.pair(&kept.name)
            && found.not_after() != kept.pair.not_after()
        {
            kept.take(found);
            return true;
        }
        let ordered = order(
            &self.plan,
            &self.state,
            &lock,
            &kept.name,
            &mut self.has_told_terms,
        );
        match ordered {
            Ok(pair) => {
                let until = pair.not_after().map_or_else(String::new, tls::date);
                log::info!("acme: {} has a certificate until {until}", kept.name);
                kept.take(pair);
                true
            }
            Err(trouble) => {
                kept.failed(trouble, now);
                true
            }
        }
    }
}

impl Kept {
    fn of(name: &str, state: &State) -> Result<Kept, String> {
        let issued = state.pair(name);
        Ok(Kept {
            name: name.to_owned(),
            is_issued: issued.is_some(),
            pair: issued.map_or_else(|| tls::stand_in(name), Ok)?,
            failures: 0,
            trouble: None,
            not_before: None,
            suggested: None,
            ask_at: None,
        })
    }

    fn take(&mut self, pair: Pair) {
        self.pair = pair;
        self.is_issued = true;
        self.failures = 0;
        self.trouble = None;
        self.not_before = None;
        self.suggested = None;
        self.ask_at = None;
    }

    /// Asks the authority now and then when it would have the certificate renewed.
    fn ask(&mut self, plan: &Plan, now: SystemTime) {
        if !self.is_issued || self.ask_at.is_some_and(|then| now < then) {
            return;
        }
        let mut authority = Authority::new(&plan.roots);
        let found = suggestion(&mut authority, &plan.authority, &self.pair);
        // Without an answer the certificate's own life says when.
        let found = found.unwrap_or(Suggestion {
            window: None,
            ask_again: AFTER_NO_ANSWER,
        });
        self.suggested = found.window.map(|(start, end)| {
            let length = end.duration_since(start).unwrap_or_default();
            start + length / 256 * random()
        });
        self.ask_at = Some(now + found.ask_again);
    }

    /// The authority's time for it has come, or two thirds of its life are over, or there is none.
    fn is_due(&self, now: SystemTime) -> bool {
        let (Some(start), Some(end)) = (self.pair.not_before(), self.pair.not_after()) else {
            return true;
        };
        let life = end.duration_since(start).unwrap_or_default();
        let usual = start + life * 2 / 3;
        // Whatever is suggested, it does not end meanwhile.
        let due = self.suggested.unwrap_or(usual).min(start + life * 9 / 10);
        !self.is_issued || now >= due
    }

    fn failed(&mut self, trouble: Trouble, now: SystemTime) {
        let least = match trouble.was_heard {
            true => AFTER_A_NO,
            false => AFTER_SILENCE,
        };
        let pause = pause(least, self.failures, trouble.retry_after);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        let what = match self.is_issued {
            true => "its certificate stays until it ends",
            false => "clients are shown one that they do not believe",
        };
        log::warn!(
            "acme: no certificate for {}: {}; {what}, tried again in {} s",
            self.name,
            trouble.words,
            pause.as_secs()
        );
        self.trouble = Some(trouble.words);
    }
}

/// Until the next attempt: twice as long each time, up to a quarter more so that not all gates come at once, and never sooner than
/// the authority wants.
fn pause(least: Duration, failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = least
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_PAUSE);
    let jitter = doubled / 4 * random() / 256;
    (doubled + jitter).max(retry_after.unwrap_or_default())
}

/// From 0 to 255, so that not all gates do something at once.
fn random() -> u32 {
    let mut byte = [0];
    // Without random numbers it is the beginning.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0].into()
}

fn order(
    plan: &Plan,
    state: &State,
    lock: &Lock,
    name: &str,
    has_told_terms: &mut bool,
) -> Result<Pair, Trouble> {
    let key = state.account(lock).map_err(Trouble::new)?;
    let request = tls::request(name).map_err(Trouble::new)?;
    let mut terms = |address: &str| {
        if !std::mem::replace(has_told_terms, true) {
            log::info!("acme: the terms that you agree to are at {address}");
        }
    };
    let mut obtained = Err(Trouble::new("there is no way to be looked at"));
    for &way in &plan.ways {
        let wish = Wish {
            directory: &plan.authority,
            name,
            email: plan.email.as_deref(),
            way,
            profile: plan.profile.as_deref(),
            request: &request.request,
        };
        let mut shown = None;
        let result = obtain(
            &mut Authority::new(&plan.roots),
            &key,
            wish,
            &mut terms,
            &mut |challenge| {
                state.publish(lock, name, challenge)?;
                shown = Some(challenge.clone());
                Ok(())
            },
            &mut std::thread::sleep,
        );
        state.unpublish(name, shown.as_ref());
        obtained = match (obtained, result) {
            (_, Ok(chain)) => Ok(chain),
            // What was wrong with the best way says most, unless there is only this one.
            (Err(first), Err(_)) if way != plan.ways[0] => Err(first),
            (_, Err(trouble)) => Err(trouble),
        };
        // Where nothing was shown another way changes nothing.
        if obtained.is_ok() || shown.is_none() {
            break;
        }
    }
    let chain = obtained?;
    state
        .keep(lock, name, &chain, &request.key)
        .map_err(|why| Trouble::new(format!("what the authority gave cannot be used: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_no_shorter_than_asked_for() {
        for (least, failures, retry_after, seconds) in [
            (AFTER_SILENCE, 0, None, 2..=3),
            (AFTER_SILENCE, 3, None, 16..=20),
            (AFTER_A_NO, 0, None, 60..=75),
            (AFTER_A_NO, 5, None, 1920..=2400),
            (AFTER_A_NO, 99, None, 3600..=4500),
            (AFTER_A_NO, 0, Some(9_000), 9000..=9000),
        ] {
            let pause = pause(least, failures, retry_after.map(Duration::from_secs));
            assert!(
                seconds.contains(&pause.as_secs()),
                "{least:?} {failures} {pause:?}"
            );
        }
    }
}
