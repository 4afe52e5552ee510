//! Play: sources are heard one after another, once or over and over. `PlayStarted`, then one of `PlayCompleted`,
//! `PlayFailed`, `PlayCanceled`; a play whose sources do not load fails when its turn comes, without a start.

use serde::{Deserialize, Serialize};

use super::super::{Call, Context, EventKind, LoadFailure, LoadFailureKind, Outcome, Play, Refusal, Reply};
use super::MediaOperation;
use super::prompt::{Begun, Prompt, bad, check_sources};
use crate::time::Time;

/// A play, running or waiting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlayOperation {
    pub prompt: Prompt,
    pub context: Context,
    pub callback: Option<String>,
}

impl Call {
    pub(in super::super) fn play(&mut self, wish: Play, now: Time) -> Result<Reply, Refusal> {
        self.must_be_connected("play")?;
        if wish.sources.is_empty() {
            return Err(bad("playSources", "at least one is needed"));
        }
        check_sources(&wish.sources)?;
        for party in &wish.to {
            self.must_take_part(party)?;
        }
        self.must_have_room(wish.interrupt)?;
        let prompt = Prompt::new(wish.sources, wish.repeat);
        let play = PlayOperation { prompt, context: wish.context, callback: wish.callback };
        self.enqueue(MediaOperation::Play(play), wish.interrupt, now);
        Ok(Reply::Accepted)
    }

    /// Begins the first operation, a play, as far as it can. False: it is over already, and off the queue.
    pub(super) fn begin_play(&mut self, now: Time) -> bool {
        match self.begin_prompt(now) {
            Begun::Started => {
                let Some(MediaOperation::Play(play)) = self.operations.queue.front() else { return true };
                let (context, callback) = (play.context.clone(), play.callback.clone());
                self.event(EventKind::PlayStarted, Outcome::success(), context, callback, now);
                true
            }
            Begun::Nothing => true,
            Begun::Failed(LoadFailure { index, kind, message }) => {
                let outcome = match kind {
                    LoadFailureKind::BadFormat => Outcome::bad_format(&message),
                    LoadFailureKind::DownloadFailed => Outcome::download_failed(&message),
                };
                self.end_play(EventKind::PlayFailed { failed_source: Some(index) }, outcome, now);
                false
            }
        }
    }

    pub(super) fn complete_play(&mut self, now: Time) {
        self.end_play(EventKind::PlayCompleted, Outcome::completed(), now);
        self.advance(now);
    }

    fn end_play(&mut self, kind: EventKind, outcome: Outcome, now: Time) {
        if let Some(MediaOperation::Play(play)) = self.take_first() {
            self.event(kind, outcome, play.context, play.callback, now);
        }
    }
}
