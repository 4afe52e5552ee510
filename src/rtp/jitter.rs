//! Packet buffer: payloads wait here, undecoded and in order, until playout takes them.
//!
//! It is keyed by RTP timestamp, unwrapped to 64 bits in units of the stream's clock; packets that come early, twice or
//! out of order fall into place. Its size is fixed: [`MAX_PACKETS`] packets and [`MAX_BYTES`] bytes; where one more does
//! not fit, the oldest go, and the caller counts them. How long a packet waits is [`super::delay`]'s and
//! `media::hearing`'s business; what was sent by whom, and sequence numbers' meaning, are [`super::sequence`]'s.

/// Packets that wait at most: 1.2 s at 20 ms each.
pub const MAX_PACKETS: usize = 60;
/// Bytes of payload that wait at most, in blocks of 32: 1.5 s of G.711, 384 ms of L16 at 16 kHz.
pub const MAX_BYTES: usize = BLOCK * BLOCKS;
const BLOCK: usize = 32;
const BLOCKS: usize = 384;
const WORDS: usize = BLOCKS / 64;

/// One packet that waits. `Kind` is whatever the caller knows it by (its codec).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<Kind> {
    /// Of its first sample, unwrapped.
    pub timestamp: i64,
    /// Clock units that it spans, where that is known without decoding (a telephone event); else 0.
    pub span: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// What it is.
    pub kind: Kind,
    first_block: u16,
    length: u16,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It waits; so many older ones had to go for it.
    Kept {
        /// How many.
        dropped: u32,
    },
    /// One with its timestamp waits already.
    Duplicate,
    /// Its payload is longer than the whole buffer.
    TooLong,
}

/// The buffer: 1.5 kB, and 12 kB for payloads, of which those in use are the lowest.
#[derive(Clone, Debug)]
pub struct PacketBuffer<Kind> {
    /// Sorted by timestamp; only the first `count` are valid.
    packets: [Waiting<Kind>; MAX_PACKETS],
    count: usize,
    bytes: Box<[u8]>,
    /// One bit a block: in use?
    used: [u64; WORDS],
}

impl<Kind: Copy + PartialEq> PacketBuffer<Kind> {
    /// An empty one. `any` fills places that are not in use.
    pub fn new(any: Kind) -> Self {
        let none = Waiting { timestamp: 0, span: 0, sequence: 0, kind: any, first_block: 0, length: 0 };
        PacketBuffer {
            packets: [none; MAX_PACKETS],
            count: 0,
            bytes: vec![0; MAX_BYTES].into_boxed_slice(),
            used: [0; WORDS],
        }
    }

    /// Takes a packet's payload.
    pub fn insert(&mut self, timestamp: i64, sequence: u16, kind: Kind, payload: &[u8]) -> Insertion {
        if payload.len() > MAX_BYTES {
            return Insertion::TooLong;
        }
        if self.find(timestamp).is_ok() {
            return Insertion::Duplicate;
        }
        let blocks = payload.len().div_ceil(BLOCK);
        let mut dropped = 0;
        let first_block = loop {
            if self.count < MAX_PACKETS
                && let Some(block) = self.free_run(blocks)
            {
                break block;
            }
            // Ends: an empty buffer has room.
            self.pop();
            dropped += 1;
        };
        self.mark(first_block, blocks, true);
        let at = first_block * BLOCK;
        if let Some(room) = self.bytes.get_mut(at..at + payload.len()) {
            room.copy_from_slice(payload);
        }
        // Both fit: blocks and bytes are bounded above.
        let (first_block, length) = (first_block as u16, payload.len() as u16);
        self.place(Waiting { timestamp, span: 0, sequence, kind, first_block, length });
        Insertion::Kept { dropped }
    }

    /// Takes something without a payload that spans `span` clock units. Where one of its kind begins at that timestamp
    /// already, that one becomes as long as the longer, and gets the newer sequence number.
    pub fn insert_span(&mut self, timestamp: i64, sequence: u16, kind: Kind, span: u32) {
        match self.find(timestamp) {
            Ok(at) => {
                if let Some(packet) = self.packets.get_mut(at)
                    && packet.kind == kind
                {
                    packet.span = packet.span.max(span);
                    if sequence.wrapping_sub(packet.sequence) < 0x8000 {
                        packet.sequence = sequence;
                    }
                }
            }
            Err(_) => {
                if self.count >= MAX_PACKETS {
                    self.pop();
                }
                self.place(Waiting { timestamp, span, sequence, kind, first_block: 0, length: 0 });
            }
        }
    }

    /// The oldest.
    pub fn front(&self) -> Option<Waiting<Kind>> {
        self.packets.get(..self.count)?.first().copied()
    }

    /// The newest.
    pub fn back(&self) -> Option<Waiting<Kind>> {
        self.packets.get(..self.count)?.last().copied()
    }

    /// Its payload, as long as it is not popped.
    pub fn payload(&self, packet: &Waiting<Kind>) -> &[u8] {
        let at = usize::from(packet.first_block) * BLOCK;
        self.bytes.get(at..at + usize::from(packet.length)).unwrap_or(&[])
    }

    /// Lets go of the oldest.
    pub fn pop(&mut self) {
        let Some(packet) = self.front() else { return };
        self.mark(usize::from(packet.first_block), usize::from(packet.length).div_ceil(BLOCK), false);
        self.packets.copy_within(1..self.count, 0);
        self.count -= 1;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets go of all.
    pub fn clear(&mut self) {
        self.count = 0;
        self.used = [0; WORDS];
    }

    /// Where the packet with this timestamp is, or belongs. Mostly behind the last.
    fn find(&self, timestamp: i64) -> Result<usize, usize> {
        let packets = self.packets.get(..self.count).unwrap_or(&[]);
        match packets.last() {
            None => Err(0),
            Some(last) if last.timestamp < timestamp => Err(self.count),
            Some(_) => packets.binary_search_by_key(&timestamp, |packet| packet.timestamp),
        }
    }

    fn place(&mut self, packet: Waiting<Kind>) {
        let (Err(at) | Ok(at)) = self.find(packet.timestamp);
        if self.count < MAX_PACKETS {
            self.packets.copy_within(at..self.count, at + 1);
            if let Some(place) = self.packets.get_mut(at) {
                *place = packet;
                self.count += 1;
            }
        }
    }

    /// The lowest block from which on `count` blocks are free.
    fn free_run(&self, count: usize) -> Option<usize> {
        let mut start = 0;
        let mut at = 0;
        while at < BLOCKS {
            if at - start >= count {
                return Some(start);
            }
            let word = self.used.get(at / 64)? >> (at % 64);
            let inside = 64 - at % 64;
            let free = (word.trailing_zeros() as usize).min(inside);
            at += free;
            if free < inside {
                if at - start >= count {
                    return Some(start);
                }
                at += ((word >> free).trailing_ones() as usize).min(inside - free);
                start = at;
            }
        }
        (BLOCKS - start >= count).then_some(start)
    }

    /// Marks blocks as used or free.
    fn mark(&mut self, first: usize, count: usize, used: bool) {
        let mut at = first;
        let end = (first + count).min(BLOCKS);
        while at < end {
            let run = (end - at).min(64 - at % 64);
            let mask = (u64::MAX >> (64 - run)) << (at % 64);
            if let Some(word) = self.used.get_mut(at / 64) {
                *word = if used { *word | mask } else { *word & !mask };
            }
            at += run;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    fn drain(buffer: &mut PacketBuffer<u8>) -> Vec<(i64, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(front) = buffer.front() {
            out.push((front.timestamp, buffer.payload(&front).to_vec()));
            buffer.pop();
        }
        assert!(buffer.is_empty());
        out
    }

    #[test]
    fn packets_come_out_in_order_whatever_order_they_came_in() {
        let mut buffer = PacketBuffer::new(0u8);
        for timestamp in [480i64, 160, 320, -160, 0] {
            let payload = vec![timestamp as u8; 160];
            assert_eq!(buffer.insert(timestamp, 1, 0, &payload), Insertion::Kept { dropped: 0 });
        }
        assert_eq!(buffer.insert(320, 1, 0, &[9; 10]), Insertion::Duplicate);
        let out = drain(&mut buffer);
        assert_eq!(out.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [-160, 0, 160, 320, 480]);
        assert!(out.iter().all(|(at, payload)| *payload == vec![*at as u8; 160]));
    }

    #[test]
    fn a_full_buffer_lets_the_oldest_go() {
        let mut buffer = PacketBuffer::new(0u8);
        for n in 0..MAX_PACKETS as i64 {
            assert_eq!(buffer.insert(n, 1, 0, &[1]), Insertion::Kept { dropped: 0 });
        }
        assert_eq!(buffer.insert(100, 1, 0, &[2]), Insertion::Kept { dropped: 1 });
        assert_eq!(buffer.front().map(|packet| packet.timestamp), Some(1));
        // By bytes: two of 5,000 fit, the third pushes the first out.
        buffer.clear();
        assert_eq!(buffer.insert(0, 1, 0, &[1; 5_000]), Insertion::Kept { dropped: 0 });
        assert_eq!(buffer.insert(1, 1, 0, &[2; 5_000]), Insertion::Kept { dropped: 0 });
        assert_eq!(buffer.insert(2, 1, 0, &[3; 5_000]), Insertion::Kept { dropped: 1 });
        assert_eq!(buffer.insert(3, 1, 0, &[3; MAX_BYTES + 1]), Insertion::TooLong);
        assert_eq!(buffer.insert(3, 1, 0, &[4; MAX_BYTES]), Insertion::Kept { dropped: 2 });
        assert_eq!(drain(&mut buffer), [(3, vec![4; MAX_BYTES])]);
    }

    #[test]
    fn a_span_grows_and_keeps_the_newest_number() {
        let mut buffer = PacketBuffer::new(0u8);
        buffer.insert_span(10, 65_535, 7, 160);
        buffer.insert_span(10, 1, 7, 480);
        buffer.insert_span(10, 0, 7, 320);
        let front = buffer.front().unwrap();
        assert_eq!((front.span, front.sequence, front.kind, buffer.len()), (480, 1, 7, 1));
    }

    #[test]
    fn it_agrees_with_a_map_on_any_input() {
        let mut random = Random::from_number(6);
        let mut buffer = PacketBuffer::new(0u8);
        let mut model: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        for round in 0..200_000 {
            if random.below(3) == 0 {
                assert_eq!(
                    buffer.front().map(|front| (front.timestamp, buffer.payload(&front).to_vec())),
                    model.first_key_value().map(|(at, payload)| (*at, payload.clone()))
                );
                buffer.pop();
                model.pop_first();
                continue;
            }
            let timestamp = random.below(200) as i64 + round / 100;
            let length = if random.below(10) == 0 { random.below(4_000) } else { random.below(400) };
            let payload: Vec<u8> = (0..length).map(|_| random.u32() as u8).collect();
            match buffer.insert(timestamp, 0, 0, &payload) {
                Insertion::Kept { dropped } => {
                    (0..dropped).for_each(|_| drop(model.pop_first()));
                    model.insert(timestamp, payload);
                }
                Insertion::Duplicate => assert!(model.contains_key(&timestamp)),
                Insertion::TooLong => unreachable!(),
            }
            assert_eq!(buffer.len(), model.len());
        }
    }
}
