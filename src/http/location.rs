//! Where a `Location` of the backend should point for the client. Pure text work: whether it leads back to the backend or
//! to this gate under the wrong scheme, and then to where the client already is. The backend's text is hostile.

use super::host::{Authority, Scheme};

/// Where a backend is reached. A Unix socket has no origin.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// A name or an address, IPv6 with or without brackets.
    pub host: &'a str,
    /// Always known.
    pub port: u16,
}

/// Where the client believes itself to be.
#[derive(Debug, Clone, Copy)]
pub struct Outside<'a> {
    /// `None` where only the outermost proxy knows.
    pub scheme: Option<Scheme>,
    /// Host and port as the client sent them in `Host`.
    pub host: &'a str,
    /// Scheme and authority where it really is, where the gate was told.
    pub external: Option<(&'a str, &'a str)>,
}

/// The value to send instead, or `None` where the backend's is to be left alone: relative ones, and those that lead
/// anywhere but to the backend or to ourselves.
pub fn rewrite(location: &[u8], backend: Option<Origin<'_>>, own: Outside<'_>) -> Option<Vec<u8>> {
    let (scheme, rest) = Scheme::split(location)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, local) = rest.split_at_checked(end)?;
    let named = Authority::parse(authority)?;
    let leads_back = backend.is_some_and(|backend| names(&named, scheme, backend))
        || (scheme == Scheme::Http && is_own(&named, own));
    if !leads_back {
        return None;
    }
    let mut rewritten = match own.scheme {
        _ if let Some((scheme, host)) = own.external => format!("{scheme}://{host}").into_bytes(),
        Some(scheme) => format!("{}://{}", scheme.as_str(), own.host).into_bytes(),
        // A path that begins with // would be taken for a host: name our own before it.
        None if local.starts_with(b"//") => format!("//{}", own.host).into_bytes(),
        None => Vec::new(),
    };
    if !local.starts_with(b"/") {
        rewritten.push(b'/');
    }
    rewritten.extend_from_slice(local);
    Some(rewritten)
}

fn names(named: &Authority<'_>, scheme: Scheme, backend: Origin<'_>) -> bool {
    let bare = |host: &str| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase()
    };
    scheme == backend.scheme
        && named.port_under(scheme) == backend.port
        && bare(named.host()) == bare(backend.host)
}

/// Our own host and port, as a backend writes them that takes its `Host` for that of an `http:` server: with the port that
/// the client wrote, or with none, or with the one that was meant.
fn is_own(named: &Authority<'_>, own: Outside<'_>) -> bool {
    Authority::parse(own.host.as_bytes()).is_some_and(|host| {
        named.is(&host, Scheme::Http)
            || own.scheme.is_some_and(|scheme| {
                host.host().eq_ignore_ascii_case(named.host())
                    && named.port() == Some(host.port_under(scheme))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: Origin<'static> = Origin {
        scheme: Scheme::Http,
        host: "127.0.0.1",
        port: 5000,
    };

    fn rewritten(
        location: &str,
        backend: Option<Origin<'_>>,
        scheme: Option<Scheme>,
        host: &str,
    ) -> Option<String> {
        let own = Outside {
            scheme,
            host,
            external: None,
        };
        rewrite(location.as_bytes(), backend, own)
            .map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn what_leads_back_is_made_to_lead_to_the_outside() {
        for (location, host, secure, unknown) in [
            (
                "http://127.0.0.1:5000/v2/a?_state=b%2F#c",
                "r:5443",
                "https://r:5443/v2/a?_state=b%2F#c",
                "/v2/a?_state=b%2F#c",
            ),
            ("HTTP://127.0.0.1:5000", "r", "https://r/", "/"),
            ("http://127.0.0.1:5000?x", "r", "https://r/?x", "/?x"),
            ("http://r:5443/v2/", "r:5443", "https://r:5443/v2/", "/v2/"),
            (
                "http://R.example/v2/",
                "r.example",
                "https://r.example/v2/",
                "/v2/",
            ),
            ("http://r:80/v2/", "r", "https://r/v2/", "/v2/"),
            ("http://r/v2/", "r:80", "https://r:80/v2/", "/v2/"),
            ("http://[::1]:1/", "[::1]:1", "https://[::1]:1/", "/"),
            (
                "http://127.0.0.1:5000//evil.example/x",
                "r",
                "https://r//evil.example/x",
                "//r//evil.example/x",
            ),
        ] {
            assert_eq!(
                rewritten(location, Some(BACKEND), Some(Scheme::Https), host).as_deref(),
                Some(secure),
                "{location}"
            );
            assert_eq!(
                rewritten(location, Some(BACKEND), None, host).as_deref(),
                Some(unknown),
                "{location}"
            );
        }
        assert_eq!(
            rewritten("http://r:443/x", None, Some(Scheme::Https), "r").as_deref(),
            Some("https://r/x")
        );
        assert_eq!(
            rewritten("http://r/x", None, Some(Scheme::Https), "r").as_deref(),
            Some("https://r/x")
        );
    }

    #[test]
    fn where_the_gate_was_told_how_it_is_reached_it_leads_there() {
        let own = Outside {
            scheme: None,
            host: "inner:8080",
            external: Some(("https", "registry.example.com")),
        };
        for (location, expected) in [
            (
                "http://127.0.0.1:5000/v2/a",
                Some("https://registry.example.com/v2/a"),
            ),
            (
                "http://inner:8080/v2/a?b",
                Some("https://registry.example.com/v2/a?b"),
            ),
            ("https://storage.example.com/x", None),
            ("/v2/a", None),
        ] {
            let found = rewrite(location.as_bytes(), Some(BACKEND), own);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{location}");
        }
    }

    #[test]
    fn default_ports_count_on_the_backends_side_too() {
        for (scheme, host, port, location) in [
            (Scheme::Http, "b", 80, "http://b/x"),
            (Scheme::Http, "b", 80, "http://B:80/x"),
            (Scheme::Https, "b", 443, "https://b/x"),
            (Scheme::Http, "::1", 5000, "http://[::1]:5000/x"),
        ] {
            assert_eq!(
                rewritten(
                    location,
                    Some(Origin { scheme, host, port }),
                    Some(Scheme::Https),
                    "r"
                )
                .as_deref(),
                Some("https://r/x"),
                "{location}"
            );
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for location in [
            "",
            "/v2/a",
            "v2/a",
            "?x",
            "//r/x",
            "//127.0.0.1:5000/x",
            "https://r/x",
            "https://127.0.0.1:5000/x",
            "http://127.0.0.1/x",
            "http://127.0.0.1:5001/x",
            "http://r:9000/bucket",
            "https://s3.example/x",
            "http://r.example.evil/x",
            "http://r@evil/x",
            "http://u:p@127.0.0.1:5000/x",
            "http://127.0.0.1:5000\\x",
            "http:/r/x",
            "http:r",
            "ftp://r/x",
            "http://",
            "http:///x",
        ] {
            assert_eq!(
                rewritten(location, Some(BACKEND), Some(Scheme::Https), "r"),
                None,
                "{location}"
            );
            assert_eq!(
                rewritten(location, Some(BACKEND), None, "r"),
                None,
                "{location}"
            );
        }
    }
}
