//! The harness of the integration tests: a gate that was really started, a backend that does what a test says, and a
//! client that sees each byte. It knows the contract and never the crate's own code, so that a fault of the crate cannot
//! hide behind the same fault here. Nothing sleeps, no port is fixed, every wait ends after `PATIENCE` and says what was
//! seen until then.
#![allow(dead_code, unused_imports)]

pub mod acceptor;
pub mod api;
pub mod backend;
pub mod case;
pub mod certificates;
pub mod client;
pub mod dir;
pub mod expected;
pub mod gate;
pub mod kernel;
pub mod message;
pub mod records;
pub mod stream;
pub mod watched;

pub use backend::{Backend, Peer};
pub use client::Client;
pub use dir::Dir;
pub use gate::{Gate, Outcome, Program};
pub use message::{Framing, Message};
pub use stream::End;

use std::time::Duration;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The password file of a gate that was not given another: one user, a hash that costs nothing.
pub const HTPASSWD: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

/// `alice:secret`, as a field.
pub const AUTH: &str = "Authorization: Basic YWxpY2U6c2VjcmV0";

/// A Basic field for any user and password.
pub fn basic(user: &[u8], password: &[u8]) -> String {
    use base64::Engine;
    let both = [user, b":", password].concat();
    format!(
        "Authorization: Basic {}",
        base64::engine::general_purpose::STANDARD.encode(both)
    )
}

/// What came behind the head.
pub fn behind_head(received: &[u8]) -> &[u8] {
    let at = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    &received[at + 4..]
}

/// Bytes as a person can read them: one line for each line, everything odd escaped.
pub fn readable(bytes: &[u8]) -> String {
    const ENOUGH: usize = 2000;
    let mut text = String::new();
    for &byte in bytes.iter().take(ENOUGH) {
        match byte {
            b'\n' => text.push_str("\\n\n"),
            b'"' | b'\'' => text.push(char::from(byte)),
            other => text.extend(std::ascii::escape_default(other).map(char::from)),
        }
    }
    if bytes.len() > ENOUGH {
        text.push_str(&format!("… {} bytes in all", bytes.len()));
    }
    text
}
