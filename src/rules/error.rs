//! What is wrong with a rule or with a table of rules, field by field.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
pub struct RuleError {
    /// The rule, where a whole table was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Path of the field: `match.to.regex`, `match.source[0]`. Empty: the rule as a whole.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl RuleError {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        RuleError { rule: None, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct RuleErrors(pub Vec<RuleError>);

impl RuleErrors {
    pub(super) fn of(mut self, rule: &str) -> Self {
        for error in &mut self.0 {
            error.rule.get_or_insert_with(|| rule.to_owned());
        }
        self
    }
}
