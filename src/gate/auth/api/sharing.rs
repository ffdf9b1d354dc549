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
pub(super) enum SharedWith {
    Nobody,
    /// Those that would send the same.
    Twins,
    /// All with the same credentials.
    Credentials,
}

impl SharedWith {
    pub(super) fn narrower(self) -> SharedWith {
        match self {
            SharedWith::Credentials => SharedWith::Twins,
            SharedWith::Twins | SharedWith::Nobody => SharedWith::Nobody,
        }
    }
}

/// What the last answer that let credentials in was good for. Nobody waits for an answer that, as this API answers, will
/// not be for them; to be wrong about it costs a wait or a call.
pub(super) struct Sharing(AtomicU8);

impl Default for Sharing {
    fn default() -> Sharing {
        Sharing(AtomicU8::new(SharedWith::Credentials as u8))
    }
}

impl Sharing {
    pub(super) fn shared_with(&self, question: &Question<'_>) -> SharedWith {
        match self.0.load(Ordering::Relaxed) {
            sharing if sharing == SharedWith::Nobody as u8 => SharedWith::Nobody,
            sharing if sharing == SharedWith::Credentials as u8 && !question.is_stranger() => {
                SharedWith::Credentials
            }
            _ => SharedWith::Twins,
        }
    }

    pub(super) fn learn(&self, question: &Question<'_>, answer: &Answer, reuse: &Reuse) {
        if question.is_stranger() || !matches!(answer, Answer::Allowed(_)) {
            return;
        }
        let shared_with = match reuse {
            Reuse::Never => SharedWith::Nobody,
            Reuse::Twins => SharedWith::Twins,
            Reuse::For(_, vary) if vary.iter().any(|name| name.starts_with("x-original-")) => {
                SharedWith::Twins
            }
            Reuse::For(..) => SharedWith::Credentials,
        };
        self.0.store(shared_with as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Names;
    use super::super::question::tests::question;
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_answer_that_let_credentials_in_says_who_waits_for_the_next() {
        let sharing = Sharing::default();
        let (alice, nobody) = (question("GET /a", Some("alice")), question("GET /a", None));
        let allowed = Answer::Allowed(Names::default());
        let held = |name: &str| Reuse::For(Duration::from_secs(30), vec![name.to_owned()]);
        for (reuse, with_credentials, without) in [
            (held("cookie"), SharedWith::Credentials, SharedWith::Twins),
            (held("x-original-uri"), SharedWith::Twins, SharedWith::Twins),
            (Reuse::Never, SharedWith::Nobody, SharedWith::Nobody),
            (Reuse::Twins, SharedWith::Twins, SharedWith::Twins),
            (held("cookie"), SharedWith::Credentials, SharedWith::Twins),
        ] {
            sharing.learn(&alice, &allowed, &reuse);
            // What refused or was asked without credentials says nothing.
            sharing.learn(&nobody, &allowed, &Reuse::Never);
            sharing.learn(&alice, &Answer::Denied, &Reuse::Never);
            assert_eq!(sharing.shared_with(&alice), with_credentials, "{reuse:?}");
            assert_eq!(sharing.shared_with(&nobody), without, "{reuse:?}");
        }
    }
}
