//! Voices without a digit in them: the prompts that we ship, and the recordings of Debian's package
//! asterisk-core-sounds-en-wav, which `tests/run.sh` installs.

use std::fs::File;
use std::path::{Path, PathBuf};

use strowger::prompt::decode::decode_file;
use strowger::random::Random;

use super::heard;
use super::sound::power;

/// Where the package puts its recordings.
const RECORDINGS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
/// Recordings that a voice is made of: some minutes.
const VOICE_FILES: usize = 120;
/// Silence between recordings: 200 ms.
const PAUSE: usize = 1600;

fn wav_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}; tests/run.sh installs asterisk-core-sounds-en-wav", folder.display())
        });
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wav") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<i16> {
    let file = File::open(path).expect("a recording");
    let mut samples = Vec::new();
    decode_file(&path.display().to_string(), file, &mut |more| samples.extend_from_slice(more)).expect("audio");
    samples
}

/// So many samples of a voice that speaks without pauses, from anywhere in the recordings.
pub fn voice(count: usize, random: &mut Random) -> Vec<f64> {
    let files = wav_files(Path::new(RECORDINGS));
    let samples: Vec<f64> = files.iter().take(VOICE_FILES).flat_map(|path| read(path)).map(f64::from).collect();
    let loud = 0.05 * power(&samples);
    let spoken: Vec<f64> = samples.chunks(160).filter(|frame| power(frame) > loud).flatten().copied().collect();
    assert!(spoken.len() > 8000 * 60, "a minute of speech in {RECORDINGS}");
    let from = random.below(spoken.len() as u64) as usize;
    spoken.into_iter().cycle().skip(from).take(count).collect()
}

/// Hears them all, one after the other, and names those in which a digit was imagined.
fn silent(files: &[PathBuf]) {
    let mut seconds = 0;
    let mut imagined = Vec::new();
    for path in files {
        let mut samples = read(path);
        seconds += samples.len() / 8000;
        samples.resize(samples.len() + PAUSE, 0);
        imagined.extend(heard(&samples).into_iter().map(|(digit, at)| format!("{digit} at {at} ms in {path:?}")));
    }
    assert!(imagined.is_empty(), "{} digits imagined in {seconds} s of speech: {imagined:#?}", imagined.len());
}

#[test]
fn the_prompts_that_ship_hold_no_digit() {
    let files = wav_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts"));
    assert!(files.len() > 60);
    silent(&files);
}

#[test]
fn recordings_hold_no_digit() {
    let files = wav_files(Path::new(RECORDINGS));
    assert!(files.len() > 300, "{} recordings in {RECORDINGS}", files.len());
    silent(&files);
}
