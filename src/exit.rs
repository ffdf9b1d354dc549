//! What a process says by its exit status.

/// It failed while it ran, or found what it looked for to be wrong.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const WRONG_USAGE: u8 = 2;
/// Wrong configuration, as sysexits.h has it.
pub(crate) const WRONG_CONFIGURATION: u8 = 78;
