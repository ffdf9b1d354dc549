//! Wire cases as text: what the client sends, what the backend must see and says, what the client must get. Owns the
//! grammar of `tests/cases/*.case` (told in `tests/cases/README.md`); `expected` checks messages, `tests/program/wire.rs` runs.
use std::collections::HashMap;

pub struct Case {
    pub name: String,
    /// `FILE:LINE`.
    pub place: String,
    /// More arguments for `serve`.
    pub args: Vec<String>,
    pub tls: bool,
    pub client: Vec<ClientStep>,
    pub backend: Vec<BackendStep>,
    pub closes: Option<Closes>,
    /// Patterns that lines of the access log must match.
    pub log: Vec<String>,
}

pub enum ClientStep {
    Says(Text),
    HalfCloses,
    Gets(Expected),
}

pub enum BackendStep {
    Says(Text),
    Closes,
    Resets,
    Sees(Expected),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Closes {
    Cleanly,
    Cut,
    /// The connection must serve another request.
    Not,
}

/// Bytes with variables still in them.
pub struct Text(pub String);

/// What a message must be.
#[derive(Default)]
pub struct Expected {
    pub place: String,
    /// The status (`400|501` for either), or the request line.
    pub start: String,
    pub to_head: bool,
    pub cut: bool,
    /// On a connection that has carried nothing yet.
    pub fresh: bool,
    /// Its body is not read.
    pub head_only: bool,
    /// It may also not come at all.
    pub optional: bool,
    pub checks: Vec<Check>,
}

/// One line below `client<` or `backend<`.
pub enum Check {
    Has(Text),
    Not(Text),
    Body(Text),
    Contains(Text),
    RawLacks(Text),
    Framing(String),
    Oci(String),
    Trailer(Text),
    NoTrailers,
}

/// What `${…}` stands for.
pub type Variables = HashMap<&'static str, String>;

impl Text {
    pub fn bytes(&self, variables: &Variables) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(['\\', '$']) {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("${") {
                let (name, after) = after
                    .split_once('}')
                    .unwrap_or_else(|| panic!("no end of a variable in {:?}", self.0));
                match name
                    .strip_prefix("repeat ")
                    .and_then(|rest| rest.split_once(' '))
                {
                    Some((count, what)) => {
                        let what = Text(what.to_owned()).bytes(variables);
                        bytes.extend(what.repeat(count.parse().unwrap()));
                    }
                    None => bytes.extend(
                        variables
                            .get(name)
                            .unwrap_or_else(|| panic!("no variable {name:?}"))
                            .bytes(),
                    ),
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix('\\') {
                let escape = after
                    .chars()
                    .next()
                    .unwrap_or_else(|| panic!("an escape of nothing in {:?}", self.0));
                rest = &after[escape.len_utf8()..];
                match escape {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => panic!("no escape \\{other}"),
                }
            } else {
                bytes.push(b'$');
                rest = &rest[1..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    pub fn string(&self, variables: &Variables) -> String {
        String::from_utf8_lossy(&self.bytes(variables)).into_owned()
    }
}

/// Where lines of a message go.
enum Open {
    Nothing,
    ClientSays,
    BackendSays,
    ClientGets,
    BackendSees,
}

/// Reads a file of cases; fails the test at the first line that is not understood.
pub fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut open = Open::Nothing;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let line = line.trim_start();
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(data) = line.strip_prefix('|') {
            let data = data.strip_prefix(' ').unwrap_or(data);
            let ends_bare = data.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            let data = if ends_bare {
                data[..data.len() - 1].to_owned()
            } else {
                format!("{data}\\r\\n")
            };
            let case = cases.last_mut();
            let says = match (&open, case) {
                (Open::ClientSays, Some(case)) => match case.client.last_mut() {
                    Some(ClientStep::Says(text)) => Some(text),
                    _ => None,
                },
                (Open::BackendSays, Some(case)) => match case.backend.last_mut() {
                    Some(BackendStep::Says(text)) => Some(text),
                    _ => None,
                },
                _ => None,
            };
            says.unwrap_or_else(|| panic!("{place}: bytes that nobody says"))
                .0
                .push_str(&data);
            continue;
        }
        let line = line.trim_end();
        let (word, rest) = line
            .split_once(' ')
            .map_or((line, ""), |(word, rest)| (word, rest.trim_start()));
        if word == "case" {
            cases.push(Case::new(rest, place));
            open = Open::Nothing;
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{place}: {line:?} before the first case"));
        match (word, rest) {
            ("gate", _) => case.args.extend(rest.split_whitespace().map(str::to_owned)),
            ("listener", "http") => case.tls = false,
            ("listener", "https") => case.tls = true,
            ("client>", "") => {
                case.client.push(ClientStep::Says(Text(String::new())));
                open = Open::ClientSays;
            }
            ("client", "half-closes") => case.client.push(ClientStep::HalfCloses),
            ("client<", _) => {
                case.client
                    .push(ClientStep::Gets(Expected::new(place, rest)));
                open = Open::ClientGets;
            }
            ("backend>", "") => {
                case.backend.push(BackendStep::Says(Text(String::new())));
                open = Open::BackendSays;
            }
            ("backend", "closes") => case.backend.push(BackendStep::Closes),
            ("backend", "resets") => case.backend.push(BackendStep::Resets),
            ("backend<", "nothing") => {}
            ("backend<", _) => {
                case.backend
                    .push(BackendStep::Sees(Expected::new(place, rest)));
                open = Open::BackendSees;
            }
            ("closes", "yes") => case.closes = Some(Closes::Cleanly),
            ("closes", "cut") => case.closes = Some(Closes::Cut),
            ("closes", "no") => case.closes = Some(Closes::Not),
            ("log", _) => case.log.push(rest.to_owned()),
            _ => {
                let expected = match (&open, case.client.last_mut(), case.backend.last_mut()) {
                    (Open::ClientGets, Some(ClientStep::Gets(expected)), _) => Some(expected),
                    (Open::BackendSees, _, Some(BackendStep::Sees(expected))) => Some(expected),
                    _ => None,
                };
                let understood = expected.is_some_and(|expected| expected.add(word, rest));
                assert!(understood, "{place}: not understood: {line:?}");
            }
        }
    }
    for case in &cases {
        assert!(
            !case.client.is_empty(),
            "{}: a case in which the client does nothing",
            case.place
        );
    }
    cases
}

impl Case {
    fn new(name: &str, place: String) -> Self {
        let (args, log) = (Vec::new(), Vec::new());
        let name = name.to_owned();
        Self {
            name,
            place,
            args,
            tls: false,
            client: Vec::new(),
            backend: Vec::new(),
            closes: None,
            log,
        }
    }
}

impl Expected {
    fn new(place: String, start: &str) -> Self {
        let mut expected = Self {
            place,
            ..Self::default()
        };
        let mut words: Vec<&str> = start.split(' ').collect();
        // Request lines end with a version, so these words are never part of one.
        while let Some(last) = words.last() {
            match *last {
                "head" => expected.to_head = true,
                "cut" => expected.cut = true,
                "fresh" => expected.fresh = true,
                "head-only" => expected.head_only = true,
                "optional" => expected.optional = true,
                _ => break,
            }
            words.pop();
        }
        expected.start = words.join(" ");
        expected
    }

    fn add(&mut self, word: &str, rest: &str) -> bool {
        let text = || Text(rest.to_owned());
        self.checks.push(match word {
            "has" => Check::Has(text()),
            "not" => Check::Not(text()),
            "body" => Check::Body(text()),
            "text" => Check::Contains(text()),
            "raw-not" => Check::RawLacks(text()),
            "framing" => Check::Framing(rest.to_owned()),
            "oci" => Check::Oci(rest.to_owned()),
            "trailer" => Check::Trailer(text()),
            "no-trailers" => Check::NoTrailers,
            _ => return false,
        });
        true
    }
}
