//! The rule as an operator writes it: the JSON of `/v1/rules`, and its parsing with errors that name the field.
//! What a condition means is compiled by `compile`; which rule wins is `table`'s.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::{RuleError, RuleErrors};

/// One row of the rules table: when a call looks like this, do that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// 1–64 of `A–Z a–z 0–9 . _ -`; unique.
    #[schema(example = "night-emea")]
    pub name: String,
    /// Lower is looked at first; equal priorities are looked at in the order of their names.
    pub priority: i32,
    /// A disabled rule is kept and explained, but never wins. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// All conditions must hold; without any the rule takes every call.
    #[serde(rename = "match", default)]
    pub matching: Match,
    /// What is done with the call.
    pub action: Action,
    /// What is done when `action` cannot be (no such subscription, nobody answers the webhook in time…).
    /// Anything but a webhook. Without it the caller hears 480.
    #[serde(rename = "onFailure", default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Action>,
}

fn yes() -> bool {
    true
}

/// The conditions of a rule. Those left out hold for every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Who is called, in normal form: `+442079460000`, `sip:user@host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TextMatch>,
    /// Who calls, in normal form: `+442079460000`, `sip:user@host`, `anonymous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TextMatch>,
    /// Names of trunks, any of which the call came in by. At least one where given, at most 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Vec<String>>,
    /// Names of users of ours, any of whom calls and has proved it. At least one where given, at most 64; `*` is anyone
    /// of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Vec<String>>,
    /// Networks (`10.0.0.0/8`, `2001:db8::/32`) or addresses that the INVITE came from. At least one, at most 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Vec<String>>,
    /// SIP headers by name (any case): one of the headers of that name must match. At most 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<BTreeMap<String, TextMatch>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeWindow>,
    /// A part of the calls, chosen by a stable hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
}

/// A condition on a text. Addresses are compared in normal form, header values as sent (trimmed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextMatch {
    /// The whole text; `to` and `from` texts are brought to normal form first.
    Exact(String),
    /// How the text begins.
    Prefix(String),
    /// A regular expression (Rust `regex` syntax) found anywhere in the text: anchor it with `^` and `$`.
    /// At most 512 bytes, and bounded when compiled; it sees the first 4,096 bytes of the text.
    Regex(String),
    /// The opposite.
    #[schema(no_recursion)]
    Not(Box<TextMatch>),
}

/// A window of local time. Local wall-clock time counts: on a day of change the window is an hour longer or
/// shorter where the change falls into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWindow {
    /// IANA name of the time zone.
    #[schema(example = "Europe/London")]
    pub zone: String,
    /// Days (`mon`) and spans (`mon-fri`, `sat-mon`) on which the window begins; every day where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<String>>,
    /// `HH:MM`, the first minute inside. Given together with `to` or not at all (the whole day).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `HH:MM`, the first minute outside; `24:00` is the end of the day. Before `from`: on the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A stable part of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Percent {
    /// 0–100, to two places.
    #[serde(serialize_with = "plainly")]
    pub share: f64,
    /// What is hashed.
    #[serde(default)]
    pub by: PercentBy,
}

/// A whole number comes out as it went in: `10`, not `10.0`.
fn plainly<S: Serializer>(share: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if share.fract() == 0.0 && (0.0..=100.0).contains(share) {
        // Whole and small: exact.
        serializer.serialize_u8(*share as u8)
    } else {
        serializer.serialize_f64(*share)
    }
}

/// What the share is chosen by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PercentBy {
    /// The SIP Call-ID: each call anew.
    #[default]
    CallId,
    /// The caller in normal form: the same caller is always in or always out.
    From,
    /// The called address in normal form.
    To,
}

/// What is done with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// The application behind a subscription decides: it gets an IncomingCall event.
    Webhook {
        /// Name of the subscription.
        subscription: String,
    },
    /// Answer, play, optionally collect digits, hang up.
    Answer {
        /// Sources, in order: `prompt:name` or an `http(s)` URL. 1–16.
        play: Vec<String>,
        /// Digits to collect while and after it plays; they are put on the call's timeline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collect: Option<Collect>,
    },
    /// Send the caller elsewhere (302).
    Redirect {
        /// A SIP URI or a phone number with `+`.
        to: String,
    },
    /// Refuse the call.
    Reject {
        /// Why.
        reason: RejectReason,
    },
    /// Call somebody for the caller, on all of his devices where he is a user, and connect the two. `onFailure` says
    /// what is done when he does not answer; otherwise the caller is told why.
    Forward {
        /// A SIP URI, a user's address or number, or a phone number with `+`.
        to: String,
    },
}

impl Action {
    /// The name of the action in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Webhook { .. } => "webhook",
            Action::Answer { .. } => "answer",
            Action::Redirect { .. } => "redirect",
            Action::Reject { .. } => "reject",
            Action::Forward { .. } => "forward",
        }
    }
}

/// How digits are collected by `answer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Collect {
    /// 1–100 tones end it.
    pub max_tones: u8,
    /// Tones that end it and are not collected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_tones: Vec<StopTone>,
    /// Seconds without a further tone that end it, 1–60. Default 2.
    #[serde(default = "two_seconds")]
    pub inter_tone_timeout_in_seconds: u16,
    /// Seconds without a first tone, from the end of the prompt, that end it, 0–300. Default 5.
    #[serde(default = "five_seconds")]
    pub initial_silence_timeout_in_seconds: u16,
    /// Does a tone end the prompt? Default true.
    #[serde(default = "yes")]
    pub interrupt_prompt: bool,
}

fn two_seconds() -> u16 {
    2
}

fn five_seconds() -> u16 {
    5
}

/// A tone by its word on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StopTone {
    Zero,
    One,
    Two,
    Three,
    Four,
    Five,
    Six,
    Seven,
    Eight,
    Nine,
    A,
    B,
    C,
    D,
    Pound,
    Asterisk,
}

impl StopTone {
    /// The key of the keypad: `0–9 A–D # *`.
    pub fn key(self) -> char {
        match self {
            StopTone::Zero => '0',
            StopTone::One => '1',
            StopTone::Two => '2',
            StopTone::Three => '3',
            StopTone::Four => '4',
            StopTone::Five => '5',
            StopTone::Six => '6',
            StopTone::Seven => '7',
            StopTone::Eight => '8',
            StopTone::Nine => '9',
            StopTone::A => 'A',
            StopTone::B => 'B',
            StopTone::C => 'C',
            StopTone::D => 'D',
            StopTone::Pound => '#',
            StopTone::Asterisk => '*',
        }
    }
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RejectReason {
    /// No reason given: 603 Decline.
    None,
    /// 486 Busy Here.
    Busy,
    /// 403 Forbidden.
    Forbidden,
    /// 480 Temporarily Unavailable.
    Unavailable,
    /// 603 Decline.
    Declined,
}

impl RejectReason {
    /// The SIP status that the caller gets.
    pub fn sip_status(self) -> u16 {
        match self {
            RejectReason::None | RejectReason::Declined => 603,
            RejectReason::Busy => 486,
            RejectReason::Forbidden => 403,
            RejectReason::Unavailable => 480,
        }
    }
}

impl Rule {
    /// Reads a rule, with every error at its field's path (`match.to: unknown variant …`). Only the shape is
    /// checked here; [`super::CompiledRule::compile`] checks what the values mean.
    pub fn from_json(value: &Value) -> Result<Rule, RuleErrors> {
        let mut errors = Vec::new();
        let mut members =
            Members::open(value, "", &["name", "priority", "enabled", "match", "action", "onFailure"], &mut errors);
        let name = members.required::<String>("name", &mut errors);
        let priority = members.required::<i32>("priority", &mut errors);
        let enabled = members.optional::<bool>("enabled", &mut errors);
        let matching = match members.value("match") {
            Some(value) => Match::from_json(value, &mut errors),
            None => Some(Match::default()),
        };
        let action = members.required::<Action>("action", &mut errors);
        let on_failure = members.optional::<Action>("onFailure", &mut errors);
        match (name, priority, matching, action) {
            (Some(name), Some(priority), Some(matching), Some(action)) if errors.is_empty() => {
                Ok(Rule { name, priority, enabled: enabled.unwrap_or(true), matching, action, on_failure })
            }
            _ => Err(RuleErrors(errors)),
        }
    }
}

impl Match {
    fn from_json(value: &Value, errors: &mut Vec<RuleError>) -> Option<Match> {
        let before = errors.len();
        let known = ["to", "from", "trunk", "user", "source", "header", "time", "percent"];
        let mut members = Members::open(value, "match", &known, errors);
        let mut header = None;
        if let Some(value) = members.value("header") {
            match value.as_object() {
                Some(map) => {
                    let texts = map.iter().map(|(name, value)| {
                        (name.clone(), parse::<TextMatch>(value, &format!("match.header.{name}"), errors))
                    });
                    header = Some(texts.filter_map(|(name, text)| text.map(|text| (name, text))).collect());
                }
                None => errors.push(RuleError::new("match.header", "must be an object of header names")),
            }
        }
        let matching = Match {
            to: members.optional("to", errors),
            from: members.optional("from", errors),
            trunk: members.optional("trunk", errors),
            user: members.optional("user", errors),
            source: members.optional("source", errors),
            header,
            time: members.optional("time", errors),
            percent: members.optional("percent", errors),
        };
        (errors.len() == before).then_some(matching)
    }
}

/// The members of one JSON object, taken by name.
struct Members<'a> {
    path: &'static str,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Members<'a> {
    fn open(value: &'a Value, path: &'static str, allowed: &[&str], errors: &mut Vec<RuleError>) -> Self {
        let map = value.as_object();
        match map {
            None => errors.push(RuleError::new(path, "must be an object")),
            Some(map) => errors.extend(map.keys().filter(|key| !allowed.contains(&key.as_str())).map(|key| {
                RuleError::new(join(path, key), format!("unknown field; allowed are {}", allowed.join(", ")))
            })),
        }
        Members { path, map }
    }

    /// The member; JSON null counts as left out.
    fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.map?.get(key).filter(|value| !value.is_null())
    }

    fn optional<T: DeserializeOwned>(&mut self, key: &str, errors: &mut Vec<RuleError>) -> Option<T> {
        self.value(key).and_then(|value| parse(value, &join(self.path, key), errors))
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str, errors: &mut Vec<RuleError>) -> Option<T> {
        if self.map.is_some() && self.value(key).is_none() {
            errors.push(RuleError::new(join(self.path, key), "is required"));
        }
        self.optional(key, errors)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn parse<T: DeserializeOwned>(value: &Value, path: &str, errors: &mut Vec<RuleError>) -> Option<T> {
    let wrong = |error: serde_path_to_error::Error<serde_json::Error>| {
        // How far into the value it went: `reject.reason`, `[2]`; what has no name of its own is `?` or `.`.
        let inside = error.path().to_string();
        let field = match inside.trim_end_matches(['?', '.']) {
            "" => path.to_owned(),
            index if index.starts_with('[') => format!("{path}{index}"),
            member => format!("{path}.{member}"),
        };
        errors.push(RuleError::new(field, error.into_inner().to_string()));
    };
    serde_path_to_error::deserialize(value).map_err(wrong).ok()
}
