//! Who a callee is told that calls: an application's word, a trunk's, or for a user of ours who he has proved to be,
//! whatever his telephone writes; and nobody, where the caller wants to be private (RFC 3323). How a trunk is told is
//! `trunk::caller`'s.

use super::Hub;
use super::running_call::About;
use crate::call::{Party, Place};
use crate::sip::access::Identity;
use crate::sip::leg::{Invitation, Party as SipParty};
use crate::sip::message::{Host, Uri};

/// Who is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// To an address or a user: the user part; none: nobody is named.
    pub name: Option<String>,
    /// To a trunk: a number, or a name where there is none.
    pub number: Option<String>,
    /// The name that goes with it; empty: none.
    pub display: String,
    /// The callee is not to learn who it is.
    pub hidden: bool,
}

impl Shown {
    /// From, where no trunk says otherwise.
    pub fn from(&self, host: Host) -> SipParty {
        if self.hidden {
            let (display, uri) = (Some("Anonymous".to_owned()), "sip:anonymous@anonymous.invalid".to_owned());
            return SipParty { display, uri };
        }
        let display = Some(self.display.clone()).filter(|display| !display.is_empty());
        let name = self.name.as_deref().unwrap_or("anonymous");
        SipParty { display, uri: Uri::sip(Some(name), host, None).to_string() }
    }
}

/// Who is shown to the one on that leg.
pub fn to_callee(hub: &Hub, about: &About, place: &Place) -> Shown {
    let name = match &place.from {
        Some(Party::Phone(number)) => Some(number.clone()),
        Some(Party::Sip(address)) => Uri::parse(address.as_bytes())
            .ok()
            .map(|uri| uri.user().map_or_else(|| "strowger".to_owned(), |user| user.into_owned())),
        _ => None,
    };
    let nobody = name.as_deref() == Some("anonymous");
    // A carrier knows its customer's numbers, not our users' names.
    let number = match &about.peer {
        Identity::User(user) if about.direction == "inbound" => number_of(hub, user).or_else(|| name.clone()),
        _ => name.clone(),
    };
    Shown { number: number.filter(|_| !nobody), name, display: place.display.clone(), hidden: nobody || about.private }
}

/// The number that a user is shown with: the first in E.164, or the first.
fn number_of(hub: &Hub, user: &str) -> Option<String> {
    let users = hub.users.load();
    let numbers = &users.get(user)?.numbers;
    numbers.iter().find(|number| number.starts_with('+')).or(numbers.first()).cloned()
}

/// Who calls, as a SIP address: a user by his name or one of his numbers, and else by his name, whatever he writes.
/// True: he wrote something else.
pub fn caller(hub: &Hub, invitation: &Invitation) -> (String, bool) {
    let written = invitation.caller().uri.clone();
    let Some(name) = invitation.identity.user() else { return (written, false) };
    let users = hub.users.load();
    let numbers = users.get(name).map(|user| user.numbers.as_slice()).unwrap_or_default();
    let parsed = Uri::parse(written.as_bytes()).ok();
    let user = parsed.as_ref().and_then(|uri| match uri {
        Uri::Tel(tel) => Some(tel.number().to_owned()),
        uri => uri.user().map(|user| user.into_owned()),
    });
    let own = user.is_some_and(|user| user == name || user == "anonymous" || numbers.contains(&user));
    match own {
        true => (written, false),
        false => (Uri::sip(Some(name), Host::from(hub.advertised), None).to_string(), true),
    }
}

/// Does the caller want to be private? (RFC 3323 §4.2, RFC 3325 §9.3: any kind of privacy but `none`.)
pub fn is_private(invitation: &Invitation) -> bool {
    let values = invitation.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Privacy"));
    let kinds = values.flat_map(|(_, value)| value.split([';', ',']));
    let mut kinds = kinds.map(str::trim).filter(|kind| !kind.is_empty());
    kinds.any(|kind| !["none", "critical"].iter().any(|no| kind.eq_ignore_ascii_case(no)))
}
