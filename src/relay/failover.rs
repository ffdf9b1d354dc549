//! One request over the backends, until one of them answers well or none is left.
//!
//! Owns which failure lets a request go on to the next backend and which does not, and what the log
//! hears of it. Nothing of a final answer has reached the client before it is decided that it is the
//! one; an answer of a backend that may do better is kept until it is known that none does.

use std::time::{Duration, Instant};
use std::{fmt, mem};

use super::answer::{Answer, Unanswered, deliver};
use super::backend::{Backend, Repeat};
use super::choice::{Round, Tried};
use super::exchange::{self, Asked, Silent};
use super::sessions::Step;
use super::{End, Errand, Forwarded, Outcome, Relay, Request, Reuse, Unread};
use crate::http::{Input, Refusal, RequestHead};
use crate::stream::{Socket, Stream};

/// How long a backend may be silent before a request that can go on to another one does.
const SILENCE: Duration = Duration::from_secs(30);

/// A request that a backend has, and has not answered yet.
pub struct Awaited {
    journey: Journey,
    tried: Tried,
    attempt: Attempt,
    silent: Box<Silent>,
}

/// What has become of a request so far.
struct Journey {
    outcome: Outcome,
    /// What went wrong on the way.
    failures: Vec<String>,
    /// Said if nobody is left: the last answer there was, and whose.
    second_best: Option<(usize, Box<Answer>)>,
}

/// One backend that is asked.
#[derive(Clone, Copy)]
struct Attempt {
    place: usize,
    begun: Instant,
    /// How long it may be silent.
    silence: Duration,
}

/// What came of asking one backend after the other.
enum Found {
    /// The answer that the client is to have, and whose.
    Answer(usize, Box<Answer>),
    /// Nobody has answered so far.
    Nothing(Attempt, Box<Silent>),
    /// There is no answer; the outcome says why.
    Over,
}

impl Awaited {
    /// The socket that the answer comes from, and whether the poller has seen it before; from now on it has.
    pub fn register(&mut self) -> (Socket, bool) {
        let link = &mut self.silent.link;
        let was_registered = mem::replace(&mut link.is_registered, true);
        (link.input.stream().socket().clone(), was_registered)
    }

    /// When it is to be gone on with although nothing has come.
    pub fn until(&self) -> Instant {
        self.silent.until
    }
}

/// Forwards a request and passes the answer on, or goes on with that.
pub(super) fn carry(
    relay: &Relay,
    request: &Request<'_>,
    client: &mut Input<Stream>,
    awaited: Option<Box<Awaited>>,
) -> Forwarded {
    let (mut journey, mut round, asked) = match awaited.map(|awaited| *awaited) {
        None => {
            let round = relay.choice.round(relay.bound(request.head));
            (Journey::of(request.head), round, None)
        }
        Some(awaited) => {
            let round = relay.choice.go_on(awaited.tried);
            (
                awaited.journey,
                round,
                Some((awaited.attempt, awaited.silent)),
            )
        }
    };
    match ask(relay, request, client, &mut journey, &mut round, asked) {
        Found::Over => {}
        Found::Answer(place, mut answer) => {
            if let Some(errand) = relay.errand(request, place) {
                let outcome = &mut journey.outcome;
                let reuse = deliver(errand, client.stream_mut(), &mut answer, outcome);
                if reuse == Reuse::Yes {
                    errand.backend.keep(answer.link);
                }
            }
        }
        Found::Nothing(attempt, silent) => {
            return Forwarded::Awaited(Box::new(Awaited {
                journey,
                tried: round.leave(),
                attempt,
                silent,
            }));
        }
    }
    let Journey {
        mut outcome,
        mut failures,
        ..
    } = journey;
    failures.extend(outcome.note.take());
    outcome.note = Some(failures.join("; ")).filter(|note| !note.is_empty());
    Forwarded::Done(outcome)
}

/// Finds the answer that the client is to have. `asked` has the request already, if somebody has.
fn ask(
    relay: &Relay,
    request: &Request<'_>,
    client: &mut Input<Stream>,
    journey: &mut Journey,
    round: &mut Round<'_>,
    mut asked: Option<(Attempt, Box<Silent>)>,
) -> Found {
    let head = request.head;
    let repeat = Repeat::of(head);
    loop {
        let (attempt, silent) = match asked.take() {
            Some((attempt, silent)) => (attempt, Some(silent)),
            None => match attempt(relay, repeat, round) {
                Some(attempt) => (attempt, None),
                None => break,
            },
        };
        let Some(errand) = relay.errand(request, attempt.place) else {
            break;
        };
        let backend = errand.backend;
        let outcome = &mut journey.outcome;
        match exchange::over_a_connection(errand, repeat, attempt.silence, client, silent, outcome)
        {
            Asked::Silent(silent) => return Found::Nothing(attempt, silent),
            Asked::Over => return Found::Over,
            Asked::Unreachable(error) => {
                journey.failed(backend, error);
                journey.outcome.end =
                    End::Refused(Refusal::BackendUnreachable, Unread::whole(head));
                relay.choice.failed(attempt.place, Instant::now());
            }
            Asked::Unanswered(failure, unread) => {
                journey.outcome.end = End::Refused(failure.refusal(), unread);
                relay.put_aside(attempt.place, &failure);
                journey.failed(backend, failure);
                if repeat == Repeat::Never {
                    return Found::Over;
                }
            }
            Asked::Answered(answer) => {
                relay.choice.answered(attempt.place, attempt.begun);
                let status = answer.head.status();
                if repeat == Repeat::Never
                    || !may_do_better(status)
                    || !round.has_next(Instant::now())
                {
                    relay.follow(head, &answer, attempt.place);
                    return Found::Answer(attempt.place, answer);
                }
                journey.failed(backend, format_args!("answered {status}"));
                journey.second_best = Some((attempt.place, answer));
            }
        }
    }
    match journey.second_best.take() {
        Some((place, answer)) => Found::Answer(place, answer),
        None => Found::Over,
    }
}

/// The next one to ask, if there is one.
fn attempt(relay: &Relay, repeat: Repeat, round: &mut Round<'_>) -> Option<Attempt> {
    let begun = Instant::now();
    let place = round.next(begun)?;
    let goes_on = repeat == Repeat::Safe && round.has_next_if_this_fails(begun);
    Some(Attempt {
        place,
        begun,
        silence: silence(goes_on, relay.response_timeout),
    })
}

impl Journey {
    fn of(head: &RequestHead) -> Journey {
        Journey {
            outcome: Outcome {
                end: End::Refused(Refusal::BackendUnreachable, Unread::whole(head)),
                up: 0,
                down: 0,
                note: None,
                digest: None,
                asks_for_password: false,
            },
            failures: Vec::new(),
            second_best: None,
        }
    }

    fn failed(&mut self, backend: &Backend, why: impl fmt::Display) {
        let failure = format!("backend {}: {why}", backend.address());
        self.failures.push(failure);
    }
}

fn silence(goes_on: bool, response_timeout: Duration) -> Duration {
    match goes_on {
        true => response_timeout.min(SILENCE),
        false => response_timeout,
    }
}

/// Whether a status says that another backend may do better.
fn may_do_better(status: u16) -> bool {
    matches!(status, 500 | 502..=504)
}

impl Relay {
    fn errand<'a>(&'a self, request: &'a Request<'a>, place: usize) -> Option<Errand<'a>> {
        let backend = self.backends.get(place)?;
        Some(Errand {
            relay: self,
            backend,
            request,
        })
    }

    /// The backend that opened the upload session that a request belongs to.
    fn bound(&self, head: &RequestHead) -> Option<usize> {
        match self.backends.len() {
            0 | 1 => None,
            // A path that is no text belongs to no session.
            _ => self
                .sessions
                .backend_of(std::str::from_utf8(head.path()).ok()?, Instant::now()),
        }
    }

    /// Notes what an answer says of an upload session, before the client can act on it.
    fn follow(&self, head: &RequestHead, answer: &Answer, place: usize) {
        if self.backends.len() > 1
            && let Ok(path) = std::str::from_utf8(head.path())
        {
            let step = Step {
                method: head.method(),
                path,
                status: answer.head.status(),
                location: answer.head.values("location").next(),
            };
            self.sessions.follow(step, place, Instant::now());
        }
    }

    fn put_aside(&self, place: usize, failure: &Unanswered) {
        if let Unanswered::ClosedMeanwhile = failure {
            // Every server does that, and a new connection will tell how it is.
            return;
        }
        self.backends.get(place).inspect(|backend| backend.failed());
        let is_news = self.choice.failed(place, Instant::now());
        if let (true, Some(backend), 2..) = (is_news, self.backends.get(place), self.backends.len())
        {
            ::log::warn!(
                "backend {} is left alone for {} s: {failure}",
                backend.address(),
                super::choice::ASIDE_FOR.as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_go_on_waits_thirty_seconds_and_the_last_one_as_long_as_was_set() {
        let seconds = Duration::from_secs;
        for (goes_on, set, limit) in [(true, 900, 30), (true, 5, 5), (false, 900, 900)] {
            assert_eq!(silence(goes_on, seconds(set)), seconds(limit));
        }
    }

    #[test]
    fn only_five_hundreds_that_another_backend_may_not_say_lead_on() {
        let leading = (100..1000).filter(|&status| may_do_better(status));
        assert_eq!(leading.collect::<Vec<_>>(), [500, 502, 503, 504]);
    }
}
