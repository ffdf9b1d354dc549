//! Bytes that are kept whole in memory: a manifest that is compared before it is relayed, a page of a catalogue.
//!
//! Owns how much of that there may be, of one user and in all: what has come is counted, not what was announced.

use std::mem;
use std::sync::Arc;

use super::transfer::{Budget, Share};
use crate::counted::{Counted, CountedBy};
use crate::http::Refusal;

/// Of one user: twice what the largest manifest takes.
const MOST_OF_A_USER: usize = 8 * 1024 * 1024;
/// Of all.
const MOST: usize = 32 * 1024 * 1024;
/// What the first byte takes; it doubles from then on.
const LEAST: usize = 16 * 1024;
/// Until another attempt has a chance, in seconds.
const RETRY_AFTER: u32 = 1;

/// Who keeps how much.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    budget: Budget,
    by_user: Arc<CountedBy<Arc<[u8]>>>,
}

/// Some room.
#[derive(Debug)]
pub struct Room {
    _share: Share,
    _counted: Counted<Arc<[u8]>>,
}

/// Bytes of one user.
#[derive(Debug)]
pub(super) struct Content {
    user: Arc<[u8]>,
    bytes: Vec<u8>,
    rooms: Vec<Room>,
    claimed: usize,
    most: usize,
}

/// Why more cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// It would be longer than it may be.
    TooLong,
    /// There is no room just now.
    NoRoom,
}

impl Overflow {
    /// What the client of a manifest is told.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Overflow::TooLong => Refusal::ManifestTooLong,
            Overflow::NoRoom => Refusal::Overloaded {
                retry_after: RETRY_AFTER,
            },
        }
    }
}

impl Contents {
    /// Within the budget of all transfers.
    pub(super) fn new(budget: Budget) -> Contents {
        let by_user = Arc::new(CountedBy::new(MOST_OF_A_USER, MOST));
        Contents { budget, by_user }
    }

    /// Room for so many bytes of a user, if there is some.
    pub(super) fn room(&self, user: &Arc<[u8]>, size: usize) -> Option<Room> {
        let counted = self.by_user.take(user, size)?;
        let share = self.budget.share_of_half(size)?;
        Some(Room {
            _share: share,
            _counted: counted,
        })
    }
}

impl Content {
    /// Nothing yet, and `most` bytes at the end.
    pub(super) fn new(user: Arc<[u8]>, most: usize) -> Content {
        Content {
            user,
            bytes: Vec::new(),
            rooms: Vec::new(),
            claimed: 0,
            most,
        }
    }

    /// Keeps some more.
    pub(super) fn add(&mut self, piece: &[u8], contents: &Contents) -> Result<(), Overflow> {
        let length = self.bytes.len() + piece.len();
        if length > self.most {
            return Err(Overflow::TooLong);
        }
        while self.claimed < length {
            let more = self.claimed.max(LEAST);
            let room = contents.room(&self.user, more).ok_or(Overflow::NoRoom)?;
            self.rooms.push(room);
            self.claimed += more;
            self.bytes.reserve_exact(self.claimed - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// What has come.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose they are.
    pub(super) fn user(&self) -> Arc<[u8]> {
        Arc::clone(&self.user)
    }

    /// The bytes, and the room that they take. Nothing is left.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<Room>) {
        self.claimed = 0;
        (mem::take(&mut self.bytes), mem::take(&mut self.rooms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_counted_and_given_back() {
        let budget = Budget::default();
        let contents = Contents::new(budget.clone());
        let user: Arc<[u8]> = Arc::from(&b"alice"[..]);
        let mut all = Vec::new();
        // Many that say little take little each.
        for _ in 0..512 {
            let mut content = Content::new(Arc::clone(&user), 4 << 20);
            assert_eq!(content.add(b"{", &contents), Ok(()));
            all.push(content);
        }
        assert_eq!(budget.used(), MOST_OF_A_USER);
        let mut more = Content::new(Arc::clone(&user), 4 << 20);
        assert_eq!(more.add(b"{", &contents), Err(Overflow::NoRoom));
        let mut of_another = Content::new(Arc::from(&b"bob"[..]), 4 << 20);
        let piece = vec![0; 1 << 20];
        for _ in 0..4 {
            assert_eq!(of_another.add(&piece, &contents), Ok(()));
        }
        assert_eq!(of_another.add(b"}", &contents), Err(Overflow::TooLong));
        assert_eq!(budget.used(), MOST_OF_A_USER + (4 << 20));
        drop((all, of_another, more));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn all_together_leave_half_to_the_others() {
        let budget = Budget::default();
        let contents = Contents::new(budget.clone());
        let users = (0..64_u8).map(|user| Arc::from([user]));
        let rooms: Vec<_> = users
            .filter_map(|user| contents.room(&user, 1 << 20))
            .collect();
        assert_eq!((rooms.len(), budget.used()), (32, MOST));
    }
}
