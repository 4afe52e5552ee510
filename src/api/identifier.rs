//! ACS's CommunicationIdentifier, to and from [`Party`]: `4:+1555…` is a phone, `8:acs:…` a user, `sip:…` an address
//! (ACS kind `unknown`, given by its raw id). `kind` is never relied on: SDKs leave it out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::call::{Participant, Party};
use crate::line::is_one_line;

/// The longest raw id in bytes.
const MAX_RAW_ID: usize = 512;

/// Who somebody is: at most one of the members beside `kind` and `rawId`, or `rawId` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CommunicationIdentifierModel)]
pub(super) struct Identifier {
    /// `phoneNumber`, `communicationUser` or `unknown` in answers; ignored in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `4:+15551230001`, `8:acs:…`, `sip:user@host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_id: Option<String>,
    /// A user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub communication_user: Option<UserIdentifier>,
    /// A telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<PhoneNumberIdentifier>,
    /// Comes with a later release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub microsoft_teams_user: Option<Value>,
    /// Comes with a later release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub microsoft_teams_app: Option<Value>,
    /// Comes with a later release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub teams_extension_user: Option<Value>,
}

/// A user of the application's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CommunicationUserIdentifierModel)]
pub(super) struct UserIdentifier {
    /// `8:acs:…`.
    pub id: Option<String>,
}

/// A telephone number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PhoneNumberIdentifierModel)]
pub(super) struct PhoneNumberIdentifier {
    /// E.164 with the plus; or `anonymous`.
    pub value: Option<String>,
    /// The caller does not show its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
}

/// Somebody on a call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallParticipant {
    /// Who.
    pub identifier: Identifier,
    /// Whether the others cannot hear it.
    pub is_muted: bool,
    /// Whether it is on hold.
    pub is_on_hold: bool,
}

impl From<&Participant> for CallParticipant {
    fn from(participant: &Participant) -> Self {
        CallParticipant {
            identifier: Identifier::from(&participant.party),
            is_muted: participant.muted,
            is_on_hold: participant.on_hold,
        }
    }
}

const ANONYMOUS: &str = "anonymous";

impl From<&Party> for Identifier {
    fn from(party: &Party) -> Self {
        let (kind, none) = (Some(party_kind(party).to_owned()), Identifier::default());
        let raw_id = Some(raw_id(party));
        match party {
            Party::Phone(number) => {
                let is_anonymous = (number == ANONYMOUS).then_some(true);
                let phone_number = Some(PhoneNumberIdentifier { value: Some(number.clone()), is_anonymous });
                Identifier { kind, raw_id, phone_number, ..none }
            }
            Party::User(id) if id.starts_with("8:") => {
                let communication_user = Some(UserIdentifier { id: Some(id.clone()) });
                Identifier { kind, raw_id, communication_user, ..none }
            }
            Party::Sip(_) | Party::User(_) => Identifier { kind, raw_id, ..none },
        }
    }
}

fn party_kind(party: &Party) -> &'static str {
    match party {
        Party::Phone(_) => "phoneNumber",
        Party::User(id) if id.starts_with("8:") => "communicationUser",
        Party::Sip(_) | Party::User(_) => "unknown",
    }
}

/// The raw id of a party.
pub fn raw_id(party: &Party) -> String {
    match party {
        Party::Phone(number) => format!("4:{number}"),
        Party::Sip(text) | Party::User(text) => text.clone(),
    }
}

/// The party that a raw id names; none where it names nobody we know how to reach.
pub fn from_raw_id(raw: &str) -> Option<Party> {
    let raw = raw.trim_matches(' ');
    if raw.is_empty() || raw.len() > MAX_RAW_ID || !is_one_line(raw) {
        None
    } else if let Some(number) = raw.strip_prefix("4:") {
        phone(number)
    } else if let Some((scheme, rest)) = raw.split_once(':').filter(|(scheme, _)| is_sip(scheme)) {
        let plain = !rest.is_empty() && !rest.contains([' ', '<', '>', '"']);
        plain.then(|| Party::Sip(format!("{}:{rest}", scheme.to_ascii_lowercase())))
    } else {
        Some(Party::User(raw.to_owned()))
    }
}

fn is_sip(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

/// A number with the plus, or one of a private plan without; visual separators (RFC 3966 §5.1.1) are left out.
fn phone(number: &str) -> Option<Party> {
    if number.eq_ignore_ascii_case(ANONYMOUS) {
        return Some(Party::Phone(ANONYMOUS.to_owned()));
    }
    let number: String = number.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let fits = (1..=32).contains(&digits.len()) && digits.chars().all(|c| matches!(c, '0'..='9' | '*' | '#'));
    fits.then_some(Party::Phone(number))
}

impl Identifier {
    /// Who it is. `field` names it in errors.
    pub fn party(&self, field: &str) -> Result<Party, Problem> {
        if let Some(number) = &self.phone_number {
            return number.party(&format!("{field}.phoneNumber"));
        }
        if let Some(user) = &self.communication_user {
            return user.party(&format!("{field}.communicationUser"));
        }
        let raw = self.raw_id.as_deref().unwrap_or_default();
        let teams = [&self.microsoft_teams_user, &self.microsoft_teams_app, &self.teams_extension_user];
        if teams.iter().any(|member| member.is_some()) || raw.starts_with("8:orgid:") || raw.starts_with("28:") {
            return Err(Problem::later(field, "Teams users and applications"));
        }
        if raw.is_empty() {
            return Err(Problem::bad(field, "wants a phoneNumber, a communicationUser or a rawId"));
        }
        let raw_field = format!("{field}.rawId");
        from_raw_id(raw).ok_or_else(|| Problem::bad(&raw_field, "is not 4:<number>, 8:acs:<user> or sip:<user@host>"))
    }
}

impl PhoneNumberIdentifier {
    /// The number. `field` names it in errors.
    pub fn party(&self, field: &str) -> Result<Party, Problem> {
        let field = format!("{field}.value");
        let value = self.value.as_deref().ok_or_else(|| Problem::bad(&field, "is required"))?;
        phone(value).ok_or_else(|| Problem::bad(&field, "is not a telephone number: + and up to 32 digits"))
    }
}

impl UserIdentifier {
    /// The user. `field` names it in errors.
    pub fn party(&self, field: &str) -> Result<Party, Problem> {
        let field = format!("{field}.id");
        let id = self.id.as_deref().unwrap_or_default();
        from_raw_id(id).ok_or_else(|| Problem::bad(&field, "is required, at most 512 bytes"))
    }
}

/// Reads an optional identifier.
pub(super) fn wanted(identifier: Option<&Identifier>, field: &str) -> Result<Party, Problem> {
    identifier.ok_or_else(|| Problem::bad(field, "is required"))?.party(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Party, Problem> {
        serde_json::from_str::<Identifier>(json).unwrap().party("target")
    }

    #[test]
    fn a_kind_is_never_needed() {
        let phone = Party::Phone("+15551230001".into());
        for json in [
            r#"{"rawId":"4:+15551230001","phoneNumber":{"value":"+15551230001"}}"#,
            r#"{"kind":"phoneNumber","rawId":"4:+15551230001","phoneNumber":{"value":"+15551230001","isAnonymous":false}}"#,
            r#"{"rawId":"4:+15551230001"}"#,
            r#"{"kind":"PhoneNumber","phoneNumber":{"value":"+1 (555) 123-0001"}}"#,
            r#"{"kind":null,"phoneNumber":{"value":"+15551230001"},"communicationUser":null,"novel":1}"#,
        ] {
            assert_eq!(read(json).unwrap(), phone, "{json}");
        }
        assert_eq!(read(r#"{"communicationUser":{"id":"8:acs:a_b"}}"#).unwrap(), Party::User("8:acs:a_b".into()));
        assert_eq!(read(r#"{"rawId":"SIP:a@b:5070"}"#).unwrap(), Party::Sip("sip:a@b:5070".into()));
        assert_eq!(read(r#"{"kind":"unknown","rawId":"bot-1"}"#).unwrap(), Party::User("bot-1".into()));
        assert_eq!(read(r#"{"rawId":"4:anonymous"}"#).unwrap(), Party::Phone("anonymous".into()));
    }

    #[test]
    fn what_names_nobody_is_refused_by_name() {
        for (json, field) in [
            ("{}", "target"),
            (r#"{"phoneNumber":{}}"#, "target.phoneNumber.value"),
            (r#"{"phoneNumber":{"value":"call me"}}"#, "target.phoneNumber.value"),
            (r#"{"rawId":"4:+"}"#, "target.rawId"),
            (r#"{"rawId":"sip:"}"#, "target.rawId"),
            (r#"{"rawId":"sip:a@b\r\nVia: x"}"#, "target.rawId"),
            (r#"{"communicationUser":{}}"#, "target.communicationUser.id"),
        ] {
            let problem = read(json).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.body.target.as_deref()), (400, Some(field)), "{json}");
        }
        assert_eq!(read(r#"{"microsoftTeamsUser":{"userId":"x"}}"#).unwrap_err().status.as_u16(), 501);
    }

    #[test]
    fn a_party_comes_back_as_it_went() {
        for party in [
            Party::Phone("+15551230001".into()),
            Party::Phone("anonymous".into()),
            Party::Sip("sip:a@b".into()),
            Party::User("8:acs:a_b".into()),
            Party::User("bot-1".into()),
        ] {
            let identifier = Identifier::from(&party);
            assert!(identifier.raw_id.is_some() && identifier.kind.is_some());
            assert_eq!(identifier.party("x").unwrap(), party);
            assert_eq!(from_raw_id(&raw_id(&party)), Some(party));
        }
    }
}
