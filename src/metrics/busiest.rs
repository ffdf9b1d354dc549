//! Who uses the gate most.
//!
//! Owns a short list that stays short however many users there are: whoever is new takes the place of the least busy and
//! inherits the count, of which no more is shown than is sure (Metwally and others, "space saving"). Two lists of an hour
//! each, so that who has left disappears. Names come from a password file or an API, and may be any bytes.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use crate::lock::EvenIfPoisoned;

/// Users told apart within one hour.
const PLACES: usize = 64;
/// What of a name is kept, in bytes. Longer ones that begin alike count as one.
const LONGEST_NAME: usize = 64;
/// How long one list is kept before it becomes the previous one.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A user and how busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The name, or its beginning.
    pub name: Vec<u8>,
    /// Requests, at least.
    pub requests: u64,
    /// Bytes of bodies, both ways, at least.
    pub bytes: u64,
}

/// The list of one process.
pub(super) struct Busiest(Mutex<Option<Hours>>);

struct Hours {
    since: Instant,
    now: Hour,
    before: Hour,
}

#[derive(Clone)]
struct Hour {
    places: [Place; PLACES],
    used: usize,
}

#[derive(Clone, Copy)]
struct Place {
    name: [u8; LONGEST_NAME],
    length: usize,
    count: u64,
    /// What of the count is another's.
    inherited: u64,
    bytes: u64,
}

impl Busiest {
    pub(super) const fn new() -> Busiest {
        Busiest(Mutex::new(None))
    }

    /// Notes a request. Where somebody else is just doing so it is passed over: nobody waits for a list of this kind.
    pub(super) fn note(&self, user: &[u8], bytes: u64, now: Instant) {
        let mut hours = match self.0.try_lock() {
            Ok(hours) => hours,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let hours = hours.get_or_insert_with(|| Hours::beginning(now));
        hours.turn(now);
        hours.now.note(user, bytes);
    }

    /// The busiest, at most `most` of them, and since when.
    pub(super) fn list(&self, most: usize, now: Instant) -> (Vec<Busy>, SystemTime) {
        let mut hours = self.0.lock().even_if_poisoned();
        let Some(hours) = hours.as_mut() else {
            return (Vec::new(), SystemTime::now());
        };
        hours.turn(now);
        let mut all: Vec<Busy> = Vec::new();
        for place in hours.now.used().iter().chain(hours.before.used()) {
            let (requests, bytes) = (place.count - place.inherited, place.bytes);
            match all.iter_mut().find(|one| one.name == place.name()) {
                Some(same) => {
                    same.requests += requests;
                    same.bytes += bytes;
                }
                None => all.push(Busy {
                    name: place.name().to_vec(),
                    requests,
                    bytes,
                }),
            }
        }
        all.sort_by(|one, other| {
            (other.requests, other.bytes, &one.name).cmp(&(one.requests, one.bytes, &other.name))
        });
        all.truncate(most);
        let since = match hours.before.used {
            0 => hours.since,
            _ => hours.since.checked_sub(HOUR).unwrap_or(hours.since),
        };
        let age = now.saturating_duration_since(since);
        (all, SystemTime::now() - age)
    }
}

impl Hours {
    fn beginning(now: Instant) -> Hours {
        Hours {
            since: now,
            now: Hour::empty(),
            before: Hour::empty(),
        }
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < HOUR {
            return;
        }
        let finished = std::mem::replace(&mut self.now, Hour::empty());
        if age < HOUR * 2 {
            self.before = finished;
            self.since += HOUR;
        } else {
            // Nobody was here for an hour or more.
            self.before = Hour::empty();
            self.since = now;
        }
    }
}

impl Hour {
    fn empty() -> Hour {
        let nobody = Place {
            name: [0; LONGEST_NAME],
            length: 0,
            count: 0,
            inherited: 0,
            bytes: 0,
        };
        Hour {
            places: [nobody; PLACES],
            used: 0,
        }
    }

    fn used(&self) -> &[Place] {
        self.places.get(..self.used).unwrap_or_default()
    }

    fn note(&mut self, user: &[u8], bytes: u64) {
        let user = user.get(..LONGEST_NAME).unwrap_or(user);
        let used = self.places.get_mut(..self.used).unwrap_or_default();
        if let Some(at) = used.iter().position(|place| place.name() == user) {
            if let Some(place) = used.get_mut(at) {
                place.count += 1;
                place.bytes = place.bytes.saturating_add(bytes);
            }
            // The busy ones come to the front, where they are found at once.
            used.swap(at, at / 2);
            return;
        }
        let place = if self.used < PLACES {
            self.used += 1;
            self.places.get_mut(self.used - 1)
        } else {
            self.places.iter_mut().min_by_key(|place| place.count)
        };
        if let Some(place) = place {
            place.inherited = place.count;
            place.count += 1;
            place.bytes = bytes;
            place.length = user.len();
            if let Some(room) = place.name.get_mut(..user.len()) {
                room.copy_from_slice(user);
            }
        }
    }
}

impl Place {
    fn name(&self) -> &[u8] {
        self.name.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[Busy]) -> Vec<(&[u8], u64)> {
        list.iter()
            .map(|one| (one.name.as_slice(), one.requests))
            .collect()
    }

    #[test]
    fn the_busiest_come_first_and_only_so_many() {
        let (busiest, now) = (Busiest::new(), Instant::now());
        for (user, requests) in [("alice", 3), ("bob", 7), ("carol", 5)] {
            for _ in 0..requests {
                busiest.note(user.as_bytes(), 10, now);
            }
        }
        let (list, _) = busiest.list(2, now);
        assert_eq!(names(&list), [(b"bob".as_slice(), 7), (b"carol", 5)]);
        assert_eq!(list[0].bytes, 70);
    }

    #[test]
    fn a_crowd_takes_no_more_room_and_hides_nobody_who_is_busy() {
        let (busiest, now) = (Busiest::new(), Instant::now());
        for stranger in 0..10_000 {
            busiest.note(format!("stranger {stranger}").as_bytes(), 0, now);
            busiest.note(b"alice", 1, now);
        }
        let (list, _) = busiest.list(usize::MAX, now);
        assert_eq!(list.len(), PLACES);
        assert_eq!(names(&list)[0], (b"alice".as_slice(), 10_000));
        assert!(list[1].requests <= 1, "{:?}", list[1]);
    }

    #[test]
    fn who_has_left_disappears_after_two_hours() {
        let (busiest, start) = (Busiest::new(), Instant::now());
        busiest.note(b"alice", 0, start);
        busiest.note(b"bob", 0, start + HOUR);
        assert_eq!(busiest.list(9, start + HOUR).0.len(), 2);
        assert_eq!(
            names(&busiest.list(9, start + HOUR * 2).0),
            [(b"bob".as_slice(), 1)]
        );
        assert!(busiest.list(9, start + HOUR * 9).0.is_empty());
    }

    #[test]
    fn long_names_are_cut() {
        let (busiest, now) = (Busiest::new(), Instant::now());
        busiest.note(&[b'x'; 1000], 0, now);
        assert_eq!(busiest.list(1, now).0[0].name.len(), LONGEST_NAME);
    }
}
