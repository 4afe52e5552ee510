//! Telling the peer how what it referred us to goes (RFC 3515 §2.4.4, RFC 6665 §4.2): NOTIFYs with message/sipfrag, one
//! at a time, the newest status in place of those that wait.

use super::refer::PACKAGE;
use super::user_agent::{Purpose, UserAgent};
use crate::sip::leg::referral::SUBSCRIPTION;
use crate::sip::leg::state::{Leg, State};
use crate::sip::leg::{EndCause, LegEvent, Side};
use crate::sip::message::{Method, Name, SIPFRAG, write_sipfrag};
use crate::time::Time;

impl UserAgent {
    /// Tells the peer, if it wants to be told. With a final status, which comes once, the referral is over.
    pub(super) fn report(&mut self, leg: &mut Leg, status: u16, phrase: &str, now: Time) {
        let Some(theirs) = leg.referrals.theirs.as_mut().filter(|theirs| !theirs.closing) else { return };
        theirs.closing = status >= 200;
        if theirs.subscribed && !leg.left {
            theirs.next = Some((status, phrase.to_owned()));
        }
        self.report_next(leg, now);
    }

    /// Sends the NOTIFY that waits, or closes what is over.
    fn report_next(&mut self, leg: &mut Leg, now: Time) {
        let Some(theirs) = leg.referrals.theirs.as_mut().filter(|theirs| theirs.notifying.is_none()) else { return };
        let Some((status, phrase)) = theirs.next.take() else {
            if theirs.closing {
                let leave = theirs.then_leave;
                leg.referrals.theirs = None;
                if leave {
                    self.leave_replaced(leg, None, now);
                }
            }
            return;
        };
        let event = format!("{PACKAGE};id={}", theirs.id);
        let state = if status >= 200 {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={}", SUBSCRIPTION.as_secs())
        };
        let hop = leg.dialog.as_ref().map(|dialog| dialog.next_hop());
        let contact = hop.and_then(|hop| self.contact_for(hop)).map(|contact| contact.header.clone());
        let sent = self.start_in_dialog(
            leg,
            Method::Notify,
            Purpose::Notify,
            |request| {
                if let Some(contact) = &contact {
                    request.headers.set_value(Name::Contact, contact);
                }
                let _ = request.headers.push(Name::Event, &event);
                let _ = request.headers.push(Name::SubscriptionState, &state);
                let _ = request.set_body(&format!("{SIPFRAG};version=2.0"), write_sipfrag(status, &phrase));
            },
            now,
        );
        match (sent, leg.referrals.theirs.as_mut()) {
            (Some(id), Some(theirs)) => theirs.notifying = Some(id),
            (_, Some(_)) => self.report_next(leg, now),
            _ => {}
        }
    }

    /// A NOTIFY of ours has its final answer, or none came.
    pub(super) fn notify_heard(&mut self, leg: &mut Leg, id: u64, status: u16, now: Time) {
        let Some(theirs) = leg.referrals.theirs.as_mut() else { return };
        if theirs.notifying != Some(id) {
            return;
        }
        theirs.notifying = None;
        if status >= 300 {
            // Nobody listens any more (RFC 6665 §4.2.2).
            theirs.subscribed = false;
            theirs.next = None;
        }
        self.report_next(leg, now);
    }

    /// Ends a leg that works for another one, or whose place another one has taken: BYE or CANCEL; nobody is told.
    pub(super) fn leave_replaced(&mut self, leg: &mut Leg, reason: Option<&str>, now: Time) {
        match leg.state {
            State::Established => {
                if !leg.left {
                    self.bye_leg(leg, reason, now);
                }
                leg.state = State::Over;
            }
            // The BYE must wait for the ACK of our 2xx (RFC 3261 §15).
            State::Answered => leg.state = State::Closing,
            State::Calling => {
                let end = LegEvent::Ended { by: Side::Local, cause: EndCause::Cancelled, reason: None };
                self.abandon(leg, reason.map(str::to_owned), end, now);
            }
            _ => {}
        }
    }
}
