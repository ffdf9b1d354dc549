//! What a line of the access file can grant on a repository.

use std::ops::BitOr;

/// The right that is granted on paths, and on no repository.
pub const PATH: &str = "path";

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To read a repository.
    Pull,
    /// To write to it, tags that exist included.
    Push,
    /// To write to it, but not to move a tag.
    Create,
    /// To remove from it.
    Delete,
}

/// Several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Right {
    /// All there are, in the order in which people name them.
    pub const ALL: [Right; 4] = [Right::Pull, Right::Push, Right::Create, Right::Delete];

    /// As in access files.
    pub fn name(self) -> &'static str {
        match self {
            Right::Pull => "pull",
            Right::Push => "push",
            Right::Create => "create",
            Right::Delete => "delete",
        }
    }

    /// What is written in an access file.
    pub fn parse(text: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == text)
    }

    /// The right alone.
    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// With those that it brings: who may write may read, and who may move a tag may make one.
    pub fn with_what_it_brings(self) -> Rights {
        Rights(match self {
            Right::Push => self.bit() | Right::Create.bit() | Right::Pull.bit(),
            Right::Create => self.bit() | Right::Pull.bit(),
            Right::Pull | Right::Delete => self.bit(),
        })
    }
}

impl Rights {
    /// Whether it is among them.
    pub fn have(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}
