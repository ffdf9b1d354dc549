//! Portreeve keeps the gate of a container registry: it ends TLS, checks who is asking, and relays
//! bytes to a backend. Synchronous: a few loops that wait for sockets, and a bounded pool of threads for calls that block.
//!
//! A request's journey, in the order of the modules below:
//!
//! 1. [`server`] starts everything; its [`reactor`] accepts a connection and runs it whenever it can go on.
//! 2. [`connection`] learns from a balancer for whom it connects, shakes hands and reads a head. Its `run` tells the whole
//!    journey; it never waits, but says what for.
//! 3. [`http`] parses the head strictly, or refuses it; its `Host` says which site the request is for, which has a gate and backends
//!    of its own.
//! 4. [`gate`] reads the credentials, checks them, and gives a `Grant`, or refuses. A hash and a call of an API are made on a
//!    thread that may block; whoever waits for their turn holds none.
//! 5. [`connection`] gives the request its turn among those in flight, so that no user and no network takes all.
//! 6. [`relay`] takes the `Grant`, sends the request to a backend and the answer back, one stage after the other.
//! 7. [`connection`] writes the log line, and reads the next request or ends.
//!
//! Each module uses those below it and knows nothing of those above.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;

pub mod admin;
pub mod cert;
pub mod doctor;
pub mod health;
pub mod may;
pub mod passwd;
pub mod readonly;
pub mod server;

pub mod acme;
pub mod connection;

pub mod gate;
pub mod relay;

pub mod reactor;

pub mod http;
pub mod stream;
pub mod tls;

mod counted;
mod exit;
pub mod files;
mod lock;
pub mod log;
pub mod metrics;
pub mod net;
mod processors;
pub mod terminal;
mod text;

#[cfg(any(test, fuzzing))]
pub mod properties;
