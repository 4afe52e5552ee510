//! Where a 3xx points (RFC 3261 §8.1.3.4, §20.10 `q`): its Contacts as data, most wanted first, and the trail by which
//! one who follows them finds out that he goes in circles or too far. Who follows, and where the way leads, is
//! `hunt`'s.

use crate::sip::leg::{MAX_REDIRECTIONS, Redirection};
use crate::sip::message::{Contacts, Response, Uri};

/// How many redirections in a row are followed unless told otherwise.
pub const DEFAULT_HOPS: usize = 5;

/// The most places that a trail remembers; a longer one has ended.
const MAX_VISITED: usize = 50;

/// What the Contacts of a 3xx name, by `q` and then in their order: none twice, none that is `went_to`, no `*`, and
/// nothing that cannot be called. Contacts that cannot be read name nothing.
pub fn targets(response: &Response, went_to: &Uri) -> Vec<Redirection> {
    let Ok(Contacts::List(contacts)) = response.headers.contacts() else { return Vec::new() };
    let mut seen = vec![went_to.clone().for_request_line()];
    let mut targets = Vec::new();
    for contact in contacts {
        let target = contact.uri.clone().for_request_line();
        if matches!(target, Uri::Other(_)) || seen.contains(&target) || targets.len() >= MAX_REDIRECTIONS {
            continue;
        }
        seen.push(target);
        targets.push(Redirection { uri: contact.uri.to_string(), q: quality(contact.params.get("q")) });
    }
    targets.sort_by_key(|target| std::cmp::Reverse(target.q));
    targets
}

/// A `q` in thousandths; one that is not there, or is no number of 0–1, counts as 1.
fn quality(q: Option<&str>) -> u16 {
    let Some(q) = q else { return 1000 };
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return 1000;
    }
    match whole {
        "0" | "" => format!("{part:0<3}").parse().unwrap_or(1000),
        _ => 1000,
    }
}

/// Why a redirection is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrailEnd {
    /// It names only places that have been tried.
    #[error("the redirections go in circles")]
    Loop,
    /// Too many in a row.
    #[error("too many redirections in a row")]
    TooLong,
    /// It names nothing that can be called.
    #[error("the redirection names no place to call")]
    Nowhere,
}

/// Where a call has been sent so far.
#[derive(Clone, Debug)]
pub struct Trail {
    visited: Vec<Uri>,
    hops_left: usize,
}

impl Trail {
    /// Begins at the call's first target; at most `hops` redirections are followed.
    pub fn new(target: &Uri, hops: usize) -> Self {
        Trail { visited: vec![target.clone().for_request_line()], hops_left: hops }
    }

    /// Takes a redirection: the places that are worth a try, and have not been tried.
    pub fn follow(&mut self, to: &[Redirection]) -> Result<Vec<Redirection>, TrailEnd> {
        let readable: Vec<(Uri, &Redirection)> =
            to.iter().filter_map(|one| Some((Uri::parse(one.uri.as_bytes()).ok()?.for_request_line(), one))).collect();
        if readable.is_empty() {
            return Err(TrailEnd::Nowhere);
        }
        if self.hops_left == 0 || self.visited.len() >= MAX_VISITED {
            return Err(TrailEnd::TooLong);
        }
        let mut fresh = Vec::new();
        for (uri, one) in readable {
            if !self.visited.contains(&uri) {
                self.visited.push(uri);
                fresh.push(one.clone());
            }
        }
        if fresh.is_empty() {
            return Err(TrailEnd::Loop);
        }
        self.hops_left -= 1;
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn moved(contacts: &str) -> Vec<Redirection> {
        let text = format!(
            "SIP/2.0 302 Moved\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a.example>;tag=1\r\n\
             To: <sip:b@b.example>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{contacts}Content-Length: 0\r\n\r\n"
        );
        let Ok(Message::Response(response)) = Message::parse(text.as_bytes()) else { panic!("{text}") };
        targets(&response, &"sip:b@b.example".parse().unwrap())
    }

    fn uris(targets: &[Redirection]) -> Vec<(&str, u16)> {
        targets.iter().map(|t| (t.uri.as_str(), t.q)).collect()
    }

    #[test]
    fn the_most_wanted_comes_first_and_nothing_twice() {
        let found = moved(
            "Contact: <sip:low@c.example>;q=0.2, <sip:x@c.example>;q=0.75\r\nContact: sip:high@c.example\r\n\
             Contact: <sip:B@b.example>;q=0.1, <sip:b@B.example>, <mailto:b@b.example>, <sip:high@C.EXAMPLE>;q=0.1, <tel:+4412>;q=0\r\n",
        );
        assert_eq!(
            uris(&found),
            [
                ("sip:high@c.example", 1000),
                ("sip:x@c.example", 750),
                ("sip:low@c.example", 200),
                ("sip:B@b.example", 100),
                ("tel:+4412", 0)
            ]
        );
        assert_eq!(moved("Contact: *\r\n"), []);
        assert_eq!(moved(""), []);
        assert_eq!(moved("Contact: <sip:a b>\r\n"), []);
        let many: String = (0..40).map(|n| format!("Contact: <sip:u{n}@c.example>;q=1.000\r\n")).collect();
        assert_eq!(moved(&many).len(), MAX_REDIRECTIONS);
        for (q, value) in [("1", 1000), ("0", 0), ("0.", 0), ("0.5", 500), (".5", 500), ("0.1234", 1000), ("x", 1000)] {
            assert_eq!(quality(Some(q)), value, "{q}");
        }
    }

    #[test]
    fn circles_and_endless_ways_end() {
        let to = |uri: &str| vec![Redirection { uri: uri.into(), q: 1000 }];
        let mut trail = Trail::new(&"sip:a@x.example".parse().unwrap(), 3);
        assert_eq!(trail.follow(&to("sip:b@x.example")).unwrap().len(), 1);
        assert_eq!(trail.follow(&to("sip:a@X.example")), Err(TrailEnd::Loop));
        assert_eq!(trail.follow(&to("sip:b@x.example")), Err(TrailEnd::Loop));
        assert_eq!(trail.follow(&[]), Err(TrailEnd::Nowhere));
        let both = [to("sip:b@x.example"), to("sip:c@x.example")].concat();
        assert_eq!(uris(&trail.follow(&both).unwrap()), [("sip:c@x.example", 1000)], "what is new of it");
        assert!(trail.follow(&to("sip:d@x.example")).is_ok());
        assert_eq!(trail.follow(&to("sip:e@x.example")), Err(TrailEnd::TooLong));
    }
}
