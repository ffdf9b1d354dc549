//! How many processors this process may use.
//!
//! Asked once, at the start: the limits of a container are in files that the sandbox puts out of reach.

use std::sync::LazyLock;
use std::thread;

static COUNT: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// At least one. To be asked once before the process is confined.
pub fn count() -> usize {
    *COUNT
}
