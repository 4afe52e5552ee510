//! Makes inputs: a sound one with a few injuries, two of them spliced, or noise.

use strowger::random::Random;

/// The longest input that grows by mutation, in bytes.
const LONGEST: usize = 4096;

/// Makes the inputs of one target.
pub struct Mutator {
    /// Where all chance comes from.
    pub random: Random,
    /// Sound inputs.
    pub seeds: Vec<Vec<u8>>,
    /// Pieces worth inserting.
    pub spice: &'static [&'static [u8]],
}

impl Mutator {
    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    /// The next input.
    pub fn next(&mut self, input: &mut Vec<u8>) {
        input.clear();
        if self.seeds.is_empty() || self.below(16) == 0 {
            return self.noise(input);
        }
        *input = self.seed();
        if self.below(8) == 0 {
            let other = self.seed();
            let (keep, from) = (self.below(input.len() + 1), self.below(other.len() + 1));
            input.truncate(keep);
            input.extend_from_slice(&other[from..]);
        }
        // One injury as often as several: the deeper checks see only what is nearly sound.
        for _ in 0..=self.below(2) * self.below(5) {
            self.injure(input);
        }
        input.truncate(LONGEST);
    }

    fn noise(&mut self, input: &mut Vec<u8>) {
        for _ in 0..self.below(120) {
            if !self.spice.is_empty() && self.below(3) == 0 {
                let at = self.below(self.spice.len());
                input.extend_from_slice(self.spice[at]);
            } else {
                input.push(self.random.u32() as u8);
            }
        }
    }

    fn injure(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 => input.truncate(at),
            1 if at < input.len() => input[at] = self.random.u32() as u8,
            2 if at < input.len() => input[at] ^= 1 << self.below(8),
            3 => {
                let to = (at + self.below(12)).min(input.len());
                input.drain(at..to);
            }
            4 => {
                let to = (at + self.below(80)).min(input.len());
                let piece = input[at..to].to_vec();
                let into = self.below(input.len() + 1);
                input.splice(into..into, piece);
            }
            // A number becomes another one.
            5 => {
                let Some(first) = input.iter().skip(at).position(u8::is_ascii_digit).map(|n| n + at) else { return };
                let end = input[first..].iter().position(|b| !b.is_ascii_digit()).map_or(input.len(), |n| first + n);
                const NUMBERS: [&str; 9] =
                    ["0", "1", "255", "65536", "2147483648", "4294967296", "18446744073709551616", "", "-1"];
                let pick = self.below(NUMBERS.len());
                input.splice(first..end, NUMBERS[pick].bytes());
            }
            // One byte, again and again.
            6 if at < input.len() => {
                let run = vec![input[at]; self.below(300)];
                input.splice(at..at, run);
            }
            _ if !self.spice.is_empty() => {
                let pick = self.below(self.spice.len());
                input.splice(at..at, self.spice[pick].iter().copied());
            }
            _ => input.insert(at, self.random.u32() as u8),
        }
    }
}

/// All files of a folder of the repository.
pub fn files(folder: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let listing = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut names: Vec<_> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    // The order of a folder is nobody's promise; the same seed is to give the same inputs.
    names.sort();
    names.iter().filter(|name| name.is_file()).map(|name| std::fs::read(name).expect("a readable file")).collect()
}
