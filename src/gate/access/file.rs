//! The access file: a line says who may do what where, or who is in a group.
//!
//! Owns the grammar, and every fault in it at once. A fault repeats no more of a line than can be no secret: it may be a file of
//! passwords that was named by mistake.

use std::collections::HashMap;
use std::path::Path;

use super::pattern::Component;
use super::rights::{PATH, Right, Rights};
use super::table::{ANONYMOUS, Access, Lines};
use crate::files::{self, BOM, LineFault};
use crate::gate::registry;
use crate::text::escape;

/// Far more than the largest file that makes sense.
const LARGEST: u64 = 16 * 1024 * 1024;
/// The longest word that a fault repeats.
const LONGEST_SHOWN: usize = 64;
/// What stands in a name only between quotes.
const SPECIAL: &[u8] = b"#@*\"=,";

/// Where groups come from besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherGroups {
    /// Nowhere: a group of which no line says who is in it is a slip.
    None,
    /// An API names those of each user.
    OfApi,
}

/// The first word of a line.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
enum Subject {
    User(Vec<u8>),
    Group(Vec<u8>),
    Known,
    Everybody,
}

/// A group as the file has it.
struct Group {
    line: usize,
    members: Vec<Vec<u8>>,
}

/// What is on a line.
enum Line {
    Nothing,
    /// Its name is known whatever is wrong with its users.
    Group(Vec<u8>, Result<Vec<Vec<u8>>, String>),
    Grant(Subject, Granted),
}

/// What a line grants.
enum Granted {
    Repositories(Rights, Vec<u8>),
    Paths(Vec<u8>),
}

impl Access {
    /// Reads an access file. That it cannot be read is a fault of line 0.
    pub fn load(path: &Path, others: OtherGroups) -> Result<Access, Vec<LineFault>> {
        let message = match files::read_at_most(path, LARGEST) {
            Ok(Some(bytes)) => return Access::parse(&bytes, others),
            Ok(None) => format!("larger than {} MiB: not an access file", LARGEST >> 20),
            Err(error) => files::why(path, &error),
        };
        Err(vec![LineFault { line: 0, message }])
    }

    /// Reads the contents of one, or names all that is wrong with it.
    pub fn parse(bytes: &[u8], others: OtherGroups) -> Result<Access, Vec<LineFault>> {
        if files::is_utf16(bytes) {
            let message = files::UTF_16.to_owned();
            return Err(vec![LineFault { line: 0, message }]);
        }
        let mut reading = Reading::default();
        let text = bytes.strip_prefix(BOM).unwrap_or(bytes);
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            reading.take(at + 1, line.trim_ascii());
        }
        reading.end(others)
    }
}

#[derive(Default)]
struct Reading {
    access: Access,
    groups: HashMap<Vec<u8>, Group>,
    /// Groups that something is granted to, and where first.
    granted: Vec<(Vec<u8>, usize)>,
    faults: Vec<LineFault>,
}

impl Reading {
    fn take(&mut self, number: usize, line: &[u8]) {
        match parse_line(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Group(name, members)) => match self.groups.get(&name) {
                Some(first) => {
                    let message = format!(
                        "the group of line {} again: write all its users in one line",
                        first.line
                    );
                    self.fault(number, message);
                }
                None => {
                    let line = number;
                    let members = members.unwrap_or_else(|message| {
                        self.fault(number, message);
                        Vec::new()
                    });
                    self.groups.insert(name, Group { line, members });
                }
            },
            Ok(Line::Grant(subject, granted)) => {
                self.access.granting += 1;
                self.grant(subject, granted, number);
            }
            Err(message) => self.fault(number, message),
        }
    }

    fn grant(&mut self, subject: Subject, granted: Granted, number: usize) {
        let access = &mut self.access;
        let lines: &mut Lines = match subject {
            Subject::Everybody => &mut access.everybody,
            Subject::Known => &mut access.known,
            Subject::User(name) => {
                let user = access.users.entry(name.into()).or_default();
                user.met(number);
                &mut user.lines
            }
            Subject::Group(name) => {
                let is_new = !access.groups.contains_key(&*name);
                if is_new {
                    self.granted.push((name.clone(), number));
                }
                access.groups.entry(name.into()).or_default()
            }
        };
        match granted {
            Granted::Repositories(rights, pattern) => {
                let components = pattern.split(|byte| *byte == b'/').map(Component::of);
                lines.repositories.add(components, rights, number);
            }
            Granted::Paths(pattern) => {
                let components = pattern.split(|byte| *byte == b'/').map(Component::of);
                lines.paths.add(components, Rights::default(), number);
            }
        }
    }

    fn end(mut self, others: OtherGroups) -> Result<Access, Vec<LineFault>> {
        if others == OtherGroups::None {
            for (name, line) in std::mem::take(&mut self.granted) {
                if !self.groups.contains_key(&name) {
                    let shown = shown(&name);
                    self.fault(
                        line,
                        format!("no line says who is in @{shown}: add \"@{shown} = USER...\""),
                    );
                }
            }
        }
        if self.access.granting == 0 && self.faults.is_empty() {
            let message = "no line in it grants anything: write who may do what, as in \"alice pull,push team/**\"";
            self.fault(0, message.to_owned());
        }
        if !self.faults.is_empty() {
            self.faults.sort_by_key(|fault| fault.line);
            return Err(self.faults);
        }
        for (name, Group { line, members }) in self.groups {
            for member in members {
                let user = self.access.users.entry(member.into()).or_default();
                user.met(line);
                user.groups.push(name.as_slice().into());
            }
        }
        Ok(self.access)
    }

    fn fault(&mut self, line: usize, message: String) {
        self.faults.push(LineFault { line, message });
    }
}

fn parse_line(line: &[u8]) -> Result<Line, String> {
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(Line::Nothing);
    }
    if is_of_password_file(line) {
        return Err(
            "a line of a password file: an access file says who may do what, as in \"alice pull,push team/**\""
                .to_owned(),
        );
    }
    let (subject, rest) = subject(line)?;
    let rest = rest.trim_ascii_start();
    if let Some(members) = rest.strip_prefix(b"=") {
        return match subject {
            Subject::Group(name) => Ok(Line::Group(name, members_of(members))),
            _ => Err("only a group has members: write \"@NAME = USER...\"".to_owned()),
        };
    }
    let words = rest
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.take_while(|word| !word.starts_with(b"#")).collect();
    let [rights, what] = words.as_slice() else {
        return Err(
            "three words are wanted: who, rights with commas and no blanks between, and where, as in \"alice pull,push team/**\""
                .to_owned(),
        );
    };
    Ok(Line::Grant(
        subject.clone(),
        granted(&subject, rights, what)?,
    ))
}

/// What it begins with is a name, a colon and a hash.
fn is_of_password_file(line: &[u8]) -> bool {
    let hash = line.iter().position(|byte| *byte == b':');
    let hash = hash.and_then(|at| line.get(at + 1..)).unwrap_or_default();
    hash.starts_with(b"$") || hash.starts_with(b"{S")
}

/// Who, and what follows.
fn subject(line: &[u8]) -> Result<(Subject, &[u8]), String> {
    if let Some(rest) = line.strip_prefix(b"@") {
        let (name, rest) = name(rest)?;
        return Ok((Subject::Group(name), rest));
    }
    let is_end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    if let Some(rest) = line.strip_prefix(b"*").filter(|rest| is_end(rest.first())) {
        return Ok((Subject::Known, rest));
    }
    let is_quoted = line.starts_with(b"\"");
    let (name, rest) = name(line)?;
    match name == ANONYMOUS {
        true if is_quoted => Err(NO_SUCH_USER.to_owned()),
        true => Ok((Subject::Everybody, rest)),
        false => Ok((Subject::User(name), rest)),
    }
}

const NO_SUCH_USER: &str = "anonymous is everybody, and no user can be granted anything by that name: give the user another";

/// The users behind the `=` of a group, up to a comment.
fn members_of(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut rest = text.trim_ascii_start();
    let mut members = Vec::new();
    while !rest.is_empty() && !rest.starts_with(b"#") {
        if rest.starts_with(b"@") || rest.starts_with(b"*") {
            return Err("a group holds users alone, no group and no *".to_owned());
        }
        let (member, after) = name(rest)?;
        if member == ANONYMOUS {
            return Err(NO_SUCH_USER.to_owned());
        }
        if !after.is_empty() && !after.starts_with(b" ") && !after.starts_with(b"\t") {
            return Err("users of a group stand with blanks between".to_owned());
        }
        members.push(member);
        rest = after.trim_ascii_start();
    }
    if members.is_empty() {
        return Err(
            "a group without users: write them behind the =, or remove the line".to_owned(),
        );
    }
    Ok(members)
}

/// A name, in quotes or without, and what follows.
fn name(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let (name, rest) = match text.strip_prefix(b"\"") {
        Some(quoted) => unquote(quoted)?,
        None => {
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
            let end = text.iter().position(is_end).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if name.iter().any(|byte| SPECIAL.contains(byte)) {
                return Err(
                    "a name with a blank or one of # @ * \" = , stands in double quotes".to_owned(),
                );
            }
            (name.to_vec(), rest)
        }
    };
    if name.is_empty() {
        return Err("an empty name".to_owned());
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err("a control character in a name: remove it".to_owned());
    }
    Ok((name, rest))
}

/// What stands up to the closing quote; `\"` and `\\` are a quote and a backslash in it.
fn unquote(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut name = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', after @ ..] => {
                let ends = after
                    .first()
                    .is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'=');
                return match ends {
                    true => Ok((name, after)),
                    false => Err("something directly behind a closing quote".to_owned()),
                };
            }
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] | [byte, after @ ..] => {
                name.push(*byte);
                after
            }
            [] => return Err("a quote that is not closed".to_owned()),
        };
    }
}

fn granted(subject: &Subject, rights: &[u8], what: &[u8]) -> Result<Granted, String> {
    let rights = std::str::from_utf8(rights).map_err(|_| UNKNOWN_RIGHT)?;
    if rights == PATH {
        return path(what).map(|path| Granted::Paths(path.to_vec()));
    }
    let mut all = Rights::default();
    for word in rights.split(',') {
        all = match Right::parse(word) {
            Some(right) => all | right.with_what_it_brings(),
            None if word == PATH => {
                return Err(
                    "path stands alone: paths and repositories are granted in lines of their own"
                        .to_owned(),
                );
            }
            None => return Err(UNKNOWN_RIGHT.to_owned()),
        };
    }
    repository(subject, what)?;
    Ok(Granted::Repositories(all, what.to_vec()))
}

/// It is not repeated: whoever has named another file by mistake may have a secret there.
const UNKNOWN_RIGHT: &str = "the second word is no list of rights: they are pull, push, create, delete and path, with commas and no \
                             blanks between";

/// Whether a pattern can match the name of a repository.
fn repository(subject: &Subject, pattern: &[u8]) -> Result<(), String> {
    if pattern.starts_with(b"/") {
        return Err(
            "a repository has no slash at its beginning; a path is granted with \"path\""
                .to_owned(),
        );
    }
    for component in pattern.split(|byte| *byte == b'/') {
        match Component::of(component) {
            Component::Any => {}
            Component::Own if *subject == Subject::Everybody => {
                return Err(
                    "${user} of anonymous is nobody: write * for all who have logged in".to_owned(),
                );
            }
            Component::Own => {}
            _ if component.windows(2).any(|two| two == b"**") => return Err(STARS.to_owned()),
            _ if component.windows(2).any(|two| two == b"${") => {
                return Err(
                    "${user} stands for a whole component, and nothing else is known with ${ }"
                        .to_owned(),
                );
            }
            Component::Glob(text) => {
                // Where a letter stands for each `*` it is a component, or no other text makes one of it.
                let text = std::str::from_utf8(text).map(|text| text.replace('*', "a"));
                if !text.is_ok_and(|text| registry::is_name_component(&text)) {
                    return Err(NO_REPOSITORY.to_owned());
                }
            }
            Component::Literal(text) => {
                let is_fit = std::str::from_utf8(text).is_ok_and(registry::is_name_component);
                if !is_fit {
                    return Err(NO_REPOSITORY.to_owned());
                }
            }
        }
    }
    Ok(())
}

const STARS: &str = "** stands for whole components: write it between slashes";
const NO_REPOSITORY: &str = "the third word is no repository: lower-case letters, digits, and . _ - between them, \
                             components with a slash between, * within one and ** for any number of them";

/// The path that a pattern has, without its first slash.
fn path(pattern: &[u8]) -> Result<&[u8], String> {
    let Some(path) = pattern.strip_prefix(b"/") else {
        return Err("path grants a path, which begins with a slash, as in /ui/**".to_owned());
    };
    if pattern.contains(&b'?') {
        return Err("a path has no query: leave out the question mark and what follows".to_owned());
    }
    if crate::http::PathDecides::Everywhere.check(pattern).is_err() {
        return Err("no such path is let through: it can be read in two ways".to_owned());
    }
    for segment in path.split(|byte| *byte == b'/') {
        if segment != b"**" && segment.windows(2).any(|two| two == b"**") {
            return Err(STARS.to_owned());
        }
    }
    let of_registry = path.strip_prefix(b"v2/");
    let is_extension = |rest: &[u8]| rest.starts_with(b"_") && rest != b"_catalog";
    if path == b"v2" || of_registry.is_some_and(|rest| !is_extension(rest)) {
        return Err(
            "what is under /v2/ is granted with pull, push, create and delete; with path only extensions are, as in /v2/_x/**"
                .to_owned(),
        );
    }
    if std::str::from_utf8(pattern).is_ok_and(registry::is_api_in_disguise) {
        return Err(
            "no such path is let through: it could be taken for one of the registry's".to_owned(),
        );
    }
    Ok(path)
}

/// A name as a fault may repeat it.
fn shown(name: &[u8]) -> String {
    match name.len() > LONGEST_SHOWN {
        true => "…".to_owned(),
        false => escape::shown(name),
    }
}
