//! One line for one request.
//!
//! All text in it is hostile, except the request id and the note, and is escaped all the same. It holds no credential:
//! none is passed here, and what looks like one in a target is shortened.

use super::{clock, query};
use crate::net::Peer;
use crate::text::{Object, escape};
use std::time::{Duration, SystemTime};

/// The longest part of a target in a line; no client of a registry needs so much.
const LONGEST_TARGET: usize = 2048;
/// The longest part of a user's name, method, or note.
const LONGEST_WORD: usize = 256;

/// What is said of a request when it is over.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// Who sent it: behind a trusted proxy, the address that the proxy named.
    pub peer: Peer,
    /// The user, if one is known.
    pub user: Option<&'a [u8]>,
    /// Whether that is only what the client says.
    pub claimed: bool,
    /// The method, or what stood in its place.
    pub method: &'a str,
    /// The target as it came. Need not be UTF-8.
    pub target: &'a [u8],
    /// The status of the answer; 0 if none was sent.
    pub status: u16,
    /// Bytes of the request's body.
    pub up: u64,
    /// Bytes of the answer's body.
    pub down: u64,
    /// From the whole head to the last byte of the answer.
    pub elapsed: Duration,
    /// Of that, until the heads of the backends' answers were there; nothing where none was asked.
    pub wait: Option<Duration>,
    /// What the backend saw as `X-Request-ID`.
    pub request_id: &'a str,
    /// What it is about in a registry. Only the JSON form says it; the target has it all.
    pub registry: Option<Registry<'a>>,
    /// The host that it was for, if a site has that.
    pub host: Option<&'a str>,
    /// What else there is to say: why it was refused, at which stage it broke off.
    pub note: Option<&'a str>,
}

/// What a request to a registry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registry<'a> {
    /// `pull`, `push` and so on.
    pub action: &'static str,
    /// The name of the repository.
    pub repository: Option<&'a str>,
    /// The tag.
    pub reference: Option<&'a str>,
    /// The digest, as asked for or as answered.
    pub digest: Option<&'a str>,
}

impl Default for Access<'_> {
    /// A line about nothing, to be filled in.
    fn default() -> Self {
        Access {
            peer: Peer::Unix,
            user: None,
            claimed: false,
            method: "",
            target: b"",
            status: 0,
            up: 0,
            down: 0,
            elapsed: Duration::ZERO,
            wait: None,
            request_id: "",
            registry: None,
            host: None,
            note: None,
        }
    }
}

impl Access<'_> {
    pub(super) fn write_text(&self, line: &mut String) {
        self.write_text_at(line, SystemTime::now());
    }

    pub(super) fn write_json(&self, line: &mut String) {
        self.write_json_at(line, SystemTime::now());
    }

    fn write_text_at(&self, line: &mut String, now: SystemTime) {
        clock::write_milliseconds(line, now);
        line.push(' ');
        self.peer.push_to(line);
        line.push(' ');
        match self.user {
            Some(user) if !self.claimed => escape::column(line, escape::cut(user, LONGEST_WORD)),
            _ => line.push('-'),
        }
        line.push_str(" \"");
        escape::quoted(line, escape::cut(self.method.as_bytes(), LONGEST_WORD));
        line.push(' ');
        self.write_target(|part| escape::quoted(line, part));
        for (before, number) in [
            ("\" ", Some(self.status.into())),
            (" up=", Some(self.up)),
            (" down=", Some(self.down)),
            (" ms=", Some(milliseconds(self.elapsed))),
            (" wait=", self.wait.map(milliseconds)),
        ] {
            let Some(number) = number else { continue };
            line.push_str(before);
            line.push_str(itoa::Buffer::new().format(number));
        }
        line.push_str(" id=");
        escape::column(line, escape::cut(self.request_id.as_bytes(), LONGEST_WORD));
        if let Some(host) = self.host {
            line.push_str(" host=");
            escape::column(line, escape::cut(host.as_bytes(), LONGEST_WORD));
        }
        if let Some(user) = self.user.filter(|_| self.claimed) {
            line.push_str(" claimed=");
            escape::column(line, escape::cut(user, LONGEST_WORD));
        }
        if let Some(note) = self.note {
            line.push_str(" note=\"");
            escape::quoted(line, escape::cut(note.as_bytes(), LONGEST_WORD));
            line.push('"');
        }
        line.push('\n');
    }

    fn write_json_at(&self, line: &mut String, now: SystemTime) {
        let word = |text| escape::cut(text, LONGEST_WORD);
        let mut object = Object::new(line);
        object
            .escaped("time", |line| clock::write_milliseconds(line, now))
            .escaped("peer", |line| self.peer.push_to(line));
        match self.user {
            Some(user) if !self.claimed => object.text("user", word(user)),
            _ => object.member("user", |line| line.push_str("null")),
        };
        object
            .text("method", word(self.method.as_bytes()))
            .escaped("target", |line| {
                self.write_target(|part| escape::json(line, part));
            })
            .number("status", self.status.into())
            .number("up", self.up)
            .number("down", self.down)
            .number("ms", milliseconds(self.elapsed));
        if let Some(wait) = self.wait {
            object.number("wait", milliseconds(wait));
        }
        object
            .text("id", word(self.request_id.as_bytes()))
            .maybe("host", self.host.map(|host| word(host.as_bytes())))
            .maybe("claimed", self.user.filter(|_| self.claimed).map(word))
            .maybe("note", self.note.map(|note| word(note.as_bytes())));
        if let Some(registry) = self.registry {
            object.text("action", registry.action);
            for (name, text) in [
                ("repository", registry.repository),
                ("reference", registry.reference),
                ("digest", registry.digest),
            ] {
                object.maybe(name, text.map(|text| word(text.as_bytes())));
            }
        }
        object.end();
        line.push('\n');
    }

    fn write_target(&self, mut write: impl FnMut(&[u8])) {
        // Cut after the secrets are gone: the cut must not make a long one look like a short one.
        let mut room = LONGEST_TARGET;
        query::shortened(self.target, |part| {
            let shown = escape::cut(part, room);
            write(shown);
            if shown.len() < part.len() && room > 0 {
                write("…".as_bytes());
            }
            room -= shown.len();
        });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn request() -> Access<'static> {
        Access {
            peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))),
            user: Some(b"alice"),
            method: "PUT",
            target: b"/v2/team/app/blobs/uploads/x?_state=abcdefghijklmnopqrstuvwxyz0123456789&digest=sha256%3Aab",
            status: 201,
            up: 1234,
            elapsed: Duration::from_micros(12_999),
            request_id: "9f00",
            ..Access::default()
        }
    }

    fn text(access: &Access<'_>) -> String {
        let mut line = String::new();
        access.write_text_at(
            &mut line,
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_442_400_123),
        );
        line
    }

    fn json(access: &Access<'_>) -> String {
        let mut line = String::new();
        access.write_json_at(
            &mut line,
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_442_400_123),
        );
        line
    }

    #[test]
    fn a_line_of_text_says_it_all() {
        assert_eq!(
            text(&request()),
            "2026-11-23T14:00:00.123Z 10.0.0.7 alice \"PUT /v2/team/app/blobs/uploads/x?_state=abcdefgh…\
             &digest=sha256%3Aab\" 201 up=1234 down=0 ms=12 id=9f00\n"
        );
    }

    #[test]
    fn a_line_of_json_says_it_all() {
        assert_eq!(
            json(&request()),
            "{\"time\":\"2026-11-23T14:00:00.123Z\",\"peer\":\"10.0.0.7\",\"user\":\"alice\",\"method\":\"PUT\",\
             \"target\":\"/v2/team/app/blobs/uploads/x?_state=abcdefgh…&digest=sha256%3Aab\",\"status\":201,\
             \"up\":1234,\"down\":0,\"ms\":12,\"id\":\"9f00\"}\n"
        );
    }

    #[test]
    fn what_a_request_is_about_in_a_registry_is_said_in_json_alone() {
        let access = Access {
            registry: Some(Registry {
                action: "pull",
                repository: Some("team/app"),
                reference: None,
                digest: Some("sha256:ab"),
            }),
            ..request()
        };
        assert_eq!(text(&access), text(&request()));
        assert!(json(&access).ends_with(
            ",\"id\":\"9f00\",\"action\":\"pull\",\"repository\":\"team/app\",\"digest\":\"sha256:ab\"}\n"
        ));
    }

    #[test]
    fn how_long_a_backend_was_waited_for_is_said_where_one_was_asked() {
        let access = Access {
            wait: Some(Duration::from_micros(9_999)),
            ..request()
        };
        assert!(text(&access).ends_with(" ms=12 wait=9 id=9f00\n"));
        assert!(json(&access).ends_with(",\"ms\":12,\"wait\":9,\"id\":\"9f00\"}\n"));
    }

    #[test]
    fn a_claimed_user_is_not_shown_as_a_known_one() {
        let access = Access {
            claimed: true,
            note: Some("why \"so\""),
            ..request()
        };
        assert!(text(&access).contains(" 10.0.0.7 - \"PUT "));
        assert!(text(&access).ends_with(" id=9f00 claimed=alice note=\"why \\\"so\\\"\"\n"));
        assert!(json(&access).contains("\"user\":null"));
        assert!(json(&access).ends_with(",\"claimed\":\"alice\",\"note\":\"why \\\"so\\\"\"}\n"));
    }

    #[test]
    fn a_mapped_peer_is_its_ipv4_address() {
        let mapped = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped();
        assert_eq!(Peer::Address(IpAddr::V6(mapped)).to_string(), "10.0.0.7");
        assert_eq!(
            Peer::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)).to_string(),
            "::1"
        );
    }

    #[test]
    fn hostile_words_stay_in_their_line_and_column() {
        let access = Access {
            user: Some(b"a b\n\xff\""),
            method: "G\"T\r\n",
            target: b"/\"\n2026-11-23T14:00:00.123Z forged \x1b[2J",
            ..request()
        };
        for line in [text(&access), json(&access)] {
            assert_eq!(line.matches('\n').count(), 1);
            assert!(!line.trim_end().chars().any(char::is_control), "{line}");
        }
        assert!(text(&access).contains(" a\\x20b\\x0a\\xff\\\" \"G\\\"T\\x0d\\x0a /\\\"\\x0a2026"));
    }

    #[test]
    fn a_line_has_a_bound() {
        let target = format!("/{}?_state={}", "\u{1}".repeat(20_000), "x".repeat(20_000));
        let user = vec![0; 20_000];
        let access = Access {
            user: Some(&user),
            method: &target,
            target: target.as_bytes(),
            note: Some(&target),
            ..request()
        };
        assert!(text(&access).len() < 20_000, "{}", text(&access).len());
        assert!(text(&access).contains('…'));
        assert!(json(&access).len() < 20_000, "{}", json(&access).len());
    }
}
