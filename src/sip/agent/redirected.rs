//! A 3xx to our INVITE (RFC 3261 §8.1.3.4): where it points is told before the leg's end; nobody is called from here.

use super::user_agent::UserAgent;
use crate::sip::leg::LegEvent;
use crate::sip::leg::state::Leg;
use crate::sip::message::Response;
use crate::sip::redirection;

impl UserAgent {
    /// Tells of a redirection's places, if the response is one and call control still wants the leg.
    pub(super) fn redirected(&mut self, leg: &Leg, transaction: u64, response: &Response) {
        if !(300..400).contains(&response.status()) || leg.is_ended() {
            return;
        }
        let Some(transaction) = self.clients.get(&transaction) else { return };
        let to = redirection::targets(response, &transaction.request.uri);
        if !to.is_empty() {
            self.tell(leg, LegEvent::Redirected { to });
        }
    }
}
