//! Calls that come in by trunks: which trunk it is, where several share a host, and the numbers in our writing.

use std::sync::Arc;

use super::Hub;
use super::trunks::KnownTrunk;
use crate::line::is_one_line;
use crate::sip::leg::Invitation;
use crate::sip::message::Uri;
use crate::trunk::document::InboundProof;

/// The trunk that a call came in by. The door has told who it is by network, credentials or certificate; of several
/// trunks at one address it is the one that is called by its registered Contact, then the one whose account or domain
/// is called, then the one that the door named.
pub fn of(hub: &Hub, invitation: &Invitation) -> Option<Arc<KnownTrunk>> {
    let named = invitation.identity.trunk()?;
    let trunks = hub.trunks.load();
    let known = trunks.named(named)?;
    let source = invitation.peer.remote.ip();
    // Another that must be proved has not been.
    let may = |other: &KnownTrunk| other.trunk.name == named || other.trunk.inbound_proof == InboundProof::Any;
    let neighbours: Vec<&Arc<KnownTrunk>> =
        trunks.all().iter().filter(|other| other.is_from(source) && may(other)).collect();
    let target = Uri::parse(invitation.request_uri.as_bytes()).ok();
    let to = Uri::parse(invitation.to.uri.as_bytes()).ok();
    let by = |fits: &dyn Fn(&KnownTrunk) -> bool| neighbours.iter().find(|other| fits(other)).copied();
    let user = |uri: &Option<Uri>| uri.as_ref().and_then(|uri| uri.user().map(|user| user.into_owned()));
    let found =
        by(&|other| !other.fares.contact.is_empty() && user(&target).as_deref() == Some(other.fares.contact.as_str()))
            .or_else(|| {
                by(&|other| {
                    let account = other.trunk.register.as_ref().map(|register| register.user.as_str());
                    account.is_some() && (account == user(&target).as_deref() || account == user(&to).as_deref())
                })
            })
            .or_else(|| {
                by(&|other| {
                    let register = other.trunk.register.as_ref().and_then(|register| register.domain.as_deref());
                    let domain =
                        register.or(other.trunk.caller.as_ref().and_then(|caller| caller.from_domain.as_deref()));
                    let host = to.as_ref().and_then(|uri| uri.host().map(ToString::to_string));
                    domain.is_some_and(|domain| host.is_some_and(|host| host.eq_ignore_ascii_case(domain)))
                })
            });
    Some(Arc::clone(found.filter(|_| known.is_from(source)).unwrap_or(known)))
}

impl KnownTrunk {
    /// Whom a call is for: the number of the Request-URI, or, where that is only our registered Contact, of To.
    pub fn called(&self, invitation: &Invitation) -> String {
        let target = &invitation.request_uri;
        let user = Uri::parse(target.as_bytes()).ok().and_then(|uri| uri.user().map(|user| user.into_owned()));
        let contact = !self.fares.contact.is_empty() && user.as_deref() == Some(self.fares.contact.as_str());
        self.inward(if contact { &invitation.to.uri } else { target })
    }

    /// An address of the carrier's in our writing: a number in E.164 stands for itself, all else keeps its shape.
    pub fn inward(&self, address: &str) -> String {
        let Ok(uri) = Uri::parse(address.as_bytes()) else { return address.to_owned() };
        let written = match &uri {
            Uri::Sip(sip) => sip.user_without_params().map(|user| user.into_owned()),
            Uri::Tel(tel) => Some(tel.number().to_owned()),
            Uri::Other(_) => None,
        };
        // An escaped line end is no part of a number, and stays escaped.
        let Some(written) = written.filter(|written| is_one_line(written)) else { return address.to_owned() };
        // Visual separators are dress (RFC 3966 §5.1.1); names keep theirs.
        let dressed = written.bytes().all(|b| b.is_ascii_digit() || b"+-.()*#".contains(&b));
        let plain = if dressed { written.replace(['-', '.', '(', ')'], "") } else { written.clone() };
        let number = self.plan.inward(&plain);
        if number.starts_with('+') {
            return format!("tel:{number}");
        }
        match uri.host() {
            Some(host) if number != plain => Uri::sip(Some(&number), host.clone(), uri.port()).to_string(),
            _ => address.to_owned(),
        }
    }
}
