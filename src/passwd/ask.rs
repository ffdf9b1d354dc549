//! A password from a person or from a program.
//!
//! Owns the terminal's echo while somebody types, and gives it back however that ends. Must not know what the password
//! is for.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use zeroize::Zeroizing;

/// Far more than any hash takes. It bounds what a program may pour in, and is never grown into, so that no copy of a
/// password is left behind.
const LONGEST: usize = 4096;

/// Whether a mistyped password would be found out later anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    Twice,
}

/// One line of standard input, for programs. Its end is no part of the password.
pub(crate) fn from_stdin() -> Result<Zeroizing<Vec<u8>>, String> {
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    only_line(File::from(input))
}

fn only_line(input: impl Read) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    input
        .take(LONGEST as u64)
        .read_to_end(&mut line)
        .map_err(failed)?;
    if line.len() == LONGEST {
        return Err("too much on standard input: one line with the password is wanted".to_owned());
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    if line.contains(&b'\n') {
        return Err(
            "more than one line on standard input: one line with the password is wanted".to_owned(),
        );
    }
    Ok(line)
}

/// Asks on the terminal, without echo. `instead` is the flag of those who have none.
pub(crate) fn from_terminal(
    user: &str,
    times: Times,
    instead: &str,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(format!(
            "standard input is not a terminal: use {instead} to hand over the password there"
        ));
    }
    let terminal = stdin.as_fd().try_clone_to_owned().map_err(failed)?;
    let mut terminal = Silenced::new(File::from(terminal)).map_err(failed)?;
    let first = terminal.ask(&format!("password for \"{user}\": "))?;
    if times == Times::Twice {
        let second = terminal.ask("the same again: ")?;
        if first != second {
            return Err("the two passwords differ: nothing was changed".to_owned());
        }
    }
    Ok(first)
}

fn failed(error: io::Error) -> String {
    format!("cannot read the password: {error}")
}

/// A terminal that does not echo. It echoes again when this is dropped, and also when a signal ends the program.
/// Afterwards those signals are ignored, which is well: nothing that takes long comes after the password.
struct Silenced {
    terminal: Arc<File>,
    before: Termios,
    signals: Handle,
    watcher: Option<JoinHandle<()>>,
}

impl Silenced {
    fn new(terminal: File) -> io::Result<Silenced> {
        let before = tcgetattr(&terminal)?;
        let terminal = Arc::new(terminal);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
        let handle = signals.handle();
        let watcher = std::thread::Builder::new().spawn({
            let (terminal, before) = (Arc::clone(&terminal), before.clone());
            move || {
                if let Some(signal) = signals.forever().next() {
                    restore(&terminal, &before);
                    // The shell's prompt belongs on a line of its own.
                    let _ = io::stderr().write_all(b"\n");
                    let _ = emulate_default_handler(signal);
                }
            }
        })?;
        let silenced = Silenced {
            terminal,
            before,
            signals: handle,
            watcher: Some(watcher),
        };
        let mut quiet = silenced.before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The end of a line is shown, or the next question would stand behind the first.
        quiet.local_modes.insert(LocalModes::ECHONL);
        // What was typed ahead was typed with echo: it is thrown away.
        tcsetattr(&*silenced.terminal, OptionalActions::Flush, &quiet)?;
        Ok(silenced)
    }

    fn ask(&mut self, question: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        // On standard error: what is on standard output may be read by a program.
        let _ = io::stderr().write_all(question.as_bytes());
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut byte = [0];
        loop {
            match (&*self.terminal).read(&mut byte) {
                Ok(0) => {
                    let _ = io::stderr().write_all(b"\n");
                    return Err("no password was given".to_owned());
                }
                Ok(_) if byte == *b"\n" => return Ok(line),
                Ok(_) if line.len() < LONGEST => line.extend_from_slice(&byte),
                Ok(_) => return Err("the password is too long".to_owned()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        restore(&self.terminal, &self.before);
        self.signals.close();
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn restore(terminal: &File, before: &Termios) {
    let _ = tcsetattr(terminal, OptionalActions::Now, before);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_taken_without_its_end() {
        for (input, password) in [
            (&b"secret\n"[..], &b"secret"[..]),
            (b"secret\r\n", b"secret"),
            (b"secret", b"secret"),
            (b" two words \n", b" two words "),
            (b"\n", b""),
            (b"", b""),
            (b"p\xe4ss\n", b"p\xe4ss"),
        ] {
            assert_eq!(*only_line(input).unwrap(), password);
        }
        assert!(only_line(&b"one\ntwo\n"[..]).is_err());
        assert!(only_line(&b"one\n\n"[..]).is_err());
        assert!(only_line(io::repeat(b'x')).is_err());
    }
}
