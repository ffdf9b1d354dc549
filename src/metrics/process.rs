//! What the system says of this process.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

static STARTED: OnceLock<SystemTime> = OnceLock::new();

/// When the process began to count: at the first call.
pub fn started() -> SystemTime {
    *STARTED.get_or_init(SystemTime::now)
}

/// What the process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Time of processors.
    pub cpu: Duration,
    /// Bytes of memory that are really there; 0 where the system does not say.
    pub resident: u64,
    /// Threads; 0 where the system does not say.
    pub threads: u64,
    /// Open descriptors; 0 where the system does not say.
    pub open_files: u64,
    /// How many there may be, if that has a limit.
    pub most_files: Option<u64>,
}

impl Process {
    /// As it is now.
    pub fn now() -> Process {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Process {
            cpu: cpu.try_into().unwrap_or_default(),
            resident: number(&status, "VmRSS:") * 1024,
            threads: number(&status, "Threads:"),
            // Without the one by which they are counted.
            open_files: fs::read_dir("/proc/self/fd")
                .map_or(0, |all| all.count().saturating_sub(1) as u64),
            most_files: getrlimit(Resource::Nofile).current,
        }
    }
}

fn number(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let first = value.and_then(|value| value.split_whitespace().next());
    first.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_something() {
        let process = Process::now();
        assert!(process.cpu > Duration::ZERO);
        assert!(process.resident > 1 << 20 && process.threads >= 1);
        assert!(process.open_files >= 3 && process.most_files >= Some(process.open_files));
    }

    #[test]
    fn what_the_system_does_not_say_is_nothing() {
        assert_eq!(number("VmRSS:\t  12 kB\n", "VmRSS:"), 12);
        assert_eq!(number("VmRSS:\n", "VmRSS:"), 0);
        assert_eq!(number("", "Threads:"), 0);
    }
}
