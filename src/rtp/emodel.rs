//! How good a conversation sounds, as a figure: the E-model of ITU-T G.107 (06/2015), with the equipment impairments
//! of G.113 Appendix I and the mean opinion score of G.107 Annex B.
//!
//! What it takes is what a stream measures: delay, loss and how the loss is bunched, and the codec. Everything else
//! (loudness, noise, echo) has the recommendation's default. It stays on the narrow-band scale, on which G.711 without
//! loss or delay has R = 93.2 and MOS 4.41, so that figures of calls in different codecs can be compared: a wide-band
//! codec is not rated above it, though it sounds better.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a codec and its concealment do to speech (G.113 Appendix I).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Ie: the codec's own impairment, without loss. 0 for G.711.
    pub equipment: f64,
    /// Bpl: how robust codec and concealment are against loss; larger is better. 25.1 for G.711 with concealment, 4.3
    /// without.
    pub robustness: f64,
}

impl Impairment {
    /// G.711, lost frames concealed (G.711 Appendix I): G.113 table I.4.
    pub const G711: Impairment = Impairment { equipment: 0.0, robustness: 25.1 };
    /// G.722 at 64 kbit/s. G.113 rates it on the wide-band scale only, where it comes before narrow-band G.711; taken
    /// as without impairment here, with the robustness of concealed G.711.
    pub const G722: Impairment = Impairment { equipment: 0.0, robustness: 25.1 };
    /// Opus at speech rates. G.113 does not rate it; in-band redundancy makes it at least as robust as the best codec
    /// that it does rate.
    pub const OPUS: Impairment = Impairment { equipment: 0.0, robustness: 28.0 };
    /// Linear samples.
    pub const LINEAR: Impairment = Impairment::G711;
}

/// One direction of a call, as its hearer has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Mouth to ear, one way: packetisation, network, playout buffer, codec.
    pub delay: Duration,
    /// The part of the packets that was not there when it should have been played, 0–1: lost or too late.
    pub loss: f64,
    /// BurstR: the mean length of a run of lost packets, as a multiple of what it would be if they were lost
    /// independently of each other. 1: independently; below 1 is taken as 1.
    pub burst_ratio: f64,
    /// Codec and concealment.
    pub impairment: Impairment,
}

/// A rating.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// The transmission rating R, 0–93.2. Above 80 users are satisfied, below 60 nearly all are not (G.107 Annex B).
    pub r: f64,
    /// The estimated mean opinion score for conversation, MOS-CQE, 1–4.5.
    pub mos: f64,
}

/// Defaults of G.107 table 2: send and receive loudness, room noise and all else summed into the noise that a receiver
/// hears with no one speaking (No, dBm0p, equation 7-3), and the losses of talker's and listener's echo.
const SEND_LOUDNESS: f64 = 8.0;
const RECEIVE_LOUDNESS: f64 = 2.0;
const NOISE: f64 = -61.178;
const TALKER_ECHO_LOUDNESS: f64 = 65.0;
const ECHO_PATH_LOSS: f64 = 110.0;
/// Is: what goes with the voice itself (loudness, side tone, quantising), at the defaults.
const SIMULTANEOUS: f64 = 1.414;

/// Rates one direction.
pub fn rate(conditions: &Conditions) -> Rating {
    let milliseconds = conditions.delay.as_secs_f64() * 1_000.0;
    let r = signal_to_noise() - SIMULTANEOUS - delay_impairment(milliseconds) - loss_impairment(conditions);
    let r = r.clamp(0.0, 100.0);
    Rating { r, mos: mean_opinion(r) }
}

/// Ro (equation 7-2).
fn signal_to_noise() -> f64 {
    15.0 - 1.5 * (SEND_LOUDNESS + NOISE)
}

/// Id (equation 7-18): talker's echo, listener's echo, and that a conversation with a long delay is none.
fn delay_impairment(one_way: f64) -> f64 {
    // Talker's echo (7-19 to 7-22).
    let no_echo = -1.5 * (NOISE - RECEIVE_LOUDNESS);
    let masked = TALKER_ECHO_LOUDNESS - 40.0 * ((1.0 + one_way / 10.0) / (1.0 + one_way / 150.0)).log10()
        + 6.0 * (-0.3 * one_way * one_way).exp();
    let echo = 80.0 + 2.5 * (masked - 14.0);
    let talker =
        ((no_echo - echo) / 2.0 + ((no_echo - echo).powi(2) / 4.0 + 100.0).sqrt() - 1.0) * (1.0 - (-one_way).exp());
    // Listener's echo (7-25, 7-26).
    let listener_echo = 10.5 * (ECHO_PATH_LOSS + 7.0) * (2.0 * one_way + 1.0).powf(-0.25);
    let difference = signal_to_noise() - listener_echo;
    let listener = difference / 2.0 + (difference.powi(2) / 4.0 + 169.0).sqrt();
    // Absolute delay (7-27 and 7-28).
    let absolute = if one_way <= 100.0 {
        0.0
    } else {
        let x = (one_way / 100.0).log2();
        25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
    };
    talker + listener + absolute
}

/// Ie-eff (equation 7-29).
fn loss_impairment(conditions: &Conditions) -> f64 {
    let Impairment { equipment, robustness } = conditions.impairment;
    let percent = conditions.loss.clamp(0.0, 1.0) * 100.0;
    if percent == 0.0 {
        return equipment;
    }
    equipment + (95.0 - equipment) * percent / (percent / conditions.burst_ratio.max(1.0) + robustness)
}

/// MOS-CQE of a rating (Annex B).
fn mean_opinion(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        // The cubic dips below 1 for the very smallest ratings.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(delay_ms: u64, loss: f64, burst_ratio: f64, impairment: Impairment) -> Rating {
        rate(&Conditions { delay: Duration::from_millis(delay_ms), loss, burst_ratio, impairment })
    }

    #[test]
    fn the_defaults_of_the_recommendation_give_its_rating() {
        let best = rated(0, 0.0, 1.0, Impairment::G711);
        assert!((best.r - 93.2).abs() < 0.06, "{best:?}");
        assert!((best.mos - 4.41).abs() < 0.01, "{best:?}");
    }

    /// G.107 table B.1: rating to opinion score.
    #[test]
    fn opinion_follows_the_recommendations_table() {
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58), (0.0, 1.0)] {
            assert!((mean_opinion(r) - mos).abs() < 0.01, "R {r}: {}", mean_opinion(r));
        }
        assert_eq!(mean_opinion(100.0), 4.5);
        assert!((1..30).all(|r| mean_opinion(f64::from(r) / 10.0) >= 1.0));
    }

    /// The well-known short form of the delay impairment (Cole and Rosenbluth, 2001), fitted to the same model.
    #[test]
    fn delay_costs_what_the_short_form_says() {
        let none = rated(0, 0.0, 1.0, Impairment::G711).r;
        for ms in [20, 50, 100, 150, 200, 250, 300, 350] {
            let d = f64::from(ms);
            let short = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
            let cost = none - rated(u64::from(ms as u32), 0.0, 1.0, Impairment::G711).r;
            assert!((cost - short).abs() < 2.0, "{ms} ms: {cost}, short form {short}");
        }
    }

    #[test]
    fn loss_costs_more_without_concealment_and_more_in_bursts() {
        let plain = Impairment { equipment: 0.0, robustness: 4.3 };
        // G.113: 5 % random loss of G.711 without concealment costs about 51, with it 15.8.
        let none = rated(0, 0.0, 1.0, plain).r;
        assert!((none - rated(0, 0.05, 1.0, plain).r - 51.08).abs() < 0.05);
        assert!((none - rated(0, 0.05, 1.0, Impairment::G711).r - 15.78).abs() < 0.05);
        assert!(rated(0, 0.05, 2.0, Impairment::G711).r < rated(0, 0.05, 1.0, Impairment::G711).r);
        assert_eq!(rated(0, 0.05, 0.2, Impairment::G711), rated(0, 0.05, 1.0, Impairment::G711));
    }

    #[test]
    fn everything_worse_is_rated_no_better_and_stays_in_range() {
        let mut last = 101.0;
        for step in 0..=100 {
            let rating = rated(step * 10, step as f64 / 100.0, 1.0 + step as f64, Impairment::G711);
            assert!(rating.r <= last && (0.0..=100.0).contains(&rating.r), "{step}: {rating:?}");
            assert!((1.0..=4.5).contains(&rating.mos));
            last = rating.r;
        }
        assert_eq!(rated(3_600_000, 1.0, f64::NAN, Impairment::G711).mos, 1.0);
    }
}
