//! Who is on a call: the domain's name for a person or number, independent of how an API spells it.

use serde::{Deserialize, Serialize};

use crate::sip::leg::Party as SipParty;
use crate::sip::message::Uri;

/// A caller, callee or participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Party {
    /// A telephone number in E.164 form, with the plus.
    Phone(String),
    /// A SIP address, `sip:user@host[:port]`, as dialled or seen.
    Sip(String),
    /// A user or service of the application's own (`8:acs:…`, a bot…), by its opaque name.
    User(String),
}

impl Party {
    /// The party behind a SIP address: a telephone number where its user part is one.
    pub fn of_sip(address: &SipParty) -> Party {
        let is_number = |user: &str| {
            let digits = user.strip_prefix('+').unwrap_or(user);
            digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let Ok(uri) = Uri::parse(address.uri.as_bytes()) else { return Party::Sip(address.uri.clone()) };
        match &uri {
            Uri::Tel(tel) => Party::Phone(tel.number().replace(['-', '.', '(', ')'], "")),
            Uri::Sip(sip) => match sip.user_without_params().filter(|user| is_number(user)) {
                Some(number) => Party::Phone(number.into_owned()),
                None => {
                    let host = sip.port().map_or(sip.host().to_string(), |port| format!("{}:{port}", sip.host()));
                    let user = sip.user_escaped().map_or(String::new(), |user| format!("{user}@"));
                    Party::Sip(format!("{}:{user}{host}", uri.scheme()))
                }
            },
            Uri::Other(_) => Party::Sip(address.uri.clone()),
        }
    }

    /// The text that identifies the party, without saying of which kind it is.
    pub fn as_str(&self) -> &str {
        match self {
            Party::Phone(s) | Party::Sip(s) | Party::User(s) => s,
        }
    }
}

/// A party on the call, as applications see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Who it is.
    pub party: Party,
    /// Whether what it says is kept from the others.
    pub muted: bool,
    /// Whether it is on hold.
    pub on_hold: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_parties() {
        for (uri, party) in [
            ("sip:+15551230001@carrier.example;user=phone", Party::Phone("+15551230001".into())),
            ("sip:+15551230001;npdi@carrier.example:5070", Party::Phone("+15551230001".into())),
            ("tel:+1-555-123-0001", Party::Phone("+15551230001".into())),
            ("sip:7042@pbx.example", Party::Phone("7042".into())),
            ("sip:bob@192.0.2.2:5070;transport=tcp", Party::Sip("sip:bob@192.0.2.2:5070".into())),
            ("sips:192.0.2.2", Party::Sip("sips:192.0.2.2".into())),
            ("nonsense", Party::Sip("nonsense".into())),
        ] {
            assert_eq!(Party::of_sip(&SipParty { display: None, uri: uri.into() }), party, "{uri}");
        }
    }
}
