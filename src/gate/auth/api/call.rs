//! One call of the API, from connecting to the end of its answer.
//!
//! Owns the agent, and names `ureq` alone but for `connect`. Must not know what an answer means for the client. Out of the box ureq follows
//! redirects, takes a proxy from the environment, has no time-outs and adds fields of its own: all that is turned off.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, RustlsConnector};
use ureq::{Agent, Body, Error, Timeout};

use super::answer::{self, Answer, Fields};
use super::breaker::Contact;
use super::connect::{Dial, INPUT, LONGEST_HEAD, Names, OUTPUT, Place};
use super::question::Question;
use super::reuse::Reuse;
use crate::net::HostPort;
use crate::tls;

/// What an answer's body may hold; it is read only so that the connection can be used again.
const LONGEST_BODY: u64 = 64 * 1024;
/// Idle connections are given up before servers do it: Node waits five seconds, and a question that meets a server just
/// hanging up has to be asked twice.
const IDLE_AT_MOST: Duration = Duration::from_secs(3);
/// Calls at once, at most: as many connections as a small service bears. Half of the threads that may block, so that a slow API
/// never takes them all.
pub(super) const MOST_CALLS: usize = 128;
/// Connections kept for the next questions: as many as there are calls at once, or a crowd connects anew for each.
const IDLE_CONNECTIONS: usize = MOST_CALLS;
/// A call that is given this much less than its whole time is cut short.
const HARDLY_LESS: Duration = Duration::from_millis(50);
/// The setting that names whom to trust.
const CA: &str = "--auth-ca";

/// Whom to ask, and how.
#[derive(Clone)]
pub(super) struct Caller {
    agent: Agent,
    place: Arc<Place>,
    uri: Uri,
    timeout: Duration,
    unsaid: Option<Duration>,
}

/// What came of a call.
pub(super) struct Called {
    /// The decision and how long it holds, or why there is none.
    pub(super) outcome: Result<(Answer, Reuse), Failure>,
    /// Whether somebody was there.
    pub(super) contact: Contact,
}

/// Why there is no decision, and who may be told the same.
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) reuse: Reuse,
}

impl Caller {
    /// `url` is asked, if it is `https://` only when its certificate chains to one of `roots`; a call has `timeout` in all.
    /// `unsaid` is how long an answer holds that says nothing of it.
    pub(super) fn new(
        url: &str,
        roots: &[CertificateDer<'static>],
        timeout: Duration,
        unsaid: Option<Duration>,
    ) -> Result<Caller, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error: ureq::http::uri::InvalidUri| format!("not a URL: {error}"))?;
        let place = Arc::new(Place::new(place(&uri)?));
        let roots = roots
            .iter()
            .map(|root| Certificate::from_der(root).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(tls::provider())
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_response_header_size(LONGEST_HEAD)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE_AT_MOST)
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout))
            // A little earlier, so that it is named when it is the resolver that is silent.
            .timeout_resolve(Some(timeout.saturating_sub(HARDLY_LESS)))
            .input_buffer_size(INPUT)
            .output_buffer_size(OUTPUT)
            .build();
        let connector = Dial(Arc::clone(&place)).chain(RustlsConnector::default());
        let agent = Agent::with_parts(config, connector, Names(Arc::clone(&place)));
        Ok(Caller {
            agent,
            place,
            uri,
            timeout,
            unsaid,
        })
    }

    /// Whether somebody listens there, without a word to them; known within the time that a call has.
    pub(super) fn connect(&self) -> io::Result<()> {
        let deadline = Instant::now() + self.timeout;
        let addresses = self.place.addresses(deadline)?;
        self.place.connect(&addresses, deadline).map(drop)
    }

    /// Asks, and has an answer or none at `deadline`, or after the time that a call has if that is earlier.
    pub(super) fn ask(&self, question: &Question<'_>, deadline: Instant) -> Called {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_cut_short = left + HARDLY_LESS < self.timeout;
        let fresh = if is_cut_short {
            self.run(question, Some(left))
        } else {
            self.run(question, None)
        };
        let response = match fresh {
            // Most likely a kept connection that the API was just closing; if not, the second attempt tells.
            Err(error) if is_hang_up(&error) => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.run(question, Some(left.min(self.timeout)))
            }
            other => other,
        };
        match response {
            Ok(response) => Called {
                outcome: self.read(response),
                contact: Contact::Answered,
            },
            Err(error) => {
                let contact = match &error {
                    Error::Timeout(_) if is_cut_short => Contact::GivenUp,
                    // Somebody is there, and speaks another language or too much.
                    Error::Protocol(_) | Error::LargeResponseHeader(..) | Error::Http(_) => {
                        Contact::Answered
                    }
                    _ => Contact::Failed,
                };
                let failure = Failure {
                    why: reason(&error),
                    reuse: Reuse::Twins,
                };
                Called {
                    outcome: Err(failure),
                    contact,
                }
            }
        }
    }

    fn run(
        &self,
        question: &Question<'_>,
        limit: Option<Duration>,
    ) -> Result<Response<Body>, Error> {
        let mut request = Request::get(self.uri.clone());
        for (name, value) in question.fields() {
            request = request.header(name, value);
        }
        let request = request.body(())?;
        match limit {
            None => self.agent.run(request),
            Some(limit) => {
                let config = self.agent.configure_request(request);
                let config = config.timeout_global(Some(limit));
                self.agent.run(config.build())
            }
        }
    }

    /// Reads an answer to its end, as far as it is worth that.
    fn read(&self, response: Response<Body>) -> Result<(Answer, Reuse), Failure> {
        let status = response.status().as_u16();
        let mut fields = Fields::default();
        for (name, value) in response.headers() {
            fields.push(name.as_str(), value.as_bytes());
        }
        let reuse = Reuse::of(status, &fields, self.unsaid);
        let fail = |why| Failure {
            why,
            reuse: match reuse {
                Reuse::Never => Reuse::Never,
                Reuse::Twins | Reuse::For(..) => Reuse::Twins,
            },
        };
        let answer = answer::read(status, &fields).map_err(fail)?;
        let mut body = response.into_body();
        let mut body = body.as_reader().take(LONGEST_BODY + 1);
        match io::copy(&mut body, &mut io::sink()) {
            Ok(length) if length > LONGEST_BODY => Err(fail(format!(
                "it answered {status} with a body over {LONGEST_BODY} bytes"
            ))),
            Ok(_) => Ok((answer, reuse)),
            Err(error) => Err(fail(format!(
                "it answered {status}, and then: {}",
                reason(&Error::from(error))
            ))),
        }
    }
}

/// Where that is.
fn place(uri: &Uri) -> Result<HostPort, String> {
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let authority = uri.authority().ok_or("it names no host")?;
    HostPort::parse(authority.as_str(), Some(default_port))
}

/// Whether the other side ended the connection without a word.
fn is_hang_up(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ended = [
        BrokenPipe,
        ConnectionAborted,
        ConnectionReset,
        UnexpectedEof,
    ];
    matches!(error, Error::Io(error) if ended.contains(&error.kind()))
}

/// In the words of the house.
fn reason(error: &Error) -> String {
    match error {
        Error::Timeout(Timeout::Resolve) => "no resolver answered for its name in time".to_owned(),
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "no address for its name".to_owned(),
        Error::LargeResponseHeader(..) => format!("a head over {LONGEST_HEAD} bytes"),
        Error::Protocol(error) => format!("not proper HTTP: {error}"),
        Error::Http(error) => format!("not proper HTTP: {error}"),
        Error::Rustls(error) => format!("tls: {}", tls::trouble_of(error, CA)),
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData) => {
            format!("tls: {}", tls::trouble(error, CA))
        }
        error if is_hang_up(error) => "it closed the connection without an answer".to_owned(),
        Error::Io(error) => crate::log::reason(error),
        other => other.to_string(),
    }
}
