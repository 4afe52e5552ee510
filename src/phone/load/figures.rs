//! Distributions of what was measured: all values where they are few, a histogram of fixed size where they are many.

/// A handful of values, kept as they are. Bound: one or two a call.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<f64>);

impl Values {
    /// Takes one more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The nearest-rank percentile, `share` being 0–1; none where nothing was measured.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }
}

/// Width of a histogram's buckets in milliseconds.
const WIDTH_MS: f64 = 0.01;
/// Buckets of a histogram; the last one is open: half a second and more.
const BUCKETS: usize = 50_000;

/// Times, to a hundredth of a millisecond, in 400 kB whatever their number.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    highest: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; BUCKETS], count: 0, highest: 0.0 }
    }
}

impl Histogram {
    /// Takes one more, in milliseconds; negative ones count as 0.
    pub fn add(&mut self, milliseconds: f64) {
        let bucket = ((milliseconds / WIDTH_MS) as usize).min(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.count += 1;
        self.highest = self.highest.max(milliseconds);
    }

    /// The nearest-rank percentile, rounded up to a bucket; none where nothing was measured.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let rank = ((share * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (number, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let edge = (number + 1) as f64 * WIDTH_MS;
                return Some(if number + 1 == BUCKETS { self.highest } else { edge.min(self.highest) });
            }
        }
        None
    }

    /// The highest value; none where nothing was measured.
    pub fn highest(&self) -> Option<f64> {
        (self.count > 0).then_some(self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut values = Values::default();
        assert_eq!(values.percentile(0.5), None);
        (1..=100).rev().for_each(|value| values.add(f64::from(value)));
        assert_eq!(
            [0.0, 0.25, 0.5, 0.99, 1.0].map(|share| values.percentile(share).unwrap()),
            [1.0, 25.0, 50.0, 99.0, 100.0]
        );
    }

    #[test]
    fn a_histogram_is_right_to_a_bucket_and_keeps_the_highest() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(0.5), histogram.highest()), (None, None));
        (0..1000).for_each(|n| histogram.add(f64::from(n) * 0.005));
        assert!((histogram.percentile(0.5).unwrap() - 2.5).abs() < 0.011);
        assert!((histogram.percentile(0.99).unwrap() - 4.95).abs() < 0.011);
        histogram.add(900.0);
        assert_eq!((histogram.percentile(1.0), histogram.highest()), (Some(900.0), Some(900.0)));
    }
}
