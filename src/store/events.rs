//! The outbox as rows: events that were accepted, until they are delivered or given up. Delivery is `crate::events`'.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use utoipa::ToSchema;

use super::calls::{micros, time};
use super::error::{StoreError, document, json};
use super::open::Store;
use crate::time::Time;

/// Rows that one pruning deletes at most, so that the database is not held for long.
const PRUNE_ROWS: i64 = 1_000;

/// How far an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EventState {
    /// Waits for its delivery or the next attempt.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// Given up after the last attempt.
    Dead,
}

impl EventState {
    fn as_str(self) -> &'static str {
        match self {
            EventState::Pending => "pending",
            EventState::Delivered => "delivered",
            EventState::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "delivered" => EventState::Delivered,
            "dead" => EventState::Dead,
            _ => EventState::Pending,
        }
    }
}

/// An event to be delivered: one HTTP request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its place in the order of acceptance.
    pub seq: i64,
    /// The id inside the body.
    pub id: String,
    /// Order is kept among the events of one key: the call's id.
    pub key: String,
    /// The event's type, for people.
    pub kind: String,
    /// Where it goes.
    pub url: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub body: String,
    /// When it was accepted.
    pub created: Time,
}

/// An event with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event.
    pub event: NewEvent,
    /// How far it is.
    pub state: EventState,
    /// Attempts made.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt_at: Time,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    pub settled: Option<Time>,
}

/// A pending event without its body: what is needed to put it in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEvent {
    /// Its place in the order of acceptance.
    pub seq: i64,
    /// Its key.
    pub key: String,
    /// Where it goes.
    pub url: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it was accepted.
    pub created: Time,
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    id: String,
    key: String,
    kind: String,
    url: String,
    content_type: String,
    headers: String,
    body: String,
    state: String,
    attempts: i64,
    next_attempt_at: i64,
    last_error: Option<String>,
    created: i64,
    settled: Option<i64>,
}

impl Row {
    fn event(self) -> Result<StoredEvent, StoreError> {
        Ok(StoredEvent {
            state: EventState::parse(&self.state),
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            next_attempt_at: time(self.next_attempt_at),
            last_error: self.last_error,
            settled: self.settled.map(time),
            event: NewEvent {
                headers: document("event", &self.id, &self.headers)?,
                seq: self.seq,
                id: self.id,
                key: self.key,
                kind: self.kind,
                url: self.url,
                content_type: self.content_type,
                body: self.body,
                created: time(self.created),
            },
        })
    }
}

impl Store {
    /// Events in a state, newest first; `limit` is bounded to 1–1,000.
    pub async fn events(&self, state: EventState, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM events WHERE state = $1 ORDER BY seq DESC LIMIT $2")
            .bind(state.as_str())
            .bind(i64::from(limit.clamp(1, 1_000)))
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(Row::event).collect()
    }

    /// One event.
    pub async fn event(&self, seq: i64) -> Result<Option<StoredEvent>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT * FROM events WHERE seq = $1").bind(seq).fetch_optional(&self.read).await?;
        row.map(Row::event).transpose()
    }

    /// The highest `seq` ever kept and not pruned; 0 where there is none.
    pub async fn last_event_seq(&self) -> Result<i64, StoreError> {
        let (last,): (Option<i64>,) = sqlx::query_as("SELECT MAX(seq) FROM events").fetch_one(&self.read).await?;
        Ok(last.unwrap_or(0))
    }

    /// Pending events after `seq`, in order, at most 1,000.
    pub async fn pending_events(&self, after: i64) -> Result<Vec<PendingEvent>, StoreError> {
        let rows: Vec<(i64, String, String, i64, i64)> = sqlx::query_as(
            "SELECT seq, key, url, attempts, created FROM events WHERE state = 'pending' AND seq > $1 \
             ORDER BY seq LIMIT 1000",
        )
        .bind(after)
        .fetch_all(&self.read)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(seq, key, url, attempts, created)| PendingEvent {
                seq,
                key,
                url,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                created: time(created),
            })
            .collect())
    }
}

pub(super) async fn insert(connection: &mut SqliteConnection, event: &NewEvent) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO events (seq, id, key, kind, url, content_type, headers, body, state, attempts, next_attempt_at, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0, $9, $9)",
    )
    .bind(event.seq)
    .bind(&event.id)
    .bind(&event.key)
    .bind(&event.kind)
    .bind(&event.url)
    .bind(&event.content_type)
    .bind(json(&event.headers))
    .bind(&event.body)
    .bind(micros(event.created))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down an attempt: `next` is the moment of the next one while pending, else the moment it was settled.
pub(super) async fn attempted(
    connection: &mut SqliteConnection,
    seq: i64,
    state: EventState,
    attempts: u32,
    next: Time,
    error: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE events SET state = $2, attempts = $3, next_attempt_at = $4, last_error = $5, settled = $6 WHERE seq = $1",
    )
    .bind(seq)
    .bind(state.as_str())
    .bind(i64::from(attempts))
    .bind(micros(next))
    .bind(error)
    .bind((state != EventState::Pending).then(|| micros(next)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets events in `state` that were settled before a moment. The newest row stays, so that `seq` only grows.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    state: EventState,
    before: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE state = $1 AND settled < $2 ORDER BY seq LIMIT $3) \
         AND seq < (SELECT MAX(seq) FROM events)",
    )
    .bind(state.as_str())
    .bind(micros(before))
    .bind(PRUNE_ROWS)
    .execute(connection)
    .await?;
    Ok(())
}
