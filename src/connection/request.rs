//! One request of a connection, from its whole head to its answer: decided, admitted, forwarded, settled.
//!
//! Owns the order of these steps. Nothing here waits: where something has to be waited for, the request is kept in the
//! connection's [`State`]. Must not know how bytes move. The head has passed the grammar; all else of it is hostile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::admission::{Applicant, Queued};
use super::detached;
use super::mode::Mode;
use super::record::Record;
use super::site::{Clients, Forwarding, Site};
use super::state::{
    Admitted, Checking, Connection, News, Next, Question, Relaying, State, Tunnelling,
};
use crate::config::BackendAuthorization;
use crate::gate::{Decision, Denial, Grant, Proof, Task, Visit};
use crate::http::Unread;
use crate::http::{ForwardedBy, Own, Refusal, RequestHead, write_own_fields, write_request_head};
use crate::metrics::CLIENT_GONE;
use crate::net::{Cidr, Network, is_trusted};
use crate::reactor::{Context, Kind, Wait};
use crate::relay::{CLIENT_WENT_AWAY, End, Outcome, Outgoing, Presence, Terms, Then, Turn};

/// Of a client that shows none.
const CERTIFICATE_REQUIRED: &str =
    "a client certificate is required here: ask the operator for one";

/// Of one whose certificate was good when the connection began.
const CERTIFICATE_ENDED: &str = "the client certificate has ended: renew it, and connect anew";

/// A request waits this long for its turn before it is told to come again.
const WAIT_AT_MOST: Duration = Duration::from_secs(10);

impl Connection {
    /// Looks at a request whose head is whole: most are decided at once.
    pub(super) fn look(&mut self, head: RequestHead, cx: &Context<'_>) -> Next {
        let record = Record::begin(&self.service, &head, self.peer, self.by_tls, self.asked);
        if self.is_sent_away {
            return self.redirect(&head, record, cx);
        }
        let service = Arc::clone(&self.service);
        if let Some(health) = service.health.as_ref().filter(|path| path.is_asked(&head)) {
            // That it is to end is known at once.
            let known = match service.draining.load(Ordering::Acquire) {
                true => Some(service.ready()),
                false => health.known(),
            };
            return match known {
                Some(ready) => self.tell_health(ready, &head, record, cx),
                None => {
                    self.place.is_asking();
                    Next::On(State::checking(head, record, Question::Health))
                }
            };
        }
        let decision = match self.site(&record) {
            Ok(site) => site.gatekeeper.decide(&head, &self.visit(&record)),
            Err(refusal) => {
                return self.refuse(refusal, Some(&head), Unread::whole(&head), record, cx);
            }
        };
        if let Decision::Later(_) = decision {
            self.presence = Presence::Here;
            self.place.is_asking();
        }
        self.go_on(head, record, decision, cx)
    }

    /// The site that a request is for, if its connection may ask for that.
    fn site<'r>(&self, record: &'r Record) -> Result<&'r Site, Refusal> {
        let site = record.site.as_deref().ok_or(Refusal::NoSuchSite)?;
        served(site, record)?;
        let sites = &self.service.sites;
        let wants_certificate = site.clients.is_some();
        if self.by_tls && (sites.are_several() || wants_certificate) {
            let name = self.input.stream().server_name();
            let named = name.and_then(|name| sites.named(name));
            let named = named.as_ref().map(|site| &*site.name);
            let is_other = named.is_some_and(|named| named != &*site.name);
            // A proxy may name one host for all.
            let is_believed = is_trusted(&self.service.trusted, self.peer.address());
            let lacks_name = !site.name.is_empty() && named != Some(&*site.name);
            if is_other && !is_believed || wants_certificate && (is_other || lacks_name) {
                return Err(Refusal::OtherSite);
            }
        }
        if wants_certificate && self.proof_has_ended() {
            return Err(Refusal::Denied {
                why: Some(CERTIFICATE_ENDED.into()),
            });
        }
        let is_required = site.clients.as_ref().is_some_and(Clients::are_required);
        match is_required && self.proof == Proof::None {
            true => Err(Refusal::Denied {
                why: Some(CERTIFICATE_REQUIRED.into()),
            }),
            false => Ok(site),
        }
    }

    /// Whether the certificate that the client has shown has ended since.
    pub(super) fn proof_has_ended(&self) -> bool {
        self.proof_ends.is_some_and(|end| SystemTime::now() > end)
    }

    /// Where a request comes from and how it is called, for who decides.
    fn visit<'v>(&'v self, record: &'v Record) -> Visit<'v> {
        let is_asked = record
            .site
            .as_ref()
            .is_some_and(|site| site.clients.is_some());
        Visit {
            client: record.origin.client,
            forwarded_for: &record.origin.forwarded_for,
            proto: record.origin.proto,
            host: &record.origin.host,
            request_id: &record.request_id,
            proof: match is_asked {
                true => &self.proof,
                false => &Proof::None,
            },
        }
    }

    pub(super) fn check(&mut self, checking: Box<Checking>, cx: &Context<'_>) -> Next {
        let Checking {
            head,
            record,
            question,
        } = *checking;
        let may_block = cx.may_block(Kind::Check);
        let service = Arc::clone(&self.service);
        let inquiry = match (question, &service.health) {
            (Question::Pass(inquiry), _) => inquiry,
            (Question::Health, Some(health)) if may_block => {
                let ready = health.ready(|| service.ready());
                return self.tell_health(ready, &head, record, &cx.later());
            }
            (Question::Health, _) => {
                let state = State::checking(head, record, Question::Health);
                return Next::Stay(state, Wait::Thread(Kind::Check));
            }
        };
        if self.has_left(cx) {
            return self.gone(record);
        }
        let waker = std::task::Waker::from(Arc::new(cx.waker()));
        let visit = self.visit(&record);
        let decision = match &record.site {
            Some(site) => site
                .gatekeeper
                .go_on(inquiry, &head, &visit, &waker, may_block),
            None => return Next::Close,
        };
        match decision {
            Decision::Later(inquiry) => {
                self.deadline = self.presence.deadline(inquiry.deadline());
                let state = State::checking(head, record, Question::Pass(inquiry));
                Next::Stay(state, Wait::Event)
            }
            // It may have taken its time.
            decision => self.go_on(head, record, decision, &cx.later()),
        }
    }

    /// What follows from how far the gate is with a request.
    fn go_on(
        &mut self,
        head: RequestHead,
        record: Record,
        decision: Decision,
        cx: &Context<'_>,
    ) -> Next {
        match decision {
            Decision::Made(decision) => self.decided(head, record, decision, cx),
            // It has a place in a queue once it was gone on with, and is then told when its turn comes.
            Decision::Later(inquiry) => {
                Next::On(State::checking(head, record, Question::Pass(inquiry)))
            }
            Decision::Blocks(inquiry) => Next::Stay(
                State::checking(head, record, Question::Pass(inquiry)),
                Wait::Thread(Kind::Check),
            ),
        }
    }

    /// The client went away before its answer.
    fn gone(&self, mut record: Record) -> Next {
        record.note = Some(CLIENT_WENT_AWAY.to_owned());
        record.write(CLIENT_GONE);
        Next::Abort
    }

    fn decided(
        &mut self,
        head: RequestHead,
        mut record: Record,
        decision: Result<Grant, Denial>,
        cx: &Context<'_>,
    ) -> Next {
        match decision {
            Ok(grant) => {
                self.place.granted();
                self.must_leave = false;
                if self.service.mode == Mode::Confirm {
                    return self.confirm(&head, &grant, record, cx);
                }
                record.name(&grant);
                if let Task::Token(token) = grant.task() {
                    return self.give_token(token, &head, record, cx);
                }
                let admitted = Box::new(Admitted {
                    head,
                    grant,
                    record,
                    turn: None,
                    place: None,
                    write: None,
                });
                self.admit(admitted, cx)
            }
            Err(denial) => {
                (record.user, record.claimed) = (denial.user, !denial.is_proved);
                record.note = denial.note;
                record.audit_login(&denial.refusal);
                record.audit_missing(denial.missing.as_ref());
                let mut refusal = denial.refusal;
                if self.service.mode.conceals(&refusal) {
                    record.note = Some(refusal.message().to_owned());
                    if let Some(site) = &record.site {
                        refusal = site.gatekeeper.unauthorized();
                    }
                }
                self.refuse(refusal, Some(&head), Unread::whole(&head), record, cx)
            }
        }
    }

    /// A request that may pass has its turn, or waits for it.
    fn admit(&mut self, mut admitted: Box<Admitted>, cx: &Context<'_>) -> Next {
        let applicant = Applicant {
            user: admitted.grant.account(),
            network: Network::of(admitted.record.origin.client),
            is_known: admitted.grant.had_credentials(),
        };
        if admitted.head.wants_websocket() {
            let tunnels = &self.service.tunnels;
            let has_room = tunnels.counts().0 < self.service.most_tunnels;
            let place = has_room.then(|| tunnels.apply(applicant.clone(), || cx.waker()));
            let Some(Ok(place)) = place else {
                let Admitted { head, record, .. } = *admitted;
                let refusal = Refusal::Overloaded { retry_after: 1 };
                return self.refuse(refusal, Some(&head), Unread::whole(&head), record, cx);
            };
            admitted.place = Some(place);
        }
        match self.service.admission.apply(applicant, || cx.waker()) {
            Ok(turn) => {
                admitted.turn = Some(turn);
                self.forward(*admitted, cx)
            }
            Err(queued) => {
                self.deadline = cx.now + WAIT_AT_MOST;
                self.presence = Presence::Here;
                Next::On(State::Queued(admitted, queued))
            }
        }
    }

    pub(super) fn await_turn(
        &mut self,
        mut admitted: Box<Admitted>,
        queued: Queued,
        cx: &Context<'_>,
    ) -> Next {
        match queued.turn() {
            Ok(turn) => {
                admitted.turn = Some(turn);
                self.forward(*admitted, cx)
            }
            Err(_) if self.has_left(cx) => self.gone(admitted.record),
            Err(queued) if cx.now < self.deadline => {
                Next::Stay(State::Queued(admitted, queued), Wait::Event)
            }
            Err(_) => {
                let Admitted { head, record, .. } = *admitted;
                let refusal = Refusal::Overloaded { retry_after: 1 };
                self.refuse(refusal, Some(&head), Unread::whole(&head), record, cx)
            }
        }
    }

    fn forward(&mut self, mut admitted: Admitted, cx: &Context<'_>) -> Next {
        let user = admitted.grant.account();
        match self.service.hold.permit(&admitted.head, user, cx.now) {
            Ok(permit) => admitted.write = permit,
            Err(refusal) => {
                let Admitted { head, record, .. } = admitted;
                return self.refuse(refusal, Some(&head), Unread::whole(&head), record, cx);
            }
        }
        let Some(to) = admitted.record.forwarding() else {
            // Those requests were answered when they were decided on.
            return Next::Close;
        };
        let outgoing = outgoing(&admitted, to);
        let terms = Terms {
            by_tls: self.by_tls,
            may_keep: !self.service.draining.load(Ordering::Relaxed),
        };
        let (grant, head) = (&admitted.grant, &admitted.head);
        let exchange = to.relay.forward(grant, head, outgoing, terms, cx.now);
        Next::On(State::Relaying(Box::new(Relaying {
            admitted,
            exchange,
            detached: None,
        })))
    }

    pub(super) fn relay(&mut self, mut relaying: Box<Relaying>, cx: &mut Context<'_>) -> Next {
        let Some(to) = relaying.admitted.record.forwarding() else {
            return Next::Close;
        };
        let (head, grant) = (&relaying.admitted.head, &relaying.admitted.grant);
        let late = relaying.admitted.write.as_ref();
        if let Some(permit) = late.filter(|permit| permit.is_late())
            && let Some(unread) = relaying.exchange.give_up(&mut self.input)
        {
            let refusal = permit.refusal();
            let Admitted { head, record, .. } = relaying.admitted;
            return self.refuse(refusal, Some(&head), unread, record, cx);
        }
        let may_keep = !self.service.draining.load(Ordering::Relaxed);
        relaying.exchange.terms.may_keep = may_keep;
        match relaying
            .exchange
            .run(&to.relay, grant, head, &mut self.input, cx)
        {
            Turn::Wait(wait) => {
                self.deadline = relaying.exchange.deadline();
                Next::Stay(State::Relaying(relaying), wait)
            }
            Turn::Done(outcome) => self.settle(relaying.admitted, outcome, cx),
            Turn::Abandoned => {
                let user = relaying.admitted.grant.account().unwrap_or_default();
                let permit = detached::outlives_its_client(&relaying.admitted.head)
                    .then(|| self.service.detached.permit(user))
                    .flatten();
                // A manifest that must move no tag has its tags until its end is known, which nobody would wait for. What else
                // bounds those is that each keeps its turn.
                let must_go_on = matches!(grant.task(), Task::Create { .. });
                if permit.is_none() && !must_go_on {
                    relaying.admitted.record.wait = relaying.exchange.waited(cx.now);
                    return self.gone(relaying.admitted.record);
                }
                relaying.detached = permit;
                relaying.exchange.detach();
                Next::On(State::Relaying(relaying))
            }
        }
    }

    fn settle(&mut self, admitted: Admitted, outcome: Outcome, cx: &Context<'_>) -> Next {
        let Admitted {
            head,
            grant,
            mut record,
            place,
            ..
        } = admitted;
        (record.up, record.down, record.note) = (outcome.up, outcome.down, outcome.note);
        (record.digest, record.wait) = (outcome.digest, outcome.wait);
        if outcome.asks_for_password
            && let Some(to) = record.forwarding()
            && let Some(remedy) = to.on_password_asked()
        {
            record.add_note(remedy);
        }
        record.is_whole = matches!(
            outcome.end,
            End::Answered(_, Then::Keep | Then::Close) | End::Unheard(_)
        );
        let (status, next) = match outcome.end {
            End::Refused(refusal, unread) => {
                return self.refuse(refusal, Some(&head), unread, record, cx);
            }
            End::Switched(tunnel) => {
                let own = Tunnelling {
                    head,
                    grant,
                    record,
                    tunnel,
                    _place: place,
                    // Something may have changed while the backend made up its mind.
                    news: News::Rights,
                };
                return self.switch(own, cx);
            }
            End::Listed(listed) => return self.list(listed, &head, &grant, record, cx),
            End::ClientGone => (CLIENT_GONE, Next::Abort),
            End::Unheard(status) => (status, Next::Abort),
            End::Answered(status, Then::Keep) => (status, self.rest(cx)),
            End::Answered(status, Then::Close) => (status, self.part(cx)),
            End::Answered(status, Then::Abort) => (status, Next::Abort),
        };
        record.write(status);
        next
    }
}

/// Whether the network that a request comes from is served.
pub(super) fn served(site: &Site, record: &Record) -> Result<(), Refusal> {
    let client = record.origin.client;
    let is_allowed = |network: &Cidr| network.contains(client);
    if site.allowed.is_empty() || site.allowed.iter().any(is_allowed) {
        return Ok(());
    }
    let why = format!("{client} is in none of the networks that are served here");
    Err(Refusal::Denied {
        why: Some(why.into()),
    })
}

/// The head that a backend gets.
fn outgoing(admitted: &Admitted, to: &Forwarding) -> Outgoing {
    let Admitted {
        head,
        grant,
        record,
        ..
    } = admitted;
    let authorization = match to.authorization {
        // It was not looked at.
        _ if matches!(grant.task(), Task::Preflight) => None,
        BackendAuthorization::Drop => None,
        BackendAuthorization::User => grant.basic_without_password(),
        // One of ours says nothing to anybody else.
        BackendAuthorization::Pass if grant.is_by_token() => None,
        BackendAuthorization::Pass => head.values("authorization").next().map(<[u8]>::to_vec),
    };
    let mut outgoing = Vec::with_capacity(1024);
    let forwarded = ForwardedBy {
        for_: &record.origin.forwarded_for,
        proto: record.origin.proto,
        host: &record.origin.host,
        real_ip: record.origin.client_text(),
        request_id: &record.request_id,
        remote_user: grant.header_safe_user(),
        authorization: authorization.as_deref(),
        target: grant.target(),
        own: match grant.task() {
            // It is read first.
            Task::Create { .. } => Own::AllWithoutBody,
            Task::Preflight => Own::Preflight,
            Task::Relay if head.wants_websocket() => Own::WebSocket,
            Task::Relay | Task::List(..) | Task::Token(_) => Own::All,
        },
    };
    let mut own_fields = Vec::new();
    match grant.task() {
        Task::Token(_) => {}
        Task::Relay | Task::Preflight => write_request_head(&mut outgoing, head, &forwarded),
        Task::List(..) => write_own_fields(&mut own_fields, head, &forwarded),
        Task::Create { .. } => {
            write_request_head(&mut outgoing, head, &forwarded);
            write_own_fields(&mut own_fields, head, &forwarded);
        }
    }
    Outgoing {
        head: outgoing,
        own_fields,
    }
}
