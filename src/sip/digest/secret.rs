//! What is kept of a password: its HA1 by each algorithm (RFC 7616 §3.4.2, RFC 8760 §2.3), never the password.
//! An HA1 is bound to its user name and realm, and within them as good as the password: it is never shown.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The HA1s of one user name in one realm, as lower-case hexadecimal. Where one is missing, that algorithm cannot be
/// used.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// MD5: 32 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-256: 64 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Secret {
    /// Of a password.
    pub fn of_password(user: &str, realm: &str, password: &str) -> Secret {
        let text = format!("{user}:{realm}:{password}");
        Secret {
            md5: Some(super::client::hex(&Md5::digest(text.as_bytes()))),
            sha256: Some(super::client::hex(&Sha256::digest(text.as_bytes()))),
        }
    }

    /// No algorithm can be used: nobody gets in by it.
    pub fn is_empty(&self) -> bool {
        self.md5.is_none() && self.sha256.is_none()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}
