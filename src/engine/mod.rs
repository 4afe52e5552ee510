//! The engine: the only place where clock, randomness, sockets, threads and store meet the pure rooms.
//!
//! | file | task or duty |
//! |---|---|
//! | `start` | brings everything up, in order, and takes it down again |
//! | `signalling` | the task that owns the SIP stack |
//! | `hunting` | several attempts for one leg of a call's |
//! | `trunks`, `routes`, `trunk_watch` | carriers: which one a number goes by, and how they fare |
//! | `incoming`, `outgoing` | how a call is born, by INVITE or by wish |
//! | `referral` | the way to somebody whom the other side refers us to |
//! | `running_call` | the task that owns one call |
//! | `deliveries`, `subscriptions` | events on their way to applications |
//! | `calls`, `administration` | what the API may ask |
//! | `bans` | sources that are not heard, and the settings of the limits |
//! | `access`, `users` | who is known at SIP's door |
//! | `archive`, `timeline` | what remains of a call |
//! | `captures`, `pcap` | a call's packets, kept where asked for, and the file that shows them |
//! | `overload` | media threads that run late: new calls are refused meanwhile |
//! | `open_files` | what strangers may take of the process's files |

mod access;
mod administration;
mod archive;
mod bans;
mod calls;
mod captures;
mod data_dir;
mod deliveries;
mod diverted;
mod encryption;
mod following;
mod forwarding;
mod hunting;
mod incoming;
mod metrics;
mod open_files;
mod outgoing;
mod overload;
#[cfg(test)]
mod overload_tests;
mod pcap;
mod prompts;
mod referral;
mod registry;
mod routes;
mod running_call;
mod shown;
mod signalling;
mod start;
mod subscriptions;
mod timeline;
mod tolls;
mod trunk_calls;
mod trunk_hosts;
mod trunk_watch;
mod trunks;
mod users;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;
use uuid::Uuid;

pub use data_dir::{DataDir, DataDirError, Secrets};
pub use open_files::raise as raise_open_files;
pub use start::{Listeners, StartError, entropy};

use crate::call::CallSettings;
use crate::clock::Clock;
use crate::config::Config;
use crate::events::{IncomingContextKey, Outbox};
use crate::media::worker::MediaPlane;
use crate::prompt::Prompts;
use crate::random::Random;
use crate::rules::Table;
use crate::sip::transport::locate::Locator;
use crate::sip::transport::{Counted, Counts as SipCounts};
use crate::store::{CallRecord, Store, StoreError, Subscription, User, Writer};
use crate::time::Time;
use metrics::{Metrics, count, set};
use registry::Registry;
use signalling::Signal;
use trunk_watch::Watches;
use trunks::Trunks;

/// A running engine. Dropping it does not stop it: see [`Engine::stop`].
pub struct Engine {
    hub: Arc<Hub>,
    listeners: Listeners,
    /// Stops the API's listeners.
    handle: crate::api::server::Handle,
    data_dir: DataDir,
    secrets: Secrets,
}

/// What the engine's tasks share.
pub struct Hub {
    config: Config,
    clock: Clock,
    random: Mutex<Random>,
    metrics: Metrics,
    store: Store,
    writer: Writer,
    outbox: Outbox,
    webhook_client: reqwest::Client,
    prompts: Prompts,
    captures: captures::Captures,
    media: Arc<MediaPlane>,
    signals: mpsc::Sender<Signal>,
    sip_counts: Arc<SipCounts>,
    calls: Registry,
    archive: archive::Archive,
    call_settings: CallSettings,
    /// The address put into SDP.
    advertised: IpAddr,
    /// The same for each family that SIP listens in.
    advertised_all: Vec<IpAddr>,
    /// Finds the way to SIP URIs.
    locator: Locator,
    tokens: IncomingContextKey,
    rules: ArcSwap<Table>,
    subscriptions: ArcSwap<HashMap<String, Subscription>>,
    trunks: ArcSwap<Trunks>,
    /// Who has called how many numbers.
    tolls: Arc<tolls::Tolls>,
    /// The tasks that keep an eye on trunks.
    watches: Watches,
    /// A trunk's name has led to an address that was not known as its own.
    other_addresses: Arc<tokio::sync::Notify>,
    users: ArcSwap<HashMap<String, User>>,
    /// Who is known, as the stack was told last.
    policy: ArcSwap<crate::sip::access::Policy>,
    /// Hosts and ports that are ours in a SIP address.
    here: (Vec<crate::sip::message::Host>, Vec<u16>),
    /// Held while rules, subscriptions or trunks change, so that check and change are one step.
    changes: tokio::sync::Mutex<()>,
    draining: AtomicBool,
    /// Media threads run late: no new calls.
    overloaded: AtomicBool,
    /// `http://host:port` of the API.
    own_url: String,
}

impl Hub {
    fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        // A holder that panicked left the generator whole.
        draw(&mut self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn random_uuid(&self) -> Uuid {
        self.random(Random::uuid)
    }

    fn uuid(&self) -> String {
        self.random_uuid().to_string()
    }

    fn sign_token(&self, call: &str, expires: Time) -> String {
        self.random(|random| self.tokens.sign(call, expires, random))
    }

    /// An address of ours as others know it: the advertised one where it is none in particular.
    fn reached_at(&self, local: SocketAddr) -> SocketAddr {
        if local.ip().is_unspecified() { SocketAddr::new(self.advertised, local.port()) } else { local }
    }

    /// What a call lives by whose first leg is with somebody at this address.
    fn settings_towards(&self, remote: IpAddr) -> CallSettings {
        let ipv4 = remote.to_canonical().is_ipv4();
        let advertised = self.advertised_all.iter().find(|ip| ip.is_ipv4() == ipv4).copied();
        CallSettings { advertised: advertised.unwrap_or(self.advertised), ..self.call_settings.clone() }
    }

    fn own_url(&self) -> &str {
        &self.own_url
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn is_overloaded(&self) -> bool {
        self.overloaded.load(Ordering::Relaxed)
    }

    /// Hands a signal to the signalling task without waiting; when its queue is full the signal is dropped and counted.
    fn signal(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            count(&self.metrics.failures, "signal not taken");
        }
    }

    async fn reload_rules(&self) -> Result<(), StoreError> {
        let rules = self.store.rules().await?;
        match Table::new(rules) {
            Ok(table) => self.rules.store(Arc::new(table)),
            // Each was checked when it came in; what is there stays in force.
            Err(errors) => tracing::error!(%errors, "the rules in the database cannot be used"),
        }
        Ok(())
    }

    async fn reload_subscriptions(&self) -> Result<(), StoreError> {
        let all = self.store.subscriptions().await?;
        self.subscriptions.store(Arc::new(all.into_iter().map(|s| (s.name.clone(), s)).collect()));
        Ok(())
    }

    async fn reload_trunks(self: &Arc<Self>) -> Result<(), StoreError> {
        let (trunks, routes) = (self.store.trunks().await?, self.store.routes().await?);
        self.trunks.store(Arc::new(Trunks::ready(trunks, routes, &self.trunks.load_full(), self).await));
        self.watches.follow(self);
        self.tell_policy();
        Ok(())
    }

    /// A call that has ended. One that ended a moment ago may still be on its way to the store.
    async fn kept_call(&self, id: &str) -> Result<Option<CallRecord>, StoreError> {
        if let Some(call) = self.store.call(id).await?.filter(|call| call.ended.is_some()) {
            return Ok(Some(call));
        }
        self.written().await;
        self.store.call(id).await
    }

    /// Waits until what calls have left behind so far can be read back from the store. A store that is stuck is waited
    /// for no longer than an operator would: what it has is shown then.
    async fn written(&self) {
        self.writer.flush(std::time::Duration::from_secs(5)).await;
    }

    /// Waits until no call lives, at most `limit`; whether none does.
    async fn without_calls(&self, limit: std::time::Duration) -> bool {
        let none = async {
            let mut changes = self.calls.changes();
            while !self.calls.is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, none).await.is_ok()
    }

    fn metrics_text(&self) -> String {
        let media = self.media.counters();
        for (name, value) in [
            ("rtp_received", media.rtp_received),
            ("rtp_sent", media.rtp_sent),
            ("rtcp_received", media.rtcp_received),
            ("rtcp_sent", media.rtcp_sent),
            ("send_errors", media.send_errors),
            ("strangers", media.strangers),
            ("malformed", media.malformed),
            ("ticks", media.ticks),
            ("late_ticks", media.late_ticks),
            ("skipped_frames", media.skipped_frames),
            ("open_failures", media.open_failures),
            ("panics", media.panics),
            ("open_legs", media.open_legs as u64),
            ("free_port_pairs", media.free_port_pairs.unwrap_or_default() as u64),
        ] {
            set(&self.metrics.media, name, value);
        }
        for counted in Counted::ALL {
            set(&self.metrics.sip_transport, counted.name(), self.sip_counts.get(*counted));
        }
        let (proxies, registrations, calls) = self.trunks.load().standings(self.clock.now());
        for (kind, value) in ["unknown", "up", "down"].into_iter().zip(proxies) {
            set(&self.metrics.trunk_proxies, kind, value);
        }
        for (kind, value) in ["unregistered", "registered", "refused", "failed"].into_iter().zip(registrations) {
            set(&self.metrics.trunk_registrations, kind, value);
        }
        self.metrics.trunk_calls.set(calls as i64);
        self.metrics.events_pending.set(self.outbox.pending() as i64);
        self.metrics.to_text()
    }
}

/// The opaque name of a call for features that outlive a connection: base64 of a URL, as at ACS.
fn server_call_id(call: Uuid) -> String {
    STANDARD.encode(format!("strowger://calls/{call}"))
}
