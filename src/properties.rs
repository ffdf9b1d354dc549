//! What must hold of all that comes from outside, whatever the bytes are: one function for each kind of input, which panics
//! where something does not hold.
//!
//! Not in the gate: only in its tests, and in the fuzz targets of `tests/fuzz`, for which alone it is public.

use crate::{config, gate, http, passwd, stream};

/// Bytes from a client: head, then body.
pub fn request_head(input: &[u8]) {
    http::properties::request_head(input);
}

/// Bytes from a backend: head, then body.
pub fn response_head(input: &[u8]) {
    http::properties::response_head(input);
}

/// A chunked body, and what follows it.
pub fn chunks(input: &[u8]) {
    http::properties::chunks(input);
}

/// The values of `Authorization` fields, one a line.
pub fn authorization(input: &[u8]) {
    gate::auth::properties::authorization(input);
}

/// What a balancer says first.
pub fn proxy_header(input: &[u8]) {
    stream::proxy_header::properties::proxy_header(input);
}

/// A method and a target, before an access file.
pub fn target(input: &[u8]) {
    gate::properties::target(input);
}

/// A password file.
pub fn password_file(input: &[u8]) {
    gate::auth::properties::password_file(input);
    passwd::properties::password_file(input);
}

/// A configuration file.
pub fn configuration(input: &[u8]) {
    config::properties::configuration(input);
}

#[cfg(test)]
#[path = "properties/tests.rs"]
mod tests;
