//! Answers that keep nothing (RFC 3261 §8.2.7), and how long they may be. Over UDP anybody writes anybody's address, so
//! an answer may hit somebody who never asked: it is at most [`GROWTH`] bytes longer than its request, or [`CHALLENGE`]
//! where it brings challenges. What describes us is left out before that; an answer that would be longer even so is not
//! sent. None tells our product.
//!
//! What is repeated until it is acknowledged (a final answer to an INVITE, the BYE of a call that never was) goes, over
//! UDP, no longer than [`PATIENCE`] or [`PATIENCE_WITH_2XX`] to a source that has not shown that it hears us.

use std::time::Duration;

use bytes::Bytes;

use super::Counter;
use super::transmit::Arrival;
use super::user_agent::UserAgent;
use crate::sip::guard::Origin;
use crate::sip::message::{Name, Response, reason_phrase};
use crate::sip::peer::Peer;
use crate::time::Time;

/// How many bytes longer than its request an answer to a stranger may be.
pub(super) const GROWTH: usize = 100;

/// The same for 401 and 407, which bring a challenge for each algorithm.
pub(super) const CHALLENGE: usize = 400;

/// How long refusals and BYEs are repeated to somebody who may not hear us: 0.5, 1.5 and 3.5 s after the first with T1
/// of 500 ms.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// The same for a 2xx, on which a call hangs: seven of them, the last after 15.5 s.
pub(super) const PATIENCE_WITH_2XX: Duration = Duration::from_secs(16);

impl UserAgent {
    /// Sends an answer once and keeps nothing. `more` is put in as far as there is room, in its order.
    pub(super) fn answer_once(
        &mut self,
        to: Peer,
        arrival: Arrival<'_>,
        mut response: Response,
        more: Vec<(Name, String)>,
    ) {
        let tag = self.stateless_tag(&response.headers);
        let _ = response.set_to_tag(&tag);
        let growth = if matches!(response.status(), 401 | 407) { CHALLENGE } else { GROWTH };
        let room = match arrival.peer.transport.is_reliable() {
            true => usize::MAX,
            false => arrival.bytes.len() + growth,
        };
        let mut length = response.to_bytes().len();
        if length > room {
            response.set_reason(reason_phrase(response.status()));
            length = response.to_bytes().len();
        }
        if length > room {
            return self.count(Counter::Unanswered);
        }
        for (name, value) in more {
            // Colon, space and line end.
            let line = name.as_str().len() + value.len() + 4;
            if length + line <= room && response.headers.push(name, value).is_ok() {
                length += line;
            }
        }
        self.send(to, Bytes::from(response.to_bytes()), None, false);
    }

    /// Something came that only somebody can send who has read what we sent to that address.
    pub(super) fn has_heard(&mut self, arrival: Arrival<'_>) {
        self.guard.has_heard(Origin::of(&arrival.peer), arrival.now);
    }

    /// May what began at `since` be sent to this peer once more?
    pub(super) fn may_repeat(&self, peer: Peer, since: Time, patience: Duration, now: Time) -> bool {
        now.since(since) <= patience || self.guard.hears(Origin::of(&peer), now)
    }
}
