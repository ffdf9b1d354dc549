//! The lines of an access file as a table, by whom they are about.
//!
//! Rights are the union of all lines that match. Must not know how lines are written.

use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::Tree;
use super::rights::{Right, Rights};

/// A name that no user can be granted anything by: it stands for everybody.
pub const ANONYMOUS: &[u8] = b"anonymous";

/// The lines of an access file.
#[derive(Debug, Default)]
pub struct Access {
    pub(super) users: HashMap<Arc<[u8]>, User>,
    pub(super) groups: HashMap<Box<[u8]>, Lines>,
    /// `*`.
    pub(super) known: Lines,
    /// `anonymous`.
    pub(super) everybody: Lines,
    /// How many lines grant something.
    pub(super) granting: usize,
}

/// What the lines of one subject match.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) repositories: Tree,
    pub(super) paths: Tree,
}

/// What is said of one user by name.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) lines: Lines,
    pub(super) groups: Vec<Box<[u8]>>,
    /// Where the name is met first.
    line: usize,
}

impl User {
    /// The name stands in this line.
    pub(super) fn met(&mut self, line: usize) {
        if self.line == 0 || line < self.line {
            self.line = line;
        }
    }
}

/// Somebody who wants something.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The name, if somebody has vouched for one.
    pub user: Option<&'a [u8]>,
    /// Whether credentials were shown that are good.
    pub is_known: bool,
    /// Groups that an API has named.
    pub groups: &'a [Arc<[u8]>],
}

/// Something that a line says yes to.
#[derive(Clone, Copy, Debug)]
pub enum Wish<'a> {
    /// This right on a repository.
    Repository(Right, &'a str),
    /// A path outside the registry API.
    Path(&'a [u8]),
}

impl Access {
    /// What somebody may do in a repository.
    pub fn rights(&self, asker: Asker<'_>, repository: &str) -> Rights {
        let mut all = Rights::default();
        self.each_subject(asker, |lines| {
            let name = repository.as_bytes();
            let tree = &lines.repositories;
            tree.matches(name, asker.user, |rights, _| all = all | rights);
        });
        all
    }

    /// Whether somebody may use a path outside the registry API.
    pub fn allows_path(&self, asker: Asker<'_>, path: &[u8]) -> bool {
        self.granting_line(asker, Wish::Path(path)).is_some()
    }

    /// The first line that grants something.
    pub fn granting_line(&self, asker: Asker<'_>, wish: Wish<'_>) -> Option<usize> {
        let mut first: Option<usize> = None;
        let mut found = |line: usize| first = Some(first.map_or(line, |first| first.min(line)));
        self.each_subject(asker, |lines| match wish {
            Wish::Repository(right, name) => {
                let tree = &lines.repositories;
                tree.matches(name.as_bytes(), asker.user, |rights, line| {
                    if rights.have(right) {
                        found(line);
                    }
                });
            }
            Wish::Path(path) => {
                // Every path begins with the slash that patterns are written with; `*` of an OPTIONS is none.
                if let Some(path) = path.strip_prefix(b"/") {
                    lines.paths.matches(path, None, |_, line| found(line));
                }
            }
        });
        first
    }

    /// Whether anything is granted to those who show no credentials.
    pub fn has_anonymous(&self) -> bool {
        !self.everybody.repositories.is_empty() || !self.everybody.paths.is_empty()
    }

    /// How many lines grant something; at least one.
    pub fn len(&self) -> usize {
        self.granting
    }

    /// Whether nothing is granted to anybody.
    pub fn is_empty(&self) -> bool {
        self.granting == 0
    }

    /// The users that are named, with the line where each is met first, in the order of these.
    pub fn users(&self) -> Vec<(&[u8], usize)> {
        let users = self.users.iter().map(|(name, user)| (&**name, user.line));
        let mut users: Vec<_> = users.collect();
        users.sort_unstable_by_key(|&(name, line)| (line, name));
        users
    }

    fn each_subject(&self, asker: Asker<'_>, mut visit: impl FnMut(&Lines)) {
        visit(&self.everybody);
        if !asker.is_known {
            return;
        }
        visit(&self.known);
        if let Some(user) = asker.user.and_then(|user| self.users.get(user)) {
            visit(&user.lines);
            let groups = user.groups.iter();
            groups
                .filter_map(|group| self.groups.get(group))
                .for_each(&mut visit);
        }
        let groups = asker.groups.iter();
        groups
            .filter_map(|group| self.groups.get(&**group))
            .for_each(visit);
    }
}
