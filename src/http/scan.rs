//! Finds the end of a head or a trailer section in raw bytes, and refuses what the parser behind it would forgive:
//! line ends that are not CR LF, NUL, folded lines. Limits hold for incomplete input too, so that nobody is waited for
//! whose head can no longer become good. All input is hostile.

/// How much of a section is taken at all.
pub(super) struct Limits {
    pub bytes: usize,
    /// The start line counts as one.
    pub lines: usize,
}

/// Where a complete section ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// Length of the first line, without its CR LF.
    pub first: usize,
    /// Length of the whole section with the empty line that ends it.
    pub end: usize,
}

/// What is wrong with the raw lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFault {
    BareLineFeed,
    BareCarriageReturn,
    Nul,
    Folded,
    TooLong,
    TooManyLines,
}

/// `None`: no end yet, and still hope.
pub(super) fn scan(input: &[u8], limits: &Limits) -> Result<Option<Lines>, LineFault> {
    let mut rest = input.get(..limits.bytes).unwrap_or(input);
    let mut first = None;
    let mut lines = 0;
    let mut passed = 0;
    loop {
        if let [b' ' | b'\t', ..] = rest {
            // RFC 9112, 2.2 and 5.2: white space before the first field or before any later one.
            if lines > 0 {
                return Err(LineFault::Folded);
            }
        }
        let Some(stop) = next_ending(rest) else {
            break;
        };
        let ending = rest.get(stop..).unwrap_or_default();
        let after = match ending {
            [b'\r', b'\n', after @ ..] => after,
            [b'\r'] => break,
            [b'\r', ..] => return Err(LineFault::BareCarriageReturn),
            [b'\n', ..] => return Err(LineFault::BareLineFeed),
            _ => return Err(LineFault::Nul),
        };
        passed += stop + 2;
        if stop == 0 {
            return Ok(Some(Lines {
                first: first.unwrap_or(0),
                end: passed,
            }));
        }
        first = first.or(Some(stop));
        lines += 1;
        if lines > limits.lines {
            return Err(LineFault::TooManyLines);
        }
        rest = after;
    }
    if input.len() >= limits.bytes {
        Err(LineFault::TooLong)
    } else {
        Ok(None)
    }
}

/// Where the next CR, LF or NUL is.
fn next_ending(input: &[u8]) -> Option<usize> {
    let mut passed = 0;
    loop {
        let rest = input.get(passed..)?;
        let at = passed + next_low(rest)?;
        if matches!(input.get(at), Some(b'\r' | b'\n' | 0)) {
            return Some(at);
        }
        passed = at + 1;
    }
}

/// Where the first byte up to CR is. Eight at a time: a byte that is below the bound borrows from its highest bit, and so may
/// those above it, but not those below.
fn next_low(input: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    const BOUND: u64 = ONES * (b'\r' as u64 + 1);
    let (words, _) = input.as_chunks::<8>();
    let hit = words.iter().enumerate().find_map(|(place, word)| {
        let word = u64::from_le_bytes(*word);
        let low = word.wrapping_sub(BOUND) & !word & (ONES << 7);
        (low != 0).then(|| place * 8 + low.trailing_zeros() as usize / 8)
    });
    let last = words.len() * 8;
    let in_rest = || {
        let mut rest = input.get(last..)?.iter();
        Some(last + rest.position(|byte| *byte <= b'\r')?)
    };
    hit.or_else(in_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 64,
        lines: 4,
    };

    #[test]
    fn the_end_is_the_first_empty_line() {
        assert_eq!(
            scan(b"GET\r\na: b\r\n\r\nmore\n", &LIMITS),
            Ok(Some(Lines { first: 3, end: 13 }))
        );
        assert_eq!(scan(b"\r\n", &LIMITS), Ok(Some(Lines { first: 0, end: 2 })));
    }

    #[test]
    fn every_beginning_of_a_good_section_is_incomplete() {
        let whole = b"GET\r\na: b\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(scan(&whole[..cut], &LIMITS), Ok(None), "{cut}");
        }
    }

    #[test]
    fn bad_lines_are_named_even_in_incomplete_input() {
        for (input, fault) in [
            (&b"GET\n"[..], LineFault::BareLineFeed),
            (b"GET\r\na: b\n", LineFault::BareLineFeed),
            (b"GET\r\na: b\r\n\n", LineFault::BareLineFeed),
            (b"GET\rx", LineFault::BareCarriageReturn),
            (b"GET\r\r\n", LineFault::BareCarriageReturn),
            (b"GET\r\na\0", LineFault::Nul),
            (b"GET\r\n a: b", LineFault::Folded),
            (b"GET\r\na: b\r\n\tc", LineFault::Folded),
            (b"1\r\n2\r\n3\r\n4\r\n5\r\n", LineFault::TooManyLines),
        ] {
            assert_eq!(scan(input, &LIMITS), Err(fault), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn endings_are_found_wherever_they_are() {
        for length in 0..200 {
            let mut line = vec![b'a'; length];
            assert_eq!(next_ending(&line), None);
            for at in 0..length {
                for (byte, found) in [
                    (b'\r', true),
                    (b'\n', true),
                    (0, true),
                    (b'\t', false),
                    (0xFF, false),
                ] {
                    line[at] = byte;
                    assert_eq!(
                        next_ending(&line),
                        found.then_some(at),
                        "{length} {at} {byte}"
                    );
                }
                line[at] = b'\t';
            }
        }
    }

    #[test]
    fn the_limit_counts_the_empty_line_and_holds_without_an_end() {
        let mut section = [b'a'; 64];
        assert_eq!(scan(&section[..63], &LIMITS), Ok(None));
        assert_eq!(scan(&section, &LIMITS), Err(LineFault::TooLong));
        section[60..].copy_from_slice(b"\r\n\r\n");
        assert_eq!(
            scan(&section, &LIMITS),
            Ok(Some(Lines { first: 60, end: 64 }))
        );
        let longer = [&[b'a'; 61][..], b"\r\n\r\n"].concat();
        assert_eq!(scan(&longer, &LIMITS), Err(LineFault::TooLong));
    }
}
