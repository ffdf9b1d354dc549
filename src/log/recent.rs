//! The last warnings and errors, for whoever looks at the gate and not at its log.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::SystemTime;

use ::log::Level;

use crate::lock::EvenIfPoisoned;
use crate::text::escape;

/// So many are kept.
const MOST: usize = 20;
/// What of a message is kept, in bytes.
const LONGEST: usize = 500;

/// A message that deserved attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// When it was said last.
    pub time: SystemTime,
    /// How bad it is.
    pub level: Level,
    /// What was said, escaped for a terminal and not for HTML.
    pub text: String,
    /// How often, one time after the other.
    pub times: u64,
}

pub(super) struct Ring(Mutex<VecDeque<Recent>>);

impl Ring {
    pub(super) const fn new() -> Ring {
        Ring(Mutex::new(VecDeque::new()))
    }

    pub(super) fn keep(&self, time: SystemTime, level: Level, text: &[u8]) {
        if level > Level::Warn {
            return;
        }
        let text = escape::shown(escape::cut(text, LONGEST));
        let mut ring = self.0.lock().even_if_poisoned();
        if let Some(last) = ring.back_mut()
            && (last.level, &last.text) == (level, &text)
        {
            (last.time, last.times) = (time, last.times + 1);
            return;
        }
        if ring.len() >= MOST {
            ring.pop_front();
        }
        ring.push_back(Recent {
            time,
            level,
            text,
            times: 1,
        });
    }

    /// The latest first.
    pub(super) fn list(&self) -> Vec<Recent> {
        let ring = self.0.lock().even_if_poisoned();
        ring.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_deserves_attention_is_kept_and_only_so_much() {
        let (ring, now) = (Ring::new(), SystemTime::now());
        ring.keep(now, Level::Info, b"all is well");
        for number in 0..100 {
            ring.keep(now, Level::Warn, format!("warning {number}").as_bytes());
        }
        ring.keep(now, Level::Error, &[b'x'; 5000]);
        let list = ring.list();
        assert_eq!(list.len(), MOST);
        assert_eq!(list[0].text.len(), LONGEST);
        assert_eq!(list[1].text, "warning 99");
    }

    #[test]
    fn what_is_said_again_is_counted() {
        let (ring, now) = (Ring::new(), SystemTime::now());
        for _ in 0..3 {
            ring.keep(now, Level::Error, b"down\x1b[2J");
        }
        let list = ring.list();
        assert_eq!((list.len(), list[0].times), (1, 3));
        assert_eq!(list[0].text, "down\\x1b[2J");
    }
}
