//! Bytes that others chose, made harmless for a line of the log.
//!
//! Whatever goes in, what comes out is valid UTF-8 without control characters, without anything that turns the direction
//! of writing or hides (so that a terminal shows what is there), and for the quoted forms without a raw quote.

use std::fmt::Write as _;

/// For a place between quotes: `"` and `\` are escaped, bytes that may not be shown are `\xNN`.
pub(crate) fn quoted(out: &mut String, bytes: &[u8]) {
    escape(out, bytes, |out, c| match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        _ => hex(out, c),
    });
}

/// For a column without quotes: blanks are escaped too, and a text that would look like none.
pub(crate) fn column(out: &mut String, bytes: &[u8]) {
    match bytes {
        b"" => out.push_str("\"\""),
        b"-" => out.push_str("\\x2d"),
        _ => {
            for part in bytes.split_inclusive(|byte| *byte == b' ') {
                quoted(out, part.strip_suffix(b" ").unwrap_or(part));
                if part.ends_with(b" ") {
                    out.push_str("\\x20");
                }
            }
        }
    }
}

/// For the end of a line: quotes and backslashes stay, since our own text is around them.
pub(crate) fn message(out: &mut String, bytes: &[u8]) {
    escape(out, bytes, |out, c| match c {
        '"' | '\\' => out.push(c),
        '\n' => out.push_str("\\n"),
        _ => hex(out, c),
    });
}

/// Bytes that others chose, made harmless for a line that people look at.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    message(&mut text, bytes);
    text
}

/// For a string of JSON. What is not UTF-8 becomes the text `\xNN`.
pub(crate) fn json(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                _ if is_unfit(c) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                _ => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
}

/// At most `longest` bytes; a character cut in two is shown as its bytes.
pub(crate) fn cut(bytes: &[u8], longest: usize) -> &[u8] {
    bytes.get(..longest).unwrap_or(bytes)
}

fn escape(out: &mut String, bytes: &[u8], special: impl Fn(&mut String, char)) {
    // As nearly all is: nothing to be escaped.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain)
        && let Ok(plain) = str::from_utf8(bytes)
    {
        return out.push_str(plain);
    }
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(|c| c == '"' || c == '\\' || is_unfit(c)) {
            let (plain, tail) = rest.split_at(at);
            out.push_str(plain);
            let mut letters = tail.chars();
            if let Some(c) = letters.next() {
                special(out, c);
            }
            rest = letters.as_str();
        }
        out.push_str(rest);
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn hex(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Control characters; line and paragraph separators; what is invisible or turns the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(escape: fn(&mut String, &[u8]), bytes: &[u8]) -> String {
        let mut out = String::new();
        escape(&mut out, bytes);
        out
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain /v2/?a=%22", "plain /v2/?a=%22"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"a\r\nb\0\x1b[2J\x7f", "a\\x0d\\x0ab\\x00\\x1b[2J\\x7f"),
            ("ü€😀".as_bytes(), "ü€😀"),
            (b"\xff\xfe a \xc3", "\\xff\\xfe a \\xc3"),
            ("\u{85}\u{202e}".as_bytes(), "\\xc2\\x85\\xe2\\x80\\xae"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
            (b"", ""),
        ];
        for (bytes, expected) in cases {
            assert_eq!(with(quoted, bytes), expected);
        }
    }

    #[test]
    fn a_column_has_no_blank_and_is_never_mistaken_for_none() {
        let cases: [(&[u8], &str); 6] = [
            (b"alice", "alice"),
            (b"a b ", "a\\x20b\\x20"),
            (b"-", "\\x2d"),
            (b"", "\"\""),
            (b"a\tb", "a\\x09b"),
            (b" ", "\\x20"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(with(column, bytes), expected);
        }
    }

    #[test]
    fn json_is_json() {
        let cases: [(&[u8], &str); 5] = [
            (b"a\"b\\c/", "a\\\"b\\\\c/"),
            (b"\n\r\t\0\x1b\x7f", "\\n\\r\\t\\u0000\\u001b\\u007f"),
            (b"\xffx", "\\\\xffx"),
            ("\u{2028}\u{e0001}é".as_bytes(), "\\u2028\\udb40\\udc01é"),
            (b"", ""),
        ];
        for (bytes, expected) in cases {
            assert_eq!(with(json, bytes), expected);
        }
    }

    #[test]
    fn no_byte_gets_through_raw_that_should_not() {
        for byte in 0..=u8::MAX {
            for escape in [quoted, column, message, json] {
                let out = with(escape, &[b'x', byte, b'x']);
                assert!(!out.chars().any(char::is_control), "{byte}");
            }
            if byte == b'"' {
                assert_eq!(with(quoted, &[byte]), "\\\"");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cut(b"abc", 2), b"ab");
        assert_eq!(cut(b"abc", 9), b"abc");
    }
}
