//! Who may do what in which repository: the access file as a table.
//!
//! Owns rights, subjects, and what a line matches. Must not know methods, paths of the API or how anybody proved who they are.
//! Rights are the union of all lines that match: there is no order and no denial, so that no line can take away what another
//! gives. Who asks and for what is hostile; the file is the operator's, and every fault of it is named with its line.

mod file;
mod pattern;
mod rights;
mod table;

pub use file::OtherGroups;
pub use rights::{PATH, Right, Rights};
pub use table::{ANONYMOUS, Access, Asker, Wish};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
