//! The filter, run as the kernel runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

/// Of `linux/seccomp.h`.
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;
/// Where a filter finds the first argument.
const ARGUMENTS: usize = 16;

/// What a filter sees of a call: number, architecture, where from, arguments.
fn seen(call: c_long, arguments: [u64; 3]) -> Vec<u8> {
    let architecture: u32 = match std::env::consts::ARCH {
        "aarch64" => 0xc000_00b7,
        _ => 0xc000_003e,
    };
    let mut seen = Vec::new();
    seen.extend(u32::try_from(call).unwrap().to_le_bytes());
    seen.extend(architecture.to_le_bytes());
    seen.extend([0; 8]);
    seen.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
    seen.extend([0; 24]);
    seen
}

/// What a filter says, and whether it has looked at arguments.
fn run(program: &BpfProgram, seen: &[u8]) -> (u32, bool) {
    let (mut at, mut value, mut looked) = (0, 0_u32, false);
    loop {
        let it = &program[at];
        at += 1;
        match it.code {
            // Load.
            0x20 => {
                let offset = it.k as usize;
                looked |= offset >= ARGUMENTS;
                value = u32::from_le_bytes(seen[offset..offset + 4].try_into().unwrap());
            }
            0x54 => value &= it.k,
            0x15 => at += usize::from(if value == it.k { it.jt } else { it.jf }),
            0x06 => return (it.k, looked),
            other => panic!("an instruction {other:#x} that no filter of ours has"),
        }
    }
}

fn done(call: c_long, arguments: [u64; 3]) -> (u32, bool) {
    run(&program(), &seen(call, arguments))
}

#[test]
fn what_only_an_attacker_calls_ends_the_process() {
    for call in DEADLY {
        assert_eq!(done(*call, [0; 3]).0, KILL_PROCESS, "{call}");
    }
}

#[test]
fn what_is_on_no_list_fails() {
    let not_permitted = ERRNO | libc::EPERM.unsigned_abs();
    for call in [
        libc::SYS_kill,
        libc::SYS_seccomp,
        libc::SYS_landlock_restrict_self,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_setuid,
        libc::SYS_unshare,
        libc::SYS_memfd_create,
        libc::SYS_personality,
    ] {
        assert_eq!(done(call, [0; 3]).0, not_permitted, "{call}");
    }
    // The other numbers of x86_64.
    assert_eq!(done(libc::SYS_read | 0x4000_0000, [0; 3]).0, not_permitted);
}

#[test]
fn threads_are_asked_for_where_a_filter_sees_what_they_are() {
    let unknown = ERRNO | libc::ENOSYS.unsigned_abs();
    assert_eq!(done(libc::SYS_clone3, [0; 3]).0, unknown);
}

#[test]
fn arguments_decide_where_they_are_asked_about() {
    let not_permitted = ERRNO | libc::EPERM.unsigned_abs();
    let of_musl = 0x7d_0f00;
    let of_glibc = 0x3d_0f00;
    let new_namespace = 0x1000_0000;
    let of_child = 17;
    let table = [
        (libc::SYS_clone, [of_musl, 0, 0], true),
        (libc::SYS_clone, [of_glibc, 0, 0], true),
        (libc::SYS_clone, [of_child, 0, 0], false),
        (libc::SYS_clone, [new_namespace | of_child, 0, 0], false),
        // vfork.
        (libc::SYS_clone, [0x4111, 0, 0], false),
        (libc::SYS_socket, [1, 1, 0], true),
        (libc::SYS_socket, [2, 1, 0], true),
        (libc::SYS_socket, [10, 2, 0], true),
        (libc::SYS_socket, [17, 3, 0], false),
        (libc::SYS_socket, [16, 3, 0], cfg!(not(target_env = "musl"))),
        (libc::SYS_ioctl, [0, 0x5421, 0], true),
        (libc::SYS_ioctl, [0, 0x541b, 0], true),
        // What types into a terminal.
        (libc::SYS_ioctl, [0, 0x5412, 0], false),
        (libc::SYS_prctl, [15, 0, 0], true),
        (libc::SYS_prctl, [4, 1, 0], false),
        (libc::SYS_prlimit64, [0, 7, 0], true),
        (libc::SYS_prlimit64, [1, 7, 0], false),
        (libc::SYS_tgkill, [4321, 4322, 6], true),
        (libc::SYS_tgkill, [1, 1, 9], false),
        (libc::SYS_tkill, [4322, 6, 0], true),
        (libc::SYS_tkill, [1, 9, 0], false),
        (libc::SYS_mmap, [0, 4096, 3], true),
        (libc::SYS_mprotect, [0, 4096, 1], true),
        (libc::SYS_mmap, [0, 4096, 5], cfg!(not(target_env = "musl"))),
        (
            libc::SYS_mprotect,
            [0, 4096, 7],
            cfg!(not(target_env = "musl")),
        ),
    ];
    for (call, arguments, is_allowed) in table {
        let wanted = if is_allowed { ALLOW } else { not_permitted };
        assert_eq!(done(call, arguments).0, wanted, "{call} {arguments:x?}");
    }
}

#[test]
fn what_a_request_calls_is_allowed_whatever_its_arguments_are() {
    for call in ALLOWED.iter().chain(ALLOWED_HERE) {
        assert_eq!(done(*call, [u64::MAX; 3]), (ALLOW, false), "{call}");
    }
}

#[test]
fn a_call_of_another_architecture_ends_the_process() {
    let mut seen = seen(libc::SYS_read, [0; 3]);
    // The 32-bit one of x86.
    seen[4..8].copy_from_slice(&0x4000_0003_u32.to_le_bytes());
    assert_eq!(run(&program(), &seen).0, KILL_PROCESS);
}
