//! Who the callee is told that calls: From (RFC 3261 §20.20), P-Asserted-Identity and P-Preferred-Identity (RFC 3325),
//! Remote-Party-ID (draft-ietf-sip-privacy-04, which carriers still ask for) and Privacy (RFC 3323), as a trunk wants.

use super::document::{Caller, Privacy};
use crate::sip::leg::Party;
use crate::sip::message::{Host, NameAddr, Uri};

/// Who calls, as the application says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calling {
    /// Number or name, as the trunk writes it; none: the application named nobody.
    pub user: Option<String>,
    /// The name shown; empty: none.
    pub display: String,
    /// The callee is not to learn who it is.
    pub hidden: bool,
}

/// What goes into the INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// From.
    pub from: Party,
    /// The other headers.
    pub headers: Vec<(String, String)>,
}

/// From and the identity headers of a call by a trunk whose proxy is at `host`.
pub fn told(settings: &Caller, calling: &Calling, host: &Host) -> Told {
    let domain =
        settings.from_domain.as_deref().and_then(|d| Host::parse(d.as_bytes())).unwrap_or_else(|| host.clone());
    let number = calling.user.clone().or_else(|| settings.number.clone());
    let named = number.is_some() || settings.from_user.is_some();
    // Nobody to name is hidden by itself, only that there is nothing to assert either.
    let hidden = calling.hidden || !named;
    let uri = |user: &str| Uri::sip(Some(user), domain.clone(), None).to_string();
    let display = Some(calling.display.clone()).filter(|d| !d.is_empty());
    let identity = number.as_deref().map(uri);
    let mut headers = Vec::new();
    let from = if !hidden || (calling.hidden && settings.privacy == Privacy::Header && named) {
        let user = settings.from_user.as_deref().or(number.as_deref()).unwrap_or("anonymous");
        Party { display: if hidden { None } else { display.clone() }, uri: uri(user) }
    } else if calling.hidden {
        Party { display: Some("Anonymous".to_owned()), uri: "sip:anonymous@anonymous.invalid".to_owned() }
    } else {
        Party { display, uri: uri("anonymous") }
    };
    let tells = !calling.hidden || settings.privacy != Privacy::Anonymous;
    if let Some(identity) = identity.filter(|_| tells) {
        let display = Some(calling.display.clone()).filter(|d| !d.is_empty());
        let written = written(&identity, display.as_deref());
        if settings.asserted_identity {
            headers.push(("P-Asserted-Identity".to_owned(), written.clone()));
        }
        if settings.preferred_identity {
            headers.push(("P-Preferred-Identity".to_owned(), written.clone()));
        }
        if settings.remote_party_id {
            let privacy = if calling.hidden { "full" } else { "off" };
            headers
                .push(("Remote-Party-ID".to_owned(), format!("{written};party=calling;screen=yes;privacy={privacy}")));
        }
    }
    if calling.hidden {
        match settings.privacy {
            Privacy::Id => headers.push(("Privacy".to_owned(), "id".to_owned())),
            Privacy::Header => headers.push(("Privacy".to_owned(), "user;id".to_owned())),
            Privacy::Anonymous => {}
        }
    }
    Told { from, headers }
}

/// `"Name" <sip:…>`, quoted as the wire layer quotes.
fn written(uri: &str, display: Option<&str>) -> String {
    match (uri.parse::<Uri>(), display) {
        (Ok(uri), Some(name)) => NameAddr::new(uri).with_display_name(name).to_string(),
        _ => format!("<{uri}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calling(user: Option<&str>, hidden: bool) -> Calling {
        Calling { user: user.map(Into::into), display: "A \"B\"".into(), hidden }
    }

    fn all() -> Caller {
        Caller { asserted_identity: true, preferred_identity: true, remote_party_id: true, ..Caller::default() }
    }

    fn lines(told: &Told) -> Vec<String> {
        let from = format!("From: {} {}", told.from.display.as_deref().unwrap_or("-"), told.from.uri);
        std::iter::once(from).chain(told.headers.iter().map(|(n, v)| format!("{n}: {v}"))).collect()
    }

    #[test]
    fn who_calls_is_told_as_the_trunk_is_set() {
        let host: Host = "c.example".parse().unwrap();
        let plain = told(&Caller::default(), &calling(Some("+4420"), false), &host);
        assert_eq!(lines(&plain), ["From: A \"B\" sip:+4420@c.example"]);
        let set = Caller { from_user: Some("acct".into()), from_domain: Some("me.example".into()), ..all() };
        assert_eq!(
            lines(&told(&set, &calling(Some("+4420"), false), &host)),
            [
                "From: A \"B\" sip:acct@me.example",
                r#"P-Asserted-Identity: "A \"B\"" <sip:+4420@me.example>"#,
                r#"P-Preferred-Identity: "A \"B\"" <sip:+4420@me.example>"#,
                r#"Remote-Party-ID: "A \"B\"" <sip:+4420@me.example>;party=calling;screen=yes;privacy=off"#,
            ]
        );
    }

    #[test]
    fn who_hides_is_hidden_from_the_callee_and_told_to_the_carrier() {
        let host: Host = "c.example".parse().unwrap();
        let hidden = calling(Some("+4420"), true);
        let id = lines(&told(&all(), &hidden, &host));
        assert_eq!(id[0], "From: Anonymous sip:anonymous@anonymous.invalid");
        assert!(id.contains(&"Privacy: id".to_owned()) && id.iter().any(|l| l.contains("+4420")), "{id:?}");
        assert!(id.iter().any(|l| l.ends_with("privacy=full")));
        let nothing = told(&Caller { privacy: Privacy::Anonymous, ..all() }, &hidden, &host);
        assert_eq!(lines(&nothing), ["From: Anonymous sip:anonymous@anonymous.invalid"]);
        let header = lines(&told(&Caller { privacy: Privacy::Header, ..all() }, &hidden, &host));
        assert_eq!(header[0], "From: - sip:+4420@c.example");
        assert!(header.contains(&"Privacy: user;id".to_owned()));
    }

    #[test]
    fn nobody_named_is_the_trunks_number_or_nobody() {
        let host: Host = "c.example".parse().unwrap();
        let none = told(&all(), &Calling::default(), &host);
        assert_eq!(lines(&none), ["From: - sip:anonymous@c.example"]);
        let number = Caller { number: Some("+4499".into()), asserted_identity: true, ..Caller::default() };
        assert_eq!(
            lines(&told(&number, &Calling::default(), &host)),
            ["From: - sip:+4499@c.example", "P-Asserted-Identity: <sip:+4499@c.example>"]
        );
    }
}
