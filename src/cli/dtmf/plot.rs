//! `strowger dtmf --plot`: a spectrogram with the eight frequencies and the verdicts drawn on it, as a PNG file. Paper is
//! white, sound is dark; what was heard is framed in green, what was refused in red with the reason above it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use realfft::RealFftPlanner;

use super::candidate::{Candidate, Outcome, Refusal};
use crate::dtmf::tone::{HIGH_GROUP, LOW_GROUP, SAMPLE_RATE, frequencies};

/// The most audio that one picture shows, in seconds.
pub const MOST_SECONDS: u32 = 60;

/// The longest and the shortest strip in seconds. A short recording is drawn larger.
const STRIP_SECONDS: f64 = 5.0;
const SHORTEST_STRIP: f64 = 1.0;
/// Size of a strip, and of the title above them, in pixels.
const WIDTH: u32 = 1600;
const STRIP_HEIGHT: u32 = 320;
const TITLE_HEIGHT: u32 = 56;
/// Room for the frequencies' names, and for the verdicts' above a strip.
const LEFT: u32 = 78;
const RIGHT: u32 = 28;
const ABOVE: u32 = 62;
/// Lines of text above a strip: verdicts near each other are put on different ones.
const TEXT_LINES: u32 = 4;
/// Frequencies shown, in Hz.
const LOWEST: f64 = 300.0;
const HIGHEST: f64 = 2000.0;
/// Levels shown, in dBm0: from white to black.
const SILENT: f64 = -55.0;
const LOUD: f64 = -8.0;
/// Samples of the spectrum's window (the detector's), and of its transform: 7.8 Hz a line.
const WINDOW: usize = 240;
const TRANSFORM: usize = 1024;

const FONT: &str = "strowger";
const HEARD: RGBColor = RGBColor(0, 132, 61);
const REFUSED: RGBColor = RGBColor(204, 32, 32);
const INK: RGBColor = RGBColor(40, 40, 48);
const LINE: RGBColor = RGBColor(66, 110, 190);

/// A stretch of audio to be drawn.
pub struct Picture<'a> {
    /// What the file is called.
    pub name: &'a str,
    /// The stretch, at most [`MOST_SECONDS`].
    pub samples: &'a [i16],
    /// Where in the file it begins, in samples.
    pub from: u64,
    /// What was found in the file.
    pub candidates: &'a [Candidate],
}

/// Writes the picture to a file.
pub fn write(picture: &Picture<'_>, path: &Path) -> io::Result<()> {
    let strips = picture.seconds().div_euclid(picture.strip_seconds()) as u32 + 1;
    let size = (WIDTH, TITLE_HEIGHT + strips * STRIP_HEIGHT);
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    picture.draw(&mut pixels, size).map_err(io::Error::other)?;
    let mut file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    file.flush()
}

type Drawn<E> = Result<(), DrawingAreaErrorKind<E>>;

impl Picture<'_> {
    fn seconds(&self) -> f64 {
        // Not quite: a picture of 5 s has one strip.
        (self.samples.len().saturating_sub(1)) as f64 / f64::from(SAMPLE_RATE)
    }

    /// Length of a strip.
    fn strip_seconds(&self) -> f64 {
        let half_seconds = (2.0 * self.seconds()).floor() + 1.0;
        (half_seconds / 2.0).clamp(SHORTEST_STRIP, STRIP_SECONDS)
    }

    fn draw(&self, pixels: &mut [u8], size: (u32, u32)) -> Result<(), String> {
        plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::HACK_REGULAR)
            .map_err(|_| "the font cannot be read".to_owned())?;
        let page = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
        self.draw_on(&page).map_err(|error| error.to_string())
    }

    fn draw_on<B: DrawingBackend>(&self, page: &DrawingArea<B, Shift>) -> Drawn<B::ErrorType> {
        page.fill(&WHITE)?;
        let (title, strips) = page.split_vertically(TITLE_HEIGHT);
        self.title(&title)?;
        let (_, height) = strips.dim_in_pixel();
        let mut spectrum = Spectrum::new();
        for (n, strip) in strips.split_evenly(((height / STRIP_HEIGHT) as usize, 1)).iter().enumerate() {
            self.strip(strip, n as f64 * self.strip_seconds(), &mut spectrum)?;
        }
        page.present()
    }

    fn title<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Drawn<B::ErrorType> {
        let (mut heard, mut refused) = (String::new(), 0);
        for candidate in self.shown() {
            match candidate.outcome {
                Outcome::Heard { .. } => heard.push(candidate.digit.as_char()),
                Outcome::Refused(_) => refused += 1,
            }
        }
        // What a line has room for.
        let name = if self.name.chars().count() > 60 {
            let tail: Vec<char> = self.name.chars().rev().take(59).collect();
            format!("…{}", tail.into_iter().rev().collect::<String>())
        } else {
            self.name.to_owned()
        };
        area.draw(&Text::new(name, (LEFT as i32, 12), font(20, INK)))?;
        let shown: String = if heard.is_empty() { "none".to_owned() } else { heard.chars().take(60).collect() };
        let more = if heard.len() > 60 { "…" } else { "" };
        let legend = [(format!("heard: {shown}{more}"), HEARD), (format!("refused: {refused}"), REFUSED)];
        for (n, (text, colour)) in legend.into_iter().enumerate() {
            let anchor = Pos::new(HPos::Right, VPos::Top);
            area.draw(&Text::new(text, ((WIDTH - RIGHT) as i32, 8 + 22 * n as i32), font(16, colour).pos(anchor)))?;
        }
        Ok(())
    }

    /// The candidates that the picture shows something of.
    fn shown(&self) -> impl Iterator<Item = &Candidate> {
        let until = self.from + self.samples.len() as u64;
        self.candidates.iter().filter(move |candidate| candidate.ended > self.from && candidate.began < until)
    }

    /// A strip that begins `offset` seconds into the picture.
    fn strip<B: DrawingBackend>(
        &self,
        strip: &DrawingArea<B, Shift>,
        offset: f64,
        spectrum: &mut Spectrum,
    ) -> Drawn<B::ErrorType> {
        let rate = f64::from(SAMPLE_RATE);
        let start = self.from as f64 / rate + offset;
        let times = start..start + self.strip_seconds();
        let mut chart = ChartBuilder::on(strip)
            .margin_top(ABOVE)
            .margin_right(RIGHT)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, 26)
            .build_cartesian_2d(times.clone(), LOWEST..HIGHEST)?;
        let area = chart.plotting_area().clone();
        let (columns, rows) = area.get_pixel_range();
        let (left, top) = strip.get_base_pixel();
        let (width, height) = ((columns.end - columns.start) as f64, (rows.end - rows.start) as f64);
        for x in columns.clone() {
            let at = (offset + f64::from(x - columns.start) / width * self.strip_seconds()) * rate;
            if at >= self.samples.len() as f64 {
                break;
            }
            let levels = spectrum.of(self.samples, at as usize);
            for y in rows.clone() {
                let frequency = HIGHEST - (f64::from(y - rows.start) + 0.5) / height * (HIGHEST - LOWEST);
                let level = levels.get((frequency * TRANSFORM as f64 / rate).round() as usize).copied();
                strip.draw_pixel((x - left, y - top), &shade(level.unwrap_or(SILENT)))?;
            }
        }
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .axis_style(INK.stroke_width(1))
            .x_labels(11)
            .x_label_formatter(&|seconds| format!("{seconds:.1} s"))
            .x_label_style(font(14, INK))
            .draw()?;
        for frequency in LOW_GROUP.into_iter().chain(HIGH_GROUP) {
            area.draw(&PathElement::new(vec![(times.start, frequency), (times.end, frequency)], LINE.mix(0.35)))?;
            let anchor = Pos::new(HPos::Right, VPos::Center);
            let name = Text::new(format!("{frequency:.0} Hz"), (-8, 0), font(13, LINE).pos(anchor));
            area.draw(&(EmptyElement::at((times.start, frequency)) + name))?;
        }
        self.verdicts(&area, times)
    }

    fn verdicts<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
        times: std::ops::Range<f64>,
    ) -> Drawn<B::ErrorType> {
        let seconds = |samples: u64| samples as f64 / f64::from(SAMPLE_RATE);
        // Where the text of each line ends, in pixels of the strip.
        let mut ends = [f64::MIN; TEXT_LINES as usize];
        let a_second = f64::from(WIDTH - LEFT - RIGHT) / self.strip_seconds();
        let mut shown: Vec<&Candidate> = self.shown().collect();
        shown.sort_by_key(|candidate| candidate.began);
        for candidate in shown {
            let (began, ended) = (seconds(candidate.began), seconds(candidate.ended));
            if ended <= times.start || began >= times.end {
                continue;
            }
            let (from, to) = (began.max(times.start), ended.min(times.end));
            let (low, high) = frequencies(candidate.digit);
            let (colour, text, size) = match candidate.outcome {
                Outcome::Heard { .. } => (HEARD, candidate.digit.to_string(), 20),
                Outcome::Refused(refusal) => {
                    (REFUSED, format!("{} {}", candidate.digit, brief(candidate, refusal)), 12)
                }
            };
            for frequency in [low, high] {
                let frame = [(from, frequency - 40.0), (to, frequency + 40.0)];
                area.draw(&Rectangle::new(frame, colour.stroke_width(2)))?;
            }
            area.draw(&PathElement::new(vec![(from, low + 40.0), (from, high - 40.0)], colour.mix(0.5)))?;
            if began < times.start {
                continue; // its name stands on the strip before
            }
            let place = (from - times.start) * a_second;
            // Hack's letters are about 0.5 of its size wide.
            let length = text.chars().count() as f64 * f64::from(size) * 0.52 + 6.0;
            // A big name takes two lines.
            let lines = if size > 13 { 2 } else { 1 };
            let free = ends.windows(lines).position(|ends| ends.iter().all(|end| *end <= place));
            let free = free.unwrap_or(ends.len() - lines);
            ends.iter_mut().skip(free).take(lines).for_each(|end| *end = place + length);
            let height = -6 - 13 * free as i32;
            let anchor = Pos::new(HPos::Left, VPos::Bottom);
            let name = Text::new(text, (0, height), font(size, colour).pos(anchor));
            area.draw(&(EmptyElement::at((from, HIGHEST)) + name))?;
            area.draw(&PathElement::new(vec![(from, high + 40.0), (from, HIGHEST)], colour.mix(0.35)))?;
        }
        Ok(())
    }
}

/// Why a candidate is no digit, in a word or two.
fn brief(candidate: &Candidate, refusal: Refusal) -> String {
    let seen = &candidate.clearest;
    match refusal {
        Refusal::Weak => format!("weak {:.0}", seen.low_dbm0.min(seen.high_dbm0)),
        Refusal::OtherSound => format!("other {:.0} %", (1.0 - candidate.share) * 100.0),
        Refusal::OffFrequency => {
            let low = seen.low_offset.abs() > seen.high_offset.abs();
            format!("off {:+.1} %", if low { seen.low_offset } else { seen.high_offset })
        }
        Refusal::Twist => format!("twist {:+.0} dB", seen.twist()),
        Refusal::Wanders => "wanders".to_owned(),
        Refusal::Short => format!("short {:.0} ms", candidate.milliseconds()),
    }
}

fn font(size: i32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&colour)
}

/// The paper's colour at a level in dBm0.
fn shade(level: f64) -> RGBColor {
    let dark = ((level - SILENT) / (LOUD - SILENT)).clamp(0.0, 1.0);
    let part = |black: f64| (255.0 - dark * (255.0 - black)) as u8;
    RGBColor(part(18.0), part(20.0), part(34.0))
}

/// Levels by frequency around a moment.
struct Spectrum {
    transform: std::sync::Arc<dyn realfft::RealToComplex<f64>>,
    taper: Vec<f64>,
    input: Vec<f64>,
    output: Vec<realfft::num_complex::Complex<f64>>,
    levels: Vec<f64>,
}

impl Spectrum {
    fn new() -> Self {
        let transform = RealFftPlanner::new().plan_fft_forward(TRANSFORM);
        let (input, output) = (transform.make_input_vec(), transform.make_output_vec());
        // Hann, so that a sine of peak 1 in the window has a line of magnitude 1.
        let taper = |n: usize| {
            let turn = std::f64::consts::TAU * (n as f64 + 0.5) / WINDOW as f64;
            2.0 * (1.0 - turn.cos()) / WINDOW as f64
        };
        let levels = vec![SILENT; output.len()];
        Spectrum { transform, taper: (0..WINDOW).map(taper).collect(), input, output, levels }
    }

    /// The level in dBm0 of each line, for the window around a sample; silence is where there are no samples.
    fn of(&mut self, samples: &[i16], middle: usize) -> &[f64] {
        self.input.fill(0.0);
        for (n, (to, taper)) in self.input.iter_mut().zip(&self.taper).enumerate() {
            let at = (middle + n).checked_sub(WINDOW / 2);
            let sample = at.and_then(|at| samples.get(at)).copied().unwrap_or(0);
            *to = taper * f64::from(sample);
        }
        // It fails only where the buffers have other lengths than it made them with.
        if self.transform.process(&mut self.input, &mut self.output).is_ok() {
            for (level, line) in self.levels.iter_mut().zip(&self.output) {
                *level = 20.0 * (line.norm() / 32_767.0).max(1e-9).log10() + FULL_SCALE;
            }
        }
        &self.levels
    }
}

/// The level of a full-scale sine in dBm0 (G.711 A-law).
#[expect(clippy::approx_constant, reason = "3.14 dB, which has nothing to do with a circle")]
const FULL_SCALE: f64 = 3.14;
