//! What the kernel has told of one socket, and whom to tell.
//!
//! Owns a bit for each thing that can be told. A bit is set when the kernel reports it and cleared only by a call that found
//! nothing (`EAGAIN`) or less than it asked for; so a report is never lost, whoever works on the socket at that time.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes, an end or an error may be there to be read.
pub(super) const READ: u8 = 1;
/// There may be room to write.
pub(super) const WRITE: u8 = 2;
/// Nothing comes behind what is there: the peer has closed its direction.
pub(super) const ENDED: u8 = 4;
/// Both directions are over, or the connection was reset.
pub(super) const TORN: u8 = 8;
/// An urgent byte (MSG_OOB) has come, at which a read stops although more is there.
pub(super) const URGENT: u8 = 16;

/// Whoever is told of nobody's socket.
pub const NOBODY: u64 = u64::MAX;

/// The bits of one socket, and the key of its owner.
#[derive(Debug)]
pub(super) struct Readiness {
    bits: AtomicU8,
    owner: AtomicU64,
}

impl Readiness {
    /// A new socket: whatever it can do is tried once before anything is waited for.
    pub(super) fn new() -> Readiness {
        Readiness {
            bits: AtomicU8::new(READ | WRITE),
            owner: AtomicU64::new(NOBODY),
        }
    }

    pub(super) fn has(&self, bits: u8) -> bool {
        self.bits.load(Ordering::Acquire) & bits != 0
    }

    pub(super) fn set(&self, bits: u8) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
    }

    /// Clears a bit before what it promises is tried, so that a report that comes meanwhile sets it again. Whether it was set.
    pub(super) fn take(&self, bit: u8) -> bool {
        self.bits.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    pub(super) fn owner(&self) -> u64 {
        self.owner.load(Ordering::Acquire)
    }

    pub(super) fn belongs_to(&self, owner: u64) {
        self.owner.store(owner, Ordering::Release);
    }
}
