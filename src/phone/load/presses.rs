//! The keys that a caller presses: which, by which way, how far apart; and what became of them at the other end.
//!
//! A plan is made by seed, as a person might press: a key is down for a tenth of a second or more, and the next follows
//! a fifth of a second or more later. What nobody can tell from one press told twice is left out: the same key
//! again *by another way* within [`APART`] presses (`dtmf::arbiter` takes it for the same press).

use crate::dtmf::{Digit, EventPacket, EventSender, ToneGenerator, Way};
use crate::media::FRAME_MS;
use crate::random::Random;

/// So many presses lie between two of one key by different ways: well over a second.
const APART: usize = 5;
/// How much longer than the shortest a pause may be, in milliseconds.
const PAUSE_SPREAD_MS: u64 = 200;

/// How a caller presses keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressing {
    /// How many keys.
    pub count: usize,
    /// The ways that take part. Not empty.
    pub ways: Vec<Way>,
    /// How long a key is down, in milliseconds.
    pub tone_ms: u32,
    /// The shortest pause between two, in milliseconds.
    pub pause_ms: u32,
}

/// One press of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which key.
    pub digit: Digit,
    /// How it is told.
    pub way: Way,
    /// Frames from its end to the next one's beginning.
    pub pause: u32,
    /// Did we send it badly (the machine stood still meanwhile)? Then it may be heard not at all, once or twice.
    pub disturbed: bool,
}

impl Pressing {
    /// A plan.
    pub fn plan(&self, random: &mut Random) -> Vec<Press> {
        let mut plan: Vec<Press> = Vec::with_capacity(self.count);
        while plan.len() < self.count {
            let way = self.ways.get(random.below(self.ways.len() as u64) as usize).copied();
            let digit = Digit::from_event_code(random.below(16) as u8);
            let (Some(way), Some(digit)) = (way, digit) else { break };
            let before = plan.iter().rev().take(APART);
            if before.clone().any(|press| press.digit == digit && press.way != way) {
                continue;
            }
            let pause = frames(self.pause_ms) + frames(random.below(PAUSE_SPREAD_MS) as u32);
            plan.push(Press { digit, way, pause, disturbed: false });
        }
        plan
    }
}

fn frames(milliseconds: u32) -> u32 {
    milliseconds.div_ceil(FRAME_MS as u32)
}

/// What one frame of the caller's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Whatever the caller says.
    Audio,
    /// The samples that were filled in.
    Tone,
    /// A telephone-event packet.
    Event(EventPacket),
    /// An INFO is to be sent now; the audio goes on.
    Info(Digit),
}

/// Carries a plan out, frame by frame.
#[derive(Debug)]
pub struct Presser {
    plan: Vec<Press>,
    /// The press that is under way, or next.
    index: usize,
    /// Frames of it that have passed.
    frame: u32,
    tone_ms: u32,
    sending: Sending,
    /// An INFO has not been answered; the next press waits for it, so that their order is known.
    unanswered: bool,
}

#[derive(Debug)]
enum Sending {
    /// It has not begun.
    Waiting,
    /// Pausing, for so many frames.
    Pause(u32),
    Tone(ToneGenerator),
    Event(EventSender),
}

impl Presser {
    /// Waits for [`start`](Self::start).
    pub fn new(plan: Vec<Press>, tone_ms: u32) -> Self {
        Presser { plan, index: 0, frame: 0, tone_ms, sending: Sending::Waiting, unanswered: false }
    }

    /// Begins after a pause of so many frames.
    pub fn start(&mut self, first: u32) {
        if matches!(self.sending, Sending::Waiting) {
            self.sending = Sending::Pause(first);
        }
    }

    /// The next frame: `samples` are filled where it is [`Frame::Tone`].
    pub fn next(&mut self, samples: &mut [i16]) -> Frame {
        self.frame += 1;
        match &mut self.sending {
            Sending::Waiting => Frame::Audio,
            Sending::Pause(left) if *left > 0 => {
                *left -= 1;
                Frame::Audio
            }
            Sending::Pause(_) => self.begin(samples),
            Sending::Tone(tone) => {
                tone.fill(samples);
                self.end_when(self.frame >= frames(self.tone_ms));
                Frame::Tone
            }
            Sending::Event(sender) => {
                let packet = sender.next();
                let done = packet.is_none();
                self.end_when(done);
                packet.map_or(Frame::Audio, Frame::Event)
            }
        }
    }

    fn begin(&mut self, samples: &mut [i16]) -> Frame {
        let Some(press) = self.plan.get(self.index).filter(|_| !self.unanswered) else { return Frame::Audio };
        let digits = vec![press.digit];
        let digit = press.digit;
        self.frame = 1;
        match press.way {
            Way::InBand => {
                let mut tone = ToneGenerator::new(digits, self.tone_ms, 0);
                tone.fill(samples);
                self.sending = Sending::Tone(tone);
                self.end_when(self.frame >= frames(self.tone_ms));
                Frame::Tone
            }
            Way::TelephoneEvent => {
                let mut sender = EventSender::new(digits, self.tone_ms, 0);
                let packet = sender.next();
                self.sending = Sending::Event(sender);
                packet.map_or(Frame::Audio, Frame::Event)
            }
            Way::Info => {
                self.unanswered = true;
                self.end_when(true);
                Frame::Info(digit)
            }
        }
    }

    fn end_when(&mut self, ended: bool) {
        if ended && let Some(press) = self.plan.get(self.index) {
            // An INFO tells of a key that is up again: the tone's time is part of the pause.
            let tone = if press.way == Way::Info { frames(self.tone_ms) } else { 0 };
            self.sending = Sending::Pause(press.pause + tone);
            self.index += 1;
        }
    }

    /// The INFO was answered, well or badly.
    pub fn info_answered(&mut self) {
        self.unanswered = false;
    }

    /// Frames were left out here: what is being pressed in the audio is torn.
    pub fn disturb(&mut self) {
        if !matches!(self.sending, Sending::Pause(_) | Sending::Waiting)
            && let Some(press) = self.plan.get_mut(self.index)
        {
            press.disturbed = true;
        }
    }

    /// Has everything been pressed, and every INFO been answered?
    pub fn is_done(&self) -> bool {
        self.index >= self.plan.len() && !self.unanswered && matches!(self.sending, Sending::Pause(0))
    }

    /// What was pressed so far.
    pub fn pressed(&self) -> &[Press] {
        self.plan.get(..self.index).unwrap_or(&self.plan)
    }
}

/// How far what was told is from what was pressed: presses that are missing and ones that are too many; one that
/// changed its place is both. A disturbed press may have been told 0 to 2 times.
pub fn faults(pressed: &[Press], told: &[Digit]) -> usize {
    // The least faults of the presses so far against the first n told.
    let mut row: Vec<usize> = (0..=told.len()).collect();
    for press in pressed {
        let is = |n: usize| told.get(n) == Some(&press.digit);
        let mut next: Vec<usize> = Vec::with_capacity(row.len());
        for n in 0..row.len() {
            let at = |n: usize| row.get(n).copied().unwrap_or(usize::MAX);
            let mut best = at(n) + usize::from(!press.disturbed);
            if n > 0 {
                best = best.min(next.last().map_or(usize::MAX, |before| before + 1));
                if is(n - 1) {
                    best = best.min(at(n - 1));
                    if press.disturbed && n > 1 && is(n - 2) {
                        best = best.min(at(n - 2));
                    }
                }
            }
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(count: usize) -> Pressing {
        Pressing { count, ways: Way::ALL.to_vec(), tone_ms: 100, pause_ms: 200 }
    }

    #[test]
    fn a_plan_is_the_seeds_and_keeps_the_ways_of_one_key_apart() {
        let plan = |seed| mixed(200).plan(&mut Random::from_number(seed));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let plan = plan(3);
        assert!(Way::ALL.iter().all(|way| plan.iter().any(|press| press.way == *way)));
        for (at, press) in plan.iter().enumerate() {
            let near = plan.iter().skip(at + 1).take(APART);
            assert!(near.filter(|other| other.digit == press.digit).all(|other| other.way == press.way));
            assert!((10..=20).contains(&press.pause), "{press:?}");
        }
    }

    #[test]
    fn a_plan_is_carried_out_in_order_with_its_pauses() {
        let plan = mixed(30).plan(&mut Random::from_number(4));
        let mut presser = Presser::new(plan.clone(), 100);
        presser.start(3);
        let (mut samples, mut begun, mut frame, mut last) = ([0; 160], Vec::new(), 0, None);
        while !presser.is_done() {
            frame += 1;
            let what = presser.next(&mut samples);
            let (way, begins) = match what {
                Frame::Audio => (None, false),
                Frame::Tone => (Some(Way::InBand), last != Some(Way::InBand)),
                Frame::Event(packet) => (Some(Way::TelephoneEvent), packet.marker),
                Frame::Info(_) => (Some(Way::Info), true),
            };
            last = way;
            if begins {
                begun.push((frame, way));
            }
            if let Frame::Info(_) = what {
                // Unanswered, it holds up whatever comes next.
                assert!((0..100).all(|_| presser.next(&mut samples) == Frame::Audio));
                frame += 100;
                presser.info_answered();
            }
        }
        assert_eq!(presser.pressed(), plan);
        assert_eq!(
            begun.iter().map(|(_, way)| way.unwrap()).collect::<Vec<_>>(),
            plan.iter().map(|p| p.way).collect::<Vec<_>>()
        );
        assert!(begun.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 12), "{begun:?}");
    }

    #[test]
    fn faults_are_what_is_missing_and_what_is_too_much() {
        let told = |text: &str| text.chars().filter_map(Digit::from_char).collect::<Vec<_>>();
        let pressed = |text: &str| {
            let press = |digit| Press { digit, way: Way::Info, pause: 1, disturbed: false };
            told(text).into_iter().map(press).collect::<Vec<_>>()
        };
        for (pressed_text, told_text, count) in [
            ("", "", 0),
            ("123", "123", 0),
            ("123", "13", 1),
            ("123", "1223", 1),
            ("123", "132", 2),
            ("12", "", 2),
            ("", "9", 1),
        ] {
            assert_eq!(faults(&pressed(pressed_text), &told(told_text)), count, "{pressed_text} {told_text}");
        }
        let mut torn = pressed("123");
        torn[1].disturbed = true;
        for (text, count) in [("13", 0), ("123", 0), ("1223", 0), ("12223", 1), ("1", 1), ("143", 1)] {
            assert_eq!(faults(&torn, &told(text)), count, "{text}");
        }
    }

    #[test]
    fn a_freeze_disturbs_only_what_it_falls_into() {
        let mut presser = Presser::new(mixed(1).plan(&mut Random::from_number(9)), 100);
        presser.start(1);
        presser.disturb();
        let mut samples = [0; 160];
        while presser.next(&mut samples) == Frame::Audio {}
        presser.disturb();
        let way = presser.plan[0].way;
        assert_eq!(presser.plan[0].disturbed, way != Way::Info);
    }
}
