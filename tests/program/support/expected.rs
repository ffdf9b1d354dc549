//! One message held against what a case says of it, with a readable account of what is not as it must be.
use super::case::{Check, Expected, Text, Variables};
use super::message::{Framing, Message};
use super::readable;

impl Expected {
    /// Says what is wrong with a message; nothing if it is as it must be.
    pub fn faults(&self, message: &Message, variables: &Variables) -> Vec<String> {
        let mut faults = Vec::new();
        let start = Text(self.start.clone()).string(variables);
        let actual = if message.start.starts_with("HTTP/") {
            message.status().to_string()
        } else {
            message.start.clone()
        };
        let alternatives = !message.start.starts_with("HTTP/") && start == actual
            || message.start.starts_with("HTTP/") && start.split('|').any(|each| each == actual);
        if !alternatives {
            faults.push(format!("- {start}\n+ {actual}"));
        }
        match (&message.cut, self.cut) {
            (Some(why), false) => faults.push(format!("it is not whole: {why}")),
            (None, true) => faults.push("it is whole, which it must not be".to_owned()),
            _ => {}
        }
        faults.extend(
            self.checks
                .iter()
                .filter_map(|check| check.fault(message, variables)),
        );
        faults
    }
}

impl Check {
    fn fault(&self, message: &Message, variables: &Variables) -> Option<String> {
        let line = |text: &Text| {
            let text = text.string(variables);
            match text.split_once(':') {
                Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
                None => (text.trim().to_owned(), None),
            }
        };
        match self {
            Self::Has(text) => {
                let (name, value) = line(text);
                let values = message.values(&name);
                let good = match &value {
                    Some(value) => values.len() == 1 && values.iter().all(|actual| matches(value, actual)),
                    None => values.len() == 1,
                };
                let wanted = value.map_or(name.clone(), |value| format!("{name}: {value}"));
                (!good).then(|| format!("- {wanted}\n+ {name}: {values:?}"))
            }
            Self::Not(text) => {
                let (name, value) = line(text);
                let present = message.values(&name).iter().any(|actual| value.as_ref().is_none_or(|value| matches(value, actual)));
                present.then(|| format!("+ {name}: {:?}, which must not be there", message.values(&name)))
            }
            Self::Body(text) => {
                let wanted = text.bytes(variables);
                (wanted != message.body).then(|| format!("- body {}\n+ body {}", readable(&wanted), readable(&message.body)))
            }
            Self::Contains(text) => {
                let wanted = text.string(variables);
                (!message.text().contains(&wanted)).then(|| format!("- {wanted:?} in the body\n+ body {}", readable(&message.body)))
            }
            Self::RawLacks(text) => {
                let unwanted = text.bytes(variables);
                let found = !unwanted.is_empty() && message.raw.windows(unwanted.len()).any(|window| window == unwanted);
                found.then(|| format!("+ {:?}, which must not be there", readable(&unwanted)))
            }
            Self::Framing(wanted) => {
                let actual = match message.framing {
                    Framing::Empty => "empty".to_owned(),
                    Framing::Length(length) => format!("length {length}"),
                    Framing::Chunked => "chunked".to_owned(),
                    Framing::UntilClose => "close".to_owned(),
                };
                (*wanted != actual).then(|| format!("- framing {wanted}\n+ framing {actual}"))
            }
            Self::Oci(code) => std::panic::catch_unwind(|| message.assert_oci(code)).is_err().then(|| {
                format!("- the OCI error {code}, application/json, Docker-Distribution-Api-Version\n+ {}", readable(&message.raw))
            }),
            Self::Trailer(text) => {
                let (name, value) = line(text);
                let good = message.trailers.iter().any(|(each, actual)| {
                    each.eq_ignore_ascii_case(&name) && value.as_ref().is_none_or(|value| matches(value, actual))
                });
                (!good).then(|| format!("- trailer {name}: {value:?}\n+ trailers {:?}", message.trailers))
            }
            Self::NoTrailers => (!message.trailers.is_empty()).then(|| format!("+ trailers {:?}", message.trailers)),
        }
    }
}

/// Whether `text` is as `pattern`, in which `*` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('*').collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}
