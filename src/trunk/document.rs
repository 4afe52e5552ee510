//! A trunk as an operator writes it, as it is kept, and as it is shown. Old documents, which have only a URI and
//! credentials, are read as ever.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::session::SrtpPolicy;
use crate::sip::digest::Secret;

/// A carrier or gateway.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Trunk {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`; unique.
    #[schema(example = "carrier-a")]
    pub name: String,
    /// Where calls are sent: a SIP URI without user. The short form of `proxies` with one entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sip:sip.carrier.example:5060;transport=tcp")]
    pub uri: Option<String>,
    /// Where calls are sent, if there are several: at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<Proxy>,
    /// Digest user (RFC 8760), where the carrier asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Digest password. Taken, never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    /// Without routes: only numbers that begin with this go through the trunk; all numbers where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Lower is tried first. Default 100.
    #[serde(default = "hundred")]
    pub priority: i32,
    /// Networks that its calls come from, besides the addresses of its proxies: `203.0.113.0/24`; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Credentials that it brings when it calls and is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Inbound>,
    /// Names (DNS or URI) in the TLS client certificate that it shows; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_names: Vec<String>,
    /// What a call must bring to be this trunk's.
    #[serde(skip_serializing_if = "InboundProof::is_any")]
    pub inbound_proof: InboundProof,
    /// How it writes numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// Calls at once, both ways; no limit where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// Calls begun towards it within a second; no limit where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls_per_second: Option<u32>,
    /// Where left out, nothing is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register: Option<Register>,
    /// Where left out, proxies are not asked how they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Who the callee is told that calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// What is done when a proxy fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// Whether media of its calls, both ways, is encrypted (SDES): `off`, `offered` or `required`, whatever the setting
    /// `srtp` says. Default: as that says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub srtp: Option<Srtp>,
    /// How it fares. Shown, never taken.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    #[schema(read_only, value_type = Option<Object>)]
    pub state: Option<serde_json::Value>,
}

fn hundred() -> i32 {
    100
}

/// One proxy (SBC) of a carrier's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxy {
    /// A SIP URI without user.
    #[schema(example = "sip:sbc1.carrier.example:5060")]
    pub uri: String,
    /// Lower is tried first. Default 0.
    #[serde(default)]
    pub priority: u16,
    /// Among those of one priority, the share that is tried first; 0 to 65535, default 1.
    #[serde(default = "one")]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

/// Digest credentials of a trunk that calls us.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inbound {
    /// The user name.
    pub username: String,
    /// The password. Taken, never shown and never kept: see `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    /// The HA1s of the password, which is all that is kept. Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub secret: Option<Secret>,
}

/// What a call must bring to be a trunk's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum InboundProof {
    /// One of its networks, its credentials or its certificate.
    #[default]
    Any,
    /// Its credentials or its certificate: where it comes from proves nothing.
    Required,
}

impl InboundProof {
    fn is_any(&self) -> bool {
        *self == InboundProof::Any
    }
}

/// How a carrier writes numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Numbers {
    /// The country that numbers without an international prefix belong to: `44`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "44")]
    pub country_code: Option<String>,
    /// What stands before a number within the country: `0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0")]
    pub national_prefix: Option<String>,
    /// What stands before the country code: `00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "00")]
    pub international_prefix: Option<String>,
    /// How numbers are written to the carrier. Default `e164`.
    pub format: Format,
    /// Rewrites of numbers that come in, before all else; the first that matches is taken. At most 50.
    #[serde(rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub inward: Vec<Rewrite>,
    /// Rewrites of numbers that go out, after all else; the first that matches is taken. At most 50.
    #[serde(rename = "out", skip_serializing_if = "Vec::is_empty")]
    pub outward: Vec<Rewrite>,
}

/// How a number is written to a carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// `+442079460000`.
    #[default]
    E164,
    /// `442079460000`.
    Plain,
    /// `02079460000` within the country, `0033…` to others.
    National,
    /// `00442079460000`.
    International,
}

/// A regular expression and what takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewrite {
    /// At most 200 characters; it must match the whole number.
    #[schema(example = "0(\\d+)")]
    pub r#match: String,
    /// `$1` is the first group; at most 100 characters.
    #[schema(example = "+44$1")]
    pub replace: String,
}

/// Registration at the carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Register {
    /// The account: the user part of the address of record. Digest uses the trunk's `username`, or this where there is
    /// none, with the trunk's `password`.
    pub user: String,
    /// The registrar, a SIP URI without user; the first proxy where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar: Option<String>,
    /// The domain of the address of record; the registrar's host where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Seconds asked for, 60 to 86400; default 3600.
    #[serde(default = "an_hour")]
    pub expires: u32,
}

fn an_hour() -> u32 {
    3600
}

/// How often proxies are asked how they are, by OPTIONS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Seconds between two OPTIONS to one proxy, 1 to 3600; default 30. A fifth more or less is left to chance.
    pub options_interval_seconds: u32,
    /// Seconds until an OPTIONS counts as unanswered, 1 to 32; default 4.
    pub timeout_seconds: u32,
    /// Failures in a row after which a proxy is down, 1 to 100; default 3.
    pub failures: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck { options_interval_seconds: 30, timeout_seconds: 4, failures: 3 }
    }
}

/// Who the callee is told that calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Caller {
    /// The user part of From for all calls (carriers that want the account there); the caller's number where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_user: Option<String>,
    /// The host of From; the proxy's where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_domain: Option<String>,
    /// The number of calls that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Send P-Asserted-Identity (RFC 3325 §9.1).
    pub asserted_identity: bool,
    /// Send P-Preferred-Identity (RFC 3325 §9.2).
    pub preferred_identity: bool,
    /// Send Remote-Party-ID.
    pub remote_party_id: bool,
    /// How a caller who hides is hidden. Default `id`.
    pub privacy: Privacy,
}

/// How a caller who hides is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Privacy {
    /// From is `anonymous@anonymous.invalid`, `Privacy: id`, and the carrier is told the number in the identity headers
    /// that are sent (RFC 3325 §7).
    #[default]
    Id,
    /// From is `anonymous@anonymous.invalid`; the carrier is told nothing else.
    Anonymous,
    /// The number stays in From, with `Privacy: user;id`: for carriers that do the hiding (RFC 3323 §5).
    Header,
}

/// What is done when a proxy fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Failover {
    /// Statuses (400 to 599) after which the next proxy, and then the next trunk of a route, is tried; 408, silence and
    /// lost connections always are. Default 500, 502, 503, 504.
    pub statuses: Vec<u16>,
    /// Seconds without any response after which the next is tried, 1 to 32; default 5.
    pub silence_seconds: u32,
    /// Which redirections (3xx) are followed. Default `own`.
    pub redirects: Redirects,
}

impl Default for Failover {
    fn default() -> Self {
        Failover { statuses: vec![500, 502, 503, 504], silence_seconds: 5, redirects: Redirects::Own }
    }
}

/// Which redirections are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Redirects {
    /// None.
    None,
    /// To addresses of the trunk's own proxies and networks.
    #[default]
    Own,
    /// To any SIP address. Never to a number: that would be a call by another trunk.
    Anywhere,
}

/// Whether media is encrypted, as documents write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Srtp {
    /// Never.
    #[default]
    Off,
    /// Where the peer can.
    Offered,
    /// Or not at all.
    Required,
}

impl From<Srtp> for SrtpPolicy {
    fn from(srtp: Srtp) -> Self {
        match srtp {
            Srtp::Off => SrtpPolicy::Off,
            Srtp::Offered => SrtpPolicy::Offered,
            Srtp::Required => SrtpPolicy::Required,
        }
    }
}

/// Without secrets.
impl std::fmt::Debug for Trunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Without secrets.
impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Trunk {
    /// Without passwords and what is made of them.
    pub fn for_display(mut self) -> Self {
        self.password = None;
        if let Some(inbound) = &mut self.inbound {
            inbound.password = None;
            inbound.secret = None;
        }
        self
    }

    /// Where calls are sent; never empty in a document that has been checked.
    pub fn proxies(&self) -> Vec<Proxy> {
        let alone = self.uri.iter().map(|uri| Proxy { uri: uri.clone(), priority: 0, weight: 1 });
        alone.chain(self.proxies.iter().cloned()).collect()
    }

    /// May `number` (normal form, `+44…`) go through this trunk, where no route says?
    pub fn takes(&self, number: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| number.starts_with(prefix))
    }

    /// Makes the inbound password's HA1s and forgets the password. What `before` had stays where none is given.
    pub fn seal(&mut self, realm: &str, before: Option<&Trunk>) {
        if let Some(before) = before
            && self.password.is_none()
            && self.username == before.username
        {
            self.password.clone_from(&before.password);
        }
        let Some(inbound) = &mut self.inbound else { return };
        match inbound.password.take() {
            Some(password) => inbound.secret = Some(Secret::of_password(&inbound.username, realm, &password)),
            None => {
                let kept = before.and_then(|b| b.inbound.as_ref()).filter(|b| b.username == inbound.username);
                inbound.secret = kept.and_then(|b| b.secret.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_documents_are_read_and_written_as_they_were() {
        let old = r#"{"name":"a","uri":"sip:c.example","username":"u","password":"p","prefix":"+44","priority":7}"#;
        let trunk: Trunk = serde_json::from_str(old).unwrap();
        assert_eq!(
            (trunk.priority, trunk.proxies().len(), trunk.takes("+4420"), trunk.takes("+33")),
            (7, 1, true, false)
        );
        assert_eq!(serde_json::to_value(&trunk).unwrap(), serde_json::from_str::<serde_json::Value>(old).unwrap());
        let least: Trunk = serde_json::from_str(r#"{"name":"a","uri":"sip:c.example"}"#).unwrap();
        assert_eq!(least.priority, 100);
        assert!(serde_json::from_str::<Trunk>(r#"{"name":"a","proxy":"sip:c"}"#).is_err(), "a slip of the pen is told");
    }

    #[test]
    fn passwords_of_those_who_call_are_never_kept_and_none_is_shown() {
        let text = r#"{"name":"a","uri":"sip:c.example","username":"u","password":"hidden",
            "inbound":{"username":"in","password":"hidden"}}"#;
        let mut trunk: Trunk = serde_json::from_str(text).unwrap();
        trunk.seal("realm", None);
        assert_eq!(trunk.inbound.as_ref().unwrap().secret, Some(Secret::of_password("in", "realm", "hidden")));
        assert!(!serde_json::to_string(&trunk.inbound).unwrap().contains("hidden"));
        // Without a new one the old ones stay, as long as the user is the same.
        let mut again: Trunk =
            serde_json::from_str(r#"{"name":"a","username":"u","inbound":{"username":"in"}}"#).unwrap();
        again.seal("realm", Some(&trunk));
        assert_eq!(again.password.as_deref(), Some("hidden"));
        assert_eq!(again.inbound.as_ref().unwrap().secret, trunk.inbound.as_ref().unwrap().secret);
        let mut other: Trunk = serde_json::from_str(r#"{"name":"a","inbound":{"username":"new"}}"#).unwrap();
        other.seal("realm", Some(&trunk));
        assert_eq!((other.password.as_deref(), &other.inbound.as_ref().unwrap().secret), (None, &None));
        let shown = serde_json::to_string(&trunk.for_display()).unwrap();
        assert!(!shown.contains("hidden") && !shown.contains("secret") && !shown.contains("md5"), "{shown}");
    }
}
