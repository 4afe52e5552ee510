//! The official Azure SDKs, unmodified, against the engine.
