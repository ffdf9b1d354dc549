//! The way to other machines, below all protocols.

mod address;
mod look_up;
mod resolver;

pub use address::push_address;
pub use look_up::LookUp;
pub use resolver::Resolver;
