//! What the gate counts, for whoever watches it.
//!
//! Owns the numbers of this process and their names towards Prometheus. All rooms may call it, and it knows none of them.
//! Counting costs a few relaxed additions: no lock, no allocation, no wait; what can be asked for when somebody looks is
//! not counted at all but handed in then, as a [`Standing`]. The values of labels are bounded: by the enums here, or by
//! what is configured.

mod busiest;
mod count;
mod counted;
mod exposition;
mod process;

pub use busiest::Busy;
pub use count::{Counted, Counter, Histogram};
pub use exposition::{CONTENT_TYPE, text};
pub use process::{Process, started};

pub use counted::{
    ACCESS_LINES_LOST, API_FAILURES, Awaited, BackendStanding, BackendState, CACHE_HITS,
    CACHE_MISSES, CONNECTIONS, CertificateStanding, HASHES, HASHES_REFUSED, Login, MESSAGES_LOST,
    Method, Reload, Request, SiteCounts, SiteStanding, Standing, Status, Sums, ThrottledStanding,
    Waits, api_call, busiest, login, reload, request, sums,
};

pub(crate) use counted::CLIENT_GONE;
