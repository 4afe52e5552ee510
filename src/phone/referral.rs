//! A phone that is referred to somebody (REFER): it calls him if he is at an address, as a phone does that has no
//! names to look up, and otherwise refuses.

use std::net::SocketAddr;
use std::time::Duration;

use crate::session::LocalMedia;
use crate::sip::leg::{LegCommand, OutgoingInvite, Party, Referral};
use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;

/// What the leg is told: to follow, or not to.
pub(super) fn decide(referral: &Referral, own: &LocalMedia) -> LegCommand {
    let uri = Uri::parse(referral.target.uri.as_bytes()).ok();
    let found = uri.as_ref().and_then(|uri| Some((uri.host()?.ip()?, uri.port().unwrap_or(5060))));
    let Some((ip, port)) = found else { return LegCommand::RefuseReferral { status: 404 } };
    let transport = uri.as_ref().and_then(|uri| uri.param("transport")).and_then(Transport::from_name);
    LegCommand::Follow(Box::new(OutgoingInvite {
        target: referral.target.uri.clone(),
        from: Party {
            display: Some("Built-in phone".to_owned()),
            uri: format!("sip:phone@{}", Host::from(own.address)),
        },
        to: None,
        destination: SocketAddr::new(ip, port),
        transport: transport.unwrap_or(Transport::Udp),
        credentials: None,
        // The leg takes its own stream in its stead.
        media: own.clone(),
        headers: referral.headers.clone(),
        ring_timeout: Duration::from_secs(60),
    }))
}
