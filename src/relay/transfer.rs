//! Bytes from one side to the other, as far as they go now.
//!
//! Owns the size of buffers and the budget that all of them share. It knows nothing of what the bytes are: framing is the
//! reader's and the writer's work. Bytes move by plain `std::io::copy` from a `BufReader`, whose source ends the copy when it has
//! nothing, when the sink still holds something, or when others are to have their turn; so a copy ends without losing a byte,
//! and goes on later. A buffer lives for one step: a transfer that waits keeps no more than what its sink could not take.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::stream::early;

/// What is read at once by a transfer whose sink is slow, or that has just begun, in bytes.
const SMALL: usize = 32 * 1024;
/// The least that `io::copy` takes a `BufReader`'s own buffer for.
const SMALLEST: usize = 8 * 1024;
/// The most that is read at once. Measured: reads of 8 KiB relay 0.75 GB/s in the clear, 256 KiB 1.7, 1 MiB 2.1; through TLS
/// reads of 1 MiB cost a tenth less CPU than those of 256 KiB, if what is written is less at once.
const LARGEST: usize = 1024 * 1024;
/// The buffer grows after this many reads in a row have filled it.
const FULL_READS: u32 = 4;
/// What each growth multiplies by.
const GROWTH: usize = 4;
/// What all transfers together may have in large buffers, in bytes.
const BUDGET: usize = 64 * 1024 * 1024;
/// A sink that needs longer than this to take what it could not take at once is a slow one.
const SLOW: Duration = Duration::from_millis(100);
/// What one step moves before others have their turn, in bytes.
const STEP: usize = 1024 * 1024;
/// Reads of one step: a peer that sends byte by byte gets no more.
const STEP_READS: u32 = 64;

/// What all transfers together may hold in large buffers.
#[derive(Clone, Debug, Default)]
pub struct Budget(Arc<AtomicUsize>);

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    size: usize,
}

impl Budget {
    /// A part of the budget for a buffer of `size` bytes, while there is one.
    pub fn share(&self, size: usize) -> Option<Share> {
        self.share_within(size, BUDGET)
    }

    /// The same, as long as no more than half of the budget is taken.
    pub fn share_of_half(&self, size: usize) -> Option<Share> {
        self.share_within(size, BUDGET / 2)
    }

    /// What is taken of it, in bytes.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn share_within(&self, size: usize, most: usize) -> Option<Share> {
        let more = |used| Some(used + size).filter(|&sum| sum <= most);
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.ok().map(|_| Share {
            budget: self.clone(),
            size,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.size, Ordering::AcqRel);
    }
}

/// How much a transfer reads at once: more while its sink takes all, little once that is slow.
#[derive(Debug)]
pub(super) struct Appetite {
    size: usize,
    share: Option<Share>,
    blocked: Option<Instant>,
    /// The last time that the sink had no room it needed long.
    is_slow: bool,
}

impl Appetite {
    pub(super) fn new() -> Appetite {
        Appetite {
            size: SMALL,
            share: None,
            blocked: None,
            is_slow: false,
        }
    }

    /// Whether the sink is one for which large pieces are held ready.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The sink has no room.
    pub(super) fn is_blocked(&mut self, now: Instant) {
        self.blocked.get_or_insert(now);
    }

    /// The sink has taken all that it had.
    pub(super) fn is_drained(&mut self, now: Instant) {
        let Some(since) = self.blocked.take() else {
            return;
        };
        self.is_slow = now.saturating_duration_since(since) > SLOW;
        if self.is_slow {
            self.size = SMALL;
            self.share = None;
        }
    }

    /// The sink has taken all of a step without a pause: it is no longer a slow one. That a client was kept from a processor for
    /// a moment does not bind it to small pieces for the rest of its body.
    fn is_met(&mut self) {
        self.is_slow = false;
    }

    fn grow(&mut self, budget: &Budget) {
        let larger = (self.size * GROWTH).min(LARGEST);
        self.share = None;
        self.share = budget.share(larger);
        self.size = match self.share {
            Some(_) => larger,
            None => SMALL,
        };
    }

    fn may_grow(&self) -> bool {
        self.size < LARGEST && !self.is_slow
    }
}

/// When a transfer moved last, and what its sink's socket had taken by then.
#[derive(Debug)]
pub(super) struct Pace {
    moved: Instant,
    sent: u64,
}

impl Pace {
    pub(super) fn new(now: Instant, sent: u64) -> Pace {
        Pace { moved: now, sent }
    }

    /// Takes note of a step.
    pub(super) fn step(&mut self, now: Instant, brought_some: bool, sent: u64) {
        if brought_some || sent != self.sent {
            self.moved = now;
        }
        self.sent = sent;
    }

    /// When whoever is waited for has been still for too long.
    pub(super) fn deadline(&self, silence: Duration) -> Instant {
        self.moved + silence
    }
}

/// Where bytes go, and whether some of them have still to be handed over.
pub(super) trait Sink: Write {
    fn is_full(&self) -> bool;
}

/// What ended a step.
#[derive(Debug)]
pub(super) enum Stop {
    /// The source has come to its proper end.
    End,
    /// The source has nothing now.
    Dry,
    /// The sink holds something that it could not hand over.
    Full,
    /// It is others' turn.
    Turn,
    /// Reading failed.
    Source(io::Error),
    /// Writing failed.
    Sink,
}

/// Copies from `source` to `sink` as far as that goes now. `length` is what is still to come, in bytes, if known; `moved` counts
/// what the sink has taken, whatever the end.
pub(super) fn copy<R: Read, W: Sink>(
    source: &mut R,
    sink: &mut W,
    length: Option<u64>,
    appetite: &mut Appetite,
    budget: &Budget,
    moved: &mut u64,
) -> Stop {
    let mut reads = 0;
    let begun = *moved;
    loop {
        let left = length.map(|length| length.saturating_sub(*moved - begun));
        let expected = left.and_then(|left| usize::try_from(left).ok());
        let size = appetite
            .size
            .min(expected.unwrap_or(usize::MAX))
            .max(SMALLEST);
        let is_full = Cell::new(sink.is_full());
        let mut gauge = Gauge {
            source,
            is_full: &is_full,
            size,
            full_reads: 0,
            reads,
            taken: usize::try_from(*moved - begun).unwrap_or(usize::MAX),
            may_grow: appetite.may_grow(),
            stop: None,
        };
        let mut meter = Meter {
            sink,
            moved,
            is_full: &is_full,
        };
        // The reader is the outermost and of a concrete type, or `copy` falls back to 8 KiB of its own.
        let mut reader = BufReader::with_capacity(size, &mut gauge);
        let copied = io::copy(&mut reader, &mut meter);
        drop(reader);
        reads = gauge.reads;
        if copied.is_err() {
            return Stop::Sink;
        }
        match gauge.stop {
            Some(Pause::Grow) => appetite.grow(budget),
            Some(Pause::Stop(stop)) => {
                if *moved - begun >= STEP as u64 {
                    appetite.is_met();
                }
                return stop;
            }
            None => return Stop::End,
        }
    }
}

/// Ends a copy without an error, by telling of an end that is none.
struct Gauge<'a, R> {
    source: &'a mut R,
    is_full: &'a Cell<bool>,
    size: usize,
    full_reads: u32,
    reads: u32,
    taken: usize,
    may_grow: bool,
    stop: Option<Pause>,
}

enum Pause {
    Grow,
    Stop(Stop),
}

impl<R: Read> Read for Gauge<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stop = if self.is_full.get() {
            Pause::Stop(Stop::Full)
        } else if self.taken >= STEP || self.reads >= STEP_READS || early::stops() {
            Pause::Stop(Stop::Turn)
        } else if self.may_grow && self.full_reads == FULL_READS {
            Pause::Grow
        } else {
            self.reads += 1;
            match self.source.read(buffer) {
                Ok(taken) => {
                    self.taken += taken;
                    self.full_reads = match taken == self.size {
                        true => self.full_reads + 1,
                        false => 0,
                    };
                    return Ok(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pause::Stop(Stop::Dry),
                Err(error) => Pause::Stop(Stop::Source(error)),
            }
        };
        self.stop = Some(stop);
        Ok(0)
    }
}

struct Meter<'a, W> {
    sink: &'a mut W,
    moved: &'a mut u64,
    is_full: &'a Cell<bool>,
}

impl<W: Sink> Write for Meter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.sink.write(bytes)?;
        *self.moved += taken as u64;
        self.is_full.set(self.sink.is_full());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sink for io::Sink {
        fn is_full(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_sink_is_slow_until_it_takes_a_whole_step() {
        let mut appetite = Appetite::new();
        let then = Instant::now();
        for (waited, is_slow) in [(SLOW, false), (SLOW + Duration::from_millis(1), true)] {
            appetite.is_blocked(then);
            appetite.is_drained(then + waited);
            assert_eq!(appetite.is_slow(), is_slow, "{waited:?}");
        }
        for (length, is_slow) in [(STEP as u64 / 2, true), (2 * STEP as u64, false)] {
            let mut source = io::repeat(0).take(length);
            let budget = Budget::default();
            let mut moved = 0;
            copy(
                &mut source,
                &mut io::sink(),
                Some(length),
                &mut appetite,
                &budget,
                &mut moved,
            );
            assert_eq!(appetite.is_slow(), is_slow, "{length}");
        }
    }
}
