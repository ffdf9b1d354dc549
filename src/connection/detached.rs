//! Requests that go on although their clients are gone.
//!
//! Owns how many there are, of each user and in all.

use std::sync::Arc;

use crate::counted::{Counted, CountedBy};
use crate::gate::registry::Route;
use crate::http::RequestHead;

/// Of one user.
const MOST_OF_A_USER: usize = 32;
/// In all.
const MOST: usize = 256;

/// The requests without clients.
#[derive(Debug)]
pub struct Detached(CountedBy<Arc<[u8]>>);

/// The right of one request to go on.
#[derive(Debug)]
pub struct Permit(#[allow(dead_code)] Counted<Arc<[u8]>>);

impl Default for Detached {
    fn default() -> Detached {
        Detached(CountedBy::new(MOST_OF_A_USER, MOST))
    }
}

impl Detached {
    /// For a request of this user, if there is room.
    pub fn permit(&self, user: Arc<[u8]>) -> Option<Permit> {
        self.0.take(&user, 1).map(Permit)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.total()
    }
}

/// Whether a request that has arrived whole is to be carried out even if nobody waits for its answer: clients give up after half a
/// minute in which a registry assembles a blob, push again, and then find it done.
pub fn outlives_its_client(head: &RequestHead) -> bool {
    // A path that is no text is none of a registry's.
    let Ok(target) = std::str::from_utf8(head.target()) else {
        return false;
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let Some(route) = Route::parse(path) else {
        return false;
    };
    let is_single =
        || query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("digest=")));
    match (head.method(), route) {
        ("PUT", Route::Upload(..) | Route::Manifest(..)) => true,
        ("POST", Route::Uploads(_) | Route::Upload(..)) => is_single(),
        ("DELETE", Route::Manifest(..) | Route::Blob(..) | Route::Upload(..)) => true,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_an_upload_names_something_or_removes_it_goes_on() {
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (line, goes_on) in [
            ("PUT /v2/a/blobs/uploads/1?digest=x", true),
            ("PUT /v2/a/manifests/latest", true),
            ("POST /v2/a/blobs/uploads/?digest=x", true),
            ("POST /v2/a/blobs/uploads/", false),
            ("POST /v2/a/blobs/uploads/?mount=x&from=b", false),
            ("PATCH /v2/a/blobs/uploads/1", false),
            ("GET /v2/a/manifests/latest", false),
            (&format!("DELETE /v2/a/manifests/{digest}"), true),
            ("DELETE /other", false),
            ("PUT /v2/../x", false),
        ] {
            let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            let goes = RequestHead::parse(text.as_bytes())
                .ok()
                .flatten()
                .is_some_and(|(head, _)| outlives_its_client(&head));
            assert_eq!(goes, goes_on, "{line}");
        }
    }
}
