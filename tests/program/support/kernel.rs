//! What the kernel has of that which a sandbox is made of. Where it lacks something, gates are started without, and tests of the
//! sandbox say that there is none to try.
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};
use std::path::Path;
use std::sync::LazyLock;

static HAS_SANDBOX: LazyLock<bool> = LazyLock::new(|| {
    let has_landlock = strictly()
        .handle_access(AccessFs::from_all(ABI::V1))
        .is_ok();
    let has_seccomp = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    if !(has_landlock && has_seccomp) {
        eprintln!("this kernel lacks Landlock or seccomp: gates are started without a sandbox");
    }
    has_landlock && has_seccomp
});

/// Whether there are both Landlock and seccomp.
pub fn has_sandbox() -> bool {
    *HAS_SANDBOX
}

/// Whether Landlock knows ports.
pub fn has_port_rules() -> bool {
    has_sandbox() && strictly().handle_access(AccessNet::ConnectTcp).is_ok()
}

/// Whether Landlock knows signals and abstract sockets.
pub fn has_scopes() -> bool {
    has_sandbox() && strictly().scope(Scope::Signal).is_ok()
}

fn strictly() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}
