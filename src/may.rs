//! `portreeve may`: whether a user may do something under an access file, and which line says so.
//!
//! The answer is that of the gate: the same table is asked.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Fault, Origin, Place};
use crate::gate::access::{ANONYMOUS, Access, Asker, OtherGroups, PATH, Right, Wish};
use crate::gate::registry::{is_api_in_disguise, is_name, is_of_api};
use crate::text::escape;

/// What is asked.
#[derive(Debug)]
pub struct MayRequest {
    /// The access file.
    pub access: PathBuf,
    /// `anonymous` is somebody without credentials.
    pub user: String,
    /// Groups that an API names for the user.
    pub groups: Vec<String>,
    /// As in access files.
    pub right: String,
    /// The repository or the path.
    pub place: String,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A line grants it.
    Yes,
    /// None does.
    No,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The question makes no sense.
    Usage(String),
    /// The file is not good.
    Faults(Vec<Fault>),
    /// The answer could not be written.
    Output(io::Error),
}

/// Answers on `out`.
///
/// # Errors
/// See [`Unanswered`].
pub fn run(request: &MayRequest, out: &mut impl Write) -> Result<Answer, Unanswered> {
    let MayRequest {
        access: path,
        user,
        right,
        place,
        ..
    } = request;
    let wish = wish(right, place).map_err(Unanswered::Usage)?;
    let others = match request.groups.is_empty() {
        true => OtherGroups::None,
        false => OtherGroups::OfApi,
    };
    let access = Access::load(path, others).map_err(|bad| {
        let file = path.to_string_lossy();
        let faults = bad.into_iter().map(|fault| match fault.line {
            0 => Origin::new(Place::Flag, "access", &file).fault(fault.message),
            line => Origin::line(&file, line).fault(fault.message),
        });
        Unanswered::Faults(faults.collect())
    })?;
    let groups: Vec<Arc<[u8]>> = request
        .groups
        .iter()
        .map(|group| group.as_bytes().into())
        .collect();
    let is_known = user.as_bytes() != ANONYMOUS;
    let asker = Asker {
        user: is_known.then_some(user.as_bytes()),
        is_known,
        groups: &groups,
    };
    let user = escape::shown(user.as_bytes());
    let deed = format!("{right} {place}");
    match access.granting_line(asker, wish) {
        Some(line) => {
            let text = text_of(path, line);
            let file = escape::shown(path.to_string_lossy().as_bytes());
            writeln!(out, "yes: {user} may {deed}: {file}:{line}: {text}")
                .and_then(|()| out.flush())
                .map_err(Unanswered::Output)?;
            Ok(Answer::Yes)
        }
        None => {
            writeln!(out, "no: no line lets {user} {deed}")
                .and_then(|()| out.flush())
                .map_err(Unanswered::Output)?;
            Ok(Answer::No)
        }
    }
}

fn wish<'a>(right: &str, place: &'a str) -> Result<Wish<'a>, String> {
    if right == PATH {
        if is_of_api(place) || is_api_in_disguise(place) {
            return Err(
                "no path of that kind is granted by a path line: ask for pull, push, create or delete of a repository".to_owned(),
            );
        }
        return match place.starts_with('/') {
            true => Ok(Wish::Path(place.as_bytes())),
            false => Err("a path begins with a slash".to_owned()),
        };
    }
    let Some(right) = Right::parse(right) else {
        return Err("a right is one of pull, push, create, delete and path".to_owned());
    };
    match is_name(place) {
        true => Ok(Wish::Repository(right, place)),
        false => Err("no name of a repository: lower-case letters, digits, and . _ - between them, with a slash between components".to_owned()),
    }
}

/// A line as it stands in the file, if it still does.
fn text_of(path: &Path, line: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = bytes.split(|byte| *byte == b'\n').nth(line - 1);
    escape::shown(text.unwrap_or_default().trim_ascii())
}
