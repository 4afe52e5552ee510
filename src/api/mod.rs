//! The HTTP API: ACS Call Automation on the wire, `/v1` for operators, health and metrics. JSON stops here: the engine
//! is reached through the traits of [`service`] in the words of [`crate::call`].

pub mod service;
