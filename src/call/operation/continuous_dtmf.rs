//! Continuous DTMF: each key of a party is told as it is pressed, beside whatever else runs. Each start that is not
//! taken over by another start is followed by one `ContinuousDtmfStopped`, at the latest when the call ends.

use serde::{Deserialize, Serialize};

use super::super::{Call, Context, EventKind, Outcome, Party, Refusal, Reply};
use crate::dtmf::Digit;
use crate::time::Time;

/// Continuous DTMF that is on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContinuousDtmf {
    context: Context,
    callback: Option<String>,
    /// The `sequence_id` of the last tone.
    sequence_id: u32,
}

impl Call {
    /// Where it is on already, the new start takes over: its context holds, and tones are counted from 1 again.
    pub(in super::super) fn start_continuous_dtmf(
        &mut self,
        party: Party,
        context: Context,
        callback: Option<String>,
        _now: Time,
    ) -> Result<Reply, Refusal> {
        self.must_be_connected("start continuous DTMF")?;
        self.must_take_part(&party)?;
        self.operations.continuous = Some(ContinuousDtmf { context, callback, sequence_id: 0 });
        Ok(Reply::Accepted)
    }

    /// Where it is not on, it is stopped all the same: the event follows.
    pub(in super::super) fn stop_continuous_dtmf(
        &mut self,
        party: Party,
        context: Context,
        callback: Option<String>,
        now: Time,
    ) -> Result<Reply, Refusal> {
        self.must_be_connected("stop continuous DTMF")?;
        self.must_take_part(&party)?;
        let (mine, my_callback) = match self.operations.continuous.take() {
            Some(continuous) => (continuous.context, continuous.callback),
            None => (None, None),
        };
        let (context, callback) = (context.or(mine), callback.or(my_callback));
        self.event(EventKind::ContinuousDtmfStopped, Outcome::success(), context, callback, now);
        Ok(Reply::Accepted)
    }

    /// A key was pressed. True: it was told.
    pub(in super::super) fn continuous_digit(&mut self, tone: Digit, now: Time) -> bool {
        let Some(continuous) = &mut self.operations.continuous else { return false };
        continuous.sequence_id = continuous.sequence_id.saturating_add(1);
        let kind = EventKind::ContinuousDtmfTone { sequence_id: continuous.sequence_id, tone };
        let (context, callback) = (continuous.context.clone(), continuous.callback.clone());
        self.event(kind, Outcome::success(), context, callback, now);
        true
    }

    pub(super) fn end_continuous_dtmf(&mut self, now: Time) {
        if let Some(continuous) = self.operations.continuous.take() {
            let outcome = Outcome { message: "The call ended.".to_owned(), ..Outcome::success() };
            self.event(EventKind::ContinuousDtmfStopped, outcome, continuous.context, continuous.callback, now);
        }
    }
}
