//! The answers that still hold.
//!
//! Owns the tables and what an answer is remembered under: never less than the whole `Authorization`, or the whole
//! request of somebody without one. Keeps no credential, only what stands for it. The tables are bounded, because
//! strangers fill them; what strangers fill is apart from what users need, so that no flood of guesses makes the API be
//! asked about those who are in.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::question::{Question, Scope};
use super::reuse::{Basis, Reuse};
use crate::gate::auth::remembered::{Aging, Digest, Seal};
use crate::lock::EvenIfPoisoned;

/// Answers to those who were let in, some 300 bytes each.
const KNOWN: usize = 65_536;
/// Answers to all others.
const STRANGERS: usize = 10_000;
/// An answer whose name or challenges are longer, in bytes, is not worth its place.
const LONGEST_ANSWER: usize = 1024;
/// One API has one way to answer, or a few; each costs one look for every question.
const MOST_WAYS_TO_VARY: usize = 8;
/// Entries know themselves when they end; the tables only bound their number.
const NO_BOUND: Duration = Duration::MAX;

pub(super) struct Cache {
    seal: Seal,
    state: Mutex<State>,
}

struct State {
    /// Answers of 200 to 299 to whoever showed credentials.
    known: Aging<Digest, Entry>,
    strangers: Aging<Digest, Entry>,
    /// The lists of fields that answers were seen to vary with, the latest last.
    ways: Vec<Arc<[String]>>,
}

#[derive(Clone)]
struct Entry {
    answer: Answer,
    basis: Basis,
    /// When the question went out: what it is as old as.
    asked: Instant,
    until: Instant,
}

impl Cache {
    /// # Panics
    /// If the system has no random numbers.
    pub(super) fn new() -> Cache {
        Cache {
            seal: Seal::new(),
            state: Mutex::new(State {
                known: Aging::new(KNOWN, NO_BOUND),
                strangers: Aging::new(STRANGERS, NO_BOUND),
                ways: vec![Arc::new([])],
            }),
        }
    }

    /// What else may be told apart by digests of questions.
    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The answer to `question`, if one holds; the one that was asked for last, if several do (RFC 9111, 4.1).
    pub(super) fn recall(&self, question: &Question<'_>, now: Instant) -> Option<(Answer, Basis)> {
        let ways = self.state().ways.clone();
        let keys: Vec<Digest> = question
            .scopes()
            .iter()
            .flat_map(|scope| ways.iter().map(|way| question.key(&self.seal, *scope, way)))
            .collect();
        let state = self.state();
        let found = keys
            .iter()
            .flat_map(|key| {
                [
                    state.known.recall(key, now),
                    state.strangers.recall(key, now),
                ]
            })
            .flatten()
            .filter(|entry| now < entry.until);
        found
            .max_by_key(|entry| entry.asked)
            .map(|entry| (entry.answer.clone(), entry.basis))
    }

    /// Keeps an answer for as long as it holds after `asked`, when its question went out.
    pub(super) fn remember(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        reuse: &Reuse,
        asked: Instant,
    ) {
        let Reuse::For(lifetime, vary) = reuse else {
            return;
        };
        let (Some(until), true) = (asked.checked_add(*lifetime), is_bearable(answer)) else {
            return;
        };
        let (scope, is_known) = match (answer, question.is_stranger()) {
            (_, true) => (Scope::Stranger, false),
            (Answer::Denied, false) => (Scope::Target, false),
            (Answer::Allowed(_), false) => (Scope::Credentials, true),
            (_, false) => (Scope::Credentials, false),
        };
        let key = question.key(&self.seal, scope, vary);
        let entry = Entry {
            answer: answer.clone(),
            basis: Basis::of(question, reuse),
            asked,
            until,
        };
        let mut state = self.state();
        state.learn(vary);
        let table = if is_known {
            &mut state.known
        } else {
            &mut state.strangers
        };
        table.remember(key, entry, asked);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().even_if_poisoned()
    }
}

impl State {
    /// Keeps in mind that answers may vary with these fields. What was remembered under a way that is forgotten for it
    /// is never found again.
    fn learn(&mut self, vary: &[String]) {
        let way = match self.ways.iter().position(|way| **way == *vary) {
            Some(at) => self.ways.remove(at),
            None => {
                if self.ways.len() >= MOST_WAYS_TO_VARY {
                    self.ways.remove(0);
                }
                vary.into()
            }
        };
        self.ways.push(way);
    }
}

fn is_bearable(answer: &Answer) -> bool {
    let length = match answer {
        Answer::Allowed(names) => {
            let groups = names
                .groups
                .iter()
                .map(|group| group.len() + size_of_val(group));
            names.user.as_ref().map_or(0, |user| user.len()) + groups.sum::<usize>()
        }
        Answer::Unauthorized(challenges) => challenges.iter().map(|one| one.len() + 64).sum(),
        Answer::Denied | Answer::Throttled(_) | Answer::Unavailable(_) => 0,
    };
    length <= LONGEST_ANSWER
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::answer::Names;
    use super::super::question::tests::{question, visit};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn held(vary: &[&str]) -> Reuse {
        let vary = vary.iter().map(|name| (*name).to_owned()).collect();
        Reuse::For(30 * SECOND, vary)
    }

    fn unauthorized() -> Answer {
        Answer::Unauthorized(Arc::new([]))
    }

    impl Cache {
        fn answer(&self, question: &Question<'_>, now: Instant) -> Option<Answer> {
            self.recall(question, now).map(|(answer, _)| answer)
        }
    }

    fn allowed() -> Answer {
        Answer::Allowed(Names::default())
    }

    #[test]
    fn an_answer_holds_for_the_credentials_whatever_they_ask_for_and_for_its_time() {
        let (cache, now) = (Cache::new(), Instant::now());
        for (answer, credentials) in [(allowed(), "alice"), (unauthorized(), "mallory")] {
            let asked = question("GET /a", Some(credentials));
            cache.remember(&asked, &answer, &held(&[]), now);
            for line in ["GET /a", "PUT /b"] {
                let other = question(line, Some(credentials));
                assert_eq!(
                    cache.answer(&other, now + 29 * SECOND),
                    Some(answer.clone())
                );
                assert_eq!(cache.answer(&other, now + 30 * SECOND), None);
            }
        }
        for other in [None, Some("Alice"), Some("alice "), Some("")] {
            assert_eq!(cache.answer(&question("GET /a", other), now), None);
        }
    }

    #[test]
    fn an_answer_that_does_not_hold_is_not_kept() {
        let (cache, now) = (Cache::new(), Instant::now());
        let asked = question("GET /a", Some("alice"));
        for reuse in [Reuse::Never, Reuse::Twins] {
            cache.remember(&asked, &allowed(), &reuse, now);
            assert_eq!(cache.answer(&asked, now), None);
        }
    }

    #[test]
    fn a_denial_holds_for_the_same_method_and_target_alone() {
        let (cache, now) = (Cache::new(), Instant::now());
        let asked = question("PUT /a", Some("alice"));
        cache.remember(&asked, &Answer::Denied, &held(&[]), now);
        assert_eq!(cache.answer(&asked, now), Some(Answer::Denied));
        for line in ["GET /a", "PUT /b", "PUT /a?"] {
            assert_eq!(cache.answer(&question(line, Some("alice")), now), None);
        }
    }

    #[test]
    fn an_answer_without_credentials_holds_for_the_very_same_request_alone() {
        let (cache, now) = (Cache::new(), Instant::now());
        for answer in [allowed(), unauthorized(), Answer::Denied] {
            let asked = question("GET /a", None);
            cache.remember(&asked, &answer, &held(&[]), now);
            assert_eq!(cache.answer(&asked, now), Some(answer));
        }
        for line in ["HEAD /a", "GET /b", "GET /a/b"] {
            assert_eq!(cache.answer(&question(line, None), now), None);
        }
        let mut elsewhere = visit("10.0.0.7", "id");
        elsewhere.host = "other:5443";
        for visit in [elsewhere, visit("10.0.0.8", "id")] {
            let other = Question::of("GET", b"/a", &visit, None);
            assert_eq!(cache.answer(&other, now), None);
        }
        let credentials = question("GET /a", Some("alice"));
        assert_eq!(cache.answer(&credentials, now), None);
    }

    #[test]
    fn the_fields_of_vary_are_part_of_the_key_as_they_were_sent() {
        let (cache, now) = (Cache::new(), Instant::now());
        let vary = held(&["cookie", "x-original-uri"]);
        cache.remember(&question("GET /a", Some("alice")), &allowed(), &vary, now);
        let recall = |line| cache.answer(&question(line, Some("alice")), now);
        assert_eq!(recall("HEAD /a"), Some(allowed()));
        assert_eq!(recall("GET /b"), None);
        // Other answers may vary in other ways.
        let other = question("GET /b", Some("alice"));
        cache.remember(&other, &unauthorized(), &held(&["x-original-method"]), now);
        assert_eq!(recall("GET /b"), Some(unauthorized()));
        assert_eq!(recall("HEAD /a"), Some(allowed()));
        assert_eq!(recall("HEAD /b"), None);
    }

    #[test]
    fn an_answer_hangs_on_the_path_unless_it_holds_for_all_of_them() {
        let (cache, now) = (Cache::new(), Instant::now());
        for (credentials, vary, basis) in [
            (Some("alice"), &[][..], Basis::Credentials),
            (
                Some("bob"),
                &["cookie", "x-original-method"],
                Basis::Credentials,
            ),
            (Some("carol"), &["x-original-uri"], Basis::Path),
            (None, &[], Basis::Path),
        ] {
            let asked = question("GET /a", credentials);
            cache.remember(&asked, &allowed(), &held(vary), now);
            assert_eq!(cache.recall(&asked, now), Some((allowed(), basis)));
        }
        let asked = question("GET /a", Some("alice"));
        for reuse in [Reuse::Never, Reuse::Twins] {
            assert_eq!(Basis::of(&asked, &reuse), Basis::Path);
        }
    }

    #[test]
    fn of_two_that_hold_the_later_one_counts() {
        let (cache, now) = (Cache::new(), Instant::now());
        let asked = question("GET /a", Some("alice"));
        let later = now + SECOND;
        cache.remember(&asked, &Answer::Denied, &held(&[]), later);
        cache.remember(&asked, &allowed(), &held(&["x-original-uri"]), now);
        assert_eq!(cache.answer(&asked, later), Some(Answer::Denied));
        let last = later + SECOND;
        cache.remember(&asked, &allowed(), &held(&["x-original-uri"]), last);
        assert_eq!(cache.answer(&asked, last), Some(allowed()));
    }

    #[test]
    fn strangers_and_guesses_push_out_nobody_who_is_in() {
        let (cache, now) = (Cache::new(), Instant::now());
        let alice = question("GET /a", Some("alice"));
        cache.remember(&alice, &allowed(), &held(&[]), now);
        for n in 0..STRANGERS + 10 {
            let line = format!("GET /{n}");
            cache.remember(&question(&line, None), &allowed(), &held(&[]), now);
            let guess = question("GET /", Some(&line));
            cache.remember(&guess, &unauthorized(), &held(&[]), now);
        }
        assert_eq!(cache.answer(&alice, now), Some(allowed()));
        assert_eq!(cache.state().strangers.len(), STRANGERS);
    }

    #[test]
    fn no_answer_is_kept_that_takes_much_room_and_no_more_ways_to_vary_than_can_be_looked_for() {
        let (cache, now) = (Cache::new(), Instant::now());
        let asked = question("GET /a", Some("alice"));
        for answer in [
            Answer::Allowed(Names {
                user: Some(vec![b'x'; LONGEST_ANSWER + 1].into()),
                ..Names::default()
            }),
            Answer::Unauthorized(vec![String::new(); 100].into()),
        ] {
            cache.remember(&asked, &answer, &held(&[]), now);
            assert_eq!(cache.answer(&asked, now), None);
        }
        for n in 0..100 {
            let way = format!("x-{n}");
            cache.remember(&asked, &allowed(), &held(&[&way]), now);
        }
        assert_eq!(cache.state().ways.len(), MOST_WAYS_TO_VARY);
        assert_eq!(cache.answer(&asked, now), Some(allowed()));
    }
}
