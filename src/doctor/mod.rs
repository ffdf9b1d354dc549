//! The `doctor` command: plays docker, containerd and podman against a running gate, and names what is wrong.
//!
//! A row of steps, each of which sees what those before it have left in [`Visit`], and either goes well or says what is
//! wrong and how to mend it. It must not know flags. Everything that the other side sends is hostile, and may come from
//! anybody: the password goes out only once the certificate was found good, or on loopback.

mod access;
mod asker;
mod certificate;
mod finding;
mod line;
mod location;
mod reach;
mod token;
mod upload;
mod visit;
mod words;

use std::io::Write;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::Backend;
use crate::gate::auth::basic_of;
use crate::passwd::ask::{self, Times};
use finding::{Found, Unwell, tell};
use location::Place;
use visit::Visit;

pub use finding::Form;

/// Where blobs are pushed unless another name is given. Always the same, since a registry lists for ever what was pushed
/// to once; the blobs differ.
pub const REPOSITORY: &str = "portreeve-doctor/probe";

/// Whom to examine, and how.
pub struct DoctorRequest {
    /// As [`url`] takes it.
    pub url: String,
    /// Whose password is tried; without one, all is examined that needs none.
    pub user: Option<String>,
    /// The password is on standard input, not to be asked for.
    pub password_stdin: bool,
    /// The CA to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Where to push.
    pub repository: String,
    /// How to tell.
    pub form: Form,
}

/// Whether all is well.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is wrong.
    Well,
    /// Exit status 1: something is, and was said.
    Unwell,
}

/// One look at the other side.
type Step = fn(&mut Visit) -> Found;

/// The steps, in order. Their names stay: programs read them.
const STEPS: [(&str, Step); 17] = [
    ("resolve", reach::resolve),
    ("connect", reach::connect),
    ("tls", certificate::handshake),
    ("dates", certificate::dates),
    ("name", certificate::name),
    ("chain", certificate::chain),
    ("challenge", access::challenge),
    ("closed", access::closed),
    ("made-up", access::made_up),
    ("login", access::login),
    ("upload-start", upload::start),
    ("upload-patch", upload::patch),
    ("upload-finish", upload::finish),
    ("pull", upload::pull),
    ("range", upload::range),
    ("upload-large", upload::large),
    ("clean-up", upload::clean_up),
];

/// What may be wrong with every request alike. Where the first question has met it, the steps that meet it again have found
/// out nothing.
const WRONG_WITH_ALL: [&str; 7] = [
    "backend-down",
    "backend-silent",
    "bad-request",
    "no-answer",
    "redirect",
    "throttled",
    "unavailable",
];
/// The step that asks the first question.
const FIRST_QUESTION: &str = "challenge";

/// The URL as it was typed: a scheme may be missing, as in the name of an image. An error is one in usage.
pub fn url(text: &str) -> Result<String, String> {
    place(text).map(|place| format!("{}://{}", place.scheme(), place.host_port))
}

/// A name that a registry would take.
pub fn repository(text: &str) -> Result<String, String> {
    let is_component = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = part.bytes().next().is_some_and(inner) && part.bytes().last().is_some_and(inner);
        ends && part
            .bytes()
            .all(|byte| inner(byte) || b"._-".contains(&byte))
            && !part.contains("..")
    };
    if text.len() <= 200 && text.split('/').all(is_component) {
        Ok(text.to_owned())
    } else {
        Err("not the name of a repository, as in team/app".to_owned())
    }
}

fn place(text: &str) -> Result<Place, String> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    match text.parse() {
        Ok(Backend::Https(host_port)) => Ok(Place {
            tls: true,
            host_port,
        }),
        Ok(Backend::Http(host_port)) => Ok(Place {
            tls: false,
            host_port,
        }),
        Ok(Backend::Unix(_)) => Err("a gate at a Unix socket has no clients of its own".to_owned()),
        Err(_) => Err("not the URL of a gate, as in https://registry.example.com:5443".to_owned()),
    }
}

/// Examines, and tells on `out` as it goes. An error is exit status 1 too, and was not printed.
pub fn run(request: &DoctorRequest, out: &mut dyn Write) -> Result<Health, String> {
    let mut visit = first_visit(request)?;
    let written = |error| format!("cannot write to standard output: {error}");
    let mut wrong = 0;
    let mut wrong_with_all = None;
    for (name, step) in STEPS {
        let found = step(&mut visit);
        let problem = found.as_ref().err().and_then(Unwell::problem);
        let found = match problem {
            Some(problem) if wrong_with_all == Some(problem) => Err(Unwell::Skipped(
                "nothing found out, for the same reason".to_owned(),
            )),
            _ => found,
        };
        if name == FIRST_QUESTION {
            wrong_with_all = problem.filter(|problem| WRONG_WITH_ALL.contains(problem));
        }
        wrong += usize::from(matches!(found, Err(Unwell::Wrong { .. })));
        tell(out, request.form, name, &found).map_err(written)?;
    }
    if request.form == Form::Text {
        let all = match (wrong, &request.user) {
            (0, Some(_)) => "all is well".to_owned(),
            (0, None) => "all is well as far as can be seen without --user".to_owned(),
            (1, _) => "1 step went wrong".to_owned(),
            (wrong, _) => format!("{wrong} steps went wrong"),
        };
        writeln!(out, "{all}").map_err(written)?;
    }
    Ok(if wrong == 0 {
        Health::Well
    } else {
        Health::Unwell
    })
}

/// Nothing is known yet but what was asked for.
fn first_visit(request: &DoctorRequest) -> Result<Visit, String> {
    let place = place(&request.url)?;
    let roots = if place.tls {
        crate::tls::trust_anchors(request.ca.as_deref())
    } else {
        Ok(Vec::new())
    };
    if let (Err(reason), Some(ca)) = (&roots, &request.ca) {
        return Err(format!("{ca:?}: {reason}"));
    }
    let user = request.user.clone().unwrap_or_default();
    let authorization = match &request.user {
        None => None,
        Some(user) => {
            let password = if request.password_stdin {
                ask::from_stdin()?
            } else {
                ask::from_terminal(user, Times::Once, "--password-stdin")?
            };
            Some(Zeroizing::new(basic_of(user.as_bytes(), &password)))
        }
    };
    Ok(Visit {
        place,
        repository: request.repository.clone(),
        authorization,
        user,
        roots,
        ca: request.ca.clone(),
        addresses: Vec::new(),
        address: None,
        presented: None,
        line: None,
        may_log_in: false,
        logged_in: false,
        tokens: None,
        askers: Vec::new(),
        upload: visit::Upload::default(),
    })
}
