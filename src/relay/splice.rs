//! Big bodies from one socket in the clear to another, through a pipe.
//!
//! Owns when a pipe is used and how it is emptied. It knows nothing of what the bytes are. Where there is no pipe to be had, or
//! the kernel wants none between these two, everything is left to `transfer`, and no byte is lost on the way there.

use std::io::{self, Read};

use super::transfer::{self, Appetite, Budget, Share, Stop};
use crate::http::Body;
use crate::stream::{PIPE_SIZE, Pipe, Stream, early, refuses_pipes};

/// Shorter bodies are not worth two descriptors and the system calls that make and end them.
const WORTHWHILE: u64 = 1024 * 1024;
/// The share of the budget for one: what stands in a pipe may hold on to twice as much memory, pages that are not full. As they
/// have half of it at most, these are 16, a quarter of what Linux lets the pipes of one user hold (`pipe-user-pages-soft`) before
/// all new ones are tiny; clients that are slow leave buffers to those that need them.
const SHARE: usize = 2 * PIPE_SIZE;
/// What one step moves before others have their turn, in bytes.
const STEP: usize = 4 * PIPE_SIZE;

/// Whether a body goes through a pipe.
#[derive(Debug)]
pub(super) enum Splicing {
    /// It may, once there is one to be had.
    Possible,
    /// It does.
    Now(Splice),
    /// The kernel would not have it so.
    Impossible,
}

impl Splicing {
    /// Whether nothing is on its way in a pipe.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Splicing::Now(splice) => splice.is_empty(),
            Splicing::Possible | Splicing::Impossible => true,
        }
    }
}

/// Brings `body` to `sink` as far as that goes now, by a pipe or by a buffer. `moved` counts what the sink has taken.
pub(super) fn carry(
    splicing: &mut Splicing,
    body: &mut Body<'_, Stream>,
    sink: &mut Stream,
    appetite: &mut Appetite,
    budget: &Budget,
    moved: &mut u64,
) -> Stop {
    if let Splicing::Possible = splicing
        && !appetite.is_slow()
        && Splice::is_worthwhile(body.remaining_length(), body.stream_mut(), sink)
    {
        let ahead = body.buffered_len() as u64;
        if ahead > 0 {
            let mut ahead_of_it = Read::take(&mut *body, ahead);
            match transfer::copy(&mut ahead_of_it, sink, Some(ahead), appetite, budget, moved) {
                Stop::End => {}
                stop => return stop,
            }
        }
        // It may have left something behind.
        if sink.is_bare()
            && let Some(splice) = Splice::new(budget)
        {
            *splicing = Splicing::Now(splice);
        }
    }
    if let Splicing::Now(splice) = splicing {
        // Who is slow keeps no pipe from others.
        if splice.is_empty() && appetite.is_slow() {
            *splicing = Splicing::Possible;
        } else {
            match splice.carry(body, sink, moved) {
                Some(stop) => return stop,
                None => *splicing = Splicing::Impossible,
            }
        }
    }
    let length = body.remaining_length();
    transfer::copy(body, sink, length, appetite, budget, moved)
}

/// A pipe and its share of what all transfers may hold.
#[derive(Debug)]
pub(super) struct Splice {
    pipe: Pipe,
    _share: Share,
}

impl Splice {
    /// Whether so much is left that it is worth a pipe, its length is known, and neither side is more than a socket.
    fn is_worthwhile(remaining: Option<u64>, source: &Stream, sink: &Stream) -> bool {
        remaining.is_some_and(|left| left >= WORTHWHILE) && source.is_bare() && sink.is_bare()
    }

    fn new(budget: &Budget) -> Option<Splice> {
        Some(Splice {
            _share: budget.share_of_half(SHARE)?,
            pipe: Pipe::new().ok()?,
        })
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.pipe.held() == 0
    }

    /// Brings `body` to `sink` as far as that goes now. `moved` counts what the sink has taken. `None` where the rest cannot go
    /// this way: nothing is in the pipe then.
    pub(super) fn carry(
        &mut self,
        body: &mut Body<'_, Stream>,
        sink: &mut Stream,
        moved: &mut u64,
    ) -> Option<Stop> {
        let begun = *moved;
        loop {
            if early::stops() {
                return Some(Stop::Turn);
            }
            if self.pipe.held() > 0 {
                match sink.pour_from(&mut self.pipe) {
                    Ok(0) => return Some(Stop::Sink),
                    Ok(taken) => *moved += taken as u64,
                    Err(error) => match error.kind() {
                        io::ErrorKind::Interrupted => {}
                        io::ErrorKind::WouldBlock => return Some(Stop::Full),
                        _ if refuses_pipes(&error) => return self.give_up(sink, moved),
                        _ => return Some(Stop::Sink),
                    },
                }
                continue;
            }
            let left = body.remaining_length().filter(|left| *left > 0)?;
            if *moved - begun >= STEP as u64 {
                return Some(Stop::Turn);
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            match body.stream_mut().pour_into(&mut self.pipe, most) {
                // The end, which a read tells of as it should.
                Ok(0) => return None,
                Ok(taken) => body.went_by(taken as u64),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Some(Stop::Dry),
                    _ if refuses_pipes(&error) => return None,
                    _ => return Some(Stop::Source(error)),
                },
            }
        }
    }

    /// Leaves what stands in the pipe to the sink as bytes.
    fn give_up(&mut self, sink: &mut Stream, moved: &mut u64) -> Option<Stop> {
        let mut rest = Vec::new();
        let taken = self.pipe.read_to_end(&mut rest);
        let written = taken.and_then(|_| io::Write::write_all(sink, &rest));
        *moved += rest.len() as u64;
        written.err().map(|_| Stop::Sink)
    }
}
