//! What must hold of a configuration file whatever the bytes are. The fuzz targets of `tests/fuzz` call it, and a test with
//! what they once found. Whatever does not hold panics.

use std::ffi::OsString;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use super::file::Given;
use super::file::{Lines, PEM, parse};
use super::{Fault, Id, Kind, Place, Purpose, Setting, Settings};

const BOM: &str = "\u{feff}";
const SECRET: &str = "PA55W0RD";
/// The values of a file that are looked at more closely.
const MOST: usize = 4;

/// All that must hold of a configuration file.
pub(crate) fn configuration(input: &[u8]) {
    let shown = || input.escape_ascii();
    let lines = parse("f", input);
    // A file of keys is one fault, whatever else is in it.
    if input.windows(PEM.len()).any(|part| part == PEM) {
        assert!(
            lines.values.is_empty() && lines.faults.len() == 1,
            "{}",
            shown()
        );
        return can_be_shown(&lines.faults);
    }
    let whole = sense(&lines);
    assert_eq!(whole, line_by_line(input), "{}", shown());
    can_be_shown(&lines.faults);

    // How lines end, and what an editor puts in front of them, means nothing.
    let mut dressed = vec![[input, b"\n"].concat(), [input, b"\n\t# end"].concat()];
    if !input.starts_with(BOM.as_bytes()) {
        dressed.push([BOM.as_bytes(), input].concat());
    }
    dressed.push(
        input
            .split(|byte| *byte == b'\n')
            .collect::<Vec<_>>()
            .join(&b"\r\n"[..]),
    );
    for other in dressed {
        assert_eq!(
            whole,
            sense(&parse("f", &other)),
            "{}",
            other.escape_ascii()
        );
    }

    // Written anew, one `name value` a line, the values say what they said.
    let anew = lines
        .values
        .iter()
        .map(|(id, given)| format!("{} {}\n", id.setting().name, given.text));
    let again = parse("f", anew.collect::<String>().as_bytes());
    assert!(again.faults.is_empty(), "{}", shown());
    assert!(texts(&again).eq(texts(&lines)), "{}", shown());

    let values = lines.values.iter().take(MOST);
    for (id, given) in values.clone() {
        is_the_same_everywhere(id.setting(), &given.text);
    }
    // What holds the word already shows it for other reasons.
    let word = SECRET.as_bytes();
    if input.windows(word.len()).any(|part| part == word) {
        return;
    }
    for (id, given) in values {
        keeps_secrets(id.setting(), &given.text);
    }
    for line in input.split(|byte| *byte == b'\n').take(MOST) {
        let hidden = with_secret(&String::from_utf8_lossy(line));
        keeps_quiet(&parse("f", hidden.as_bytes()).faults, &hidden);
    }
}

type Sense = (Vec<(Id, Given)>, Vec<(Place, String, String, String)>);

fn sense(lines: &Lines) -> Sense {
    (
        lines.values.clone(),
        lines.faults.iter().map(parts).collect(),
    )
}

fn parts(fault: &Fault) -> (Place, String, String, String) {
    let origin = fault.origin();
    (
        origin.place().clone(),
        origin.name().to_owned(),
        origin.text().to_owned(),
        fault.reason().to_owned(),
    )
}

fn texts(lines: &Lines) -> impl Iterator<Item = (Id, &str)> {
    lines.values.iter().map(|(id, given)| (*id, &*given.text))
}

/// What a file means, taken line by line: no line changes what another means, but for what is given twice.
fn line_by_line(input: &[u8]) -> Sense {
    let (mut values, mut faults): Sense = Default::default();
    let text = input.strip_prefix(BOM.as_bytes()).unwrap_or(input);
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let place = |line| Place::Line {
            file: "f".to_owned(),
            line,
        };
        let here = place(index + 1);
        // Not on the first line, where a byte order mark would mean nothing.
        let alone = parse("f", &[b"\n", line].concat());
        let count = alone.values.len() + alone.faults.len();
        let is_nothing = std::str::from_utf8(line).is_ok_and(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#')
        });
        assert_eq!(count, usize::from(!is_nothing), "{}", line.escape_ascii());
        for fault in &alone.faults {
            let (at, name, text, reason) = parts(fault);
            assert_eq!(at, place(2));
            faults.push((here.clone(), name, text, reason));
        }
        for (id, given) in alone.values {
            let first = values.iter().find(|(other, _)| *other == id);
            match first.map(|(_, first)| &first.place) {
                Some(Place::Line { line: first, .. }) if id.setting().kind != Kind::Many => {
                    let origin = super::Origin::new(here.clone(), &id.setting().name, &given.text);
                    let reason = format!("given twice, first in line {first}");
                    faults.push(parts(&origin.fault(reason)));
                }
                _ => values.push((
                    id,
                    Given {
                        text: given.text,
                        place: here.clone(),
                    },
                )),
            }
        }
    }
    (values, faults)
}

/// A fault is one line, and writes nothing else on a terminal.
fn can_be_shown(faults: &[Fault]) {
    for fault in faults {
        let text = fault.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

fn as_flag(setting: &'static Setting, text: &str) -> (Settings, Vec<Fault>) {
    let flags = vec![(setting, text.to_owned())];
    Settings::read(flags, std::iter::empty(), Purpose::Health)
}

/// A value means the same, right or wrong, as a flag and as a variable; as a line it is handed on like a flag.
fn is_the_same_everywhere(setting: &'static Setting, text: &str) {
    let (mut flag, flag_faults) = as_flag(setting, text);
    can_be_shown(&flag_faults);
    is_what_it_says(&flag);
    // A variable holds several values, with blanks between, where there may be several.
    if setting.kind == Kind::Many && text.contains(|c: char| c.is_ascii_whitespace()) {
        return;
    }
    let variable = (OsString::from(&setting.variable), OsString::from(text));
    let (mut variable, variable_faults) =
        Settings::read(Vec::new(), std::iter::once(variable), Purpose::Health);
    let without_place = |faults: &[Fault]| -> Vec<_> {
        let parts = faults.iter().map(parts);
        parts
            .map(|(_, name, text, reason)| (name, text, reason))
            .collect()
    };
    assert_eq!(
        without_place(&flag_faults),
        without_place(&variable_faults),
        "{text:?}"
    );
    // Warnings name the place in words.
    let warnings =
        [&mut flag, &mut variable].map(|settings| std::mem::take(&mut settings.warnings).len());
    assert_eq!(warnings[0], warnings[1], "{text:?}");
    let place = format!("Variable({:?})", setting.variable);
    let variable = format!("{variable:?}").replace(&place, "Flag");
    assert_eq!(format!("{flag:?}"), variable, "{text:?}");
}

/// Values that are written as text are read from it as what they are.
fn is_what_it_says(settings: &Settings) {
    fn comes_back<T: Display + Debug + FromStr + PartialEq>(value: &T) {
        let text = value.to_string();
        assert_eq!(text.parse().ok().as_ref(), Some(value), "{text:?}");
    }
    settings
        .listen
        .iter()
        .for_each(|listen| comes_back(&listen.value));
    settings
        .backend
        .iter()
        .for_each(|backend| comes_back(&backend.value));
    let networks = [
        &settings.trusted_proxies,
        &settings.proxy_protocol,
        &settings.allowed,
    ];
    networks.into_iter().flatten().for_each(comes_back);
}

/// Whatever is wrong with a value, no fault repeats a password in it.
fn keeps_secrets(setting: &'static Setting, text: &str) {
    for text in [with_secret(text), format!("u:{SECRET}@{text}")] {
        let (_, faults) = as_flag(setting, &text);
        keeps_quiet(&faults, &text);
        can_be_shown(&faults);
    }
}

/// The text with user information in its URL, if it has one.
fn with_secret(text: &str) -> String {
    text.replacen("://", &format!("://u:{SECRET}@"), 1)
}

fn keeps_quiet(faults: &[Fault], text: &str) {
    for fault in faults {
        assert!(!fault.to_string().contains(SECRET), "{fault} of {text:?}");
    }
}
