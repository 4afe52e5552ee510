//! Which legs may have SRTP keys in their SDP: SDES sends them in the clear within the message (RFC 4568 §9.1), so the
//! hop must be encrypted. What is then offered and answered is `sdp`'s.

use super::UserAgent;
use crate::sip::leg::state::Leg;
use crate::sip::peer::Transport;

impl UserAgent {
    /// Gives a new leg that signals over `transport` the means to make keys, where it may have them.
    pub(super) fn allow_keys(&mut self, leg: &mut Leg, transport: Transport) {
        let secure = matches!(transport, Transport::Tls | Transport::Wss);
        if secure || self.config.srtp_over_insecure {
            leg.sdp.allow_keys(self.random.fork(), &self.config.srtp_suites);
        }
    }
}
