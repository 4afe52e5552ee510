//! What remains of calls: their records and timelines on the way to the store, and back to whoever asks.

use std::collections::VecDeque;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Hub;
use super::metrics::count;
use super::timeline::Timeline;
use crate::api::service::{
    CallRecord, ConnectionState, MediaFigures, Quality, Timeline as ShownTimeline, TimelineEntry as ShownEntry,
    Wire as ShownWire,
};
use crate::call::{TimelineEntry, Topic};
use crate::media::{Rating, StreamStatistics};
use crate::store::{CallRecord as StoredCall, MAX_TIMELINE_ENTRIES, TimelineEntry as StoredEntry};
use crate::time::Time;

/// Ended calls whose timelines still take late entries (deliveries that were retried).
const RECENT: usize = 1024;

/// Where a kept record says how many entries its timeline had to leave out.
const DROPPED: &str = "timelineDropped";

/// The latest ended calls.
#[derive(Default)]
pub struct Archive(Mutex<VecDeque<Recent>>);

struct Recent {
    call: StoredCall,
    next_seq: u32,
}

impl Archive {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Recent>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Saves that a call has begun, so that a crash does not leave it unheard of.
pub fn begin(hub: &Hub, record: &CallRecord, started: Time) {
    let call = StoredCall { id: record.id.clone(), summary: json(record), started, ended: None };
    save(hub, call, Vec::new());
}

/// Saves an ended call with its timeline.
pub fn keep(hub: &Hub, record: CallRecord, started: Time, timeline: &Timeline, ended: Time) {
    let mut entries: Vec<StoredEntry> =
        timeline.entries().take(MAX_TIMELINE_ENTRIES).zip(0..).map(|(entry, seq)| stored(entry, seq)).collect();
    if timeline.dropped() > 0 {
        let text = format!("{} entries were left out: the timeline was full", timeline.dropped());
        let seq = entries.len() as u32;
        entries.push(stored(&TimelineEntry::new(ended, Topic::State, text), seq));
    }
    let mut summary = json(&record);
    summary[DROPPED] = timeline.dropped().into();
    let call = StoredCall { id: record.id.clone(), summary, started, ended: Some(ended) };
    let mut recent = hub.archive.lock();
    if recent.len() >= RECENT {
        recent.pop_front();
    }
    recent.push_back(Recent { call: call.clone(), next_seq: entries.len() as u32 });
    drop(recent);
    save(hub, call, entries);
}

/// Adds an entry to a call that has ended; false: it ended too long ago.
pub fn add_late(hub: &Hub, id: &str, entry: &TimelineEntry) -> bool {
    let mut recent = hub.archive.lock();
    let Some(call) = recent.iter_mut().rev().find(|recent| recent.call.id == id) else { return false };
    let seq = call.next_seq;
    call.next_seq += 1;
    let call = call.call.clone();
    drop(recent);
    save(hub, call, vec![stored(entry, seq)]);
    true
}

fn save(hub: &Hub, call: StoredCall, entries: Vec<StoredEntry>) {
    if hub.writer.save_call(call, entries).is_err() {
        count(&hub.metrics.failures, "call record");
    }
}

fn json(record: &CallRecord) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

fn stored(entry: &TimelineEntry, seq: u32) -> StoredEntry {
    let shown = shown(entry);
    StoredEntry {
        seq,
        at: entry.at,
        kind: shown.kind,
        text: shown.text,
        data: match shown.wire {
            Some(wire) => Some(serde_json::json!({ "message": shown.detail, "wire": wire })),
            None => Some(shown.detail).filter(|d| !d.is_null()),
        },
    }
}

/// An entry as operators see it.
fn shown(entry: &TimelineEntry) -> ShownEntry {
    let detail = entry.detail.as_deref().map_or(Value::Null, |text| {
        // A rule's explanation and an event are JSON; a SIP message is text.
        match entry.topic {
            Topic::Rule | Topic::Event => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            _ => Value::from(text),
        }
    });
    let kind = match entry.topic {
        Topic::Signalling => "sip".to_owned(),
        other => other.to_string(),
    };
    let wire = entry.wire.as_deref().map(|wire| ShownWire {
        transport: wire.transport.uri_name().to_owned(),
        source: wire.source,
        destination: wire.destination,
        bytes: wire.bytes.as_ref().map(|bytes| STANDARD.encode(bytes)),
    });
    ShownEntry { at: entry.at.to_rfc3339(), kind, text: entry.text.clone(), detail, wire }
}

/// A live call's timeline as operators see it.
pub fn shown_timeline(id: &str, timeline: &Timeline) -> ShownTimeline {
    ShownTimeline {
        call_id: id.to_owned(),
        dropped: timeline.dropped(),
        entries: timeline.entries().map(shown).collect(),
    }
}

/// A kept call's timeline as operators see it.
pub fn kept_timeline(call: &StoredCall, entries: Vec<StoredEntry>) -> ShownTimeline {
    let entries = entries.into_iter().map(|entry| {
        let mut detail = entry.data.unwrap_or_default();
        let wire = detail.get_mut("wire").and_then(|wire| serde_json::from_value(wire.take()).ok());
        if wire.is_some() {
            detail = detail["message"].take();
        }
        ShownEntry { at: entry.at.to_rfc3339(), kind: entry.kind, text: entry.text, detail, wire }
    });
    let dropped = call.summary[DROPPED].as_u64().unwrap_or_default();
    ShownTimeline { call_id: call.id.clone(), dropped, entries: entries.collect() }
}

/// The figures of an ended call's media, as operators see them.
pub fn media_figures(statistics: &StreamStatistics) -> MediaFigures {
    let quality = |rating: Rating| Quality { r: rounded(rating.r), mos: rounded(rating.mos) };
    MediaFigures {
        codec: statistics.codec.map(|codec| codec.encoding_name().to_owned()),
        packets_sent: statistics.packets_sent,
        packets_received: statistics.packets_received,
        packets_lost: statistics.packets_lost,
        packets_late: statistics.late,
        frames_skipped: statistics.skipped_frames,
        concealed_ms: rounded(statistics.concealed_ms),
        recovered_ms: rounded(statistics.recovered_ms),
        mean_playout_delay_ms: rounded(statistics.mean_playout_delay_ms),
        remote_packets_lost: statistics.remote_lost,
        jitter_ms: rounded(statistics.jitter_ms),
        max_jitter_ms: rounded(statistics.max_jitter_ms),
        remote_jitter_ms: statistics.remote_jitter_ms.map(rounded),
        round_trip_ms: statistics.round_trip_ms.map(rounded),
        heard: statistics.heard.map(quality),
        sent: statistics.sent.map(quality),
    }
}

/// To hundredths: more would be no news.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A kept call's record; none: the row is not one that we wrote.
pub fn kept_record(call: &StoredCall) -> Option<CallRecord> {
    serde_json::from_value(call.summary.clone()).ok()
}

/// Marks the calls that were running when the process last ended: they did not survive it.
pub async fn close_unfinished(hub: &Hub) -> Result<usize, crate::store::StoreError> {
    let unfinished = hub.store.unfinished_calls().await?;
    let now = hub.clock.now();
    for call in &unfinished {
        let Some(mut record) = kept_record(call) else { continue };
        record.state = ConnectionState::Disconnected;
        record.ended_at = Some(now.to_rfc3339());
        record.end_reason = Some("the engine stopped while the call was running".to_owned());
        save(hub, StoredCall { summary: json(&record), ended: Some(now), ..call.clone() }, Vec::new());
    }
    Ok(unfinished.len())
}
