//! What REFER and its NOTIFYs carry: Refer-To and Referred-By (RFC 3515 §2.1, RFC 3892), Refer-Sub (RFC 4488), Event and
//! Subscription-State (RFC 6665 §8.2), and the status line in a message/sipfrag body (RFC 3420).

use super::error::HeaderError;
use super::headers::{Headers, Name};
use super::lex;
use super::name_addr::NameAddr;
use super::params::Params;
use super::reason_phrase;

/// The media type of a NOTIFY's body.
pub const SIPFRAG: &str = "message/sipfrag";

/// The longest sipfrag that is read, in bytes: only its first line counts.
const MAX_SIPFRAG: usize = 8192;

/// Event: a package, and which of several subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// In lower case.
    pub package: String,
    pub id: Option<String>,
}

/// Where a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Not `terminated`.
    pub alive: bool,
    /// Seconds until it expires, where it says.
    pub expires: Option<u32>,
    /// Why it ended, in lower case.
    pub reason: Option<String>,
}

impl Event {
    fn parse(bytes: &[u8]) -> Result<Event, &'static str> {
        let (package, params) = lex::split_once(bytes, b';')?;
        let package = lex::trim(package);
        if !lex::is_token(package) {
            return Err("not a package");
        }
        let params = params.map(Params::parse).transpose()?.unwrap_or_default();
        let id = params.get("id").filter(|id| !id.is_empty()).map(str::to_owned);
        Ok(Event { package: lex::text(package).to_ascii_lowercase(), id })
    }
}

impl SubscriptionState {
    fn parse(bytes: &[u8]) -> Result<SubscriptionState, &'static str> {
        let (state, params) = lex::split_once(bytes, b';')?;
        let state = lex::trim(state);
        if !lex::is_token(state) {
            return Err("not a state");
        }
        let params = params.map(Params::parse).transpose()?.unwrap_or_default();
        Ok(SubscriptionState {
            alive: !state.eq_ignore_ascii_case(b"terminated"),
            expires: params.get("expires").and_then(|seconds| lex::number(seconds.as_bytes())),
            reason: params.get("reason").map(str::to_ascii_lowercase),
        })
    }
}

impl Headers {
    /// Refer-To: there must be one, and one only (RFC 3515 §2.4.2).
    pub fn refer_to(&self) -> Result<NameAddr, HeaderError> {
        let bad = |what| HeaderError::new(Name::ReferTo, what);
        NameAddr::parse(self.single(Name::ReferTo)?.ok_or_else(|| bad("missing"))?).map_err(bad)
    }

    /// Referred-By; `None` where it is missing.
    pub fn referred_by(&self) -> Result<Option<NameAddr>, HeaderError> {
        let value = self.single(Name::ReferredBy)?;
        value.map(NameAddr::parse).transpose().map_err(|what| HeaderError::new(Name::ReferredBy, what))
    }

    /// Refer-Sub says `false`: no NOTIFY is wanted, or none will come.
    pub fn without_subscription(&self) -> bool {
        let is_false = |line: &[u8]| {
            let value = line.split(|&b| b == b';').next().unwrap_or_default();
            lex::trim(value).eq_ignore_ascii_case(b"false")
        };
        self.get(&Name::ReferSub).is_some_and(is_false)
    }

    /// Event; `None` where it is missing.
    pub fn event(&self) -> Result<Option<Event>, HeaderError> {
        let value = self.single(Name::Event)?;
        value.map(Event::parse).transpose().map_err(|what| HeaderError::new(Name::Event, what))
    }

    /// Subscription-State; `None` where it is missing.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        let value = self.single(Name::SubscriptionState)?;
        value.map(SubscriptionState::parse).transpose().map_err(|what| HeaderError::new(Name::SubscriptionState, what))
    }
}

/// The status and phrase that a message/sipfrag begins with; none: it begins with no status line.
pub fn read_sipfrag(body: &[u8]) -> Option<(u16, String)> {
    let body = body.get(..MAX_SIPFRAG.min(body.len()))?;
    let line = body.split(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty())?;
    let (version, rest) = line.split_at_checked(7)?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0") || !rest.first().is_some_and(|&b| lex::is_space(b)) {
        return None;
    }
    let rest = lex::trim(rest);
    let (digits, phrase) = rest.split_at_checked(3)?;
    let status: u16 = lex::number(digits).filter(|status| (100..700).contains(status))?;
    if phrase.first().is_some_and(|&b| !lex::is_space(b)) {
        return None;
    }
    let phrase = lex::text(lex::trim(phrase)).chars().filter(|c| !c.is_control()).take(200).collect();
    Some((status, phrase))
}

/// A message/sipfrag with that status line only. Control characters in `phrase` are left out.
pub fn write_sipfrag(status: u16, phrase: &str) -> String {
    let phrase: String = phrase.chars().filter(|c| !c.is_control()).collect();
    let phrase = if phrase.is_empty() { reason_phrase(status) } else { &phrase };
    format!("SIP/2.0 {status} {phrase}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_its_status_line() {
        for (body, read) in [
            ("SIP/2.0 100 Trying", Some((100, "Trying"))),
            ("SIP/2.0 200 OK\r\nContact: <sip:a@b>\r\n", Some((200, "OK"))),
            ("\r\nsip/2.0  603   Not today \r\n", Some((603, "Not today"))),
            ("SIP/2.0 200", Some((200, ""))),
            ("SIP/2.0 2000 x", None),
            ("SIP/2.0 099 x", None),
            ("SIP/2.0 700 x", None),
            ("SIP/2.0200 OK", None),
            ("INVITE sip:a SIP/2.0", None),
            ("", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(read_sipfrag(body.as_bytes()), read.map(|(s, p)| (s, p.to_owned())), "{body:?}");
        }
        assert_eq!(write_sipfrag(486, ""), "SIP/2.0 486 Busy Here\r\n");
        assert_eq!(write_sipfrag(500, "a\r\nVia: x"), "SIP/2.0 500 aVia: x\r\n");
    }

    #[test]
    fn headers_of_a_subscription() {
        let mut headers = Headers::new();
        assert!(headers.refer_to().is_err() && headers.event().unwrap().is_none() && !headers.without_subscription());
        headers.push(Name::ReferTo, "<sip:c@c.example?Replaces=1%3Bto-tag%3Da%3Bfrom-tag%3Db>").unwrap();
        headers.push(Name::Event, "Refer; id=93809823").unwrap();
        headers.push(Name::SubscriptionState, "terminated ;reason=NoResource;retry-after=1").unwrap();
        headers.push(Name::ReferSub, "False;x").unwrap();
        assert_eq!(headers.event().unwrap().unwrap(), Event { package: "refer".into(), id: Some("93809823".into()) });
        let state = headers.subscription_state().unwrap().unwrap();
        assert_eq!((state.alive, state.reason.as_deref(), state.expires), (false, Some("noresource"), None));
        assert!(headers.without_subscription());
        let target = headers.refer_to().unwrap().uri;
        assert_eq!(target.as_sip().unwrap().header_list(), [("Replaces".into(), "1;to-tag=a;from-tag=b".into())]);
        headers.push(Name::ReferTo, "<sip:d@c.example>").unwrap();
        assert!(headers.refer_to().is_err(), "two targets are none");
        let active = SubscriptionState::parse(b"Active;expires=60").unwrap();
        assert_eq!((active.alive, active.expires), (true, Some(60)));
    }
}
