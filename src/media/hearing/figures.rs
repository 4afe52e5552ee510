//! What hearing counts, as it is shown: kept in samples of 8 kHz and microseconds, told in milliseconds.

use super::Hearing;

/// What was heard so far. All in milliseconds, but `bursts` and `undecodable`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Played since the first packet.
    pub played_ms: f64,
    /// Of that, made up for what was lost or late.
    pub concealed_ms: f64,
    /// Recovered from the next packet.
    pub recovered_ms: f64,
    /// Won by playing slower, and lost by playing faster.
    pub lengthened_ms: f64,
    /// See above.
    pub shortened_ms: f64,
    /// Passed over because far too much was waiting.
    pub skipped_ms: f64,
    /// Holes, however long.
    pub bursts: u64,
    /// Packets whose payload is not what their type says; they count as lost in the others.
    pub undecodable: u64,
    /// The delay of what is played now over the fastest packet of late, and its mean since the start.
    pub delay_ms: f64,
    /// See above.
    pub mean_delay_ms: f64,
    /// What the delay should be.
    pub target_ms: f64,
}

impl Hearing {
    /// What was heard so far.
    pub fn figures(&self) -> Figures {
        let ms = |samples: u64| samples as f64 / 8.0;
        Figures {
            played_ms: ms(self.played),
            concealed_ms: ms(self.concealed),
            recovered_ms: ms(self.recovered),
            lengthened_ms: ms(self.lengthened),
            shortened_ms: ms(self.shortened),
            skipped_ms: ms(self.skipped),
            bursts: self.bursts,
            undecodable: self.undecodable,
            delay_ms: self.delay_now as f64 / 1_000.0,
            mean_delay_ms: self.delay_sum as f64 / self.delay_count.max(1) as f64 / 1_000.0,
            target_ms: self.target() as f64 / 1_000.0,
        }
    }
}
