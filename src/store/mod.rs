//! What must outlive the process: rules, subscriptions, trunks, routes, users, calls with their timelines, the outbox of events, and
//! the first answers to repeatable requests. One file an aggregate; SQL that SQLite and PostgreSQL both read.
//!
//! Two ways in. Operators' requests call the async methods of [`Store`] and wait for the answer. Calls never wait: what
//! they leave behind goes through [`Writer`], a bounded queue and one task, which retries while the database is locked.
//! SQLite runs in WAL mode, so that reads go on while somebody writes.

mod calls;
mod error;
mod events;
mod open;
mod repeatability;
mod routes;
mod rules;
mod subscriptions;
#[cfg(test)]
mod tests;
mod trunks;
mod users;
mod writer;

pub use calls::{CallPage, CallRecord, MAX_TIMELINE_ENTRIES, TimelineEntry};
pub use error::StoreError;
pub use events::{EventState, NewEvent, PendingEvent, StoredEvent};
pub use open::Store;
pub use repeatability::{Claim, RecordedResponse};
pub use subscriptions::{Subscription, SubscriptionState};
pub use trunks::Trunk;
pub use users::User;
pub use writer::{Clock, Done, QueueFull, WriteOp, Writer, WriterSettings};
