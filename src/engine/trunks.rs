//! Trunks as calls use them: their documents made ready, and how they fare. Built anew whenever a trunk or a route
//! changes; what is known of a trunk's health outlives that. What it all means is the room `trunk`'s.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Hub;
use super::trunk_hosts::{self, Found};
use crate::random::Random;
use crate::sip::leg::Credentials;
use crate::time::Time;
use crate::trunk::document::Proxy;
use crate::trunk::health::{Health, Standing};
use crate::trunk::limit::{Full, Limiter};
use crate::trunk::number::NumberPlan;
use crate::trunk::registration::{Registration, Standing as Registered};
use crate::trunk::route::{Asker, RouteDecision};
use crate::trunk::{Route, Routes, Trunk, proxy};

/// All trunks, in the order of their priority, and the routes over them.
#[derive(Debug, Default)]
pub struct Trunks {
    all: Vec<Arc<KnownTrunk>>,
    pub routes: Routes,
}

/// A trunk, ready to be used.
#[derive(Debug)]
pub struct KnownTrunk {
    pub trunk: Trunk,
    pub proxies: Vec<Proxy>,
    pub plan: NumberPlan,
    /// Where its calls come from as the operator wrote.
    written: Vec<IpNet>,
    /// And as the names of its proxies and registrar say.
    pub(super) found: ArcSwap<Vec<Found>>,
    pub fares: Fares,
}

/// How a trunk fares. Each lock is held for a look or a change, never over an await.
#[derive(Debug)]
pub struct Fares {
    limiter: Arc<Mutex<Limiter>>,
    proxies: Mutex<Vec<Health>>,
    registration: Mutex<Option<Registration>>,
    /// The user part of the Contact that we register, by which the carrier's calls come back.
    pub contact: String,
    /// Something is due earlier than it was.
    pub sooner: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked left the value whole: each change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among a trunk's calls; dropped, it is free again.
#[derive(Debug)]
pub struct Permit(Arc<Mutex<Limiter>>);

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.0).leave();
    }
}

impl Trunks {
    /// Makes documents ready. A host that cannot be found recognises no caller.
    pub async fn ready(trunks: Vec<Trunk>, routes: Vec<Route>, before: &Trunks, hub: &Hub) -> Trunks {
        let mut all = Vec::new();
        for trunk in trunks {
            let old = before.named(&trunk.name);
            match old.filter(|old| old.trunk == trunk) {
                Some(same) => all.push(Arc::clone(same)),
                None => all.push(Arc::new(KnownTrunk::ready(trunk, old.map(Arc::as_ref), hub).await)),
            }
        }
        Trunks { all, routes: Routes::new(routes) }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<KnownTrunk>] {
        &self.all
    }

    /// One.
    pub fn named(&self, name: &str) -> Option<&Arc<KnownTrunk>> {
        self.all.iter().find(|known| known.trunk.name == name)
    }

    /// Where a number goes.
    pub fn decide(&self, number: &str, asker: &Asker) -> RouteDecision {
        let trunks: Vec<&Trunk> = self.all.iter().map(|known| &known.trunk).collect();
        self.routes.decide(number, asker, &trunks)
    }

    /// A connection is gone: who was registered over it is forgotten by his carrier, perhaps.
    pub fn connection_lost(&self, remote: SocketAddr, now: Time, random: &mut Random) {
        for known in &self.all {
            if known.is_from(remote.ip())
                && let Some(registration) = lock(&known.fares.registration).as_mut()
            {
                registration.lost(now, random);
                known.fares.sooner.notify_one();
            }
        }
    }

    /// How many proxies and registrations stand how, for metrics.
    pub fn standings(&self, now: Time) -> ([u64; 3], [u64; 4], u64) {
        let (mut proxies, mut registrations, mut calls) = ([0; 3], [0; 4], 0);
        for known in &self.all {
            for health in lock(&known.fares.proxies).iter() {
                match health.standing(now) {
                    Standing::Unknown => proxies[0] += 1,
                    Standing::Up => proxies[1] += 1,
                    Standing::Down => proxies[2] += 1,
                }
            }
            if let Some(registration) = lock(&known.fares.registration).as_ref() {
                match registration.standing(now) {
                    Registered::Unregistered => registrations[0] += 1,
                    Registered::Registered => registrations[1] += 1,
                    Registered::Refused => registrations[2] += 1,
                    Registered::Failed => registrations[3] += 1,
                }
            }
            calls += u64::from(lock(&known.fares.limiter).active());
        }
        (proxies, registrations, calls)
    }
}

impl KnownTrunk {
    async fn ready(trunk: Trunk, before: Option<&KnownTrunk>, hub: &Hub) -> KnownTrunk {
        let proxies = trunk.proxies();
        let written = trunk.networks.iter().filter_map(|text| network(text)).collect();
        let found_before = before.map(|before| before.found.load_full()).unwrap_or_default();
        let found = trunk_hosts::find(hub, uris(&trunk, &proxies), &found_before).await;
        let now = hub.clock.now();
        let limiter = before.map_or_else(Default::default, |before| Arc::clone(&before.fares.limiter));
        lock(&limiter).set(trunk.max_calls, trunk.max_calls_per_second);
        let (health, registration, contact) = hub.random(|random| {
            let health = proxies.iter().map(|_| Health::new(trunk.health.clone(), now, random)).collect();
            let registration = trunk.register.as_ref().map(|register| Registration::new(register, now, random));
            let contact = trunk.register.as_ref().map(|register| format!("{}-{}", register.user, random.token(4)));
            (health, registration, contact.unwrap_or_default())
        });
        KnownTrunk {
            plan: trunk.numbers.as_ref().map(NumberPlan::new).unwrap_or_default(),
            proxies,
            written,
            found: ArcSwap::from_pointee(found),
            fares: Fares {
                limiter,
                proxies: Mutex::new(health),
                registration: Mutex::new(registration),
                contact,
                sooner: Notify::new(),
            },
            trunk,
        }
    }

    /// Does it send from this address?
    pub fn is_from(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let within = |network: &IpNet| network.contains(&source);
        self.written.iter().any(within) || self.found.load().iter().any(|found| found.addresses.iter().any(within))
    }

    /// Where its calls come from: what the operator wrote, and the addresses of its proxies and registrar.
    pub fn networks(&self) -> Vec<IpNet> {
        let found = self.found.load();
        let mut all = self.written.clone();
        for network in found.iter().flat_map(|found| &found.addresses) {
            if !all.contains(network) {
                all.push(*network);
            }
        }
        all
    }

    /// The URIs of its proxies and registrar.
    pub fn uris(&self) -> Vec<String> {
        uris(&self.trunk, &self.proxies)
    }

    /// What it is told when it asks.
    pub fn credentials(&self) -> Option<Credentials> {
        let account = self.trunk.register.as_ref().map(|register| register.user.clone());
        let user = self.trunk.username.clone().or(account.filter(|_| self.trunk.password.is_some()))?;
        Some(Credentials { user, password: self.trunk.password.clone().unwrap_or_default() })
    }

    /// The indices of its proxies, in the order of trial now.
    pub fn order(&self, now: Time, random: &mut Random) -> Vec<usize> {
        let down: Vec<bool> =
            lock(&self.fares.proxies).iter().map(|health| health.standing(now) == Standing::Down).collect();
        proxy::order(&self.proxies, |at| down.get(at).copied().unwrap_or_default(), random)
    }

    /// Is that proxy down?
    pub fn is_down(&self, at: usize, now: Time) -> bool {
        self.health(at, |health| health.standing(now) == Standing::Down).unwrap_or_default()
    }

    /// Looks at or changes a proxy's health.
    pub fn health<T>(&self, at: usize, change: impl FnOnce(&mut Health) -> T) -> Option<T> {
        lock(&self.fares.proxies).get_mut(at).map(change)
    }

    /// Looks at or changes the registration, where there is one.
    pub fn registration<T>(&self, change: impl FnOnce(&mut Registration) -> T) -> Option<T> {
        lock(&self.fares.registration).as_mut().map(change)
    }

    /// A place for one more call of ours.
    pub fn permit(&self, now: Time) -> Result<Permit, Full> {
        lock(&self.fares.limiter).enter(now)?;
        Ok(Permit(Arc::clone(&self.fares.limiter)))
    }

    /// A place for one more call of the carrier's.
    pub fn permit_inbound(&self) -> Result<Permit, Full> {
        lock(&self.fares.limiter).enter_inbound()?;
        Ok(Permit(Arc::clone(&self.fares.limiter)))
    }

    /// When the next OPTIONS or REGISTER is due.
    pub fn deadline(&self) -> Option<Time> {
        let proxies = lock(&self.fares.proxies).iter().filter_map(Health::deadline).min();
        let registration = lock(&self.fares.registration).as_ref().and_then(Registration::deadline);
        proxies.into_iter().chain(registration).min()
    }

    /// How it fares, as `/v1/trunks` shows it.
    pub fn state(&self, now: Time) -> Value {
        let error = |error: Option<&(Time, String)>| {
            error.map(|(at, problem)| json!({ "at": at.to_rfc3339(), "problem": problem }))
        };
        let health = lock(&self.fares.proxies);
        let proxies: Vec<Value> = self
            .proxies
            .iter()
            .zip(health.iter())
            .map(|(proxy, health)| {
                json!({
                    "uri": proxy.uri,
                    "state": health.standing(now),
                    "since": health.since().map(Time::to_rfc3339),
                    "lastError": error(health.last_error()),
                })
            })
            .collect();
        let registration = lock(&self.fares.registration);
        let registration = registration.as_ref().map(|registration| {
            json!({
                "state": registration.standing(now),
                "until": registration.until().map(Time::to_rfc3339),
                "lastError": error(registration.last_error()),
            })
        });
        json!({ "activeCalls": lock(&self.fares.limiter).active(), "proxies": proxies, "registration": registration })
    }
}

fn uris(trunk: &Trunk, proxies: &[Proxy]) -> Vec<String> {
    let registrar = trunk.register.as_ref().and_then(|register| register.registrar.clone());
    proxies.iter().map(|proxy| proxy.uri.clone()).chain(registrar).collect()
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
