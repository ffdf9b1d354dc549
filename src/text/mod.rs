//! Text that others had a hand in, as it may be shown: in a line of the log, on a terminal, in JSON.

pub(crate) mod escape;
mod json;
mod json_read;

pub(crate) use json::Object;
pub(crate) use json_read::{Json, strings_of};

/// As lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
