//! How a stream sounds in both directions, by the E-model: what was measured here, and what the peer's RTCP reports
//! say of our own packets. The model is [`crate::rtp::emodel`].

use std::time::Duration;

use super::Stream;
use crate::media::FRAME;
use crate::rtp::emodel::{Conditions, Impairment, Rating, rate};
use crate::rtp::statistics::StreamStatistics;
use crate::session::Codec;

/// What a peer's playout buffer is taken to hold at least; its reports do not say.
const LEAST_REMOTE_BUFFER: Duration = Duration::from_millis(40);

impl Stream {
    /// What we heard; none where nothing came.
    pub(super) fn rate_heard(&self, statistics: &StreamStatistics) -> Option<Rating> {
        let came = statistics.packets_received.saturating_sub(statistics.duplicates);
        if came == 0 {
            return None;
        }
        let expected = (came + statistics.packets_lost) as f64;
        let lost = statistics.packets_lost as f64;
        let loss = lost / expected;
        Some(rate(&Conditions {
            delay: one_way(statistics) + FRAME + milliseconds(statistics.mean_playout_delay_ms),
            // What was late was made up for, too, whether it was played afterwards or not.
            loss: (statistics.concealed_ms / statistics.played_ms.max(1.0)).min(1.0),
            burst_ratio: lost / self.loss_runs.max(1) as f64 * (1.0 - loss),
            impairment: impairment(self.heard_codec?),
        }))
    }

    /// What the peer heard; none where it never reported on our stream.
    pub(super) fn rate_sent(&self, statistics: &StreamStatistics) -> Option<Rating> {
        let lost = statistics.remote_lost?.max(0);
        let buffer = Duration::try_from_secs_f64(statistics.remote_jitter_ms.unwrap_or(0.0) * 2.0 / 1_000.0);
        Some(rate(&Conditions {
            delay: one_way(statistics) + FRAME + buffer.unwrap_or_default().max(LEAST_REMOTE_BUFFER),
            loss: (f64::from(lost) / statistics.packets_sent.max(1) as f64).min(1.0),
            // Its reports do not tell how the loss is bunched.
            burst_ratio: 1.0,
            impairment: impairment(statistics.codec?),
        }))
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default()
}

/// Half the round trip; unknown, as good as none.
fn one_way(statistics: &StreamStatistics) -> Duration {
    Duration::try_from_secs_f64(statistics.round_trip_ms.unwrap_or(0.0) / 2_000.0).unwrap_or_default()
}

fn impairment(codec: Codec) -> Impairment {
    match codec {
        Codec::Pcmu | Codec::Pcma => Impairment::G711,
        Codec::G722 => Impairment::G722,
        Codec::L16 => Impairment::LINEAR,
        Codec::Opus => Impairment::OPUS,
    }
}
