//! Whether a call's audio is encrypted: what its trunk or user says, or else the setting. What can then be agreed on is
//! `sip::sdp`'s, and over which signalling keys may go is `sip::agent`'s.

use super::Hub;
use super::trunks::KnownTrunk;
use crate::session::SrtpPolicy;
use crate::sip::access::Identity;
use crate::store::User;

/// What holds for a call that comes from a trunk or a user; none: nothing of its own, so the setting.
pub fn of_caller(hub: &Hub, identity: &Identity, trunk: Option<&KnownTrunk>) -> Option<SrtpPolicy> {
    match (trunk, identity.user()) {
        (Some(known), _) => known.trunk.srtp.map(Into::into),
        (None, Some(name)) => hub.users.load().get(name).and_then(of_user),
        (None, None) => None,
    }
}

/// A user's own word; none: the setting's.
pub fn of_user(user: &User) -> Option<SrtpPolicy> {
    user.srtp.as_deref()?.parse().ok()
}
