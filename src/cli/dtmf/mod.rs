//! `strowger dtmf FILE`: the digits in an audio file, as the in-band detector of a call would hear them. It starts no
//! engine and opens no database. What the detector thinks is `dtmf::tone`'s business; reading files is `prompt`'s.

mod candidate;
mod explain;
#[cfg(feature = "plot")]
mod plot;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::candidate::{Candidate, Listener};
use crate::dtmf::tone::{Detector, SAMPLE_RATE, ToneEdge, ToneReport};
use crate::prompt::PromptError;
use crate::prompt::decode::decode_file;

/// How `--help` explains the command.
const ABOUT: &str = "\
Print the DTMF digits in an audio file

One line a digit: `D start_ms end_ms`, the moments at which a call would be told of its start and its end (about 40 ms \
after each; --tones prints where the tones themselves are). Any file that prompts can be made of is read: WAV, MP3, \
FLAC, Ogg Vorbis, AAC/M4A, of any length; channels are mixed to one.";

const EXIT_CODES: &str = "\
Exit codes: 0 the file was heard to its end, with or without digits; 1 it could not be (the reason is on standard \
error); 2 the arguments are wrong.";

/// Why a file was not heard to its end.
#[derive(Debug, thiserror::Error)]
pub enum HearError {
    /// It cannot be opened.
    #[error("{} cannot be opened: {problem}. Give the path of an audio file that you may read", .path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// It is a folder.
    #[error("{} is a folder. Give the path of one audio file", .0.display())]
    Folder(PathBuf),
    /// It is not audio, or damaged.
    #[error(transparent)]
    Decode(#[from] PromptError),
    /// There is nothing to be drawn.
    #[cfg(feature = "plot")]
    #[error("{} lasts {seconds:.1} s, so there is nothing to draw from {from} s on. Give a smaller --from", .path.display())]
    Beyond {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        seconds: f64,
        /// Where the picture was to begin.
        from: f64,
    },
    /// The picture cannot be written.
    #[cfg(feature = "plot")]
    #[error("{} cannot be written: {problem}. Give the path of a file that you may write", .path.display())]
    Plot {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        problem: io::Error,
    },
    /// The results cannot be written.
    #[error("the digits cannot be written to standard output: {0}")]
    Write(io::Error),
}

/// The command's arguments.
pub fn command() -> Command {
    let command = arguments();
    #[cfg(feature = "plot")]
    let command = command
        .arg(
            Arg::new("plot")
                .long("plot")
                .value_name("PNG")
                .value_parser(value_parser!(PathBuf))
                .help("Also draw a spectrogram with the verdicts on it; a minute of the file at most"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("SECONDS")
                .requires("plot")
                .default_value("0")
                .value_parser(value_parser!(f64))
                .help("Where in the file the picture begins"),
        );
    command
}

fn arguments() -> Command {
    let (first, _) = ABOUT.split_once('\n').unwrap_or((ABOUT, ""));
    Command::new("dtmf")
        .about(first)
        .long_about(ABOUT)
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("An audio file"),
        )
        .arg(
            Arg::new("tones")
                .long("tones")
                .action(ArgAction::SetTrue)
                .help("Print where each tone begins and ends, instead of when it was reported"),
        )
        .arg(
            Arg::new("explain")
                .long("explain")
                .action(ArgAction::SetTrue)
                .conflicts_with("tones")
                .help("Print each sound that came near a digit: what was measured, and why it is one or not"),
        )
}

/// Hears the file that `given` names, and prints its digits.
pub fn run(given: &ArgMatches) -> Result<(), HearError> {
    // clap has made sure that there is a file.
    let path = given.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let mut out = BufWriter::new(io::stdout().lock());
    let told = if given.get_flag("explain") {
        explain(&path, &mut out)
    } else {
        list(&path, given.get_flag("tones"), &mut out)
    };
    #[cfg(feature = "plot")]
    let told = told.and_then(|()| match given.get_one::<PathBuf>("plot") {
        Some(png) => draw(&path, png, given.get_one("from").copied().unwrap_or(0.0)),
        None => Ok(()),
    });
    match told.and_then(|()| out.flush().map_err(HearError::Write)) {
        // Whoever reads has seen enough (`| head`).
        Err(HearError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A line for each digit: of the moments it was reported at, or of its tone.
fn list(path: &Path, tones: bool, out: &mut impl Write) -> Result<(), HearError> {
    let mut detector = Detector::new();
    let mut begun = None;
    let mut written = Ok(());
    let mut tell = |report: ToneReport| {
        let at = milliseconds(if tones { report.position } else { report.decided_at });
        match report.edge {
            ToneEdge::Start => begun = Some(at),
            ToneEdge::End { .. } => {
                let start = begun.take().unwrap_or(at);
                let line = writeln!(out, "{} {start:.1} {at:.1}", report.digit);
                if written.is_ok() {
                    written = line;
                }
            }
        }
    };
    decode(path, &mut |samples| detector.feed(samples, &mut tell))?;
    detector.finish(&mut tell);
    written.map_err(HearError::Write)
}

/// A line for each candidate.
fn explain(path: &Path, out: &mut impl Write) -> Result<(), HearError> {
    let mut written = explain::head(out);
    let mut tell = |candidate: Candidate| {
        let line = explain::line(&candidate, out);
        if written.is_ok() {
            written = line;
        }
    };
    let mut listener = Listener::default();
    decode(path, &mut |samples| listener.feed(samples, &mut tell))?;
    listener.finish(&mut tell);
    written.map_err(HearError::Write)
}

/// A picture of a minute from `from` seconds on, with all candidates in it.
#[cfg(feature = "plot")]
fn draw(path: &Path, png: &Path, from: f64) -> Result<(), HearError> {
    // A cast from float saturates, and gives 0 for what is no number.
    let first = (from * f64::from(SAMPLE_RATE)) as u64;
    let until = first.saturating_add(u64::from(plot::MOST_SECONDS * SAMPLE_RATE));
    let (mut samples, mut candidates, mut position) = (Vec::new(), Vec::new(), 0u64);
    let mut listener = Listener::default();
    // Of a long file only what the picture shows is kept.
    let mut keep = |candidate: Candidate| {
        if candidate.ended > first && candidate.began < until {
            candidates.push(candidate);
        }
    };
    decode(path, &mut |piece| {
        listener.feed(piece, &mut keep);
        let at = |place: u64| usize::try_from(place.saturating_sub(position)).unwrap_or(usize::MAX).min(piece.len());
        samples.extend_from_slice(piece.get(at(first)..at(until)).unwrap_or_default());
        position += piece.len() as u64;
    })?;
    listener.finish(&mut keep);
    let seconds = milliseconds(position) / 1000.0;
    if samples.is_empty() {
        return Err(HearError::Beyond { path: path.to_owned(), seconds, from });
    }
    if position > until {
        let (from, to) = (milliseconds(first) / 1000.0, milliseconds(until) / 1000.0);
        eprintln!("{} shows {from} to {to} s of {seconds:.1} s; --from shows another part", png.display());
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    plot::write(&plot::Picture { name: &name, samples: &samples, from: first, candidates: &candidates }, png)
        .map_err(|problem| HearError::Plot { path: png.to_owned(), problem })
}

/// Gives the samples of a file, at 8 kHz, in pieces.
fn decode(path: &Path, sink: &mut dyn FnMut(&[i16])) -> Result<(), HearError> {
    let open = |problem| HearError::Open { path: path.to_owned(), problem };
    let file = File::open(path).map_err(open)?;
    if file.metadata().map_err(open)?.is_dir() {
        return Err(HearError::Folder(path.to_owned()));
    }
    decode_file(&path.display().to_string(), file, sink)?;
    Ok(())
}

/// A place in the audio, in milliseconds.
fn milliseconds(samples: u64) -> f64 {
    samples as f64 * 1000.0 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::{Digit, ToneGenerator};

    fn listed(path: &Path, tones: bool) -> Result<String, HearError> {
        let mut out = Vec::new();
        list(path, tones, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// Writes digits of 60 ms with pauses of 60 ms, after `lead` samples of silence.
    fn digits(path: &Path, rate: u32, channels: u16, lead: usize) {
        let mut samples = vec![0; 8000];
        ToneGenerator::new([Digit::Five, Digit::Pound], 60, 60).fill(&mut samples[lead..]);
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec).unwrap();
        for sample in samples {
            for _ in 0..u32::from(channels) * rate / 8000 {
                file.write_sample(sample).unwrap();
            }
        }
        file.finalize().unwrap();
    }

    #[test]
    fn a_line_for_each_digit_with_its_times() {
        let folder = tempfile::tempdir().unwrap();
        for (rate, channels) in [(8000, 1), (8000, 2), (16_000, 1)] {
            let path = folder.path().join("digits.wav");
            digits(&path, rate, channels, 800);
            for tones in [true, false] {
                let text = listed(&path, tones).unwrap();
                let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
                assert_eq!(lines.iter().map(|line| line[0]).collect::<String>(), "5#", "{text}");
                for (line, began) in lines.iter().zip([100.0, 220.0]) {
                    let [start, end]: [f64; 2] = [line[1].parse().unwrap(), line[2].parse().unwrap()];
                    let after = if tones { -10.0..=10.0 } else { 20.0..=60.0 };
                    assert!(after.contains(&(start - began)), "{text}");
                    assert!(after.contains(&(end - began - 60.0)), "{text}");
                }
            }
        }
    }

    #[test]
    fn each_candidate_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits.wav");
        digits(&path, 8000, 1, 800);
        let mut out = Vec::new();
        explain(&path, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let verdicts: Vec<Vec<&str>> =
            text.lines().skip(1).map(|line| line.split_whitespace().skip(2).take(3).collect()).collect();
        assert_eq!(verdicts, [["5", "heard", "770"], ["#", "heard", "941"]], "{text}");
    }

    #[cfg(feature = "plot")]
    #[test]
    fn a_picture_shows_sound_and_verdicts() {
        let folder = tempfile::tempdir().unwrap();
        let (path, picture) = (folder.path().join("digits.wav"), folder.path().join("digits.png"));
        digits(&path, 8000, 1, 800);
        draw(&path, &picture, 0.0).unwrap();
        let mut reader = png::Decoder::new(io::BufReader::new(File::open(&picture).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let about = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((about.width, about.height), (1600, 56 + 320), "a strip for each 5 s begun");
        let is = |wanted: [u8; 3]| pixels.chunks(3).filter(|pixel| *pixel == wanted).count();
        assert!(is([0, 132, 61]) > 500, "{} green pixels: frames and names of two digits", is([0, 132, 61]));
        let dark = pixels.chunks(3).filter(|pixel| pixel.iter().all(|part| *part < 60)).count();
        assert!((500..60_000).contains(&dark), "{dark} dark pixels: tones, and the words in ink");
        assert!(is([255; 3]) > 300_000, "the rest is paper");

        assert!(draw(&path, &picture, 2.0).unwrap_err().to_string().contains("lasts 1.0 s"));
        assert!(draw(&path, folder.path(), 0.0).unwrap_err().to_string().contains("cannot be written"));
        draw(&path, &picture, f64::NAN).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let problem = |path: &Path| listed(path, false).unwrap_err().to_string();
        assert!(problem(&place("none.wav")).contains("none.wav cannot be opened: No such file"));
        assert!(problem(folder.path()).contains("is a folder"));
        std::fs::write(place("text.wav"), "not audio at all").unwrap();
        assert!(problem(&place("text.wav")).contains("text.wav cannot be decoded"));
        assert!(problem(&place("text.wav")).contains("WAV (PCM"), "what can be read is said");
        std::fs::write(place("empty.wav"), "").unwrap();
        assert!(problem(&place("empty.wav")).contains("it is empty"));
        digits(&place("short.wav"), 8000, 1, 800);
        let whole = std::fs::read(place("short.wav")).unwrap();
        std::fs::write(place("head.wav"), &whole[..44]).unwrap();
        assert!(problem(&place("head.wav")).contains("there is no audio in it"));
        std::fs::write(place("cut.wav"), &whole[..44 + 2 * 8 * 200]).unwrap();
        assert_eq!(
            listed(&place("cut.wav"), true).unwrap().lines().count(),
            1,
            "a cut file is heard as far as it goes"
        );
    }
}
