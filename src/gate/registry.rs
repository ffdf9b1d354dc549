//! The paths of the registry API (OCI distribution spec), and what is done by which of them.
//!
//! Owns the grammar of names, tags and digests, and the translation from a method and a path to an [`Action`]. Must not
//! know who asks nor whether they may. All of it is hostile: a path that does not match to its end is nothing, and nothing
//! is guessed. Nothing is decoded but the colon of a digest, the one escape that registries take there and clients send;
//! the dots, slashes and letters that could be hidden behind others were refused before.

use std::borrow::Cow;

/// What all components of a name are together at most: distribution allows no more.
const LONGEST_NAME: usize = 255;
/// OCI: a first character and up to 127 more.
const LONGEST_TAG: usize = 128;
/// A SHA-512 has 128 digits; nothing that is in use is longer.
const LONGEST_DIGEST: usize = 256;
/// Sessions are the registry's own text; distribution's are UUIDs.
const LONGEST_SESSION: usize = 256;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/v2/`: is there a registry, and may I in.
    Base,
    /// `/v2/_catalog`: all repositories.
    Catalog,
    /// `/v2/NAME/tags/list`.
    Tags(&'a str),
    /// `/v2/NAME/manifests/REFERENCE`.
    Manifest(&'a str, Reference<'a>),
    /// `/v2/NAME/blobs/DIGEST`.
    Blob(&'a str, Digest<'a>),
    /// `/v2/NAME/blobs/uploads/`: where uploads begin.
    Uploads(&'a str),
    /// `/v2/NAME/blobs/uploads/SESSION`: one that has begun.
    Upload(&'a str, &'a str),
    /// `/v2/NAME/referrers/DIGEST`: what refers to a manifest.
    Referrers(&'a str, Digest<'a>),
}

/// What a manifest is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A name that may mean another one tomorrow.
    Tag(&'a str),
    /// What it is.
    Digest(Digest<'a>),
}

/// `ALGORITHM:ENCODED`, where the colon may be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest<'a>(&'a str);

/// What somebody wants to do, as far as that needs leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See whether there is a registry; whoever is known may.
    Ping,
    /// Read a repository.
    Pull,
    /// Write to one, and all that belongs to an upload.
    Push,
    /// Remove from one.
    Delete,
    /// See which repositories there are.
    Catalog,
}

impl<'a> Route<'a> {
    /// Of a path without its query, which must match to its end.
    pub fn parse(path: &'a str) -> Option<Route<'a>> {
        let rest = match path.strip_prefix("/v2/") {
            Some("") => return Some(Route::Base),
            Some("_catalog") => return Some(Route::Catalog),
            Some(rest) => rest,
            None if path == "/v2" => return Some(Route::Base),
            None => return None,
        };
        // From the end: a name may hold any of these words, and what is behind them has no slash.
        let (rest, last) = rest.rsplit_once('/')?;
        let (rest, kind) = rest.rsplit_once('/')?;
        match kind {
            "manifests" => Some(Route::Manifest(name(rest)?, Reference::parse(last)?)),
            "referrers" => Some(Route::Referrers(name(rest)?, Digest::parse(last)?)),
            "tags" if last == "list" => Some(Route::Tags(name(rest)?)),
            "blobs" if last == "uploads" => Some(Route::Uploads(name(rest)?)),
            "blobs" => Some(Route::Blob(name(rest)?, Digest::parse(last)?)),
            "uploads" => {
                let name = name(rest.strip_suffix("/blobs")?)?;
                match last {
                    "" => Some(Route::Uploads(name)),
                    session if is_session(session) => Some(Route::Upload(name, session)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&'a str> {
        match *self {
            Route::Base | Route::Catalog => None,
            Route::Tags(name)
            | Route::Manifest(name, _)
            | Route::Blob(name, _)
            | Route::Uploads(name)
            | Route::Upload(name, _)
            | Route::Referrers(name, _) => Some(name),
        }
    }

    /// The tag that a manifest is called by.
    pub fn tag(&self) -> Option<&'a str> {
        match *self {
            Route::Manifest(_, Reference::Tag(tag)) => Some(tag),
            _ => None,
        }
    }

    /// The digest in the path.
    pub fn digest(&self) -> Option<Digest<'a>> {
        match *self {
            Route::Manifest(_, Reference::Digest(digest))
            | Route::Blob(_, digest)
            | Route::Referrers(_, digest) => Some(digest),
            _ => None,
        }
    }

    /// What it is to do this there. `None` for a method that registries do not know.
    pub fn action(&self, method: &str) -> Option<Action> {
        match (self, method) {
            (Route::Base, "GET" | "HEAD") => Some(Action::Ping),
            (Route::Catalog, "GET" | "HEAD") => Some(Action::Catalog),
            (Route::Base | Route::Catalog, _) => None,
            // An upload is nobody's business but that of whoever pushes, its status and its end too.
            (
                Route::Uploads(_) | Route::Upload(..),
                "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE",
            )
            | (_, "POST" | "PUT" | "PATCH") => Some(Action::Push),
            (_, "GET" | "HEAD") => Some(Action::Pull),
            (_, "DELETE") => Some(Action::Delete),
            _ => None,
        }
    }
}

impl Action {
    /// As in the log and in access files.
    pub fn name(self) -> &'static str {
        match self {
            Action::Ping => "ping",
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Delete => "delete",
            Action::Catalog => "catalog",
        }
    }
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Option<Reference<'a>> {
        match is_tag(text) {
            true => Some(Reference::Tag(text)),
            false => Digest::parse(text).map(Reference::Digest),
        }
    }
}

impl<'a> Digest<'a> {
    /// `sha256:0123…`, or the same with `%3A`.
    pub fn parse(text: &'a str) -> Option<Digest<'a>> {
        let (algorithm, encoded) = halves(text)?;
        let is_component = |part: &str| !part.is_empty() && part.bytes().all(is_lower_or_digit);
        let is_good = text.len() <= LONGEST_DIGEST
            && algorithm.split(['+', '.', '_', '-']).all(is_component)
            && !encoded.is_empty()
            && encoded
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'));
        is_good.then_some(Digest(text))
    }

    /// The value of `digest=` in a query: what an upload is to become.
    pub fn of_query(query: &'a str) -> Option<Digest<'a>> {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| Digest::parse(pair.strip_prefix("digest=")?))
    }

    /// With its colon.
    pub fn text(self) -> Cow<'a, str> {
        match halves(self.0) {
            Some((algorithm, encoded)) if algorithm.len() + 1 + encoded.len() < self.0.len() => {
                Cow::Owned(format!("{algorithm}:{encoded}"))
            }
            _ => Cow::Borrowed(self.0),
        }
    }
}

fn halves(digest: &str) -> Option<(&str, &str)> {
    digest
        .split_once(':')
        .or_else(|| digest.split_once("%3A"))
        .or_else(|| digest.split_once("%3a"))
}

/// OCI: components of lower-case letters and digits, in which single `.`, one or two `_`, or any number of `-` stand
/// between others; separated by `/`.
fn name(text: &str) -> Option<&str> {
    (text.len() <= LONGEST_NAME && text.split('/').all(is_component)).then_some(text)
}

fn is_component(text: &str) -> bool {
    let mut rest = text;
    loop {
        let word = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if word.len() == rest.len() {
            return false;
        }
        if word.is_empty() {
            return true;
        }
        rest = word.trim_start_matches(['.', '_', '-']);
        let separator = word.get(..word.len() - rest.len()).unwrap_or_default();
        let is_separator = matches!(separator, "." | "_" | "__")
            || (!separator.is_empty() && separator.bytes().all(|byte| byte == b'-'));
        if !is_separator {
            return false;
        }
    }
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.len() <= LONGEST_TAG
        && text.as_bytes().first().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(&byte) || matches!(byte, b'.' | b'-'))
}

fn is_session(text: &str) -> bool {
    text.len() <= LONGEST_SESSION
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'~')
        })
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn digest(text: &str) -> Digest<'_> {
        Digest(text)
    }

    #[test]
    fn each_path_of_the_spec_leads_somewhere() {
        let blob = format!("/v2/team/app/blobs/{DIGEST}");
        let manifest = format!("/v2/a/manifests/{DIGEST}");
        let referrers = format!("/v2/a/referrers/{DIGEST}");
        for (path, route) in [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/tags/list", Route::Tags("a")),
            (
                "/v2/team/app/manifests/1.2",
                Route::Manifest("team/app", Reference::Tag("1.2")),
            ),
            (
                &manifest,
                Route::Manifest("a", Reference::Digest(digest(DIGEST))),
            ),
            (&blob, Route::Blob("team/app", digest(DIGEST))),
            ("/v2/a/blobs/uploads/", Route::Uploads("a")),
            ("/v2/a/blobs/uploads", Route::Uploads("a")),
            ("/v2/a/blobs/uploads/0-9_x=", Route::Upload("a", "0-9_x=")),
            (&referrers, Route::Referrers("a", digest(DIGEST))),
        ] {
            assert_eq!(Route::parse(path), Some(route), "{path}");
        }
    }

    #[test]
    fn a_name_may_hold_the_words_of_other_paths() {
        for (path, name) in [
            ("/v2/manifests/manifests/x", "manifests"),
            ("/v2/a/blobs/uploads/manifests/x", "a/blobs/uploads"),
            ("/v2/tags/list/tags/list", "tags/list"),
            ("/v2/blobs/uploads/blobs/uploads/", "blobs/uploads"),
            ("/v2/a/manifests/blobs/uploads/x", "a/manifests"),
        ] {
            let route = Route::parse(path);
            assert_eq!(route.and_then(|route| route.repository()), Some(name));
        }
    }

    #[test]
    fn what_does_not_match_to_its_end_leads_nowhere() {
        let long = format!("/v2/{}a/tags/list", "a/".repeat(127));
        let too_long = format!("/v2/{}ab/tags/list", "a/".repeat(127));
        assert!(Route::parse(&long).is_some());
        let tag = format!("/v2/a/manifests/{}", "t".repeat(129));
        for path in [
            "",
            "/",
            "/v1/",
            "/v2x",
            "/v2/x",
            "/v2/_catalog/",
            "/v2/a/tags/list/",
            "/v2/a/tags/lists",
            "/v2/tags/list",
            "/v2//tags/list",
            "/v2/A/tags/list",
            "/v2/a/tags",
            "/v2/a/manifests/",
            "/v2/manifests/x",
            "/v2/a/manifests/.x",
            "/v2/a/manifests/-x",
            "/v2/a/manifests/x%20y",
            "/v2/a/manifests/sha256:",
            "/v2/a/manifests/:abc",
            "/v2/a/manifests/SHA256:abc",
            "/v2/a/manifests/sha256:ab:c",
            "/v2/a/manifests/sha256%253Aabc",
            "/v2/a/blobs/latest",
            "/v2/a/blobs/uploads/x/y",
            "/v2/a/blobs/uploads/x%41",
            "/v2/uploads/x",
            "/v2/blobs/uploads/x",
            "/v2/a/uploads/x",
            "/v2/a./tags/list",
            "/v2/a..b/tags/list",
            "/v2/a___b/tags/list",
            "/v2/a._b/tags/list",
            "/v2/-a/tags/list",
            "/v2/a-/tags/list",
            "/v2/a%2Fb/tags/list",
            "/v2/ä/tags/list",
            "/v2/a/tags/list?n=1",
            &too_long,
            &tag,
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_those_of_the_spec() {
        for good in ["a", "0", "a.b", "a_b", "a__b", "a---b", "a.b_c-d/e/f0"] {
            assert_eq!(name(good), Some(good));
        }
    }

    #[test]
    fn an_escaped_colon_is_one() {
        for colon in ["%3A", "%3a"] {
            let escaped = DIGEST.replace(':', colon);
            let path = format!("/v2/a/blobs/{escaped}");
            let found = Route::parse(&path).and_then(|route| route.digest());
            assert_eq!(found.map(Digest::text), Some(DIGEST.into()));
        }
        assert_eq!(digest(DIGEST).text(), DIGEST);
    }

    #[test]
    fn an_upload_says_in_its_query_what_it_becomes() {
        for query in ["digest=sha256:ab", "_state=x&digest=sha256%3Aab&digest=x:y"] {
            let found = Digest::of_query(query).map(Digest::text);
            assert_eq!(found, Some("sha256:ab".into()), "{query}");
        }
        for query in ["", "digest", "digest=", "xdigest=sha256:ab", "digest=%00:a"] {
            assert_eq!(Digest::of_query(query), None, "{query}");
        }
    }

    #[test]
    fn methods_and_paths_make_actions() {
        let blob = format!("/v2/a/blobs/{DIGEST}");
        for (method, path, action) in [
            ("GET", "/v2/", Some(Action::Ping)),
            ("POST", "/v2/", None),
            ("GET", "/v2/_catalog", Some(Action::Catalog)),
            ("DELETE", "/v2/_catalog", None),
            ("GET", "/v2/a/tags/list", Some(Action::Pull)),
            ("HEAD", "/v2/a/manifests/x", Some(Action::Pull)),
            ("PUT", "/v2/a/manifests/x", Some(Action::Push)),
            ("DELETE", "/v2/a/manifests/x", Some(Action::Delete)),
            ("DELETE", &blob, Some(Action::Delete)),
            ("GET", &blob, Some(Action::Pull)),
            ("POST", "/v2/a/blobs/uploads/", Some(Action::Push)),
            ("GET", "/v2/a/blobs/uploads/x", Some(Action::Push)),
            ("DELETE", "/v2/a/blobs/uploads/x", Some(Action::Push)),
            ("OPTIONS", "/v2/a/tags/list", None),
            ("get", "/v2/a/tags/list", None),
        ] {
            let route = Route::parse(path);
            assert_eq!(
                route.and_then(|route| route.action(method)),
                action,
                "{method} {path}"
            );
        }
    }
}
