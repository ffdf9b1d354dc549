//! The way to other machines, below all protocols.

mod look_up;

pub use look_up::LookUp;
