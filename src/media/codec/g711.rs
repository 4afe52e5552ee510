//! G.711 µ-law and A-law by table (ITU-T G.711 tables 1a/1b and 2a/2b; PCMU and PCMA of RFC 3551 §4.5.14).
//! Bit-exact with ITU-T G.191 `g711.c`, which the tests write out again as the reference.

use crate::session::Codec;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// µ-law: PCMU.
    Mu,
    /// A-law: PCMA.
    A,
}

impl Law {
    /// The codec's law; none: it is not G.711.
    pub fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcmu => Some(Law::Mu),
            Codec::Pcma => Some(Law::A),
            Codec::G722 | Codec::L16 | Codec::Opus => None,
        }
    }
}

static MU_ENCODE: [u8; 16_384] = mu_encode_table();
static A_ENCODE: [u8; 4_096] = a_encode_table();
static MU_DECODE: [i16; 256] = mu_decode_table();
static A_DECODE: [i16; 256] = a_decode_table();

/// One sample, 16-bit linear, to one byte.
pub fn encode(law: Law, sample: i16) -> u8 {
    match law {
        // µ-law has 14 significant bits, A-law 12 after its first quantisation: the rest is cut off (towards -∞).
        Law::Mu => MU_ENCODE[usize::from(sample as u16 >> 2)],
        Law::A => A_ENCODE[usize::from(sample as u16 >> 4)],
    }
}

/// One byte to one 16-bit linear sample.
pub fn decode(law: Law, byte: u8) -> i16 {
    table(law)[usize::from(byte)]
}

/// Encodes as many samples as both slices hold.
pub fn encode_into(law: Law, samples: &[i16], out: &mut [u8]) {
    for (byte, &sample) in out.iter_mut().zip(samples) {
        *byte = encode(law, sample);
    }
}

/// Decodes as many bytes as both slices hold; returns how many.
pub fn decode_into(law: Law, bytes: &[u8], out: &mut [i16]) -> usize {
    let table = table(law);
    for (sample, &byte) in out.iter_mut().zip(bytes) {
        *sample = table[usize::from(byte)];
    }
    bytes.len().min(out.len())
}

/// The byte that stands for silence.
pub fn silence(law: Law) -> u8 {
    match law {
        Law::Mu => 0xFF,
        Law::A => 0xD5,
    }
}

fn table(law: Law) -> &'static [i16; 256] {
    match law {
        Law::Mu => &MU_DECODE,
        Law::A => &A_DECODE,
    }
}

/// Index: the upper 14 bits of the sample as an unsigned number.
const fn mu_encode_table() -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut index = 0;
    while index < table.len() {
        let value = ((index as u16) << 2) as i16 >> 2;
        let positive = value >= 0;
        let magnitude = if positive { value } else { !value } as u16;
        let biased = if magnitude + 33 > 0x1FFF { 0x1FFF } else { magnitude + 33 };
        // `biased` is 33…8191: its highest bit (5…12) is the segment.
        let segment = 10 - biased.leading_zeros() as u16;
        let step = (biased >> (segment + 1)) & 0x0F;
        let code = !((segment << 4) | step) as u8 & 0x7F;
        table[index] = if positive { code | 0x80 } else { code };
        index += 1;
    }
    table
}

/// Index: the upper 12 bits of the sample as an unsigned number.
const fn a_encode_table() -> [u8; 4_096] {
    let mut table = [0; 4_096];
    let mut index = 0;
    while index < table.len() {
        let value = ((index as u16) << 4) as i16 >> 4;
        let positive = value >= 0;
        let magnitude = if positive { value } else { !value } as u16;
        let code = if magnitude < 16 {
            magnitude
        } else {
            // 16…2047: the highest bit (4…10) is segment 1…7.
            let segment = 12 - magnitude.leading_zeros() as u16;
            (segment << 4) | ((magnitude >> (segment - 1)) & 0x0F)
        };
        table[index] = (if positive { code | 0x80 } else { code }) as u8 ^ 0x55;
        index += 1;
    }
    table
}

const fn mu_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let code = !(index as u8);
        let segment = (code >> 4) & 7;
        let magnitude = (((((code & 0x0F) as i16) << 3) + 0x84) << segment) - 0x84;
        table[index] = if code & 0x80 == 0 { magnitude } else { -magnitude };
        index += 1;
    }
    table
}

const fn a_decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let code = index as u8 ^ 0x55;
        let segment = (code >> 4) & 7;
        let step = ((code & 0x0F) as i16) << 4;
        let magnitude = match segment {
            0 => step + 8,
            _ => (step + 0x108) << (segment - 1),
        };
        table[index] = if code & 0x80 != 0 { magnitude } else { -magnitude };
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    // ITU-T G.191 STL, g711.c, statement by statement (loops instead of leading_zeros, segment counting from 1).

    fn reference_mu_encode(sample: i16) -> u8 {
        let sample = i32::from(sample);
        let mut absolute = if sample < 0 { (!sample >> 2) + 33 } else { (sample >> 2) + 33 };
        if absolute > 0x1FFF {
            absolute = 0x1FFF;
        }
        let mut i = absolute >> 6;
        let mut segment = 1;
        while i != 0 {
            segment += 1;
            i >>= 1;
        }
        let high = 0x0008 - segment;
        let low = 0x000F - ((absolute >> segment) & 0x000F);
        let mut log = (high << 4) | low;
        if sample >= 0 {
            log |= 0x80;
        }
        log as u8
    }

    fn reference_mu_decode(byte: u8) -> i16 {
        let sign = if byte < 0x80 { -1 } else { 1 };
        let mut mantissa = !i32::from(byte);
        let exponent = (mantissa >> 4) & 0x7;
        let segment = exponent + 1;
        mantissa &= 0xF;
        let step = 4 << segment;
        (sign * ((0x80 << exponent) + step * mantissa + step / 2 - 4 * 33)) as i16
    }

    fn reference_a_encode(sample: i16) -> u8 {
        let sample = i32::from(sample);
        let mut ix = if sample < 0 { !sample >> 4 } else { sample >> 4 };
        if ix > 15 {
            let mut exponent = 1;
            while ix > 16 + 15 {
                ix >>= 1;
                exponent += 1;
            }
            ix -= 16;
            ix += exponent << 4;
        }
        if sample >= 0 {
            ix |= 0x80;
        }
        (ix ^ 0x55) as u8
    }

    fn reference_a_decode(byte: u8) -> i16 {
        let mut ix = i32::from(byte) ^ 0x55;
        ix &= 0x7F;
        let exponent = ix >> 4;
        let mut mantissa = ix & 0xF;
        if exponent > 0 {
            mantissa += 16;
        }
        mantissa = (mantissa << 4) + 8;
        if exponent > 1 {
            mantissa <<= exponent - 1;
        }
        (if byte > 127 { mantissa } else { -mantissa }) as i16
    }

    #[test]
    fn every_sample_is_encoded_as_the_itu_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(encode(Law::Mu, sample), reference_mu_encode(sample), "µ-law of {sample}");
            assert_eq!(encode(Law::A, sample), reference_a_encode(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_byte_is_decoded_as_the_itu_does_and_survives_a_round_trip() {
        for byte in 0..=255 {
            assert_eq!(decode(Law::Mu, byte), reference_mu_decode(byte), "µ-law {byte:#x}");
            assert_eq!(decode(Law::A, byte), reference_a_decode(byte), "A-law {byte:#x}");
            assert_eq!(encode(Law::A, decode(Law::A, byte)), byte);
            let again = encode(Law::Mu, decode(Law::Mu, byte));
            // µ-law has two zeros; the negative one comes back as the positive one.
            assert_eq!(again, if byte == 0x7F { 0xFF } else { byte });
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        // Tables 2a and 2b: the virtual decision value 8159 (14 bit) and the first and last output values.
        assert_eq!(decode(Law::Mu, 0x80), 8031 * 4);
        assert_eq!(decode(Law::Mu, 0x00), -8031 * 4);
        assert_eq!(decode(Law::Mu, 0xFF), 0);
        // Table 1a: output values 1 and 4032 (13 bit).
        assert_eq!(decode(Law::A, 0xD5), 8);
        assert_eq!(decode(Law::A, 0xAA), 4032 * 8);
        assert_eq!(encode(Law::Mu, 0), silence(Law::Mu));
        assert_eq!(encode(Law::A, 0), silence(Law::A));
    }

    #[test]
    fn slices_stop_at_the_shorter() {
        let mut out = [0; 3];
        assert_eq!(decode_into(Law::Mu, &[0xFF; 5], &mut out), 3);
        let mut bytes = [9; 4];
        encode_into(Law::A, &[0; 2], &mut bytes);
        assert_eq!(bytes, [0xD5, 0xD5, 9, 9]);
    }
}
