//! Where a `Location` leads, as a client sees it. The text is hostile: nothing of it is asked for but at the gate itself,
//! and only if it is a target that no request could be broken with.

use super::finding::Unwell;
use super::line::shown;
use crate::config::AuthBackend;
use crate::net::HostPort;

/// The gate, as its clients name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tls: bool,
    pub(super) host_port: HostPort,
}

impl Place {
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The target at the gate that a URL leads to; `None` where it leads elsewhere.
    pub(super) fn local(&self, url: &str) -> Option<String> {
        let named: AuthBackend = url.parse().ok()?;
        (named.tls == self.tls && named.host_port == self.host_port).then_some(named.target)
    }

    /// The path and query at the gate that `location` leads to, or what is wrong with it.
    pub(super) fn target(&self, location: Option<Vec<u8>>) -> Result<String, Unwell> {
        const NO_UPLOAD: &str =
            "every push needs it: see what answers behind the gate, and what stands before it";
        let Some(location) = location else {
            let said = "the answer has no Location, or several";
            return Err(Unwell::wrong("no-location", said, NO_UPLOAD));
        };
        let said = |what: &str| format!("Location is {:?}, {what}", shown(&location));
        let text = std::str::from_utf8(&location).unwrap_or_default();
        let absolute = if text.starts_with("//") {
            format!("{}:{text}", self.scheme())
        } else if text.starts_with('/') {
            format!("{}://{}{text}", self.scheme(), self.host_port)
        } else {
            text.to_owned()
        };
        let Ok(named) = absolute.parse::<AuthBackend>() else {
            let said = said("which is no URL of a registry");
            return Err(Unwell::wrong("bad-location", said, NO_UPLOAD));
        };
        if self.tls && !named.tls {
            return Err(Unwell::wrong(
                "plain-location",
                said("so that clients go on in the clear, or not at all"),
                "the registry does not know that its clients use https: let whatever stands between it and the gate \
                 pass X-Forwarded-Proto on, set http.relativeurls: true in the registry's configuration, and take out \
                 an http.host that begins with http:",
            ));
        }
        if named.tls != self.tls || named.host_port != self.host_port {
            return Err(Unwell::wrong(
                "foreign-location",
                said("which leads away from the gate"),
                format!(
                    "let the registry answer with {}://{}: take http.host out of its configuration or correct it, and \
                     let whatever stands between it and the gate keep Host",
                    self.scheme(),
                    self.host_port
                ),
            ));
        }
        Ok(named.target)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problem(location: &str) -> Result<String, &'static str> {
        let gate: AuthBackend = "https://r.example:5443/".parse().unwrap();
        let place = Place {
            tls: true,
            host_port: gate.host_port,
        };
        match place.target(Some(location.as_bytes().to_vec())) {
            Ok(target) => Ok(target),
            Err(Unwell::Wrong { problem, .. }) => Err(problem),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_leads_to_the_gate_is_followed() {
        for (location, found) in [
            ("/v2/a?_state=b%2F", Ok("/v2/a?_state=b%2F")),
            ("https://R.example:5443/v2/a", Ok("/v2/a")),
            ("//r.example:5443/v2/a", Ok("/v2/a")),
            ("http://r.example:5443/v2/a", Err("plain-location")),
            ("http://10.0.0.1/v2/a", Err("plain-location")),
            ("https://r.example/v2/a", Err("foreign-location")),
            ("https://evil.example:5443/v2/a", Err("foreign-location")),
            ("//evil.example/", Err("foreign-location")),
            ("https://a@r.example:5443/", Err("bad-location")),
            ("v2/a", Err("bad-location")),
            ("", Err("bad-location")),
            ("/v2/a b", Err("bad-location")),
            ("/v2/a\r\nX: y", Err("bad-location")),
            ("/v2/ä", Err("bad-location")),
        ] {
            assert_eq!(problem(location), found.map(str::to_owned), "{location}");
        }
    }
}
