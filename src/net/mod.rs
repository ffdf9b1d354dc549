//! The way to other machines, below all protocols.

mod look_up;
mod resolver;

pub use look_up::LookUp;
pub use resolver::Resolver;
