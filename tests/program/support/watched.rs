//! A value that threads change and tests wait for, on a condition variable and never on the clock alone.
use super::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub struct Watched<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new((Mutex::new(value), Condvar::new())))
    }

    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let (value, changed) = &*self.0;
        let result = change(&mut value.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
        result
    }

    pub fn look<R>(&self, at: impl FnOnce(&T) -> R) -> R {
        at(&self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `what` finds something; `None` after `limit`.
    pub fn wait<R>(&self, limit: Duration, mut what: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let (value, changed) = &*self.0;
        let deadline = Instant::now() + limit;
        let mut value = value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = what(&value) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            value = changed
                .wait_timeout(value, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What a program has written to one of its outputs, line by line, read in the background.
#[derive(Clone)]
pub struct Lines(Watched<Written>);

struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    pub fn collect(output: impl Read + Send + 'static) -> Self {
        let written = Watched::new(Written {
            lines: Vec::new(),
            ended: false,
        });
        let lines = Self(written.clone());
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                let text = String::from_utf8_lossy(&line).into_owned();
                written.update(|written| written.lines.push(text));
                line.clear();
            }
            written.update(|written| written.ended = true);
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.look(|written| written.lines.clone())
    }

    /// The first line that is as wanted; fails the test if none comes.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.try_wait_for(wanted).unwrap_or_else(|| {
            panic!(
                "no line with {what} came; there were:\n{}",
                self.all().join("\n")
            )
        })
    }

    /// The first line that is as wanted; `None` if none comes, at once if the program has ended.
    pub fn try_wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.0
            .wait(PATIENCE, |written| {
                match written.lines.iter().find(|line| wanted(line)) {
                    Some(line) => Some(Some(line.clone())),
                    None => written.ended.then_some(None),
                }
            })
            .flatten()
    }

    /// The first line that contains `text`.
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(&format!("{text:?}"), |line| line.contains(text))
    }

    /// Waits until so many lines contain `text`.
    pub fn wait_for_count_of(&self, text: &str, count: usize) {
        let counted = |lines: &[String]| lines.iter().filter(|line| line.contains(text)).count();
        self.0
            .wait(PATIENCE, |written| {
                (counted(&written.lines) >= count).then_some(())
            })
            .unwrap_or_else(|| panic!("not {count} times {text:?}:\n{}", self.all().join("\n")));
    }

    /// All lines, once there are `count`; fails the test if there never are so many.
    pub fn wait_for_count(&self, count: usize) -> Vec<String> {
        self.0
            .wait(PATIENCE, |written| {
                (written.lines.len() >= count).then(|| written.lines.clone())
            })
            .unwrap_or_else(|| {
                panic!(
                    "{count} lines expected, there were:\n{}",
                    self.all().join("\n")
                )
            })
    }

    /// Waits until the program has closed this output.
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        self.0
            .wait(limit, |written| written.ended.then_some(()))
            .is_some()
    }
}
