//! Who may do what.
//!
//! Owns the decision on every request: who is asking, and whether that one may. It must not know
//! how bytes move. A [`Grant`] is the only way to the relay, and only this room makes one.

pub mod access;
pub mod auth;
mod grant;
mod permission;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub mod registry;
mod visit;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod decisions;

use std::sync::{Arc, RwLock};
use std::task::Waker;
use std::time::Instant;

use access::Access;
use auth::api::{Api, Basis, Groups, Question, Ruling};
use auth::{
    AuthorizationFault, Credentials, HeldBack, Htpasswd, Presented, Principal, Step, Users, Verdict,
};

use crate::http::{PathDecides, Refusal, RequestHead, basic_challenge};
use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Login};
use crate::net::Network;
pub use grant::{Denial, Grant};
pub use permission::{Missing, Permission, Task, Viewer};
pub use visit::Visit;

/// An `Authorization` for a password file is this long at most, in bytes.
const LONGEST_FOR_FILE: usize = 4 * 1024;
/// For an API it may be a token with all that its issuer put into it.
const LONGEST_FOR_API: usize = 16 * 1024;

/// Of a request without one.
const ABSENT: &str = "no credentials";
/// Of an `Authorization` that nobody could check.
const UNUSABLE: &str = "no user and password in the Authorization field";

/// Who decides.
pub enum Authority {
    /// The users of a password file may do everything.
    Htpasswd(Arc<Htpasswd>),
    /// An external API is asked about each request, or was.
    Api(Arc<Api>),
}

/// Where a path has to read the same for everybody, because something is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// Whoever decides who may pass.
    pub always: PathDecides,
    /// Where an API has let a request in, and might have said something else of another path.
    pub asked_about: PathDecides,
}

/// How far it is with one request.
pub enum Decision {
    /// It is decided.
    Made(Result<Grant, Denial>),
    /// It goes on when the waker was called, or at [`Inquiry::deadline`].
    Later(Inquiry),
    /// It goes on at once, on a thread that may block.
    Blocks(Inquiry),
}

/// What has to be found out about one request. Dropped, its place is given to the next.
pub enum Inquiry {
    /// Whether a password is right.
    Check(auth::Check),
    /// What the API says.
    Call(auth::api::Call),
}

impl Inquiry {
    /// When it is to be gone on with although nothing has happened.
    pub fn deadline(&self) -> Instant {
        match self {
            Inquiry::Check(check) => check.deadline(),
            Inquiry::Call(call) => call.deadline(),
        }
    }
}

/// What an API is shown, and the name in it.
struct Shown<'a> {
    authorization: Option<&'a [u8]>,
    claimed: Option<Vec<u8>>,
}

/// Whom a request was let in as, before it is asked what that one may do.
struct Visitor {
    principal: Option<Principal>,
    groups: Groups,
    claimed: Option<Vec<u8>>,
    had_credentials: bool,
}

/// The keeper of the gate.
pub struct Gatekeeper {
    authority: Authority,
    challenge: String,
    paths: PathRules,
    /// Without a file whoever passes may do everything.
    access: Option<RwLock<Arc<Access>>>,
}

impl Gatekeeper {
    /// Asks `authority`, and challenges in the name of `realm`.
    pub fn new(
        authority: Authority,
        realm: &str,
        paths: PathRules,
        access: Option<Access>,
    ) -> Gatekeeper {
        Gatekeeper {
            authority,
            challenge: basic_challenge(realm),
            paths,
            access: access.map(|access| RwLock::new(Arc::new(access))),
        }
    }

    /// Takes other rights in place of all present ones, where there is a file of them.
    pub fn replace_access(&self, new: Access) {
        if let Some(access) = &self.access {
            *access.write().even_if_poisoned() = Arc::new(new);
        }
    }

    /// Takes other users in place of all present ones, where a password file decides.
    pub fn replace_users(&self, users: Users) {
        match &self.authority {
            Authority::Htpasswd(htpasswd) => htpasswd.replace(users),
            Authority::Api(_) => {}
        }
    }

    /// Whether it could be decided now who may pass; the error says why not. Users of a password file are in memory.
    pub fn ready(&self) -> Result<(), String> {
        match &self.authority {
            Authority::Htpasswd(_) => Ok(()),
            Authority::Api(api) => api.ready(),
        }
    }

    /// Who decides, for people.
    pub fn about(&self) -> String {
        match &self.authority {
            Authority::Htpasswd(htpasswd) => match htpasswd.users() {
                1 => "1 user of the password file".to_owned(),
                users => format!("{users} users of the password file"),
            },
            Authority::Api(api) => format!("an API that is asked, {}", api.shown()),
        }
    }

    /// The networks that are held back now, because somebody there guesses passwords. Where an API decides nobody counts.
    pub fn held_back(&self) -> Vec<HeldBack> {
        match &self.authority {
            Authority::Htpasswd(htpasswd) => htpasswd.held_back(),
            Authority::Api(_) => Vec::new(),
        }
    }

    /// Decides on one request, as far as that needs no waiting.
    pub fn decide(&self, head: &RequestHead, visit: &Visit<'_>) -> Decision {
        if let Err(refusal) = self.paths.always.check(head.path()) {
            return Decision::Made(Err(Denial::of(refusal)));
        }
        match &self.authority {
            Authority::Htpasswd(htpasswd) => match self.credentials(head) {
                Err(denial) => Decision::Made(Err(denial)),
                Ok(None) => Decision::Made(self.stranger(head)),
                Ok(Some(credentials)) => match htpasswd.recall(&credentials, visit.client) {
                    Some(verdict) => Decision::Made(self.judged(verdict, head, &credentials)),
                    None => Decision::Later(Inquiry::Check(htpasswd.inquire())),
                },
            },
            Authority::Api(api) => match self.shown(head) {
                Err(denial) => Decision::Made(Err(denial)),
                Ok(shown) => {
                    let question = Question::about(head, visit, shown.authorization);
                    match api.recall(&question) {
                        Some(ruling) => Decision::Made(self.ruled(ruling, head, shown)),
                        None => Decision::Later(Inquiry::Call(api.inquire(&question))),
                    }
                }
            },
        }
    }

    /// Goes on with what takes its time, for the same request. `waker` is called when there is something new; `may_block` says
    /// whether this thread may hash, or wait for the API.
    pub fn go_on(
        &self,
        inquiry: Inquiry,
        head: &RequestHead,
        visit: &Visit<'_>,
        waker: &Waker,
        may_block: bool,
    ) -> Decision {
        match (&self.authority, inquiry) {
            (Authority::Htpasswd(htpasswd), Inquiry::Check(inquiry)) => {
                let credentials = match self.credentials(head) {
                    Ok(Some(credentials)) => credentials,
                    Ok(None) => return Decision::Made(self.stranger(head)),
                    Err(denial) => return Decision::Made(Err(denial)),
                };
                match htpasswd.go_on(inquiry, &credentials, visit.client, waker, may_block) {
                    Step::Done(verdict) => Decision::Made(self.judged(verdict, head, &credentials)),
                    Step::Waits(inquiry) => Decision::Later(Inquiry::Check(inquiry)),
                    Step::Blocks(inquiry) => Decision::Blocks(Inquiry::Check(inquiry)),
                }
            }
            (Authority::Api(api), Inquiry::Call(inquiry)) => {
                let shown = match self.shown(head) {
                    Ok(shown) => shown,
                    Err(denial) => return Decision::Made(Err(denial)),
                };
                let question = Question::about(head, visit, shown.authorization);
                let network = Network::of(visit.client);
                match api.go_on(inquiry, &question, network, waker, may_block) {
                    Step::Done(ruling) => Decision::Made(self.ruled(ruling, head, shown)),
                    Step::Waits(inquiry) => Decision::Later(Inquiry::Call(inquiry)),
                    Step::Blocks(inquiry) => Decision::Blocks(Inquiry::Call(inquiry)),
                }
            }
            // The authority is the same from the start to the end.
            _ => Decision::Made(Err(Denial::of(Refusal::Unsure { retry_after: 1 }))),
        }
    }

    /// `None` if none are shown.
    fn credentials(&self, head: &RequestHead) -> Result<Option<Credentials>, Denial> {
        match presented(head, LONGEST_FOR_FILE)? {
            Presented::Basic(credentials) => Ok(Some(credentials)),
            Presented::Absent => Ok(None),
            Presented::Unusable => Err(self.unusable(UNUSABLE)),
        }
    }

    /// Somebody without credentials, who may do what everybody may.
    fn stranger(&self, head: &RequestHead) -> Result<Grant, Denial> {
        if self.access.is_none() {
            return Err(self.unusable(ABSENT));
        }
        self.permit(
            head,
            Visitor {
                principal: None,
                groups: Groups::default(),
                claimed: None,
                had_credentials: false,
            },
        )
    }

    /// What somebody may do who was let in.
    fn permit(&self, head: &RequestHead, visitor: Visitor) -> Result<Grant, Denial> {
        let Visitor {
            principal,
            groups,
            claimed,
            had_credentials,
        } = visitor;
        let is_known = had_credentials || principal.is_some();
        let permission = match &self.access {
            None => Ok(Permission::WHOLE),
            Some(access) => {
                let access = Arc::clone(&access.read().even_if_poisoned());
                let user = principal.as_ref().map(Principal::shared);
                Viewer::new(access, user, is_known, groups).permit(head)
            }
        };
        match permission {
            Ok(permission) => Ok(Grant {
                principal,
                claimed,
                had_credentials,
                permission,
            }),
            Err(unpermitted) if !is_known && unpermitted.hides_from_strangers() => {
                Err(self.unusable(ABSENT))
            }
            Err(unpermitted) => Err(Denial {
                user: principal
                    .as_ref()
                    .map(|user| user.user().to_vec())
                    .or(claimed),
                is_proved: principal.is_some(),
                missing: unpermitted.missing,
                ..Denial::of(unpermitted.refusal)
            }),
        }
    }

    fn judged(
        &self,
        verdict: Verdict,
        head: &RequestHead,
        credentials: &Credentials,
    ) -> Result<Grant, Denial> {
        let (login, refusal) = match verdict {
            Verdict::Known(principal) => {
                return self.permit(
                    head,
                    Visitor {
                        principal: Some(principal),
                        groups: Groups::default(),
                        claimed: None,
                        had_credentials: true,
                    },
                );
            }
            Verdict::Wrong => (Login::Wrong, self.unauthorized()),
            Verdict::Busy => (Login::Busy, Refusal::Unsure { retry_after: 1 }),
            Verdict::Throttled { retry_after } => {
                (Login::Throttled, Refusal::TooManyRequests { retry_after })
            }
        };
        metrics::login(login);
        Err(Denial {
            user: claimed(credentials),
            note: (login == Login::Wrong).then(|| "wrong user or password".to_owned()),
            ..Denial::of(refusal)
        })
    }

    fn shown<'h>(&self, head: &'h RequestHead) -> Result<Shown<'h>, Denial> {
        let presented = presented(head, LONGEST_FOR_API)?;
        let value = head.values("authorization").next();
        let (authorization, claimed) = match &presented {
            Presented::Absent => (None, None),
            Presented::Basic(credentials) => (value, claimed(credentials)),
            Presented::Unusable => (value, None),
        };
        if authorization.is_some_and(|value| !is_visible(value)) {
            return Err(self.unusable(UNUSABLE));
        }
        Ok(Shown {
            authorization,
            claimed,
        })
    }

    fn ruled(&self, ruling: Ruling, head: &RequestHead, shown: Shown<'_>) -> Result<Grant, Denial> {
        let Shown {
            authorization,
            claimed,
        } = shown;
        let (refusal, note) = match ruling {
            Ruling::Allowed(principal, groups, basis) => {
                if basis == Basis::Path {
                    let refused = |refusal| Denial {
                        user: claimed.clone(),
                        ..Denial::of(refusal)
                    };
                    self.paths.asked_about.check(head.path()).map_err(refused)?;
                }
                return self.permit(
                    head,
                    Visitor {
                        principal,
                        groups,
                        claimed,
                        had_credentials: authorization.is_some(),
                    },
                );
            }
            Ruling::Unauthorized(challenges) if challenges.is_empty() => {
                (self.unauthorized(), None)
            }
            Ruling::Unauthorized(challenges) => (Refusal::Unauthorized { challenges }, None),
            Ruling::Denied => (Refusal::Denied { why: None }, None),
            Ruling::TooManyRequests(retry_after) => {
                (Refusal::TooManyRequests { retry_after }, None)
            }
            Ruling::Unsure { retry_after, why } => (Refusal::Unsure { retry_after }, Some(why)),
        };
        let note = note.or_else(|| match &refusal {
            Refusal::Unauthorized { .. } if authorization.is_none() => Some(ABSENT.to_owned()),
            Refusal::Unauthorized { .. } | Refusal::Denied { .. } => {
                Some("the API says no".to_owned())
            }
            _ => None,
        });
        metrics::login(match &refusal {
            Refusal::Unauthorized { .. } if authorization.is_none() => Login::Absent,
            Refusal::Unauthorized { .. } => Login::Wrong,
            Refusal::Denied { .. } => Login::Denied,
            Refusal::TooManyRequests { .. } => Login::Throttled,
            _ => Login::Unsure,
        });
        Err(Denial {
            user: claimed,
            note,
            ..Denial::of(refusal)
        })
    }

    /// Nothing that could be checked was shown, for this reason.
    fn unusable(&self, why: &str) -> Denial {
        metrics::login(Login::Absent);
        Denial {
            note: Some(why.to_owned()),
            ..Denial::of(self.unauthorized())
        }
    }

    /// Asks for a user and a password.
    pub fn unauthorized(&self) -> Refusal {
        Refusal::Unauthorized {
            challenges: vec![self.challenge.clone()],
        }
    }
}

/// What the request shows, if that is not too much.
fn presented(head: &RequestHead, limit: usize) -> Result<Presented, Denial> {
    auth::read_authorization(head.values("authorization"), limit).map_err(|fault| {
        Denial::of(match fault {
            AuthorizationFault::Twice => Refusal::AuthorizationTwice,
            AuthorizationFault::TooLong => Refusal::AuthorizationTooLong,
        })
    })
}

fn claimed(credentials: &Credentials) -> Option<Vec<u8>> {
    Some(credentials.user().to_vec())
}

/// Whether these can be anybody's credentials: something, in visible ASCII and blanks (RFC 9110, 11.6.2).
fn is_visible(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| (b' '..=b'~').contains(byte))
}
