//! What the program says while it runs: messages on standard error, one line a request on standard output.
//!
//! Nobody who logs ever waits: a line goes into a bounded buffer, and a thread of its own writes it; what finds no room is
//! counted, and the count is said. Nearly every text in a line is hostile, since clients choose targets and user names:
//! no raw control character leaves this module, and no credential is passed to it. It must not know settings, HTTP or
//! TLS.

mod access;
mod audit;
mod clock;
mod journal;
mod query;
mod queue;
mod reason;
mod recent;
mod seldom;

pub use access::{Access, Registry};
pub use audit::{Audit, Deed, Verb};
pub use reason::reason;
pub use recent::Recent;
pub use seldom::Seldom;

use self::queue::{Queue, Target, Weight};
use self::recent::Ring;
use crate::net::Peer;
use crate::text::{Object, escape};
use ::log::{Level, LevelFilter, Metadata, Record};
use std::{
    cell::RefCell,
    fmt::Write as _,
    sync::{Once, OnceLock},
    time::{Duration, Instant, SystemTime},
};

/// How long the end of the program waits for somebody to read the last lines of a stream.
const LONGEST_FLUSH: Duration = Duration::from_secs(1);
/// A longer message is cut; some hold what others sent.
const LONGEST_MESSAGE: usize = 4096;

/// The form of a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line, with names that stay.
    Json,
}

/// Opens both logs; before this, and when called again, nothing happens. `log::info!` and its siblings are kept from here on,
/// those of other crates excepted, and reach standard error once writing [starts](start_writing).
pub fn open(format: Format) {
    let logs = Logs {
        format,
        messages: Queue::new(Target::Stderr),
        access: Queue::new(Target::Stdout),
        is_journal: journal::is_there(),
    };
    if LOGS.set(logs).is_ok() && ::log::set_logger(&MESSAGES).is_ok() {
        ::log::set_max_level(LevelFilter::Info);
    }
}

/// Starts the threads that write what is said. Called again, it does nothing.
pub fn start_writing() {
    static STARTED: Once = Once::new();
    if let Some(logs) = LOGS.get() {
        STARTED.call_once(|| {
            logs.messages.start_writing("messages");
            logs.access.start_writing("access-log");
        });
    }
}

/// Writes the line of one request.
pub fn access(access: &Access<'_>) {
    let Some(logs) = LOGS.get() else { return };
    with_line(|line| {
        match logs.format {
            Format::Text => access.write_text(line),
            Format::Json => access.write_json(line),
        }
        logs.access.push(line, Weight::Full);
    });
}

/// A text that others had a hand in as it may be shown to a person: one line without control characters, bounded.
pub fn harmless(text: &str) -> String {
    let mut line = String::new();
    escape::message(&mut line, bounded(text));
    line
}

/// No more of a text than a message may have.
pub(crate) fn bounded(text: &str) -> &[u8] {
    escape::cut(text.as_bytes(), LONGEST_MESSAGE)
}

/// Whether lines are JSON.
pub fn is_json() -> bool {
    LOGS.get().is_some_and(|logs| logs.format == Format::Json)
}

/// Says who did what, as a message. A flood of these leaves room for others.
pub fn audit(audit: &Audit<'_>, peer: Peer, request_id: &str) {
    let Some(logs) = LOGS.get() else { return };
    let sentence = audit.sentence(peer);
    let said = Said {
        level: Level::Info,
        text: sentence.as_bytes(),
        audit: Some((audit, peer, request_id)),
    };
    said.push(logs, Weight::Half);
}

/// The last warnings and errors, the latest first.
pub fn recent() -> Vec<Recent> {
    RECENT.list()
}

/// A time as the log shows it.
pub fn time(time: SystemTime) -> String {
    let mut text = String::new();
    clock::write_seconds(&mut text, time);
    text
}

/// What a line on standard error has to begin with if it is not written through a log: something where it goes to the
/// journal, else nothing.
pub fn priority(level: Level) -> &'static str {
    match journal::is_there() {
        true => journal::priority(level),
        false => "",
    }
}

/// Waits until all that was logged is written, for a second at most on each of the two streams. For
/// the end of the program, which may come before writing has started.
pub fn flush() {
    start_writing();
    if let Some(logs) = LOGS.get() {
        // The access log first: it may still have to say that lines were lost.
        logs.access.flush(Instant::now() + LONGEST_FLUSH);
        logs.messages.flush(Instant::now() + LONGEST_FLUSH);
    }
}

static LOGS: OnceLock<Logs> = OnceLock::new();
static RECENT: Ring = Ring::new();
static MESSAGES: Messages = Messages;

struct Logs {
    format: Format,
    messages: Queue,
    access: Queue,
    /// Whether messages go to the journal, which is told their weight.
    is_journal: bool,
}

/// The logger behind the macros of the `log` crate.
struct Messages;

impl ::log::Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What rustls has to say is about what clients do, and of no use to whoever runs the gate.
        let target = metadata.target();
        metadata.level() <= LevelFilter::Info
            && (target == "portreeve" || target.starts_with("portreeve::"))
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(logs) = LOGS.get().filter(|_| self.enabled(record.metadata())) {
            message(logs, record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {
        flush();
    }
}

fn message(logs: &Logs, level: Level, text: &str) {
    let said = Said {
        level,
        text: text.as_bytes(),
        audit: None,
    };
    RECENT.keep(SystemTime::now(), level, said.text);
    said.push(logs, Weight::Full);
}

/// A message on its way to its line.
struct Said<'a> {
    level: Level,
    text: &'a [u8],
    /// What JSON says member by member too: what was done, by whom, and the request's name.
    audit: Option<(&'a Audit<'a>, Peer, &'a str)>,
}

impl Said<'_> {
    fn push(&self, logs: &Logs, weight: Weight) {
        with_line(|line| {
            if logs.is_journal {
                line.push_str(journal::priority(self.level));
            }
            self.write(line, logs.format, SystemTime::now());
            logs.messages.push(line, weight);
        });
    }

    fn write(&self, line: &mut String, format: Format, now: SystemTime) {
        let text = escape::cut(self.text, LONGEST_MESSAGE);
        match format {
            Format::Text => {
                clock::write_seconds(line, now);
                // Writing to a string cannot fail.
                let _ = write!(line, " {} ", self.level);
                escape::message(line, text);
            }
            Format::Json => {
                let level = match self.level {
                    Level::Error => "error",
                    Level::Warn => "warn",
                    _ => "info",
                };
                let mut object = Object::new(line);
                object
                    .escaped("time", |line| clock::write_milliseconds(line, now))
                    .text("level", level)
                    .text("message", text);
                if let Some((audit, peer, request_id)) = self.audit {
                    audit.add_to(&mut object, peer, request_id);
                }
                object.end();
            }
        }
        line.push('\n');
    }
}

/// Lends a buffer that each thread keeps, so that a line costs no allocation.
fn with_line(write: impl FnOnce(&mut String)) {
    /// What one odd line needed is not kept by a thread for ever.
    const LARGEST_KEPT: usize = 8 << 10;
    thread_local! {
        static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    }
    LINE.with(|line| match line.try_borrow_mut() {
        Ok(mut line) => {
            line.clear();
            write(&mut line);
            line.shrink_to(LARGEST_KEPT);
        }
        // A message about a line that is being written.
        Err(_) => write(&mut String::new()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::log::Log;

    fn line(format: Format, level: Level, text: &str) -> String {
        let mut line = String::new();
        let said = Said {
            level,
            text: text.as_bytes(),
            audit: None,
        };
        said.write(&mut line, format, SystemTime::UNIX_EPOCH);
        line
    }

    #[test]
    fn messages_have_a_time_and_a_level() {
        assert_eq!(
            line(Format::Text, Level::Warn, "a \"b\""),
            "1970-01-01T00:00:00Z WARN a \"b\"\n"
        );
        assert_eq!(
            line(Format::Json, Level::Error, "a \"b\""),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"error\",\"message\":\"a \\\"b\\\"\"}\n"
        );
    }

    #[test]
    fn a_message_is_always_one_line_of_bearable_length() {
        assert_eq!(
            line(Format::Text, Level::Info, "a\nb\x1b[2J"),
            "1970-01-01T00:00:00Z INFO a\\nb\\x1b[2J\n"
        );
        assert!(line(Format::Text, Level::Info, &"x".repeat(1 << 20)).len() < 5000);
    }

    #[test]
    fn only_our_own_messages_from_info_up_are_taken() {
        let enabled = |target, level| {
            MESSAGES.enabled(&Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled("portreeve::server", Level::Info));
        assert!(enabled("portreeve", Level::Error));
        assert!(!enabled("portreeve::server", Level::Debug));
        assert!(!enabled("rustls::conn", Level::Error));
        assert!(!enabled("portreeves", Level::Error));
    }

    #[test]
    fn logging_before_the_start_is_no_fault() {
        flush();
        access(&Access::default());
    }
}
