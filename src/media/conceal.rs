//! Packet loss concealment: a hole is filled with the last pitch period, repeated and faded out over 60 ms, and the
//! return of real audio is cross-faded. The idea is that of ITU-T G.711 Appendix I, with a shorter memory.
//! It works on runs of samples as [`crate::rtp::jitter::Playout`] hands them out.

/// Samples remembered: two of the longest pitch periods.
const HISTORY: usize = 240;
/// Pitch periods looked at: 2.5–15 ms (400–66 Hz).
const SHORTEST: usize = 20;
const LONGEST: usize = 120;
/// Samples compared for one candidate period.
const COMPARED: usize = 120;
/// Samples at full level, then until silence.
const HOLD: usize = 80;
const FADE: usize = 400;
/// Samples made up after which there is only silence.
const SILENT: usize = HOLD + FADE;
/// Samples of cross-fade when real audio returns (4 ms).
const RETURN: usize = 32;

/// Fills holes in one stream.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// The last real samples, newest last.
    history: [i16; HISTORY],
    /// Samples made up since the last real one.
    made: usize,
    period: usize,
    /// Samples of cross-fade still to do.
    returning: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Concealer { history: [0; HISTORY], made: SILENT, period: LONGEST, returning: 0 }
    }
}

impl Concealer {
    /// Real samples: copied to `out` (of the same length), softened where they follow a hole.
    pub fn present(&mut self, samples: &[i16], out: &mut [i16]) {
        if self.made >= SILENT && self.returning == 0 {
            // After silence, and at the very start, there is nothing to fade from.
            self.made = 0;
        } else if self.made > 0 && self.returning == 0 {
            self.returning = RETURN;
        }
        for (to, &real) in out.iter_mut().zip(samples) {
            *to = if self.returning > 0 {
                let weight = self.returning as i32;
                let made = i32::from(self.make());
                self.returning -= 1;
                if self.returning == 0 {
                    self.made = 0;
                }
                ((made * weight + i32::from(real) * (RETURN as i32 - weight)) / RETURN as i32) as i16
            } else {
                real
            };
        }
        self.remember(samples);
    }

    /// A hole: `out` is filled with what plausibly was there.
    pub fn missing(&mut self, out: &mut [i16]) {
        if self.made == 0 {
            self.period = self.find_period();
        }
        self.returning = 0;
        for sample in out {
            *sample = self.make();
        }
    }

    /// Forgets the past: the stream is another one now.
    pub fn reset(&mut self) {
        *self = Concealer::default();
    }

    fn make(&mut self) -> i16 {
        let at = HISTORY - self.period + self.made % self.period;
        let gain = SILENT.saturating_sub(self.made).min(FADE) as i32;
        // Stays put after the fade: a stream that is gone for good must not overflow it.
        self.made = (self.made + 1).min(SILENT + LONGEST);
        i32::from(self.history.get(at).copied().unwrap_or(0)).wrapping_mul(gain).wrapping_div(FADE as i32) as i16
    }

    fn remember(&mut self, samples: &[i16]) {
        let kept = samples.len().min(HISTORY);
        self.history.copy_within(kept.., 0);
        if let (Some(to), Some(from)) = (self.history.get_mut(HISTORY - kept..), samples.get(samples.len() - kept..)) {
            to.copy_from_slice(from);
        }
    }

    /// The lag at which the newest audio is most like what came before it (normalised cross-correlation).
    fn find_period(&self) -> usize {
        let newest = self.history.get(HISTORY - COMPARED..).unwrap_or(&[]);
        let mut best = (0.0, LONGEST);
        for lag in SHORTEST..=LONGEST {
            let older = self.history.get(HISTORY - COMPARED - lag..HISTORY - lag).unwrap_or(&[]);
            let (mut product, mut energy) = (0i64, 1i64);
            for (&a, &b) in newest.iter().zip(older) {
                product += i64::from(a) * i64::from(b);
                energy += i64::from(b) * i64::from(b);
            }
            if product > 0 {
                let likeness = product as f64 * product as f64 / energy as f64;
                // Strictly better: of equals (a period and its multiples) the shortest stays.
                if likeness > best.0 {
                    best = (likeness, lag);
                }
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(period: f64, count: usize) -> Vec<i16> {
        (0..count).map(|n| ((n as f64 * std::f64::consts::TAU / period).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn a_hole_in_a_steady_sound_is_filled_without_a_click() {
        for period in [25.0, 40.0, 53.0, 80.0] {
            let sound = sine(period, 960);
            let mut concealer = Concealer::default();
            let mut out = vec![0; 960];
            for frame in 0..6 {
                let range = frame * 160..(frame + 1) * 160;
                match frame {
                    3 => concealer.missing(&mut out[range]),
                    _ => concealer.present(&sound[range.clone()], &mut out[range]),
                }
            }
            let steepest = sound.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
            for (n, pair) in out.windows(2).enumerate() {
                let step = (i32::from(pair[1]) - i32::from(pair[0])).abs();
                assert!(step <= i32::from(steepest) * 3 / 2, "period {period}: a step of {step} at {n}");
            }
            // The first half of the hole is nearly what was lost.
            let error = (480..560).map(|n| (out[n] - sound[n]).abs()).max().unwrap();
            assert!(error < 1_500, "period {period}: off by {error}");
            assert_eq!(out[700..], sound[700..], "real audio is untouched after the cross-fade");
        }
    }

    #[test]
    fn a_long_hole_fades_to_silence_and_stays_there() {
        let mut concealer = Concealer::default();
        let mut out = [0; 160];
        concealer.present(&sine(50.0, 160), &mut out);
        for frame in 0..100_000 {
            concealer.missing(&mut out);
            if frame >= 3 {
                assert_eq!(out, [0; 160], "frame {frame}");
            } else {
                assert!(out.iter().any(|&s| s != 0));
            }
        }
    }

    #[test]
    fn nothing_before_gives_silence_and_odd_runs_fit() {
        let mut concealer = Concealer::default();
        let mut out = [1; 53];
        concealer.missing(&mut out);
        assert_eq!(out, [0; 53]);
        let mut out = [0; 7];
        for _ in 0..20 {
            concealer.present(&[i16::MIN; 7], &mut out);
            concealer.missing(&mut out);
        }
        concealer.present(&[], &mut []);
        concealer.present(&[5; 1_000], &mut [0; 1_000]);
        concealer.missing(&mut [0; 1_000]);
    }
}
