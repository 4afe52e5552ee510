//! Send tones: keys pressed towards a party, one sending after another, each in batches that media's queue can take.
//! Whether they leave by RFC 4733 or in-band is media's decision. Ends in `SendTonesCompleted` or `SendTonesFailed`.

use serde::{Deserialize, Serialize};

use super::super::{Call, Context, EventKind, MAX_QUEUED, MAX_TONES, Outcome, Party, Refusal, Reply};
use super::prompt::bad;
use crate::dtmf::Digit;
use crate::media::MediaCommand;
use crate::time::Time;

/// How many digits media is given at a time; its own queue takes 256 a leg.
const BATCH: usize = 64;

/// A sending, running or waiting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SendTonesOperation {
    /// What is left to be given to media; at most [`MAX_TONES`].
    tones: Vec<Digit>,
    /// The batch that media has.
    batch: Option<u64>,
    context: Context,
    callback: Option<String>,
}

impl Call {
    pub(in super::super) fn send_tones(
        &mut self,
        party: Party,
        tones: Vec<Digit>,
        context: Context,
        callback: Option<String>,
        _now: Time,
    ) -> Result<Reply, Refusal> {
        self.must_be_connected("send tones")?;
        if tones.is_empty() || tones.len() > MAX_TONES {
            return Err(bad("tones", format!("{} were given, 1 to {MAX_TONES} are allowed", tones.len())));
        }
        self.must_take_part(&party)?;
        if self.operations.tones.len() > MAX_QUEUED {
            return Err(Refusal::QueueFull);
        }
        self.operations.tones.push_back(SendTonesOperation { tones, batch: None, context, callback });
        self.send_next_batch();
        Ok(Reply::Accepted)
    }

    /// Gives media the next digits, unless it still has some.
    fn send_next_batch(&mut self) {
        let id = self.next_number();
        let Some(first) = self.operations.tones.front_mut() else { return };
        if first.batch.is_some() {
            return;
        }
        let rest = first.tones.split_off(first.tones.len().min(BATCH));
        let digits = std::mem::replace(&mut first.tones, rest);
        first.batch = Some(id);
        let (tone_ms, gap_ms) = (self.settings.tone_ms, self.settings.tone_gap_ms);
        self.media(MediaCommand::SendTones { leg: self.remote.leg, id, digits, tone_ms, gap_ms });
    }

    pub(in super::super) fn on_tones_sent(&mut self, id: u64, now: Time) {
        let Some(first) = self.operations.tones.front_mut() else { return };
        if first.batch != Some(id) {
            return; // It crossed its own end.
        }
        first.batch = None;
        if first.tones.is_empty() {
            self.end_first_tones(EventKind::SendTonesCompleted, Outcome::completed(), now);
        }
        self.send_next_batch();
    }

    pub(in super::super) fn on_tones_failed(&mut self, id: u64, reason: &str, now: Time) {
        if self.operations.tones.front().is_some_and(|first| first.batch == Some(id)) {
            self.end_first_tones(EventKind::SendTonesFailed, Outcome::tones_failed(reason), now);
            self.send_next_batch();
        }
    }

    pub(super) fn end_tones(&mut self, now: Time) {
        while !self.operations.tones.is_empty() {
            self.end_first_tones(EventKind::SendTonesFailed, Outcome::terminated(), now);
        }
    }

    fn end_first_tones(&mut self, kind: EventKind, outcome: Outcome, now: Time) {
        if let Some(operation) = self.operations.tones.pop_front() {
            self.event(kind, outcome, operation.context, operation.callback, now);
        }
    }
}
