//! Who is calling: what the engine knows of trunks and users, as a snapshot that the user agent is given, and who a
//! request turns out to come from. Challenges are `digest`'s; where a phone is reached is `registrar`'s; what a caller
//! may do is for the rules to say.

mod entrance;
mod policy;
#[cfg(test)]
mod tests;

pub use entrance::{Admission, Entrance, Failure};
pub use policy::{Authenticate, Forking, MAX_CONTACTS, Policy, TrunkAccess, TrunkDigest, UserAccess};

use serde::{Deserialize, Serialize};

/// Who a request comes from, as far as it was proved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// Nobody that we know; its From is what it says itself.
    #[default]
    Stranger,
    /// The trunk of this name: by its source network, its digest credentials, or its TLS client certificate.
    Trunk(String),
    /// The user of this name, by digest.
    User(String),
}

impl Identity {
    /// The trunk's name.
    pub fn trunk(&self) -> Option<&str> {
        match self {
            Identity::Trunk(name) => Some(name),
            _ => None,
        }
    }

    /// The user's name.
    pub fn user(&self) -> Option<&str> {
        match self {
            Identity::User(name) => Some(name),
            _ => None,
        }
    }

    /// May what it asserts about the caller be believed (RFC 3325 §3: within the trust domain)?
    pub fn is_trusted(&self) -> bool {
        matches!(self, Identity::Trunk(_))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Identity::Stranger => f.write_str("a stranger"),
            Identity::Trunk(name) => write!(f, "trunk {name}"),
            Identity::User(name) => write!(f, "user {name}"),
        }
    }
}
