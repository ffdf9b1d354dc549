//! Chunks (RFC 9112, 7.1): what a chunk line and a trailer section say, read strictly, and chunks written anew.
//! Extensions are dropped. What is read is hostile; what is written was read here or is our own.

use std::fmt;
use std::io::{self, IoSlice, Write};

use httparse::Status;

use super::fields::Fields;
use super::grammar::is_value_byte;
use super::response::may_trail;
use super::scan::{Limits, scan};

/// A size is 16 digits at most, and nobody has been seen to send extensions.
const LINE_LIMIT: usize = 1024;
/// Trailers are a checksum or two.
const TRAILERS: Limits = Limits {
    bytes: 8 * 1024,
    lines: 100,
};

/// Chunks that somebody could read in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkFault;

impl fmt::Display for ChunkFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a malformed chunk")
    }
}

impl std::error::Error for ChunkFault {}

impl From<ChunkFault> for io::Error {
    fn from(fault: ChunkFault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// Size of the chunk whose line begins `input`, and the length of that line; `None`: more bytes are needed.
pub(super) fn chunk_size(input: &[u8]) -> Result<Option<(u64, usize)>, ChunkFault> {
    let digits = input
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits > 16 {
        return Err(ChunkFault);
    }
    let after = input.get(digits..).unwrap_or_default();
    let extension = match after {
        [b';', ..] => after
            .iter()
            .take_while(|byte| is_value_byte(**byte))
            .count(),
        _ => 0,
    };
    let length = digits + extension + 2;
    match after.get(extension..).unwrap_or_default() {
        _ if length > LINE_LIMIT => Err(ChunkFault),
        _ if input.is_empty() => Ok(None),
        // httparse would take no digit at all for a size of 0.
        _ if digits == 0 => Err(ChunkFault),
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => match httparse::parse_chunk_size(input) {
            Ok(Status::Complete((used, size))) if used == length => Ok(Some((size, length))),
            _ => Err(ChunkFault),
        },
        _ => Err(ChunkFault),
    }
}

/// The fields of the trailer section that begins `input`, as lines that may be relayed, and the length of the section with
/// its empty line; `None`: more bytes are needed.
pub(super) fn trailers(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ChunkFault> {
    if let [b' ' | b'\t', ..] = input {
        return Err(ChunkFault);
    }
    let Some(lines) = scan(input, &TRAILERS).map_err(|_| ChunkFault)? else {
        return Ok(None);
    };
    let mut kept = Vec::new();
    if lines.first > 0 {
        let section = input.get(..lines.end).unwrap_or_default();
        for (name, value) in Fields::parse(section, 0).map_err(|_| ChunkFault)?.iter() {
            if may_trail(name) {
                [name.as_bytes(), b": ", value, b"\r\n"]
                    .iter()
                    .for_each(|part| kept.extend_from_slice(part));
            }
        }
    }
    Ok(Some((kept, lines.end)))
}

/// Writes each buffer that it is given as one chunk, in one call where the writer takes it whole. Dropped without
/// [`finish`](Self::finish), the body was never completed and cannot be taken for whole.
#[derive(Debug)]
pub struct ChunkWriter<W: Write> {
    inner: W,
    broken: bool,
}

impl<W: Write> ChunkWriter<W> {
    /// Writes nothing yet.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            broken: false,
        }
    }

    /// What is written to.
    pub fn inner(&self) -> &W {
        &self.inner
    }

    /// Ends the body with the last chunk and these trailer lines, each ended by CR LF, as
    /// [`Body::trailers`](super::Body::trailers) hands them out; then flushes.
    ///
    /// # Errors
    /// Those of the writer; `BrokenPipe` if an earlier write failed.
    pub fn finish(mut self, trailers: &[u8]) -> io::Result<()> {
        self.write_parts(&mut [
            IoSlice::new(b"0\r\n"),
            IoSlice::new(trailers),
            IoSlice::new(b"\r\n"),
        ])?;
        self.inner.flush()
    }

    /// A chunk that was begun cannot be taken back, so whatever fails here is the end of the body.
    fn write_parts(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.broken = true;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.inner.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut parts, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.broken = false;
        Ok(())
    }
}

impl<W: Write> Write for ChunkWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // A chunk of no bytes would be the last one.
        if data.is_empty() {
            return Ok(0);
        }
        // 16 digits, CR LF.
        let mut line = [0; 18];
        let mut rest = &mut line[..];
        write!(rest, "{:x}\r\n", data.len())?;
        let unused = rest.len();
        let line = line.get(..line.len() - unused).unwrap_or_default();
        self.write_parts(&mut [
            IoSlice::new(line),
            IoSlice::new(data),
            IoSlice::new(b"\r\n"),
        ])?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
