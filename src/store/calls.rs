//! Call records and their timelines: kept after the call, bounded per call and in number.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{QueryBuilder, SqliteConnection};
use utoipa::ToSchema;

use super::error::{StoreError, document, json};
use super::open::Store;
use crate::time::Time;

/// Timeline entries kept of one call; what comes after is left out (say so in the last one).
pub const MAX_TIMELINE_ENTRIES: usize = 2_000;

/// Timeline rows in one statement. As many statements may be prepared at most; the connection keeps a hundred.
const ROWS: usize = 32;

/// What is kept of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// The call's id.
    pub id: String,
    /// What `GET /v1/calls/{id}` shows.
    pub summary: Value,
    /// When it began.
    pub started: Time,
    /// When it ended; none while it runs.
    pub ended: Option<Time>,
}

/// One entry of a call's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// Counts up from 0 in each call.
    pub seq: u32,
    /// RFC 3339 on the wire of `/v1`; microseconds since the Unix epoch here.
    #[schema(value_type = u64)]
    pub at: Time,
    /// `sip`, `media`, `dtmf`, `rule`, `command`, `event`, `delivery`…
    pub kind: String,
    /// For people.
    pub text: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// Which calls to list: newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPage {
    /// At most this many; bounded to 1–1,000.
    pub limit: u32,
    /// After this one: the last of the page before (its start, its id).
    pub after: Option<(Time, String)>,
}

type Row = (String, String, i64, Option<i64>);

fn record((id, summary, started, ended): Row) -> Result<CallRecord, StoreError> {
    Ok(CallRecord { summary: document("call", &id, &summary)?, id, started: time(started), ended: ended.map(time) })
}

pub(super) fn micros(time: Time) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn time(micros: i64) -> Time {
    Time::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl Store {
    /// One call, running (as last saved) or ended.
    pub async fn call(&self, id: &str) -> Result<Option<CallRecord>, StoreError> {
        let row: Option<Row> = sqlx::query_as("SELECT id, summary, started, ended FROM calls WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.read)
            .await?;
        row.map(record).transpose()
    }

    /// A page of calls, newest first.
    pub async fn calls(&self, page: &CallPage) -> Result<Vec<CallRecord>, StoreError> {
        let (started, id) = page.after.as_ref().map_or((i64::MAX, ""), |(time, id)| (micros(*time), id.as_str()));
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, summary, started, ended FROM calls WHERE started < $1 OR (started = $1 AND id < $2) \
             ORDER BY started DESC, id DESC LIMIT $3",
        )
        .bind(started)
        .bind(id)
        .bind(i64::from(page.limit.clamp(1, 1_000)))
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(record).collect()
    }

    /// The timeline of a call that was saved.
    pub async fn timeline(&self, call_id: &str) -> Result<Vec<TimelineEntry>, StoreError> {
        type Row = (i64, i64, String, String, Option<String>);
        let rows: Vec<Row> =
            sqlx::query_as("SELECT seq, at, kind, text, data FROM timeline WHERE call_id = $1 ORDER BY seq")
                .bind(call_id)
                .fetch_all(&self.read)
                .await?;
        rows.into_iter()
            .map(|(seq, at, kind, text, data)| {
                Ok(TimelineEntry {
                    seq: u32::try_from(seq).unwrap_or(u32::MAX),
                    at: time(at),
                    kind,
                    text,
                    data: data.map(|text| document("timeline of call", call_id, &text)).transpose()?,
                })
            })
            .collect()
    }

    /// Calls that were running when the process last ended: never marked as ended.
    pub async fn unfinished_calls(&self) -> Result<Vec<CallRecord>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, summary, started, ended FROM calls WHERE ended IS NULL ORDER BY started LIMIT 10000",
        )
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(record).collect()
    }
}

/// Saves a call, or what is new of it: the record replaces the one before, entries are added by their `seq`
/// (one that is there stays).
pub(super) async fn save(
    connection: &mut SqliteConnection,
    call: &CallRecord,
    entries: &[TimelineEntry],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO calls (id, summary, started, ended) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (id) DO UPDATE SET summary = excluded.summary, started = excluded.started, ended = excluded.ended",
    )
    .bind(&call.id)
    .bind(json(&call.summary))
    .bind(micros(call.started))
    .bind(call.ended.map(micros))
    .execute(&mut *connection)
    .await?;
    let within: Vec<&TimelineEntry> =
        entries.iter().filter(|entry| (entry.seq as usize) < MAX_TIMELINE_ENTRIES).collect();
    // Many rows a statement: each statement is a trip to the database's thread, which costs more than a row does.
    for rows in within.chunks(ROWS) {
        let mut insert = QueryBuilder::new("INSERT INTO timeline (call_id, seq, at, kind, text, data) ");
        insert.push_values(rows, |mut row, entry| {
            row.push_bind(&call.id)
                .push_bind(i64::from(entry.seq))
                .push_bind(micros(entry.at))
                .push_bind(&entry.kind)
                .push_bind(&entry.text)
                .push_bind(entry.data.as_ref().map(json));
        });
        insert.push(" ON CONFLICT (call_id, seq) DO NOTHING");
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Forgets the oldest ended calls beyond `keep`, at most 1,000 at a time so that the database is not held for long.
pub(super) async fn retain(connection: &mut SqliteConnection, keep: u32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM calls WHERE id IN (SELECT id FROM \
         (SELECT id, started FROM calls WHERE ended IS NOT NULL ORDER BY started DESC, id DESC LIMIT 1000 OFFSET $1) AS old)",
    )
    .bind(i64::from(keep))
    .execute(&mut *connection)
    .await?;
    Ok(())
}
