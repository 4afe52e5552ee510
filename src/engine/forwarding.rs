//! Calls that go on to somebody whom we call for the caller: the way to him is found here, on behalf of whoever had the
//! call forwarded, and who is called without any rule saying so. The two legs are `call::forward`'s.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Hub;
use super::outgoing::{self, Route};
use super::running_call::{About, CallMessage};
use super::signalling::Signal;
use crate::call::Party;
use crate::session::LegId;
use crate::sip::access::Identity;
use crate::sip::leg::Invitation;
use crate::sip::message::Uri;
use crate::trunk::route::Asker;

/// Hops that a call may still take when the caller says nothing (RFC 3261 §8.1.1.6).
const HOPS: u8 = 70;

/// What was found out about a callee.
pub struct Reached {
    /// Reserved for him.
    pub leg: LegId,
    /// Where he may be.
    pub route: Route,
    /// Who he is, as far as it is known.
    pub who: Identity,
}

/// A callee who cannot be reached: what the caller is refused with, and why.
pub struct Unreached {
    pub status: u16,
    pub problem: String,
}

/// Finds the way to `to` in a task of its own, and tells the call.
pub fn reach(hub: &Arc<Hub>, about: &About, asker: Asker, to: Party) {
    let (hub, id, looping) = (Arc::clone(hub), about.id.clone(), about.hops == 0);
    tokio::spawn(async move {
        let found = match looping {
            true => Err(Unreached { status: 483, problem: "the call has gone through too many hands".to_owned() }),
            false => find(&hub, &id, &asker, &to).await,
        };
        let reserved = found.as_ref().ok().map(|reached| reached.leg);
        if !hub.calls.tell(&hub, &id, CallMessage::Reached(found.map(Box::new)))
            && let Some(leg) = reserved
        {
            hub.signal(Signal::Released(leg));
        }
    });
}

async fn find(hub: &Arc<Hub>, id: &str, asker: &Asker, to: &Party) -> Result<Reached, Unreached> {
    let unreached = |status| move |problem: String| Unreached { status, problem };
    let route = outgoing::route(hub, to, asker).await.map_err(|error| unreached(404)(error.to_string()))?;
    if route.leads.is_empty() {
        return Err(unreached(480)(route.notes.join("; ")));
    }
    let gone = || unreached(480)("the call has ended".to_owned());
    let inbox = hub.calls.get(id).ok_or_else(gone)?;
    let (reply, leg) = oneshot::channel();
    hub.signal(Signal::NewLeg(id.to_owned(), inbox, reply));
    let leg = leg.await.map_err(|_| unreached(503)("signalling is too busy".to_owned()))?;
    let trunk = route.leads.first().and_then(|lead| lead.trunk.as_ref());
    let who = match (&route.user, trunk) {
        (Some(user), _) => Identity::User(user.clone()),
        (None, Some(known)) => Identity::Trunk(known.trunk.name.clone()),
        (None, None) => Identity::Stranger,
    };
    Ok(Reached { leg, route, who })
}

/// On whose behalf a caller's call goes on.
pub fn asker(who: &Identity) -> Asker {
    match who {
        Identity::User(name) => Asker::User(name.clone()),
        Identity::Trunk(name) => Asker::Trunk(name.clone()),
        Identity::Stranger => Asker::Stranger,
    }
}

/// Who is called where no rule says anything: a user of ours, by somebody who is known, and a number that a route or
/// trunk takes, by a user of ours. Whether a user exists is no business of strangers'.
pub fn by_default(hub: &Hub, caller: &Identity, called: &Party) -> Option<Party> {
    let known = !matches!(caller, Identity::Stranger);
    if known && outgoing::user_named(hub, called).is_some() {
        return Some(called.clone());
    }
    let number = caller.user().and_then(|_| dialled(hub, called))?;
    let taken = hub.trunks.load().decide(&number, &asker(caller)).problem.is_none();
    taken.then_some(Party::Phone(number))
}

/// The number that somebody has dialled: as it is, or before our host.
fn dialled(hub: &Hub, called: &Party) -> Option<String> {
    let number = match called {
        Party::Phone(number) => number.clone(),
        Party::Sip(address) => match Uri::parse(address.as_bytes()).ok()? {
            Uri::Sip(sip) if hub.policy.load().is_ours(sip.host()) => sip.user_without_params()?.into_owned(),
            _ => return None,
        },
        Party::User(_) => return None,
    };
    let digits = number.strip_prefix('+').unwrap_or(&number);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

/// How many more hands the call may go through.
pub fn hops(invitation: &Invitation) -> u8 {
    let given = invitation.header("Max-Forwards").and_then(|value| value.trim().parse::<u8>().ok());
    given.unwrap_or(HOPS).min(HOPS).saturating_sub(1)
}
