//! What the engine counts, in the Prometheus text format. Names and meanings are part of the interface: see `HELP` texts.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::media::StreamStatistics;

/// Upper bounds of the opinion scores' buckets; 4.5 is the most there is. Below 3.1 nearly all are dissatisfied (G.107
/// Annex B), from 4.03 on satisfied.
const MOS_STEPS: [f64; 8] = [1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.34, 4.5];

/// One label with a value from a small fixed set.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Kind {
    /// The value. Static: nothing from outside can widen the set, and to count allocates nothing.
    pub kind: &'static str,
}

/// All counters and gauges. Cheap to count on from any thread.
pub struct Metrics {
    registry: Registry,
    /// Calls that live now.
    pub calls_active: Gauge,
    /// Calls begun, by direction.
    pub calls_started: Family<Kind, Counter>,
    /// Calls ended, by how.
    pub calls_ended: Family<Kind, Counter>,
    /// Calls refused before they began, by why.
    pub calls_refused: Family<Kind, Counter>,
    /// Estimated mean opinion scores of ended calls, by direction: what we heard, what the peer heard.
    call_mos: Family<Kind, Histogram, fn() -> Histogram>,
    /// Whether new calls are refused because media threads run late: 1 or 0.
    pub overloaded: Gauge,
    /// Times that this began.
    pub overloads: Counter,
    /// What the SIP stack counts.
    pub sip: Family<Kind, Counter>,
    /// Live entries of the SIP stack's tables, as it last published them.
    pub sip_tables: SipTables,
    /// The same, for the exposition.
    sip_state: Family<Kind, Gauge>,
    /// What the SIP sockets count.
    pub sip_transport: Family<Kind, Gauge>,
    /// What the media plane counts.
    pub media: Family<Kind, Gauge>,
    /// Attempts to call by trunks, by outcome.
    pub trunk_attempts: Family<Kind, Counter>,
    /// Trunks' proxies, by how they stand.
    pub trunk_proxies: Family<Kind, Gauge>,
    /// Registrations at carriers, by how they stand.
    pub trunk_registrations: Family<Kind, Gauge>,
    /// Calls that are on by trunks.
    pub trunk_calls: Gauge,
    /// Event deliveries, by outcome.
    pub deliveries: Family<Kind, Counter>,
    /// Events that are neither delivered nor given up.
    pub events_pending: Gauge,
    /// Digits by what became of them.
    pub digits: Family<Kind, Counter>,
    /// Prompt loads, by outcome.
    pub prompts: Family<Kind, Counter>,
    /// Internal failures (a call's task that panicked, a full queue), by where.
    pub failures: Family<Kind, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("strowger");
        let calls_active = Gauge::default();
        registry.register("calls_active", "Calls that live now", calls_active.clone());
        let calls_started = family(&mut registry, "calls_started", "Calls begun, by direction");
        let calls_ended = family(&mut registry, "calls_ended", "Calls ended, by how");
        let calls_refused = family(&mut registry, "calls_refused", "Calls refused before they began, by why");
        let call_mos = Family::new_with_constructor((|| Histogram::new(MOS_STEPS)) as fn() -> Histogram);
        registry.register(
            "call_mos",
            "Mean opinion scores of ended calls by the E-model (ITU-T G.107), by direction: heard, sent",
            call_mos.clone(),
        );
        let overloaded = Gauge::default();
        let help = "1 while new calls are refused because media threads run late, else 0";
        registry.register("overloaded", help, overloaded.clone());
        let overloads = Counter::default();
        registry.register("overloads", "Times that the engine became overloaded", overloads.clone());
        let sip = family(&mut registry, "sip", "What the SIP stack counts");
        let deliveries = family(&mut registry, "event_deliveries", "Delivery attempts of events, by outcome");
        let events_pending = Gauge::default();
        registry.register("events_pending", "Events neither delivered nor given up", events_pending.clone());
        let digits = family(
            &mut registry,
            "digits",
            "Digits by what became of them: pressed, dropped (a duplicate), discarded (nobody listened)",
        );
        let prompts = family(&mut registry, "prompt_loads", "Prompt loads, by outcome");
        let failures = family(&mut registry, "failures", "Internal failures, by where");
        let sip_state = gauges(&mut registry, "sip_state", "Live entries of the SIP stack's tables");
        let sip_transport = gauges(&mut registry, "sip_transport", "What the SIP sockets count");
        let media = gauges(&mut registry, "media", "What the media plane counts");
        let trunk_attempts = family(
            &mut registry,
            "trunk_attempts",
            "Attempts to call by trunks: answered, refused, failed (5xx), unanswered (it rang), silent (no response), unreachable, full (limits)",
        );
        let trunk_proxies = gauges(&mut registry, "trunk_proxies", "Trunks' proxies: unknown, up, down");
        let trunk_registrations = gauges(
            &mut registry,
            "trunk_registrations",
            "Registrations at carriers: unregistered, registered, refused, failed",
        );
        let trunk_calls = Gauge::default();
        registry.register("trunk_calls", "Calls that are on by trunks, both ways", trunk_calls.clone());
        Metrics {
            registry,
            trunk_attempts,
            trunk_proxies,
            trunk_registrations,
            trunk_calls,
            calls_active,
            calls_started,
            calls_ended,
            calls_refused,
            call_mos,
            overloaded,
            overloads,
            sip,
            sip_tables: SipTables::default(),
            sip_state,
            sip_transport,
            media,
            deliveries,
            events_pending,
            digits,
            prompts,
            failures,
        }
    }
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Family<Kind, Counter> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Family<Kind, Gauge> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// How full the SIP stack's tables are: published after each batch of work, read when somebody asks.
#[derive(Default)]
pub struct SipTables([AtomicUsize; SipTables::NAMES.len()]);

impl SipTables {
    const NAMES: [&str; 6] =
        ["legs", "client_transactions", "server_transactions", "half_open", "indexed", "owned_legs"];

    /// Entries by table, in the order of the names.
    pub fn publish(&self, entries: [usize; SipTables::NAMES.len()]) {
        self.0.iter().zip(entries).for_each(|(cell, n)| cell.store(n, Ordering::Relaxed));
    }

    /// Entries by table name.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, usize)> {
        Self::NAMES.into_iter().zip(self.0.iter().map(|cell| cell.load(Ordering::Relaxed)))
    }
}

/// Counts one more of `kind`.
pub fn count(family: &Family<Kind, Counter>, kind: &'static str) {
    family.get_or_create(&Kind { kind }).inc();
}

/// Sets the gauge of `kind`.
pub fn set(family: &Family<Kind, Gauge>, kind: &'static str, value: u64) {
    family.get_or_create(&Kind { kind }).set(i64::try_from(value).unwrap_or(i64::MAX));
}

impl Metrics {
    /// Counts an ended call's quality, where it could be rated.
    pub fn rate_call(&self, statistics: &StreamStatistics) {
        for (kind, rating) in [("heard", statistics.heard), ("sent", statistics.sent)] {
            if let Some(rating) = rating {
                self.call_mos.get_or_create(&Kind { kind }).observe(rating.mos);
            }
        }
    }

    /// The Prometheus text exposition.
    pub fn to_text(&self) -> String {
        for (table, entries) in self.sip_tables.read() {
            set(&self.sip_state, table, entries as u64);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exposed_by_name() {
        let metrics = Metrics::default();
        count(&metrics.calls_started, "inbound");
        metrics.sip_tables.publish([3, 0, 0, 0, 0, 0]);
        let text = metrics.to_text();
        assert!(text.contains("strowger_calls_started_total{kind=\"inbound\"} 1"), "{text}");
        assert!(text.contains("strowger_sip_state{kind=\"legs\"} 3"), "{text}");
    }
}
