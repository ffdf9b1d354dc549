//! The character classes of RFC 9110 and RFC 3986, and the two ways in which field values are taken apart.
//! Knows bytes only; all of its input is hostile.

const fn class(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < more.len() {
        table[more[at] as usize] = true;
        at += 1;
    }
    table
}

/// RFC 9110, 5.6.2.
const TOKEN: [bool; 256] = class(b"!#$%&'*+-.^_`|~");
/// `pchar` and `/` of RFC 3986, 3.3; what follows a `%` is checked where paths are.
const PATH: [bool; 256] = class(b"-._~!$&'()*+,;=:@/%");

/// A byte of a method or a field name.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// A method, a field name, a connection option, a transfer coding.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// A byte of a path, by the grammar alone.
pub(super) fn is_path_byte(byte: u8) -> bool {
    PATH[byte as usize]
}

/// What never needs a percent escape (RFC 3986, 2.3): escaping it is a disguise.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A byte of a field value or a reason phrase: visible ASCII, blank, tab, and 0x80 to 0xFF (`obs-text`).
pub(super) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// A value that reads back exactly as it is written: nothing that could end the line, no white space to be trimmed off.
pub(super) fn is_clean_value(value: &[u8]) -> bool {
    !value.is_empty()
        && trim(value).len() == value.len()
        && value.iter().all(|byte| is_value_byte(*byte))
}

/// Without blanks and tabs at either end, and nothing else: other white space is not HTTP's.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a list of tokens, empty ones included. Quotes are not looked at: no list that matters here has any,
/// and what a quote would hide is no token and counts for nothing.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_the_rfc_lists() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token_byte(byte), expected, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn paths_hold_pchar_and_slash_only() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_graphic() && !b"\"#<>?[\\]^`{|}".contains(&byte);
            assert_eq!(is_path_byte(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn only_blanks_and_tabs_are_trimmed() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b"\x0ba\x0c"), b"\x0ba\x0c");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(
            elements(b"a, b ,,c").collect::<Vec<_>>(),
            [&b"a"[..], b"b", b"", b"c"]
        );
    }

    #[test]
    fn a_clean_value_cannot_end_its_line() {
        assert!(is_clean_value(b"alice"));
        assert!(is_clean_value(b"al\xc3\xa9 ice"));
        for bad in [
            &b""[..],
            b" alice",
            b"alice\t",
            b"a\r\nb",
            b"a\nb",
            b"a\rb",
            b"a\0b",
            b"a\x7fb",
        ] {
            assert!(!is_clean_value(bad), "{bad:?}");
        }
    }
}
