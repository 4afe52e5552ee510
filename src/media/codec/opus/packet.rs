//! What the head of an Opus packet says, without decoding it (RFC 6716 §3): how long it lasts, and whether it carries
//! the packet before it (LBRR, in-band FEC, §4.2.3).

/// Most frames in one packet (§3.2.5: 120 ms of the shortest frames).
const MAX_FRAMES: usize = 48;
/// The longest packet, in samples of the 48 kHz clock: 120 ms.
const MAX_DURATION: u32 = 5_760;
/// Most bytes of a packet that we take: the longest frame (§3.2.1) and its head. Several frames could be longer, but not
/// in one datagram.
const MAX_BYTES: usize = 1_276;

/// Samples of the 48 kHz clock that the packet lasts; none: it is not an Opus packet. A packet of only the first byte
/// is a pause (DTX) that lasts as long.
pub fn duration(packet: &[u8]) -> Option<u32> {
    if packet.len() > MAX_BYTES {
        return None;
    }
    let (&toc, rest) = packet.split_first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ if rest.is_empty() => 1,
        _ => usize::from(rest.first()? & 0x3F),
    };
    if toc & 3 == 1 && !rest.len().is_multiple_of(2) || !(1..=MAX_FRAMES).contains(&frames) {
        return None;
    }
    let duration = frame_duration(toc) * frames as u32;
    (duration <= MAX_DURATION).then_some(duration)
}

/// Samples of the 48 kHz clock in one frame: §3.1, table 2.
fn frame_duration(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        0..12 => [480, 960, 1_920, 2_880].get(usize::from(config & 3)).copied().unwrap_or(960),
        12..16 => 480 << (config & 1),
        _ => 120 << (config & 3),
    }
}

/// Does the packet carry the one before it? Only its SILK layer can.
pub fn carries_the_one_before(packet: &[u8]) -> bool {
    let Some((&toc, _)) = packet.split_first() else { return false };
    if toc >> 3 >= 16 {
        return false;
    }
    let Some(&first) = first_frame(packet).and_then(<[u8]>::first) else { return false };
    // §4.2.3: for each channel, a flag for each 20 ms that speech is in it, then one that LBRR is.
    let subframes = frame_duration(toc).div_ceil(960).min(3);
    let mid = first >> (7 - subframes) & 1;
    let side = if toc & 4 == 0 { 0 } else { first >> (6 - 2 * subframes).min(7) & 1 };
    mid | side == 1
}

/// The bytes of the first frame, and what follows it.
fn first_frame(packet: &[u8]) -> Option<&[u8]> {
    let (&toc, rest) = packet.split_first()?;
    match toc & 3 {
        0 => Some(rest),
        1 => rest.get(..rest.len() / 2),
        2 => {
            let (length, rest) = frame_length(rest)?;
            rest.get(..length)
        }
        _ => {
            let (&count, mut rest) = rest.split_first()?;
            if count & 0x40 != 0 {
                while let Some((&padding, after)) = rest.split_first() {
                    rest = after;
                    if padding != 255 {
                        break;
                    }
                }
            }
            if count & 0x80 != 0 {
                // The lengths of all frames but the last come first.
                let (length, mut after) = frame_length(rest)?;
                for _ in 2..count & 0x3F {
                    (_, after) = frame_length(after)?;
                }
                after.get(..length.min(after.len()))
            } else {
                Some(rest)
            }
        }
    }
}

/// §3.2.1: one byte, or two from 252 on.
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [first @ 0..252, rest @ ..] => Some((usize::from(*first), rest)),
        [first, second, rest @ ..] => Some((usize::from(*second) * 4 + usize::from(*first), rest)),
        _ => None,
    }
}
