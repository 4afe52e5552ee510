//! The outbox against web servers on loopback.
