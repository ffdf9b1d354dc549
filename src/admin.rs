//! The admin endpoint: health for whatever supervises the gate.
//!
//! The only room that names `tiny_http`, which has neither limits nor time-outs and so never faces
//! the public: it listens on loopback or on a Unix socket. It must not know how requests are
//! served, only whether they can be.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tiny_http::{Method, Request, Response, Server};

use crate::config;
use crate::connection::Service;
use crate::stream::bind_unix;

/// The endpoint, bound and not yet answering.
pub struct Admin {
    listener: tiny_http::Listener,
    url: String,
    socket: Socket,
}

/// The path of a Unix socket, which is removed when this is dropped.
pub struct Socket(Option<PathBuf>);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Admin {
    /// Binds it.
    pub fn bind(place: &config::Admin) -> io::Result<Admin> {
        let (listener, url, socket) = match place {
            config::Admin::Http(place) => {
                let addresses: Vec<_> = place.to_socket_addrs()?.collect();
                let listener = TcpListener::bind(addresses.as_slice())?;
                let url = format!("http://{}", listener.local_addr()?);
                (listener.into(), url, None)
            }
            config::Admin::Unix(path) => {
                let listener = bind_unix(path)?.into();
                (listener, place.to_string(), Some(path.clone()))
            }
        };
        Ok(Admin {
            listener,
            url,
            socket: Socket(socket),
        })
    }

    /// Answers from now on, in a thread that ends with the process. What is returned is to be
    /// dropped then.
    pub fn start(self, service: Arc<Service>) -> io::Result<Socket> {
        let server = Server::from_listener(self.listener, None).map_err(io::Error::other)?;
        let answering = move || {
            for request in server.incoming_requests() {
                answer(request, &service);
            }
        };
        thread::Builder::new()
            .name("admin".into())
            .spawn(answering)?;
        ::log::info!("health on {}: /healthz, /readyz", self.url);
        Ok(self.socket)
    }
}

fn answer(request: Request, service: &Service) {
    let path = request
        .url()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (status, text) = match (request.method(), path.as_str()) {
        (Method::Get | Method::Head, "/healthz") => (200, "well\n".to_owned()),
        (Method::Get | Method::Head, "/readyz") => readiness(service),
        (Method::Get | Method::Head, _) => (404, "there is /healthz and /readyz\n".to_owned()),
        _ => (405, "only GET and HEAD\n".to_owned()),
    };
    // A client that went away is nobody's loss.
    let _ = request.respond(Response::from_string(text).with_status_code(status));
}

fn readiness(service: &Service) -> (u16, String) {
    if service.draining.load(Ordering::Acquire) {
        return (503, "stopping\n".into());
    }
    match service.duty.ready() {
        Ok(()) => (200, "ready\n".into()),
        Err(reason) => (503, format!("{reason}\n")),
    }
}
