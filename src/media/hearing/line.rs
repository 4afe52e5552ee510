//! The samples of one stream around the present: what was played last (concealment looks back at it), and what is
//! decoded and not yet played. A fixed buffer that is moved together when its end is reached, every dozen frames.

/// Played samples that are kept, in milliseconds.
const PAST_MS: usize = 60;
/// Room for what is not yet played: the longest packet (`codec::MAX_PACKET_SAMPLES` at 8 kHz, 240 ms), two frames
/// before it, and what makes moving rare.
const ROOM_MS: usize = 400;

/// The samples. 7.4 kB at 8 kHz.
#[derive(Clone, Debug)]
pub struct Line {
    samples: Vec<i16>,
    past: usize,
    start: usize,
    end: usize,
}

impl Line {
    /// Silence, at `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let mut line = Line { samples: Vec::new(), past: 0, start: 0, end: 0 };
        line.reset(rate);
        line
    }

    /// Silence at another rate. Allocates only where the rate is higher than any before.
    pub fn reset(&mut self, rate: u32) {
        let per_ms = rate as usize / 1_000;
        self.past = PAST_MS * per_ms;
        self.samples.clear();
        self.samples.resize((PAST_MS + ROOM_MS) * per_ms, 0);
        self.start = self.past;
        self.end = self.past;
    }

    /// Samples that are not yet played.
    pub fn ahead(&self) -> usize {
        self.end - self.start
    }

    /// The first `count` of them; fewer where there are fewer.
    pub fn next(&self, count: usize) -> &[i16] {
        self.samples.get(self.start..self.end.min(self.start + count)).unwrap_or(&[])
    }

    /// All up to the newest, played or not.
    pub fn all(&self) -> &[i16] {
        self.samples.get(..self.end).unwrap_or(&[])
    }

    /// The newest `count`.
    pub fn newest(&self, count: usize) -> &[i16] {
        self.samples.get(self.end.saturating_sub(count)..self.end).unwrap_or(&[])
    }

    /// The newest `count`, to be changed.
    pub fn newest_mut(&mut self, count: usize) -> &mut [i16] {
        self.samples.get_mut(self.end.saturating_sub(count)..self.end).unwrap_or(&mut [])
    }

    /// The past and what is ahead, and where the latter begins.
    pub fn around(&mut self) -> (&mut [i16], usize) {
        let from = self.start - self.past.min(self.start);
        let at = self.start - from;
        (self.samples.get_mut(from..self.end).unwrap_or(&mut []), at)
    }

    /// So many have been played.
    pub fn play(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Room for `count` more; less where the buffer has less. They count once [`add`](Self::add)ed.
    pub fn room(&mut self, count: usize) -> &mut [i16] {
        if self.end + count > self.samples.len() {
            let from = self.start - self.past.min(self.start);
            self.samples.copy_within(from..self.end, 0);
            self.start -= from;
            self.end -= from;
        }
        let most = self.samples.len();
        self.samples.get_mut(self.end..most.min(self.end + count)).unwrap_or(&mut [])
    }

    /// The first `count` of the room are samples now.
    pub fn add(&mut self, count: usize) {
        self.end = (self.end + count).min(self.samples.len());
    }

    /// Takes back the newest `count`, as far as they are not played.
    pub fn take_back(&mut self, count: usize) {
        self.end = self.end.saturating_sub(count).max(self.start);
    }

    /// Lets `count` samples go out of the unplayed ones, those from `at` (counted from the next to be played) on.
    pub fn cut(&mut self, at: usize, count: usize) {
        let from = self.start + at;
        if from + count <= self.end {
            self.samples.copy_within(from + count..self.end, from);
            self.end -= count;
        }
    }

    /// Doubles the `count` samples before the unplayed one at `at`: they come again there. False: no room.
    pub fn double(&mut self, at: usize, count: usize) -> bool {
        if self.room(count).len() < count {
            return false;
        }
        let place = self.start + at;
        if place < count || place > self.end {
            return false;
        }
        self.samples.copy_within(place..self.end, place + count);
        self.samples.copy_within(place - count..place, place);
        self.end += count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_pass_in_order_and_the_past_stays() {
        let mut line = Line::new(8_000);
        let mut played = Vec::new();
        for frame in 0..200i16 {
            let room = line.room(160);
            room.fill(frame);
            line.add(160);
            if frame >= 3 {
                played.extend_from_slice(line.next(160));
                line.play(160);
            }
            assert!(line.all().len() >= 480);
        }
        assert!(played.chunks(160).enumerate().all(|(n, chunk)| chunk == [n as i16; 160]));
        assert_eq!(line.ahead(), 480);
        assert_eq!(line.newest(1), [199]);
        line.take_back(1_000);
        assert_eq!((line.ahead(), line.newest(1)), (0, &[196][..]));
    }

    #[test]
    fn cutting_and_doubling() {
        let mut line = Line::new(8_000);
        for (n, sample) in line.room(10).iter_mut().enumerate() {
            *sample = n as i16;
        }
        line.add(10);
        line.cut(2, 3);
        assert_eq!(line.next(100), [0, 1, 5, 6, 7, 8, 9]);
        assert!(line.double(2, 2));
        assert_eq!(line.next(100), [0, 1, 0, 1, 5, 6, 7, 8, 9]);
        assert!(!line.double(0, 5_000));
    }
}
