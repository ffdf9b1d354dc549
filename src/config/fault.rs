//! Where a value came from, and what is wrong with it.
//!
//! A fault is for the person who wrote the configuration: it names the place, quotes the value and says what to do. The
//! value may hold a password that somebody put into a URL, so that it is redacted before it is kept at all.

use std::fmt;

/// The longest part of a value that a fault repeats, in characters: enough for any path.
const LONGEST_QUOTE: usize = 300;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In the environment variable of this name.
    Variable(String),
    /// In a file: the path as it was given, and the line, counted from 1.
    Line {
        /// The path as it was given.
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// Nowhere: it is the default, or it is missing.
    Default,
}

/// A value's setting, its place and its text, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    place: Place,
    name: String,
    text: Option<String>,
}

impl Origin {
    /// The origin of the value `text`, of which what may be secret is not kept.
    pub fn new(place: Place, name: &str, text: &str) -> Origin {
        Origin {
            place,
            name: shown(name),
            text: Some(redact(text)),
        }
    }

    /// The origin of something that has no value, or whose value must not be repeated.
    pub fn without_value(place: Place, name: &str) -> Origin {
        Origin {
            place,
            name: shown(name),
            text: None,
        }
    }

    /// A line of any file that settings point to, such as a password file.
    pub fn line(file: &str, line: usize) -> Origin {
        Origin::without_value(
            Place::Line {
                file: file.to_owned(),
                line,
            },
            "",
        )
    }

    /// The name of the setting.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the value was written.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value as a fault shows it, without quotes: redacted and cut to a bearable length.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Says what is wrong with the value.
    pub fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            origin: self.clone(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Flag => write!(f, "--{}", self.name)?,
            Place::Variable(variable) => f.write_str(variable)?,
            Place::Default => f.write_str(&self.name)?,
            Place::Line { file, line } => {
                write!(f, "{}:{line}", shown(file))?;
                if !self.name.is_empty() {
                    write!(f, ": {}", self.name)?;
                }
            }
        }
        match &self.text {
            Some(text) if self.place == Place::Default => write!(f, " {text:?} (the default)"),
            Some(text) => write!(f, " {text:?}"),
            None => Ok(()),
        }
    }
}

/// A value with its origin, so that what is found wrong later (a key that cannot be read, an address in use) can still
/// be said in the words of a [`Fault`].
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

impl<T> Placed<T> {
    /// Says what is wrong with the value.
    pub fn fault(&self, reason: impl Into<String>) -> Fault {
        self.origin.fault(reason)
    }
}

/// Something wrong in the configuration: fatal at start, one line, `place name "value": reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    origin: Origin,
    reason: String,
}

impl Fault {
    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it is, without the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.reason)
    }
}

/// Puts faults into the order in which a person meets what they are about: those in files first, each file's by line, then
/// flags, variables and what is missing, as they were found.
pub fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    let mut files: Vec<String> = Vec::new();
    for fault in &faults {
        if let Place::Line { file, .. } = &fault.origin.place
            && !files.contains(file)
        {
            files.push(file.clone());
        }
    }
    faults.sort_by_key(|fault| match &fault.origin.place {
        Place::Line { file, line } => {
            let rank = files.iter().position(|known| known == file);
            (rank.unwrap_or(files.len()), *line)
        }
        _ => (files.len(), 0),
    });
    faults
}

/// How the content of a key, certificate or password file can be told from a value: the markers of PEM, the beginning of
/// base64 over them (as a Kubernetes secret holds it) or between them, and a colon with a hash behind it.
const CONTENT: [&str; 12] = [
    "-----BEGIN",
    "-----END",
    "LS0tLS1CRUdJTi",
    ":$2a$",
    ":$2b$",
    ":$2y$",
    ":$apr1$",
    ":$1$",
    ":$5$",
    ":$6$",
    ":{SHA}",
    ":{SSHA}",
];
/// The shortest base64 that is taken for a key without its markers: one of Ed25519 has 64 letters, and no name of a file
/// is as long without a dot.
const SHORTEST_KEY: usize = 48;

/// Whether the content of a file stands where its name is wanted, as after `PORTREEVE_TLS_KEY="$(cat key.pem)"`.
pub(crate) fn is_content(text: &str) -> bool {
    CONTENT.iter().any(|mark| text.contains(mark)) || is_der_in_base64(text)
}

/// A SEQUENCE, as all keys and certificates are, begins with the byte 0x30 and its length.
fn is_der_in_base64(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() >= SHORTEST_KEY
        && matches!(text.as_bytes(), [b'M', b'A'..=b'P', ..])
        && text.bytes().all(is_base64)
}

/// What may be shown of a value: without the user information and the query of a URL, nothing of what is content of a
/// file, and not without end.
pub(crate) fn redact(text: &str) -> String {
    if is_content(text) {
        return "…".to_owned();
    }
    // What stands before `://` and is no scheme may be `user:password@`, or a password that holds these signs.
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(is_scheme) => {
            text.split_at(scheme.len() + "://".len())
        }
        _ => ("", text),
    };
    let is_url = text.contains("://");
    // A path may hold an `@`; all else that does may be `user:password@host`. A password may hold `/` and `?`, so it
    // is the last `@` that counts.
    let is_path = !is_url
        && ["/", ".", "unix:"]
            .iter()
            .any(|start| rest.starts_with(start));
    let mut safe = String::from(scheme);
    let rest = match rest.rfind('@') {
        Some(at) if !is_path => {
            safe.push('…');
            rest.get(at..).unwrap_or_default()
        }
        _ => rest,
    };
    match rest.split_once('?') {
        Some((before, _)) if is_url => {
            safe.push_str(before);
            safe.push_str("?…");
        }
        _ => safe.push_str(rest),
    }
    cut(safe)
}

/// A name or path outside quotes: as it is if it is plain, else quoted and escaped, so that it cannot write on the
/// terminal what it likes.
fn shown(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./+:@~".contains(c);
    if text.chars().all(plain) {
        cut(text.to_owned())
    } else {
        format!("{:?}", cut(text.to_owned()))
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST_QUOTE) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Place {
        Place::Line {
            file: "portreeve.conf".into(),
            line: 7,
        }
    }

    #[test]
    fn a_fault_names_place_setting_value_and_reason() {
        let cases = [
            (
                line(),
                r#"portreeve.conf:7: tls-key "/etc/key.pem": permission denied"#,
            ),
            (
                Place::Flag,
                r#"--tls-key "/etc/key.pem": permission denied"#,
            ),
            (
                Place::Variable("PORTREEVE_TLS_KEY".into()),
                r#"PORTREEVE_TLS_KEY "/etc/key.pem": permission denied"#,
            ),
            (
                Place::Default,
                r#"tls-key "/etc/key.pem" (the default): permission denied"#,
            ),
        ];
        for (place, expected) in cases {
            let fault = Origin::new(place, "tls-key", "/etc/key.pem").fault("permission denied");
            assert_eq!(fault.to_string(), expected);
        }
    }

    #[test]
    fn faults_come_in_the_order_of_lines() {
        let at = |file: &str, line| {
            let place = Place::Line {
                file: file.into(),
                line,
            };
            Origin::without_value(place, "x").fault("odd")
        };
        let flag = Origin::without_value(Place::Flag, "x").fault("odd");
        let missing = Origin::without_value(Place::Default, "x").fault("odd");
        let given = vec![
            at("conf", 7),
            flag.clone(),
            at("users", 1),
            at("conf", 2),
            missing.clone(),
            at("conf", 5),
        ];
        assert_eq!(
            in_order(given),
            [
                at("conf", 2),
                at("conf", 5),
                at("conf", 7),
                at("users", 1),
                flag,
                missing
            ]
        );
        assert_eq!(in_order(Vec::new()), []);
    }

    #[test]
    fn a_fault_without_a_value_or_a_name_reads_well() {
        assert_eq!(
            Origin::without_value(Place::Default, "backend")
                .fault("required")
                .to_string(),
            "backend: required"
        );
        assert_eq!(
            Origin::line("/etc/htpasswd", 3)
                .fault("no user")
                .to_string(),
            "/etc/htpasswd:3: no user"
        );
    }

    #[test]
    fn values_are_escaped() {
        let fault = Origin::new(line(), "a\x1b[2J", "b\n\"\x1b\\").fault("odd");
        assert_eq!(
            fault.to_string(),
            r#"portreeve.conf:7: "a\u{1b}[2J" "b\n\"\u{1b}\\": odd"#
        );
        let file = Place::Line {
            file: "a\nb".into(),
            line: 1,
        };
        assert_eq!(
            Origin::new(file, "x", "y").fault("odd").to_string(),
            r#""a\nb":1: x "y": odd"#
        );
    }

    #[test]
    fn user_information_and_queries_are_not_shown() {
        let cases = [
            ("http://user:pa55@host:5000", "http://…@host:5000"),
            ("http://user:p/a?5@5@host", "http://…@host"),
            ("user:pa55@host", "…@host"),
            ("user:pa55@http://host:5000", "…@http://host:5000"),
            ("user:pa://55@host", "…@host"),
            ("/a://user:pa55@host", "…@host"),
            ("a b://host?key=pa55", "a b://host?…"),
            ("https://api/check?key=pa55", "https://api/check?…"),
            ("http://host:5000", "http://host:5000"),
            ("unix:/run/a@b", "unix:/run/a@b"),
            ("/etc/keys/me@home.pem", "/etc/keys/me@home.pem"),
            ("what?", "what?"),
            ("-----BEGIN PRIVATE KEY-----MIIEvQIBADANBgkq", "…"),
            ("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", "…"),
            ("alice:$2y$05$abcdefghijklmnopqrstuv", "…"),
            (
                "MC4CAQAwBQYDK2VwBCIEIKmnBqDoaUZ9mX8Q5vF0tJZsm1Q0yK1lq3a6n4zC",
                "…",
            ),
            ("MyKeys/of/the/registry", "MyKeys/of/the/registry"),
        ];
        for (given, expected) in cases {
            assert_eq!(redact(given), expected);
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(redact(&"ü".repeat(5000)).chars().count(), LONGEST_QUOTE + 1);
    }
}
