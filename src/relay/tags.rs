//! Tags that are being stored for somebody who may not move them, one request at a time for each.
//!
//! Owns who has a tag now and who waits for it. Whoever has it holds an owned permit. Where nobody can say whether the backend is
//! still storing it the tag stays taken for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::EvenIfPoisoned;
use crate::reactor::Waker;

/// How long a tag stays taken whose end nobody has heard of: no registry works on a request for long whose connection is closed.
/// A debug build takes it from the environment (`UNHEARD_TAGS=1`, in seconds), so that a test sees it end.
fn unheard() -> Duration {
    let seconds = match cfg!(debug_assertions) {
        true => std::env::var("UNHEARD_TAGS").ok(),
        false => None,
    };
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// All tags that are being stored.
#[derive(Clone, Default)]
pub(super) struct Tags(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    taken: HashMap<Box<str>, Holder>,
    next: u64,
}

struct Holder {
    number: u64,
    /// Nobody has it any more, and until then it may still be stored.
    unheard: Option<Instant>,
    waiting: Vec<Waker>,
}

/// The tag is one request's, until this is dropped.
pub(super) struct Permit {
    tags: Tags,
    tag: Box<str>,
    is_unheard: bool,
}

/// Somebody else has the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Who.
    pub(super) number: u64,
    /// When it is free, whatever happens.
    pub(super) until: Option<Instant>,
}

impl Permit {
    /// From now on a backend may be storing it.
    pub(super) fn is_asked_for(&mut self) {
        self.is_unheard = true;
    }

    /// A backend has said what became of it.
    pub(super) fn is_answered(&mut self) {
        self.is_unheard = false;
    }
}

impl Tags {
    /// The tag, or who has it. Then `waker` is called when it is free, unless it waits for `known` already.
    pub(super) fn take(
        &self,
        tag: &str,
        known: Option<u64>,
        now: Instant,
        waker: impl FnOnce() -> Waker,
    ) -> Result<Permit, Taken> {
        let mut state = self.state();
        let number = state.next;
        if let Some(holder) = state.taken.get_mut(tag)
            && holder.unheard.is_none_or(|until| now < until)
        {
            if known != Some(holder.number) {
                holder.waiting.push(waker());
            }
            return Err(Taken {
                number: holder.number,
                until: holder.unheard,
            });
        }
        state.next += 1;
        let waiting = Vec::new();
        let holder = Holder {
            number,
            unheard: None,
            waiting,
        };
        state.taken.insert(tag.into(), holder);
        Ok(Permit {
            tags: self.clone(),
            tag: tag.into(),
            is_unheard: false,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().even_if_poisoned()
    }
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} tags", self.state().taken.len())
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.tag)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.tags.state();
        let waiting = match self.is_unheard {
            true => {
                let now = Instant::now();
                let is_left = |holder: &mut Holder| holder.unheard.is_none_or(|until| now < until);
                state.taken.retain(|_, holder| is_left(holder));
                state.taken.get_mut(&self.tag).map(|holder| {
                    holder.unheard = Some(now + unheard());
                    std::mem::take(&mut holder.waiting)
                })
            }
            false => state.taken.remove(&self.tag).map(|holder| holder.waiting),
        };
        drop(state);
        // All of them: whoever is first has it, and the others wait for that one.
        let waiting = waiting.into_iter().flatten();
        waiting.for_each(|waker| waker.wake());
    }
}
