//! What a command says on its standard streams: what was asked for, and what is wrong.
//!
//! Owns writing there without ever failing in the middle: `println!` panics when nobody reads any more, so that nothing
//! else in the program may use it. What a gate says while it runs is `log`.

use std::io::{self, Write};

/// Standard output, for which a reader who has seen enough (`| head`) is no failure.
#[derive(Debug, Default)]
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        forgive(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        forgive(io::stdout().flush(), ())
    }
}

fn forgive<T>(written: io::Result<T>, done: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(done),
        other => other,
    }
}

/// A line on standard output, for a command whose exit status says it all: that it could not be written changes nothing.
pub fn tell(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line on standard error. There is nobody to tell when that fails.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
