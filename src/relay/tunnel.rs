//! Bytes both ways between a client and a backend that have switched protocols (RFC 9110, 7.8), until both have closed.
//!
//! Owns what a half-close, a reset and silence on one side mean for the other. Must not know what the bytes are. Both sides are
//! hostile.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::backend::Link;
use super::context::Relay;
use super::transfer::{self, Appetite, Pace, Stop};
use crate::http::Input;
use crate::reactor::Wait;
use crate::stream::{Progress, Stream};

/// Two peers in whose tunnel nothing moves for so long have forgotten it.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// A backend that has switched, and both ways to it.
#[derive(Debug)]
pub struct Tunnel {
    link: Link,
    up: Way,
    down: Way,
    /// Bytes that went up and down.
    pub moved: (u64, u64),
}

/// One direction.
#[derive(Debug)]
struct Way {
    appetite: Appetite,
    pace: Pace,
    end: WayEnd,
}

/// How far the end of a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayEnd {
    /// The source may send more.
    Open,
    /// It has closed, and the sink has not been told.
    Over,
    /// What is said of that has still to reach the socket.
    Said,
    /// The sink knows.
    Closed,
}

/// How far it is.
#[derive(Debug)]
pub enum TunnelTurn {
    /// One of the sides has to move first, or it is others' turn.
    Wait(Wait),
    /// Both have closed, and have all that was sent.
    Done,
    /// One of them broke off: the other is to see it.
    Broken(&'static str),
    /// Nothing has moved for too long.
    Silent,
}

/// What a direction does next.
enum Next {
    Waits,
    Turn,
    Closed,
}

impl Tunnel {
    pub(super) fn new(link: Link, client: &Stream, now: Instant) -> Tunnel {
        let backend = link.input.stream();
        Tunnel {
            up: Way::new(now, backend.sent()),
            down: Way::new(now, client.sent()),
            link,
            moved: (0, 0),
        }
    }

    /// When it has been silent for too long.
    pub fn deadline(&self) -> Instant {
        let silence = silence();
        let (up, down) = (
            self.up.pace.deadline(silence),
            self.down.pace.deadline(silence),
        );
        up.max(down)
    }

    /// Brings on what there is, either way.
    pub fn run(&mut self, client: &mut Input<Stream>, relay: &Relay, now: Instant) -> TunnelTurn {
        let backend = &mut self.link.input;
        let (sent, received) = (&mut self.moved.0, &mut self.moved.1);
        // A side that was told of an end, and has closed as well, looks as if it were torn.
        let (told_up, told_down) = (self.up.end != WayEnd::Open, self.down.end != WayEnd::Open);
        if !told_down && client.stream().socket().is_torn() {
            return TunnelTurn::Broken("client broke off");
        }
        if !told_up && backend.stream().socket().is_torn() {
            return TunnelTurn::Broken("backend broke off");
        }
        let up = self.up.run(client, backend.stream_mut(), relay, now, sent);
        let up = match up {
            Ok(next) => next,
            Err(From::Source) => return TunnelTurn::Broken("client broke off"),
            Err(From::Sink) => return TunnelTurn::Broken("backend broke off"),
        };
        let down = self
            .down
            .run(backend, client.stream_mut(), relay, now, received);
        let down = match down {
            Ok(next) => next,
            Err(From::Source) => return TunnelTurn::Broken("backend broke off"),
            Err(From::Sink) => return TunnelTurn::Broken("client broke off"),
        };
        match (up, down) {
            (Next::Closed, Next::Closed) => TunnelTurn::Done,
            (Next::Turn, _) | (_, Next::Turn) => TunnelTurn::Wait(Wait::Again),
            _ if now >= self.deadline() => TunnelTurn::Silent,
            _ => TunnelTurn::Wait(Wait::Event),
        }
    }

    /// Ends the backend's side in good order.
    pub fn finish(&mut self) {
        self.link.input.stream_mut().finish();
    }

    /// Ends the backend's side so that it sees that something is missing.
    pub fn abort(&mut self) {
        self.link.input.stream_mut().abort();
    }
}

/// Who has failed.
enum From {
    Source,
    Sink,
}

impl Way {
    fn new(now: Instant, sent: u64) -> Way {
        Way {
            appetite: Appetite::new(),
            pace: Pace::new(now, sent),
            end: WayEnd::Open,
        }
    }

    fn run(
        &mut self,
        source: &mut Input<Stream>,
        sink: &mut Stream,
        relay: &Relay,
        now: Instant,
        moved: &mut u64,
    ) -> Result<Next, From> {
        let before = *moved;
        let next = self.pump(source, sink, relay, now, moved);
        self.pace.step(now, *moved != before, sink.sent());
        source.release();
        next
    }

    fn pump(
        &mut self,
        source: &mut Input<Stream>,
        sink: &mut Stream,
        relay: &Relay,
        now: Instant,
        moved: &mut u64,
    ) -> Result<Next, From> {
        loop {
            match sink.push().map_err(|_| From::Sink)? {
                Progress::Done => self.appetite.is_drained(now),
                Progress::Waits(_) => {
                    self.appetite.is_blocked(now);
                    return Ok(Next::Waits);
                }
            }
            match self.end {
                WayEnd::Open => {}
                WayEnd::Over => {
                    sink.say_goodbye();
                    self.end = WayEnd::Said;
                    continue;
                }
                // Nothing is unsent. Closed before that, the goodbye would be lost.
                WayEnd::Said => {
                    sink.socket().half_close();
                    self.end = WayEnd::Closed;
                    return Ok(Next::Closed);
                }
                WayEnd::Closed => return Ok(Next::Closed),
            }
            // It would only want a buffer.
            if source.buffered().is_empty() && !source.stream_mut().may_have_more() {
                return Ok(Next::Waits);
            }
            let mut rest = Rest(source);
            let (appetite, budget) = (&mut self.appetite, &relay.budget);
            match transfer::copy(&mut rest, sink, None, appetite, budget, moved) {
                Stop::End => self.end = WayEnd::Over,
                Stop::Full => {}
                Stop::Turn => return Ok(Next::Turn),
                Stop::Dry => {
                    // A step that ended early is told of by nobody.
                    return Ok(match source.stream_mut().may_have_more() {
                        true => Next::Turn,
                        false => Next::Waits,
                    });
                }
                Stop::Source(_) => return Err(From::Source),
                Stop::Sink => return Err(From::Sink),
            }
        }
    }
}

/// What is buffered, and then what comes.
struct Rest<'a>(&'a mut Input<Stream>);

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = self.0.buffered();
        if here.is_empty() {
            return self.0.stream_mut().read(buffer);
        }
        let taken = here.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), here.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.0.consume(taken);
        Ok(taken)
    }
}

/// Tests need not wait for an hour.
fn silence() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(seconds) = std::env::var("TUNNEL_SILENCE")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
    {
        return Duration::from_secs(seconds);
    }
    SILENCE
}
