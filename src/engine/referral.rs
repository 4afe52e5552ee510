//! Somebody whom the other side refers us to (REFER): whether it may is decided when the call is born, by who it is; the
//! way to the target is found here, and the leg then follows by itself.

use std::sync::Arc;

use super::Hub;
use super::outgoing::{self, Lead};
use super::registry;
use super::running_call::About;
use super::signalling::Signal;
use crate::call::{Party, TimelineEntry, Topic};
use crate::session::{Direction, LegId, LocalMedia};
use crate::sip::access::Identity;
use crate::sip::hunt::Branch;
use crate::sip::leg::{LegCommand, OutgoingInvite, Party as SipParty, Referral};
use crate::sip::message::{Host, Uri};
use crate::trunk::caller::{self, Calling};
use crate::trunk::route::Asker;

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
/// behalf it is, and the first place that they name is called.
pub fn follow(hub: &Arc<Hub>, about: &About, leg: LegId, referral: Referral) {
    let (hub, about) = (Arc::clone(hub), about.clone());
    tokio::spawn(async move {
        // The dialog that is to be replaced is where the address says, and nowhere else.
        let target = match &referral.replaces {
            Some(_) => Party::Sip(referral.target.uri.clone()),
            None => Party::of_sip(&referral.target),
        };
        let asker = match &about.peer {
            Identity::User(name) => Asker::User(name.clone()),
            Identity::Trunk(name) => Asker::Trunk(name.clone()),
            Identity::Stranger => Asker::Stranger,
        };
        let found = outgoing::route(&hub, &target, &asker).await.map_err(|problem| problem.to_string());
        let mut toll = None;
        let found = found.and_then(|route| {
            toll = route.toll;
            let lead = route.leads.into_iter().next();
            let way = lead.and_then(|lead| Some((lead.round.branches.first()?.clone(), lead)));
            way.ok_or_else(|| "there is nobody to call".to_owned())
        });
        let (command, text) = match found {
            Ok((branch, lead)) => {
                let where_to = format!("{}, {} {}", branch.label, branch.transport, branch.destination);
                let invite = invite(&hub, &about, branch, &lead, referral.headers);
                (LegCommand::Follow(Box::new(invite)), format!("calls {} {where_to}", target.as_str()))
            }
            Err(problem) => {
                let text = format!("there is no way to {}: {problem}", target.as_str());
                (LegCommand::RefuseReferral { status: NO_WAY }, text)
            }
        };
        let entry = TimelineEntry::new(hub.clock.now(), Topic::Signalling, text).on(leg);
        registry::note(&hub, &about.id, hub.calls.get(&about.id).as_ref(), entry);
        hub.signal(Signal::Command(leg, command));
        // The place among the referrer's calls is held as long as the call goes on.
        if let Some(_held) = toll {
            let mut changes = hub.calls.changes();
            while hub.calls.get(&about.id).is_some() && changes.changed().await.is_ok() {}
        }
    });
}

/// The INVITE to the target, from the one that we are on this call.
fn invite(hub: &Hub, about: &About, branch: Branch, lead: &Lead, headers: Vec<(String, String)>) -> OutgoingInvite {
    let us = if about.direction == "inbound" { &about.to } else { &about.from };
    let user = match us {
        Party::Phone(number) => Some(number.clone()),
        Party::Sip(address) => {
            Uri::parse(address.as_bytes()).ok().and_then(|uri| uri.user().map(|user| user.into_owned()))
        }
        Party::User(_) => None,
    };
    let mut all = branch.headers;
    let mut from = SipParty {
        display: None,
        uri: Uri::sip(Some(user.as_deref().unwrap_or("strowger")), Host::from(hub.advertised), None).to_string(),
    };
    if let Some(known) = &lead.trunk {
        let user = user.as_deref().map(|user| known.plan.outward(user));
        let calling = Calling { user, display: String::new(), hidden: false };
        let told = caller::told(&known.trunk.caller.clone().unwrap_or_default(), &calling, &lead.from_host);
        from = told.from;
        all.extend(told.headers);
    }
    all.extend(headers);
    OutgoingInvite {
        target: branch.target,
        from,
        to: None,
        destination: branch.destination,
        transport: branch.transport,
        credentials: branch.credentials,
        // The leg takes its own stream in its stead.
        media: LocalMedia {
            address: hub.advertised,
            port: 0,
            codecs: hub.call_settings.codecs.clone(),
            direction: Direction::SendRecv,
            srtp: hub.call_settings.srtp,
        },
        headers: all,
        ring_timeout: hub.call_settings.ring_timeout,
    }
}
