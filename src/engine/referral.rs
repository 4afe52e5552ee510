//! Somebody whom the other side refers us to (REFER): whether it may is decided when the call is born, by who it is; the
//! way to the target is found here, and the leg then follows by itself.

use std::sync::Arc;

use super::Hub;
use super::hunting::HuntWish;
use super::outgoing::{self, Route};
use super::registry;
use super::running_call::About;
use super::shown::Shown;
use super::signalling::Signal;
use crate::call::{Party, TimelineEntry, Topic};
use crate::session::{Direction, LegId, LocalMedia};
use crate::sip::access::Identity;
use crate::sip::leg::{LegCommand, OutgoingInvite, Party as SipParty, Referral};
use crate::sip::message::{Host, Uri};

/// What a target is refused with that we find no way to.
const NO_WAY: u16 = 404;

/// May somebody like that send us on?
pub fn may_refer(hub: &Hub, who: &Identity) -> bool {
    let allowed = &hub.config.follow_transfers;
    match who {
        Identity::User(_) => allowed.users,
        Identity::Trunk(_) => allowed.trunks,
        Identity::Stranger => allowed.strangers,
    }
}

/// Finds the way to the target, in a task of its own, and has the leg follow it, or refuse. The routes know on whose
/// behalf it is; all places that they name are called as for an outgoing call.
pub fn follow(hub: &Arc<Hub>, about: &About, who: Identity, leg: LegId, referral: Referral) {
    let (hub, about) = (Arc::clone(hub), about.clone());
    tokio::spawn(async move {
        // A number goes by the routes; but the dialog that is to be replaced is where the address says, and nowhere else.
        // An address stays whole: its transport and its instance (RFC 5627) count.
        let target = match Party::of_sip(&referral.target) {
            number @ Party::Phone(_) if referral.replaces.is_none() => number,
            _ => Party::Sip(referral.target.uri.clone()),
        };
        let asker = super::forwarding::asker(&who);
        let mut toll = None;
        let found = outgoing::route(&hub, &target, &asker).await.map_err(|problem| vec![problem.to_string()]);
        let found = found.and_then(|mut route| {
            toll = route.toll.take();
            let (notes, user) = (std::mem::take(&mut route.notes), route.user.take());
            wish(&hub, &about, leg, route, referral.headers).map(|wish| (wish, user, notes.clone())).ok_or(notes)
        });
        let (signal, texts) = match found {
            Ok((wish, user, mut notes)) => {
                notes.insert(0, format!("calls {}", target.as_str()));
                (Signal::Follow(leg, Box::new(wish), user), notes)
            }
            Err(problems) => {
                let problems = if problems.is_empty() { "nobody is there".to_owned() } else { problems.join("; ") };
                let text = format!("there is no way to {}: {problems}", target.as_str());
                (Signal::Command(leg, LegCommand::RefuseReferral { status: NO_WAY }), vec![text])
            }
        };
        for text in texts {
            let entry = TimelineEntry::new(hub.clock.now(), Topic::Signalling, text).on(leg);
            registry::note(&hub, &about.id, hub.calls.get(&about.id).as_ref(), entry);
        }
        hub.signal(signal);
        // The place among the referrer's calls is held as long as the call goes on.
        if let Some(_held) = toll {
            let mut changes = hub.calls.changes();
            while hub.calls.get(&about.id).is_some() && changes.changed().await.is_ok() {}
        }
    });
}

/// The hunt for the target, on behalf of the one that we are on this call; none: there is nobody to call.
fn wish(hub: &Hub, about: &About, leg: LegId, route: Route, headers: Vec<(String, String)>) -> Option<HuntWish> {
    // To whom a call was forwarded we are the caller.
    let to_caller = about.direction == "inbound" && leg == about.leg;
    let us = if to_caller { &about.to } else { &about.from };
    let user = match us {
        Party::Phone(number) => Some(number.clone()),
        Party::Sip(address) => {
            Uri::parse(address.as_bytes()).ok().and_then(|uri| uri.user().map(|user| user.into_owned()))
        }
        Party::User(_) => None,
    };
    let from = Uri::sip(Some(user.as_deref().unwrap_or("strowger")), Host::from(hub.advertised), None);
    let ring_timeout = hub.call_settings.ring_timeout;
    let shown = Shown { name: user.clone(), number: user.clone(), ..Shown::default() };
    let limits = outgoing::limits(&route.failover, route.next_round, ring_timeout);
    let rounds = outgoing::rounds(route.leads, &shown);
    let first = rounds.iter().find_map(|round| round.branches.first())?;
    let invite = OutgoingInvite {
        target: route.target,
        from: SipParty { display: None, uri: from.to_string() },
        to: None,
        destination: first.destination,
        transport: first.transport,
        credentials: None,
        // The leg that is referred has a stream, which goes on.
        media: LocalMedia {
            address: hub.advertised,
            port: 0,
            codecs: hub.call_settings.codecs.clone(),
            direction: Direction::SendRecv,
            srtp: hub.call_settings.srtp,
        },
        headers,
        ring_timeout,
    };
    Some(HuntWish { invite, rounds, limits, redirects: route.failover.redirects })
}
