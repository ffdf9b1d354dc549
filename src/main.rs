//! The program: arguments in, exit code out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

// What a static binary has otherwise wastes memory: see Cargo.toml.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portreeve::cli::run(std::env::args_os())
}
