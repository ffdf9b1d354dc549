//! Requests in the clear, where everybody is sent to `https://`, but an authority that looks at a challenge.

use super::record::Record;
use super::refused::OK;
use super::request::served;
use super::state::{Connection, Next};
use crate::http::{RequestHead, Unread, write_redirect, write_text};
use crate::net::bare;
use crate::reactor::Context;

/// Where the answers to an authority's challenges are looked for (RFC 8555, 8.3).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";
/// The status of those who are sent away.
const PERMANENT_REDIRECT: u16 = 308;
/// The port that no address needs to name.
pub const HTTPS: u16 = 443;

/// What is shown to an authority that asks for this token.
pub type Authorizations = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What clients are told.
pub struct Redirect {
    /// Where TLS is spoken.
    pub port: u16,
    /// What answers challenges, where certificates come from an authority.
    pub authorizations: Option<Box<Authorizations>>,
}

impl Redirect {
    fn authorization(&self, head: &RequestHead) -> Option<String> {
        let token = head.path().strip_prefix(CHALLENGES)?;
        let token = std::str::from_utf8(token).ok()?;
        matches!(head.method(), "GET" | "HEAD")
            .then_some(self.authorizations.as_ref()?)
            .and_then(|authorization| authorization(token))
    }

    /// The same place by TLS. Host and target have passed the grammar, so that they end no line.
    fn location(&self, head: &RequestHead) -> Vec<u8> {
        let mut location = format!("https://{}", bare(head.host()));
        if self.port != HTTPS {
            location.push_str(&format!(":{}", self.port));
        }
        let mut location = location.into_bytes();
        location.extend_from_slice(head.target());
        location
    }
}

impl Connection {
    pub(super) fn redirect(
        &mut self,
        head: &RequestHead,
        record: Record,
        cx: &Context<'_>,
    ) -> Next {
        let redirect = &self.service.redirect;
        if let Some(text) = redirect.authorization(head) {
            return self.answer(OK, head, record, cx, |out, to| write_text(out, &text, to));
        }
        if let Some(Err(refusal)) = record.site.as_ref().map(|site| served(site, &record)) {
            return self.refuse(refusal, Some(head), Unread::whole(head), record, cx);
        }
        let location = redirect.location(head);
        self.answer(PERMANENT_REDIRECT, head, record, cx, |out, to| {
            write_redirect(out, &location, to)
        })
    }
}
