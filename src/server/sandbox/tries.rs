//! Tries what the sandbox is to refuse, for tests: debug builds alone have this, and only where the environment says what
//! (`SANDBOX_TRIES="read=/etc/shadow exec=/bin/true"`). What came of it is in the log.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Pid, Signal, kill_process};

/// The variable that says what is tried.
const VARIABLE: &str = "SANDBOX_TRIES";

/// Tries all of it, one after the other, in a thread as those of the pool are.
pub(super) fn begin() {
    let Ok(tries) = std::env::var(VARIABLE) else {
        return;
    };
    let each = move || {
        for one in tries.split_whitespace() {
            let (what, with) = one.split_once('=').unwrap_or((one, ""));
            match attempt(what, with) {
                Ok(()) => ::log::warn!("tried {one}: it works"),
                Err(error) => ::log::warn!("tried {one}: {error}"),
            }
        }
    };
    if let Err(error) = thread::Builder::new().spawn(each) {
        ::log::error!("nothing is tried: {error}");
    }
}

fn attempt(what: &str, with: &str) -> io::Result<()> {
    match what {
        "read" => fs::read(with).map(drop),
        "list" => fs::read_dir(with).map(drop),
        "write" => fs::write(with, "x"),
        "remove" => fs::remove_file(with),
        "connect" => TcpStream::connect(with).map(drop),
        "bind" => TcpListener::bind(with).map(drop),
        "abstract" => SocketAddr::from_abstract_name(with)
            .and_then(|name| UnixStream::connect_addr(&name))
            .map(drop),
        "packets" => socket(AddressFamily::PACKET, SocketType::RAW, None)
            .map(drop)
            .map_err(Into::into),
        "signal" => {
            let process = with.parse().ok().and_then(Pid::from_raw);
            let process = process.ok_or(io::ErrorKind::InvalidInput)?;
            Ok(kill_process(process, Signal::CONT)?)
        }
        "spawn" => Command::new(with).spawn().map(drop),
        "exec" => Err(Command::new(with).exec()),
        _ => Err(io::Error::other("nothing that can be tried")),
    }
}
