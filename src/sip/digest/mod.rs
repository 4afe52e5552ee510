//! Digest access authentication (RFC 3261 §22, RFC 7616, RFC 8760). `client` answers challenges, `server` makes them, `secret` is what is kept
//! of a password. Who is challenged is `access`'s to say.

mod client;
mod secret;
mod server;
#[cfg(test)]
mod server_tests;

pub use client::{
    Authenticator, Authorization, Challenge, DigestError, MAX_CHALLENGES, MAX_ROUNDS, Rounds, challenges,
};
pub use secret::Secret;
pub use server::{Algorithm, Asked, Challenger, MAX_COUNTED, NONCE_LIFE, Verdict};
