//! What a step has found, and how it is told: to a person, or as one object of JSON a line.
//!
//! What is said may hold what a server said: here, and nowhere else, it is made harmless.

use std::io::{self, Write};

use crate::log::{bounded, harmless};
use crate::text::Object;

/// A step that did not simply go well.
#[derive(Debug)]
pub(super) enum Unwell {
    /// It works, but somebody should look.
    Note { said: String, remedy: String },
    /// It does not work. The problem is a word for machines, which stays.
    Wrong {
        problem: &'static str,
        said: String,
        remedy: String,
    },
    /// It was not tried, and why.
    Skipped(String),
}

impl Unwell {
    pub(super) fn wrong(
        problem: &'static str,
        said: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Unwell {
        Unwell::Wrong {
            problem,
            said: said.into(),
            remedy: remedy.into(),
        }
    }

    /// The word for what is wrong, if something is.
    pub(super) fn problem(&self) -> Option<&'static str> {
        match self {
            Unwell::Wrong { problem, .. } => Some(problem),
            Unwell::Note { .. } | Unwell::Skipped(_) => None,
        }
    }
}

/// What a step has found; well is what was seen.
pub(super) type Found = Result<String, Unwell>;

/// The form of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With ticks, and remedies on lines of their own.
    Text,
    /// One object a line.
    Json,
}

pub(super) fn tell(out: &mut dyn Write, form: Form, step: &str, found: &Found) -> io::Result<()> {
    let text = match form {
        Form::Text => text(step, found),
        Form::Json => json(step, found),
    };
    // Each at once: some steps take seconds.
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn text(step: &str, found: &Found) -> String {
    let (mark, said, remedy) = match found {
        Ok(said) => ('✓', said, None),
        Err(Unwell::Note { said, remedy }) => ('!', said, Some(remedy)),
        Err(Unwell::Wrong { said, remedy, .. }) => ('✗', said, Some(remedy)),
        Err(Unwell::Skipped(said)) => ('-', said, None),
    };
    let mut text = format!("{mark} {step:13} {}\n", harmless(said));
    if let Some(remedy) = remedy {
        text.push_str(&format!("{:15} remedy: {}\n", "", harmless(remedy)));
    }
    text
}

fn json(step: &str, found: &Found) -> String {
    let (result, problem, said, remedy) = match found {
        Ok(said) => ("ok", None, said, None),
        Err(Unwell::Note { said, remedy }) => ("note", None, said, Some(remedy)),
        Err(Unwell::Wrong {
            problem,
            said,
            remedy,
        }) => ("wrong", Some(problem), said, Some(remedy)),
        Err(Unwell::Skipped(said)) => ("skipped", None, said, None),
    };
    let mut text = String::new();
    Object::new(&mut text)
        .text("step", step)
        .text("result", result)
        .maybe("problem", problem)
        .text("message", bounded(said))
        .maybe("remedy", remedy.map(|remedy| bounded(remedy)))
        .end();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_stays_on_its_line_in_either_form() {
        let found = Err(Unwell::wrong("odd", "said \"a\"\n\x1b[2J", "b\r"));
        assert_eq!(
            text("login", &found),
            "✗ login         said \"a\"\\n\\x1b[2J\n                remedy: b\\x0d\n"
        );
        assert_eq!(
            json("login", &found),
            "{\"step\":\"login\",\"result\":\"wrong\",\"problem\":\"odd\",\"message\":\"said \\\"a\\\"\\n\\u001b[2J\",\
             \"remedy\":\"b\\r\"}\n"
        );
    }
}
