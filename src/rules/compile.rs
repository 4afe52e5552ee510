//! A rule that cannot be wrong: conditions compiled, limits checked, and the normal form by which two are compared.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::address::{normalise, normalise_prefix};
use super::document::{Action, Collect, Percent, PercentBy, Rule, TextMatch};
use super::error::{RuleError, RuleErrors};
use super::share::bucket;
use super::table::{Candidate, FailedCondition};
use super::window::{Window, WindowForm};
use crate::time::Time;

const MAX_NAME: usize = 64;
/// Any other text in a rule, in bytes.
const MAX_TEXT: usize = 512;
/// A compiled regular expression, and the cache of its running, in bytes each.
const MAX_REGEX: usize = 256 << 10;
/// How much of a text a regular expression is run on, in bytes: a call must not cost a second of searching.
const MAX_SEARCHED: usize = 4_096;
/// `not` in `not`.
const MAX_NOT: usize = 4;
const MAX_TRUNKS: usize = 64;
const MAX_NETWORKS: usize = 256;
const MAX_HEADERS: usize = 32;
/// As many as a call plays in one operation.
const MAX_PLAY: usize = 10;
/// What an explanation shows of a text, in characters.
const MAX_SHOWN: usize = 200;

/// A checked rule, ready to be matched.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    rule: Rule,
    to: Option<Text>,
    from: Option<Text>,
    trunk: Option<Vec<String>>,
    user: Option<Vec<String>>,
    source: Option<Vec<IpNet>>,
    /// Name as written, condition.
    header: Vec<(String, Text)>,
    time: Option<Window>,
    /// Buckets taken, and by what.
    percent: Option<(u64, PercentBy)>,
}

#[derive(Clone, Debug)]
struct Text {
    form: TextForm,
    regex: Option<Regex>,
    /// A bare user such as `100`: the user of a SIP address is compared as well.
    bare: bool,
}

/// A condition on a text, `not` counted out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TextForm {
    not: bool,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Prefix,
    Regex,
}

/// What two rules are compared by: equal means that they match the same calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NormalForm {
    to: Option<TextForm>,
    from: Option<TextForm>,
    trunk: Option<Vec<String>>,
    user: Option<Vec<String>>,
    source: Option<Vec<IpNet>>,
    header: Vec<(String, TextForm)>,
    time: Option<WindowForm>,
    percent: Option<(u64, PercentBy)>,
}

/// How the texts of a condition are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Address,
    Plain,
}

impl CompiledRule {
    /// Checks everything about one rule; all that is wrong is told at once.
    pub fn compile(rule: Rule) -> Result<CompiledRule, RuleErrors> {
        let mut errors = Vec::new();
        check_name(&rule.name, "name", &mut errors);
        let matching = &rule.matching;
        let text = |condition: &Option<TextMatch>, field: &str, errors: &mut Vec<RuleError>| {
            condition.as_ref().and_then(|condition| Text::compile(condition, field, Reading::Address, errors))
        };
        let to = text(&matching.to, "match.to", &mut errors);
        let from = text(&matching.from, "match.from", &mut errors);
        let trunk = matching.trunk.as_ref().map(|names| known_names(names, "trunk", &mut errors));
        let user = matching.user.as_ref().map(|names| known_names(names, "user", &mut errors));
        let source = matching.source.as_ref().map(|texts| networks(texts, &mut errors));
        let mut header = Vec::new();
        if let Some(headers) = &matching.header {
            check_length(headers.len(), "match.header", "header", MAX_HEADERS, &mut errors);
            for (name, condition) in headers {
                let field = format!("match.header.{name}");
                // token, RFC 3261 §25.1
                let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
                if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(token) {
                    errors.push(RuleError::new(&field, "is not the name of a SIP header"));
                }
                if headers.keys().any(|other| other < name && other.eq_ignore_ascii_case(name)) {
                    errors.push(RuleError::new(&field, "is given twice (names are compared without case)"));
                }
                if let Some(text) = Text::compile(condition, &field, Reading::Plain, &mut errors) {
                    header.push((name.clone(), text));
                }
            }
        }
        let time = matching.time.as_ref().and_then(|window| Window::compile(window, &mut errors));
        let percent = matching.percent.as_ref().and_then(|percent| buckets(percent, &mut errors));
        check_action(&rule.action, "action", &mut errors);
        if let Some(action) = &rule.on_failure {
            if matches!(action, Action::Webhook { .. }) {
                errors.push(RuleError::new(
                    "onFailure.webhook",
                    "is what may have failed; allowed are answer, redirect, reject, forward",
                ));
            }
            check_action(action, "onFailure", &mut errors);
        }
        if errors.is_empty() {
            Ok(CompiledRule { to, from, trunk, user, source, header, time, percent, rule })
        } else {
            Err(RuleErrors(errors))
        }
    }

    /// The rule as written.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(super) fn normal_form(&self) -> NormalForm {
        let form = |text: &Text| text.form.clone();
        let mut header: Vec<_> =
            self.header.iter().map(|(name, text)| (name.to_ascii_lowercase(), form(text))).collect();
        header.sort();
        NormalForm {
            to: self.to.as_ref().map(form),
            from: self.from.as_ref().map(form),
            trunk: self.trunk.clone(),
            user: self.user.clone(),
            source: self.source.clone(),
            header,
            time: self.time.as_ref().map(|window| window.form().clone()),
            // All buckets are no condition.
            percent: self.percent.filter(|(taken, _)| *taken < super::share::BUCKETS),
        }
    }

    /// The first condition that does not hold; `to` and `from` are in normal form.
    pub(super) fn first_failing(&self, call: &Candidate, to: &str, from: &str, now: Time) -> Option<FailedCondition> {
        let failed =
            |field: String, wanted: String, found: &str| Some(FailedCondition { field, wanted, found: shown(found) });
        for (field, condition, found) in [("match.to", &self.to, to), ("match.from", &self.from, from)] {
            if let Some(text) = condition
                && !text.holds_for(found)
            {
                return failed(field.to_owned(), text.wanted(), found);
            }
        }
        if let Some(trunks) = &self.trunk
            && !call.trunk.as_ref().is_some_and(|trunk| trunks.contains(trunk))
        {
            let found = call.trunk.as_deref().unwrap_or("no trunk");
            return failed("match.trunk".to_owned(), format!("one of {}", trunks.join(", ")), found);
        }
        if let Some(users) = &self.user
            && !call.user.as_ref().is_some_and(|user| users.iter().any(|wanted| wanted == user || wanted == "*"))
        {
            let found = call.user.as_deref().unwrap_or("no user");
            return failed("match.user".to_owned(), format!("one of {}", users.join(", ")), found);
        }
        if let Some(networks) = &self.source {
            let source = call.source.to_canonical();
            if !networks.iter().any(|network| network.contains(&source)) {
                let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
                return failed(
                    "match.source".to_owned(),
                    format!("in {}", shown(&names.join(", "))),
                    &source.to_string(),
                );
            }
        }
        for (name, text) in &self.header {
            let values: Vec<&str> = call
                .headers
                .iter()
                .filter(|(other, _)| other.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
                .collect();
            // `not` speaks of the header as a whole: none of its values matches, or there is none.
            if values.iter().any(|value| text.matches(value)) == text.form.not {
                let found = if values.is_empty() { "no such header".to_owned() } else { values.join(", ") };
                return failed(format!("match.header.{name}"), text.wanted(), &found);
            }
        }
        if let Some(window) = &self.time
            && !window.contains(now)
        {
            return failed("match.time".to_owned(), window.wanted(), &window.found(now));
        }
        if let Some((taken, by)) = self.percent {
            let (name, text) = match by {
                PercentBy::CallId => ("callId", call.call_id.as_str()),
                PercentBy::From => ("from", from),
                PercentBy::To => ("to", to),
            };
            let found = bucket(text);
            if found >= taken {
                let wanted = format!("bucket of {name} below {taken} of {}", super::share::BUCKETS);
                return failed("match.percent".to_owned(), wanted, &format!("bucket {found}"));
            }
        }
        None
    }
}

impl Text {
    fn compile(condition: &TextMatch, field: &str, reading: Reading, errors: &mut Vec<RuleError>) -> Option<Text> {
        let mut path = field.to_owned();
        let (mut condition, mut depth) = (condition, 0);
        while let TextMatch::Not(inner) = condition {
            path.push_str(".not");
            depth += 1;
            condition = inner;
            if depth > MAX_NOT {
                errors.push(RuleError::new(path, format!("at most {MAX_NOT} `not` in one another are allowed")));
                return None;
            }
        }
        let (kind, word, text) = match condition {
            TextMatch::Exact(text) => (Kind::Exact, "exact", text),
            TextMatch::Prefix(text) => (Kind::Prefix, "prefix", text),
            TextMatch::Regex(text) => (Kind::Regex, "regex", text),
            // Unwrapped above.
            TextMatch::Not(_) => return None,
        };
        let path = format!("{path}.{word}");
        if text.len() > MAX_TEXT {
            errors.push(RuleError::new(path, format!("is {} bytes long; at most {MAX_TEXT} are allowed", text.len())));
            return None;
        }
        if text.trim().is_empty() && !(kind == Kind::Exact && reading == Reading::Plain) {
            errors.push(RuleError::new(path, "is empty; leave the condition out where anything will do"));
            return None;
        }
        let text = match (kind, reading) {
            (Kind::Exact, Reading::Address) => normalise(text),
            (Kind::Prefix, Reading::Address) => normalise_prefix(text),
            (Kind::Exact | Kind::Prefix, Reading::Plain) => text.trim().to_owned(),
            (Kind::Regex, _) => text.clone(),
        };
        let regex = if kind == Kind::Regex {
            match RegexBuilder::new(&text).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build() {
                Ok(regex) => Some(regex),
                Err(error) => {
                    errors.push(RuleError::new(path, reason(&error)));
                    return None;
                }
            }
        } else {
            None
        };
        let bare = kind != Kind::Regex && reading == Reading::Address && !text.contains([':', '@']);
        Some(Text { form: TextForm { not: depth % 2 == 1, kind, text }, regex, bare })
    }

    /// Without `not`.
    fn matches(&self, found: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(beginning(found, MAX_SEARCHED));
        }
        let fits = |text: &str| match self.form.kind {
            Kind::Prefix => text.starts_with(&self.form.text),
            _ => text == self.form.text,
        };
        fits(found) || (self.bare && user(found).is_some_and(fits))
    }

    fn holds_for(&self, found: &str) -> bool {
        self.matches(found) != self.form.not
    }

    fn wanted(&self) -> String {
        let not = if self.form.not { "not " } else { "" };
        let kind = match self.form.kind {
            Kind::Exact => "exactly",
            Kind::Prefix => "prefix",
            Kind::Regex => "regex",
        };
        format!("{not}{kind} `{}`", self.form.text)
    }
}

/// The user of `sip:user@host`.
fn user(found: &str) -> Option<&str> {
    Some(found.strip_prefix("sip:")?.split_once('@')?.0)
}

/// The first `most` bytes, or a little less so as not to cut a character.
fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The last line of the crate's several says what is wrong.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => format!("needs more than {MAX_REGEX} bytes when compiled; make it simpler"),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            format!("is not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    }
}

/// Names of trunks or users, in order and once each.
fn known_names(names: &[String], what: &str, errors: &mut Vec<RuleError>) -> Vec<String> {
    check_length(names.len(), &format!("match.{what}"), what, MAX_TRUNKS, errors);
    for (at, name) in names.iter().enumerate() {
        if what != "user" || name != "*" {
            check_name(name, &format!("match.{what}[{at}]"), errors);
        }
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

fn check_name(name: &str, field: &str, errors: &mut Vec<RuleError>) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        errors.push(RuleError::new(
            field,
            format!("`{}` is not a name: 1 to {MAX_NAME} of A–Z a–z 0–9 . _ -", shown(name)),
        ));
    }
}

fn check_length(length: usize, field: &str, what: &str, most: usize, errors: &mut Vec<RuleError>) {
    if length == 0 {
        errors.push(RuleError::new(field, format!("name at least one {what}, or leave it out for any")));
    } else if length > most {
        errors.push(RuleError::new(field, format!("has {length} entries; at most {most} are allowed")));
    }
}

fn networks(texts: &[String], errors: &mut Vec<RuleError>) -> Vec<IpNet> {
    check_length(texts.len(), "match.source", "network", MAX_NETWORKS, errors);
    let mut networks = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let text = text.trim();
        match text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())))
        {
            Ok(network) => networks.push(network.trunc()),
            Err(_) => errors.push(RuleError::new(
                format!("match.source[{at}]"),
                format!("`{}` is not a network (10.0.0.0/8, 2001:db8::/32) or an address", shown(text)),
            )),
        }
    }
    let mut networks = IpNet::aggregate(&networks);
    networks.sort();
    networks
}

fn buckets(percent: &Percent, errors: &mut Vec<RuleError>) -> Option<(u64, PercentBy)> {
    let hundredths = percent.share * 100.0;
    if !(0.0..=10_000.0).contains(&hundredths) || (hundredths - hundredths.round()).abs() > 1e-6 {
        let message = format!("`{}` is not a share: 0 to 100, with at most two decimal places", percent.share);
        errors.push(RuleError::new("match.percent.share", message));
        return None;
    }
    // Between 0 and 10,000, checked above.
    Some((hundredths.round() as u64, percent.by))
}

fn check_action(action: &Action, field: &str, errors: &mut Vec<RuleError>) {
    match action {
        Action::Webhook { subscription } => check_name(subscription, &format!("{field}.webhook.subscription"), errors),
        Action::Answer { play, collect } => {
            if play.is_empty() || play.len() > MAX_PLAY {
                let message = format!("has {} sources; 1 to {MAX_PLAY} are allowed", play.len());
                errors.push(RuleError::new(format!("{field}.answer.play"), message));
            }
            for (at, source) in play.iter().enumerate() {
                check_source(source, &format!("{field}.answer.play[{at}]"), errors);
            }
            if let Some(collect) = collect {
                check_collect(collect, &format!("{field}.answer.collect"), errors);
            }
        }
        Action::Redirect { to } => check_target(to, &format!("{field}.redirect.to"), errors),
        Action::Forward { to } => check_callee(to, &format!("{field}.forward.to"), errors),
        Action::Reject { .. } => {}
    }
}

fn check_source(source: &str, field: &str, errors: &mut Vec<RuleError>) {
    let fine = match source.split_once(':') {
        Some(("prompt", name)) => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
            !name.is_empty()
                && name.len() <= 128
                && name.bytes().all(allowed)
                && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        }
        Some(("http" | "https", rest)) => {
            let plain = !source.chars().any(|c| c.is_control() || c.is_whitespace());
            let url = rest.starts_with("//") && url::Url::parse(source).is_ok_and(|url| url.has_host());
            source.len() <= 2_048 && plain && url
        }
        _ => false,
    };
    if !fine {
        let message = format!("`{}` is not a source: prompt:name or an http(s) URL", shown(source));
        errors.push(RuleError::new(field, message));
    }
}

fn check_collect(collect: &Collect, field: &str, errors: &mut Vec<RuleError>) {
    let mut range = |name: &str, value: u16, least: u16, most: u16| {
        if !(least..=most).contains(&value) {
            errors.push(RuleError::new(format!("{field}.{name}"), format!("is {value}; {least} to {most} is allowed")));
        }
    };
    range("maxTones", collect.max_tones.into(), 1, 100);
    range("interToneTimeoutInSeconds", collect.inter_tone_timeout_in_seconds, 1, 60);
    range("initialSilenceTimeoutInSeconds", collect.initial_silence_timeout_in_seconds, 0, 300);
    if collect.stop_tones.len() > 16 {
        errors.push(RuleError::new(format!("{field}.stopTones"), "has more entries than there are tones"));
    }
}

/// A SIP or tel URI, or a number with `+`.
/// A target, or the number of a user's telephone without `+`.
fn check_callee(to: &str, field: &str, errors: &mut Vec<RuleError>) {
    let extension = (1..=32).contains(&to.len()) && to.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b));
    if !extension {
        check_target(to, field, errors);
    }
}

fn check_target(to: &str, field: &str, errors: &mut Vec<RuleError>) {
    let plain = to.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b)) && to.len() <= MAX_TEXT;
    let target = normalise(to);
    let number = target.starts_with('+') && target.len() <= 33;
    let uri = target.strip_prefix("sip:").is_some_and(|rest| {
        rest.rsplit('@').next().is_some_and(|host| !host.is_empty())
            && !rest.starts_with('@')
            && ["sip:", "sips:"]
                .iter()
                .any(|scheme| to.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
    });
    if !(plain && (number || uri)) {
        let message = format!("`{}` is not a target: a SIP URI (sip:user@host) or a phone number with +", shown(to));
        errors.push(RuleError::new(field, message));
    }
}
