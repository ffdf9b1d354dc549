//! The calls of the kernel that the process may make: the only room that names `seccompiler`.
//!
//! Owns the list, which is what `strace` has seen in all tests, dynamic and static, and what the libraries call where something
//! goes wrong. What is not on it fails as if it were not permitted, so that a call that was forgotten is an error and no crash.
//! What only an attacker calls ends the process.
//!
//! The kernel remembers which numbers are always allowed, and runs no filter for them. So nothing is asked of the arguments of
//! calls that a request makes. The filter is written here as the kernel runs it: what the crate compiles is three filters in place
//! of one, and takes 15 KB more of the binary for it.

use libc::{c_int, c_long};
use seccompiler::{BpfProgram, Error, sock_filter};

use crate::log::reason;

/// Another program in place of this one, and a look into others.
const DEADLY: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace];

/// Its flags are in memory, where no filter sees them; the C library asks for threads by `clone` where this is unknown.
const UNKNOWN: &[c_long] = &[libc::SYS_clone3];

/// A call that is allowed where the bits of an argument, as far as the mask goes, are one of these values.
struct Asked {
    call: c_long,
    argument: u32,
    mask: c_int,
    values: &'static [c_int],
}

/// Calls whose arguments decide. Of each the kernel looks at the lower half alone.
const ASKED: &[Asked] = &[
    // Threads alone: what shares all of the process, and no new one.
    asked(libc::SYS_clone, 0, OF_THREADS, &[OF_THREADS]),
    asked(libc::SYS_socket, 0, ALL, FAMILIES),
    asked(
        libc::SYS_ioctl,
        1,
        ALL,
        &[libc::FIONREAD as c_int, libc::FIONBIO as c_int],
    ),
    // Names for threads and memory, and what the kernel has told it at its start.
    asked(
        libc::SYS_prctl,
        0,
        ALL,
        &[libc::PR_SET_NAME, libc::PR_SET_VMA, PR_GET_AUXV],
    ),
    // Limits of its own.
    asked(libc::SYS_prlimit64, 0, ALL, &[0]),
    // An abort.
    asked(libc::SYS_tgkill, 2, ALL, &[libc::SIGABRT]),
    asked(libc::SYS_tkill, 1, ALL, &[libc::SIGABRT]),
    // Code is what the binary brings. A dynamic one has more brought when names are looked up.
    asked(libc::SYS_mmap, 2, CODE, &[0]),
    asked(libc::SYS_mprotect, 2, CODE, &[0]),
];
const ALL: c_int = !0;
const OF_THREADS: c_int = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
const CODE: c_int = match cfg!(target_env = "musl") {
    true => libc::PROT_EXEC,
    false => 0,
};
const PR_GET_AUXV: c_int = 0x4155_5856;
/// Of sockets. glibc asks the kernel for this machine's addresses when a name is looked up.
const FAMILIES: &[c_int] = match cfg!(target_env = "musl") {
    true => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
    false => &[
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ],
};

const fn asked(call: c_long, argument: u32, mask: c_int, values: &'static [c_int]) -> Asked {
    Asked {
        call,
        argument,
        mask,
        values,
    }
}

/// Whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // What a request makes.
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_futex,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_splice,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_pipe2,
    // Connections, loops, signals.
    libc::SYS_bind,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_listen,
    libc::SYS_socketpair,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Files.
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // Threads, and the end of the process, a panic's and a crash's too.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Who it is, and where.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// What aarch64 never had.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_epoll_wait,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Of `linux/audit.h`: a call of another architecture has other numbers.
#[cfg(target_arch = "aarch64")]
const HERE: u32 = 0xc000_00b7;
#[cfg(target_arch = "x86_64")]
const HERE: u32 = 0xc000_003e;

/// Takes all other calls from this thread and those that it starts.
///
/// # Errors
/// Why the system does not.
pub fn confine() -> Result<(), String> {
    seccompiler::apply_filter(&program()).map_err(|error| match error {
        Error::Prctl(error) | Error::Seccomp(error) => reason(&error),
        _ => "the filter is not as this kernel wants it".to_owned(),
    })
}

/// Number and architecture of a call, and behind them its arguments of eight bytes each, as `seccomp_data` has them; of an argument
/// the lower half comes first on the machines that this is for.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

fn program() -> BpfProgram {
    let mut all = vec![
        load(ARCHITECTURE),
        sock_filter {
            jt: 1,
            ..skip_unless(HERE, 0)
        },
        end(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    for (calls, what) in [
        (ALLOWED, libc::SECCOMP_RET_ALLOW),
        (ALLOWED_HERE, libc::SECCOMP_RET_ALLOW),
        (DEADLY, libc::SECCOMP_RET_KILL_PROCESS),
        (UNKNOWN, failure(libc::ENOSYS)),
    ] {
        for call in calls {
            all.extend([skip_unless(number(*call), 1), end(what)]);
        }
    }
    for asked in ASKED {
        let mut asks = vec![
            load(ARGUMENTS + 8 * asked.argument),
            instruction(libc::BPF_ALU | libc::BPF_AND, asked.mask.cast_unsigned()),
        ];
        for value in asked.values {
            asks.extend([
                skip_unless(value.cast_unsigned(), 1),
                end(libc::SECCOMP_RET_ALLOW),
            ]);
        }
        asks.push(end(failure(libc::EPERM)));
        // The few values that a call is asked for.
        let length = u8::try_from(asks.len()).unwrap_or(u8::MAX);
        all.push(skip_unless(number(asked.call), length));
        all.extend(asks);
    }
    all.push(end(failure(libc::EPERM)));
    all
}

fn instruction(code: u32, k: u32) -> sock_filter {
    sock_filter {
        // A few low bits.
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// Goes on behind so many instructions unless what was loaded is this.
fn skip_unless(value: u32, instructions: u8) -> sock_filter {
    sock_filter {
        jf: instructions,
        ..instruction(libc::BPF_JMP | libc::BPF_JEQ, value)
    }
}

fn end(what: u32) -> sock_filter {
    instruction(libc::BPF_RET, what)
}

fn failure(errno: c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()
}

/// None of ours is beyond a few hundred.
fn number(call: c_long) -> u32 {
    call as u32
}

#[cfg(test)]
mod tests;
