//! L16: 16-bit linear PCM in network byte order (RFC 3551 §4.5.11), one channel.

/// How many samples these bytes are; none: half a sample is left over.
pub fn duration(payload: &[u8]) -> Option<usize> {
    payload.len().is_multiple_of(2).then_some(payload.len() / 2)
}

/// Decodes as many samples as both slices hold.
pub fn decode(payload: &[u8], out: &mut [i16]) {
    for (sample, bytes) in out.iter_mut().zip(payload.as_chunks::<2>().0) {
        *sample = i16::from_be_bytes(*bytes);
    }
}

/// Encodes as many samples as both slices hold.
pub fn encode(samples: &[i16], out: &mut [u8]) {
    for (bytes, sample) in out.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
        *bytes = sample.to_be_bytes();
    }
}
