//! The HTTP API: ACS Call Automation on the wire, `/v1` for operators, health and metrics. JSON stops here: the engine
//! is reached through the traits of [`service`] in the words of [`crate::call`].
//!
//! A request goes: `server` (connection, limits) → `door` (row found, caller checked, body read, repetition noticed,
//! panic caught) → the row's function in `calling`, `admin` or `health` → [`service`].

mod admin;
pub mod auth;
pub mod calling;
mod door;
mod endpoint;
pub mod eventgrid;
mod health;
pub mod identifier;
mod openapi;
mod problem;
mod repeatability;
pub mod server;
pub mod service;
#[cfg(test)]
mod tests;
pub mod tls;

use std::sync::{Arc, OnceLock};

use axum::Router;
use bytes::Bytes;
use tokio::sync::Semaphore;

use self::auth::AccessKeys;
use self::endpoint::Endpoint;
use self::repeatability::Repeatability;
use self::service::{Administration, Calls};
use crate::time::Time;

/// The engine's clock.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What the API is made of.
pub struct Api {
    calls: Arc<dyn Calls>,
    administration: Arc<dyn Administration>,
    keys: AccessKeys,
    clock: Clock,
    endpoints: Vec<Endpoint>,
    repeatability: Repeatability,
    /// A place for each operation at work, whether or not its client still waits.
    places: Arc<Semaphore>,
    openapi: OnceLock<Bytes>,
}

/// The most operations at work; one more is told 503.
const MAX_AT_WORK: usize = 4096;

/// How a listener is reached, for links back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Api {
    /// An API before an engine.
    pub fn new(
        calls: Arc<dyn Calls>,
        administration: Arc<dyn Administration>,
        keys: AccessKeys,
        clock: Clock,
    ) -> Arc<Api> {
        let mut endpoints = calling::endpoints();
        endpoints.extend(admin::endpoints());
        endpoints.extend(health::endpoints());
        let (repeatability, openapi) = (Repeatability::default(), OnceLock::new());
        let places = Arc::new(Semaphore::new(MAX_AT_WORK));
        Arc::new(Api { calls, administration, keys, clock, endpoints, repeatability, places, openapi })
    }

    /// The router for a listener.
    pub fn router(self: &Arc<Self>, scheme: Scheme) -> Router {
        let api = Arc::clone(self);
        Router::new().fallback(move |request| door::pass(Arc::clone(&api), scheme, request))
    }

    /// The OpenAPI document as JSON, built when first asked for.
    fn openapi(&self) -> Bytes {
        let build = || match openapi::document(&self.endpoints).to_pretty_json() {
            Ok(text) => Bytes::from(text + "\n"),
            Err(error) => {
                tracing::error!(%error, "the OpenAPI document cannot be written");
                Bytes::new()
            }
        };
        self.openapi.get_or_init(build).clone()
    }
}
