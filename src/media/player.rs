//! Walks through a list of clips, frame by frame, without a seam between them: the audio of one playing.
//! When it starts and who is told of its end is [`super::stream`]'s.

use std::sync::Arc;
use std::time::Duration;

use super::PlayId;
use super::clip::{CLIP_RATE, Clip};
use super::codec::g711::{self, Law};
use crate::session::Codec;

/// One playing of clips.
#[derive(Clone, Debug)]
pub struct Player {
    play: PlayId,
    clips: Vec<Arc<Clip>>,
    repeat: bool,
    /// The clip being played; past the last: finished.
    index: usize,
    /// Samples of it already played.
    offset: usize,
    /// Samples played in all, repeats included.
    played: u64,
}

impl Player {
    /// Starts at the beginning of the first clip. Without anything to hear it is finished at once, `repeat` or not.
    pub fn new(play: PlayId, clips: Vec<Arc<Clip>>, repeat: bool) -> Self {
        let repeat = repeat && clips.iter().any(|clip| !clip.is_empty());
        let mut player = Player { play, clips, repeat, index: 0, offset: 0, played: 0 };
        player.settle();
        player
    }

    /// Which playing this is.
    pub fn play(&self) -> PlayId {
        self.play
    }

    /// Has the last sample been handed out?
    pub fn is_finished(&self) -> bool {
        self.index >= self.clips.len()
    }

    /// How much has been played, repeats included.
    pub fn position(&self) -> Duration {
        Duration::from_micros(self.played * 1_000_000 / u64::from(CLIP_RATE))
    }

    /// Fills a frame in `codec`, with silence after the end.
    pub fn fill(&mut self, codec: Codec, frame: &mut [u8]) {
        let mut filled = 0;
        while let Some(clip) = self.clips.get(self.index)
            && let Some(room) = frame.get_mut(filled..)
            && !room.is_empty()
        {
            let rest = clip.encoded(codec).get(self.offset..).unwrap_or(&[]);
            let count = rest.len().min(room.len());
            for (to, &from) in room.iter_mut().zip(rest) {
                *to = from;
            }
            filled += count;
            self.offset += count;
            self.settle();
        }
        self.played += filled as u64;
        if let Some(room) = frame.get_mut(filled..) {
            room.fill(g711::silence(Law::of(codec).unwrap_or(Law::Mu)));
        }
    }

    /// Moves to the next sample there is. Ends: a repeating list holds at least one.
    fn settle(&mut self) {
        while let Some(clip) = self.clips.get(self.index)
            && self.offset >= clip.len()
        {
            self.offset = 0;
            self.index += 1;
            if self.repeat && self.index >= self.clips.len() {
                self.index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(value: i16, length: usize) -> Arc<Clip> {
        Arc::new(Clip::new(vec![value; length]))
    }

    fn frames(player: &mut Player, most: usize) -> Vec<Vec<i16>> {
        let mut frames = Vec::new();
        while !player.is_finished() && frames.len() < most {
            let mut frame = [0; 160];
            player.fill(Codec::Pcma, &mut frame);
            frames.push(frame.iter().map(|&byte| g711::decode(Law::A, byte)).collect());
        }
        frames
    }

    #[test]
    fn clips_follow_each_other_without_a_seam_and_end_in_silence() {
        let clips = vec![clip(504, 100), clip(504, 0), clip(1008, 200), clip(2016, 30)];
        let mut player = Player::new(PlayId(1), clips, false);
        let all = frames(&mut player, 99).concat();
        assert_eq!(all.len(), 480);
        assert!(all[..100].iter().all(|&s| s == 504));
        assert!(all[100..300].iter().all(|&s| s == 1008));
        assert!(all[300..330].iter().all(|&s| s == 2016));
        assert!(all[330..].iter().all(|&s| s == 8));
        assert_eq!(player.position(), Duration::from_micros(330 * 125));
    }

    #[test]
    fn a_repeating_list_goes_round_without_a_seam() {
        let mut player = Player::new(PlayId(1), vec![clip(504, 3), clip(1008, 4)], true);
        let all = frames(&mut player, 50).concat();
        assert_eq!(all.len(), 50 * 160);
        assert!(all.iter().enumerate().all(|(n, &s)| s == if n % 7 < 3 { 504 } else { 1008 }));
    }

    #[test]
    fn an_exact_frame_ends_with_its_last_frame_and_nothing_ends_at_once() {
        let mut player = Player::new(PlayId(1), vec![clip(504, 320)], false);
        assert_eq!(frames(&mut player, 99).len(), 2);
        assert!(Player::new(PlayId(1), vec![], true).is_finished());
        assert!(Player::new(PlayId(1), vec![clip(1, 0), clip(1, 0)], true).is_finished());
    }
}
