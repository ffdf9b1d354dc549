//! What one request may do under an access file.
//!
//! Owns the order of questions: where does it lead, which right does that need, who has it. Must not know how anybody proved who
//! they are, nor how a refusal reaches the client. The head is hostile; its path has passed the strict rules.

use std::sync::Arc;

use super::access::{Access, Asker, PATH, Right};
use super::registry::{
    Action, Mount, Page, Reference, Route, is_api_in_disguise, is_of_api, tags_of,
};
use crate::http::{Refusal, RequestHead};
use crate::text::escape;

/// Types of a body in which a registry would read parameters of its own.
const FORMS: [&[u8]; 2] = [b"application/x-www-form-urlencoded", b"multipart/form-data"];

/// Whoever asks, as the file that is valid now sees them.
#[derive(Clone, Debug)]
pub struct Viewer {
    access: Arc<Access>,
    user: Option<Arc<[u8]>>,
    is_known: bool,
    groups: Arc<[Arc<[u8]>]>,
}

/// Leave for one request.
#[derive(Debug)]
pub struct Permission {
    /// What is done with it.
    pub task: Task,
    /// What a backend is asked for, if not what the client asks for.
    pub target: Option<Vec<u8>>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Task {
    /// It is relayed.
    Relay,
    /// It is relayed as the CORS preflight that it is, without a word of its client's but what that consists of.
    Preflight,
    /// Of a catalogue, this page is shown as far as the viewer may see it.
    List(Page, Viewer),
    /// A token is given to whoever asks.
    Token(Box<str>),
    /// A manifest is stored under tags that must not be moved: relayed if none of them is another manifest's.
    Create {
        /// Where.
        repository: String,
        /// At least one.
        tags: Vec<String>,
    },
}

/// Why a request may not pass.
#[derive(Debug)]
pub struct Unpermitted {
    /// What somebody with credentials is told. Others are asked for them.
    pub refusal: Refusal,
    /// The right that is missing, and where, if it is that.
    pub missing: Option<Missing>,
}

/// A right that somebody lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As in access files.
    pub right: &'static str,
    /// The repository or the path.
    pub place: String,
}

impl Permission {
    /// Where nothing is written of who may what.
    pub(super) const WHOLE: Permission = Permission {
        task: Task::Relay,
        target: None,
    };

    pub(super) fn of(task: Task) -> Permission {
        Permission { task, target: None }
    }
}

impl Unpermitted {
    pub(super) fn of(refusal: Refusal) -> Unpermitted {
        Unpermitted {
            refusal,
            missing: None,
        }
    }

    /// Whether somebody without credentials is asked for them, and not told whether there is what was asked for.
    pub(super) fn hides_from_strangers(&self) -> bool {
        matches!(self.refusal, Refusal::Denied { .. } | Refusal::NoSuchPath)
    }
}

impl Viewer {
    pub(super) fn new(
        access: Arc<Access>,
        user: Option<Arc<[u8]>>,
        is_known: bool,
        groups: Arc<[Arc<[u8]>]>,
    ) -> Viewer {
        Viewer {
            access,
            user,
            is_known,
            groups,
        }
    }

    /// Whether a repository may be read.
    pub fn may_pull(&self, repository: &str) -> bool {
        self.has(Right::Pull, repository)
    }

    fn has(&self, right: Right, repository: &str) -> bool {
        self.access.rights(self.asker(), repository).have(right)
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            user: self.user.as_deref(),
            is_known: self.is_known,
            groups: &self.groups,
        }
    }

    /// Decides on a request; `by_token` says whether whoever asks has a token, if only nobody's.
    pub(super) fn permit(
        self,
        head: &RequestHead,
        by_token: bool,
    ) -> Result<Permission, Unpermitted> {
        let relayed = Permission::WHOLE;
        // Under the strict rules a path is ASCII.
        let path = std::str::from_utf8(head.path()).map_err(|_| nowhere())?;
        if !is_of_api(path) {
            if is_api_in_disguise(path) {
                return Err(nowhere());
            }
            return match self.access.allows_path(self.asker(), head.path()) {
                true => Ok(relayed),
                false => Err(self.lacks(PATH, "use", path)),
            };
        }
        let route = Route::parse(path).ok_or_else(nowhere)?;
        let query = query_of(head);
        match (route.action(head.method()), route.repository()) {
            (Some(Action::Ping), _) if self.is_known || by_token => Ok(relayed),
            (Some(Action::Catalog), _) if self.is_known => {
                let page = Page::of_query(query?).map_err(|_| bad_query())?;
                Ok(Permission {
                    task: Task::List(page, self),
                    target: None,
                })
            }
            (Some(Action::Pull), Some(repository)) => self
                .require(Right::Pull, "pull", repository)
                .map(|()| relayed),
            (Some(Action::Delete), Some(repository)) => self
                .require(Right::Delete, "delete from", repository)
                .map(|()| relayed),
            (Some(Action::Push), Some(repository)) => {
                let rights = self.access.rights(self.asker(), repository);
                let may_move = rights.have(Right::Push);
                if !may_move && !rights.have(Right::Create) {
                    return Err(self.lacks("push", "push to", repository));
                }
                match (&route, head.method()) {
                    (Route::Manifest(_, reference), "PUT") if !may_move => {
                        create(repository, *reference, query?)
                    }
                    (Route::Uploads(_) | Route::Upload(..), "POST") => {
                        self.begin_upload(head, path, query?)
                    }
                    _ => Ok(relayed),
                }
            }
            // No right is for this.
            (_, Some(repository)) => {
                let method = head.method().get(..16).unwrap_or(head.method());
                Err(self.lacks("", &format!("use {method} on"), repository))
            }
            (_, None) => Err(self.lacks("", "use", path)),
        }
    }

    fn require(&self, right: Right, verb: &str, repository: &str) -> Result<(), Unpermitted> {
        match self.has(right, repository) {
            true => Ok(()),
            false => Err(self.lacks(right.name(), verb, repository)),
        }
    }

    fn lacks(&self, right: &'static str, verb: &str, place: &str) -> Unpermitted {
        let who = match self.user.as_deref() {
            Some(user) => escape::shown(escape::cut(user, 64)),
            None => "this user".to_owned(),
        };
        let place = place.get(..LONGEST_SHOWN).unwrap_or(place).to_owned();
        Unpermitted {
            refusal: Refusal::Denied {
                why: Some(format!("{who} may not {verb} {place}").into()),
            },
            missing: (!right.is_empty()).then_some(Missing { right, place }),
        }
    }

    /// An upload begins with a blob of another repository only where that may be read; else it begins as any other does: a refusal
    /// would end the whole push.
    fn begin_upload(
        &self,
        head: &RequestHead,
        path: &str,
        query: &str,
    ) -> Result<Permission, Unpermitted> {
        if has_form(head) {
            return Err(Unpermitted::of(Refusal::FormBody));
        }
        let mount = Mount::of_query(query).map_err(|_| bad_query())?;
        let stays = match &mount {
            Mount::Absent => true,
            Mount::From(from) => self.may_pull(from),
            Mount::Odd => false,
        };
        let target = (!stays).then(|| {
            let left = Mount::removed_from(query);
            match left.is_empty() {
                true => path.as_bytes().to_vec(),
                false => format!("{path}?{left}").into_bytes(),
            }
        });
        Ok(Permission {
            task: Task::Relay,
            target,
        })
    }
}

/// What a message repeats of a path, in bytes. Longer than any name of a repository.
const LONGEST_SHOWN: usize = 256;

/// Whoever may only create stores a manifest under these tags.
fn create(
    repository: &str,
    reference: Reference<'_>,
    query: &str,
) -> Result<Permission, Unpermitted> {
    let mut tags = tags_of(query).map_err(|_| bad_query())?;
    if let Reference::Tag(tag) = reference {
        tags.push(tag.to_owned());
    }
    tags.retain(|tag| !is_added_to(tag));
    // In one order, so that no two requests wait for each other.
    tags.sort_unstable();
    tags.dedup();
    let task = match tags.is_empty() {
        true => Task::Relay,
        false => Task::Create {
            repository: repository.to_owned(),
            tags,
        },
    };
    Ok(Permission { task, target: None })
}

/// Whether a tag stands for what refers to a manifest: signatures and the like are added to it. Of a digest it has 64 digits at
/// most, so that it is no longer than a tag may be (OCI distribution spec, "Referrers Tag Schema"; cosign has a suffix).
fn is_added_to(tag: &str) -> bool {
    const DIGITS: usize = 64;
    let digest = ["sha256-", "sha512-"]
        .into_iter()
        .find_map(|prefix| tag.strip_prefix(prefix)?.split_at_checked(DIGITS));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest.is_some_and(|(digits, suffix)| {
        digits.bytes().all(is_digit) && !suffix.starts_with(|c: char| c.is_ascii_alphanumeric())
    })
}

fn query_of(head: &RequestHead) -> Result<&str, Unpermitted> {
    let query = head.target().get(head.path().len()..).unwrap_or_default();
    let query = query.strip_prefix(b"?").unwrap_or(query);
    std::str::from_utf8(query).map_err(|_| bad_query())
}

/// Whether a registry could take a body for a form. One that is written in Go trims and lowers the type by Unicode, so that what
/// is not ASCII may be read as anything.
fn has_form(head: &RequestHead) -> bool {
    head.values("content-type").any(|value| {
        if !value.is_ascii() {
            return true;
        }
        let kind = value.split(|byte| matches!(byte, b';' | b',')).next();
        let kind = kind.unwrap_or_default().trim_ascii();
        FORMS.iter().any(|form| kind.eq_ignore_ascii_case(form))
    })
}

fn nowhere() -> Unpermitted {
    Unpermitted::of(Refusal::NoSuchPath)
}

fn bad_query() -> Unpermitted {
    Unpermitted::of(Refusal::BadQuery)
}
