//! A connection that has switched to another protocol: a WebSocket.
//!
//! Owns when it ends although neither side has closed: its user may do this no longer, or the gate is to end. It counts as a
//! connection, and no longer as a request. Must not know how bytes move.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::site::Site;
use super::state::{Connection, News, Next, State, Tunnelling};
use crate::gate::Proof;
use crate::reactor::Context;
use crate::relay::TunnelTurn;

/// Clocks of processes and of certificates do not tick together.
const JUST_AFTER: Duration = Duration::from_millis(50);
/// The status that it is logged with.
const SWITCHING_PROTOCOLS: u16 = 101;

impl Connection {
    /// The turn among those in flight was given back: what comes now may take days.
    pub(super) fn switch(&mut self, own: Tunnelling, cx: &Context<'_>) -> Next {
        self.deadline = cx.now;
        Next::On(State::Tunnel(Box::new(own)))
    }

    pub(super) fn tunnel(&mut self, mut own: Box<Tunnelling>, cx: &Context<'_>) -> Next {
        let why = match own.news {
            News::End => Some("the gate is to end"),
            News::Rights if !self.is_still_granted(&own) => {
                Some("its user may not do this any more")
            }
            _ if self.proof_has_ended() => Some("the client's certificate has ended"),
            News::Rights | News::None => None,
        };
        own.news = News::None;
        let turn = match (why, own.record.forwarding()) {
            (Some(why), _) => Err(why),
            (None, Some(to)) => Ok(own.tunnel.run(&mut self.input, &to.relay, cx.now)),
            (None, None) => Err("nothing is forwarded"),
        };
        let next = match turn {
            Ok(TunnelTurn::Wait(wait)) => {
                self.deadline = own.tunnel.deadline();
                if let Some(end) = self.proof_ends {
                    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
                    self.deadline = self.deadline.min(cx.now + left + JUST_AFTER);
                }
                return Next::Stay(State::Tunnel(own), wait);
            }
            Ok(TunnelTurn::Done) => Next::Abandon,
            Ok(TunnelTurn::Broken(who)) => {
                own.tunnel.abort();
                own.record.add_note(who);
                Next::Abort
            }
            Ok(TunnelTurn::Silent) => {
                own.tunnel.finish();
                own.record.add_note("silent for too long");
                self.part(cx)
            }
            Err(why) => {
                own.tunnel.finish();
                own.record.add_note(why);
                let mut goodbye = self.goodbye(cx.now);
                if let State::Lingering(lingering) = &mut goodbye {
                    self.deadline = self.deadline.min(lingering.hurry(cx.now));
                }
                Next::On(goodbye)
            }
        };
        (own.record.up, own.record.down) = own.tunnel.moved;
        own.record.write(SWITCHING_PROTOCOLS);
        next
    }

    /// Whether what was granted would be granted now, as far as that can be told without asking anybody.
    fn is_still_granted(&self, own: &Tunnelling) -> bool {
        let Some(site) = &own.record.site else {
            return false;
        };
        let is_same = |one: &Arc<Site>| Arc::ptr_eq(one, site);
        let is_there = match site.name.is_empty() {
            true => self.service.sites.main().is_some_and(is_same),
            false => self
                .service
                .sites
                .named(&site.name)
                .as_ref()
                .is_some_and(is_same),
        };
        is_there && self.is_still_proved(site) && site.gatekeeper.would_grant(&own.grant, &own.head)
    }

    /// Whether the certificate that the client has shown counts still, if it has shown one.
    pub(super) fn is_still_proved(&self, site: &Site) -> bool {
        let chain = self.input.stream().peer_certificates();
        match (&self.proof, &site.clients) {
            (Proof::None, _) | (_, None) => true,
            (_, Some(clients)) => chain.is_some_and(|chain| clients.believe(chain)),
        }
    }
}
