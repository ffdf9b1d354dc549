//! Lines for whoever wants to know later who did what: what was completed in a registry, and whose login was refused.
//!
//! All text in them is hostile, and escaped so that no name can say something else than who it is.

use crate::net::Peer;
use crate::text::{Object, escape};
use std::fmt::Write as _;

/// A longer name is cut.
const LONGEST_NAME: usize = 256;

/// Something that is worth a line of its own.
#[derive(Debug, Clone, Copy)]
pub enum Audit<'a> {
    /// An image, or a part of one, was pulled, pushed or deleted.
    Done(Deed<'a>),
    /// Somebody was not let in under this name.
    LoginRefused(&'a [u8]),
    /// Somebody who is known lacks a right.
    Denied {
        /// Who, if that is known.
        user: Option<&'a [u8]>,
        /// As in access files.
        right: &'a str,
        /// The repository or the path.
        place: &'a str,
    },
}

/// What was done in a registry.
#[derive(Debug, Clone, Copy)]
pub struct Deed<'a> {
    /// What of the three.
    pub verb: Verb,
    /// Who, if that is known.
    pub user: Option<&'a [u8]>,
    /// Where.
    pub repository: &'a str,
    /// By what tag it was called.
    pub reference: Option<&'a str>,
    /// What it is.
    pub digest: Option<&'a str>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A manifest was sent to the client.
    Pulled,
    /// The registry has taken a manifest.
    Pushed,
    /// The registry has deleted a manifest, a tag or a blob.
    Deleted,
}

impl Verb {
    fn past(self) -> &'static str {
        match self {
            Verb::Pulled => "pulled",
            Verb::Pushed => "pushed",
            Verb::Deleted => "deleted",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Verb::Pulled => "pull",
            Verb::Pushed => "push",
            Verb::Deleted => "delete",
        }
    }
}

impl Audit<'_> {
    /// The sentence, fit for the end of a line.
    pub(super) fn sentence(&self, peer: Peer) -> String {
        let mut text = String::new();
        match self {
            Audit::Done(deed) => {
                match deed.user {
                    Some(user) => escape::column(&mut text, escape::cut(user, LONGEST_NAME)),
                    None => text.push('-'),
                }
                // Writing to a string cannot fail.
                let _ = write!(text, " {} ", deed.verb.past());
                escape::column(&mut text, deed.repository.as_bytes());
                if let Some(reference) = deed.reference {
                    text.push(':');
                    escape::column(&mut text, reference.as_bytes());
                }
                if let Some(digest) = deed.digest {
                    text.push_str(if deed.reference.is_some() { " " } else { "@" });
                    escape::column(&mut text, digest.as_bytes());
                }
            }
            Audit::LoginRefused(claimed) => {
                text.push_str("login refused for ");
                escape::column(&mut text, escape::cut(claimed, LONGEST_NAME));
            }
            Audit::Denied { user, right, place } => {
                text.push_str("denied ");
                match user {
                    Some(user) => escape::column(&mut text, escape::cut(user, LONGEST_NAME)),
                    None => text.push('-'),
                }
                let _ = write!(text, " {right} on ");
                escape::column(&mut text, escape::cut(place.as_bytes(), LONGEST_NAME));
            }
        }
        let _ = write!(text, " from {peer}");
        text
    }

    /// The same as members of an object.
    pub(super) fn add_to(&self, object: &mut Object<'_>, peer: Peer, request_id: &str) {
        let name = |text| escape::cut(text, LONGEST_NAME);
        match self {
            Audit::Done(deed) => object
                .text("event", deed.verb.action())
                .maybe("user", deed.user.map(name))
                .text("repository", name(deed.repository.as_bytes()))
                .maybe(
                    "reference",
                    deed.reference.map(|text| name(text.as_bytes())),
                )
                .maybe("digest", deed.digest.map(|text| name(text.as_bytes()))),
            Audit::LoginRefused(claimed) => object
                .text("event", "login-refused")
                .text("claimed", name(claimed)),
            Audit::Denied { user, right, place } => object
                .text("event", "denied")
                .maybe("user", user.map(name))
                .text("right", right)
                .text("place", name(place.as_bytes())),
        }
        .text("peer", peer.to_string())
        .text("id", name(request_id.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const PEER: Peer = Peer::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));

    fn fields(audit: &Audit<'_>) -> String {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        audit.add_to(&mut object, PEER, "9f");
        object.end();
        out
    }

    fn deed(verb: Verb) -> Deed<'static> {
        Deed {
            verb,
            user: Some(b"alice"),
            repository: "team/app",
            reference: Some("1.2"),
            digest: Some("sha256:ab"),
        }
    }

    #[test]
    fn a_sentence_says_who_did_what_from_where() {
        let pushed = deed(Verb::Pushed);
        for (audit, sentence) in [
            (
                Audit::Done(pushed),
                "alice pushed team/app:1.2 sha256:ab from 10.0.0.7",
            ),
            (
                Audit::Done(Deed {
                    reference: None,
                    ..deed(Verb::Deleted)
                }),
                "alice deleted team/app@sha256:ab from 10.0.0.7",
            ),
            (
                Audit::Done(Deed {
                    user: None,
                    digest: None,
                    ..deed(Verb::Pulled)
                }),
                "- pulled team/app:1.2 from 10.0.0.7",
            ),
            (
                Audit::LoginRefused(b"mallory"),
                "login refused for mallory from 10.0.0.7",
            ),
            (
                Audit::Denied {
                    user: Some(b"bob"),
                    right: "push",
                    place: "team/app",
                },
                "denied bob push on team/app from 10.0.0.7",
            ),
        ] {
            assert_eq!(audit.sentence(PEER), sentence);
        }
    }

    #[test]
    fn the_fields_say_the_same() {
        assert_eq!(
            fields(&Audit::Done(deed(Verb::Pushed))),
            "{\"event\":\"push\",\"user\":\"alice\",\"repository\":\"team/app\",\"reference\":\"1.2\",\
             \"digest\":\"sha256:ab\",\"peer\":\"10.0.0.7\",\"id\":\"9f\"}"
        );
    }

    #[test]
    fn no_name_can_say_something_else() {
        let forged = b"bob pushed x:1 from 1.2.3.4\n<0>\"}\x1b[2J";
        let done = Deed {
            user: Some(forged),
            repository: "a b\n",
            reference: Some("x y"),
            ..deed(Verb::Pulled)
        };
        for audit in [Audit::Done(done), Audit::LoginRefused(forged)] {
            let sentence = audit.sentence(PEER);
            assert!(!sentence.contains("pushed x"), "{sentence}");
            assert!(!sentence.chars().any(char::is_control), "{sentence}");
            let fields = fields(&audit);
            assert!(!fields.chars().any(char::is_control), "{fields}");
            assert!(fields.contains("<0>\\\"}"), "{fields}");
        }
        let long = vec![b'x'; 20_000];
        assert!(Audit::LoginRefused(&long).sentence(PEER).len() < 1000);
    }
}
