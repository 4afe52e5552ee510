//! What a line does to what is sent over it: noise, dial tone, codecs, echo, the prompt's own sound.

use strowger::media::codec::g711::{self, Law};
use strowger::random::Random;

use super::sound::{amplitude, normal, power, tone_at};
use super::speech;

/// What happens on the way.
#[derive(Clone, Copy)]
pub enum Line {
    /// Nothing.
    Clean,
    /// White noise, `snr` dB below the two tones together when the stronger one has `level` dBm0.
    Noise { snr: f64, level: f64 },
    /// Steady tones of these frequencies in Hz, each at so many dBm0.
    DialTone(&'static [f64], f64),
    /// Through these codecs, one after the other.
    Codecs(&'static [Law]),
    /// The same again 20 ms later, 10 dB weaker.
    Echo,
    /// A voice, so many dB below the two tones at −10 dBm0.
    Speech(f64),
}

impl Line {
    /// Carries samples; in place.
    pub fn carry(self, samples: &mut [f64], random: &mut Random) {
        match self {
            Line::Clean => {}
            Line::Noise { snr, level } => {
                let deviation = amplitude(level) * 10f64.powf(-snr / 20.0);
                samples.iter_mut().for_each(|sample| *sample += deviation * normal(random));
            }
            Line::DialTone(frequencies, level) => {
                for frequency in frequencies {
                    tone_at(samples, *frequency, amplitude(level), 0.0);
                }
            }
            Line::Codecs(laws) => {
                for sample in samples {
                    let heard = |sample: i16, law: &Law| g711::decode(*law, g711::encode(*law, sample));
                    // A cast from float saturates.
                    *sample = f64::from(laws.iter().fold(sample.round() as i16, heard));
                }
            }
            Line::Echo => {
                for at in (160..samples.len()).rev() {
                    samples[at] += 10f64.powf(-10.0 / 20.0) * samples[at - 160];
                }
            }
            Line::Speech(below) => {
                let voice = speech::voice(samples.len(), random);
                let wanted = amplitude(-10.0).powi(2) * 10f64.powf(-below / 10.0);
                let gain = (wanted / power(&voice)).sqrt();
                samples.iter_mut().zip(voice).for_each(|(sample, voice)| *sample += gain * voice);
            }
        }
    }
}
