//! Who asks for a password: the gate, or a registry behind it that has one of its own.
//!
//! Told by the challenge and by what is said with it. Both are hostile, and are compared and shown, no more.

use super::line::Answer;

/// As far as a 401 shows who it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    challenges: Vec<Challenge>,
    words: Option<String>,
}

/// One value of `WWW-Authenticate`. The other parameters may differ from one answer to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    /// In lower case.
    scheme: String,
    realm: Option<String>,
}

impl Asker {
    /// The one of a 401; there is none with any other status, or without a challenge.
    pub(super) fn of(answer: &Answer) -> Option<Asker> {
        let challenges: Vec<_> = answer
            .values("WWW-Authenticate")
            .iter()
            .map(|value| Challenge::parse(value))
            .collect();
        (answer.status() == 401 && !challenges.is_empty()).then(|| Asker {
            challenges,
            words: answer.words(),
        })
    }

    /// The first challenge, for a person.
    pub(super) fn shown(&self) -> String {
        match self.challenges.first() {
            Some(Challenge {
                scheme,
                realm: Some(realm),
            }) => format!("{scheme} with the realm {realm:?}"),
            Some(Challenge {
                scheme,
                realm: None,
            }) => scheme.clone(),
            None => String::new(),
        }
    }

    /// Whether a user and a password are wanted, and not a token.
    pub(super) fn is_basic(&self) -> bool {
        self.challenges
            .iter()
            .any(|challenge| challenge.scheme == "basic")
    }
}

impl Challenge {
    fn parse(value: &str) -> Challenge {
        let (scheme, parameters) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        Challenge {
            scheme: scheme.to_ascii_lowercase(),
            realm: realm(parameters),
        }
    }
}

fn realm(parameters: &str) -> Option<String> {
    const NAME: &str = "realm=";
    // Of the same length, so that places in one are places in the other.
    let start = parameters.to_ascii_lowercase().find(NAME)? + NAME.len();
    let value = parameters.get(start..)?;
    let Some(quoted) = value.strip_prefix('"') else {
        return value.split([',', ' ']).next().map(str::to_owned);
    };
    let mut realm = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => realm.extend(chars.next()),
            c => realm.push(c),
        }
    }
    Some(realm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_and_the_realm_tell_one_from_another() {
        for (value, scheme, found) in [
            ("Basic realm=\"Registry\"", "basic", Some("Registry")),
            (
                "BASIC  Realm=\"a \\\"b\\\"\", charset=\"UTF-8\"",
                "basic",
                Some("a \"b\""),
            ),
            (
                "basic charset=\"UTF-8\", realm=plain, a=b",
                "basic",
                Some("plain"),
            ),
            (
                "Bearer realm=\"https://auth.example/token\",service=\"r\"",
                "bearer",
                Some("https://auth.example/token"),
            ),
            ("Basic realm=\"cut", "basic", Some("cut")),
            ("Negotiate", "negotiate", None),
            ("", "", None),
        ] {
            let challenge = Challenge::parse(value);
            assert_eq!(challenge.scheme, scheme, "{value}");
            assert_eq!(challenge.realm.as_deref(), found, "{value}");
        }
    }
}
