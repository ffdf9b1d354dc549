//! The configuration file: a setting a line, `name value`.
//!
//! Blank lines and lines that begin with `#` mean nothing. A comment behind a value and quotes around one have no meaning,
//! so that they are faults and not part of a path. It knows the names of the settings, not what values mean. The file was
//! written by whoever runs the gate, in any editor: a BOM and CRLF are fine, anything else that is odd is a fault and never
//! a guess.

use super::{
    fault::{Fault, Origin, Place},
    sites::OF_A_SITE,
    table::{Id, Kind, by_name, nearest, settings_table},
};
use crate::files;
use std::path::Path;

/// One value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// A configuration has a few dozen lines; what is larger is another file.
const LARGEST: u64 = 1 << 20;
/// The longest word that a fault takes for the name of a setting, of this program or another.
const LONGEST_NAME: usize = 40;
/// Words shorter than this may mix cases, as `logLevel` does. Longer ones that do may be base64.
const TOO_SHORT_FOR_A_SECRET: usize = 12;

/// What names the host of a site, in its file alone.
pub(super) const HOST: &str = "host";

/// What is in every file of keys or certificates, and in none of settings.
pub(super) const PEM: &[u8] = b"-----BEGIN";

/// The values of a file in their order, and all that is wrong with its lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) values: Vec<(Id, Given)>,
    pub(crate) faults: Vec<Fault>,
    /// The settings that lines with a misspelt name were probably meant for.
    pub(crate) meant: Vec<&'static str>,
    /// The names of the host that a site is for.
    pub(super) hosts: Vec<Given>,
}

/// What a file may say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// Everything.
    Main,
    /// What belongs to one host.
    Site,
}

/// Reads the whole file, or says why it cannot be had.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, String> {
    match files::read_at_most(Path::new(path), LARGEST) {
        Err(error) => Err(files::why(Path::new(path), &error)),
        Ok(None) => Err("over 1 MiB, which is no configuration file".to_owned()),
        Ok(Some(bytes)) if files::is_utf16(&bytes) => Err(files::UTF_16.to_owned()),
        Ok(Some(bytes)) => Ok(bytes),
    }
}

/// Takes `bytes` apart; `file` is the path for the faults.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Lines {
    parse_as(Grammar::Main, file, bytes)
}

/// The same for the file of a site.
pub(super) fn parse_site(file: &str, bytes: &[u8]) -> Lines {
    parse_as(Grammar::Site, file, bytes)
}

fn parse_as(grammar: Grammar, file: &str, bytes: &[u8]) -> Lines {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut lines = Lines::default();
    if bytes.windows(PEM.len()).any(|window| window == PEM) {
        let place = Place::Line {
            file: file.to_owned(),
            line: 1,
        };
        let fault = "this is a file of keys or certificates, and a file of settings is wanted";
        lines
            .faults
            .push(Origin::without_value(place, "").fault(fault));
        return lines;
    }
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = Place::Line {
            file: file.to_owned(),
            line: at + 1,
        };
        match std::str::from_utf8(line) {
            Ok(text) => parse_line(grammar, &mut lines, place, text.trim()),
            Err(_) => lines
                .faults
                .push(Origin::without_value(place, "").fault("not valid UTF-8")),
        }
    }
    lines
}

fn parse_line(grammar: Grammar, lines: &mut Lines, place: Place, line: &str) {
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    let (name, value) = match line.split_once([' ', '\t']) {
        Some((name, value)) => (name, value.trim()),
        None => (line, ""),
    };
    if grammar == Grammar::Site && name == HOST {
        match value.is_empty() {
            true => {
                let origin = Origin::without_value(place, name);
                lines.faults.push(origin.fault("no value"));
            }
            false => lines.hosts.push(Given {
                text: value.to_owned(),
                place,
            }),
        }
        return;
    }
    let Some(setting) = by_name(name) else {
        let (fault, meant) = unknown(place, name);
        lines.faults.push(fault);
        lines.meant.extend(meant);
        return;
    };
    let bare = Origin::without_value(place.clone(), name);
    if grammar == Grammar::Site && !OF_A_SITE.contains(&setting.id) {
        lines.faults.push(
            bare.fault("is for the whole gate and not for one host: write it in the main settings"),
        );
    } else if setting.id == Id::config {
        lines
            .faults
            .push(bare.fault("one configuration file cannot name another"));
    } else if let Some(reason) = dressed(setting.id, value) {
        let origin = Origin::new(place, name, value);
        lines.faults.push(origin.fault(reason));
    } else if value.is_empty() {
        let remedy = if setting.kind == Kind::Switch {
            "no value; write yes or no behind it"
        } else {
            "no value"
        };
        lines.faults.push(bare.fault(remedy));
    } else if value.starts_with('=') {
        lines.faults.push(
            bare.fault("an = is not part of the form; write the name, a blank and the value"),
        );
    } else if let Some(first) = first_line(lines, setting.id).filter(|_| !setting.repeatable()) {
        let reason = format!("given twice, first in line {first}");
        lines
            .faults
            .push(Origin::new(place, name, value).fault(reason));
    } else {
        lines.values.push((
            setting.id,
            Given {
                text: value.to_owned(),
                place,
            },
        ));
    }
}

/// What other formats have around a value and this one has not: a comment behind it, quotes around it. A text for people may
/// be called "Team #1", and a path or an address is not.
pub(super) fn dressed(id: Id, value: &str) -> Option<&'static str> {
    let mut words = value.split_whitespace();
    let has_comment = words.any(|word| word == "#" || word.starts_with('#') && id != Id::realm);
    let is_quoted = |quote: char| {
        let inner = value.strip_prefix(quote);
        inner.is_some_and(|inner| inner.ends_with(quote))
    };
    if has_comment {
        Some(
            "a comment is a line of its own: behind a value it would be part of it; if this one is meant to be, give it \
             as a flag",
        )
    } else if is_quoted('"') || is_quoted('\'') {
        Some(
            "the quotes would be part of the value: write it without them, blanks in it need none; if they are meant to \
             be, give it as a flag",
        )
    } else {
        None
    }
}

/// What is wrong with a name, and which one was probably meant.
fn unknown(place: Place, name: &str) -> (Fault, Option<&'static str>) {
    // `name=value` and `name: value` are what other programs have.
    let bare = name.split(['=', ':']).next().unwrap_or_default();
    if let Some(setting) = by_name(bare).filter(|_| bare != name) {
        let origin = Origin::without_value(place, bare);
        let fault = origin.fault("write the name, a blank and the value, with nothing between");
        return (fault, Some(&setting.name));
    }
    // Somebody may have forgotten the name and left the value, or named a password file: what is there is not repeated
    // unless it can be no secret.
    if !could_be_a_name(name) {
        let fault = Origin::without_value(place, "").fault(
            "no such setting; a line is a name, a blank and a value, and `portreeve serve --help` lists all names",
        );
        return (fault, None);
    }
    let origin = Origin::without_value(place, name);
    let names = settings_table().iter().map(|setting| setting.name.as_str());
    match nearest(bare, names) {
        Some(meant) => {
            let fault = origin.fault(format!("no such setting; did you mean {meant}?"));
            (fault, Some(meant))
        }
        None => {
            let fault = origin.fault("no such setting; `portreeve serve --help` lists all of them");
            (fault, None)
        }
    }
}

fn could_be_a_name(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|letter| is(&letter));
    let mixes_cases = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    word.len() <= LONGEST_NAME
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && (!mixes_cases || word.len() < TOO_SHORT_FOR_A_SECRET)
}

fn first_line(lines: &Lines, id: Id) -> Option<usize> {
    lines
        .values
        .iter()
        .find(|(of, _)| *of == id)
        .and_then(|(_, given)| match given.place {
            Place::Line { line, .. } => Some(line),
            _ => None,
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn values(text: &[u8]) -> Vec<(Id, String)> {
        let lines = parse("f", text);
        assert_eq!(lines.faults, []);
        lines
            .values
            .into_iter()
            .map(|(id, given)| (id, given.text))
            .collect()
    }

    #[test]
    fn lines_are_names_and_values() {
        let text = "\u{feff}# comment\r\n\r\n  realm \t My#1 \"Registry\"  \r\nbackend http://a\nbackend unix:/b c\n\t# x\nworkers 3";
        assert_eq!(
            values(text.as_bytes()),
            [
                (Id::realm, "My#1 \"Registry\"".to_owned()),
                (Id::backend, "http://a".to_owned()),
                (Id::backend, "unix:/b c".to_owned()),
                (Id::workers, "3".to_owned()),
            ]
        );
        assert_eq!(values(b""), []);
    }

    #[test]
    fn places_count_lines_from_one() {
        let lines = parse("f", b"\n\nrealm x\n");
        let place = Place::Line {
            file: "f".into(),
            line: 3,
        };
        assert_eq!(
            lines.values.first().unwrap().1,
            Given {
                text: "x".into(),
                place
            }
        );
    }

    #[test]
    fn every_odd_line_is_a_fault_with_its_place() {
        let cases: [(&[u8], &str); 14] = [
            (
                b"TLS-CERT x",
                "f:1: TLS-CERT: no such setting; did you mean tls-cert?",
            ),
            (
                b"\nlisen x",
                "f:2: lisen: no such setting; did you mean listen?",
            ),
            (
                b"proxy_pass x",
                "f:1: proxy_pass: no such setting; `portreeve serve --help` lists all of them",
            ),
            (
                b"realm=x",
                "f:1: realm: write the name, a blank and the value, with nothing between",
            ),
            (
                b"realm: x",
                "f:1: realm: write the name, a blank and the value, with nothing between",
            ),
            (
                b"realm = x",
                "f:1: realm: an = is not part of the form; write the name, a blank and the value",
            ),
            (b"realm", "f:1: realm: no value"),
            (
                b"insecure-http",
                "f:1: insecure-http: no value; write yes or no behind it",
            ),
            (
                b"config x",
                "f:1: config: one configuration file cannot name another",
            ),
            (
                b"realm x\n\nrealm y",
                "f:3: realm \"y\": given twice, first in line 1",
            ),
            (b"realm \xff", "f:1: not valid UTF-8"),
            (
                b"http://u:pa55@h",
                "f:1: no such setting; a line is a name, a blank and a value, and `portreeve serve --help` lists all names",
            ),
            (
                b"alice:$2y$05$abcdefghijklmnopqrstuv",
                "f:1: no such setting; a line is a name, a blank and a value, and `portreeve serve --help` lists all names",
            ),
            (
                b"realm x\n-----BEGIN PRIVATE KEY-----\nMIIE",
                "f:1: this is a file of keys or certificates, and a file of settings is wanted",
            ),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = parse("f", text)
                .faults
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn a_comment_behind_a_value_and_quotes_around_one_are_faults_with_a_remedy() {
        for (value, expected) in [
            ("ca2 # private CA", "a comment is a line of its own"),
            ("ca2\t# private CA", "a comment is a line of its own"),
            ("# yes", "a comment is a line of its own"),
            ("\"a\" # b", "a comment is a line of its own"),
            ("\"My Registry\"", "the quotes would be part of the value"),
            ("'/etc/key.pem'", "the quotes would be part of the value"),
            ("\"\"", "the quotes would be part of the value"),
        ] {
            let lines = parse("f", format!("realm {value}").as_bytes());
            let found: Vec<_> = lines.faults.iter().map(ToString::to_string).collect();
            let start = format!("f:1: realm {value:?}: {expected}");
            assert!(
                matches!(&found[..], [only] if only.starts_with(&start)),
                "{found:?}"
            );
            assert!(lines.values.is_empty());
        }
        let path = parse("f", b"htpasswd users #mine");
        assert_eq!(path.faults.len(), 1, "{:?}", path.values);
        for value in [
            "a#b",
            "C#",
            "Team #1",
            "\"",
            "it's",
            "the \"best\"",
            "\"a\" b",
        ] {
            assert_eq!(
                values(format!("realm {value}").as_bytes()),
                [(Id::realm, value.to_owned())]
            );
        }
    }

    #[test]
    fn a_misspelt_name_says_which_setting_was_meant() {
        for (text, meant) in [
            (&b"backnd x"[..], &["backend"][..]),
            (b"TLS_KEY x", &["tls-key"]),
            (b"listen=x", &["listen"]),
            (b"proxy_pass x", &[]),
            (b"listen x", &[]),
        ] {
            assert_eq!(parse("f", text).meant, meant);
        }
    }

    #[test]
    fn one_bad_line_hides_no_other() {
        assert_eq!(parse("f", b"a\nb\n\xff\nc").faults.len(), 4);
    }

    #[test]
    fn a_file_that_cannot_be_had_says_why() {
        assert_eq!(
            read("/nonexistent/x").unwrap_err(),
            "no such file or directory"
        );
        assert_eq!(read("/").unwrap_err(), "is a directory");
        assert_eq!(
            read("/dev/zero").unwrap_err(),
            "over 1 MiB, which is no configuration file"
        );
    }
}
