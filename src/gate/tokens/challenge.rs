//! The challenge that sends a client for a token (RFC 6750, 3; Docker's token specification).
//!
//! Clients read it with parsers of their own, so that its form is one: always the same order, nothing between, no empty value.

/// A `Bearer` challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// `https` or `http`, as clients reach the gate.
    pub scheme: &'a str,
    /// Host and port, the same.
    pub host: &'a str,
    /// What the client wanted.
    pub scope: Scope<'a>,
    /// What is wrong with the token that it came with.
    pub error: Option<Error>,
}

/// What a token would have to be for. The gate does not look at it again, but clients ask for it by these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Nothing in particular.
    None,
    /// To see all repositories.
    Catalog,
    /// A repository, and `pull`, `pull,push` or `delete`.
    Repository(&'a str, &'a str),
}

/// What is wrong with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is none of ours, or over, or the user's line has changed.
    Invalid,
    /// It is nobody's in particular, and this is for users.
    Insufficient,
}

impl Challenge<'_> {
    /// The value of `WWW-Authenticate`.
    pub fn value(&self) -> String {
        let Challenge {
            scheme,
            host,
            scope,
            error,
        } = self;
        let mut value = String::with_capacity(256);
        for part in [
            "Bearer realm=\"",
            scheme,
            "://",
            host,
            "/v2/token\",service=\"",
            host,
            "\"",
        ] {
            value.push_str(part);
        }
        match scope {
            Scope::None => {}
            Scope::Catalog => value.push_str(",scope=\"registry:catalog:*\""),
            Scope::Repository(name, actions) => {
                for part in [",scope=\"repository:", name, ":", actions, "\""] {
                    value.push_str(part);
                }
            }
        }
        value.push_str(match error {
            None => "",
            Some(Error::Invalid) => ",error=\"invalid_token\"",
            Some(Error::Insufficient) => {
                ",error=\"insufficient_scope\",error_description=\"log in as a user who may do this\""
            }
        });
        value
    }
}
