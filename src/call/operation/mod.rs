//! What applications run on a connected call: plays and recognitions one after another in one queue, sendings of
//! tones in another, and continuous DTMF beside both. The queue is here, each operation in its own file.

mod cancel_media;
mod continuous_dtmf;
mod play;
mod prompt;
mod recognize;
mod referral;
mod send_tones;
mod transfer;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Call, Clips, EventKind, LoadFailure, LoadId, MAX_QUEUED, Outcome, Refusal};
use crate::media::PlayId;
use crate::time::Time;

use continuous_dtmf::ContinuousDtmf;
use play::PlayOperation;
use prompt::PromptState;
use recognize::RecognizeOperation;
use send_tones::SendTonesOperation;
use transfer::TransferOperation;

pub(super) use prompt::Prompt;

/// The operations of a call. Empty before it is connected and after it is over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Operations {
    /// The first one runs, at most [`MAX_QUEUED`] wait behind it.
    queue: VecDeque<MediaOperation>,
    /// The first one runs, at most [`MAX_QUEUED`] wait behind it.
    tones: VecDeque<SendTonesOperation>,
    /// At most one, since there is one remote party.
    continuous: Option<ContinuousDtmf>,
    /// At most one.
    transfer: Option<TransferOperation>,
}

/// One place in the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum MediaOperation {
    Play(PlayOperation),
    Recognize(RecognizeOperation),
}

impl MediaOperation {
    fn prompt(&self) -> &Prompt {
        match self {
            MediaOperation::Play(play) => &play.prompt,
            MediaOperation::Recognize(recognize) => &recognize.prompt,
        }
    }

    fn prompt_mut(&mut self) -> &mut Prompt {
        match self {
            MediaOperation::Play(play) => &mut play.prompt,
            MediaOperation::Recognize(recognize) => &mut recognize.prompt,
        }
    }

    fn deadline(&self) -> Option<Time> {
        let listening = match self {
            MediaOperation::Play(_) => None,
            MediaOperation::Recognize(recognize) => recognize.silence_deadline(),
        };
        listening.or_else(|| self.prompt().deadline())
    }
}

impl Operations {
    pub fn deadline(&self) -> Option<Time> {
        let leaving = self.transfer.as_ref().and_then(|transfer| transfer.leave);
        self.queue.iter().filter_map(MediaOperation::deadline).chain(leaving).min()
    }

    pub fn len(&self) -> usize {
        let others = usize::from(self.continuous.is_some()) + usize::from(self.transfer.is_some());
        self.queue.len() + self.tones.len() + others
    }
}

impl Call {
    /// Puts an operation behind the others (or, `interrupt`, in their stead) and begins it if it is the first. Its
    /// sources load meanwhile, so that nothing is waited for when its turn comes.
    fn enqueue(&mut self, operation: MediaOperation, interrupt: bool, now: Time) {
        if interrupt {
            self.cancel_queue(&Outcome::canceled(), now);
        }
        self.operations.queue.push_back(operation);
        let place = self.operations.queue.len() - 1;
        self.load_prompt(place, now);
        if place == 0 {
            self.advance(now);
        }
    }

    /// Refuses one too many, before anything is changed.
    fn must_have_room(&self, interrupt: bool) -> Result<(), Refusal> {
        if !interrupt && self.operations.queue.len() > MAX_QUEUED { Err(Refusal::QueueFull) } else { Ok(()) }
    }

    /// Begins the first operation of the queue, and the next where one ends at once, until one runs or waits.
    fn advance(&mut self, now: Time) {
        loop {
            let begun = match self.operations.queue.front() {
                None => return,
                Some(MediaOperation::Play(_)) => self.begin_play(now),
                Some(MediaOperation::Recognize(_)) => self.begin_recognize(now),
            };
            if begun {
                return;
            }
        }
    }

    /// Takes the first operation off the queue, with its prompt silenced.
    fn take_first(&mut self) -> Option<MediaOperation> {
        let mut operation = self.operations.queue.pop_front()?;
        self.stop_prompt(operation.prompt_mut());
        Some(operation)
    }

    /// Cancels all plays and recognitions, in their order.
    fn cancel_queue(&mut self, outcome: &Outcome, now: Time) {
        while let Some(operation) = self.take_first() {
            let (kind, context, callback) = match operation {
                MediaOperation::Play(play) => (EventKind::PlayCanceled, play.context, play.callback),
                MediaOperation::Recognize(r) => (EventKind::RecognizeCanceled, r.wish.context, r.wish.callback),
            };
            self.event(kind, outcome.clone(), context, callback, now);
        }
    }

    /// The call is over: each operation gets its last event, first the queue, then tones, then continuous DTMF,
    /// then a transfer.
    /// `left`: it was the other party who ended it.
    pub(super) fn end_operations(&mut self, left: bool, now: Time) {
        self.cancel_queue(&Outcome::canceled_by_end(), now);
        self.end_tones(now);
        self.end_continuous_dtmf(now);
        self.end_transfer(left, now);
    }

    pub(super) fn on_loaded(&mut self, load: LoadId, result: Result<Clips, LoadFailure>, now: Time) {
        let place = self.operations.queue.iter_mut().position(|operation| operation.prompt_mut().loaded(load, &result));
        if place == Some(0) {
            self.advance(now);
        }
    }

    pub(super) fn on_play_finished(&mut self, play: PlayId, now: Time) {
        match self.operations.queue.front_mut() {
            Some(operation) if operation.prompt().is_playing(play) => {
                operation.prompt_mut().state = PromptState::Over;
                match operation {
                    MediaOperation::Play(_) => self.complete_play(now),
                    MediaOperation::Recognize(_) => self.begin_listening(now),
                }
            }
            _ => {} // It crossed its own end.
        }
    }

    /// The first of the operations' timers that is due: a silence, or a load that takes too long.
    pub(super) fn on_operation_deadline(&mut self, now: Time) {
        let due = self.operations.deadline();
        if due.is_some() && self.operations.transfer.as_ref().is_some_and(|transfer| transfer.leave == due) {
            return self.on_transfer_deadline(now);
        }
        let Some(place) = self.operations.queue.iter().position(|operation| operation.deadline() == due) else {
            return;
        };
        if place == 0 && self.first_recognition().is_some_and(|recognize| recognize.silence_deadline().is_some()) {
            return self.on_silence_deadline(now);
        }
        if let Some(operation) = self.operations.queue.get_mut(place) {
            operation.prompt_mut().give_up_loading();
        }
        if place == 0 {
            self.advance(now);
        }
    }

    fn first_recognition(&self) -> Option<&RecognizeOperation> {
        match self.operations.queue.front() {
            Some(MediaOperation::Recognize(recognize)) => Some(recognize),
            _ => None,
        }
    }

    fn load_timeout(&self) -> Duration {
        self.settings.load_timeout
    }
}
