//! The body of an answer in words: the message of JSON, the title of a page, or the text itself.
//!
//! Everything is hostile and may be cut anywhere. What comes out may hold anything too, and is made harmless where it is told.

use std::iter::Peekable;
use std::str::Chars;

/// Where programs put what they have to say to a person: as in the OCI document, in OAuth, in problem details, and in
/// whatever else answers in JSON. The first that says something counts.
const KEYS: [&str; 6] = [
    "message",
    "error_description",
    "detail",
    "title",
    "error",
    "msg",
];

/// What a body says, if it says anything.
pub(super) fn of(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => None,
        json if json.starts_with(['{', '[']) => Some(of_json(json)),
        page if page.starts_with('<') => Some(of_page(page)),
        text => Some(text.to_owned()),
    }
}

/// The first string of that name in JSON.
pub(super) fn member(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let mut members = strings(&text).into_iter();
    members.find_map(|(key, value)| (key == name).then_some(value))
}

fn of_json(text: &str) -> String {
    let said = strings(text);
    let first = |wanted: &str| {
        let mut values = said.iter().filter(|(key, _)| key == wanted);
        values.find_map(|(_, value)| Some(value.trim()).filter(|value| !value.is_empty()))
    };
    match (KEYS.into_iter().find_map(first), first("code")) {
        (Some(message), Some(code)) => format!("{message} ({code})"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => "JSON without a message".to_owned(),
    }
}

/// All members of objects whose value is a string, at whatever depth, in order.
fn strings(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    let (mut last, mut key) = (None, None);
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let string = string(&mut chars);
                match key.take() {
                    Some(key) => found.push((key, string)),
                    None => last = Some(string),
                }
            }
            ':' => key = last.take(),
            c if c.is_whitespace() => {}
            _ => (last, key) = (None, None),
        }
    }
    found
}

/// The rest of a string behind its first quote, or what there is of it.
fn string(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut units: Vec<u16> = Vec::new();
    while let Some(c) = chars.next() {
        let c = match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    units.push(unit(chars));
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

/// Four digits behind `\u`: one half of a character, or a whole one.
fn unit(chars: &mut Peekable<Chars<'_>>) -> u16 {
    let digits = std::iter::from_fn(|| chars.next_if(char::is_ascii_hexdigit));
    let digits: String = digits.take(4).collect();
    let is_whole = digits.len() == 4;
    let unit = u16::from_str_radix(&digits, 16).ok();
    unit.filter(|_| is_whole).unwrap_or(0xfffd)
}

fn of_page(page: &str) -> String {
    // Of the same length, so that places in one are places in the other.
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|start| {
        let start = start + lower.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find("</title")?;
        let words: Vec<_> = page.get(start..end)?.split_whitespace().collect();
        Some(words.join(" ")).filter(|title| !title.is_empty())
    });
    title.unwrap_or_else(|| "a page without a title".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_told_in_words() {
        for (body, words) in [
            ("", None),
            (" \r\n", None),
            ("no such host\n", Some("no such host")),
            (
                r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported.","detail":null}]}"#,
                Some("The operation is unsupported. (UNSUPPORTED)"),
            ),
            (
                r#"{"errors": [{"message": "", "code": "DENIED", "detail": {"message": 5}}]}"#,
                Some("DENIED"),
            ),
            (
                r#"{"error":"x","error_description":"too \"old\" \u00e4\ud83d\ude00\n"}"#,
                Some("too \"old\" ä😀"),
            ),
            (r#"["message", "a"]"#, Some("JSON without a message")),
            (
                r#"{"message":{"a":"b"},"x":["message"]}"#,
                Some("JSON without a message"),
            ),
            (r#"{"message":"cut of"#, Some("cut of")),
            (r#"{"message":"\ud83"#, Some("\u{fffd}")),
            (r#"{"message":"a\"#, Some("a")),
            (
                "<html>\r\n<head><title>413 Request\r\n Entity Too Large</title></head>",
                Some("413 Request Entity Too Large"),
            ),
            (
                "<!DOCTYPE html><TITLE lang=en>Log in</TITLE>",
                Some("Log in"),
            ),
            ("<html><title>", Some("a page without a title")),
            ("<title></title>", Some("a page without a title")),
        ] {
            assert_eq!(of(body.as_bytes()).as_deref(), words, "{body}");
        }
    }
}
