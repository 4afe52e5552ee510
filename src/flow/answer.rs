//! The `answer` action of a rule, as an application: take the call, play, collect digits where asked, hang up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{Command, EventKind, Party, Play, Recognize, RecognizeInput};
use crate::dtmf::Digit;
use crate::rules::Collect;

/// A running `answer` action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerFlow {
    caller: Party,
    prompts: Vec<String>,
    collect: Option<Collect>,
}

impl AnswerFlow {
    /// `caller` hears `prompts` and is asked for what `collect` says.
    pub fn new(caller: Party, prompts: Vec<String>, collect: Option<Collect>) -> Self {
        AnswerFlow { caller, prompts, collect }
    }

    /// What it does first.
    pub fn start(&self) -> Command {
        Command::Answer { context: None }
    }

    /// What it does about an event; none: wait for the next.
    pub fn next(&self, event: &EventKind) -> Option<Command> {
        match event {
            EventKind::CallConnected => Some(self.main_part()),
            EventKind::PlayCompleted
            | EventKind::PlayFailed { .. }
            | EventKind::PlayCanceled
            | EventKind::RecognizeCompleted(_)
            | EventKind::RecognizeFailed { .. }
            | EventKind::RecognizeCanceled => Some(Command::Terminate),
            _ => None,
        }
    }

    fn main_part(&self) -> Command {
        match &self.collect {
            Some(collect) => Command::Recognize(Recognize {
                party: self.caller.clone(),
                sources: self.prompts.clone(),
                interrupt_prompt: collect.interrupt_prompt,
                interrupt: false,
                initial_silence: Duration::from_secs(collect.initial_silence_timeout_in_seconds.into()),
                input: RecognizeInput::Dtmf {
                    max_tones: collect.max_tones.into(),
                    stop_tones: collect.stop_tones.iter().filter_map(|t| Digit::from_char(t.key())).collect(),
                    inter_tone: Duration::from_secs(collect.inter_tone_timeout_in_seconds.into()),
                },
                context: None,
                callback: None,
            }),
            None if self.prompts.is_empty() => Command::Terminate,
            None => Command::Play(Play {
                sources: self.prompts.clone(),
                to: Vec::new(),
                repeat: false,
                interrupt: false,
                context: None,
                callback: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Recognized;

    fn caller() -> Party {
        Party::Phone("+15551230009".into())
    }

    #[test]
    fn plays_then_hangs_up() {
        let flow = AnswerFlow::new(caller(), vec!["prompt:welcome".into()], None);
        assert!(matches!(flow.start(), Command::Answer { .. }));
        assert!(
            matches!(flow.next(&EventKind::CallConnected), Some(Command::Play(p)) if p.sources == ["prompt:welcome"])
        );
        assert_eq!(flow.next(&EventKind::PlayStarted), None);
        assert_eq!(flow.next(&EventKind::PlayCompleted), Some(Command::Terminate));
        assert_eq!(flow.next(&EventKind::CallDisconnected), None);
    }

    #[test]
    fn a_failing_prompt_does_not_keep_the_caller_in_silence() {
        let flow = AnswerFlow::new(caller(), vec!["prompt:none".into()], None);
        assert_eq!(flow.next(&EventKind::PlayFailed { failed_source: Some(0) }), Some(Command::Terminate));
    }

    #[test]
    fn collects_with_the_rule_s_options() {
        let collect: Collect = serde_json::from_str(r#"{"maxTones": 4, "stopTones": ["pound"]}"#).unwrap();
        let flow = AnswerFlow::new(caller(), vec!["prompt:welcome".into()], Some(collect));
        let Some(Command::Recognize(recognize)) = flow.next(&EventKind::CallConnected) else { panic!() };
        assert_eq!(recognize.party, caller());
        let RecognizeInput::Dtmf { max_tones, stop_tones, inter_tone } = recognize.input else { panic!() };
        assert_eq!((max_tones, stop_tones.len(), inter_tone), (4, 1, Duration::from_secs(2)));
        let heard = EventKind::RecognizeCompleted(Recognized::Dtmf(vec![]));
        assert_eq!(flow.next(&heard), Some(Command::Terminate));
    }
}
