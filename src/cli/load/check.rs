//! Compares what was pressed with what the engine under test took for pressed, by its calls' timelines (`/v1/calls`).

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::Outcome;
use crate::dtmf::{Digit, Way};
use crate::phone::load::{CallPresses, Press, faults};

/// The most calls asked for in one page.
const PAGE: usize = 1000;
/// The most pages looked through for the calls of this run.
const PAGES: usize = 20;
/// How many calls that went wrong are shown.
const SHOWN: usize = 10;
/// The longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Checked {
    /// Keys pressed, and not badly.
    pressed: usize,
    /// Keys pressed badly, because this program was held up: they may have been told 0 to 2 times.
    disturbed: usize,
    /// Missing, twice, or out of their order.
    faults: usize,
    /// Calls that are not there.
    unknown: usize,
    /// The calls that went wrong: what was pressed, what was told.
    wrong: Vec<String>,
}

impl Checked {
    /// Was every key told, once and in order?
    pub fn is_right(&self) -> bool {
        self.faults == 0 && self.unknown == 0
    }

    /// Takes in one call.
    fn add(&mut self, call: &CallPresses, told: &[Digit]) {
        let faults = faults(&call.pressed, told);
        let disturbed = call.pressed.iter().filter(|press| press.disturbed).count();
        self.pressed += call.pressed.len() - disturbed;
        self.disturbed += disturbed;
        self.faults += faults;
        if faults > 0 {
            let pressed: Vec<String> =
                call.pressed.iter().map(|press| format!("{}({})", press.digit, manner(press))).collect();
            let told: String = told.iter().map(|digit| digit.as_char()).collect();
            self.wrong.push(format!("{}: pressed {}, told {told}", call.caller, pressed.join(" ")));
        }
    }
}

/// How a press went, in a word.
fn manner(press: &Press) -> &'static str {
    match press.way {
        _ if press.disturbed => "torn",
        Way::TelephoneEvent => "event",
        Way::InBand => "tone",
        Way::Info => "info",
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = self.pressed.saturating_sub(self.faults);
        write!(f, "digits     {right} of {} told once and in order", self.pressed)?;
        if self.disturbed > 0 {
            write!(f, "; {} more were torn because this program was held up", self.disturbed)?;
        }
        if self.unknown > 0 {
            write!(f, "; {} calls are not there", self.unknown)?;
        }
        for wrong in self.wrong.iter().take(SHOWN) {
            write!(f, "\n           {wrong}")?;
        }
        Ok(())
    }
}

/// Asks the engine at `url` about every call.
pub fn check(url: &str, key: &str, presses: &[CallPresses]) -> Outcome<Checked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // An error only says that it has been chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let get = async |path: &str| -> Outcome<Value> {
            let answer = client.get(format!("{}{path}", url.trim_end_matches('/'))).bearer_auth(key).send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            if !status.is_success() {
                return Err(format!("{path} answered {status}: {text}").into());
            }
            Ok(serde_json::from_str(&text)?)
        };
        let mut ids: HashMap<String, String> = HashMap::new();
        for page in 0..PAGES {
            let calls = get(&format!("/v1/calls?top={PAGE}&skip={}", page * PAGE)).await?;
            let word = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
            let calls = calls["value"].as_array().cloned().unwrap_or_default();
            ids.extend(calls.iter().map(|call| (caller(&word(call, "from")).to_owned(), word(call, "id"))));
            if calls.len() < PAGE || presses.iter().all(|call| ids.contains_key(&call.caller)) {
                break;
            }
        }
        let mut checked = Checked::default();
        for call in presses {
            let Some(id) = ids.get(&call.caller) else {
                checked.unknown += 1;
                continue;
            };
            let timeline = get(&format!("/v1/calls/{id}/timeline")).await?;
            checked.add(call, &told(&timeline));
        }
        Ok(checked)
    })
}

/// The user part of `sip:user@host`.
fn caller(uri: &str) -> &str {
    let user = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    user.split('@').next().unwrap_or_default()
}

/// The keys that a timeline has for pressed (`5 pressed, by info`).
fn told(timeline: &Value) -> Vec<Digit> {
    let entries = timeline["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let digit = |entry: &Value| {
        let (digit, rest) = entry["text"].as_str()?.split_once(' ')?;
        let is_press = entry["kind"] == "dtmf" && rest.starts_with("pressed, by ");
        digit.chars().next().filter(|_| is_press).and_then(Digit::from_char)
    };
    entries.iter().filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_timeline_is_compared_with_what_was_pressed() {
        let entry = |kind: &str, text: &str| json!({"at": "", "kind": kind, "text": text});
        let timeline = json!({"entries": [
            entry("sip", "5 pressed, by info"),
            entry("dtmf", "5 pressed, by info"),
            entry("dtmf", "# pressed, by in-band"),
            entry("dtmf", "dropped: # by info is the press that in-band told of 3 ms before"),
        ]});
        assert_eq!(told(&timeline), [Digit::Five, Digit::Pound]);
        assert_eq!(caller("sip:load-1f-7@127.0.0.1"), "load-1f-7");
        let call = |digits: &[Digit]| CallPresses {
            caller: "load-1".to_owned(),
            pressed: digits
                .iter()
                .map(|digit| Press { digit: *digit, way: Way::Info, pause: 1, disturbed: false })
                .collect(),
        };
        let mut checked = Checked::default();
        checked.add(&call(&[Digit::Five, Digit::Pound]), &told(&timeline));
        assert!(checked.is_right() && checked.to_string().ends_with("2 of 2 told once and in order"), "{checked}");
        checked.add(&call(&[Digit::Pound, Digit::Five]), &told(&timeline));
        assert!(!checked.is_right() && checked.to_string().contains("pressed #(info) 5(info), told 5#"), "{checked}");
    }
}
