//! Who sent an incoming call on to us (Diversion, RFC 5806; History-Info, RFC 7044), as applications and the timeline see
//! it. It is the caller's side's word, and believed as such.

use crate::api::eventgrid::Diverted;
use crate::call::Party;
use crate::sip::leg::{Invitation, Party as SipParty};
use crate::sip::message::{diversions, history};

/// The diverting parties, the latest first: of Diversion, or where there is none of the places of History-Info that the
/// call went on from. Parties that want to be kept from view are `anonymous`.
pub fn by_whom(invitation: &Invitation) -> Vec<Diverted> {
    let lines = || invitation.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let party = |uri: String| Party::of_sip(&SipParty { display: None, uri });
    let diverted: Vec<Diverted> = diversions(lines())
        .into_iter()
        .map(|diversion| Diverted {
            by: if diversion.private { Party::Phone("anonymous".into()) } else { party(diversion.by.uri.to_string()) },
            reason: diversion.reason,
        })
        .collect();
    if !diverted.is_empty() {
        return diverted;
    }
    // Where the call is now is not one that it went on from; a cause stands with the next place (RFC 4458) or with the
    // one that it left (RFC 7044 §10.2).
    let places = history(lines());
    let left = places.len().saturating_sub(1);
    let causes: Vec<_> = places.iter().skip(1).map(|place| place.cause).chain([None]).collect();
    let told = places.into_iter().take(left).zip(causes).map(|(place, next)| Diverted {
        by: party(place.target.uri.for_request_line().to_string()),
        reason: place.cause.or(next).map(|cause| cause.to_string()),
    });
    let mut told: Vec<_> = told.collect();
    told.reverse();
    told
}

/// One line for the timeline; none: nobody sent it on.
pub fn in_words(invitation: &Invitation) -> Option<String> {
    let diverted = by_whom(invitation);
    let one = |diverted: &Diverted| match &diverted.reason {
        Some(reason) => format!("{} ({reason})", diverted.by.as_str()),
        None => diverted.by.as_str().to_owned(),
    };
    let words = diverted.iter().map(one).collect::<Vec<_>>().join(", before that by ");
    (!words.is_empty()).then(|| format!("sent on to us by {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::LegId;
    use crate::sip::access::Identity;
    use crate::sip::peer::{Peer, Transport};

    fn invitation(headers: &[(&str, &str)]) -> Invitation {
        Invitation {
            leg: LegId(1),
            from: SipParty::default(),
            to: SipParty::default(),
            request_uri: "sip:a@b.example".into(),
            call_id: "1".into(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            peer: Peer {
                transport: Transport::Udp,
                remote: "192.0.2.1:5060".parse().unwrap(),
                local: "192.0.2.2:5060".parse().unwrap(),
                connection: None,
            },
            identity: Identity::Stranger,
            offered: None,
            diversion: None,
            asserted_identity: None,
        }
    }

    #[test]
    fn the_latest_comes_first() {
        let call =
            invitation(&[("Diversion", "<sip:+4412@x>;reason=no-answer, <sip:bob@x>;privacy=full;reason=user-busy")]);
        assert_eq!(
            in_words(&call).unwrap(),
            "sent on to us by +4412 (no-answer), before that by anonymous (user-busy)"
        );
        let history =
            "<sip:+4411@x?Reason=SIP%3Bcause%3D486>;index=1, <sip:bob@x>;index=1.1, <sip:us@x;cause=408>;index=1.2";
        assert_eq!(
            in_words(&invitation(&[("History-Info", history)])).unwrap(),
            "sent on to us by sip:bob@x (408), before that by +4411 (486)"
        );
        assert_eq!(in_words(&invitation(&[("History-Info", "<sip:us@x>;index=1")])), None);
    }
}
