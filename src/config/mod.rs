//! What is meant by what was typed: flags, variables and a file become [`Settings`], or a list of all their faults.
//!
//! It opens the configuration file and nothing else: whether a certificate can be read or an address be had is for those
//! who use it, and [`Placed`] lets them say so in the same words. It must not know who uses what. Its input comes from
//! whoever runs the gate, who is trusted but makes mistakes and has secrets, which no fault may show.

mod checks;
mod endpoint;
mod fault;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod reader;
mod settings;
mod sites;
mod source;
mod table;
mod values;

pub use endpoint::{Admin, AuthBackend, Backend, ExternalUrl, Listen};
pub use fault::{Fault, Origin, Place, Placed, in_order};
pub use settings::{Acme, ClientCertificates, Pair, Purpose, Settings, Timeouts};
pub use sites::{SiteFiles, SiteSettings};
pub use source::Flags;
pub use table::{Id, Kind, Scope, Setting, by_name, settings_table};

pub use values::{BackendAuthorization, ClientAuth, Paths, Sandbox};

pub(crate) use fault::redact;
pub(crate) use table::{nearest, settings_of_auth, with_settings, with_settings_of_auth};
pub(crate) use values::switch;
