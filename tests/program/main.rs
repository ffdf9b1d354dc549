//! Tests of the built program: each module is a part of the contract, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// What a gate said is shown beside the test that failed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

mod admin;
mod admin_attacked;
mod api;
mod api_failures;
mod api_reuse;
mod auth;
mod auth_service;
mod awaited;
mod backend_password;
mod backends;
mod bulk;
mod cert;
mod cli;
mod crowd;
mod cut;
mod docs;
mod doctor;
mod early;
mod failover;
mod faults;
mod guessing;
mod harness;
mod health;
mod health_path;
mod limits;
mod log;
mod logs;
mod paths;
mod probe;
mod refused;
mod relay;
mod reload;
mod secrets;
mod serve;
mod sockets;
mod stop;
mod systemd;
mod timeouts;
mod tls;
mod wire;
mod words;
