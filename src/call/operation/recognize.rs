//! Recognise: digits are collected, or one key chooses, with or without a prompt. `PlayStarted` where there is one,
//! then one of `RecognizeCompleted`, `RecognizeFailed`, `RecognizeCanceled`.
//!
//! # When what is counted
//! - It listens from its turn in the queue on; a key pressed before that is discarded.
//! - Until the prompt's end: with barge-in the first key stops the prompt (or its loading) and counts; without, keys are
//!   discarded.
//! - The initial silence runs from the end of the prompt; from the recognition's turn where there is no prompt. Zero
//!   fails at that moment, so only a key that barges in can complete it.
//! - The first key ends the initial silence; from then on the inter-tone time runs, anew with each key.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{
    Call, Choice, EventKind, MAX_TONES, Outcome, Recognize, RecognizeInput, Recognized, Refusal, Reply, Topic,
};
use super::MediaOperation;
use super::prompt::{Begun, Prompt, PromptState, bad, check_sources};
use crate::dtmf::Digit;
use crate::time::Time;

/// The longest initial silence for digits.
const MAX_SILENCE_DTMF: Duration = Duration::from_secs(300);
/// The longest initial silence for choices.
const MAX_SILENCE_CHOICES: Duration = Duration::from_secs(20);
/// The pauses allowed between digits.
const INTER_TONE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// The most choices.
const MAX_CHOICES: usize = 100;

/// A recognition, running or waiting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecognizeOperation {
    /// Its sources are in `prompt`.
    pub wish: Recognize,
    pub prompt: Prompt,
    /// At most [`MAX_TONES`].
    collected: Vec<Digit>,
    /// It listens without a prompt; it gives up then.
    listening: Option<Time>,
}

impl RecognizeOperation {
    pub fn silence_deadline(&self) -> Option<Time> {
        self.listening
    }

    /// What the key leads to: none, and the next one is waited for.
    fn take(&mut self, digit: Digit, now: Time) -> Option<(EventKind, Outcome)> {
        match &self.wish.input {
            RecognizeInput::Dtmf { stop_tones, .. } if stop_tones.contains(&digit) => {
                Some((self.completed_dtmf(), Outcome::stop_tone()))
            }
            RecognizeInput::Dtmf { max_tones, inter_tone, .. } => {
                self.collected.push(digit);
                self.listening = Some(now + *inter_tone);
                (self.collected.len() >= *max_tones).then(|| (self.completed_dtmf(), Outcome::max_digits()))
            }
            RecognizeInput::Choices(choices) => match choices.iter().find(|choice| choice.tone == Some(digit)) {
                Some(choice) => {
                    let heard = Recognized::Choice { label: choice.label.clone(), phrase: String::new() };
                    Some((EventKind::RecognizeCompleted(heard), Outcome::dtmf_option()))
                }
                None => Some((EventKind::RecognizeFailed { failed_source: None }, Outcome::wrong_tone())),
            },
        }
    }

    fn completed_dtmf(&self) -> EventKind {
        EventKind::RecognizeCompleted(Recognized::Dtmf(self.collected.clone()))
    }
}

impl Call {
    pub(in super::super) fn recognize(&mut self, mut wish: Recognize, now: Time) -> Result<Reply, Refusal> {
        self.must_be_connected("recognize")?;
        check_sources(&wish.sources)?;
        check_input(&wish)?;
        self.must_take_part(&wish.party)?;
        self.must_have_room(wish.interrupt)?;
        let interrupt = wish.interrupt;
        let prompt = Prompt::new(std::mem::take(&mut wish.sources), false);
        let operation = RecognizeOperation { wish, prompt, collected: Vec::new(), listening: None };
        self.enqueue(MediaOperation::Recognize(operation), interrupt, now);
        Ok(Reply::Accepted)
    }

    /// Begins the first operation, a recognition, as far as it can. False: it is over already, and off the queue.
    pub(super) fn begin_recognize(&mut self, now: Time) -> bool {
        match self.begin_prompt(now) {
            Begun::Started => {
                if let Some(recognize) = self.first_recognition() {
                    let (context, callback) = (recognize.wish.context.clone(), recognize.wish.callback.clone());
                    self.event(EventKind::PlayStarted, Outcome::success(), context, callback, now);
                }
                true
            }
            Begun::Nothing => {
                let silent = self
                    .first_recognition()
                    .is_some_and(|r| matches!(r.prompt.state, PromptState::Over) && r.listening.is_none());
                if silent {
                    self.begin_listening(now);
                }
                true
            }
            Begun::Failed(failure) => {
                let kind = EventKind::RecognizeFailed { failed_source: Some(failure.index) };
                self.end_recognize(kind, Outcome::prompt_failed(&failure.message), now);
                false
            }
        }
    }

    /// The prompt is over, or there is none: the initial silence runs.
    pub(super) fn begin_listening(&mut self, now: Time) {
        if let Some(MediaOperation::Recognize(recognize)) = self.operations.queue.front_mut() {
            recognize.listening = Some(now + recognize.wish.initial_silence);
        }
    }

    /// A key was pressed. True: the running recognition had a use for it.
    pub(in super::super) fn recognize_digit(&mut self, digit: Digit, now: Time) -> bool {
        let Some(MediaOperation::Recognize(recognize)) = self.operations.queue.front_mut() else { return false };
        let barges_in = recognize.listening.is_none();
        if barges_in && !recognize.wish.interrupt_prompt {
            self.note(now, Topic::Dtmf, format!("{digit} discarded: the prompt may not be interrupted"));
            return true;
        }
        let result = recognize.take(digit, now);
        if barges_in {
            let mut prompt = std::mem::replace(&mut recognize.prompt, Prompt::new(Vec::new(), false));
            self.stop_prompt(&mut prompt);
            self.note(now, Topic::Dtmf, format!("{digit} stops the prompt"));
        }
        if let Some((kind, outcome)) = result {
            self.end_recognize(kind, outcome, now);
            self.advance(now);
        }
        true
    }

    /// Nothing was pressed in time.
    pub(super) fn on_silence_deadline(&mut self, now: Time) {
        let Some(recognize) = self.first_recognition() else { return };
        let digits: String = recognize.collected.iter().map(|digit| digit.as_char()).collect();
        let outcome = if digits.is_empty() {
            Outcome::initial_silence()
        } else {
            self.note(now, Topic::Operation, format!("given up after {digits}: no further digit in time"));
            Outcome::inter_digit()
        };
        self.end_recognize(EventKind::RecognizeFailed { failed_source: None }, outcome, now);
        self.advance(now);
    }

    fn end_recognize(&mut self, kind: EventKind, outcome: Outcome, now: Time) {
        if let Some(MediaOperation::Recognize(recognize)) = self.take_first() {
            self.event(kind, outcome, recognize.wish.context, recognize.wish.callback, now);
        }
    }
}

fn check_input(wish: &Recognize) -> Result<(), Refusal> {
    let longest = match &wish.input {
        RecognizeInput::Dtmf { max_tones, stop_tones, inter_tone } => {
            if !(1..=MAX_TONES).contains(max_tones) {
                return Err(bad(
                    "dtmfOptions.maxTonesToCollect",
                    format!("is {max_tones}, 1 to {MAX_TONES} is allowed"),
                ));
            }
            if stop_tones.len() > Digit::ALL.len() {
                return Err(bad("dtmfOptions.stopTones", "names a tone more than once"));
            }
            if !INTER_TONE.contains(inter_tone) {
                let problem = format!("is {} s, 1 to 60 s is allowed", inter_tone.as_secs_f32());
                return Err(bad("dtmfOptions.interToneTimeoutInSeconds", problem));
            }
            MAX_SILENCE_DTMF
        }
        RecognizeInput::Choices(choices) => {
            check_choices(choices)?;
            MAX_SILENCE_CHOICES
        }
    };
    if wish.initial_silence > longest {
        let problem = format!("is {} s, 0 to {} s is allowed", wish.initial_silence.as_secs_f32(), longest.as_secs());
        return Err(bad("recognizeOptions.initialSilenceTimeoutInSeconds", problem));
    }
    Ok(())
}

fn check_choices(choices: &[Choice]) -> Result<(), Refusal> {
    let field = "recognizeOptions.choices";
    if choices.is_empty() || choices.len() > MAX_CHOICES {
        return Err(bad(field, format!("{} were given, 1 to {MAX_CHOICES} are allowed", choices.len())));
    }
    for (index, choice) in choices.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let others = choices.iter().take(index);
        if choice.label.is_empty() {
            return Err(bad(&format!("{field}.label"), "is empty"));
        }
        if others.clone().any(|other| other.label == choice.label) {
            return Err(bad(&format!("{field}.label"), format!("{} is there twice", choice.label)));
        }
        if choice.tone.is_some() && others.clone().any(|other| other.tone == choice.tone) {
            return Err(bad(&format!("{field}.tone"), "stands for another choice already"));
        }
    }
    if choices.iter().all(|choice| choice.tone.is_none()) {
        return Err(bad(field, "no choice has a tone: nothing could be recognised without speech"));
    }
    Ok(())
}
