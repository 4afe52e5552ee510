//! Comfort noise: what is heard where nothing is meant to be (a telephone event, a sender that suppresses silence), and
//! under what fades. As loud as the quietest of what was heard lately, and never louder than −67 dB of full scale.

/// Greatest amplitude.
const MOST: u32 = 16;

/// Knows how loud silence is on this line.
#[derive(Clone, Debug)]
pub struct Comfort {
    /// Mean absolute sample of the quietest frames, times 256.
    floor: u32,
    state: u32,
}

impl Default for Comfort {
    fn default() -> Self {
        Comfort { floor: 0, state: 1 }
    }
}

impl Comfort {
    /// A frame was heard whose mean absolute sample is `mean`.
    pub fn heard(&mut self, mean: u32) {
        let mean = mean.min(0xFFFF) * 256;
        // Down at once, up by 1.5 % a frame: a word does not lift it, a fan does within seconds.
        self.floor = if mean < self.floor { mean } else { mean.min(self.floor + self.floor / 64 + 1) };
    }

    /// Fills `out` with noise.
    pub fn fill(&mut self, out: &mut [i16]) {
        // An even distribution up to twice the mean has that mean.
        let amplitude = (self.floor / 128).min(MOST);
        if amplitude == 0 {
            out.fill(0);
            return;
        }
        for sample in out {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = ((self.state >> 16) % (2 * amplitude + 1)) as i16 - amplitude as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_loud_as_the_quietest() {
        let mut comfort = Comfort::default();
        let mut out = [9; 160];
        comfort.fill(&mut out);
        assert_eq!(out, [0; 160]);
        (0..2_000).for_each(|_| comfort.heard(6));
        comfort.fill(&mut out);
        assert!(out.iter().all(|s| s.abs() <= 12) && out.iter().any(|s| s.abs() > 8));
        (0..100_000).for_each(|_| comfort.heard(20_000));
        comfort.fill(&mut out);
        assert!(out.iter().all(|s| s.abs() <= 16));
    }
}
