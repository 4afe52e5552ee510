//! The table: rules in the order they are looked at, the decision about a call, and its explanation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::normalise;
use super::compile::CompiledRule;
use super::document::{Action, Rule};
use super::error::{RuleError, RuleErrors};
use crate::time::Time;

/// Rules in a table; one more is refused.
pub const MAX_RULES: usize = 1_000;

/// An incoming call, as far as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who is called: Request-URI or To, a URI or a number in any form.
    pub to: String,
    /// Who calls: From (or P-Asserted-Identity), a URI or a number in any form.
    pub from: String,
    /// The trunk that the call came in by.
    pub trunk: Option<String>,
    /// The user of ours who calls, and has proved it.
    pub user: Option<String>,
    /// Where the INVITE came from.
    pub source: IpAddr,
    /// All headers of the INVITE, as sent.
    pub headers: Vec<(String, String)>,
    /// The SIP Call-ID.
    pub call_id: String,
}

/// A would-be call, as `POST /v1/rules:explain` takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainRequest {
    /// Who is called.
    #[schema(example = "+442079460000")]
    pub to: String,
    /// Who calls. Default: anonymous.
    #[serde(default = "anonymous")]
    pub from: String,
    /// The trunk it comes in by. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The user of ours who calls. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address it comes from. Default: 127.0.0.1.
    #[serde(default = "loopback")]
    #[schema(value_type = String, example = "10.1.2.3")]
    pub source: IpAddr,
    /// SIP headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// SIP Call-ID. Default: empty.
    #[serde(default)]
    pub call_id: String,
    /// RFC 3339. Default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

fn anonymous() -> String {
    "anonymous".to_owned()
}

fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

impl ExplainRequest {
    /// The call and the moment that are asked about.
    pub fn into_candidate(self, now: Time) -> Result<(Candidate, Time), RuleErrors> {
        let at = match &self.time {
            None => now,
            Some(text) => text
                .parse::<jiff::Timestamp>()
                .ok()
                .and_then(|stamp| u64::try_from(stamp.as_microsecond()).ok())
                .map(Time::from_micros)
                .ok_or_else(|| {
                    let message = format!("`{text}` is not an RFC 3339 time such as 2026-11-22T18:30:00Z");
                    RuleErrors(vec![RuleError::new("time", message)])
                })?,
        };
        let candidate = Candidate {
            to: self.to,
            from: self.from,
            trunk: self.trunk,
            user: self.user,
            source: self.source,
            headers: self.headers.into_iter().collect(),
            call_id: self.call_id,
        };
        Ok((candidate, at))
    }
}

/// What the table says about a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The rule that wins. None: the caller hears 404.
    pub rule: Option<String>,
    /// What it wants done.
    pub action: Option<Action>,
    /// What is to be done when that cannot be.
    pub on_failure: Option<Action>,
    /// Who is called, in normal form.
    pub to: String,
    /// Who calls, in normal form.
    pub from: String,
    /// When it was decided, RFC 3339.
    pub time: String,
    /// Every rule, in the order in which they are looked at.
    pub explanation: Vec<RuleVerdict>,
}

/// What one rule says about a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleVerdict {
    /// The rule.
    pub name: String,
    /// Its priority.
    pub priority: i32,
    /// A disabled rule never wins, whether it matches or not.
    pub enabled: bool,
    /// Do all of its conditions hold?
    pub matched: bool,
    /// The first that does not, in the order to, from, trunk, user, source, header, time, percent.
    pub first_failing_condition: Option<FailedCondition>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailedCondition {
    /// Its path: `match.to`, `match.header.X-Campaign`.
    pub field: String,
    /// What the rule wants, in words.
    pub wanted: String,
    /// What the call has.
    pub found: String,
}

/// All rules, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Vec<CompiledRule>,
}

impl Table {
    /// Checks and orders the rules: by priority, then name. Refused: a wrong rule, a name used twice, two enabled rules
    /// of one priority with equivalent matches (they could never be told apart), more than [`MAX_RULES`].
    ///
    /// Matches are equivalent where their normal forms are equal: addresses normalised, `not not` undone, lists without
    /// order and repetition, networks merged, header names without case, a share of 100 left out. Two different
    /// regular expressions that mean the same are not recognised.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Table, RuleErrors> {
        let mut errors = Vec::new();
        let mut compiled = Vec::new();
        for rule in rules {
            if compiled.len() == MAX_RULES {
                errors.push(RuleError::new("", format!("a table holds at most {MAX_RULES} rules")));
                break;
            }
            let name = rule.name.clone();
            match CompiledRule::compile(rule) {
                Ok(rule) => compiled.push(rule),
                Err(wrong) => errors.extend(wrong.of(&name).0),
            }
        }
        compiled.sort_by(|a, b| (a.rule().priority, &a.rule().name).cmp(&(b.rule().priority, &b.rule().name)));

        let mut names = BTreeMap::new();
        let mut matches: BTreeMap<_, &str> = BTreeMap::new();
        for rule in &compiled {
            let name = rule.rule().name.as_str();
            if names.insert(name, ()).is_some() {
                errors.push(RuleError::new("name", format!("`{name}` is used twice")));
            }
            if rule.rule().enabled
                && let Some(other) = matches.insert((rule.rule().priority, rule.normal_form()), name)
            {
                errors.push(RuleError::new(
                    "match",
                    format!(
                        "rules `{other}` and `{name}` have the same priority {} and equivalent matches, so they can \
                         never be told apart: change a priority or a match, or disable one",
                        rule.rule().priority
                    ),
                ));
            }
        }
        if errors.is_empty() { Ok(Table { rules: compiled }) } else { Err(RuleErrors(errors)) }
    }

    /// The rules in the order in which they are looked at.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(CompiledRule::rule)
    }

    /// Decides, and says of every rule why it did or did not take the call.
    pub fn decide(&self, call: &Candidate, now: Time) -> Decision {
        let (to, from) = (normalise(&call.to), normalise(&call.from));
        let mut winner: Option<&Rule> = None;
        let mut explanation = Vec::with_capacity(self.rules.len());
        for compiled in &self.rules {
            let rule = compiled.rule();
            let failed = compiled.first_failing(call, &to, &from, now);
            if failed.is_none() && rule.enabled && winner.is_none() {
                winner = Some(rule);
            }
            explanation.push(RuleVerdict {
                name: rule.name.clone(),
                priority: rule.priority,
                enabled: rule.enabled,
                matched: failed.is_none(),
                first_failing_condition: failed,
            });
        }
        Decision {
            rule: winner.map(|rule| rule.name.clone()),
            action: winner.map(|rule| rule.action.clone()),
            on_failure: winner.and_then(|rule| rule.on_failure.clone()),
            to,
            from,
            time: now.to_rfc3339(),
            explanation,
        }
    }
}
