//! What is known of where a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

/// Where a request comes from and how it is called, as far as who decides may ask.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The client, behind all trusted proxies.
    pub client: IpAddr,
    /// The client, then the proxies that are believed.
    pub forwarded_for: &'a str,
    /// `https` or `http`.
    pub proto: &'a str,
    /// The host that the client asked for.
    pub host: &'a str,
    /// The name of this request.
    pub request_id: &'a str,
    /// What its connection proves.
    pub proof: &'a Proof,
}

/// What a client has proved by a certificate, if it was asked for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    #[default]
    None,
    /// That it is this user.
    User(Arc<[u8]>),
    /// That it is somebody, who has no name.
    Nameless,
}
