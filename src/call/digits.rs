//! Keys that the remote party presses: reports of all ways go through the leg's arbiter, and a press goes to whoever
//! listens. Every press and every drop is on the timeline. What a press means to an operation is `operation`'s.

use super::{Call, CallState, Topic};
use crate::dtmf::info::InfoDigit;
use crate::dtmf::{DropReason, Report, Verdict};
use crate::time::Time;

impl Call {
    /// What RFC 4733, the in-band detector or INFO says of a key.
    pub(super) fn on_report(&mut self, report: Report, now: Time) {
        let verdict = self.remote.arbiter.report(report, now);
        self.on_verdict(verdict, now);
        self.on_turns(now);
    }

    /// Presses whose turn has come.
    pub(super) fn on_turns(&mut self, now: Time) {
        while let Some(verdict) = self.remote.arbiter.poll(now) {
            self.on_verdict(verdict, now);
        }
    }

    fn on_verdict(&mut self, verdict: Verdict, now: Time) {
        match verdict {
            Verdict::Press { digit, way } => {
                self.note(now, Topic::Dtmf, format!("{digit} pressed, by {way}"));
                if self.state != CallState::Connected {
                    return self.note(now, Topic::Dtmf, format!("{digit} discarded: the call is {}", self.state));
                }
                let told = self.continuous_digit(digit, now);
                if !self.recognize_digit(digit, now) && !told {
                    self.note(now, Topic::Dtmf, format!("{digit} discarded: nobody listens"));
                }
            }
            Verdict::Waits { digit, way, released: false } => {
                let text = format!("{digit} by {way} waits for its turn: a tone from before it may still be unheard");
                self.note(now, Topic::Dtmf, text);
            }
            Verdict::Waits { .. } | Verdict::Release { .. } => {}
            // Each press that came several ways has one of these for each way; its start was on the timeline.
            Verdict::Dropped { reason: DropReason::EndOfDuplicate { .. } } => {}
            Verdict::Dropped { reason } => self.note(now, Topic::Dtmf, format!("dropped: {reason}")),
        }
    }

    /// The peer sent INFO: a digit, or nothing that we read.
    pub(super) fn on_info(&mut self, content_type: &str, body: &[u8], now: Time) {
        match InfoDigit::parse(content_type, body) {
            Ok(digit) => {
                for report in digit.reports(now) {
                    self.on_report(report, now);
                }
            }
            Err(error) => self.note(now, Topic::Dtmf, format!("INFO is no digit: {error}")),
        }
    }
}
