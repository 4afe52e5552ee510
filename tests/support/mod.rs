//! What tests share: a running engine, a client of its REST API, a webhook, an RTP port, a relay that loses datagrams.

mod carrier;
mod client;
mod engine;
mod lossy;
mod one_call;
mod rtp;
mod webhook;

pub use carrier::{Carrier, Manner};
pub use client::Client;
pub use engine::Engine;
pub use lossy::Lossy;
pub use one_call::OneCall;
pub use rtp::{Packet, RtpPort};
pub use webhook::Webhook;

use std::time::Duration;

/// The longest that anything is waited for. Only a broken engine, or a machine that froze for long, reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP client for loopback. reqwest wants to be told which cryptography TLS is to use.
pub fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client")
}
