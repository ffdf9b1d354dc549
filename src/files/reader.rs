//! Whether a user may read a file, told from owners, groups and modes, without becoming that user.
//!
//! Owns the walk along a path as the kernel goes it. Where it cannot be sure (an ACL, a path that cannot be followed) it
//! says nothing: what it says is so.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
pub(super) const MOST_LINKS: usize = 40;

/// One link may hold this many parts, far more than any path has.
const MOST_PARTS: usize = 256;
const READ: u32 = 0o4;
const ENTER: u32 = 0o1;

/// A user who is to read files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    name: String,
    /// None for a user whom systemd makes up anew for each start, and who owns nothing.
    uid: Option<u32>,
    groups: Vec<u32>,
}

/// What a user may not do on the way to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Go through this directory.
    Enter(PathBuf),
    /// Read the file itself, which is this one when all links are followed.
    Read(PathBuf),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Enter(path) => write!(f, "may not enter {path:?}"),
            Obstacle::Read(path) => write!(f, "may not read {path:?}"),
        }
    }
}

impl fmt::Display for Reader {
    /// The name, or the number where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Reader {
    /// Whom this process runs as.
    pub fn of_this_process() -> Reader {
        let uid = rustix::process::geteuid().as_raw();
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = entries(&users)
            .find(|fields| fields.get(2) == Some(&uid.to_string().as_str()))
            .and_then(|fields| fields.first().map(|name| (*name).to_owned()));
        let mut groups: Vec<u32> = rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(|group| group.as_raw())
            .collect();
        groups.push(rustix::process::getegid().as_raw());
        Reader {
            name: name.unwrap_or_else(|| uid.to_string()),
            uid: Some(uid),
            groups,
        }
    }

    /// The user of that name or number in the texts of `/etc/passwd` and `/etc/group`, with all groups; nothing if there is
    /// none.
    pub fn known(name: &str, users: &str, groups: &str) -> Option<Reader> {
        let fields = entries(users).find(|fields| {
            fields.first() == Some(&name) || fields.get(2) == Some(&name) && !name.is_empty()
        })?;
        let name = (*fields.first()?).to_owned();
        let uid = fields.get(2)?.parse().ok()?;
        let mut member_of = vec![fields.get(3)?.parse().ok()?];
        member_of.extend(
            entries(groups)
                .filter(|group| {
                    let members = group.get(3).copied().unwrap_or_default();
                    members.split(',').any(|member| member == name)
                })
                .filter_map(|group| group.get(2)?.parse::<u32>().ok()),
        );
        Some(Reader {
            name,
            uid: Some(uid),
            groups: member_of,
        })
    }

    /// A user whom systemd makes up for each start.
    pub fn dynamic(name: &str) -> Reader {
        Reader {
            name: name.to_owned(),
            uid: None,
            groups: Vec::new(),
        }
    }

    /// In this group too, of the text of `/etc/group`, by name or number. An unknown one changes nothing.
    pub fn join(&mut self, group: &str, groups: &str) {
        let known = entries(groups).find(|fields| fields.first() == Some(&group));
        let number = known.and_then(|fields| fields.get(2).copied());
        self.groups
            .extend(number.unwrap_or(group).parse::<u32>().ok());
    }

    /// What keeps this user from reading the file at `path`; nothing if it may be read, or if that cannot be told.
    pub fn obstacle(&self, path: &Path) -> Option<Obstacle> {
        let mut at = PathBuf::from("/");
        let mut ahead: Vec<PathBuf> = Vec::new();
        let mut links = 0;
        push(&mut ahead, &std::path::absolute(path).ok()?);
        loop {
            let Some(part) = ahead.pop() else {
                return self.denied(&at, READ).map(Obstacle::Read);
            };
            if part == Path::new("/") {
                at = part;
                continue;
            }
            if let Some(directory) = self.denied(&at, ENTER) {
                return Some(Obstacle::Enter(directory));
            }
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(part);
            if !fs::symlink_metadata(&next).ok()?.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS || ahead.len() > MOST_PARTS {
                return None;
            }
            push(&mut ahead, &fs::read_link(&next).ok()?);
        }
    }

    /// `path` itself if this user surely lacks the right to it.
    fn denied(&self, path: &Path, right: u32) -> Option<PathBuf> {
        const ROOT: Option<u32> = Some(0);
        let it = fs::metadata(path).ok()?;
        let shift = if self.uid == Some(it.uid()) {
            6
        } else if self.groups.contains(&it.gid()) {
            3
        } else {
            0
        };
        let may = self.uid == ROOT || (it.mode() >> shift) & right != 0;
        (!may && !has_acl(path)).then(|| path.to_owned())
    }
}

/// Puts the parts of a path on top of those that are still to go, the first uppermost.
fn push(ahead: &mut Vec<PathBuf>, path: &Path) {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let parts: Vec<_> = parts.map(|part| PathBuf::from(part.as_os_str())).collect();
    ahead.extend(parts.into_iter().rev());
}

/// Whether somebody may be let in whom the mode does not tell of.
fn has_acl(path: &Path) -> bool {
    let mut unread = [0_u8; 0];
    let found = rustix::fs::getxattr(path, "system.posix_acl_access", &mut unread[..]);
    // Without the attribute, or on a file system that has none, the mode says it all.
    !matches!(
        found,
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP)
    )
}

/// The lines of a file of users or groups, by their fields.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::scratch::Scratch;
    use std::fs::{DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nportreeve:x:998:997::/:/bin/false\n";
    const GROUPS: &str =
        "root:x:0:\nssl-cert:x:110:www-data,portreeve\nportreeve:x:997:\nother:x:111:portreeve2\n";

    #[test]
    fn a_user_has_its_groups() {
        let reader = Reader::known("portreeve", USERS, GROUPS).unwrap();
        assert_eq!(reader, Reader::known("998", USERS, GROUPS).unwrap());
        assert_eq!(
            (reader.uid, &reader.groups[..]),
            (Some(998), &[997, 110][..])
        );
        assert_eq!(Reader::known("nobody", USERS, GROUPS), None);
        assert_eq!(Reader::known("", USERS, GROUPS), None);
        let mut dynamic = Reader::dynamic("portreeve");
        dynamic.join("other", GROUPS);
        dynamic.join("42", GROUPS);
        dynamic.join("none", GROUPS);
        assert_eq!((dynamic.uid, &dynamic.groups[..]), (None, &[111, 42][..]));
    }

    #[test]
    fn the_first_thing_that_a_user_may_not_is_named() {
        let scratch = Scratch::new();
        let top = scratch.path().canonicalize().unwrap();
        let at = |name: &str| top.join(name);
        let owner = fs::metadata(&top).unwrap();
        let set = |name: &str, mode| {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        };
        set("", 0o755);
        for name in ["live", "archive"] {
            DirBuilder::new().mode(0o755).create(at(name)).unwrap();
        }
        fs::write(at("archive/key1"), "").unwrap();
        symlink("../archive/key1", at("live/key")).unwrap();
        symlink(at("live"), at("other")).unwrap();
        let stranger = Reader {
            name: "x".into(),
            uid: Some(4_000_000),
            groups: vec![4_000_000],
        };
        let of_group = Reader {
            groups: vec![owner.gid()],
            ..stranger.clone()
        };
        let of_owner = Reader {
            uid: Some(owner.uid()),
            ..stranger.clone()
        };
        let enter = |name: &str| Some(Obstacle::Enter(at(name)));
        let read = Some(Obstacle::Read(at("archive/key1")));
        // What is set, and what then keeps a stranger, one of the group, and the owner from it. The last may be root.
        type Case<'a> = (&'a str, u32, Option<Obstacle>, Option<Obstacle>);
        let cases: [Case<'_>; 6] = [
            ("archive/key1", 0o644, None, None),
            ("archive/key1", 0o640, read.clone(), None),
            ("archive/key1", 0o600, read.clone(), read.clone()),
            ("archive/key1", 0o604, None, read.clone()),
            ("archive", 0o750, enter("archive"), read),
            ("live", 0o700, enter("live"), enter("live")),
        ];
        for (name, mode, of_stranger, of_one_of_the_group) in cases {
            set(name, mode);
            for path in ["live/key", "other/key", "other/../live/./key"] {
                let shown = format!("{path} with {name} {mode:o}");
                assert_eq!(stranger.obstacle(&at(path)), of_stranger, "{shown}");
                assert_eq!(of_group.obstacle(&at(path)), of_one_of_the_group, "{shown}");
                assert_eq!(of_owner.obstacle(&at(path)), None, "{shown}");
            }
        }
        assert_eq!(of_owner.obstacle(&at("none")), None);
        symlink("circle", at("circle")).unwrap();
        assert_eq!(stranger.obstacle(&at("circle")), None);
    }

    #[test]
    fn root_may_do_everything() {
        let scratch = Scratch::new();
        let file = scratch.file("key", "");
        fs::set_permissions(&file, Permissions::from_mode(0o0)).unwrap();
        let root = Reader::known("root", USERS, GROUPS).unwrap();
        assert_eq!(root.obstacle(&file), None);
    }
}
