//! `incomingCallContext`: the opaque token by which an application answers, rejects or redirects an incoming call.
//! HMAC-SHA256 over call id, expiry and a nonce, base64url. That it is used once is the engine's to see, by the call's
//! state.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::random::Random;
use crate::time::Time;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 1_024;
const MAC: usize = 32;
/// Version, expiry, nonce.
const HEAD: usize = 1 + 8 + 16;
const VERSION: u8 = 1;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// It was true, and its time is over.
    #[error("the incomingCallContext has expired")]
    Expired,
    /// It is not ours, or was changed.
    #[error("the incomingCallContext is not valid")]
    Forged,
}

/// The key that signs tokens.
#[derive(Clone)]
pub struct IncomingContextKey([u8; 32]);

impl std::fmt::Debug for IncomingContextKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IncomingContextKey(…)")
    }
}

impl IncomingContextKey {
    /// From 256 secret bits.
    pub fn new(secret: [u8; 32]) -> Self {
        IncomingContextKey(secret)
    }

    /// A token for the call, good before `expires`. Two tokens for one call differ.
    pub fn sign(&self, call_id: &str, expires: Time, random: &mut Random) -> String {
        let mut token = Vec::with_capacity(HEAD + call_id.len() + MAC);
        token.push(VERSION);
        token.extend(expires.as_micros().to_be_bytes());
        token.extend(random.u64().to_be_bytes());
        token.extend(random.u64().to_be_bytes());
        token.extend(call_id.as_bytes());
        let mac = self.mac(&token).finalize().into_bytes();
        token.extend(mac);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The call id, if the token is ours and its time is not over.
    pub fn verify(&self, token: &str, now: Time) -> Result<String, ContextError> {
        if token.len() > MAX_TOKEN {
            return Err(ContextError::Forged);
        }
        let raw = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| ContextError::Forged)?;
        let (signed, mac) = raw.split_last_chunk::<MAC>().ok_or(ContextError::Forged)?;
        // Constant time.
        self.mac(signed).verify_slice(mac).map_err(|_| ContextError::Forged)?;
        let (version, rest) = signed.split_first().ok_or(ContextError::Forged)?;
        let (expires, rest) = rest.split_first_chunk::<8>().ok_or(ContextError::Forged)?;
        let call_id = rest.get(16..).ok_or(ContextError::Forged)?;
        if *version != VERSION {
            return Err(ContextError::Forged);
        }
        if now >= Time::from_micros(u64::from_be_bytes(*expires)) {
            return Err(ContextError::Expired);
        }
        String::from_utf8(call_id.to_vec()).map_err(|_| ContextError::Forged)
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        // HMAC takes a key of any length: this cannot fail.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(text);
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_names_its_call_until_it_expires() {
        let key = IncomingContextKey::new([7; 32]);
        let mut random = Random::from_number(1);
        let expires = Time::EPOCH + Duration::from_secs(60);
        let token = key.sign("call-1", expires, &mut random);
        assert_ne!(token, key.sign("call-1", expires, &mut random));
        assert_eq!(key.verify(&token, Time::EPOCH).as_deref(), Ok("call-1"));
        assert_eq!(key.verify(&token, expires), Err(ContextError::Expired));
    }

    #[test]
    fn any_changed_bit_any_other_key_and_any_garbage_is_refused() {
        let key = IncomingContextKey::new([7; 32]);
        let mut random = Random::from_number(2);
        let token = key.sign("call-1", Time::EPOCH + Duration::from_secs(60), &mut random);
        assert_eq!(IncomingContextKey::new([8; 32]).verify(&token, Time::EPOCH), Err(ContextError::Forged));
        let raw = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..raw.len() * 8 {
            let mut changed = raw.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(&URL_SAFE_NO_PAD.encode(changed), Time::EPOCH), Err(ContextError::Forged));
        }
        for _ in 0..20_000 {
            let length = random.below(80) as usize;
            let garbage: String = (0..length).map(|_| char::from(random.below(128) as u8)).collect();
            assert_eq!(key.verify(&garbage, Time::EPOCH), Err(ContextError::Forged));
        }
        assert_eq!(key.verify(&"A".repeat(5_000), Time::EPOCH), Err(ContextError::Forged));
    }
}
