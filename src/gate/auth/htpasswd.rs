//! The check of credentials against a password file: remembered, throttled, done once, bounded, and then hashed.
//!
//! Owns the order of these steps and the file that is valid now. Must not know how the file got here or what follows
//! from a verdict. User and password are hostile.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::credentials::Credentials;
use super::guessing::{Guesses, HeldBack, Source, Throttle};
use super::passwords::Users;
use super::remembered::{Aging, Digest, Seal};
use super::waiting::SingleFlight;
use super::waiting::{HashAdmission, HashApplicant, HashLimiter, HashLimits, Permit, Priority};
use super::waiting::{WaitLimiter, WaitPermit};
use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Login};
use crate::net::Network;

/// A right password is believed for this long after it was hashed.
const RIGHT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Pairs of user and network, some 200 bytes each.
const RIGHT_CAPACITY: usize = 65_536;
/// A client that replays a stale password does so for a while.
const WRONG_LIFETIME: Duration = Duration::from_secs(60);
const WRONG_CAPACITY: usize = 10_000;
/// How long somebody waits for a check: clients give up after half a minute, and have more to do in it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Checks that wait for their turn, in all...
const MOST_QUEUED: usize = 1_024;
/// ...and from one network: a site behind one address that comes back after a restart.
const QUEUED_OF_A_NETWORK: usize = 64;
/// Requests that wait for a check that another does for them: a fleet with one user's password that comes back after a restart.
/// They cost no hash and hold no thread.
const MOST_JOINED: usize = 8_192;
/// Of these, those of one network that sent no wrong password a moment ago...
const JOINED_OF_A_CLEAN_NETWORK: usize = 2_048;
/// ...and of one that has, or that asks for a user whom somebody guesses.
const JOINED_OF_ANOTHER: usize = 16;

/// Somebody who is known to be who they say.
#[derive(Clone, Debug)]
pub struct Principal {
    user: Arc<[u8]>,
}

impl Principal {
    /// Only the gate can say so.
    pub(in crate::gate) fn new(user: Arc<[u8]>) -> Principal {
        Principal { user }
    }

    /// The name, shared.
    pub(in crate::gate) fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.user)
    }

    /// The name as it stands in the file: any bytes but control characters and the colon.
    pub fn user(&self) -> &[u8] {
        &self.user
    }
}

/// What became of a check.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// The password is right.
    Known(Principal),
    /// No such user, or not the password: which of them is not told.
    Wrong,
    /// Not checked, because too many wait already, in all or from the same network: 503 with `Retry-After: 1`.
    Busy,
    /// Not checked, because too many wrong ones came from the same network: 429.
    Throttled {
        /// Seconds until it is listened to again; at least 1.
        retry_after: u32,
    },
}

/// How far something is that takes its time.
pub enum Step<T, W> {
    /// It is done.
    Done(T),
    /// It goes on when its waker was called, or at its deadline.
    Waits(W),
    /// It goes on at once, on a thread that may block.
    Blocks(W),
}

/// A check of credentials that is under way. Dropped, its place is given to the next.
pub struct Check {
    stage: Stage,
    deadline: Instant,
}

enum Stage {
    Begun,
    /// It waits for its turn to hash.
    Queued(Leader, Arc<Snapshot>, HashAdmission),
    /// It has its turn.
    Granted(Leader, Arc<Snapshot>, Permit),
    /// Another one checks the same; with the user's name, if there is such a user.
    Joined(
        Arc<SingleFlight<FlightOutcome>>,
        Option<Arc<[u8]>>,
        WaitPermit,
    ),
}

impl Check {
    /// When it is to be gone on with although nothing has happened.
    pub fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Joined(..) => self.deadline + LONGEST_WAIT,
            _ => self.deadline,
        }
    }
}

/// How many hashes run at once in this process.
#[derive(Clone)]
pub struct Hashes(HashLimiter);

impl Default for Hashes {
    fn default() -> Hashes {
        // Fewer at once than this machine, or what is granted of it, has cores, so that hashing never takes it away from those
        // who are in already.
        let cores = crate::processors::count();
        Hashes(hashes(cores.saturating_sub(1), MOST_QUEUED))
    }
}

/// The users of a password file, and what is known of those who ask.
pub struct Htpasswd {
    snapshot: RwLock<Arc<Snapshot>>,
    seal: Seal,
    guesses: Guesses,
    memory: Mutex<Memory>,
    checks: HashLimiter,
    joined: WaitLimiter,
}

/// The users as they are since the last change of the file.
struct Snapshot {
    users: Users,
    generation: u64,
}

struct Memory {
    /// Apart from the wrong ones, so that guesses never push out a login.
    right: Aging<(Arc<[u8]>, Network), Digest>,
    /// With the generation of the file that they were wrong in, so that a new user gets in at once.
    wrong: Aging<Digest, u64>,
    throttle: Throttle,
    flights: HashMap<Digest, Arc<SingleFlight<FlightOutcome>>>,
}

/// How the flight of a check came down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlightOutcome {
    Right,
    Wrong,
    /// There was no room for the check.
    Busy,
    /// The leader is gone and left no verdict.
    Lost,
}

/// What the memory says to somebody who comes.
enum Lookup {
    Right(Principal),
    Wrong,
    /// Nobody is listened to from there for this long.
    Throttled(Duration),
    /// Somebody checks the same already, for whom so many of this network may wait.
    Join(Arc<SingleFlight<FlightOutcome>>, usize),
    Lead(Leader, HashAdmission),
}

/// Whoever does a check for all who ask the same. Dropped without having landed it, it releases the waiters.
struct Leader {
    htpasswd: Arc<Htpasswd>,
    flight: Arc<SingleFlight<FlightOutcome>>,
    digest: Digest,
}

/// Who shows what, from where.
struct Claim<'a> {
    credentials: &'a Credentials,
    source: Source,
    /// Stands for user and password, and for the hash that they are compared with.
    digest: Digest,
}

impl Htpasswd {
    /// Its hashes are bounded by `hashes`, together with those of others that have a clone of it.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn new(users: Users, guesses: Guesses, Hashes(checks): Hashes) -> Arc<Htpasswd> {
        Arc::new(Htpasswd {
            snapshot: RwLock::new(Arc::new(Snapshot {
                users,
                generation: 0,
            })),
            seal: Seal::new(),
            memory: Mutex::new(Memory {
                right: Aging::new(RIGHT_CAPACITY, RIGHT_LIFETIME),
                wrong: Aging::new(WRONG_CAPACITY, WRONG_LIFETIME),
                throttle: Throttle::new(&guesses),
                flights: HashMap::new(),
            }),
            guesses,
            checks,
            joined: WaitLimiter::new(MOST_JOINED),
        })
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.snapshot().users.len()
    }

    /// Whether the file has a line for somebody, who may be locked.
    pub fn knows(&self, user: &[u8]) -> bool {
        self.snapshot().users.has(user)
    }

    /// What tells the line of a user from another that may take its place.
    pub fn fingerprint(&self, user: &[u8]) -> Option<[u8; 32]> {
        self.snapshot().users.fingerprint(user)
    }

    /// The user, if the line is still the one with this fingerprint.
    pub fn principal(&self, user: &[u8], fingerprint: &[u8; 32]) -> Option<Principal> {
        let snapshot = self.snapshot();
        let (name, _) = snapshot.users.find(user)?;
        let is_same = snapshot.users.fingerprint(user)? == *fingerprint;
        is_same.then(|| Principal::new(Arc::clone(name)))
    }

    /// Takes a new file. Checks that are on the way end with the old one.
    pub fn replace(&self, users: Users) {
        let mut snapshot = self.snapshot.write().even_if_poisoned();
        let generation = snapshot.generation + 1;
        *snapshot = Arc::new(Snapshot { users, generation });
        drop(snapshot);
        // They would not be believed any more: this only gives the memory back.
        self.memory().wrong.clear();
    }

    /// The networks that are held back now, for guessing.
    pub fn held_back(&self) -> Vec<HeldBack> {
        self.memory().throttle.held_back(Instant::now())
    }

    /// Whether the credentials are right, if that can be said at once.
    pub fn recall(&self, credentials: &Credentials, client: IpAddr) -> Option<Verdict> {
        let source = self.guesses.source(client);
        let snapshot = self.snapshot();
        let (known, digest) = self.recognise(&snapshot, credentials);
        let claim = Claim {
            credentials,
            source,
            digest,
        };
        let remembered = self.remembered(&mut self.memory(), known, &claim, snapshot.generation);
        drop(snapshot);
        Some(match remembered? {
            Lookup::Right(principal) => Verdict::Known(principal),
            Lookup::Throttled(left) => throttled(left),
            _ => self.wrong(&claim),
        })
    }

    /// Begins to find out whether credentials are right.
    pub fn inquire(&self) -> Check {
        Check {
            stage: Stage::Begun,
            deadline: Instant::now() + LONGEST_WAIT,
        }
    }

    /// Goes on with a check as far as that needs no waiting, or, where this thread `may_block`, to its end once it has its turn.
    pub fn go_on(
        self: &Arc<Self>,
        check: Check,
        credentials: &Credentials,
        client: IpAddr,
        waker: &Waker,
        may_block: bool,
    ) -> Step<Verdict, Check> {
        let source = self.guesses.source(client);
        let Check {
            mut stage,
            deadline,
        } = check;
        loop {
            stage = match stage {
                Stage::Begun => match self.begin(credentials, source) {
                    Ok(stage) => stage,
                    Err(verdict) => return Step::Done(verdict),
                },
                Stage::Queued(leader, snapshot, mut admission) => match admission.poll(waker) {
                    Poll::Ready(Some(permit)) => Stage::Granted(leader, snapshot, permit),
                    Poll::Ready(None) => return Step::Done(leader.give_up()),
                    Poll::Pending if Instant::now() >= deadline => {
                        return Step::Done(leader.give_up());
                    }
                    Poll::Pending => {
                        let stage = Stage::Queued(leader, snapshot, admission);
                        return Step::Waits(Check { stage, deadline });
                    }
                },
                Stage::Granted(leader, snapshot, permit) if may_block => {
                    let (_, digest) = self.recognise(&snapshot, credentials);
                    let claim = Claim {
                        credentials,
                        source,
                        digest,
                    };
                    return Step::Done(leader.check(&snapshot, &claim, permit));
                }
                stage @ Stage::Granted(..) => return Step::Blocks(Check { stage, deadline }),
                Stage::Joined(flight, known, place) => match flight.poll(waker) {
                    Poll::Ready(outcome) => {
                        match self.landed(&flight, outcome, known, credentials, source) {
                            Some(verdict) => return Step::Done(verdict),
                            None => Stage::Begun,
                        }
                    }
                    // Whoever leads came first and so ends first, unless the hash itself takes long.
                    Poll::Pending if Instant::now() >= deadline + LONGEST_WAIT => {
                        return Step::Done(Verdict::Busy);
                    }
                    Poll::Pending => {
                        let stage = Stage::Joined(flight, known, place);
                        return Step::Waits(Check { stage, deadline });
                    }
                },
            }
        }
    }

    /// What becomes of somebody who has just come.
    fn begin(
        self: &Arc<Self>,
        credentials: &Credentials,
        source: Source,
    ) -> Result<Stage, Verdict> {
        let snapshot = Arc::clone(&self.snapshot());
        let (known, digest) = self.recognise(&snapshot, credentials);
        let claim = Claim {
            credentials,
            source,
            digest,
        };
        match self.receive(known, &claim, snapshot.generation) {
            Lookup::Right(principal) => Err(Verdict::Known(principal)),
            Lookup::Wrong => Err(self.wrong(&claim)),
            Lookup::Throttled(left) => Err(throttled(left)),
            Lookup::Lead(leader, admission) => Ok(Stage::Queued(leader, snapshot, admission)),
            Lookup::Join(flight, share) => {
                let place = self.joined.place(source.network, share);
                let place = place.ok_or(Verdict::Busy)?;
                Ok(Stage::Joined(flight, known.cloned(), place))
            }
        }
    }

    /// What another's check says of the same credentials; `None` where it says nothing, and this one begins anew.
    fn landed(
        &self,
        flight: &SingleFlight<FlightOutcome>,
        outcome: FlightOutcome,
        known: Option<Arc<[u8]>>,
        credentials: &Credentials,
        source: Source,
    ) -> Option<Verdict> {
        let (_, digest) = self.recognise(&self.snapshot(), credentials);
        let claim = Claim {
            credentials,
            source,
            digest,
        };
        match (outcome, known) {
            (FlightOutcome::Right, Some(user)) => {
                if flight.network != source.network {
                    let name = self.name(&claim);
                    self.memory().let_in(&user, &claim, &name);
                }
                metrics::login(Login::Ok);
                Some(Verdict::Known(Principal::new(user)))
            }
            (FlightOutcome::Right, None) | (FlightOutcome::Wrong, _) => Some(self.wrong(&claim)),
            (FlightOutcome::Busy, _) if flight.network == source.network => Some(Verdict::Busy),
            // There was no room for others, which is no reason to turn this one away; or nobody flies any more.
            (FlightOutcome::Busy | FlightOutcome::Lost, _) => None,
        }
    }

    /// The same on one thread, which waits.
    #[cfg(test)]
    fn verify(self: &Arc<Self>, credentials: &Credentials, client: IpAddr) -> Verdict {
        if let Some(verdict) = self.recall(credentials, client) {
            return verdict;
        }
        let mut check = Some(self.inquire());
        let far = Instant::now() + 100 * LONGEST_WAIT;
        let verdict = super::waiting::wait_for(far, |waker| match check.take() {
            None => Poll::Pending,
            Some(begun) => match self.go_on(begun, credentials, client, waker, true) {
                Step::Done(verdict) => Poll::Ready(verdict),
                Step::Waits(waits) | Step::Blocks(waits) => {
                    check = Some(waits);
                    Poll::Pending
                }
            },
        });
        verdict.unwrap_or(Verdict::Busy)
    }

    /// Counts a wrong one.
    fn wrong(&self, claim: &Claim<'_>) -> Verdict {
        let (now, network) = (Instant::now(), claim.source.network);
        let name = self.name(claim);
        let mut memory = self.memory();
        let throttle = &mut memory.throttle;
        let counted = throttle.count(claim.source, &name, &claim.digest, now);
        if counted.is_new {
            self.checks
                .hold_to(network, throttle.left(claim.source, now));
        }
        drop(memory);
        if let Some(penalty) = counted.closes {
            ::log::warn!(
                "{network}: too many wrong passwords; for {} s none from there is looked at, and who is logged in stays so",
                penalty.as_secs()
            );
        }
        if let Some(penalty) = counted.closes_in_part {
            ::log::warn!(
                "{network}: too many wrong passwords for a name, or for names that are strange there; for {} s they are held back, \
                 and others from there are not",
                penalty.as_secs()
            );
        }
        counted.later.map_or(Verdict::Wrong, throttled)
    }

    /// What stands for a user's name, which may be long and is hostile.
    fn name(&self, claim: &Claim<'_>) -> Digest {
        self.seal.digest([claim.credentials.user()])
    }

    /// The user's name in the file, if there is such a user, and what stands for these credentials.
    fn recognise<'r>(
        &self,
        snapshot: &'r Snapshot,
        credentials: &Credentials,
    ) -> (Option<&'r Arc<[u8]>>, Digest) {
        let (user, password) = (credentials.user(), credentials.password());
        let found = snapshot.users.find(user);
        // With the hash that it is compared with, so that a changed line forgets by itself.
        let hash = found.map(|(_, hash)| hash.text().as_bytes());
        let digest = self.seal.digest([user, password].into_iter().chain(hash));
        (found.map(|(name, _)| name), digest)
    }

    /// What needs no check.
    fn remembered(
        &self,
        memory: &mut Memory,
        known: Option<&Arc<[u8]>>,
        claim: &Claim<'_>,
        generation: u64,
    ) -> Option<Lookup> {
        let now = Instant::now();
        let (source, digest) = (claim.source, claim.digest);
        if let Some(user) = known {
            let key = (Arc::clone(user), source.network);
            if memory
                .right
                .recall(&key, now)
                .is_some_and(|right| right.is_same(&digest))
            {
                metrics::CACHE_HITS.one();
                metrics::login(Login::Remembered);
                return Some(Lookup::Right(Principal::new(key.0)));
            }
        }
        let name = self.name(claim);
        if let Some(left) = memory.throttle.closed(source, &name, now) {
            return Some(Lookup::Throttled(left));
        }
        if memory.wrong.recall(&digest, now) == Some(&generation) {
            metrics::CACHE_HITS.one();
            return Some(Lookup::Wrong);
        }
        None
    }

    fn receive(
        self: &Arc<Self>,
        known: Option<&Arc<[u8]>>,
        claim: &Claim<'_>,
        generation: u64,
    ) -> Lookup {
        let now = Instant::now();
        let (source, digest) = (claim.source, claim.digest);
        let mut memory = self.memory();
        if let Some(remembered) = self.remembered(&mut memory, known, claim, generation) {
            return remembered;
        }
        let name = self.name(claim);
        metrics::CACHE_MISSES.one();
        let priority = memory.throttle.priority(source.network, &name, now);
        if let Some(flight) = memory.flights.get(&digest) {
            let share = match priority {
                Priority::Clean => JOINED_OF_A_CLEAN_NETWORK,
                Priority::Wanted | Priority::Erred => JOINED_OF_ANOTHER,
            };
            return Lookup::Join(Arc::clone(flight), share);
        }
        let flight = Arc::new(SingleFlight::new(source.network));
        memory.flights.insert(digest, Arc::clone(&flight));
        // Before the memory is left: what is counted meanwhile bounds this one too.
        let admission = self.checks.apply(HashApplicant {
            network: source.network,
            priority,
            most: memory.throttle.left(source, now),
        });
        let leader = Leader {
            htpasswd: Arc::clone(self),
            flight,
            digest,
        };
        Lookup::Lead(leader, admission)
    }

    fn snapshot(&self) -> RwLockReadGuard<'_, Arc<Snapshot>> {
        self.snapshot.read().even_if_poisoned()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().even_if_poisoned()
    }
}

impl Memory {
    /// Keeps in mind that a password was right.
    fn let_in(&mut self, user: &Arc<[u8]>, claim: &Claim<'_>, name: &Digest) {
        let (now, network) = (Instant::now(), claim.source.network);
        let key = (Arc::clone(user), network);
        self.right.remember(key, claim.digest, now);
        self.throttle.logged_in(network, name, now);
    }
}

impl Leader {
    fn check(self, snapshot: &Snapshot, claim: &Claim<'_>, permit: Permit) -> Verdict {
        let htpasswd = Arc::clone(&self.htpasswd);
        let name = htpasswd.name(claim);
        // Those before it may have been one too many.
        let closed = htpasswd
            .memory()
            .throttle
            .closed(claim.source, &name, Instant::now());
        if let Some(left) = closed {
            return throttled(left);
        }
        metrics::HASHES.one();
        let (user, password) = (claim.credentials.user(), claim.credentials.password());
        let is_right = snapshot.users.check(user, password);
        let known = snapshot.users.find(user).map(|(known, _)| known);
        // Remembered before the flight leaves the memory: whoever comes finds the one or the other.
        let mut memory = htpasswd.memory();
        let verdict = match (is_right, known) {
            (true, Some(known)) => {
                memory.let_in(known, claim, &name);
                drop(memory);
                self.flight.finish(FlightOutcome::Right);
                metrics::login(Login::Ok);
                Verdict::Known(Principal::new(Arc::clone(known)))
            }
            _ => {
                memory
                    .wrong
                    .remember(self.digest, snapshot.generation, Instant::now());
                drop(memory);
                self.flight.finish(FlightOutcome::Wrong);
                htpasswd.wrong(claim)
            }
        };
        // Not before it was counted: the next one of this network may be one too many.
        drop(permit);
        verdict
    }

    /// There was no room for it, or no turn in time.
    fn give_up(self) -> Verdict {
        metrics::HASHES_REFUSED.one();
        self.flight.finish(FlightOutcome::Busy);
        Verdict::Busy
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut memory = self.htpasswd.memory();
        memory.flights.remove(&self.digest);
        drop(memory);
        self.flight.finish(FlightOutcome::Lost);
    }
}

/// A limiter for hashes: as many of one network run as there are, and wait as one site may need.
fn hashes(at_once: usize, waiting: usize) -> HashLimiter {
    HashLimiter::new(HashLimits {
        at_once,
        of_network: usize::MAX,
        of_neighbourhood: usize::MAX,
        reserved: 0,
        waiting,
        waiting_of_network: QUEUED_OF_A_NETWORK,
        waiting_of_neighbourhood: waiting.div_ceil(4),
    })
}

fn throttled(left: Duration) -> Verdict {
    // Whoever comes back in the same second is too early.
    let seconds = left.as_secs().saturating_add(1);
    Verdict::Throttled {
        retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests;
