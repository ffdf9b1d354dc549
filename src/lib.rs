//! Portreeve keeps the gate of a container registry: it ends TLS, checks who is asking, and relays
//! bytes to a backend. Synchronous: a bounded pool of blocking threads.
//!
//! A request's journey, in the order of the modules below:
//!
//! 1. [`server`] accepts a connection, and parks it whenever no worker has anything to do for it.
//! 2. [`connection`] shakes hands and reads a head, without waiting for the client.
//! 3. [`http`] parses it strictly, or refuses it.
//! 4. [`gate`] reads the credentials, checks them, and gives a `Grant`, or refuses.
//! 5. [`relay`] takes the `Grant`, sends the request to a backend and the answer back; nobody waits in between.
//! 6. [`connection`] writes the log line, and reads the next request or ends.
//!
//! Each module uses those below it and knows nothing of those above.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;

pub mod admin;
pub mod cert;
pub mod doctor;
pub mod health;
pub mod passwd;
pub mod server;

pub mod connection;

pub mod gate;
pub mod relay;

pub mod http;
pub mod stream;
pub mod tls;

pub mod files;
pub mod leader;
pub mod log;
pub mod metrics;
pub mod net;
pub mod terminal;

#[cfg(any(test, fuzzing))]
pub mod properties;
