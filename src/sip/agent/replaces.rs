//! Replaces (RFC 3891): an INVITE that takes the place of a dialog of ours. It is answered at once with our side of the
//! stream, the dialogs change places under the leg's name, and the old one is ended.
//!
//! Who may: those who are known to us, and whoever comes from the very address that the old dialog is with (its PBX or
//! proxy). The names of a dialog are hard to guess, but they are no password.

use super::door::{Refusal, answer_to};
use super::transmit::{Arrival, party};
use super::user_agent::{ServerMachine, UserAgent};
use crate::session::LegId;
use crate::sip::access::Identity;
use crate::sip::dialog::Dialog;
use crate::sip::leg::LegEvent;
use crate::sip::leg::state::{Leg, State};
use crate::sip::message::{Name, Replaces, Request, Via};
use crate::sip::sdp::Description;
use crate::sip::transaction::{InviteServer, MergeKey, ServerKey};

impl UserAgent {
    /// The leg whose dialog an INVITE is to take the place of; none: it wants none.
    pub(super) fn to_be_replaced(
        &self,
        request: &Request,
        identity: &Identity,
        arrival: Arrival<'_>,
    ) -> Result<Option<LegId>, Refusal> {
        let wanted = request.headers.replaces().map_err(|e| Refusal::because(400, e.reason()))?;
        let Some(wanted) = wanted else { return Ok(None) };
        let found = self.by_tag.get(&wanted.to_tag).and_then(|id| self.legs.get(id));
        let Some(leg) = found.filter(|leg| leg.call_id == wanted.call_id && names(leg, &wanted)) else {
            return Err(Refusal::new(481));
        };
        let id = leg.id;
        match leg.state {
            State::Established | State::Answered if wanted.early_only => return Err(Refusal::new(486)),
            State::Established | State::Answered | State::Calling => {}
            // Ringing here: not begun by us (§3).
            State::Incoming => return Err(Refusal::new(481)),
            State::Cancelling | State::Closing | State::Over => return Err(Refusal::new(603)),
        }
        let old = leg.dialog.as_ref().map(|dialog| dialog.peer).or_else(|| {
            let outgoing = leg.outgoing.as_ref()?;
            self.clients.get(&outgoing.transaction).map(|transaction| transaction.peer)
        });
        let same_way = old.is_some_and(|old| old.remote.ip() == arrival.peer.remote.ip());
        if !same_way && *identity == Identity::Stranger {
            return Err(Refusal::new(403));
        }
        Ok(Some(id))
    }

    /// Takes an admitted INVITE in place of the leg's dialog.
    #[expect(clippy::too_many_arguments, reason = "each is one fact about the INVITE")]
    pub(super) fn replace(
        &mut self,
        master: LegId,
        request: Request,
        via: &Via,
        key: ServerKey,
        merge: MergeKey,
        offer: Option<Description>,
        identity: Identity,
        arrival: Arrival<'_>,
    ) {
        let now = arrival.now;
        let Some(mut leg) = self.take(master) else { return };
        let local_tag = self.random.token(8);
        let (id, sdp_id) = (self.new_leg(), self.random.u64());
        let (Some(media), Ok(dialog)) =
            (leg.local_media.clone(), Dialog::incoming(&request, &local_tag, 0, arrival.peer))
        else {
            self.put(leg);
            return self.turn_away(&request, via, arrival, &Refusal::new(481));
        };
        let mut new = Leg::new(id, State::Incoming, dialog.call_id().to_owned(), local_tag, sdp_id);
        let (body, agreed) = match &offer {
            Some(offer) => match new.sdp.answer(offer, &media) {
                Ok((body, agreed)) => (body, Some(agreed)),
                Err(_) => {
                    self.put(leg);
                    return self.turn_away(&request, via, arrival, &Refusal::new(488));
                }
            },
            None => (new.sdp.offer(&media), None),
        };
        self.serving.insert(id, master);
        self.trace_arrival(id, arrival, false);
        let reliable = arrival.peer.transport.is_reliable();
        let machine = ServerMachine::Invite(InviteServer::new(reliable, &self.config.timers));
        let transaction = self.add_server(key, Some(merge), machine, answer_to(via, arrival.peer), id);
        new.local_media = Some(media);
        new.media.clone_from(&agreed);
        new.dialog = Some(dialog);
        new.hear_allow(&request.headers);
        self.accept(&mut new, transaction, &request, Some(body), agreed.is_none(), false, now);
        self.register(new);

        let was = leg.state;
        if let Some(mut old) = self.exchange(&mut leg, id) {
            self.stop_following(&mut old, now);
            self.leave_replaced(&mut old, Some("SIP;cause=200;text=\"Replaced\""), now);
            self.put(old);
            let asserted = request.headers.list(Name::PAssertedIdentity, crate::sip::message::NameAddr::parse);
            let by = asserted.ok().and_then(|list| list.first().map(party));
            let by = by.or_else(|| request.headers.from().ok().as_ref().map(party)).unwrap_or_default();
            self.tell(&leg, LegEvent::Replaced { by, identity });
            match (was, agreed) {
                (State::Calling, media) => self.tell(&leg, LegEvent::Accepted { media }),
                (_, Some(media)) => self.tell(&leg, LegEvent::MediaChanged { media }),
                _ => {}
            }
        }
        self.put(leg);
    }

    /// Two legs change places: `leg` goes on with what `other` has, and what `leg` had is given back under `other`'s
    /// name, to be put back by the caller. None: there is no such leg.
    ///
    /// Looks at every transaction; transfers are rare.
    pub(super) fn exchange(&mut self, leg: &mut Leg, other: LegId) -> Option<Box<Leg>> {
        let mut old = self.take(other)?;
        std::mem::swap(leg, &mut *old);
        std::mem::swap(&mut leg.id, &mut old.id);
        for one in [&mut *leg, &mut *old] {
            // Wake-ups are kept by name: those that were set mean the other one now.
            one.scheduled = None;
            self.by_tag.insert(one.local_tag.clone(), one.id);
        }
        self.swap_transactions(leg.id, old.id);
        Some(old)
    }
}

/// Is the peer's tag the one that Replaces names? An early dialog is known by the tag of any 18x.
fn names(leg: &Leg, wanted: &Replaces) -> bool {
    let tag = Some(wanted.from_tag.as_str());
    match (&leg.dialog, &leg.outgoing) {
        (Some(dialog), _) => dialog.is_with(tag),
        (None, Some(outgoing)) => outgoing.early.iter().any(|early| early.tag.as_deref() == tag),
        (None, None) => false,
    }
}
