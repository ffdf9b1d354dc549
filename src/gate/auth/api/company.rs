//! Who waits for whose answer.
//!
//! Owns the guess, from how the API answered before, for whom the next answer will be good. It only saves calls and
//! waits: who may really use an answer is decided when it is there.

use std::sync::atomic::{AtomicU8, Ordering};

use super::answer::Answer;
use super::question::Question;
use super::reuse::Reuse;

/// With whom a question goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Company {
    Nobody,
    /// Those that would send the same.
    Twins,
    /// All with the same credentials.
    Credentials,
}

impl Company {
    pub(super) fn narrower(self) -> Company {
        match self {
            Company::Credentials => Company::Twins,
            Company::Twins | Company::Nobody => Company::Nobody,
        }
    }
}

/// What the last answer that let credentials in was good for. Nobody waits for an answer that, as this API answers, will
/// not be for them; to be wrong about it costs a wait or a call.
pub(super) struct Habit(AtomicU8);

impl Default for Habit {
    fn default() -> Habit {
        Habit(AtomicU8::new(Company::Credentials as u8))
    }
}

impl Habit {
    pub(super) fn company(&self, question: &Question<'_>) -> Company {
        match self.0.load(Ordering::Relaxed) {
            habit if habit == Company::Nobody as u8 => Company::Nobody,
            habit if habit == Company::Credentials as u8 && !question.is_stranger() => {
                Company::Credentials
            }
            _ => Company::Twins,
        }
    }

    pub(super) fn learn(&self, question: &Question<'_>, answer: &Answer, reuse: &Reuse) {
        if question.is_stranger() || !matches!(answer, Answer::Allowed(_)) {
            return;
        }
        let company = match reuse {
            Reuse::Never => Company::Nobody,
            Reuse::Twins => Company::Twins,
            Reuse::For(_, vary) if vary.iter().any(|name| name.starts_with("x-original-")) => {
                Company::Twins
            }
            Reuse::For(..) => Company::Credentials,
        };
        self.0.store(company as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::tests::question;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_answer_that_let_credentials_in_says_who_waits_for_the_next() {
        let habit = Habit::default();
        let (alice, nobody) = (question("GET /a", Some("alice")), question("GET /a", None));
        let allowed = Answer::Allowed(None);
        let held = |name: &str| Reuse::For(Duration::from_secs(30), vec![name.to_owned()]);
        for (reuse, with_credentials, without) in [
            (held("cookie"), Company::Credentials, Company::Twins),
            (held("x-original-uri"), Company::Twins, Company::Twins),
            (Reuse::Never, Company::Nobody, Company::Nobody),
            (Reuse::Twins, Company::Twins, Company::Twins),
            (held("cookie"), Company::Credentials, Company::Twins),
        ] {
            habit.learn(&alice, &allowed, &reuse);
            // What refused or was asked without credentials says nothing.
            habit.learn(&nobody, &allowed, &Reuse::Never);
            habit.learn(&alice, &Answer::Denied, &Reuse::Never);
            assert_eq!(habit.company(&alice), with_credentials, "{reuse:?}");
            assert_eq!(habit.company(&nobody), without, "{reuse:?}");
        }
    }
}
