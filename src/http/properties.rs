//! What must hold of heads and bodies whatever the bytes are: what is accepted means the same after it was passed on, to us
//! and to far simpler readers, and nothing depends on how the bytes were cut on their way. The tests beside this call it
//! with made-up messages, the fuzz targets of `tests/fuzz` with any at all. Whatever does not hold panics.

mod chunks;
mod request;
mod response;

pub(crate) use chunks::chunks;
pub(crate) use request::request_head;
pub(crate) use response::response_head;

#[cfg(test)]
pub(super) use {chunks::chunks_come_back, request::is_passed_on, response::is_relayed};

use std::io::{self, Read};

use super::*;

/// Xorshift: repeatable, and no dependency.
pub(super) struct Dice(pub u64);

impl Dice {
    /// Thrown by the input itself, so that a finding is found again.
    pub fn of(input: &[u8]) -> Self {
        let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        // Never 0, where xorshift would stay.
        Self(input.iter().fold(0xcbf2_9ce4_8422_2325, fold) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Hands out its bytes in pieces of all sizes, with nothing ready in between now and then.
struct Drip<'a> {
    rest: &'a [u8],
    dice: Dice,
}

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.dice.below(8) {
            0 => return Err(io::ErrorKind::WouldBlock.into()),
            1 => return Err(io::ErrorKind::Interrupted.into()),
            _ => {}
        }
        let most = [1, 2, 7, 100, 5_000][self.dice.below(5)];
        let (now, later) = self.rest.split_at(self.rest.len().min(most).min(out.len()));
        out[..now.len()].copy_from_slice(now);
        self.rest = later;
        Ok(now.len())
    }
}

/// How reading a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// The stream ended before the body did.
    Short,
    /// Chunks outside the grammar.
    Bad,
}

/// What a body was.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    data: Vec<u8>,
    end: End,
    trailers: Vec<u8>,
    /// What is behind a whole body.
    behind: Vec<u8>,
}

/// Reads a body to its end into buffers of all sizes, as often as the stream says that it would block.
fn read_body<S: Read>(input: &mut Input<S>, framing: Framing, dice: &mut Dice) -> Outcome {
    let mut body = Body::new(input, framing);
    let mut data = Vec::new();
    let mut out = vec![0; [1, 3, 300, 20_000][dice.below(4)]];
    let end = loop {
        let left = body.remaining_length();
        match body.read(&mut out) {
            Ok(0) => break End::Whole,
            Ok(count) => {
                data.extend_from_slice(&out[..count]);
                let expected = left.map(|left| left - count as u64);
                assert!(expected.is_none() || body.remaining_length() == expected);
            }
            Err(error) if is_bad_chunk(&error) => break End::Bad,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break End::Short,
            Err(error) => assert!(retried(&error), "{error}"),
        }
    };
    assert_eq!(body.is_complete(), end == End::Whole);
    // The end, good or bad, is the end.
    let again = body.read(&mut out);
    assert_eq!(again.ok(), (end == End::Whole).then_some(0));
    let trailers = body.trailers().to_vec();
    let mut behind = Vec::new();
    let input = body.into_input();
    if end == End::Whole {
        while let Err(error) = input.read_to_end(&mut behind) {
            assert!(retried(&error), "{error}");
        }
    }
    Outcome {
        data,
        end,
        trailers,
        behind,
    }
}

fn retried(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The body at the beginning of `bytes`, which is the same however they come.
fn body_of(bytes: &[u8], framing: Framing) -> Outcome {
    let mut dice = Dice::of(bytes);
    let whole = read_body(&mut Input::new(bytes), framing, &mut dice);
    let dripped = dripped_body_of(bytes, framing);
    assert_eq!(whole, dripped, "{framing:?} {}", bytes.escape_ascii());
    whole
}

/// The same, from pieces alone.
fn dripped_body_of(bytes: &[u8], framing: Framing) -> Outcome {
    let mut dice = Dice::of(bytes);
    let drip = Drip {
        rest: bytes,
        dice: Dice(dice.0),
    };
    read_body(&mut Input::new(drip), framing, &mut dice)
}

/// Some places to cut at: all of them in what is short, else the ends and a few in between.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const ALL: usize = 24;
    let length = bytes.len();
    let mut dice = Dice::of(bytes);
    let count = length.min(ALL) + 1;
    (0..count).map(move |at| match at {
        _ if length <= ALL => at,
        0..4 => at,
        4..8 => length + 4 - at,
        _ => dice.below(length),
    })
}

/// Whether and where a head ends is said once enough of it is there, and not otherwise with more. `parse` is to say how many
/// bytes it took, or its fault.
fn is_decided_once<F: std::fmt::Debug>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<Option<usize>, F>,
) {
    let whole = parse(bytes);
    let shown = || bytes.escape_ascii();
    for cut in cuts(bytes) {
        match (parse(&bytes[..cut]), &whole) {
            (Ok(Some(part)), Ok(Some(used))) => {
                assert!(part == *used && part <= cut, "{}", shown())
            }
            (Ok(None), Ok(Some(used))) => assert!(cut < *used, "{cut} {}", shown()),
            (Ok(None), _) | (Err(_), Err(_)) => {}
            (part, whole) => panic!("{part:?} at {cut}, then {whole:?}: {}", shown()),
        }
    }
    if let Ok(Some(used)) = whole {
        for behind in [&b""[..], b"\r\n", b" ", b"\0", b"GET / HTTP/1.1\r\n"] {
            let other = [&bytes[..used], behind].concat();
            assert_eq!(parse(&other).ok(), Some(Some(used)), "{}", shown());
        }
    }
}

/// Lines at every LF, names up to the first colon, `_` as `-`: as careless as readers come.
fn carelessly(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.split('\n').map(|line| line.trim().to_owned());
    let first = lines.next().unwrap_or_default();
    let mut fields = vec![(String::new(), first)];
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .map_or((line.as_str(), ""), |(name, value)| {
                (name.trim(), value.trim())
            });
        fields.push((name.to_lowercase().replace('_', "-"), value.to_owned()));
    }
    fields
}

fn count(fields: &[(String, String)], name: &str) -> usize {
    fields.iter().filter(|field| field.0 == name).count()
}

/// The fields that go through, as those who wrote them and those who read them must agree on.
fn end_to_end<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    connection: &[&[u8]],
    keep: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<u8>)> {
    let passes = |name: &str| {
        keep(name)
            && !connection_lists(connection.iter().copied(), name)
            && !["content-length", "content_length", "expect"]
                .contains(&name.to_lowercase().as_str())
    };
    fields
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect()
}

/// What the framing fields say, read without any care for what they must not say: `None` for what must be refused.
fn framing_of(headers: &[httparse::Header<'_>], otherwise: Framing) -> Option<Framing> {
    let values = |wanted: &str| -> Vec<String> {
        headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(wanted))
            .map(|header| String::from_utf8_lossy(header.value).to_lowercase())
            .collect()
    };
    let codings = values("transfer-encoding").join(",");
    match (&*values("content-length"), &*codings) {
        ([], "") => Some(otherwise),
        ([length], "") => length.parse().ok().map(Framing::Length),
        // Blanks and empty elements are all that may stand beside the one coding that there is.
        ([], codings) => {
            let mut named = codings.split(',').map(str::trim);
            named
                .all(|coding| coding == "chunked")
                .then_some(Framing::Chunked)
        }
        _ => None,
    }
}
