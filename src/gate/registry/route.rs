//! What a path leads to, and what is done there by which method.
//!
//! Owns the grammar of names, tags and digests. A path that does not match to its end is nothing. Nothing is decoded but the
//! colon of a digest, the one escape that registries take there and clients send; the dots, slashes and letters that could be
//! hidden behind others were refused before.

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

    /// What it is to do this there. `None` for what registries do not know.
    pub fn action(&self, method: &str) -> Option<Action> {
        match (self, method) {
            (Route::Base, "GET" | "HEAD") => Some(Action::Ping),
            (Route::Catalog, "GET" | "HEAD") => Some(Action::Catalog),
            // An upload is nobody's business but that of whoever pushes, its status and its end too.
            (
                Route::Uploads(_) | Route::Upload(..),
                "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
            )
            | (Route::Manifest(..), "PUT") => Some(Action::Push),
            (Route::Uploads(_) | Route::Upload(..), _) => None,
            (
                Route::Manifest(..) | Route::Blob(..) | Route::Tags(_) | Route::Referrers(..),
                "GET" | "HEAD",
            ) => Some(Action::Pull),
            (Route::Manifest(..) | Route::Blob(..), "DELETE") => Some(Action::Delete),
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
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('/').all(is_name_component)
}

fn name(text: &str) -> Option<&str> {
    is_name(text).then_some(text)
}

/// One component of a name.
pub fn is_name_component(text: &str) -> bool {
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

/// Whether the rules of repositories are what counts there. Extensions of the API are paths like any other.
pub fn is_of_api(path: &str) -> bool {
    match path.strip_prefix("/v2/") {
        Some(rest) => !rest.starts_with('_') || rest == "_catalog",
        None => path == "/v2",
    }
}

/// Whether a path outside the API is one that somebody behind the gate could take for a path of it, or for its catalogue: there are
/// servers that cut a segment at a `;`, and some that do not tell capitals from others.
pub fn is_api_in_disguise(path: &str) -> bool {
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let plain = |segment: &str| {
        let end = segment.find([';', '%']).unwrap_or(segment.len());
        segment.get(..end).unwrap_or(segment).to_ascii_lowercase()
    };
    let Some(first) = segments.next() else {
        return false;
    };
    let is_catalog = |segment: &str| plain(segment) == "_catalog";
    plain(first) == "v2" && (first != "v2" || segments.next().is_some_and(is_catalog))
}

/// What a manifest can be called.
pub fn is_tag(text: &str) -> bool {
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
mod tests;
