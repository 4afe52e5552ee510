//! What a call's timeline is made of: each decision, with its time and its reason. Calls write entries as notes; the
//! engine adds those of SIP messages, rules and deliveries, and the store keeps them.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::session::LegId;
use crate::sip::peer::Transport;
use crate::time::Time;

/// The longest `text` in bytes; what is longer is cut, with `…` at its end.
pub const MAX_TEXT: usize = 500;

/// The longest `detail` in bytes; what is longer is cut, with `…` at its end.
pub const MAX_DETAIL: usize = 16 * 1024;

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Time,
    /// What kind of thing.
    pub topic: Topic,
    /// Which leg, where it is about one.
    pub leg: Option<LegId>,
    /// One line for a person.
    pub text: String,
    /// More of it, such as a whole SIP message.
    pub detail: Option<String>,
    /// A SIP message as it crossed the wire.
    pub wire: Option<Box<Wire>>,
}

/// How a SIP message crossed the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// On what.
    pub transport: Transport,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// The message, where the entry's detail is not the whole of it or not its bytes: it is no UTF-8, or too long.
    pub bytes: Option<Vec<u8>>,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A rule's verdict.
    Rule,
    /// A SIP message, or what a leg reported.
    Signalling,
    /// The audio stream.
    Media,
    /// A digit: taken, or dropped and why.
    Dtmf,
    /// What an application asked for.
    Command,
    /// What became of an operation.
    Operation,
    /// Where the call stands.
    State,
    /// What the application is told.
    Event,
    /// How the telling went.
    Delivery,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Topic::Rule => "rule",
            Topic::Signalling => "signalling",
            Topic::Media => "media",
            Topic::Dtmf => "dtmf",
            Topic::Command => "command",
            Topic::Operation => "operation",
            Topic::State => "state",
            Topic::Event => "event",
            Topic::Delivery => "delivery",
        })
    }
}

impl TimelineEntry {
    /// A line without leg and detail. Text beyond [`MAX_TEXT`] is cut.
    pub fn new(at: Time, topic: Topic, text: impl Into<String>) -> Self {
        TimelineEntry { at, topic, leg: None, text: cut(text.into(), MAX_TEXT), detail: None, wire: None }
    }

    /// The same, about that leg.
    #[must_use]
    pub fn on(mut self, leg: LegId) -> Self {
        self.leg = Some(leg);
        self
    }

    /// The same, with a document that is kept whole, since half of it would not be one. The writer bounds it.
    #[must_use]
    pub fn with_document(mut self, document: impl Into<String>) -> Self {
        self.detail = Some(document.into());
        self
    }

    /// The same, with a SIP message and its way. Text beyond [`MAX_DETAIL`] is cut; its bytes are kept beside it.
    #[must_use]
    pub fn with_message(
        self,
        message: &[u8],
        transport: Transport,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        let text = String::from_utf8_lossy(message);
        let whole = matches!(text, std::borrow::Cow::Borrowed(text) if text.len() <= MAX_DETAIL);
        let bytes = (!whole).then(|| message.to_vec());
        let wire = Some(Box::new(Wire { transport, source, destination, bytes }));
        TimelineEntry { wire, ..self.with_detail(text) }
    }

    /// The same, with more of it. Detail beyond [`MAX_DETAIL`] is cut.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(cut(detail.into(), MAX_DETAIL));
        self
    }
}

impl fmt::Display for TimelineEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<10} ", self.at, self.topic.to_string())?;
        if let Some(leg) = self.leg {
            write!(f, "{leg}: ")?;
        }
        f.write_str(&self.text)
    }
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let entry = TimelineEntry::new(Time::EPOCH, Topic::Rule, "ü".repeat(MAX_TEXT)).with_detail("x");
        assert!(entry.text.len() <= MAX_TEXT && entry.text.ends_with('…'));
        assert_eq!(entry.detail.as_deref(), Some("x"));
        assert_eq!(
            TimelineEntry::new(Time::EPOCH, Topic::Dtmf, "5 pressed").on(LegId(3)).to_string(),
            "1970-01-01T00:00:00.000000Z dtmf       leg-3: 5 pressed"
        );
    }
}
