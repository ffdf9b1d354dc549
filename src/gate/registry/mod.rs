//! The registry API (OCI distribution spec): what a request is about, from its method and its target.
//!
//! Owns the grammar of paths and queries there, and the translation to an [`Action`]. Must not know who asks nor whether they
//! may. All of it is hostile, and nothing is guessed.

mod query;
mod route;

pub use query::{BadQuery, Mount, Page, form_encoded, tags_of};
pub use route::{
    Action, Digest, Reference, Route, is_api_in_disguise, is_name, is_name_component, is_of_api,
    is_tag,
};
