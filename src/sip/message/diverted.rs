//! By whose phone a call came: Diversion (RFC 5806) and History-Info (RFC 7044), read leniently from header lines: what
//! cannot be read is left out, for a call is not refused over its history. Whether it is believed is the reader's.

use super::Uri;
use super::lex;
use super::name_addr::NameAddr;

/// The most entries of each kind that are read.
pub const MAX_DIVERSIONS: usize = 20;

/// One party that sent a call on, the latest first (RFC 5806 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    pub by: NameAddr,
    /// `user-busy`, `no-answer`, `unconditional`, … in lower case.
    pub reason: Option<String>,
    /// How many diversions it stands for.
    pub counter: Option<u32>,
    /// The party wants to be kept from view (`privacy` other than `off`).
    pub private: bool,
}

/// One place that a call was sent to, the oldest first (RFC 7044 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub target: NameAddr,
    /// `1.2.1`: where it stands in the tree.
    pub index: String,
    /// The status or cause for which the call went on from there: the `cause` of its `Reason` header, or of the URI
    /// (RFC 4458).
    pub cause: Option<u16>,
    /// `rc`, `mp` or `np`: the index of the entry that led here (RFC 7044 §5.1).
    pub from: Option<String>,
}

/// The Diversion values of these header lines.
pub fn diversions<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Diversion> {
    values(headers, "Diversion")
        .filter_map(|value| {
            let by = NameAddr::parse(value).ok()?;
            Some(Diversion {
                reason: by.params.get("reason").map(str::to_ascii_lowercase),
                counter: by.params.get("counter").and_then(|count| lex::number(count.as_bytes())),
                private: by.params.get("privacy").is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off")),
                by,
            })
        })
        .take(MAX_DIVERSIONS)
        .collect()
}

/// The History-Info values of these header lines.
pub fn history<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<History> {
    values(headers, "History-Info")
        .filter_map(|value| {
            let target = NameAddr::parse(value).ok()?;
            let index = target.params.get("index").unwrap_or_default().to_owned();
            let from = ["rc", "mp", "np"].into_iter().find_map(|name| target.params.get(name)).map(str::to_owned);
            Some(History { index, cause: cause(&target.uri), from, target })
        })
        .take(MAX_DIVERSIONS)
        .collect()
}

fn values<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
        .flat_map(|(_, line)| lex::split_all(line.as_bytes(), b',').unwrap_or_default())
}

fn cause(uri: &Uri) -> Option<u16> {
    let sip = uri.as_sip()?;
    let of_reason = sip.header_list().into_iter().find(|(name, _)| name.eq_ignore_ascii_case("reason"));
    let of_reason = of_reason.and_then(|(_, value)| super::reason::read(&value).first().map(|reason| reason.cause));
    of_reason.or_else(|| sip.params().get("cause").and_then(|cause| lex::number(cause.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_a_call_on_is_read_from_both_headers() {
        let lines = [
            (
                "Diversion",
                "\"Bob, B.\" <sip:bob@b.example>;reason=user-busy;counter=2;privacy=off, <tel:+4412>;reason=No-Answer",
            ),
            ("diversion", "<sip:carol@c.example>;privacy=full, nonsense"),
            (
                "History-Info",
                "<sip:bob@b.example?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@c.example;cause=486>;index=1.1;mp=1",
            ),
            ("X-Other", "<sip:x@x>"),
        ];
        let found = diversions(lines.into_iter());
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].by.display_name.as_deref(), found[0].counter), (Some("Bob, B."), Some(2)));
        assert_eq!((found[0].reason.as_deref(), found[0].private), (Some("user-busy"), false));
        assert_eq!(
            (found[1].by.uri.to_string().as_str(), found[1].reason.as_deref()),
            ("tel:+4412", Some("no-answer"))
        );
        assert!(found[2].private);
        let found = history(lines.into_iter());
        let told: Vec<_> = found.iter().map(|h| (h.index.as_str(), h.cause, h.from.as_deref())).collect();
        assert_eq!(told, [("1", Some(302), None), ("1.1", Some(486), Some("1"))]);
        assert!(diversions([("Diversion", "<sip:a@b"), ("Diversion", "\"")].into_iter()).is_empty());
        let many = vec![("Diversion", "<sip:a@b>"); 200];
        assert_eq!(diversions(many.into_iter()).len(), MAX_DIVERSIONS);
    }
}
