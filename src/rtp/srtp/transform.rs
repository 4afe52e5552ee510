//! One key's session keys (RFC 3711 §4.3) and what they do to one packet: AES-CM with HMAC-SHA1 (RFC 3711 §4.1.1,
//! §4.2.1), AES-GCM (RFC 7714 §8, §9). Indexes are the caller's. Nothing here allocates after [`Transform::new`].

use rtc_srtp::crypto::{
    self, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, HmacAlgorithm, Mac, RTCCrypto, StreamCipher,
    StreamCipherAlgorithm, constant_time_eq,
};

use super::SrtpError;
use crate::session::{SrtpKey, SrtpSuite};

/// Length of GCM's tag.
const GCM_TAG: usize = 16;
/// HMAC-SHA1 before it is cut.
const SHA1: usize = 20;
/// SRTCP's tag is not cut to 32 bits in any suite (RFC 4568 §6.2.2).
const RTCP_TAG: usize = 10;

/// What of an SRTCP packet stays readable: the first header and its SSRC.
pub(super) const RTCP_HEADER: usize = 8;
/// SRTCP's E bit and index.
pub(super) const RTCP_INDEX: usize = 4;
/// The E bit.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// RFC 3711 §4.3.1.
#[derive(Clone, Copy)]
enum Label {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// The labels of SRTCP are those of SRTP and 3 more.
#[derive(Clone, Copy)]
enum Kind {
    Rtp = 0,
    Rtcp = 3,
}

/// One of SRTP or SRTCP under one key.
struct CounterMode {
    cipher: Box<dyn StreamCipher>,
    mac: Box<dyn Mac>,
    salt: [u8; 14],
    tag: usize,
}

struct Galois {
    cipher: Box<dyn AeadCipher>,
    salt: [u8; 12],
}

/// Ciphers and session keys of one master key.
pub(super) struct Transform(Ciphers);

enum Ciphers {
    CounterMode { rtp: CounterMode, rtcp: CounterMode },
    Galois { rtp: Galois, rtcp: Galois },
}

/// A packet's place in its stream: what makes its keystream unlike any other's.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub ssrc: u32,
    /// 48 bits of SRTP (rollover counter and sequence number) or 31 of SRTCP.
    pub index: u64,
}

impl Transform {
    pub fn new(key: &SrtpKey) -> Result<Self, SrtpError> {
        let provider = crypto::default_provider().map_err(|_| SrtpError::Cipher)?;
        let crypto = provider.crypto();
        let suite = key.suite();
        let (master, salt) = key.material().split_at_checked(suite.key_length()).ok_or(SrtpError::Cipher)?;
        let ciphers = match suite {
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => {
                let tag = if suite == SrtpSuite::AesCm128HmacSha1_32 { 4 } else { 10 };
                let make = |kind, tag| -> Result<CounterMode, SrtpError> {
                    let mut session = [0; 16];
                    derive(crypto, master, salt, kind, Label::Encryption, &mut session)?;
                    let mut authentication = [0; SHA1];
                    derive(crypto, master, salt, kind, Label::Authentication, &mut authentication)?;
                    let mut session_salt = [0; 14];
                    derive(crypto, master, salt, kind, Label::Salt, &mut session_salt)?;
                    CounterMode::new(crypto, &session, &authentication, session_salt, tag)
                };
                Ciphers::CounterMode { rtp: make(Kind::Rtp, tag)?, rtcp: make(Kind::Rtcp, RTCP_TAG)? }
            }
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => {
                let make = |kind| -> Result<Galois, SrtpError> {
                    let mut session = [0; 32];
                    let session = session.get_mut(..suite.key_length()).ok_or(SrtpError::Cipher)?;
                    derive(crypto, master, salt, kind, Label::Encryption, session)?;
                    let mut session_salt = [0; 12];
                    derive(crypto, master, salt, kind, Label::Salt, &mut session_salt)?;
                    Galois::new(crypto, session, session_salt)
                };
                Ciphers::Galois { rtp: make(Kind::Rtp)?, rtcp: make(Kind::Rtcp)? }
            }
        };
        Ok(Transform(ciphers))
    }

    /// What an RTP packet grows by, without an MKI.
    pub fn rtp_tag(&self) -> usize {
        match &self.0 {
            Ciphers::CounterMode { rtp, .. } => rtp.tag,
            Ciphers::Galois { .. } => GCM_TAG,
        }
    }

    /// The tag that stands before SRTCP's index (GCM), and the one that stands at the packet's end (HMAC).
    pub fn rtcp_tags(&self) -> (usize, usize) {
        match &self.0 {
            Ciphers::CounterMode { rtcp, .. } => (0, rtcp.tag),
            Ciphers::Galois { .. } => (GCM_TAG, 0),
        }
    }

    /// Encrypts what follows the header of `packet` and writes the tag to `tag`, which has [`rtp_tag`](Self::rtp_tag)
    /// bytes.
    pub fn seal_rtp(
        &mut self,
        place: Place,
        packet: &mut [u8],
        header: usize,
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        match &mut self.0 {
            Ciphers::CounterMode { rtp, .. } => {
                let (_, payload) = packet.split_at_mut_checked(header).ok_or(SrtpError::Length)?;
                rtp.crypt(place, payload)?;
                rtp.sign(&[packet, &rollover(place.index)], tag)
            }
            Ciphers::Galois { rtp, .. } => {
                let (header, payload) = packet.split_at_mut_checked(header).ok_or(SrtpError::Length)?;
                rtp.seal(gcm_rtp(place), header, payload, tag)
            }
        }
    }

    /// Checks the tag and decrypts what follows the header. After an error `packet` is worthless.
    pub fn open_rtp(&mut self, place: Place, packet: &mut [u8], header: usize, tag: &[u8]) -> Result<(), SrtpError> {
        match &mut self.0 {
            Ciphers::CounterMode { rtp, .. } => {
                rtp.verify(&[packet, &rollover(place.index)], tag)?;
                let (_, payload) = packet.split_at_mut_checked(header).ok_or(SrtpError::Length)?;
                rtp.crypt(place, payload)
            }
            Ciphers::Galois { rtp, .. } => {
                let (header, payload) = packet.split_at_mut_checked(header).ok_or(SrtpError::Length)?;
                rtp.open(gcm_rtp(place), header, payload, tag)
            }
        }
    }

    /// Encrypts what follows the first eight bytes of `packet`. `inner` and `outer` are as long as
    /// [`rtcp_tags`](Self::rtcp_tags) says; the index, with its E bit, is part of what is signed.
    pub fn seal_rtcp(
        &mut self,
        place: Place,
        packet: &mut [u8],
        inner: &mut [u8],
        outer: &mut [u8],
    ) -> Result<(), SrtpError> {
        let word = (place.index as u32 | ENCRYPTED).to_be_bytes();
        match &mut self.0 {
            Ciphers::CounterMode { rtcp, .. } => {
                let (_, body) = packet.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::Length)?;
                rtcp.crypt(place, body)?;
                rtcp.sign(&[packet, &word], outer)
            }
            Ciphers::Galois { rtcp, .. } => {
                let (header, body) = packet.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::Length)?;
                rtcp.seal(gcm_rtcp(place), &associated(header, word), body, inner)
            }
        }
    }

    /// The other way round.
    pub fn open_rtcp(&mut self, place: Place, packet: &mut [u8], inner: &[u8], outer: &[u8]) -> Result<(), SrtpError> {
        let word = (place.index as u32 | ENCRYPTED).to_be_bytes();
        match &mut self.0 {
            Ciphers::CounterMode { rtcp, .. } => {
                rtcp.verify(&[packet, &word], outer)?;
                let (_, body) = packet.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::Length)?;
                rtcp.crypt(place, body)
            }
            Ciphers::Galois { rtcp, .. } => {
                let (header, body) = packet.split_at_mut_checked(RTCP_HEADER).ok_or(SrtpError::Length)?;
                rtcp.open(gcm_rtcp(place), &associated(header, word), body, inner)
            }
        }
    }

    /// From session keys, as RFC 7714's examples have them.
    #[cfg(test)]
    pub fn galois_of_session_key(key: &[u8], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let provider = crypto::default_provider().map_err(|_| SrtpError::Cipher)?;
        let make = || Galois::new(provider.crypto(), key, salt);
        Ok(Transform(Ciphers::Galois { rtp: make()?, rtcp: make()? }))
    }
}

impl CounterMode {
    fn new(
        crypto: &dyn RTCCrypto,
        key: &[u8],
        authentication: &[u8],
        salt: [u8; 14],
        tag: usize,
    ) -> Result<Self, SrtpError> {
        let cipher = crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, key).map_err(|_| SrtpError::Cipher)?;
        let mac = crypto.new_hmac(HmacAlgorithm::Sha1, authentication).map_err(|_| SrtpError::Cipher)?;
        Ok(CounterMode { cipher, mac, salt, tag })
    }

    /// RFC 3711 §4.1.1: IV = salt·2^16 ⊕ SSRC·2^64 ⊕ index·2^16.
    fn crypt(&mut self, place: Place, data: &mut [u8]) -> Result<(), SrtpError> {
        let mut counter = (u128::from(place.ssrc) << 64 | u128::from(place.index) << 16).to_be_bytes();
        for (byte, salt) in counter.iter_mut().zip(&self.salt) {
            *byte ^= salt;
        }
        self.cipher.apply_keystream(&counter, data).map_err(|_| SrtpError::Cipher)
    }

    fn signature(&mut self, parts: &[&[u8]]) -> Result<[u8; SHA1], SrtpError> {
        let mut whole = [0; SHA1];
        self.mac.sign(parts, &mut whole).map_err(|_| SrtpError::Cipher)?;
        Ok(whole)
    }

    fn sign(&mut self, parts: &[&[u8]], tag: &mut [u8]) -> Result<(), SrtpError> {
        let whole = self.signature(parts)?;
        tag.copy_from_slice(whole.get(..tag.len()).filter(|cut| cut.len() == self.tag).ok_or(SrtpError::Length)?);
        Ok(())
    }

    fn verify(&mut self, parts: &[&[u8]], tag: &[u8]) -> Result<(), SrtpError> {
        let whole = self.signature(parts)?;
        let cut = whole.get(..self.tag).ok_or(SrtpError::Length)?;
        if constant_time_eq(cut, tag) { Ok(()) } else { Err(SrtpError::Authentication) }
    }
}

impl Galois {
    fn new(crypto: &dyn RTCCrypto, key: &[u8], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let algorithm = if key.len() == 32 { AeadAlgorithm::Aes256Gcm } else { AeadAlgorithm::Aes128Gcm };
        let cipher = crypto.new_aead(algorithm, key).map_err(|_| SrtpError::Cipher)?;
        Ok(Galois { cipher, salt })
    }

    fn salted(&self, mut iv: [u8; 12]) -> [u8; 12] {
        for (byte, salt) in iv.iter_mut().zip(&self.salt) {
            *byte ^= salt;
        }
        iv
    }

    fn seal(&mut self, iv: [u8; 12], header: &[u8], body: &mut [u8], tag: &mut [u8]) -> Result<(), SrtpError> {
        let iv = self.salted(iv);
        self.cipher.seal_in_place(&iv, header, body, tag).map_err(|_| SrtpError::Cipher)
    }

    fn open(&mut self, iv: [u8; 12], header: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), SrtpError> {
        let iv = self.salted(iv);
        self.cipher.open_in_place(&iv, header, body, tag).map_err(|_| SrtpError::Authentication)
    }
}

/// The bytes of the rollover counter, which is signed with the packet (RFC 3711 §4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §8.1: two zero bytes, SSRC, rollover counter, sequence number.
fn gcm_rtp(place: Place) -> [u8; 12] {
    truncated(u128::from(place.ssrc) << 48 | u128::from(place.index))
}

/// RFC 7714 §9.1: two zero bytes, SSRC, two zero bytes, index.
fn gcm_rtcp(place: Place) -> [u8; 12] {
    truncated(u128::from(place.ssrc) << 48 | u128::from(place.index))
}

/// The low twelve bytes.
fn truncated(number: u128) -> [u8; 12] {
    let mut iv = [0; 12];
    for (to, from) in iv.iter_mut().zip(number.to_be_bytes().into_iter().skip(4)) {
        *to = from;
    }
    iv
}

/// RFC 7714 §9.2: what GCM signs without encrypting it, of an encrypted packet.
fn associated(header: &[u8], word: [u8; RTCP_INDEX]) -> [u8; RTCP_HEADER + RTCP_INDEX] {
    let mut all = [0; RTCP_HEADER + RTCP_INDEX];
    for (to, from) in all.iter_mut().zip(header.iter().chain(&word)) {
        *to = *from;
    }
    all
}

/// RFC 3711 §4.3.3 with key derivation rate 0: AES of the salt with the label in it, and a counter.
fn derive(
    crypto: &dyn RTCCrypto,
    master: &[u8],
    salt: &[u8],
    kind: Kind,
    label: Label,
    out: &mut [u8],
) -> Result<(), SrtpError> {
    let algorithm = if master.len() == 32 { BlockCipherAlgorithm::Aes256 } else { BlockCipherAlgorithm::Aes128 };
    for (counter, piece) in (0u16..).zip(out.chunks_mut(16)) {
        let mut block = [0; 16];
        let [.., high, low] = &mut block;
        [*high, *low] = counter.to_be_bytes();
        for (byte, salt) in block.iter_mut().zip(salt) {
            *byte ^= salt;
        }
        if let Some(byte) = block.get_mut(7) {
            *byte ^= label as u8 + kind as u8;
        }
        crypto.block_encrypt(algorithm, master, &mut block).map_err(|_| SrtpError::Cipher)?;
        piece.iter_mut().zip(block).for_each(|(to, from)| *to = from);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3711 B.3.
    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let provider = crypto::default_provider().unwrap();
        let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let derived = |label, length| {
            let mut out = vec![0; length];
            derive(provider.crypto(), &master, &salt, Kind::Rtp, label, &mut out).unwrap();
            out
        };
        assert_eq!(derived(Label::Encryption, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(Label::Salt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let authentication = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E4740357 66B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(derived(Label::Authentication, 20), hex(authentication).get(..20).unwrap());
    }

    /// RFC 3711 B.2: the keystream of AES-CM.
    #[test]
    fn the_keystream_is_that_of_the_rfc() {
        let provider = crypto::default_provider().unwrap();
        let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
        let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let mut mode = CounterMode::new(provider.crypto(), &key, &[0; 20], salt, 10).unwrap();
        let mut stream = vec![0; 48];
        mode.crypt(Place { ssrc: 0, index: 0 }, &mut stream).unwrap();
        let wanted =
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(stream, hex(wanted));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }
}
