//! Addresses, names and networks, and how a name is looked up. Below all protocols: it must not know settings, HTTP or the log.

mod cidr;
mod host;
mod look_up;
mod names;
mod network;
mod peer;
mod resolver;
mod text;

pub use cidr::{Cidr, is_private, is_trusted};
pub use host::{Host, HostPort};
pub use look_up::LookUp;
pub use names::{NameTable, bare};
pub use network::Network;
pub use peer::Peer;
pub use resolver::Resolver;
pub use text::push_address;

pub(crate) use host::is_name;
