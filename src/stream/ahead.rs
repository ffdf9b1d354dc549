//! Ciphertext on its way from the socket to rustls, and where records end in it.
//!
//! Owns what was read and not yet given on, and the count of records that brought nothing. It sees the heads of records alone,
//! and must not know what is in them. All of it is hostile.

use std::fmt;
use std::io::{self, Read};

/// Records shorter than this are given on one by one, so that it is known of each whether it brought content. Of longer ones
/// there are no more than four in what rustls takes at once.
const SHORT: usize = 4 * 1024;
/// The head of a record: its type, a version, and the length of what follows (RFC 8446, 5.1).
const HEAD: usize = 5;

/// Ciphertext that rustls has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// What one read of the socket may take; zero leaves it to rustls.
    capacity: usize,
    /// Whether the peer may have taken this for a port in the clear.
    may_be_clear: bool,
    /// Of what was given on.
    pub(super) records: Records,
}

/// What of records has been given on, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Bytes of the one that has begun.
    begun: usize,
    /// What its head says of it, as far as that is there.
    length: usize,
    /// Whole ones since the last content.
    without_content: usize,
    /// Bytes of whole ones since the last content or the last answer.
    unanswered: usize,
    is_touched: bool,
}

impl Ahead {
    /// For the side that is spoken to first.
    pub(super) fn of_server() -> Ahead {
        Ahead {
            may_be_clear: true,
            ..Ahead::default()
        }
    }

    /// From now on up to so many bytes are read at once.
    pub(super) fn reserve(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Leaves the size of reads to rustls again.
    pub(super) fn shrink(&mut self) {
        self.capacity = 0;
        self.give_back();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Its memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity()
    }

    /// What was not given on.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.end);
        self.bytes.drain(..self.start.min(self.end));
        self.bytes
    }

    /// Gives on what there is, or else what one read of `socket` brings, up to the end of a short record. `Ok(0)` is the end.
    ///
    /// # Errors
    /// Those of the socket; one of [`in_the_clear`] where what came first begins like a word and is no TLS.
    pub(super) fn give(&mut self, socket: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
        if self.is_empty() {
            if self.capacity == 0 {
                let read = socket.read(to)?;
                let came = to.get(..read).unwrap_or_default();
                let given = match self.is_clear(came) {
                    true => 0,
                    false => self.records.go_over(came),
                };
                if given < read {
                    self.keep(came.get(given..).unwrap_or_default());
                }
                return match given {
                    0 if read > 0 => Err(io::Error::other(InTheClear)),
                    given => Ok(given),
                };
            }
            self.bytes.resize(self.capacity, 0);
            (self.start, self.end) = (0, 0);
            self.end = socket.read(&mut self.bytes)?;
        }
        let held = self.bytes.get(self.start..self.end).unwrap_or_default();
        let held = held.get(..to.len()).unwrap_or(held);
        let given = self.records.go_over(held);
        if let (Some(to), Some(from)) = (to.get_mut(..given), held.get(..given)) {
            to.copy_from_slice(from);
        }
        self.start += given;
        self.give_back();
        Ok(given)
    }

    fn is_clear(&self, came: &[u8]) -> bool {
        // The types of records are control characters, those of SSL 2 have the highest bit.
        let is_word = came.first().is_some_and(u8::is_ascii_alphabetic);
        self.may_be_clear && !self.records.is_touched && is_word
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
        (self.start, self.end) = (0, bytes.len());
    }

    /// Frees what is not needed.
    fn give_back(&mut self) {
        if self.capacity == 0 && self.is_empty() {
            self.bytes = Vec::new();
            (self.start, self.end) = (0, 0);
        }
    }
}

impl Records {
    /// Whole records since the last content.
    pub(super) fn without_content(&self) -> usize {
        self.without_content
    }

    /// Bytes since the last content or the last answer, those of a record that is not whole included.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered + self.begun
    }

    /// What was given on brought content, or the end of the handshake.
    pub(super) fn brought_content(&mut self) {
        self.without_content = 0;
        self.was_answered();
    }

    /// What was given on was enough for an answer.
    pub(super) fn was_answered(&mut self) {
        self.unanswered = 0;
    }

    /// Goes over bytes up to the end of the first short record, or over all. Says how many these are.
    fn go_over(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        self.is_touched |= !bytes.is_empty();
        while let Some(byte) = bytes.get(at) {
            let step = if self.begun < HEAD {
                // The length is the last two bytes of the head.
                self.length = match self.begun {
                    3.. => self.length << 8 | usize::from(*byte),
                    _ => 0,
                };
                1
            } else {
                let left = (HEAD + self.length).saturating_sub(self.begun);
                left.min(bytes.len() - at)
            };
            at += step;
            self.begun += step;
            if self.begun >= HEAD && self.begun >= HEAD + self.length {
                self.without_content += 1;
                self.unanswered += self.begun;
                let is_short = self.begun < SHORT;
                (self.begun, self.length) = (0, 0);
                if is_short {
                    break;
                }
            }
        }
        at
    }
}

/// Whether a handshake failed because the client does not speak TLS, and perhaps HTTP.
pub fn in_the_clear(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<InTheClear>())
}

#[derive(Debug)]
struct InTheClear;

impl fmt::Display for InTheClear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came is not TLS")
    }
}

impl std::error::Error for InTheClear {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(length: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        [&[23, 3, 3, high, low][..], &vec![7; length]].concat()
    }

    /// All of `bytes`, which come in pieces of `piece` bytes and are taken `room` bytes at a time: what was given on at each
    /// call that ended a record.
    fn ends(ahead: &mut Ahead, bytes: &[u8], piece: usize, room: usize) -> (Vec<u8>, Vec<usize>) {
        struct Pieces<'a>(&'a [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let most = self.1.min(to.len());
                self.0.take(most as u64).read(to).inspect(|read| {
                    self.0 = &self.0[*read..];
                })
            }
        }
        let (mut given, mut ends) = (Vec::new(), Vec::new());
        let mut socket = Pieces(bytes, piece);
        let mut to = vec![0; room];
        loop {
            let before = ahead.records.without_content();
            let count = ahead.give(&mut socket, &mut to).unwrap();
            if count == 0 {
                return (given, ends);
            }
            given.extend_from_slice(&to[..count]);
            if ahead.records.without_content() > before {
                ends.push(given.len());
            }
        }
    }

    #[test]
    fn short_records_are_given_on_one_by_one_however_they_come() {
        let lengths = [0, 1, 17, 300, 0, 0, 16_406, 22, 18_432, 5];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| record(*length)).collect();
        for piece in [1, 2, 3, 7, 4096, usize::MAX] {
            for room in [1, 5, 4096, 18_437] {
                for capacity in [0, 4096, 256 * 1024] {
                    let mut ahead = Ahead::default();
                    ahead.reserve(capacity);
                    let (given, ends) = ends(&mut ahead, &bytes, piece, room);
                    assert!(given == bytes, "{piece} {room} {capacity}");
                    assert_eq!(ahead.records.without_content(), lengths.len());
                    assert_eq!(ahead.records.unanswered(), bytes.len());
                    let mut at = 0;
                    for length in lengths.iter().filter(|length| HEAD + **length < SHORT) {
                        at = bytes_before(&lengths, at, *length);
                        assert!(ends.contains(&at), "{length}: {ends:?}");
                    }
                    assert!(ahead.is_empty());
                    ahead.shrink();
                    assert_eq!(ahead.size(), 0);
                }
            }
        }
    }

    /// Where the next record of that length ends behind `at`.
    fn bytes_before(lengths: &[usize], at: usize, length: usize) -> usize {
        let mut end = 0;
        for one in lengths {
            end += HEAD + one;
            if end > at && *one == length {
                break;
            }
        }
        end
    }

    #[test]
    fn content_begins_the_count_anew_and_an_answer_only_what_is_held() {
        let mut records = Records::default();
        assert_eq!(records.go_over(&record(100)[..40]), 40);
        assert_eq!((records.without_content(), records.unanswered()), (0, 40));
        assert_eq!(records.go_over(&record(100)[40..]), 65);
        assert_eq!((records.without_content(), records.unanswered()), (1, 105));
        records.was_answered();
        assert_eq!((records.without_content(), records.unanswered()), (1, 0));
        records.go_over(&record(9)[..3]);
        records.brought_content();
        assert_eq!((records.without_content(), records.unanswered()), (0, 3));
    }

    #[test]
    fn who_speaks_in_the_clear_is_known_by_the_first_byte_and_no_byte_is_lost() {
        for (may_be_clear, bytes, is_clear) in [
            (true, &b"GET / HTTP/1.1\r\n\r\n"[..], true),
            (true, b"SSH-2.0-x\r\n", true),
            (true, &record(4), false),
            (true, b"\x80\x2e\x01", false),
            (false, b"HTTP/1.1 400 x\r\n", false),
        ] {
            let mut ahead = match may_be_clear {
                true => Ahead::of_server(),
                false => Ahead::default(),
            };
            let given = ahead.give(&mut &bytes[..], &mut [0; 100]);
            match is_clear {
                true => {
                    assert!(in_the_clear(&given.unwrap_err()));
                    assert_eq!(ahead.into_bytes(), bytes);
                }
                false => assert_eq!(given.unwrap(), bytes.len()),
            }
        }
        // Behind a record, it is TLS's business.
        let mut ahead = Ahead::of_server();
        let mixed = [record(4), b"GET".to_vec()].concat();
        let mut to = [0; 100];
        let mut socket = &mixed[..];
        assert_eq!(ahead.give(&mut socket, &mut to).unwrap(), 9);
        assert_eq!(ahead.give(&mut socket, &mut to).unwrap(), 3);
    }
}
