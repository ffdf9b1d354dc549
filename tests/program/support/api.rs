//! The external auth API, played by a scripted backend, and a gate that asks it.
use super::{AUTH, Backend, Gate, Message, Peer};
use std::io;

/// An API that decides with this function, over connections that it keeps.
pub fn api(decide: impl Fn(&Message) -> String + Send + Sync + 'static) -> Backend {
    Backend::script(serve(decide))
}

pub fn serve(
    decide: impl Fn(&Message) -> String + Send + Sync + 'static,
) -> impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static {
    move |mut peer| {
        while let Some(request) = peer.try_request()? {
            peer.say(decide(&request))?;
        }
        Ok(())
    }
}

/// An answer without a body.
pub fn answer(status: &str, fields: &[&str]) -> String {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n");
    for field in fields {
        text.push_str(&format!("{field}\r\n"));
    }
    text + "\r\n"
}

pub const MAX_AGE: &str = "Cache-Control: max-age=30";

/// Lets `AUTH` in, and nobody else.
pub fn only_alice(request: &Message, fields: &[&str]) -> String {
    let is_alice = request.field("Authorization") == AUTH.strip_prefix("Authorization: ");
    answer(if is_alice { "200 OK" } else { "401 No" }, fields)
}

pub fn gate(api: &Backend, backend: &Backend, more: &[&str]) -> Gate {
    gate_at(api.url(), backend, more)
}

pub fn gate_at(api: &str, backend: &Backend, more: &[&str]) -> Gate {
    let mut args = vec!["--auth-backend", api, "--backend", backend.url()];
    if !more.contains(&"--auth-probe") {
        args.extend(["--auth-probe", "off"]);
    }
    args.extend(more);
    Gate::start(&args)
}

pub fn uris(api: &Backend) -> Vec<String> {
    let uri = |request: &Message| request.field("X-Original-URI").unwrap().to_owned();
    api.requests().iter().map(uri).collect()
}

/// How many lines the gate has said about the API so far.
pub fn lines_about_the_api(gate: &Gate) -> Vec<String> {
    let mut lines = gate.messages.all();
    lines.retain(|line| line.contains("auth-backend"));
    lines
}
