//! Asking an external API who may pass (nginx `auth_request`, made stricter).
//!
//! Owns the order of one question's steps: remembered, asked by somebody else already, its turn, asked. Must not know what
//! follows from a ruling. What clients send is hostile; the API is believed when it says who may pass, and for the rest
//! held to be slow, confused or gone. Whatever is not a clear yes lets nobody in.

mod answer;
mod breaker;
mod cache;
mod call;
pub(crate) mod connect;
mod probe;
mod question;
mod reuse;
mod sharing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::htpasswd::{Principal, Step};
use super::remembered::Digest;
use super::waiting::SingleFlight;
use super::waiting::{HashAdmission, HashApplicant, HashLimiter, HashLimits, Permit, Priority};
use super::waiting::{WaitLimiter, WaitPermit};
pub use answer::Groups;
use answer::{Answer, Names, RETRY_AFTER};
use breaker::{Breaker, Change};
use cache::Cache;
use call::MOST_CALLS;
use call::{Caller, Failure};
use probe::Prober;
pub use probe::{LATER, OPEN, Probed, could_not_ask, odd};
pub use question::Question;
use question::Scope;
pub use reuse::Basis;
use reuse::Reuse;
use sharing::{SharedWith, Sharing};

use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Login};
use crate::net::Network;

/// Of these one network has one in so many...
const NETWORK: usize = 2;
/// ...one neighbourhood all but one in so many...
const NEIGHBOURHOOD: usize = 4;
/// ...and one in so many is for networks that have none.
const RESERVE: usize = 8;
/// Questions that wait for their turn.
const MOST_WAITING: usize = 1_024;
/// Of these, those of one network: as many as it has connections, unless they are set otherwise.
const WAITING_OF_A_NETWORK: usize = 512;
/// Requests that wait for the answer to another's question, apart from those who ask.
const MOST_JOINED: usize = 8_192;
/// Of these, those of one network.
const JOINED_OF_A_NETWORK: usize = 2_048;

/// An external API, and what is known from it.
pub struct Api {
    caller: Caller,
    /// As it may be shown.
    shown: String,
    timeout: Duration,
    cache: Cache,
    breaker: Breaker,
    calls: HashLimiter,
    joined: WaitLimiter,
    flights: Mutex<HashMap<Digest, Arc<SingleFlight<FlightOutcome>>>>,
    sharing: Sharing,
    prober: Arc<Prober>,
}

/// How an API is asked.
pub struct ApiSettings<'a> {
    /// Whole, `http://` or `https://`.
    pub url: &'a str,
    /// The same, as it may be shown.
    pub shown: String,
    /// What an `https://` API must chain to.
    pub roots: &'a [CertificateDer<'static>],
    /// For a whole call, and for whoever waits for one to begin.
    pub timeout: Duration,
    /// How long an answer holds that says nothing of it.
    pub cache: Option<Duration>,
    /// How many calls are made at once, with others that have a clone of it.
    pub calls: Calls,
}

/// How many calls of APIs are made at once in this process.
#[derive(Clone)]
pub struct Calls(HashLimiter);

impl Calls {
    /// Of a pool of so many threads that may wait.
    pub fn of_pool(workers: usize) -> Calls {
        Calls(calls((workers / 2).clamp(1, MOST_CALLS)))
    }
}

/// What the API says of a request.
#[must_use]
#[derive(Debug)]
pub enum Ruling {
    /// It may pass, in the name of this user if there is one, who is in these groups, and because of this.
    Allowed(Option<Principal>, Groups, Basis),
    /// It needs credentials, or others; the challenges of the API.
    Unauthorized(Vec<String>),
    /// It may not pass.
    Denied,
    /// The API has been asked too much; seconds until another attempt has a chance.
    TooManyRequests(u32),
    /// Nobody knows.
    Unsure {
        /// Seconds until another attempt has a chance.
        retry_after: u32,
        /// For the log.
        why: String,
    },
}

/// How a call came down, for those who waited for it.
#[derive(Clone)]
enum FlightOutcome {
    Done {
        identity: Digest,
        outcome: Result<Answer, Arc<str>>,
        /// Whether questions that are the same may have it too.
        for_twins: bool,
    },
    /// There was no room for the call.
    Busy,
    /// The leader is gone and left nothing.
    Lost,
}

impl Api {
    /// Asks about a made-up credential; if the API cannot say now, again when it first lets somebody in.
    pub fn probe(&self) -> Probed {
        self.prober.probe()
    }

    /// The error says what is wrong with the URL.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn new(settings: ApiSettings<'_>) -> Result<Api, String> {
        let ApiSettings { timeout, cache, .. } = settings;
        let caller = Caller::new(settings.url, settings.roots, timeout, cache)?;
        Ok(Api {
            prober: Arc::new(Prober::new(caller.clone(), timeout)),
            caller,
            shown: settings.shown,
            timeout,
            cache: Cache::new(),
            breaker: Breaker::new(),
            calls: settings.calls.0,
            joined: WaitLimiter::new(MOST_JOINED),
            flights: Mutex::default(),
            sharing: Sharing::default(),
        })
    }

    /// As it may be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it can be asked; the error says why not. It is not asked: it may count questions, and somebody wants to know
    /// this every few seconds.
    pub fn ready(&self) -> Result<(), String> {
        let why = match self.breaker.refuses(Instant::now()) {
            true => "down".to_owned(),
            false => match self.caller.connect() {
                Ok(()) => return Ok(()),
                Err(error) => crate::log::reason(&error),
            },
        };
        Err(format!("auth-backend {}: {why}", self.shown))
    }

    /// Rules on one request, if an answer is remembered.
    pub fn recall(&self, question: &Question<'_>) -> Option<Ruling> {
        let (answer, basis) = self.cache.recall(question, Instant::now())?;
        Some(remembered(answer, basis))
    }

    /// Begins to find out about one request.
    pub fn inquire(&self, question: &Question<'_>) -> Call {
        metrics::CACHE_MISSES.one();
        Call {
            stage: Stage::Begun,
            shared_with: self.sharing.shared_with(question),
            begin_by: Instant::now() + self.timeout,
            timeout: self.timeout,
        }
    }

    /// Goes on with a question that came from `network`, as far as that needs no waiting, or, where this thread `may_block`, to
    /// its end once it has its turn. It waits for its turn no longer than the time that a call has.
    pub fn go_on(
        self: &Arc<Self>,
        mut call: Call,
        question: &Question<'_>,
        network: Network,
        waker: &Waker,
        may_block: bool,
    ) -> Step<Ruling, Call> {
        loop {
            let is_late = Instant::now() >= call.deadline();
            call.stage = match std::mem::replace(&mut call.stage, Stage::Begun) {
                Stage::Begun => match self.begin(call.shared_with, question, network) {
                    Ok(stage) => stage,
                    Err(ruling) => return Step::Done(ruling),
                },
                Stage::Queued(leader, mut admission) => match admission.poll(waker) {
                    Poll::Ready(Some(permit)) => Stage::Granted(leader, permit),
                    Poll::Ready(None) => return Step::Done(leader.give_up()),
                    Poll::Pending if is_late => return Step::Done(leader.give_up()),
                    Poll::Pending => {
                        call.stage = Stage::Queued(leader, admission);
                        return Step::Waits(call);
                    }
                },
                Stage::Granted(leader, permit) if may_block => {
                    let deadline = call.begin_by + call.timeout;
                    return Step::Done(leader.ask(question, deadline, permit));
                }
                stage @ Stage::Granted(..) => {
                    call.stage = stage;
                    return Step::Blocks(call);
                }
                Stage::Joined(flight, place) => match flight.poll(waker) {
                    Poll::Ready(outcome) => {
                        match self.landed(
                            &flight,
                            outcome,
                            &mut call.shared_with,
                            question,
                            network,
                        ) {
                            Some(ruling) => return Step::Done(ruling),
                            None => Stage::Begun,
                        }
                    }
                    Poll::Pending if is_late => return Step::Done(unsure("no answer in time")),
                    Poll::Pending => {
                        call.stage = Stage::Joined(flight, place);
                        return Step::Waits(call);
                    }
                },
            }
        }
    }

    /// What becomes of a question that has just come.
    fn begin(
        self: &Arc<Self>,
        shared_with: SharedWith,
        question: &Question<'_>,
        network: Network,
    ) -> Result<Stage, Ruling> {
        if self.breaker.refuses(Instant::now()) {
            return Err(down());
        }
        match self.receive(question, shared_with, network) {
            Lookup::Known(answer, basis) => Err(remembered(answer, basis)),
            Lookup::Lead(leader) => {
                let applicant = HashApplicant {
                    network,
                    priority: Priority::Clean,
                    most: usize::MAX,
                };
                Ok(Stage::Queued(leader, self.calls.apply(applicant)))
            }
            Lookup::Join(flight) => {
                let place = self.joined.place(network, JOINED_OF_A_NETWORK);
                Ok(Stage::Joined(flight, place.ok_or_else(busy)?))
            }
        }
    }

    /// What the answer to another's question says of this one; `None` where it says nothing, and this one begins anew.
    fn landed(
        &self,
        flight: &SingleFlight<FlightOutcome>,
        outcome: FlightOutcome,
        shared_with: &mut SharedWith,
        question: &Question<'_>,
        network: Network,
    ) -> Option<Ruling> {
        match outcome {
            FlightOutcome::Done {
                identity,
                outcome,
                for_twins,
            } => {
                if let Some((answer, basis)) = self.cache.recall(question, Instant::now()) {
                    return Some(remembered(answer, basis));
                }
                if for_twins && identity.is_same(&question.identity(self.cache.seal())) {
                    return Some(ruling(outcome, Basis::Path));
                }
                // It was not for this one, who next waits for twins at most, and then for nobody.
                *shared_with = shared_with
                    .narrower()
                    .min(self.sharing.shared_with(question));
                None
            }
            FlightOutcome::Busy if flight.network == network => Some(busy()),
            // There was no room for others, which is no reason to turn this one away; or nobody flies any more.
            FlightOutcome::Busy | FlightOutcome::Lost => None,
        }
    }

    fn receive(
        self: &Arc<Self>,
        question: &Question<'_>,
        shared_with: SharedWith,
        network: Network,
    ) -> Lookup {
        let seal = self.cache.seal();
        let mut keys = Vec::with_capacity(2);
        if shared_with >= SharedWith::Twins {
            keys.push(question.identity(seal));
        }
        if shared_with >= SharedWith::Credentials {
            keys.push(question.key(seal, Scope::Credentials, &[]));
        }
        if keys.is_empty() {
            return Lookup::Lead(Leader {
                api: Arc::clone(self),
                flight: None,
            });
        }
        let mut flights = self.flights();
        if let Some(flight) = keys.iter().find_map(|key| flights.get(key)) {
            return Lookup::Join(Arc::clone(flight));
        }
        // An answer is remembered before its flight is over: whoever comes finds the one or the other.
        if let Some((answer, basis)) = self.cache.recall(question, Instant::now()) {
            return Lookup::Known(answer, basis);
        }
        let flight = Arc::new(SingleFlight::new(network));
        flights.extend(keys.iter().map(|key| (*key, Arc::clone(&flight))));
        Lookup::Lead(Leader {
            api: Arc::clone(self),
            flight: Some((keys, flight)),
        })
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Digest, Arc<SingleFlight<FlightOutcome>>>> {
        self.flights.lock().even_if_poisoned()
    }

    fn say(&self, change: Option<Change>) {
        let shown = &self.shown;
        match change {
            Some(Change::WentDown) => ::log::error!(
                "auth-backend {shown}: down; until it answers, only those who are remembered get in"
            ),
            Some(Change::CameBack) => ::log::info!("auth-backend {shown}: answers again"),
            None => {}
        }
    }
}

/// A question that is under way. Dropped, its place is given to the next.
pub struct Call {
    stage: Stage,
    shared_with: SharedWith,
    /// Its turn has to come until then.
    begin_by: Instant,
    timeout: Duration,
}

enum Stage {
    Begun,
    /// It waits for its turn.
    Queued(Leader, HashAdmission),
    /// It has its turn.
    Granted(Leader, Permit),
    /// Another one asks what may be the same.
    Joined(Arc<SingleFlight<FlightOutcome>>, WaitPermit),
}

impl Call {
    /// When it is to be gone on with although nothing has happened.
    pub fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Joined(..) => self.begin_by + self.timeout,
            _ => self.begin_by,
        }
    }
}

/// What becomes of a question.
enum Lookup {
    Known(Answer, Basis),
    /// Somebody asks already what may be the same.
    Join(Arc<SingleFlight<FlightOutcome>>),
    Lead(Leader),
}

/// Whoever asks for all who wait. Dropped without having landed, it releases them.
struct Leader {
    api: Arc<Api>,
    /// With all that it is listed under.
    flight: Option<(Vec<Digest>, Arc<SingleFlight<FlightOutcome>>)>,
}

impl Leader {
    fn ask(mut self, question: &Question<'_>, deadline: Instant, permit: Permit) -> Ruling {
        let api = Arc::clone(&self.api);
        let asked = Instant::now();
        let Some(pass) = api.breaker.enter(asked) else {
            return down();
        };
        let called = api.caller.ask(question, deadline.min(asked + api.timeout));
        let change = pass.report(called.contact, Instant::now());
        drop(permit);
        metrics::api_call(asked.elapsed());
        let (outcome, reuse) = match called.outcome {
            Ok((answer, reuse)) => {
                api.cache.remember(question, &answer, &reuse, asked);
                api.sharing.learn(question, &answer, &reuse);
                (Ok(answer), reuse)
            }
            Err(Failure { why, reuse }) => {
                metrics::API_FAILURES.one();
                ::log::warn!("auth-backend {}: {why}", api.shown);
                (Err(Arc::from(why)), reuse)
            }
        };
        api.say(change);
        if matches!(outcome, Ok(Answer::Allowed(_))) {
            Prober::catch_up(&api.prober, &api.shown);
        }
        self.finish(FlightOutcome::Done {
            identity: question.identity(api.cache.seal()),
            outcome: outcome.clone(),
            for_twins: reuse != Reuse::Never,
        });
        ruling(outcome, Basis::of(question, &reuse))
    }

    /// There was no room for it, or no turn in time.
    fn give_up(mut self) -> Ruling {
        self.finish(FlightOutcome::Busy);
        busy()
    }

    /// Off the list first: who comes now has come too late for an answer that is not remembered.
    fn finish(&mut self, outcome: FlightOutcome) {
        if let Some((keys, flight)) = self.flight.take() {
            let mut flights = self.api.flights();
            for key in &keys {
                flights.remove(key);
            }
            drop(flights);
            flight.finish(outcome);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.finish(FlightOutcome::Lost);
    }
}

/// A limiter for so many calls at once.
fn calls(at_once: usize) -> HashLimiter {
    HashLimiter::new(HashLimits {
        at_once,
        of_network: at_once.div_ceil(NETWORK),
        of_neighbourhood: at_once - at_once / NEIGHBOURHOOD,
        reserved: at_once / RESERVE,
        waiting: MOST_WAITING,
        waiting_of_network: WAITING_OF_A_NETWORK,
        waiting_of_neighbourhood: WAITING_OF_A_NETWORK,
    })
}

fn remembered(answer: Answer, basis: Basis) -> Ruling {
    metrics::CACHE_HITS.one();
    match answer {
        Answer::Allowed(names) => {
            metrics::login(Login::Remembered);
            allowed(names, basis)
        }
        other => ruling(Ok(other), basis),
    }
}

fn ruling(outcome: Result<Answer, Arc<str>>, basis: Basis) -> Ruling {
    match outcome {
        Ok(Answer::Allowed(names)) => {
            metrics::login(Login::Ok);
            allowed(names, basis)
        }
        Ok(Answer::Unauthorized(challenges)) => Ruling::Unauthorized(challenges.to_vec()),
        Ok(Answer::Denied) => Ruling::Denied,
        Ok(Answer::Throttled(retry_after)) => Ruling::TooManyRequests(retry_after),
        Ok(Answer::Unavailable(retry_after)) => Ruling::Unsure {
            retry_after,
            why: "auth-backend: it answered 503".to_owned(),
        },
        Err(why) => unsure(&why),
    }
}

fn allowed(names: Names, basis: Basis) -> Ruling {
    Ruling::Allowed(names.user.map(Principal::new), names.groups, basis)
}

fn unsure(why: &str) -> Ruling {
    Ruling::Unsure {
        retry_after: RETRY_AFTER,
        why: format!("auth-backend: {why}"),
    }
}

fn down() -> Ruling {
    unsure("it is down")
}

fn busy() -> Ruling {
    unsure("too many wait for it")
}
