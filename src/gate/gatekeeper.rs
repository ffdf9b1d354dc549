//! The keeper of the gate: credentials or a token, the decision who that is, and what that one may do.

use std::sync::{Arc, RwLock};
use std::task::Waker;

use zeroize::Zeroizing;

use super::access::Access;
use super::auth::api::{Basis, Groups, Probed, Question, Ruling};
use super::auth::{
    self, AuthorizationFault, Credentials, HeldBack, Presented, Principal, Step, Users, Verdict,
};
use super::decision::{Authority, Decision, Inquiry, PathRules};
use super::grant::{Denial, Grant};
use super::handshake::Handshake;
use super::permission::{Permission, Task, Unpermitted, Viewer};
use super::tokens::{Error, Who};
use super::visit::{Proof, Visit};

use crate::http::{Refusal, RequestHead, basic_challenge};
use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Login};
use crate::net::Network;

/// An `Authorization` for a password file is this long at most, in bytes.
const LONGEST_FOR_FILE: usize = 4 * 1024;
/// For an API it may be a token with all that its issuer put into it.
const LONGEST_FOR_API: usize = 16 * 1024;

/// Of a request without one.
const ABSENT: &str = "no credentials";
/// Of a request that an API does not let in.
const NO_OF_API: &str = "the API says no";
/// Of a token that is forged, over, or of a user whose line has changed.
const BAD_TOKEN: &str = "a token that does not count";
/// Of a certificate in whose name nobody can be let in.
const NAMELESS: &str =
    "the client certificate names no user: it needs one common name, or a DNS or e-mail name";
/// Of a user and password beside a certificate.
const ANOTHER: &str = "the password is another user's than the client certificate";
/// Of an `Authorization` that nobody could check.
const UNUSABLE: &str = "no user and password in the Authorization field";

/// What an API is shown, and the name in it.
struct Shown<'a> {
    authorization: Option<Authorization<'a>>,
    claimed: Option<Vec<u8>>,
    by_token: bool,
}

/// The value of an `Authorization`. What was sealed in a token is wiped.
enum Authorization<'a> {
    OfHead(&'a [u8]),
    OfToken(Zeroizing<Vec<u8>>),
}

impl Authorization<'_> {
    fn value(&self) -> &[u8] {
        match self {
            Authorization::OfHead(value) => value,
            Authorization::OfToken(value) => value,
        }
    }
}

/// What a request shows where a password file decides.
enum Claim<'a> {
    Nothing,
    Password(Credentials),
    Token(&'a [u8]),
}

/// Whom a request was let in as, before it is asked what that one may do.
struct Visitor {
    principal: Option<Principal>,
    groups: Groups,
    claimed: Option<Vec<u8>>,
    /// The value of `Authorization` that an API has let in, where it is to be sealed in a token.
    credentials: Option<Zeroizing<Vec<u8>>>,
    had_credentials: bool,
    by_token: bool,
    by_certificate: bool,
}

impl Visitor {
    /// Somebody of whom nothing is known.
    fn stranger() -> Visitor {
        Visitor {
            principal: None,
            groups: Groups::default(),
            claimed: None,
            credentials: None,
            had_credentials: false,
            by_token: false,
            by_certificate: false,
        }
    }
}

/// The keeper of the gate.
pub struct Gatekeeper {
    authority: Authority,
    challenge: String,
    paths: PathRules,
    /// Without a file whoever passes may do everything.
    access: Option<RwLock<Arc<Access>>>,
    /// Used while something is granted to those without credentials.
    handshake: Handshake,
    /// The name of its site, if that is not the main one.
    site: Option<Arc<str>>,
    lets_preflights_through: bool,
}

impl Gatekeeper {
    /// Asks `authority`, and challenges in the name of `realm`.
    pub fn new(
        authority: Authority,
        realm: &str,
        paths: PathRules,
        access: Option<Access>,
        handshake: Handshake,
    ) -> Gatekeeper {
        Gatekeeper {
            authority,
            challenge: basic_challenge(realm),
            paths,
            access: access.map(|access| RwLock::new(Arc::new(access))),
            handshake,
            lets_preflights_through: false,
            site: None,
        }
    }

    /// The same, where CORS preflights need no credentials.
    pub fn letting_preflights_through(self) -> Gatekeeper {
        Gatekeeper {
            lets_preflights_through: true,
            ..self
        }
    }

    /// The same for a site, by its name. The main one has none.
    pub fn at(self, site: &str) -> Gatekeeper {
        Gatekeeper {
            site: (!site.is_empty()).then(|| site.into()),
            ..self
        }
    }

    /// Asks the API, if it is one that decides, about a made-up credential. Blocks.
    pub fn probe(&self) -> Option<Probed> {
        match &self.authority {
            Authority::Htpasswd(_) => None,
            Authority::Api(api) => Some(api.probe()),
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
        if Handshake::is_asked(head)
            && !matches!(head.method(), "GET" | "HEAD")
            && self.handshake().is_some()
        {
            // All clients then try a GET.
            return Decision::Made(Err(Denial::of(Refusal::NoSuchPath)));
        }
        // Whatever credentials it has are neither looked at nor passed on: browsers send none (Fetch, "CORS protocol").
        if self.lets_preflights_through && head.is_preflight() {
            return Decision::Made(Ok(Grant::for_preflight()));
        }
        let decision = match self.proved(head, visit.proof) {
            Some(decided) => Decision::Made(decided),
            None => self.begin(head, visit),
        };
        self.challenging(decision, head, visit)
    }

    /// Whoever has shown a certificate, which stands for a password. One that comes beside it is checked all the same, and has to
    /// be the same user's; other credentials are not looked at.
    fn proved(&self, head: &RequestHead, proof: &Proof) -> Option<Result<Grant, Denial>> {
        let user = match proof {
            Proof::None => return None,
            Proof::Nameless => {
                return Some(Err(Denial::of(Refusal::Denied {
                    why: Some(NAMELESS.into()),
                })));
            }
            Proof::User(user) => user,
        };
        let limit = match &self.authority {
            Authority::Htpasswd(_) => LONGEST_FOR_FILE,
            Authority::Api(_) => LONGEST_FOR_API,
        };
        match presented(head, limit) {
            Err(denial) => Some(Err(denial)),
            Ok(Presented::Basic(credentials)) if credentials.user() == &**user => None,
            Ok(Presented::Basic(credentials)) => {
                metrics::login(Login::Wrong);
                Some(Err(Denial {
                    user: claimed(&credentials),
                    note: Some(ANOTHER.to_owned()),
                    ..Denial::of(self.unauthorized())
                }))
            }
            Ok(Presented::Absent | Presented::Unusable) => {
                metrics::login(Login::Certificate);
                let visitor = Visitor {
                    principal: Some(Principal::new(Arc::clone(user))),
                    had_credentials: true,
                    by_certificate: true,
                    ..Visitor::stranger()
                };
                Some(self.permit(head, visitor))
            }
        }
    }

    fn begin(&self, head: &RequestHead, visit: &Visit<'_>) -> Decision {
        match &self.authority {
            Authority::Htpasswd(htpasswd) => match self.claim(head) {
                Err(denial) => Decision::Made(Err(denial)),
                Ok(Claim::Nothing) => Decision::Made(self.stranger(head)),
                Ok(Claim::Token(token)) => Decision::Made(self.by_token(token, head)),
                Ok(Claim::Password(credentials)) => {
                    match htpasswd.recall(&credentials, visit.client) {
                        Some(verdict) => Decision::Made(self.judged(verdict, head, &credentials)),
                        None => Decision::Later(Inquiry::Check(htpasswd.inquire())),
                    }
                }
            },
            Authority::Api(api) => match self.shown(head) {
                Err(denial) => Decision::Made(Err(denial)),
                Ok(shown) => {
                    let question = question(head, visit, &shown);
                    match api.recall(&question) {
                        Some(ruling) => {
                            drop(question);
                            Decision::Made(self.ruled(ruling, head, shown))
                        }
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
        let decision = self.find_out(inquiry, head, visit, waker, may_block);
        self.challenging(decision, head, visit)
    }

    fn find_out(
        &self,
        inquiry: Inquiry,
        head: &RequestHead,
        visit: &Visit<'_>,
        waker: &Waker,
        may_block: bool,
    ) -> Decision {
        match (&self.authority, inquiry) {
            (Authority::Htpasswd(htpasswd), Inquiry::Check(inquiry)) => {
                let credentials = match self.claim(head) {
                    Ok(Claim::Password(credentials)) => credentials,
                    Ok(Claim::Nothing) => return Decision::Made(self.stranger(head)),
                    Ok(Claim::Token(token)) => return Decision::Made(self.by_token(token, head)),
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
                let question = question(head, visit, &shown);
                let network = Network::of(visit.client);
                let step = api.go_on(inquiry, &question, network, waker, may_block);
                drop(question);
                match step {
                    Step::Done(ruling) => Decision::Made(self.ruled(ruling, head, shown)),
                    Step::Waits(inquiry) => Decision::Later(Inquiry::Call(inquiry)),
                    Step::Blocks(inquiry) => Decision::Blocks(Inquiry::Call(inquiry)),
                }
            }
            // The authority is the same from the start to the end.
            _ => Decision::Made(Err(Denial::of(Refusal::Unsure { retry_after: 1 }))),
        }
    }

    /// The handshake, while there is a line for those without credentials.
    fn handshake(&self) -> Option<&Handshake> {
        let access = self.access.as_ref()?.read().even_if_poisoned();
        access.has_anonymous().then_some(&self.handshake)
    }

    /// The token that a request shows. Where one is asked for none is looked at.
    fn token<'h>(&self, head: &'h RequestHead) -> Option<&'h [u8]> {
        let token = Handshake::token_of(head)?;
        (!Handshake::is_asked(head) && self.handshake().is_some()).then_some(token)
    }

    /// Puts the challenge that sends for a token in the place of others where a request is to get that.
    fn challenging(&self, decision: Decision, head: &RequestHead, visit: &Visit<'_>) -> Decision {
        let Decision::Made(Err(mut denial)) = decision else {
            return decision;
        };
        if let Refusal::Unauthorized { challenges } = &mut denial.refusal
            && let Some(handshake) = self.handshake()
        {
            let bearer = handshake.challenge(head, visit, denial.token_error.take());
            *challenges = vec![bearer.unwrap_or_else(|| self.challenge.clone())];
        }
        Decision::Made(Err(denial))
    }

    fn claim<'h>(&self, head: &'h RequestHead) -> Result<Claim<'h>, Denial> {
        match presented(head, LONGEST_FOR_FILE)? {
            Presented::Basic(credentials) => Ok(Claim::Password(credentials)),
            Presented::Absent => Ok(Claim::Nothing),
            Presented::Unusable => match self.token(head) {
                Some(token) => Ok(Claim::Token(token)),
                None => Err(self.unusable(UNUSABLE)),
            },
        }
    }

    /// Whoever has this token, where a password file decides. Nothing is hashed for it.
    fn by_token(&self, token: &[u8], head: &RequestHead) -> Result<Grant, Denial> {
        let principal = match (self.handshake.open(token), &self.authority) {
            (Some(Who::Anonymous), _) => None,
            (Some(Who::User { name, fingerprint }), Authority::Htpasswd(htpasswd)) => {
                let principal = htpasswd.principal(&name, &fingerprint);
                Some(principal.ok_or_else(|| self.bad_token())?)
            }
            _ => return Err(self.bad_token()),
        };
        metrics::login(Login::Token);
        self.permit(
            head,
            Visitor {
                had_credentials: principal.is_some(),
                principal,
                by_token: true,
                ..Visitor::stranger()
            },
        )
    }

    fn bad_token(&self) -> Denial {
        metrics::login(Login::BadToken);
        Denial {
            note: Some(BAD_TOKEN.to_owned()),
            token_error: Some(Error::Invalid),
            // What it is challenged for is said at the end.
            ..Denial::of(Refusal::Unauthorized {
                challenges: Vec::new(),
            })
        }
    }

    /// Somebody without credentials, who may do what everybody may.
    fn stranger(&self, head: &RequestHead) -> Result<Grant, Denial> {
        if self.access.is_none() {
            return Err(self.unusable(ABSENT));
        }
        self.permit(head, Visitor::stranger())
    }

    /// What somebody may do who was let in.
    fn permit(&self, head: &RequestHead, visitor: Visitor) -> Result<Grant, Denial> {
        let Visitor {
            principal,
            groups,
            claimed,
            credentials,
            had_credentials,
            by_token,
            by_certificate,
        } = visitor;
        let is_known = had_credentials || principal.is_some();
        let access = self.access.as_ref();
        let access = access.map(|access| Arc::clone(&access.read().even_if_poisoned()));
        let permission = match access {
            None => Ok(Permission::WHOLE),
            Some(access) if Handshake::is_asked(head) && access.has_anonymous() => {
                // A certificate is on each connection, and a token would outlive it.
                let who = match by_certificate {
                    true => Who::Anonymous,
                    false => self.holder(principal.as_ref(), credentials),
                };
                self.handshake.permission(who)
            }
            Some(access) => {
                let user = principal.as_ref().map(Principal::shared);
                let viewer = Viewer::new(access, user, is_known, Arc::clone(&groups));
                viewer
                    .permit(head, by_token)
                    .and_then(|permission| self.going_on(permission))
            }
        };
        match permission {
            Ok(permission) => Ok(Grant {
                line: match &principal {
                    Some(user) if head.wants_websocket() => self.line(user.user()),
                    _ => None,
                },
                by_certificate,
                principal,
                claimed,
                had_credentials,
                by_token,
                permission,
                groups,
                site: self.site.clone(),
            }),
            Err(unpermitted) if !is_known && unpermitted.hides_from_strangers() => Err(Denial {
                token_error: by_token.then_some(Error::Insufficient),
                ..self.unusable(ABSENT)
            }),
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

    /// What tells the line of a user from another that may take its place, where a password file decides.
    fn line(&self, user: &[u8]) -> Option<[u8; 32]> {
        match &self.authority {
            Authority::Htpasswd(htpasswd) => htpasswd.fingerprint(user),
            Authority::Api(_) => None,
        }
    }

    /// Whether the user that a WebSocket was granted to is as it was then, and has a right to it as the files are now. An API is not
    /// asked again.
    pub fn would_grant(&self, grant: &Grant, head: &RequestHead) -> bool {
        if let (Authority::Htpasswd(_), Some(user), false) =
            (&self.authority, &grant.principal, grant.by_certificate)
            && (grant.line.is_none() || self.line(user.user()) != grant.line)
        {
            return false;
        }
        let Some(access) = &self.access else {
            return true;
        };
        let access = Arc::clone(&access.read().even_if_poisoned());
        let user = grant.principal.as_ref().map(Principal::shared);
        let is_known = grant.had_credentials || user.is_some();
        let viewer = Viewer::new(access, user, is_known, Arc::clone(&grant.groups));
        viewer.permit(head, grant.by_token).is_ok()
    }

    /// A catalogue goes on behind a name that its client may not have been shown.
    fn going_on(&self, mut permission: Permission) -> Result<Permission, Unpermitted> {
        if let Task::List(page, _) = &mut permission.task
            && let Some(last) = page.last.take()
        {
            let name = self.handshake.name_of_cursor(last);
            page.last = Some(name.ok_or_else(|| Unpermitted::of(Refusal::BadQuery))?);
        }
        Ok(permission)
    }

    /// What stands for a name of a catalogue that is not to be seen.
    pub fn cursor(&self, name: &[u8]) -> Option<String> {
        self.handshake.cursor(name)
    }

    /// Whom a token is to be for: nobody, where the line of the user has gone meanwhile.
    fn holder(
        &self,
        principal: Option<&Principal>,
        credentials: Option<Zeroizing<Vec<u8>>>,
    ) -> Who {
        match (&self.authority, principal, credentials) {
            (Authority::Htpasswd(htpasswd), Some(principal), _) => {
                let name = principal.user().to_vec();
                match htpasswd.fingerprint(&name) {
                    Some(fingerprint) => Who::User { name, fingerprint },
                    None => Who::Anonymous,
                }
            }
            (Authority::Api(_), _, Some(value)) => Who::Credentials(value),
            _ => Who::Anonymous,
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
                        had_credentials: true,
                        ..Visitor::stranger()
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
        if let Some(token) = self.token(head) {
            return self.shown_by_token(token);
        }
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
            authorization: authorization.map(Authorization::OfHead),
            claimed,
            by_token: false,
        })
    }

    /// What an API is shown of whoever has this token: the credentials in it, or none.
    fn shown_by_token<'h>(&self, token: &[u8]) -> Result<Shown<'h>, Denial> {
        let authorization = match self.handshake.open(token) {
            Some(Who::Anonymous) => None,
            Some(Who::Credentials(value)) => Some(value),
            _ => return Err(self.bad_token()),
        };
        let value = authorization.as_ref().map(|value| value.as_slice());
        let claimed = match auth::read_authorization(value.into_iter(), LONGEST_FOR_API) {
            Ok(Presented::Basic(credentials)) => claimed(&credentials),
            _ => None,
        };
        Ok(Shown {
            authorization: authorization.map(Authorization::OfToken),
            claimed,
            by_token: true,
        })
    }

    fn ruled(&self, ruling: Ruling, head: &RequestHead, shown: Shown<'_>) -> Result<Grant, Denial> {
        let Shown {
            authorization,
            claimed,
            by_token,
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
                        credentials: authorization
                            .filter(|_| Handshake::is_asked(head))
                            .map(|authorization| Zeroizing::new(authorization.value().to_vec())),
                        by_token,
                        by_certificate: false,
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
        let (login, words) = match &refusal {
            Refusal::Unauthorized { .. } if authorization.is_none() => (Login::Absent, ABSENT),
            Refusal::Unauthorized { .. } => (Login::Wrong, NO_OF_API),
            Refusal::Denied { .. } => (Login::Denied, NO_OF_API),
            Refusal::TooManyRequests { .. } => (Login::Throttled, ""),
            _ => (Login::Unsure, ""),
        };
        metrics::login(login);
        let note = note.or((!words.is_empty()).then(|| words.to_owned()));
        let token_error = match authorization {
            _ if !by_token => None,
            Some(_) => Some(Error::Invalid),
            None => Some(Error::Insufficient),
        };
        Err(Denial {
            user: claimed,
            note,
            token_error,
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

/// What an API is asked about a request: about a token as about the base of the registry API.
fn question<'a>(head: &'a RequestHead, visit: &Visit<'a>, shown: &'a Shown<'_>) -> Question<'a> {
    let authorization = shown.authorization.as_ref().map(Authorization::value);
    match Handshake::is_asked(head) {
        true => Question::about_base(head, visit, authorization),
        false => Question::about(head, visit, authorization),
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
