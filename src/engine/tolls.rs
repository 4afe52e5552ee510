//! Calls to numbers, counted by who causes them: a place that is held as long as the call goes on. The limits are
//! `trunk::toll`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Hub;
use super::metrics::count;
use crate::config::Config;
use crate::rules::normalise;
use crate::trunk::route::Asker;
use crate::trunk::toll::{Destination, PerAsker, TollGuard, TollRefusal, TollSettings};

/// Shared by all calls; each holds it for a moment.
#[derive(Debug, Default)]
pub struct Tolls(Mutex<TollGuard>);

/// A place among a caller's calls; dropped, it is free again.
#[derive(Debug)]
pub struct TollPermit {
    tolls: Arc<Tolls>,
    asker: Asker,
}

impl Drop for TollPermit {
    fn drop(&mut self) {
        self.tolls.lock().leave(&self.asker);
    }
}

impl Tolls {
    /// As the settings say.
    pub fn new(config: &Config) -> Arc<Tolls> {
        let each =
            |[applications, users, trunks, strangers]: [u32; 4]| PerAsker { applications, users, trunks, strangers };
        let prefixes = |list: &[String]| list.iter().map(|prefix| normalise(prefix)).collect();
        let settings = TollSettings {
            at_once: each(config.toll_calls),
            per_minute: each(config.toll_calls_per_minute),
            per_hour: each(config.toll_calls_per_hour),
            allowed: prefixes(&config.toll_allowed),
            denied: prefixes(&config.toll_denied),
        };
        Arc::new(Tolls(Mutex::new(TollGuard::new(settings))))
    }

    fn lock(&self) -> MutexGuard<'_, TollGuard> {
        // A holder that panicked left the counts whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// A place for a call to this number on behalf of `asker`; a refusal is counted.
    pub fn permit_toll(&self, asker: &Asker, to: &Destination) -> Result<Arc<TollPermit>, TollRefusal> {
        let entered = self.tolls.lock().enter(asker, to, self.clock.now());
        match entered {
            Ok(()) => Ok(Arc::new(TollPermit { tolls: Arc::clone(&self.tolls), asker: asker.clone() })),
            Err(refusal) => {
                count(&self.metrics.calls_refused, refusal.name());
                tracing::warn!(?asker, %refusal, "a call to a number is refused");
                Err(refusal)
            }
        }
    }
}
