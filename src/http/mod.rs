//! HTTP/1.x on the wire: heads, fields, framing, bodies, and the refusals that a client gets.
//!
//! Everything that comes in here is hostile, the client's bytes as much as the backend's. What leaves has been parsed
//! whole and is written anew from what was understood, so that nobody behind or before the gate can read a message
//! differently from the gate. This room knows no sockets, no users and no settings.

mod answer;
mod body;
mod chunks;
mod fields;
mod framing;
mod grammar;
mod host;
mod input;
pub mod location;
mod paths;
mod refusal;
mod request;
mod response;
mod scan;
mod target;
mod unparsed;
mod unread;
mod write;

#[cfg(test)]
mod equivalence;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

pub use answer::{
    Form, Shape, basic_challenge, write_catalog, write_confirmation, write_ready, write_redirect,
    write_text, write_token,
};
pub use body::{Body, Reading, is_bad_chunk};
pub use chunks::ChunkWriter;
pub use fields::{connection_lists, dropped_on_the_way_in, hop_by_hop};
pub use framing::{Framing, Version};
pub use host::{Authority, Scheme};
pub use input::{INPUT_LIMIT, Input};
pub use paths::PathDecides;
pub use refusal::Refusal;
pub use request::RequestHead;
pub use response::{BadResponse, ResponseHead};
pub use unparsed::{Unparsed, unparsed};
pub use unread::Unread;
pub use write::{
    CONTINUE, ForwardedBy, Own, ResponseShape, append_body, write_interim_head, write_own_fields,
    write_request_head, write_response_head, write_switch_head,
};
