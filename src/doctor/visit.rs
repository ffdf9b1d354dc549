//! What is known so far of the gate that is examined.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::asker::Asker;
use super::finding::Unwell;
use super::line::{self, Answer, Ask, Line, Sent};
use super::location::Place;
use crate::tls::Presented;

/// What is known so far.
pub(super) struct Visit {
    pub(super) place: Place,
    /// Where to push.
    pub(super) repository: String,
    /// The value of `Authorization`.
    pub(super) authorization: Option<Zeroizing<Vec<u8>>>,
    pub(super) user: String,
    /// The certificates that count as roots, or why there are none.
    pub(super) roots: Result<Vec<CertificateDer<'static>>, String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) address: Option<SocketAddr>,
    pub(super) presented: Option<Presented>,
    /// Present as soon as requests may go out.
    pub(super) line: Option<Line>,
    /// Whether a password may go with them.
    pub(super) may_log_in: bool,
    pub(super) logged_in: bool,
    /// Where tokens are given, path and query, if clients are sent there.
    pub(super) tokens: Option<String>,
    /// Who answered 401 to those whose password was not tried yet: the gate.
    pub(super) askers: Vec<Asker>,
    pub(super) upload: Upload,
}

impl Visit {
    pub(super) fn ask(
        &self,
        method: &str,
        target: &str,
        authorization: Option<&[u8]>,
    ) -> Result<Answer, Unwell> {
        self.send(&Ask {
            method,
            target,
            authorization,
            range: None,
            body: Sent::Nothing,
        })
    }

    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, Unwell> {
        let line = self.line.as_ref().ok_or_else(not_tried)?;
        line.ask(ask).map_err(|reason| {
            Unwell::wrong(
                "no-answer",
                format!("{} {}: {reason}", ask.method, line::shown(ask.target.as_bytes())),
                "look at the gate's messages and its log, and at what stands between here and there",
            )
        })
    }
}

/// Of a step whose ground was taken away by one before it.
pub(super) fn not_tried() -> Unwell {
    Unwell::Skipped("not tried".to_owned())
}

/// What a push has come to.
#[derive(Default)]
pub(super) struct Upload {
    /// Where it goes on: path and query.
    pub(super) session: Option<String>,
    /// Another one each time, so that it is really stored.
    pub(super) blob: Vec<u8>,
    pub(super) digest: String,
    /// So much of it has arrived.
    pub(super) sent: usize,
    pub(super) stored: bool,
    pub(super) pulled: bool,
}
