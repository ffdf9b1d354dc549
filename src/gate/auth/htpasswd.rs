//! The check of credentials against a password file: remembered, throttled, done once, bounded, and then hashed.
//!
//! Owns the order of these steps and the file that is valid now. Must not know how the file got here or what follows
//! from a verdict. User and password are hostile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::checks::{Checks, Lane};
use super::credentials::Credentials;
use super::flight::Flight;
use super::memory::{Aging, Digest, Seal};
use super::network::Network;
use super::throttle::Throttle;
use super::users::Users;
use super::waiting::Waiting;
use crate::leader::step_down;
use crate::metrics::{self, Login};

/// A right password is believed for this long after it was hashed.
const RIGHT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Pairs of user and network, some 200 bytes each.
const RIGHT_CAPACITY: usize = 65_536;
/// A client that replays a stale password does so for a while.
const WRONG_LIFETIME: Duration = Duration::from_secs(60);
const WRONG_CAPACITY: usize = 10_000;
/// Checks that wait for their turn. Each holds a thread, and none of those that requests in flight have.
const MOST_QUEUED: usize = 256;
/// Requests that wait for a check that another does for them, such as the ten connections of one push. They hold threads too.
const MOST_JOINED: usize = 256;
/// Of these, those of one network: a site behind one address that comes back after a restart...
const JOINED_OF_A_CLEAN_NETWORK: usize = 64;
/// ...and one that has just sent a wrong password, or asks for a user whom somebody guesses.
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

/// The users of a password file, and what is known of those who ask.
pub struct Htpasswd {
    roll: RwLock<Arc<Roll>>,
    seal: Seal,
    desk: Mutex<Desk>,
    checks: Checks,
    joined: Waiting,
}

/// The users as they are since the last change of the file.
struct Roll {
    users: Users,
    generation: u64,
}

struct Desk {
    /// Apart from the wrong ones, so that guesses never push out a login.
    right: Aging<(Arc<[u8]>, Network), Digest>,
    /// With the generation of the file that they were wrong in, so that a new user gets in at once.
    wrong: Aging<Digest, u64>,
    throttle: Throttle,
    flights: HashMap<Digest, Arc<Flight<Landing>>>,
    /// Checks under way, by the network of who leads them: each may be one more wrong one.
    leading: HashMap<Network, usize>,
}

/// How the flight of a check came down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    Right,
    Wrong,
    /// There was no room for the check.
    Busy,
    /// The leader is gone and left no verdict.
    Lost,
}

/// What the desk says to somebody who comes.
enum Reception<'a> {
    Right(Principal),
    Wrong,
    /// Nobody is listened to from there for this long.
    Throttled(Duration),
    /// As many are being checked for this network as may be wrong.
    Busy,
    /// Somebody checks the same already, for whom so many of this network may wait.
    Join(Arc<Flight<Landing>>, usize),
    Lead(Leader<'a>),
}

/// Whoever does a check for all who ask the same. Dropped without having landed it, it releases the waiters.
struct Leader<'a> {
    htpasswd: &'a Htpasswd,
    flight: Arc<Flight<Landing>>,
    digest: Digest,
    lane: Lane,
}

impl Htpasswd {
    /// # Panics
    /// If the system has no random numbers.
    pub fn new(users: Users) -> Htpasswd {
        Htpasswd::with_checks(users, Checks::for_this_machine(MOST_QUEUED))
    }

    fn with_checks(users: Users, checks: Checks) -> Htpasswd {
        Htpasswd {
            roll: RwLock::new(Arc::new(Roll {
                users,
                generation: 0,
            })),
            seal: Seal::new(),
            desk: Mutex::new(Desk {
                right: Aging::new(RIGHT_CAPACITY, RIGHT_LIFETIME),
                wrong: Aging::new(WRONG_CAPACITY, WRONG_LIFETIME),
                throttle: Throttle::new(),
                flights: HashMap::new(),
                leading: HashMap::new(),
            }),
            checks,
            joined: Waiting::new(MOST_JOINED),
        }
    }

    /// How many callers of [`verify`](Self::verify) can be waiting at once.
    pub fn most_waiting(&self) -> usize {
        self.checks.most() + MOST_JOINED
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.roll().users.len()
    }

    /// Takes a new file. Checks that are on the way end with the old one.
    pub fn replace(&self, users: Users) {
        let mut roll = self.roll.write().unwrap_or_else(PoisonError::into_inner);
        let generation = roll.generation + 1;
        *roll = Arc::new(Roll { users, generation });
        drop(roll);
        // They would not be believed any more: this only gives the memory back.
        self.desk().wrong.clear();
    }

    /// Whether the credentials are right. Returns at once if that is remembered, and otherwise after a hash, for which
    /// it may have to wait.
    pub fn verify(&self, credentials: &Credentials, network: Network) -> Verdict {
        loop {
            let roll = self.roll();
            let (known, digest) = self.recognise(&roll, credentials);
            let (flight, share) =
                match self.receive(known, digest, credentials, network, roll.generation) {
                    Reception::Right(principal) => return Verdict::Known(principal),
                    Reception::Wrong => return self.wrong(credentials, digest, network),
                    Reception::Throttled(left) => return throttled(left),
                    Reception::Lead(leader) => {
                        step_down();
                        let snapshot = Arc::clone(&roll);
                        drop(roll);
                        return leader.check(&snapshot, credentials, network);
                    }
                    Reception::Busy => return Verdict::Busy,
                    Reception::Join(flight, share) => (flight, share),
                };
            let known = known.cloned();
            drop(roll);
            step_down();
            let Some(_place) = self.joined.place(network, share) else {
                return Verdict::Busy;
            };
            match (flight.wait(), known) {
                (Landing::Right, Some(user)) => {
                    if flight.network != network {
                        self.desk().right.remember(
                            (Arc::clone(&user), network),
                            digest,
                            Instant::now(),
                        );
                    }
                    metrics::login(Login::Ok);
                    return Verdict::Known(Principal::new(user));
                }
                (Landing::Right, None) | (Landing::Wrong, _) => {
                    return self.wrong(credentials, digest, network);
                }
                (Landing::Busy, _) if flight.network == network => return Verdict::Busy,
                // There was no room for others, which is no reason to turn this one away; or nobody flies any more.
                (Landing::Busy | Landing::Lost, _) => {}
            }
        }
    }

    /// Counts a wrong one.
    fn wrong(&self, credentials: &Credentials, digest: Digest, network: Network) -> Verdict {
        let user = self.user_digest(credentials);
        let counted = self
            .desk()
            .throttle
            .count(network, user, digest, Instant::now());
        if let Some(penalty) = counted {
            ::log::warn!(
                "{network}: too many wrong passwords; for {} s none from there is looked at, and who is logged in stays so",
                penalty.as_secs()
            );
        }
        Verdict::Wrong
    }

    /// What stands for a user's name, which may be long and is hostile.
    fn user_digest(&self, credentials: &Credentials) -> Digest {
        self.seal.digest([credentials.user()])
    }

    /// The user's name in the file, if there is such a user, and what stands for these credentials.
    fn recognise<'r>(
        &self,
        roll: &'r Roll,
        credentials: &Credentials,
    ) -> (Option<&'r Arc<[u8]>>, Digest) {
        let (user, password) = (credentials.user(), credentials.password());
        let found = roll.users.find(user);
        // With the hash that it is compared with, so that a changed line forgets by itself.
        let hash = found.map(|(_, hash)| hash.text().as_bytes());
        let digest = self.seal.digest([user, password].into_iter().chain(hash));
        (found.map(|(name, _)| name), digest)
    }

    fn receive(
        &self,
        known: Option<&Arc<[u8]>>,
        digest: Digest,
        credentials: &Credentials,
        network: Network,
        generation: u64,
    ) -> Reception<'_> {
        let now = Instant::now();
        let mut desk = self.desk();
        if let Some(user) = known {
            let key = (Arc::clone(user), network);
            if desk
                .right
                .recall(&key, now)
                .is_some_and(|right| right.is_same(&digest))
            {
                metrics::CACHE_HITS.one();
                metrics::login(Login::Remembered);
                return Reception::Right(Principal::new(key.0));
            }
        }
        if let Some(left) = desk.throttle.closed(network, now) {
            return Reception::Throttled(left);
        }
        if desk.wrong.recall(&digest, now) == Some(&generation) {
            metrics::CACHE_HITS.one();
            return Reception::Wrong;
        }
        metrics::CACHE_MISSES.one();
        let user = self.user_digest(credentials);
        let lane = desk.throttle.lane(network, &user, now);
        if let Some(flight) = desk.flights.get(&digest) {
            let share = match lane {
                Lane::Clean => JOINED_OF_A_CLEAN_NETWORK,
                Lane::Wanted | Lane::Erred => JOINED_OF_ANOTHER,
            };
            return Reception::Join(Arc::clone(flight), share);
        }
        let leading = desk.leading.get(&network).copied().unwrap_or_default();
        if leading >= desk.throttle.left(network, now) {
            metrics::HASHES_REFUSED.one();
            return Reception::Busy;
        }
        desk.leading.insert(network, leading + 1);
        let flight = Arc::new(Flight::new(network));
        desk.flights.insert(digest, Arc::clone(&flight));
        Reception::Lead(Leader {
            htpasswd: self,
            flight,
            digest,
            lane,
        })
    }

    fn roll(&self) -> RwLockReadGuard<'_, Arc<Roll>> {
        self.roll.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leader<'_> {
    fn check(self, roll: &Roll, credentials: &Credentials, network: Network) -> Verdict {
        let Some(slot) = self.htpasswd.checks.begin(network, self.lane, None) else {
            metrics::HASHES_REFUSED.one();
            self.flight.land(Landing::Busy);
            return Verdict::Busy;
        };
        // Those before it may have been one too many.
        let closed = self
            .htpasswd
            .desk()
            .throttle
            .closed(network, Instant::now());
        if let Some(left) = closed {
            return throttled(left);
        }
        metrics::HASHES.one();
        let is_right = roll.users.check(credentials.user(), credentials.password());
        drop(slot);
        let name = roll.users.find(credentials.user()).map(|(name, _)| name);
        // Remembered before the flight leaves the desk: whoever comes finds the one or the other.
        let mut desk = self.htpasswd.desk();
        match (is_right, name) {
            (true, Some(name)) => {
                desk.right
                    .remember((Arc::clone(name), network), self.digest, Instant::now());
                drop(desk);
                self.flight.land(Landing::Right);
                metrics::login(Login::Ok);
                Verdict::Known(Principal::new(Arc::clone(name)))
            }
            _ => {
                desk.wrong
                    .remember(self.digest, roll.generation, Instant::now());
                drop(desk);
                self.flight.land(Landing::Wrong);
                self.htpasswd.wrong(credentials, self.digest, network)
            }
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut desk = self.htpasswd.desk();
        desk.flights.remove(&self.digest);
        let network = self.flight.network;
        if let Some(leading) = desk.leading.get_mut(&network) {
            *leading = leading.saturating_sub(1);
            if *leading == 0 {
                desk.leading.remove(&network);
            }
        }
        drop(desk);
        self.flight.land(Landing::Lost);
    }
}

fn throttled(left: Duration) -> Verdict {
    // Whoever comes back in the same second is too early.
    let seconds = left.as_secs().saturating_add(1);
    Verdict::Throttled {
        retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
#[path = "htpasswd_tests.rs"]
mod tests;
