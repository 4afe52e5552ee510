//! The words of encrypted audio that signalling (which agrees on keys: SDES, RFC 4568) and media (which uses them:
//! SRTP, RFC 3711 and 7714) share. Ciphers are `rtp::srtp`, `a=crypto` is `sip::sdp`.

use serde::{Deserialize, Serialize};

/// Whether a leg's audio is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Never: plain RTP, and peers that want nothing else are refused.
    #[default]
    Off,
    /// Where the peer can; plain RTP where it cannot ("best effort").
    Offered,
    /// Always: peers that cannot are refused.
    Required,
}

impl SrtpPolicy {
    /// As settings, trunks and users write it.
    pub fn name(self) -> &'static str {
        match self {
            SrtpPolicy::Off => "off",
            SrtpPolicy::Offered => "offered",
            SrtpPolicy::Required => "required",
        }
    }
}

impl std::str::FromStr for SrtpPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [SrtpPolicy::Off, SrtpPolicy::Offered, SrtpPolicy::Required];
        all.into_iter().find(|policy| policy.name() == text).ok_or_else(|| "use off, offered or required".to_owned())
    }
}

/// A crypto suite: cipher, its key, and how packets are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SrtpSuite {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits (RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// The same with SRTP's tag cut to 32 bits; SRTCP's keeps 80 (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES-128 in Galois/counter mode, tag of 128 bits (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode, tag of 128 bits.
    AeadAes256Gcm,
}

impl SrtpSuite {
    /// All of them, in the order of our offers: the strongest first, the one that everybody has last but one.
    pub const ALL: [SrtpSuite; 4] = [
        SrtpSuite::AeadAes256Gcm,
        SrtpSuite::AeadAes128Gcm,
        SrtpSuite::AesCm128HmacSha1_80,
        SrtpSuite::AesCm128HmacSha1_32,
    ];

    /// The name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            SrtpSuite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            SrtpSuite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            SrtpSuite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            SrtpSuite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Those that a setting lists by name, without case, separated by commas, in its order.
    ///
    /// # Errors
    /// None, or one that we do not have.
    pub fn list(text: &str) -> Result<Vec<SrtpSuite>, String> {
        let mut found = Vec::new();
        for name in text.split(',').map(str::trim) {
            let suite = SrtpSuite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name));
            let suite = suite.ok_or_else(|| format!("{name:?} is not a suite we have"))?;
            if !found.contains(&suite) {
                found.push(suite);
            }
        }
        Ok(found)
    }

    /// Bytes of the master key.
    pub fn key_length(self) -> usize {
        if self == SrtpSuite::AeadAes256Gcm { 32 } else { 16 }
    }

    /// Bytes of the master salt.
    pub fn salt_length(self) -> usize {
        match self {
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => 14,
            SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => 12,
        }
    }

    /// Bytes of both, as `inline:` holds them: key, then salt.
    pub fn material_length(self) -> usize {
        self.key_length() + self.salt_length()
    }
}

/// The longest master key with its salt.
const MAX_MATERIAL: usize = 32 + 14;

/// One way's master key and salt. It prints itself without them, and is never saved.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    suite: SrtpSuite,
    /// Key, then salt; zeros behind them.
    material: [u8; MAX_MATERIAL],
    mki: Option<Mki>,
}

/// A master key identifier: a mark that packets carry before their tag (RFC 3711 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    /// The value, big-endian in the packet.
    pub value: u32,
    /// Bytes in the packet: 1–4.
    pub length: u8,
}

impl SrtpKey {
    /// From key and salt, one after the other; none: not of the suite's length.
    pub fn new(suite: SrtpSuite, bytes: &[u8], mki: Option<Mki>) -> Option<Self> {
        if bytes.len() != suite.material_length() {
            return None;
        }
        let mut material = [0; MAX_MATERIAL];
        material.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(SrtpKey { suite, material, mki })
    }

    /// Its suite.
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// The mark that packets carry; none: they carry none.
    pub fn mki(&self) -> Option<Mki> {
        self.mki
    }

    /// Key and salt: secret.
    pub fn material(&self) -> &[u8] {
        self.material.get(..self.suite.material_length()).unwrap_or_default()
    }
}

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SrtpKey({}, blanked)", self.suite.name())
    }
}

impl Drop for SrtpKey {
    fn drop(&mut self) {
        self.material.fill(0);
        // So that the compiler keeps the line above.
        std::hint::black_box(&mut self.material);
    }
}

/// Both ways' keys of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Ours: what we send is protected with it.
    pub send: SrtpKey,
    /// The peer's: what it sends is protected with it.
    pub receive: SrtpKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_prints_itself() {
        let key = SrtpKey::new(SrtpSuite::AeadAes256Gcm, &[0xAB; 44], None).unwrap();
        let keys = SrtpKeys { send: key.clone(), receive: key };
        let text = format!("{keys:?}");
        assert!(text.contains("blanked") && !text.contains("171") && !text.to_lowercase().contains("ab,"), "{text}");
        assert_eq!(keys.send.material(), [0xAB; 44]);
        for suite in SrtpSuite::ALL {
            assert!(SrtpKey::new(suite, &[1; 45], None).is_none(), "{suite:?}");
        }
    }
}
