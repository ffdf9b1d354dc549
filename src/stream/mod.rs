//! Bytes to and from one peer, in the clear or through TLS. Nothing here waits.
//!
//! Owns the socket and the TLS session over it. It knows nothing of HTTP. Everything read is
//! hostile; what TLS refuses ends the stream with an error after its alert was sent.

mod ahead;
mod channel;
pub mod early;
mod greeting;
mod local;
mod pipe;
mod poll;
mod progress;
pub mod proxy_header;
mod readiness;
mod socket;
mod tls;

pub use ahead::in_the_clear;
pub use channel::Stream;
pub use greeting::Choose;
pub use local::{SocketFile, bind_unix, room_for_socket};
pub use pipe::{PIPE_SIZE, Pipe, refuses_pipes};
pub use poll::{Events, Poll, Report};
pub use progress::Progress;
pub use readiness::NOBODY;
pub use socket::{Interest, Socket};
