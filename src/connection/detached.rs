//! Requests that go on although their clients are gone.
//!
//! Owns how many there are, of each user and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::gate::registry::Route;
use crate::http::RequestHead;
use crate::lock::EvenIfPoisoned;

/// Of one user.
const MOST_OF_A_USER: usize = 32;
/// In all.
const MOST: usize = 256;

/// The requests without clients.
#[derive(Debug, Default)]
pub struct Detached(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_user: HashMap<Vec<u8>, usize>,
}

/// The right of one request to go on.
#[derive(Debug)]
pub struct Permit {
    detached: Arc<Detached>,
    user: Vec<u8>,
}

impl Detached {
    /// For a request of this user, if there is room.
    pub fn permit(self: &Arc<Self>, user: &[u8]) -> Option<Permit> {
        let mut counts = self.counts();
        let of_user = counts.by_user.get(user).copied().unwrap_or_default();
        if counts.total >= MOST || of_user >= MOST_OF_A_USER {
            return None;
        }
        counts.total += 1;
        counts.by_user.insert(user.to_vec(), of_user + 1);
        drop(counts);
        Some(Permit {
            detached: Arc::clone(self),
            user: user.to_vec(),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.counts().total
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().even_if_poisoned()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.detached.counts();
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.by_user.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_user.remove(&self.user);
            }
        }
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
    fn a_user_has_so_many_and_all_together_have_more() {
        let detached = Arc::new(Detached::default());
        let mut permits: Vec<_> = (0..40).filter_map(|_| detached.permit(b"alice")).collect();
        assert_eq!(permits.len(), MOST_OF_A_USER);
        for user in 0..100_u8 {
            permits.extend((0..8).filter_map(|_| detached.permit(&[user])));
        }
        assert_eq!((permits.len(), detached.count()), (MOST, MOST));
        permits.clear();
        assert_eq!(detached.count(), 0);
        assert!(detached.permit(b"alice").is_some());
    }

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
