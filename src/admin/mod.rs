//! The admin endpoint: health, numbers and a page for whoever runs the gate.
//!
//! The only room that names `tiny_http`, which writes the answers. Its server has neither limits nor time-outs and takes
//! connections from listeners alone, so that [`clients`] does the accepting and reading in its place: whoever can reach
//! the endpoint cannot keep others from it. It listens on loopback or on a Unix socket, and never faces the public. It
//! must not know how requests are served, only whether they can be. One thread answers all that is known already;
//! readiness, which has to be found out and may take as long as a connection to a backend, has a thread of its own.

mod clients;
mod hold_file;
mod page;
mod readonly;
mod watched;

use std::io;
use std::mem;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use tiny_http::{HTTPVersion, Header, Response};

use crate::config;
use crate::connection::{Mode, Service};
use crate::http::{RequestHead, Version};
use crate::metrics::{self, BackendStanding, BackendState, CertificateStanding};
use crate::net::{Host, HostPort};
use crate::stream::{SocketFile, bind_unix};
use clients::{Clients, LONGEST_HEAD, Reply, Unfit};
use hold_file::HoldFile;
use readonly::Readonly;
pub use watched::Watched;

const PLAIN: &str = "text/plain; charset=utf-8";

/// The endpoint, bound and not yet answering.
pub struct Admin {
    listener: OwnedFd,
    url: String,
    socket: Socket,
    /// Where it is kept that the gate is read-only.
    hold_file: Option<HoldFile>,
    hosts: Hosts,
}

/// The file of a Unix socket, which is removed when this is dropped.
pub struct Socket {
    _file: Option<SocketFile>,
}

/// Under which names it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    /// `localhost` and addresses. A browser on this machine reaches loopback, and any other name can be made to lead there
    /// by whoever owns it, for a page of theirs to read what is here.
    OwnAlone,
    /// Any: no browser comes to a Unix socket, and who insists on another address may have given it a name.
    Any,
}

impl Admin {
    /// Binds it. `is_insecure` is what `--insecure-admin` says.
    pub fn bind(place: &config::Admin, is_insecure: bool) -> io::Result<Admin> {
        match place {
            config::Admin::Http(place) => {
                let addresses: Vec<_> = place.to_socket_addrs()?.collect();
                let listener = TcpListener::bind(addresses.as_slice())?;
                let url = format!("http://{}", listener.local_addr()?);
                Ok(Admin {
                    listener: listener.into(),
                    url,
                    socket: Socket { _file: None },
                    hold_file: None,
                    hosts: match is_insecure {
                        true => Hosts::Any,
                        false => Hosts::OwnAlone,
                    },
                })
            }
            config::Admin::Unix(path) => {
                let (listener, file) = bind_unix(path)?;
                Ok(Admin {
                    listener: listener.into(),
                    url: place.to_string(),
                    socket: Socket { _file: Some(file) },
                    hold_file: Some(HoldFile::beside(path)),
                    hosts: Hosts::Any,
                })
            }
        }
    }

    /// Answers from now on, in threads that end with the process. What is returned is to be
    /// dropped then.
    pub fn start(self, mut watched: Watched) -> io::Result<Socket> {
        let mut clients = Clients::new(self.listener)?;
        let interrupt = mem::replace(&mut watched.interrupt, Box::new(|| {}));
        let held = Arc::clone(&watched.service.hold);
        let mut readonly = Readonly::new(held, self.hold_file, interrupt);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (ask, asked) = channel();
        let (find, found) = channel();
        let finding_out = {
            let (service, wake) = (Arc::clone(&watched.service), wake.try_clone()?);
            move || find_out(&service, &asked, &find, &wake)
        };
        let hosts = self.hosts;
        let answering = move || {
            let mut is_asked = false;
            let mut until = None;
            loop {
                clients.turn(&wake, until, |asked, socket| match asked {
                    Ok(head) if head.method() == "POST" && head.path() == b"/readonly" => {
                        hold(head, socket, &mut readonly, watched.service.mode)
                    }
                    Ok(head) => reply(head, &watched, hosts),
                    Err(unfit) => Reply::Now(refused(&unfit)),
                });
                until = readonly.go_on(&mut clients, Instant::now());
                while let Ok(readiness) = found.try_recv() {
                    is_asked = false;
                    clients.hand_out(|head| print(head, &readiness));
                }
                if !is_asked && clients.include_waiting() {
                    is_asked = ask.send(()).is_ok();
                }
            }
        };
        for (name, work) in [
            (
                "readiness",
                Box::new(finding_out) as Box<dyn FnOnce() + Send>,
            ),
            ("admin", Box::new(answering)),
        ] {
            thread::Builder::new().name(name.into()).spawn(work)?;
        }
        ::log::info!(
            "health on {}: /healthz, /readyz, /metrics, and / for people",
            self.url
        );
        Ok(self.socket)
    }
}

/// An answer before it is sent.
struct Answer {
    status: u16,
    kind: &'static str,
    text: String,
}

impl Answer {
    fn plain(status: u16, text: impl Into<String>) -> Answer {
        let mut text = text.into();
        text.push('\n');
        Answer {
            status,
            kind: PLAIN,
            text,
        }
    }
}

/// Begins to hold writes back, or says why not.
fn hold(head: &RequestHead, socket: &OwnedFd, readonly: &mut Readonly, mode: Mode) -> Reply {
    let held = match mode {
        Mode::Forward => readonly.ask(head, socket),
        Mode::Confirm => Err(Answer::plain(
            404,
            "this is an auth service: ask the gate that forwards",
        )),
    };
    match held {
        Ok(()) => Reply::Hold,
        Err(answer) => Reply::Now(print(head, &answer)),
    }
}

fn reply(head: &RequestHead, watched: &Watched, hosts: Hosts) -> Reply {
    let answer = if hosts == Hosts::OwnAlone && !head.values("Host").all(is_own_name) {
        Answer::plain(
            403,
            "this answers under localhost or an address alone, so that no page of others can read it",
        )
    } else if !matches!(head.method(), "GET" | "HEAD") {
        Answer::plain(405, "only GET and HEAD")
    } else {
        match head.path() {
            b"/healthz" => Answer::plain(200, "well"),
            b"/readyz" => return Reply::Later,
            b"/readonly" => Answer::plain(200, readonly::told(&watched.service.hold.standing())),
            b"/metrics" => Answer {
                status: 200,
                kind: metrics::CONTENT_TYPE,
                text: metrics::text((watched.standing)()),
            },
            b"/" => Answer {
                status: 200,
                kind: "text/html; charset=utf-8",
                text: page::render(watched),
            },
            _ => Answer::plain(
                404,
                "there is / (status), /metrics, /healthz, /readyz and /readonly",
            ),
        }
    };
    Reply::Now(print(head, &answer))
}

fn refused(unfit: &Unfit) -> Vec<u8> {
    let answer = match unfit {
        Unfit::TooLong => {
            Answer::plain(431, format!("the head is over {} KiB", LONGEST_HEAD >> 10))
        }
        Unfit::Refused(refusal) => Answer::plain(refusal.status(), refusal.message()),
    };
    write(&answer, Version::Http11, false)
}

fn print(head: &RequestHead, answer: &Answer) -> Vec<u8> {
    write(answer, head.version(), head.method() == "HEAD")
}

/// The bytes of an answer. Each is the last on its connection: those who ask do so every few seconds.
fn write(answer: &Answer, version: Version, is_head: bool) -> Vec<u8> {
    let mut response = Response::from_string(answer.text.as_str()).with_status_code(answer.status);
    for (name, value) in [
        ("Content-Type", answer.kind),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", page::policy()),
    ] {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    let version = match version {
        Version::Http10 => HTTPVersion(1, 0),
        Version::Http11 => HTTPVersion(1, 1),
    };
    let mut bytes = Vec::with_capacity(answer.text.len() + 1024);
    // A vector takes everything.
    let _ = response.with_chunked_threshold(usize::MAX).raw_print(
        &mut bytes,
        version,
        &[],
        is_head,
        None,
    );
    // A field that `tiny_http` keeps for itself.
    if let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        bytes.splice(end..end, *b"\r\nConnection: close");
    }
    bytes
}

/// Finds out whether the gate is ready, once for all who ask meanwhile.
fn find_out(service: &Service, asked: &Receiver<()>, find: &Sender<Answer>, wake: &OwnedFd) {
    for () in asked {
        if find.send(readiness(service)).is_err() {
            return;
        }
        let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
    }
}

fn readiness(service: &Service) -> Answer {
    match service.ready() {
        Ok(()) => {
            let shown = service.certificates.standing();
            Answer::plain(200, with_others(&service.sites.backends(), &shown))
        }
        Err(reason) => Answer::plain(503, reason),
    }
}

/// One backend is enough to be ready, and an authority that looks for a challenge must find somebody; what is not up and not there
/// yet is named all the same.
fn with_others(backends: &[BackendStanding], certificates: &[CertificateStanding]) -> String {
    let mut text = "ready".to_owned();
    for backend in backends {
        if backend.state != BackendState::Up {
            text.push_str(&format!(
                "\nbackend {}: {}",
                backend.url,
                backend.state.text()
            ));
        }
    }
    for certificate in certificates {
        if let Some(awaited) = &certificate.awaited {
            let name = certificate.names.first().map_or("", String::as_str);
            text.push('\n');
            text.push_str(&awaited.words(name));
        }
    }
    text
}

/// Whether a browser that shows this name has come here by itself.
fn is_own_name(host: &[u8]) -> bool {
    let host = str::from_utf8(host).ok();
    let Some(Ok(place)) = host.map(|host| HostPort::parse(host, Some(80))) else {
        return false;
    };
    match place.host {
        Host::Address(IpAddr::V4(_) | IpAddr::V6(_)) => true,
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_own_are_answered() {
        for own in [
            "localhost",
            "LOCALHOST:9000",
            "127.0.0.1:9000",
            "[::1]:9000",
        ] {
            assert!(is_own_name(own.as_bytes()), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example:9000",
            "a b",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_own_name(other.as_bytes()), "{other}");
        }
    }
}
