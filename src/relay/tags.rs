//! Tags that are being stored for somebody who may not move them, one request at a time for each.
//!
//! Owns who has a tag now and who waits for it. Whoever has it holds an owned permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::EvenIfPoisoned;
use crate::reactor::Waker;

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
    waiting: Vec<Waker>,
}

/// The tag is one request's, until this is dropped.
pub(super) struct Permit {
    tags: Tags,
    tag: Box<str>,
}

impl Tags {
    /// The tag, or the number of whoever has it. Then `waker` is called when it is free, unless it waits for `known` already.
    pub(super) fn take(
        &self,
        tag: &str,
        known: Option<u64>,
        waker: impl FnOnce() -> Waker,
    ) -> Result<Permit, u64> {
        let mut state = self.state();
        let number = state.next;
        if let Some(holder) = state.taken.get_mut(tag) {
            if known != Some(holder.number) {
                holder.waiting.push(waker());
            }
            return Err(holder.number);
        }
        state.next += 1;
        let waiting = Vec::new();
        state.taken.insert(tag.into(), Holder { number, waiting });
        Ok(Permit {
            tags: self.clone(),
            tag: tag.into(),
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
        let holder = self.tags.state().taken.remove(&self.tag);
        // All of them: whoever is first has it, and the others wait for that one.
        let waiting = holder.into_iter().flat_map(|holder| holder.waiting);
        waiting.for_each(|waker| waker.wake());
    }
}
