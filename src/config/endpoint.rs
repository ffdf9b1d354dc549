//! The places that settings name: listeners, backends, the auth API, the admin endpoint.
//!
//! The grammar is a small part of that of URLs, on purpose: what has no meaning here is refused with the reason. What
//! is refused may hold a password at any place, so that no reason repeats a part of it.

use super::fault::redact;
use crate::net::HostPort;
use std::{fmt, path::PathBuf, str::FromStr};

/// What the kernel has room for in the address of a Unix socket (108 bytes with the NUL).
const LONGEST_SOCKET_PATH: usize = 107;
/// Whatever an API is asked at; the request must fit any server's limits.
const LONGEST_TARGET: usize = 4096;

/// Where clients are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// With TLS.
    Https(HostPort),
    /// In the clear.
    Http(HostPort),
    /// In the clear on a Unix socket.
    Unix(PathBuf),
    /// In the clear, where everybody is sent to `https://`.
    Redirect(HostPort),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        const FORM: Form = Form {
            refusal: "not a listener",
            forms: "https://ADDR:PORT, http://ADDR:PORT, redirect://ADDR:PORT or unix:PATH",
            scheme: "https",
            host: Some("[::]"),
            is_good: |text| text.parse::<Listen>().is_ok(),
        };
        if let Some(place) = text.strip_prefix("redirect://") {
            return match format!("http://{place}").parse()? {
                Listen::Http(place) => Ok(Listen::Redirect(place)),
                _ => Err(FORM.refuse(text)),
            };
        }
        let (tls, host_port) = match Parts::split(text, &FORM)? {
            Parts::Unix(path) => return Ok(Listen::Unix(path)),
            Parts::Http {
                tls,
                authority,
                target,
            } => {
                no_target(target)?;
                let default_port = if tls { 443 } else { 80 };
                (tls, HostPort::parse(authority, Some(default_port))?)
            }
        };
        host_port.must_be_local()?;
        Ok(if tls {
            Listen::Https(host_port)
        } else {
            Listen::Http(host_port)
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Https(host_port) => write!(f, "https://{host_port}"),
            Listen::Http(host_port) => write!(f, "http://{host_port}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Redirect(host_port) => write!(f, "redirect://{host_port}"),
        }
    }
}

/// Where the registry is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backend {
    /// With TLS.
    Https(HostPort),
    /// In the clear.
    Http(HostPort),
    /// In the clear on a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Backend, String> {
        const FORM: Form = Form {
            refusal: "not a backend",
            forms: "http://HOST:PORT, https://HOST:PORT or unix:PATH",
            scheme: "http",
            host: None,
            is_good: |text| text.parse::<Backend>().is_ok(),
        };
        match Parts::split(text, &FORM)? {
            Parts::Unix(path) => Ok(Backend::Unix(path)),
            Parts::Http {
                tls,
                authority,
                target,
            } => {
                no_target(target)?;
                let default_port = if tls { 443 } else { 80 };
                let host_port = HostPort::parse(authority, Some(default_port))?;
                host_port.must_be_reachable()?;
                Ok(if tls {
                    Backend::Https(host_port)
                } else {
                    Backend::Http(host_port)
                })
            }
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Https(host_port) => write!(f, "https://{host_port}"),
            Backend::Http(host_port) => write!(f, "http://{host_port}"),
            Backend::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where clients reach the gate, if that is not what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host and port, as given.
    pub authority: String,
}

impl FromStr for ExternalUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ExternalUrl, String> {
        const FORM: Form = Form {
            refusal: "not a URL of the gate",
            forms: "https://HOST or https://HOST:PORT",
            scheme: "https",
            host: None,
            is_good: |text| text.parse::<ExternalUrl>().is_ok(),
        };
        let (tls, authority, target) = Parts::of_http(text, &FORM)?;
        no_target(target)?;
        HostPort::parse(authority, Some(443))?.must_be_reachable()?;
        Ok(ExternalUrl {
            scheme: if tls { "https" } else { "http" },
            authority: authority.to_owned(),
        })
    }
}

/// The API that is asked who may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthBackend {
    /// Whether it is asked through TLS.
    pub tls: bool,
    /// Where it is.
    pub host_port: HostPort,
    /// Path and query, as given.
    pub target: String,
}

impl FromStr for AuthBackend {
    type Err = String;

    fn from_str(text: &str) -> Result<AuthBackend, String> {
        const FORM: Form = Form {
            refusal: "not a URL of an API",
            forms: "http://HOST:PORT/PATH or https://HOST:PORT/PATH",
            scheme: "http",
            host: None,
            is_good: |text| text.parse::<AuthBackend>().is_ok(),
        };
        let (tls, authority, target) = Parts::of_http(text, &FORM)?;
        if target.contains('#') {
            return Err("a fragment has no meaning here".to_owned());
        }
        if !target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        {
            return Err(
                "a path and a query are of visible ASCII without backslashes; escape the rest as in %20"
                    .to_owned(),
            );
        }
        if target.len() > LONGEST_TARGET {
            return Err(format!(
                "its path and query are over {LONGEST_TARGET} bytes"
            ));
        }
        let host_port = HostPort::parse(authority, Some(if tls { 443 } else { 80 }))?;
        host_port.must_be_reachable()?;
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        Ok(AuthBackend {
            tls,
            host_port,
            target,
        })
    }
}

impl AuthBackend {
    /// The whole URL, to be asked and not to be shown.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host_port, self.target)
    }
}

impl fmt::Display for AuthBackend {
    /// Without the query, which may hold a key of the API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.url()))
    }
}

/// Where health and metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// In the clear, on loopback unless somebody insists.
    Http(HostPort),
    /// On a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Admin::Http(host_port) => write!(f, "http://{host_port}"),
            Admin::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Admin, String> {
        const FORM: Form = Form {
            refusal: "not an admin endpoint",
            forms: "http://127.0.0.1:PORT or unix:PATH",
            scheme: "http",
            host: Some("127.0.0.1"),
            is_good: |text| text.parse::<Admin>().is_ok(),
        };
        match Parts::split(text, &FORM)? {
            Parts::Unix(path) => Ok(Admin::Unix(path)),
            Parts::Http { tls: true, .. } => {
                Err("the admin endpoint has no TLS; write http://127.0.0.1:PORT".to_owned())
            }
            Parts::Http {
                tls: false,
                authority,
                target,
            } => {
                no_target(target)?;
                let host_port = HostPort::parse(authority, None)?;
                host_port.must_be_local()?;
                Ok(Admin::Http(host_port))
            }
        }
    }
}

/// What one kind of place looks like, for those who wrote something else.
struct Form {
    refusal: &'static str,
    forms: &'static str,
    /// The scheme that was most likely left out.
    scheme: &'static str,
    /// The host that was most likely left out, where a port alone has a meaning.
    host: Option<&'static str>,
    is_good: fn(&str) -> bool,
}

impl Form {
    fn refuse(&self, text: &str) -> String {
        match self.offer(text) {
            Some(offer) => format!("{}; did you mean {offer}?", self.refusal),
            None => format!("{}; write {}", self.refusal, self.forms),
        }
    }

    /// What is right and only lacked its beginning: `registry:5000`, `:443`, `tcp://registry:5000`, `/run/registry.sock`.
    fn offer(&self, text: &str) -> Option<String> {
        // Where a password may be, nothing is repeated.
        if text.contains(['@', '?', '#']) {
            return None;
        }
        let offer = if text.starts_with('/') {
            format!("unix:{text}")
        } else {
            let bare = text.strip_prefix("tcp://").unwrap_or(text);
            let port = bare.strip_prefix(':').unwrap_or(bare);
            let authority = match self.host {
                Some(host) if port.parse::<u16>().is_ok() => format!("{host}:{port}"),
                _ => bare.to_owned(),
            };
            let host_port = authority.split('/').next().unwrap_or_default();
            // A name without a port may be anything.
            HostPort::parse(host_port, None).ok()?;
            format!("{}://{authority}", self.scheme)
        };
        (self.is_good)(&offer).then_some(offer)
    }
}

/// A URL taken apart as far as all of them go.
enum Parts<'a> {
    Http {
        tls: bool,
        authority: &'a str,
        target: &'a str,
    },
    Unix(PathBuf),
}

impl Parts<'_> {
    /// Where a socket of this machine is none of the forms: whether it is through TLS, the authority, and what follows.
    fn of_http<'a>(text: &'a str, form: &Form) -> Result<(bool, &'a str, &'a str), String> {
        match Parts::split(text, form)? {
            Parts::Http {
                tls,
                authority,
                target,
            } => Ok((tls, authority, target)),
            Parts::Unix(_) => Err(form.refuse(text)),
        }
    }

    fn split<'a>(text: &'a str, form: &Form) -> Result<Parts<'a>, String> {
        if text.bytes().any(|byte| byte.is_ascii_whitespace()) && !text.starts_with("unix:") {
            return Err("a blank is in it".to_owned());
        }
        if let Some(path) = text.strip_prefix("unix:") {
            // unix:///run/x is how docker writes unix:/run/x.
            let path = path
                .strip_prefix("//")
                .filter(|rest| rest.starts_with('/'))
                .unwrap_or(path);
            return match path.len() {
                0 => Err("the path is missing".to_owned()),
                1..=LONGEST_SOCKET_PATH => Ok(Parts::Unix(PathBuf::from(path))),
                _ => Err(format!(
                    "the path of a socket has at most {LONGEST_SOCKET_PATH} bytes"
                )),
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| form.refuse(text))?;
        let tls = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(form.refuse(text));
        };
        let (authority, target) =
            rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        Ok(Parts::Http {
            tls,
            authority,
            target,
        })
    }
}

/// A single `/` is what people copy from a browser.
fn no_target(target: &str) -> Result<(), String> {
    match target {
        "" | "/" => Ok(()),
        _ if target.contains('@') => Err("user information is not allowed in it".to_owned()),
        _ => Err("a path, query or fragment is not allowed in it".to_owned()),
    }
}

#[cfg(test)]
mod tests;
