//! The `passwd` command: adds, changes, removes, lists and verifies users of a password file.
//!
//! Owns what is written into a password file. Must not know flags, nor what a running gate makes of the file. The file
//! may hold lines that nobody understands: they are kept byte for byte.

pub(crate) mod ask;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

use std::fmt::Write as _;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

use crate::files::BOM;
use crate::gate::auth::{BCRYPT_COSTS, Content, Secret, bcrypt, lines, shown, shown_unless_secret};
use ask::Times;
use file::Locked;

/// What a new password costs to check: some 50 ms, as much as a gate that remembers can well afford.
pub const DEFAULT_COST: u32 = 10;
/// What `--cost` may be.
pub const COSTS: RangeInclusive<u32> = BCRYPT_COSTS;
/// bcrypt uses no more: whoever is longer would be let in with the beginning alone.
const LONGEST_PASSWORD: usize = 72;

/// What is to be done with which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswdRequest {
    /// The password file; a link is followed.
    pub file: PathBuf,
    /// What to do.
    pub action: Action,
    /// Where the password comes from, for those actions that need one.
    pub source: Source,
}

/// What to do. A user is the bytes of the name as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add the user, or change the password. Makes the file if there is none.
    Set {
        /// Whose.
        user: Vec<u8>,
        /// bcrypt's, within [`COSTS`].
        cost: u32,
    },
    /// Remove the user.
    Delete {
        /// Whom.
        user: Vec<u8>,
    },
    /// Print a table of users, kinds of hashes and costs.
    List,
    /// Say whether a password is right.
    Verify {
        /// Whose.
        user: Vec<u8>,
    },
}

/// Where a password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Asked for without echo, twice if it is a new one.
    Terminal,
    /// One line.
    Stdin,
}

/// What came of it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit status 0.
    Done,
    /// Exit status 1: the password of `Action::Verify` is not the user's. It was said on `out`.
    WrongPassword,
}

/// Does it, and says on `out` what was done. An error is exit status 1 and was not printed.
pub fn run(request: &PasswdRequest, out: &mut dyn Write) -> Result<Outcome, String> {
    run_with(request, out, |user, times| match request.source {
        Source::Stdin => ask::from_stdin(),
        Source::Terminal => ask::from_terminal(user, times, "--stdin"),
    })
}

fn run_with(
    request: &PasswdRequest,
    out: &mut dyn Write,
    ask: impl FnOnce(&str, Times) -> Result<Zeroizing<Vec<u8>>, String>,
) -> Result<Outcome, String> {
    let path = &request.file;
    let (text, outcome) = match &request.action {
        Action::Set { user, cost } => (set_user(path, user, *cost, ask)?, Outcome::Done),
        Action::Delete { user } => (delete_user(path, user)?, Outcome::Done),
        Action::List => (list(&file::contents(path)?), Outcome::Done),
        Action::Verify { user } => verify_user(path, user, ask)?,
    };
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    Ok(outcome)
}

fn set_user(
    path: &Path,
    user: &[u8],
    cost: u32,
    ask: impl FnOnce(&str, Times) -> Result<Zeroizing<Vec<u8>>, String>,
) -> Result<String, String> {
    check_name(user)?;
    if !COSTS.contains(&cost) {
        let (least, most) = (COSTS.start(), COSTS.end());
        return Err(format!(
            "cost \"{cost}\": a number from {least} to {most} is wanted"
        ));
    }
    let password = ask(&shown(user), Times::Twice)?;
    check_password(&password)?;
    let hash = bcrypt(&password, cost).ok_or("cannot hash the password")?;
    drop(password);
    let file = Locked::open(path)?;
    let is_new = !file.exists();
    let (contents, did) = set(file.contents(), user, &hash)?;
    file.replace(&contents)?;
    let mut text = format!("{did} user \"{}\" in {path:?}\n", shown(user));
    if is_new {
        text.push_str(
            "the file is new and readable by its owner alone: if the gate runs as another user, give it to the gate's group (chgrp, chmod 640)\n",
        );
    }
    Ok(text)
}

fn delete_user(path: &Path, user: &[u8]) -> Result<String, String> {
    let file = Locked::open(path)?;
    if !file.exists() {
        return Err(format!("cannot read {path:?}: no such file or directory"));
    }
    let user_shown = shown(user);
    let (contents, left) = delete(file.contents(), user)
        .ok_or_else(|| format!("no user \"{user_shown}\" in {path:?}"))?;
    file.replace(&contents)?;
    let mut text = format!("removed user \"{user_shown}\" from {path:?}\n");
    if left == 0 {
        text.push_str("no user is left: a gate refuses to start with such a file\n");
    }
    Ok(text)
}

fn verify_user(
    path: &Path,
    user: &[u8],
    ask: impl FnOnce(&str, Times) -> Result<Zeroizing<Vec<u8>>, String>,
) -> Result<(String, Outcome), String> {
    let contents = file::contents(path)?;
    let user_shown = shown(user);
    let secret = only_hash(&contents, user)?
        .ok_or_else(|| format!("no user \"{user_shown}\" in {path:?}"))?;
    let Secret::Hash(hash) = secret else {
        return Err(format!(
            "user \"{user_shown}\" is locked: no password is right, until there is a new one"
        ));
    };
    let password = ask(&user_shown, Times::Once)?;
    let (word, outcome) = match !password.contains(&0) && hash.verify(&password) {
        true => ("right", Outcome::Done),
        false => ("wrong", Outcome::WrongPassword),
    };
    let text = format!("the password of \"{user_shown}\" is {word}\n");
    Ok((text, outcome))
}

fn check_name(user: &[u8]) -> Result<(), String> {
    let fault = if user.is_empty() {
        "empty"
    } else if user.contains(&b':') {
        "with a colon, which ends the name in the file and on the wire"
    } else if user.iter().any(u8::is_ascii_control) {
        "with a control character"
    } else if user.starts_with(b"#") {
        "beginning with \"#\", which begins a comment"
    } else {
        // Blanks around it, or a byte order mark: whatever else the file would not give back.
        let line = [user, b":"].concat();
        match lines(&line).next().map(|line| line.content) {
            Some(Content::User { user: read, .. }) if read == user => return Ok(()),
            _ => "beginning with a blank or a byte order mark",
        }
    };
    Err(format!(
        "user \"{}\": a name {fault} is not possible",
        shown(user)
    ))
}

fn check_password(password: &[u8]) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty: nothing was changed".to_owned());
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(format!(
            "the password has {} bytes, and bcrypt uses the first {LONGEST_PASSWORD} only: take a shorter one",
            password.len()
        ));
    }
    if password.contains(&0) {
        return Err(
            "the password contains a NUL, which no client can send: take another".to_owned(),
        );
    }
    Ok(())
}

/// The numbers of the lines of a user, and where their hashes are.
fn places(contents: &[u8], user: &[u8]) -> Vec<(usize, std::ops::Range<usize>)> {
    lines(contents)
        .filter_map(|line| match line.content {
            Content::User { user: found, hash } if found == user => Some((line.number, hash)),
            _ => None,
        })
        .collect()
}

fn twice(user: &[u8], first: usize, second: usize) -> String {
    format!(
        "user \"{}\" is on lines {first} and {second}: remove one of the two, or both with --delete",
        shown(user)
    )
}

/// The file with a user added or changed, and which of the two it was. Only the hash of a line is exchanged: its end and
/// a remark stay.
fn set(contents: &[u8], user: &[u8], hash: &str) -> Result<(Vec<u8>, &'static str), String> {
    match &*places(contents, user) {
        [] => {
            let end: &[u8] = match lines(contents).next() {
                Some(line)
                    if contents
                        .get(line.whole.clone())
                        .is_some_and(|line| line.ends_with(b"\r\n")) =>
                {
                    b"\r\n"
                }
                _ => b"\n",
            };
            let is_torn = lines(contents).count() > 0 && !contents.ends_with(b"\n");
            let before = if is_torn { end } else { b"" };
            let new = [contents, before, user, b":", hash.as_bytes(), end].concat();
            Ok((new, "added"))
        }
        [(_, place)] => {
            let before = contents.get(..place.start).unwrap_or_default();
            let after = contents.get(place.end..).unwrap_or_default();
            Ok(([before, hash.as_bytes(), after].concat(), "changed"))
        }
        [(first, _), (second, _), ..] => Err(twice(user, *first, *second)),
    }
}

/// The file without any line of the user, and how many users are left. `None` if there is no such user.
fn delete(contents: &[u8], user: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut new = Vec::with_capacity(contents.len());
    let (mut at, mut removed, mut left) = (0, 0, 0);
    for line in lines(contents) {
        match line.content {
            Content::User { user: found, .. } if found == user => {
                new.extend_from_slice(contents.get(at..line.whole.start).unwrap_or_default());
                at = line.whole.end;
                removed += 1;
            }
            Content::User { .. } => left += 1,
            Content::Nothing | Content::NoColon => {}
        }
    }
    new.extend_from_slice(contents.get(at..).unwrap_or_default());
    // Two files that were put together may have a byte order mark on a later line, where it is part of a name. On the first
    // line it would be none, and somebody else would have this password.
    if new.starts_with(BOM) && !contents.starts_with(BOM) {
        new.insert(0, b'\n');
    }
    (removed > 0).then_some((new, left))
}

/// The hash of a user, whatever the other lines are like.
fn only_hash(contents: &[u8], user: &[u8]) -> Result<Option<Secret>, String> {
    match &*places(contents, user) {
        [] => Ok(None),
        [(number, _)] => {
            let Some(line) = lines(contents).find(|line| line.number == *number) else {
                return Ok(None);
            };
            line.secret(contents)
                .map(Some)
                .map_err(|fault| format!("line {number}: user \"{}\": {fault}", shown(user)))
        }
        [(first, _), (second, _), ..] => Err(twice(user, *first, *second)),
    }
}

/// A table of all users. Lines that cannot be used are in it too, with the reason.
fn list(contents: &[u8]) -> String {
    let mut rows = vec![["USER", "HASH", "COST", "REMARK"].map(str::to_owned)];
    for line in lines(contents) {
        let row = match &line.content {
            Content::Nothing => continue,
            Content::NoColon => [
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
                format!("line {}: no colon", line.number),
            ],
            Content::User { user, .. } => match line.secret(contents) {
                Ok(Secret::Locked) => [
                    shown_unless_secret(user),
                    "-".to_owned(),
                    "-".to_owned(),
                    "locked".to_owned(),
                ],
                Ok(Secret::Hash(hash)) => {
                    let scheme = hash.scheme();
                    let cost = scheme.cost();
                    let remark = if scheme.is_weak() { "weak" } else { "" };
                    [
                        shown_unless_secret(user),
                        scheme.name().to_owned(),
                        cost.map_or("-".to_owned(), |cost| cost.to_string()),
                        remark.to_owned(),
                    ]
                }
                Err(fault) => [
                    shown_unless_secret(user),
                    "-".to_owned(),
                    "-".to_owned(),
                    format!("line {}: {fault}", line.number),
                ],
            },
        };
        rows.push(row);
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (user_width, hash_width, cost_width) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [user, hash, cost, remark] in &rows {
        let mut line = String::new();
        let _ = write!(
            line,
            "{user:user_width$}  {hash:hash_width$}  {cost:>cost_width$}  {remark}"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "passwd/tests.rs"]
mod tests;
