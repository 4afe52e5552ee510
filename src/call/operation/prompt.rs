//! What a play or a recognition lets be heard: its sources from being named to having been played. Loading is the
//! engine's, playing is media's.

use serde::{Deserialize, Serialize};

use super::super::{Call, Clips, LoadFailure, LoadFailureKind, LoadId, MAX_SOURCES, Output, Refusal};
use crate::media::{MediaCommand, PlayId};
use crate::time::Time;

/// The longest source, in bytes.
const MAX_SOURCE: usize = 2048;

/// Some sources and where they stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Prompt {
    pub sources: Vec<String>,
    pub repeat: bool,
    pub state: PromptState,
}

/// Where a prompt stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) enum PromptState {
    /// Not asked for yet.
    New,
    /// Its sources are on their way; given up at `deadline`.
    Loading { load: LoadId, deadline: Time },
    /// It can be played. Clips are not saved: without them it is loaded again.
    Ready {
        #[serde(skip)]
        clips: Clips,
    },
    /// It cannot be played.
    Failed(LoadFailure),
    /// It is being heard.
    Playing(PlayId),
    /// Played, stopped, or nothing to play.
    Over,
}

impl Prompt {
    /// Sources that are to be loaded; none: a prompt that is over already.
    pub fn new(sources: Vec<String>, repeat: bool) -> Self {
        let state = if sources.is_empty() { PromptState::Over } else { PromptState::New };
        Prompt { sources, repeat, state }
    }

    pub fn is_playing(&self, play: PlayId) -> bool {
        matches!(self.state, PromptState::Playing(playing) if playing == play)
    }

    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            PromptState::Loading { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    /// Takes a load's result, if it is this prompt's.
    pub fn loaded(&mut self, load: LoadId, result: &Result<Clips, LoadFailure>) -> bool {
        match self.state {
            PromptState::Loading { load: mine, .. } if mine == load => {}
            _ => return false,
        }
        self.state = match result {
            Ok(clips) if clips.len() == self.sources.len() => PromptState::Ready { clips: clips.clone() },
            Ok(clips) => failed(clips.len().min(self.sources.len() - 1), "it was not loaded"),
            Err(failure) => PromptState::Failed(failure.clone()),
        };
        true
    }

    pub fn give_up_loading(&mut self) {
        if matches!(self.state, PromptState::Loading { .. }) {
            self.state = failed(0, "it took too long to load");
        }
    }
}

fn failed(index: usize, message: &str) -> PromptState {
    PromptState::Failed(LoadFailure { index, kind: LoadFailureKind::DownloadFailed, message: message.to_owned() })
}

/// What [`Call::begin_prompt`] came to.
pub(super) enum Begun {
    /// It is being heard from now on.
    Started,
    /// It is still loading, is being heard already, or is over.
    Nothing,
    /// It cannot be played.
    Failed(LoadFailure),
}

impl Call {
    /// Asks for the sources of the operation at that place of the queue.
    pub(super) fn load_prompt(&mut self, place: usize, now: Time) {
        let load = LoadId(self.next_number());
        let deadline = now + self.load_timeout();
        let Some(operation) = self.operations.queue.get_mut(place) else { return };
        let prompt = operation.prompt_mut();
        if matches!(prompt.state, PromptState::Over) {
            return;
        }
        prompt.state = PromptState::Loading { load, deadline };
        let sources = prompt.sources.clone();
        self.outputs.push_back(Output::Load { load, sources });
    }

    /// Plays the first operation's prompt if it is ready.
    pub(super) fn begin_prompt(&mut self, now: Time) -> Begun {
        let play = PlayId(self.next_number());
        let Some(operation) = self.operations.queue.front_mut() else { return Begun::Nothing };
        let prompt = operation.prompt_mut();
        match &mut prompt.state {
            PromptState::Failed(failure) => Begun::Failed(failure.clone()),
            PromptState::Ready { clips } if clips.is_empty() => {
                self.load_prompt(0, now);
                Begun::Nothing
            }
            PromptState::Ready { clips } => {
                let clips = std::mem::take(clips);
                let repeat = prompt.repeat;
                prompt.state = PromptState::Playing(play);
                self.media(MediaCommand::Play { leg: self.remote.leg, play, clips, repeat });
                Begun::Started
            }
            PromptState::New | PromptState::Loading { .. } | PromptState::Playing(_) | PromptState::Over => {
                Begun::Nothing
            }
        }
    }

    /// Silences a prompt, whatever it does, and forgets what it waits for.
    pub(super) fn stop_prompt(&mut self, prompt: &mut Prompt) {
        if let PromptState::Playing(play) = prompt.state {
            self.media(MediaCommand::StopPlay { leg: self.remote.leg, play });
        }
        prompt.state = PromptState::Over;
    }
}

/// Refuses sources that can never be played: too many, too long, or neither an http(s) URL nor `prompt:name`.
pub(super) fn check_sources(sources: &[String]) -> Result<(), Refusal> {
    if sources.len() > MAX_SOURCES {
        return Err(bad("playSources", format!("{} were given, at most {MAX_SOURCES} are allowed", sources.len())));
    }
    for (index, source) in sources.iter().enumerate() {
        let (scheme, rest) = source.split_once(':').unwrap_or_default();
        let known = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => rest.strip_prefix("//").is_some_and(|rest| !rest.is_empty()),
            "prompt" => !rest.is_empty(),
            _ => false,
        };
        let plain = !source.chars().any(|c| c.is_control() || c.is_whitespace());
        if !known || !plain || source.len() > MAX_SOURCE {
            let problem = format!("must be an http(s) URL or prompt:name, of at most {MAX_SOURCE} bytes");
            return Err(bad(&format!("playSources[{index}]"), problem));
        }
    }
    Ok(())
}

pub(super) fn bad(field: &str, problem: impl Into<String>) -> Refusal {
    Refusal::BadArgument { field: field.to_owned(), problem: problem.into() }
}
