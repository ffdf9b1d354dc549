//! What the API is asked about one request: a fixed list of fields, and nothing else of the client.
//!
//! Owns that list, and what makes two questions the same. Must not know how it travels. The values are hostile, but have
//! passed the grammar of field values. What is not in the list never reaches the API: a copied `If-None-Match` or
//! `Upgrade` breaks real ones, and who may pass must not hang on what anybody can write into a request.

use std::borrow::Cow;

use crate::gate::auth::remembered::{Digest, Seal};
use crate::gate::visit::Visit;
use crate::http::RequestHead;

/// A question; made for one request and gone with it.
pub struct Question<'a> {
    /// In lower case, as ureq sends them.
    fields: Vec<(&'static str, Cow<'a, [u8]>)>,
}

/// What a remembered answer may be used for, apart from what its `Vary` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Whatever else these credentials ask for.
    Credentials,
    /// The same method and target with these credentials.
    Target,
    /// The same method, target and host, from the same address, without credentials.
    Stranger,
}

const AUTHORIZATION: &str = "authorization";
const METHOD: &str = "x-original-method";
/// The path, with its query.
pub(super) const TARGET: &str = "x-original-uri";
const HOST: &str = "x-forwarded-host";
const ADDRESS: &str = "x-real-ip";
/// The only field in which two questions that are the same differ.
pub(super) const REQUEST_ID: &str = "x-request-id";

impl<'a> Question<'a> {
    /// About `head`; `authorization` is the value of its field, if it has credentials.
    pub fn about(
        head: &'a RequestHead,
        visit: &Visit<'a>,
        authorization: Option<&'a [u8]>,
    ) -> Question<'a> {
        let question = Question::of(head.method(), head.target(), visit, authorization);
        question.by_agent_of(head)
    }

    /// About the base of the registry API in place of what `head` asks for.
    pub fn about_base(
        head: &'a RequestHead,
        visit: &Visit<'a>,
        authorization: Option<&'a [u8]>,
    ) -> Question<'a> {
        Question::of("GET", b"/v2/", visit, authorization).by_agent_of(head)
    }

    fn by_agent_of(mut self, head: &'a RequestHead) -> Question<'a> {
        let agents = head.values("user-agent");
        self.fields
            .extend(agents.map(|agent| ("user-agent", Cow::Borrowed(agent))));
        self
    }

    /// About a request that nobody has made.
    pub(super) fn of(
        method: &'a str,
        target: &'a [u8],
        visit: &Visit<'a>,
        authorization: Option<&'a [u8]>,
    ) -> Question<'a> {
        let mut fields = Vec::with_capacity(10);
        fields.extend(authorization.map(|value| (AUTHORIZATION, Cow::Borrowed(value))));
        for (name, value) in [
            (METHOD, method.as_bytes()),
            (TARGET, target),
            ("x-forwarded-for", visit.forwarded_for.as_bytes()),
            ("x-forwarded-proto", visit.proto.as_bytes()),
            (HOST, visit.host.as_bytes()),
            (REQUEST_ID, visit.request_id.as_bytes()),
        ] {
            fields.push((name, Cow::Borrowed(value)));
        }
        let address = visit.client.to_string().into_bytes();
        fields.push((ADDRESS, Cow::Owned(address)));
        Question { fields }
    }

    /// All that is sent, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.fields.iter().map(|(name, value)| (*name, &**value))
    }

    /// Whether it is asked without credentials.
    pub(super) fn is_stranger(&self) -> bool {
        self.values(AUTHORIZATION).next().is_none()
    }

    /// The scopes that an answer to this may have been remembered for.
    pub(super) fn scopes(&self) -> &'static [Scope] {
        if self.is_stranger() {
            &[Scope::Stranger]
        } else {
            &[Scope::Credentials, Scope::Target]
        }
    }

    /// What an answer to this is remembered under, if it varies with the fields named in `vary`. Fields that are not sent
    /// to the API have no value, whatever the client sent.
    pub(super) fn key(&self, seal: &Seal, scope: Scope, vary: &[String]) -> Digest {
        let (tag, names): (&[u8], &[&str]) = match scope {
            Scope::Credentials => (b"credentials", &[AUTHORIZATION]),
            Scope::Target => (b"target", &[AUTHORIZATION, METHOD, TARGET]),
            Scope::Stranger => (b"stranger", &[METHOD, TARGET, HOST, ADDRESS]),
        };
        let names = names.iter().copied().chain(vary.iter().map(String::as_str));
        let parts = names.flat_map(|name| self.labelled(name));
        seal.digest(std::iter::once(tag).chain(parts))
    }

    /// What all questions have in common that are the same in everything but the request id.
    pub(super) fn identity(&self, seal: &Seal) -> Digest {
        let parts = self
            .fields()
            .filter(|(name, _)| *name != REQUEST_ID)
            .flat_map(|(name, value)| [name.as_bytes(), value]);
        seal.digest(std::iter::once(b"identity".as_slice()).chain(parts))
    }

    /// The name and all values, told apart by what stands before them.
    fn labelled<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q [u8]> {
        let values = self.values(name).flat_map(|value| [b"=".as_slice(), value]);
        [b"name".as_slice(), name.as_bytes()]
            .into_iter()
            .chain(values)
    }

    fn values<'q>(&'q self, wanted: &'q str) -> impl Iterator<Item = &'q [u8]> {
        self.fields()
            .filter(move |(name, _)| *name == wanted)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::gate::visit::Proof;
    use std::net::IpAddr;

    pub fn visit<'a>(client: &str, request_id: &'a str) -> Visit<'a> {
        Visit {
            client: client.parse::<IpAddr>().unwrap(),
            forwarded_for: "10.0.0.7",
            proto: "https",
            host: "gate:5443",
            request_id,
            proof: &Proof::None,
        }
    }

    /// A question about `METHOD TARGET`, from 10.0.0.7.
    pub fn question<'a>(line: &'a str, authorization: Option<&'a str>) -> Question<'a> {
        let (method, target) = line.split_once(' ').unwrap();
        let visit = visit("10.0.0.7", "id");
        let authorization = authorization.map(str::as_bytes);
        Question::of(method, target.as_bytes(), &visit, authorization)
    }

    #[test]
    fn nothing_but_the_list_is_sent() {
        let bytes = b"PUT http://gate:5443/v2/a?b=c HTTP/1.1\r\nHost: gate:5443\r\nUser-Agent: docker/1\r\n\
            Authorization: Basic eDp5\r\nX-Remote-User: root\r\nX-Original-URI: /public\r\n\
            X-Docker-Token: true\r\nIf-None-Match: x\r\nCookie: a=b\r\nContent-Length: 3\r\n\
            Connection: X-Forwarded-Proto\r\nX-Forwarded-Proto: gopher\r\n\r\n";
        let (head, _) = RequestHead::parse(bytes).unwrap().unwrap();
        let visit = visit("10.0.0.7", "id");
        let question = Question::about(&head, &visit, Some(b"Basic eDp5"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let sent: Vec<_> = question
            .fields()
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect();
        assert_eq!(
            sent,
            [
                "authorization: Basic eDp5",
                "x-original-method: PUT",
                "x-original-uri: /v2/a?b=c",
                "x-forwarded-for: 10.0.0.7",
                "x-forwarded-proto: https",
                "x-forwarded-host: gate:5443",
                "x-request-id: id",
                "x-real-ip: 10.0.0.7",
                "user-agent: docker/1",
            ]
        );
    }

    #[test]
    fn only_the_request_id_may_differ_between_two_that_are_the_same() {
        let seal = Seal::new();
        let identity = |line: &str, authorization, client, id| {
            let (method, target) = line.split_once(' ').unwrap();
            let visit = visit(client, id);
            Question::of(method, target.as_bytes(), &visit, authorization).identity(&seal)
        };
        let alice = Some(b"alice".as_slice());
        let one = identity("GET /a", alice, "10.0.0.7", "1");
        assert!(one.is_same(&identity("GET /a", alice, "10.0.0.7", "2")));
        for other in [
            identity("GET /b", alice, "10.0.0.7", "1"),
            identity("HEAD /a", alice, "10.0.0.7", "1"),
            identity("GET /a", Some(b"bob"), "10.0.0.7", "1"),
            identity("GET /a", None, "10.0.0.7", "1"),
            identity("GET /a", alice, "10.0.0.8", "1"),
        ] {
            assert!(!one.is_same(&other));
        }
    }
}
