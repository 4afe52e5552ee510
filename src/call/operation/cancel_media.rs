//! Cancel all media operations: every play and recognition, running and waiting. Tones that are being sent, and
//! continuous DTMF, go on.

use super::super::{Call, Outcome, Refusal, Reply};
use crate::time::Time;

impl Call {
    /// With nothing to cancel it is carried out too, and no event follows.
    pub(in super::super) fn cancel_media(&mut self, now: Time) -> Result<Reply, Refusal> {
        self.must_be_connected("cancel media operations")?;
        self.cancel_queue(&Outcome::canceled(), now);
        Ok(Reply::Accepted)
    }
}
