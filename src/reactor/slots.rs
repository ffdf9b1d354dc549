//! Where the tasks of one loop are.
//!
//! Owns their places. A place is named by a key that holds its number and how many had it before, so that what was meant for an
//! earlier task is known as that.

use super::task::Notice;
use super::timers::Timer;

/// The tasks of one loop.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

/// One place.
#[derive(Debug)]
pub(super) struct Slot<T> {
    generation: u32,
    pub(super) task: Place<T>,
    /// It is in the run queue.
    pub(super) is_queued: bool,
    pub(super) timer: Timer,
}

/// Where the task of a slot is.
#[derive(Debug)]
pub(super) enum Place<T> {
    /// There is none.
    Nowhere,
    /// Here.
    Here(Box<T>),
    /// On a thread of the pool; what has happened meanwhile.
    Out {
        is_wanted: bool,
        notices: Vec<Notice>,
    },
}

impl<T> Slots<T> {
    pub(super) fn new() -> Slots<T> {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// A place for a task, which is named by the key.
    pub(super) fn insert(&mut self, task: Box<T>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                task: Place::Nowhere,
                is_queued: false,
                timer: Timer::default(),
            });
            (self.slots.len() - 1) as u32
        });
        match self.slots.get_mut(index as usize) {
            Some(slot) => {
                slot.task = Place::Here(task);
                slot.is_queued = false;
                u64::from(slot.generation) << 32 | u64::from(index)
            }
            None => u64::MAX,
        }
    }

    /// The place that a key names, if its task is not over.
    pub(super) fn find(&mut self, key: u64) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(index_of(key) as usize)?;
        let is_same = slot.generation == (key >> 32) as u32;
        (is_same && !matches!(slot.task, Place::Nowhere)).then_some(slot)
    }

    /// The key of whoever is in a place now.
    pub(super) fn key(&self, index: u32) -> Option<u64> {
        let slot = self.slots.get(index as usize)?;
        Some(u64::from(slot.generation) << 32 | u64::from(index))
    }

    /// Ends a task's place. Its timer has to be cancelled before.
    pub(super) fn remove(&mut self, key: u64) {
        if let Some(slot) = self.find(key) {
            slot.task = Place::Nowhere;
            // The highest generation is never used: a key of all ones is nobody's.
            slot.generation = slot.generation.wrapping_add(1) % u32::MAX;
            self.free.push(index_of(key));
        }
    }

    /// The keys of all tasks.
    pub(super) fn keys(&self) -> Vec<u64> {
        let is_used = |slot: &Slot<T>| !matches!(slot.task, Place::Nowhere);
        (0_u64..)
            .zip(&self.slots)
            .filter(|(_, slot)| is_used(slot))
            .map(|(index, slot)| u64::from(slot.generation) << 32 | index)
            .collect()
    }
}

/// The number of a place.
pub(super) fn index_of(key: u64) -> u32 {
    (key & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_earlier_task_finds_nobody() {
        let mut slots = Slots::new();
        let first = slots.insert(Box::new("first"));
        slots.remove(first);
        let second = slots.insert(Box::new("second"));
        assert_eq!(index_of(first), index_of(second));
        assert!(slots.find(first).is_none());
        assert!(
            matches!(&slots.find(second).unwrap().task, Place::Here(task) if **task == "second")
        );
        assert_eq!(slots.keys(), [second]);
        slots.remove(first);
        assert_eq!(slots.keys(), [second]);
        slots.remove(second);
        assert!(slots.keys().is_empty() && slots.find(second).is_none());
    }
}
