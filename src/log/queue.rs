//! A bounded buffer of lines and the thread that writes them, so that nobody who logs waits for whoever reads.
//!
//! It knows nothing of what a line says.

use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Counter};
use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// Room for lines that wait to be written: some 5,000 requests.
const ROOM: usize = 1 << 20;
/// How long lines are gathered before they are written, so that a busy gate makes few system calls.
const GATHER: Duration = Duration::from_millis(5);
/// How often writing is tried again on a stream that somebody made non-blocking and that is full.
const RETRY: Duration = Duration::from_millis(5);
/// Writing a few lines needs no more; the default would be 2 MiB of address space.
const STACK: usize = 128 << 10;

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The access log.
    Stdout,
    /// Messages.
    Stderr,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Stdout => "standard output",
            Target::Stderr => "standard error",
        }
    }
}

/// How much of the room a line may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// All that there is.
    Full,
    /// Half of it: strangers can cause as many of these as they like, and must not push out what matters more.
    Half,
}

impl Weight {
    fn room(self) -> usize {
        match self {
            Weight::Full => ROOM,
            Weight::Half => ROOM / 2,
        }
    }
}

/// The end that lines go in.
pub(super) struct Queue {
    shared: Arc<Shared>,
    target: Target,
    /// For whoever watches.
    lost: &'static Counter,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or no time to gather.
    to_write: Condvar,
    /// All is written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    lines: String,
    /// Lines for which there was no room since the last look.
    lost: u64,
    /// The writer waits for a line, and must be woken.
    asleep: bool,
    /// The writer is between taking lines and having them written.
    busy: bool,
    /// Somebody waits for the end.
    hurry: bool,
}

impl Queue {
    /// One that gathers, and writes nothing yet.
    pub(super) fn new(target: Target) -> Queue {
        let lost = match target {
            Target::Stdout => &metrics::ACCESS_LINES_LOST,
            Target::Stderr => &metrics::MESSAGES_LOST,
        };
        Queue {
            shared: Arc::default(),
            target,
            lost,
        }
    }

    /// Starts the thread.
    pub(super) fn start_writing(&self, name: &str) {
        let target = self.target;
        self.start_writing_with(name, move |lines| write_to(target, lines.as_bytes()));
    }

    fn start_writing_with(
        &self,
        name: &str,
        write: impl FnMut(&str) -> io::Result<()> + Send + 'static,
    ) {
        let writer = Writer {
            shared: Arc::clone(&self.shared),
            target: self.target,
            write,
            failed: false,
        };
        // Without the thread lines are counted as lost, which is better than no gate.
        let _ = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(|| writer.run());
    }

    /// Adds a line, which ends in a line feed, or counts it as lost. Never waits for the writer.
    pub(super) fn push(&self, line: &str, weight: Weight) {
        let mut state = self.shared.lock();
        if state.lines.len() + line.len() > weight.room() {
            state.lost += 1;
            self.lost.one();
            return;
        }
        state.lines.push_str(line);
        if state.asleep {
            state.asleep = false;
            drop(state);
            self.shared.to_write.notify_one();
        }
    }

    /// Waits until all lines are written, or until `until`.
    pub(super) fn flush(&self, until: Instant) {
        let mut state = self.shared.lock();
        state.hurry = true;
        self.shared.to_write.notify_one();
        while state.busy || !state.lines.is_empty() || state.lost > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .written
                .wait_timeout(state, left)
                .even_if_poisoned()
                .0;
        }
        state.hurry = false;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().even_if_poisoned()
    }
}

struct Writer<W> {
    shared: Arc<Shared>,
    target: Target,
    write: W,
    /// The last write failed, and that was said.
    failed: bool,
}

impl<W: FnMut(&str) -> io::Result<()>> Writer<W> {
    fn run(mut self) {
        let mut lines = String::new();
        loop {
            let lost = self.take(&mut lines);
            let result = (self.write)(&lines);
            self.say(&lines, lost, result);
            lines.clear();
            // One burst does not keep its memory for ever.
            lines.shrink_to(64 << 10);
        }
    }

    /// Waits for lines, gathers some more, and takes them all.
    fn take(&self, lines: &mut String) -> u64 {
        let mut state = self.shared.lock();
        state.busy = false;
        while state.lines.is_empty() && state.lost == 0 {
            self.shared.written.notify_all();
            state.asleep = true;
            state = self.shared.to_write.wait(state).even_if_poisoned();
        }
        state.asleep = false;
        let gather_until = Instant::now() + GATHER;
        while !state.hurry {
            let left = gather_until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .to_write
                .wait_timeout(state, left)
                .even_if_poisoned()
                .0;
        }
        std::mem::swap(&mut state.lines, lines);
        state.busy = true;
        std::mem::take(&mut state.lost)
    }

    /// Says what was lost: once when writing begins to fail, and each time that room was short.
    fn say(&mut self, lines: &str, lost: u64, result: io::Result<()>) {
        let name = self.target.name();
        match result {
            // There is nobody to tell when standard error itself fails.
            Err(error) if !self.failed && self.target == Target::Stdout => {
                let count = lines.lines().count();
                ::log::warn!(
                    "{name} cannot be written: {error}; the access log is lost from here on ({count} lines so far)"
                );
                self.failed = true;
            }
            Err(_) => {}
            Ok(()) if self.failed => {
                ::log::warn!("{name} can be written again");
                self.failed = false;
            }
            Ok(()) => {}
        }
        if lost > 0 {
            ::log::warn!("{lost} lines for {name} were lost, because it was read too slowly");
        }
    }
}

/// The stream that a target stands for. Not through `println!`, which panics when nobody reads any more.
fn write_to(target: Target, bytes: &[u8]) -> io::Result<()> {
    match target {
        Target::Stdout => write_fully(&mut io::stdout().lock(), bytes),
        Target::Stderr => write_fully(&mut io::stderr().lock(), bytes),
    }
}

/// Writes all, also to a stream that is set not to block, which happens when it is shared with another program.
pub(super) fn write_fully(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    loop {
        match stream.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            other => return other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A queue whose writer sends what it wrote, and before each write waits for leave.
    fn scripted() -> (Queue, Receiver<String>, Sender<io::Result<()>>) {
        let (written, receive) = channel();
        let (allow, leave) = channel::<io::Result<()>>();
        let queue = Queue::new(Target::Stdout);
        queue.start_writing_with("test", move |lines: &str| {
            let result = leave.recv().unwrap_or(Ok(()));
            let _ = written.send(lines.to_owned());
            result
        });
        (queue, receive, allow)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn lines_come_out_in_order() {
        let (queue, written, allow) = scripted();
        drop(allow);
        for number in 0..1000 {
            queue.push(&format!("{number}\n"), Weight::Full);
        }
        queue.flush(soon());
        let all: String = written.try_iter().collect();
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn whoever_logs_never_waits_and_what_has_no_room_is_counted() {
        let (queue, written, allow) = scripted();
        let line = format!("{}\n", "x".repeat(1023));
        // The writer holds some of them and waits; the rest fills the buffer and more.
        for _ in 0..4 * ROOM / line.len() {
            queue.push(&line, Weight::Full);
        }
        assert!(queue.shared.lock().lines.len() <= ROOM);
        assert!(queue.shared.lock().lost > 0);
        queue.flush(Instant::now());
        drop(allow);
        queue.flush(soon());
        assert!(written.try_iter().count() >= 1);
        assert_eq!(queue.shared.lock().lost, 0);
    }

    #[test]
    fn what_strangers_can_cause_leaves_room_for_what_matters() {
        let (queue, _written, allow) = scripted();
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..4 * ROOM / line.len() {
            queue.push(&line, Weight::Half);
        }
        let lost = queue.shared.lock().lost;
        queue.push(&line, Weight::Full);
        assert_eq!(queue.shared.lock().lost, lost);
        drop(allow);
    }

    #[test]
    fn a_reader_that_is_gone_ends_nothing() {
        let (queue, written, allow) = scripted();
        for _ in 0..2 {
            queue.push("a\n", Weight::Full);
            allow.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
            assert_eq!(written.recv().unwrap(), "a\n");
        }
        drop(allow);
        queue.push("b\n", Weight::Full);
        assert_eq!(written.recv().unwrap(), "b\n");
    }

    #[test]
    fn waiting_for_the_end_is_bounded() {
        let (queue, _written, _allow) = scripted();
        queue.push("a\n", Weight::Full);
        let start = Instant::now();
        queue.flush(start + Duration::from_millis(50));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_full_stream_that_does_not_block_is_tried_again() {
        struct Moody(Vec<u8>, u32);
        impl Write for Moody {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    _ => self.0.write(&bytes[..bytes.len().min(2)]),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut stream = Moody(Vec::new(), 0);
        write_fully(&mut stream, b"hello").unwrap();
        assert_eq!(stream.0, b"hello");
    }
}
