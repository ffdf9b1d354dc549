//! Whether what is kept in a directory ends with the container.
//!
//! A private CA that nobody mounted a volume for is another one after each `docker run`, and no client trusts it.

use std::path::Path;

use rustix::fs::{stat, statfs};

/// What `statfs` says of a container's own file system in docker, podman and containerd (`OVERLAYFS_SUPER_MAGIC`).
const OVERLAY: u64 = 0x794c_7630;
/// In a container the gate is the first process, unless it was given an init.
const FIRST: u32 = 1;

/// A warning, if `directory` is on the file system that the container came with.
pub fn warning(directory: &Path) -> Option<String> {
    let is_container = std::process::id() == FIRST
        || statfs(directory).is_ok_and(|system| u64::try_from(system.f_type) == Ok(OVERLAY));
    let (of_root, of_directory) = (stat("/").ok()?, stat(directory).ok()?);
    (is_container && of_root.st_dev == of_directory.st_dev).then(|| {
        format!(
            "{directory:?} is no volume: with each new container there will be another CA, which no client trusts; \
             mount a volume there that user {} may write to",
            rustix::process::geteuid().as_raw()
        )
    })
}
