//! The way to an authority over the net, blocking.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::http::{HeaderMap, Request, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, RustlsConnector};

use super::session::{Http, Reply};
use crate::gate::auth::api::connect::{Dial, INPUT, LONGEST_HEAD, Names, OUTPUT, Place};
use crate::net::HostPort;
use crate::tls;

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer, in bytes.
const LONGEST: u64 = 256 * 1024;
/// Nobody is left alone for longer than a day because they said so.
const LONGEST_RETRY: u64 = 24 * 60 * 60;

/// The way to an authority.
pub struct Authority(Arc<Vec<Certificate<'static>>>);

impl Authority {
    /// Trusts these roots and no others.
    pub fn new(roots: &[CertificateDer<'static>]) -> Authority {
        let roots = roots.iter();
        let roots = roots.map(|root| Certificate::from_der(root).to_owned());
        Authority(Arc::new(roots.collect()))
    }

    /// For one request: an authority may have its parts at several hosts, and is asked a dozen times in two months.
    fn agent(&self, url: &str) -> Result<Agent, String> {
        let uri: Uri = url.parse().map_err(|_| "not a URL".to_owned())?;
        let authority = uri.authority().map(|authority| authority.as_str());
        let place = HostPort::parse(authority.unwrap_or_default(), Some(443))?;
        let place = Arc::new(Place::new(place));
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::clone(&self.0)))
            .unversioned_rustls_crypto_provider(tls::provider())
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // It is asked for (RFC 8555, 6.1).
            .user_agent(concat!("portreeve/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .accept_encoding("")
            .max_response_header_size(LONGEST_HEAD)
            .timeout_global(Some(TIMEOUT))
            .input_buffer_size(INPUT)
            .output_buffer_size(OUTPUT)
            .build();
        let connector = Dial(Arc::clone(&place)).chain(RustlsConnector::default());
        Ok(Agent::with_parts(config, connector, Names(place)))
    }
}

impl Http for Authority {
    fn ask(&mut self, url: &str, body: Option<&[u8]>, head_only: bool) -> Result<Reply, String> {
        let method = match (body, head_only) {
            (Some(_), _) => "POST",
            (None, true) => "HEAD",
            (None, false) => "GET",
        };
        let agent = self.agent(url)?;
        let request = Request::builder().method(method).uri(url);
        let asked = match body {
            Some(body) => request
                .header("content-type", "application/jose+json")
                .body(body)
                .map(|request| agent.run(request)),
            None => request.body(()).map(|request| agent.run(request)),
        };
        let mut response = asked
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let body = response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_vec();
        let fields = response.headers();
        Ok(Reply {
            status: response.status().as_u16(),
            nonce: field(fields, "replay-nonce"),
            location: field(fields, "location"),
            // The other form, a date, is taken for no wish.
            retry_after: field(fields, "retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(|seconds: u64| Duration::from_secs(seconds.min(LONGEST_RETRY))),
            body: body.map_err(|error| error.to_string())?,
        })
    }
}

fn field(fields: &HeaderMap, name: &str) -> Option<String> {
    let value = fields.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}
