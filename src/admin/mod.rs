//! The admin endpoint: health, numbers and a page for whoever runs the gate.
//!
//! The only room that names `tiny_http`, which has neither limits nor time-outs and so never faces
//! the public: it listens on loopback or on a Unix socket. It must not know how requests are
//! served, only whether they can be. One thread answers all that is known already; readiness, which
//! has to be found out and may take as long as a connection to a backend, has a thread of its own.

mod page;

use std::io;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use tiny_http::{Header, Method, Request, Response, Server};

use crate::config::{self, HostPort};
use crate::connection::Service;
use crate::metrics::{self, BackendStanding, BackendState, Standing};
use crate::stream::{SocketFile, bind_unix};

/// Questions for readiness that wait while one is answered: probes ask every few seconds.
const MOST_WAITING: usize = 16;
const PLAIN: &str = "text/plain; charset=utf-8";

/// The endpoint, bound and not yet answering.
pub struct Admin {
    listener: tiny_http::Listener,
    url: String,
    socket: Socket,
    /// Whether only this machine reaches it, so that a page in its browser could ask under a name of its own.
    is_loopback: bool,
}

/// The file of a Unix socket, which is removed when this is dropped.
pub struct Socket {
    _file: Option<SocketFile>,
}

/// What there is to be told.
pub struct Watched {
    /// What every connection shares.
    pub service: Arc<Service>,
    /// Where clients are accepted.
    pub listening: Vec<String>,
    /// The password file, if one decides.
    pub password_file: Option<PathBuf>,
    /// How things stand at the moment.
    pub standing: Box<dyn Fn() -> Standing + Send>,
}

impl Admin {
    /// Binds it.
    pub fn bind(place: &config::Admin) -> io::Result<Admin> {
        let bound = match place {
            config::Admin::Http(place) => {
                let addresses: Vec<_> = place.to_socket_addrs()?.collect();
                let listener = TcpListener::bind(addresses.as_slice())?;
                let address = listener.local_addr()?;
                Admin {
                    listener: listener.into(),
                    url: format!("http://{address}"),
                    socket: Socket { _file: None },
                    is_loopback: address.ip().is_loopback(),
                }
            }
            config::Admin::Unix(path) => {
                let (listener, file) = bind_unix(path)?;
                Admin {
                    listener: listener.into(),
                    url: place.to_string(),
                    socket: Socket { _file: Some(file) },
                    is_loopback: false,
                }
            }
        };
        Ok(bound)
    }

    /// Answers from now on, in threads that end with the process. What is returned is to be
    /// dropped then.
    pub fn start(self, watched: Watched) -> io::Result<Socket> {
        let server = Server::from_listener(self.listener, None).map_err(io::Error::other)?;
        let (ask, asked) = sync_channel::<Request>(MOST_WAITING);
        let service = Arc::clone(&watched.service);
        let finding_out = move || {
            for request in asked {
                respond(request, readiness(&service));
            }
        };
        let is_loopback = self.is_loopback;
        let answering = move || {
            for request in server.incoming_requests() {
                answer(request, &watched, &ask, is_loopback);
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

fn answer(request: Request, watched: &Watched, ask: &SyncSender<Request>, is_loopback: bool) {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return respond(request, Answer::plain(405, "only GET and HEAD"));
    }
    let path = request.url().split('?').next().unwrap_or_default();
    let answer = match path {
        "/healthz" => Answer::plain(200, "well"),
        "/readyz" => {
            return match ask.try_send(request) {
                Ok(()) => {}
                Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => {
                    respond(
                        request,
                        Answer::plain(503, "too many ask whether it is ready"),
                    );
                }
            };
        }
        "/metrics" => Answer {
            status: 200,
            kind: metrics::CONTENT_TYPE,
            text: metrics::text((watched.standing)()),
        },
        "/" if is_loopback && !is_own_name(host(&request)) => Answer::plain(
            403,
            "the status page is shown under localhost or an address alone, so that no page of others can read it",
        ),
        "/" => Answer {
            status: 200,
            kind: "text/html; charset=utf-8",
            text: page::render(watched),
        },
        _ => Answer::plain(404, "there is / (status), /metrics, /healthz and /readyz"),
    };
    respond(request, answer);
}

fn respond(request: Request, answer: Answer) {
    let mut response = Response::from_string(answer.text).with_status_code(answer.status);
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
    // A client that went away is nobody's loss.
    let _ = request.respond(response);
}

fn readiness(service: &Service) -> Answer {
    if service.draining.load(Ordering::Acquire) {
        return Answer::plain(503, "stopping");
    }
    let ready = service
        .gatekeeper
        .ready()
        .and_then(|()| service.duty.ready());
    match ready {
        Ok(()) => Answer::plain(200, with_others(&service.duty.backends())),
        Err(reason) => Answer::plain(503, reason),
    }
}

/// One backend is enough to be ready; what is not up is named all the same.
fn with_others(backends: &[BackendStanding]) -> String {
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
    text
}

fn host(request: &Request) -> &str {
    let fields = request.headers().iter();
    let mut hosts = fields.filter(|field| field.field.equiv("Host"));
    hosts.next().map_or("", |field| field.value.as_str())
}

/// Whether a browser that shows this name has come here by itself: any other name can be made to lead to loopback by
/// whoever owns it.
fn is_own_name(host: &str) -> bool {
    let Ok(place) = HostPort::parse(host, Some(80)) else {
        return false;
    };
    match place.host {
        config::Host::Address(IpAddr::V4(_) | IpAddr::V6(_)) => true,
        config::Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_own_show_the_page() {
        for own in [
            "localhost",
            "LOCALHOST:9000",
            "127.0.0.1:9000",
            "[::1]:9000",
        ] {
            assert!(is_own_name(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example:9000",
            "a b",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
