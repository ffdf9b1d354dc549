//! One request over the backends, until one of them answers well or none is left.
//!
//! Owns which failure lets a request go on to the next backend and which does not, and what the log
//! hears of it. Nothing of a final answer has reached the client before it is decided that it is the
//! one; an answer of a backend that may do better is kept until it is known that none does.

use std::time::{Duration, Instant};

use super::answer::{Answer, Unanswered, deliver};
use super::backend::Repeat;
use super::exchange::{self, Asked};
use super::sessions::Step;
use super::{End, Errand, Outcome, Relay, Request, Reuse, Unread};
use crate::http::{Input, Refusal, RequestHead};
use crate::stream::Stream;

/// How long a backend may be silent before a request that can go on to another one does.
const SILENCE: Duration = Duration::from_secs(30);

/// Forwards a request and passes the answer on.
pub(super) fn carry(relay: &Relay, request: &Request<'_>, client: &mut Input<Stream>) -> Outcome {
    let mut outcome = Outcome {
        end: End::ClientGone,
        up: 0,
        down: 0,
        note: None,
        digest: None,
    };
    let mut failures = Vec::new();
    if let Some((errand, mut answer)) = ask(relay, request, client, &mut outcome, &mut failures) {
        let reuse = deliver(errand, client.stream_mut(), &mut answer, &mut outcome);
        if reuse == Reuse::Yes {
            errand.backend.keep(answer.link);
        }
    }
    failures.extend(outcome.note.take());
    outcome.note = Some(failures.join("; ")).filter(|note| !note.is_empty());
    outcome
}

/// Finds the answer that the client is to have, and who gave it. `None` if there is none: then
/// `outcome` says why. What went wrong on the way is in `failures`.
fn ask<'a>(
    relay: &'a Relay,
    request: &'a Request<'a>,
    client: &mut Input<Stream>,
    outcome: &mut Outcome,
    failures: &mut Vec<String>,
) -> Option<(Errand<'a>, Box<Answer>)> {
    let head = request.head;
    let repeat = Repeat::of(head);
    let mut round = relay.choice.round(relay.bound(head));
    // Said if nobody is left: the last answer there was, or else the last reason why there was none.
    let mut second_best = None;
    outcome.end = End::Refused(Refusal::BackendUnreachable, Unread::whole(head));

    while let Some(place) = round.next(Instant::now()) {
        let backend = relay.backends.get(place)?;
        let begun = Instant::now();
        let goes_on = repeat == Repeat::Safe && round.has_next_if_this_fails(begun);
        let errand = Errand {
            relay,
            backend,
            request,
            silence: silence(goes_on, relay.response_timeout),
        };
        match exchange::over_a_connection(errand, repeat, client, outcome) {
            Asked::Over => return None,
            Asked::Unreachable(error) => {
                failures.push(format!("backend {}: {error}", backend.address()));
                outcome.end = End::Refused(Refusal::BackendUnreachable, Unread::whole(head));
                relay.choice.failed(place, Instant::now());
            }
            Asked::Unanswered(failure, unread) => {
                failures.push(format!("backend {}: {failure}", backend.address()));
                outcome.end = End::Refused(failure.refusal(), unread);
                relay.put_aside(place, &failure);
                if repeat == Repeat::Never {
                    return None;
                }
            }
            Asked::Answered(answer) => {
                relay.choice.answered(place, begun);
                let status = answer.head.status();
                if repeat == Repeat::Never
                    || !may_do_better(status)
                    || !round.has_next(Instant::now())
                {
                    relay.follow(head, &answer, place);
                    return Some((errand, answer));
                }
                failures.push(format!("backend {}: answered {status}", backend.address()));
                second_best = Some((errand, answer));
            }
        }
    }
    second_best
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
    /// The backend that opened the upload session that a request belongs to.
    fn bound(&self, head: &RequestHead) -> Option<usize> {
        match self.backends.len() {
            0 | 1 => None,
            _ => self.sessions.backend_of(head.path(), Instant::now()),
        }
    }

    /// Notes what an answer says of an upload session, before the client can act on it.
    fn follow(&self, head: &RequestHead, answer: &Answer, place: usize) {
        if self.backends.len() > 1 {
            let step = Step {
                method: head.method(),
                path: head.path(),
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
