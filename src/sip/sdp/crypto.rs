//! `a=crypto` (RFC 4568, with the suites of RFC 7714): reading the lines of a peer, writing ours, and which of them is
//! agreed on. Lines are read strictly: one that asks for what we do not do is passed over as a whole, never half
//! heeded.
//!
//! # What is done and what is not
//! - One key a line. Several (with which the sender could change in mid-stream) are passed over with their line.
//! - A lifetime is read and must be one; it is the sender's own promise, and 2^48 packets outlast a call.
//! - An MKI of up to four bytes is understood in what the peer sends; ours has none.
//! - Of the session parameters the window size hint is a hint; what begins with `-` may be ignored and is; every other
//!   (key derivation rate, unencrypted, unauthenticated, FEC) makes the line none of ours.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::random::Random;
use crate::session::{Mki, SrtpKey, SrtpKeys, SrtpPolicy, SrtpSuite};

/// Lines that are looked at in one media description; what follows is ignored.
const MAX_LINES: usize = 16;
/// The longest line that is looked at, in bytes.
const MAX_LENGTH: usize = 512;
/// Packets that a key may last for: 2^48 (RFC 3711 §9.2).
const MAX_LIFETIME: u64 = 1 << 48;

/// Peers are known that leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A line that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crypto {
    /// Names the line in the answer.
    pub tag: u32,
    /// What the one who wrote the line sends with.
    pub key: SrtpKey,
}

impl Crypto {
    /// The value of one `a=crypto`; none: we cannot do what it says, or it does not say it properly.
    pub fn parse(value: &str) -> Option<Crypto> {
        if value.len() > MAX_LENGTH {
            return None;
        }
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| (1..=9).contains(&tag.len()))?;
        let tag = number(tag)?.try_into().ok()?;
        let suite = words.next()?;
        let suite = SrtpSuite::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(suite))?;
        let (method, info) = words.next()?.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let ignorable = |parameter: &str| {
            let name = parameter.split('=').next().unwrap_or_default();
            parameter.starts_with('-') || name.eq_ignore_ascii_case("WSH")
        };
        if !words.all(ignorable) {
            return None;
        }
        let mut fields = info.split('|');
        let material = BASE64.decode(fields.next()?).ok()?;
        let (mut lifetime, mut mki) = (false, None);
        for field in fields {
            match field.split_once(':') {
                Some((value, length)) if mki.is_none() => {
                    let length = number(length).and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=4).contains(n))?;
                    let value = u32::try_from(number(value)?).ok()?;
                    if length < 4 && value >> (8 * u32::from(length)) != 0 {
                        return None;
                    }
                    mki = Some(Mki { value, length });
                }
                None if !lifetime && mki.is_none() => {
                    lifetime = true;
                    let packets = match field.strip_prefix("2^") {
                        Some(power) => 1u64.checked_shl(u32::try_from(number(power)?).ok()?)?,
                        None => number(field)?,
                    };
                    if !(1..=MAX_LIFETIME).contains(&packets) {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        Some(Crypto { tag, key: SrtpKey::new(suite, &material, mki)? })
    }

    /// The lines of a media description that we can use, and whether there are others.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>) -> (Vec<Crypto>, bool) {
        let mut lines = Vec::new();
        let mut others = false;
        for value in values.take(MAX_LINES) {
            match Crypto::parse(value) {
                // A tag twice names nothing.
                Some(line) if !lines.iter().any(|known: &Crypto| known.tag == line.tag) => lines.push(line),
                _ => others = true,
            }
        }
        (lines, others)
    }

    /// The attribute's value.
    fn write(&self) -> String {
        format!("{} {} inline:{}", self.tag, self.key.suite().name(), BASE64.encode(self.key.material()))
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Our keys in one session. It is never saved, and prints no key.
#[derive(Clone, Debug, Default)]
pub(super) struct Keying {
    /// Where keys are drawn from; none: SRTP is not to be had (an insecure hop, a session that was read back).
    random: Option<Random>,
    /// What is offered, in this order, and taken.
    suites: Vec<SrtpSuite>,
    /// A key of ours for each suite at most: the same in every description of the session, so that the peer need not
    /// begin anew.
    ours: Vec<SrtpKey>,
    /// What our last offer held.
    offered: Vec<Crypto>,
    /// What holds; none: nothing was agreed yet.
    agreed: Option<Agreed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    Plain,
    Secure,
}

impl PartialEq for Keying {
    fn eq(&self, other: &Self) -> bool {
        (&self.ours, &self.offered, self.agreed) == (&other.ours, &other.offered, other.agreed)
    }
}

impl Eq for Keying {}

impl Keying {
    pub fn new(random: Random, suites: &[SrtpSuite]) -> Self {
        Keying { random: Some(random), suites: suites.to_vec(), ..Keying::default() }
    }

    /// What we would take of a peer's lines.
    pub fn suites(&self) -> &[SrtpSuite] {
        &self.suites
    }

    /// What of a policy can be had here.
    pub fn feasible(&self, policy: SrtpPolicy) -> Option<SrtpPolicy> {
        match (policy, &self.random) {
            (SrtpPolicy::Required, None) => None,
            (_, None) => Some(SrtpPolicy::Off),
            (policy, Some(_)) => Some(policy),
        }
    }

    /// The lines of an offer.
    pub fn offer(&mut self, policy: SrtpPolicy) -> Vec<String> {
        // A session that stands without encryption goes on without it.
        let plain = policy == SrtpPolicy::Offered && self.agreed == Some(Agreed::Plain);
        if policy == SrtpPolicy::Off || plain {
            self.offered.clear();
            return Vec::new();
        }
        let keys = self.suites.clone().into_iter().filter_map(|suite| self.key(suite));
        let lines = (1..).zip(keys.collect::<Vec<_>>());
        self.offered = lines.map(|(tag, key)| Crypto { tag, key }).collect();
        self.offered.iter().map(Crypto::write).collect()
    }

    /// Answers the first of the peer's lines that we take.
    pub fn answer(&mut self, theirs: &[Crypto]) -> Option<(String, SrtpKeys)> {
        let line = theirs.iter().find(|line| self.suites.contains(&line.key.suite()))?;
        let ours = Crypto { tag: line.tag, key: self.key(line.key.suite())? };
        self.agreed = Some(Agreed::Secure);
        // An answer that is repeated as an offer asks for the same again.
        self.offered = vec![ours.clone()];
        Some((ours.write(), SrtpKeys { send: ours.key, receive: line.key.clone() }))
    }

    /// We answered without encryption.
    pub fn answered_plainly(&mut self) {
        self.offered.clear();
        self.agreed = Some(Agreed::Plain);
    }

    /// What the answer to our offer makes of it: `Err` where it is not one.
    pub fn accept(&mut self, theirs: &[Crypto], others: bool, secure_profile: bool) -> Result<Option<SrtpKeys>, ()> {
        let keys = match theirs {
            // Keys that nobody asked for.
            _ if self.offered.is_empty() && !secure_profile => None,
            [] if others || secure_profile => return Err(()),
            [] => None,
            [line] if !others => {
                let same = |ours: &&Crypto| ours.tag == line.tag && ours.key.suite() == line.key.suite();
                let ours = self.offered.iter().find(same).ok_or(())?;
                Some(SrtpKeys { send: ours.key.clone(), receive: line.key.clone() })
            }
            // Several lines do not say which one holds.
            _ => return Err(()),
        };
        self.agreed = Some(if keys.is_some() { Agreed::Secure } else { Agreed::Plain });
        Ok(keys)
    }

    /// What an offer or answer of ours held.
    pub fn held(&self) -> Vec<Crypto> {
        self.offered.clone()
    }

    /// It is said again.
    pub fn hold(&mut self, lines: Vec<Crypto>) {
        self.offered = lines;
    }

    /// Our last offer was refused.
    pub fn roll_back(&mut self, before: &Keying) {
        self.agreed = before.agreed;
        self.offered.clone_from(&before.offered);
    }

    fn key(&mut self, suite: SrtpSuite) -> Option<SrtpKey> {
        if let Some(key) = self.ours.iter().find(|key| key.suite() == suite) {
            return Some(key.clone());
        }
        let mut material = vec![0; suite.material_length()];
        self.random.as_mut()?.fill(&mut material);
        let key = SrtpKey::new(suite, &material, None)?;
        material.fill(0);
        self.ours.push(key.clone());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_are_read_strictly() {
        let gcm = BASE64.encode([7; 28]);
        let gcm256 = BASE64.encode([7; 44]);
        let good = [
            (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^20|1:4"), SrtpSuite::AesCm128HmacSha1_80, Some((1, 4))),
            (format!("2 aes_cm_128_hmac_sha1_32 {KEY}"), SrtpSuite::AesCm128HmacSha1_32, None),
            (format!("001 AES_CM_128_HMAC_SHA1_80 {KEY}|1048576"), SrtpSuite::AesCm128HmacSha1_80, None),
            (format!("999999999 AES_CM_128_HMAC_SHA1_80 {KEY}|255:1"), SrtpSuite::AesCm128HmacSha1_80, Some((255, 1))),
            (format!("1  AES_CM_128_HMAC_SHA1_80  {KEY} WSH=128 -X=1"), SrtpSuite::AesCm128HmacSha1_80, None),
            (format!("1 AEAD_AES_128_GCM inline:{gcm}"), SrtpSuite::AeadAes128Gcm, None),
            (format!("1 AEAD_AES_128_GCM INLINE:{}", gcm.trim_end_matches('=')), SrtpSuite::AeadAes128Gcm, None),
            (format!("1 AEAD_AES_256_GCM inline:{gcm256}|2^31"), SrtpSuite::AeadAes256Gcm, None),
        ];
        for (line, suite, mki) in good {
            let crypto = Crypto::parse(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(
                (crypto.key.suite(), crypto.key.mki()),
                (suite, mki.map(|(value, length)| Mki { value, length }))
            );
        }
        let bad = [
            String::new(),
            "1".into(),
            "1 AES_CM_128_HMAC_SHA1_80".into(),
            format!("0x1 AES_CM_128_HMAC_SHA1_80 {KEY}"),
            format!("+1 AES_CM_128_HMAC_SHA1_80 {KEY}"),
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 {KEY}"),
            format!("1 F8_128_HMAC_SHA1_80 {KEY}"),
            format!("1 AES_256_CM_HMAC_SHA1_80 {KEY}"),
            format!("1 AEAD_AES_128_GCM {KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {}", KEY.replace("inline", "uri")),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY};{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:4;{KEY}|2:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}AAAA"),
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19z!W1jdGwgKCkgewkyMjA7fQp9CnVubGVz".into(),
            "1 AES_CM_128_HMAC_SHA1_80 inline:".into(),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^49"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^999"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:4|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|256:1"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:5"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|1:4|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} KDR=0"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNENCRYPTED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNENCRYPTED_SRTCP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNAUTHENTICATED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} FEC_ORDER=FEC_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} UNKNOWN"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}{}", " -X".repeat(200)),
        ];
        for line in bad {
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
    }

    #[test]
    fn what_we_write_we_read() {
        let mut keying = Keying::new(Random::from_number(1), &SrtpSuite::ALL);
        let lines = keying.offer(SrtpPolicy::Offered);
        assert_eq!(lines.len(), 4);
        let (read, others) = Crypto::read(lines.iter().map(String::as_str));
        assert!(!others);
        assert_eq!(read, keying.offered);
        assert_eq!(keying.offer(SrtpPolicy::Required), lines, "the same keys again");
        let other = Keying::new(Random::from_number(2), &SrtpSuite::ALL).offer(SrtpPolicy::Offered);
        assert!(lines.iter().zip(&other).all(|(a, b)| a != b), "another session has other keys");
    }
}
