//! What the API needs of the engine, as two traits: [`Calls`] (call automation) and [`Administration`] (everything an
//! operator manages). The engine implements both; tests of this room bring a fake. JSON and HTTP stay on this side.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use crate::call::{Command, Context, Participant, Party, Refusal, RejectReason, Reply};
use crate::time::Time;

/// A boxed answer, so that the traits are object safe.
pub type Pending<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Call automation, as the ACS operations need it.
///
/// A future may be dropped half-way (the client hung up): what it began must then either finish or not have happened.
pub trait Calls: Send + Sync + 'static {
    /// Place a call. Answers once the INVITE is on its way (state `connecting`); events tell the rest.
    fn create_call(&self, wish: CreateCall) -> Pending<'_, CallProperties, CallError>;
    /// Take the incoming call that the token stands for. The token is then used up.
    fn answer(&self, wish: AnswerCall) -> Pending<'_, CallProperties, CallError>;
    /// Send the incoming caller to somebody else (302). The token is then used up.
    fn redirect(&self, token: String, to: Party) -> Pending<'_, (), CallError>;
    /// Refuse the incoming call. The token is then used up.
    fn reject(&self, token: String, reason: RejectReason) -> Pending<'_, (), CallError>;
    /// A running call.
    fn properties<'a>(&'a self, call: &'a str) -> Pending<'a, CallProperties, CallError>;
    /// Who is on it, in the order they came.
    fn participants<'a>(&'a self, call: &'a str) -> Pending<'a, Vec<Participant>, CallError>;
    /// Everything else an application may want of a call: media, tones, leaving.
    fn command<'a>(&'a self, call: &'a str, command: Command) -> Pending<'a, Reply, CallError>;

    /// Reserve the id of a repeatable request until `expires`, across restarts too. `key` is at most 100 bytes;
    /// `fingerprint` tells one request from another. The oldest answers go first when too many are kept.
    fn claim<'a>(&'a self, key: &'a str, fingerprint: &'a str, expires: Time) -> Pending<'a, Claim, StoreError>;
    /// Keep the answer to a claimed id.
    fn record<'a>(&'a self, key: &'a str, answer: Recorded) -> Pending<'a, (), StoreError>;
    /// Give a claimed id free: nothing has happened, a repetition may do it.
    fn release<'a>(&'a self, key: &'a str) -> Pending<'a, (), StoreError>;
}

/// A call to place.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateCall {
    /// Whom to call. Never empty; more than one is a group call.
    pub targets: Vec<Party>,
    /// The number shown to the callee (E.164), where one was given.
    pub caller_id: Option<String>,
    /// The name shown to the callee.
    pub display_name: Option<String>,
    /// Who calls, by the application's name for itself.
    pub source: Option<Party>,
    /// Comes back in the events that have no context of their own.
    pub context: Context,
    /// Headers for the callee: `User-To-User`, `X-…`, `Alert-Info`, checked.
    pub headers: Vec<(String, String)>,
    /// Where events go (http or https).
    pub callback: Url,
    /// The version the application spoke; echoed in every event of this call.
    pub api_version: String,
    /// Keep the call's RTP for its capture file.
    pub capture_rtp: bool,
}

/// An incoming call to take.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerCall {
    /// The `incomingCallContext`, as it came: not yet verified.
    pub token: String,
    /// Where events go (http or https).
    pub callback: Url,
    /// Comes back in the events that have no context of their own.
    pub context: Context,
    /// Who answers, by the application's name for itself.
    pub answered_by: Option<Party>,
    /// The version the application spoke; echoed in every event of this call.
    pub api_version: String,
    /// Keep the call's RTP for its capture file.
    pub capture_rtp: bool,
}

/// Where a call is between ringing and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// Placed or being answered; not both ends talk yet.
    Connecting,
    /// Both ends talk.
    Connected,
    /// Being taken down.
    Disconnecting,
    /// Over.
    Disconnected,
}

/// A call, as its application sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallProperties {
    /// Names the call towards the API.
    pub id: String,
    /// Opaque; the same for all connections to one call.
    pub server_call_id: String,
    /// Ties together what belongs to one call in logs.
    pub correlation_id: String,
    /// Who is called: of an incoming call, who was dialled.
    pub targets: Vec<Party>,
    /// Where it is.
    pub state: ConnectionState,
    /// Where its events go.
    pub callback: String,
    /// The number shown to the callee.
    pub caller_id: Option<String>,
    /// The name shown to the callee.
    pub display_name: Option<String>,
    /// Who calls.
    pub source: Option<Party>,
    /// Who took the call (incoming).
    pub answered_by: Option<Party>,
    /// The number that was dialled (incoming).
    pub answered_for: Option<String>,
}

/// Why a wish about calls was not fulfilled. The door turns each into a status and an ACS error body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// 404, 8522.
    #[error("there is no such call")]
    NoSuchCall,
    /// 400, 8528: it was there, and is over.
    #[error("the call is over")]
    Ended,
    /// 400, 8523: the `incomingCallContext` is forged, expired, used up, or its call is gone. Says which.
    #[error("{0}")]
    BadToken(String),
    /// 400, 8523: a value that only the engine can judge.
    #[error("{field}: {problem}")]
    BadArgument {
        /// Which value, as the API names it.
        field: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// By the call itself.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// 501: comes with a later release.
    #[error("{0}")]
    NotImplemented(String),
    /// 503: no ports, too many calls, no trunk, or shutting down. **Nothing has happened**, so a repetition tries again.
    #[error("{0}")]
    Unavailable(String),
    /// 503 with `Retry-After`: the machine has as many calls as it can carry. **Nothing has happened**.
    #[error("the engine is overloaded and takes no new calls for now")]
    Overloaded {
        /// Seconds after which another try makes sense.
        retry_after: u32,
    },
    /// 500. The text goes to the log, not to the client.
    #[error("{0}")]
    Internal(String),
}

/// The store did not do it. The text goes to the log, not to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The first request of this id: do it, then [`Calls::record`] or [`Calls::release`].
    New,
    /// The first one is still at work.
    InProgress,
    /// The first one was answered so.
    Answered(Recorded),
    /// The id was used for another request: refuse this one.
    Different,
}

/// An answer that was given, kept for a repetition of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// HTTP status.
    pub status: u16,
    /// JSON, or empty.
    pub body: String,
}

/// What an operator manages and sees under `/v1`.
///
/// Rules, subscriptions and trunks are JSON documents with a `name`; the room that owns a kind of document parses and
/// checks it, and names the field that is wrong.
pub trait Administration: Send + Sync + 'static {
    /// The documents of a kind, by name ([`Collection::Rules`]: by priority, then name).
    fn documents(&self, of: Collection, page: Page) -> Pending<'_, Listing<Value>, AdminError>;
    /// One document, with every default filled in.
    fn document<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, Value, AdminError>;
    /// Keep a document and act on it from the next call on.
    ///
    /// The `name` in the document, where there is one, is `name` already. A trunk without `password` that replaces one
    /// with keeps the old password.
    fn put<'a>(
        &'a self,
        of: Collection,
        name: &'a str,
        document: Value,
        existing: Existing,
    ) -> Pending<'a, Stored, AdminError>;
    /// Remove a document.
    fn delete<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, (), AdminError>;
    /// A user's registered devices.
    fn registrations<'a>(&'a self, user: &'a str) -> Pending<'a, Vec<Registration>, AdminError>;
    /// Remove the one with this id, or all.
    fn remove_registrations<'a>(&'a self, user: &'a str, id: Option<String>) -> Pending<'a, (), AdminError>;
    /// Every rule with its first failing condition for a would-be call, and the one that wins.
    fn explain(&self, would_be_call: Value) -> Pending<'_, Value, AdminError>;
    /// Where a number would go: see `POST /v1/routes:explain`.
    fn explain_route(&self, question: Value) -> Pending<'_, Value, AdminError>;

    /// Somebody visited a subscription's validation URL with this code.
    fn validate_subscription<'a>(&'a self, name: &'a str, code: &'a str) -> Pending<'a, (), AdminError>;

    /// All prompts, by name.
    fn prompts(&self, page: Page) -> Pending<'_, Listing<Prompt>, AdminError>;
    /// A prompt's audio, as it was put.
    fn prompt<'a>(&'a self, name: &'a str) -> Pending<'a, PromptAudio, AdminError>;
    /// Keep a prompt; audio that cannot be decoded is [`AdminError::Invalid`] with the field `body`.
    fn put_prompt<'a>(&'a self, name: &'a str, audio: PromptAudio) -> Pending<'a, PromptStored, AdminError>;
    /// Remove a prompt.
    fn delete_prompt<'a>(&'a self, name: &'a str) -> Pending<'a, (), AdminError>;

    /// Running and kept calls, newest first.
    fn calls(&self, page: Page) -> Pending<'_, Listing<CallRecord>, AdminError>;
    /// One of them.
    fn call<'a>(&'a self, id: &'a str) -> Pending<'a, CallRecord, AdminError>;
    /// Everything that happened on it, oldest first.
    fn timeline<'a>(&'a self, id: &'a str) -> Pending<'a, Timeline, AdminError>;
    /// Its SIP messages, and its RTP where that was asked for at its start: a pcap-ng file.
    fn pcap<'a>(&'a self, id: &'a str) -> Pending<'a, Bytes, AdminError>;
    /// Events that could not be delivered within their retries, newest first.
    fn dead_events(&self, page: Page) -> Pending<'_, Listing<DeadEvent>, AdminError>;

    /// Banned sources, the newest first.
    fn bans(&self) -> Pending<'_, Vec<Ban>, AdminError>;
    /// Ban a source by hand, or anew.
    fn ban(&self, new: NewBan) -> Pending<'_, Ban, AdminError>;
    /// Lift a ban.
    fn lift_ban<'a>(&'a self, source: &'a str) -> Pending<'a, (), AdminError>;
    /// Prometheus text exposition format.
    fn metrics(&self) -> String;
    /// Whether new calls are taken: `Err` says why not (starting, draining, store away).
    fn ready(&self) -> Pending<'_, (), String>;
}

/// A kind of named document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// The rules table.
    Rules,
    /// Applications that hear of incoming calls.
    Subscriptions,
    /// Carriers and gateways.
    Trunks,
    /// Which trunks a number goes by.
    Routes,
    /// Who registers with us.
    Users,
}

impl Collection {
    /// The path segment: `rules`, `subscriptions`, `trunks`, `users`.
    pub fn as_str(self) -> &'static str {
        match self {
            Collection::Rules => "rules",
            Collection::Subscriptions => "subscriptions",
            Collection::Trunks => "trunks",
            Collection::Routes => "routes",
            Collection::Users => "users",
        }
    }
}

/// What to do about a document that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Answer [`AdminError::Exists`] (POST).
    Keep,
    /// Take its place (PUT).
    Replace,
}

/// A document that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// As it is now, with every default filled in.
    pub document: Value,
    /// Whether it is new.
    pub created: bool,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many to leave out.
    pub skip: usize,
    /// How many at most, 1 to [`Page::MOST`].
    pub top: usize,
}

impl Page {
    /// The longest page.
    pub const MOST: usize = 1000;
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// At most `top` of them.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Why a wish of an operator was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// 404.
    #[error("there is no such {0}")]
    NotFound(String),
    /// 409.
    #[error("{0} exists already")]
    Exists(String),
    /// 409: something else does not allow it (a rule that can never be told apart, a subscription still in use).
    #[error("{0}")]
    Conflict(String),
    /// 400: everything that is wrong; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldProblem>),
    /// 501.
    #[error("{0}")]
    NotImplemented(String),
    /// 503.
    #[error("{0}")]
    Unavailable(String),
    /// 500. The text goes to the log, not to the client.
    #[error("{0}")]
    Internal(String),
}

impl AdminError {
    /// One field is wrong.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        AdminError::Invalid(vec![FieldProblem { field: field.into(), problem: problem.into() }])
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldProblem {
    /// A path such as `match.to.regex`; empty: the document as a whole.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// A prompt in the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    /// What plays name it by: `prompt:NAME`.
    pub name: String,
    /// Of the audio as it was put.
    pub content_type: String,
    /// Of the audio as it was put.
    pub size_bytes: u64,
    /// How long it plays.
    pub duration_ms: u64,
    /// Whether it came with the engine (and cannot be removed).
    pub built_in: bool,
}

/// A prompt's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptAudio {
    /// `audio/wav`, `audio/mpeg`…; what the client said, or `application/octet-stream`.
    pub content_type: String,
    /// A whole file.
    pub bytes: Bytes,
}

/// A prompt that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptStored {
    /// As it is now.
    pub prompt: Prompt,
    /// Whether it is new.
    pub created: bool,
}

/// A device of a user's that has registered. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Names it under its user; the same over refreshes.
    pub id: String,
    /// The address that it registered.
    #[schema(example = "sip:alice@192.168.1.20:5060")]
    pub contact: String,
    /// How much it is wanted, 0 to 1.
    pub q: f64,
    /// When it ends unless it is refreshed.
    pub expires_at: String,
    /// When it was made or last refreshed.
    pub refreshed_at: String,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// The address and port that it really came from, where it is reached.
    pub source: String,
    /// Proxies on the way to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Which device it is, by its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Which of the device's flows (RFC 5626).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reg_id: Option<u32>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// A call as operators see it, running or over. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// The call connection id.
    pub id: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Where it is.
    pub state: ConnectionState,
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Opaque; in every event.
    pub server_call_id: String,
    /// In every event and log line.
    pub correlation_id: String,
    /// The rule that decided, of an incoming call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// When it began.
    pub started_at: String,
    /// When both ends talked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why it ended, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// What its media came to, once it is over; none: media never opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaFigures>,
}

/// The figures of a call's media.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaFigures {
    /// What was sent last: `PCMU`, `opus`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets accepted from the peer.
    pub packets_received: u64,
    /// Packets of the peer that never came.
    pub packets_lost: u64,
    /// Packets of the peer that came too late to be played.
    pub packets_late: u64,
    /// What we did not send because our machine was late, in frames of 20 ms.
    pub frames_skipped: u64,
    /// Audio that was made up because its packets were lost or late, milliseconds.
    pub concealed_ms: f64,
    /// Of the lost audio, what was recovered from the packet after it (Opus), milliseconds.
    pub recovered_ms: f64,
    /// How long what was played had waited beyond the fastest packets, mean of the whole call, milliseconds.
    pub mean_playout_delay_ms: f64,
    /// Packets of ours that the peer's last RTCP report calls lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_packets_lost: Option<i32>,
    /// Interarrival jitter at the end (RFC 3550), milliseconds.
    pub jitter_ms: f64,
    /// The highest interarrival jitter, milliseconds.
    pub max_jitter_ms: f64,
    /// The jitter that the peer's last RTCP report gives, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_jitter_ms: Option<f64>,
    /// Round trip by the peer's last RTCP report, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How what we heard sounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<Quality>,
    /// How what we sent sounded to the peer, by its RTCP reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Quality>,
}

/// A direction's quality by the E-model (ITU-T G.107).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// The rating R, 0–93.2.
    pub r: f64,
    /// The estimated mean opinion score, 1–4.5.
    pub mos: f64,
}

/// What happened on a call, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The call connection id.
    pub call_id: String,
    /// How many were left out because a call's timeline is bounded.
    pub dropped: u64,
    /// The entries.
    pub entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// RFC 3339 in UTC with microseconds.
    pub at: String,
    /// `sip`, `media`, `dtmf`, `rule`, `command`, `event`, `delivery`…
    pub kind: String,
    /// One line for a person.
    pub text: String,
    /// The whole of it, where there is more: the SIP message, the rule's explanation, the event.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Of a SIP message: how it crossed the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
}

/// How a SIP message crossed the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wire {
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// Address and port that it came from.
    #[schema(value_type = String)]
    pub source: SocketAddr,
    /// Address and port that it went to.
    #[schema(value_type = String)]
    pub destination: SocketAddr,
    /// The message in base64, where `detail` is not the whole of it: it is no UTF-8, or too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
}

/// A source whose messages are dropped unread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ban {
    /// An IPv4 address, or an IPv6 /64.
    pub source: String,
    /// Why, for a person.
    pub reason: String,
    /// Made by the guard, not by hand.
    pub automatic: bool,
    /// RFC 3339 in UTC.
    pub since: String,
    /// RFC 3339 in UTC.
    pub until: String,
    /// The how-manieth of this source in a row; each is longer than the one before.
    pub count: u32,
    /// Datagrams and connections that were dropped.
    pub dropped: u64,
}

/// A ban by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewBan {
    /// An IPv4 address, an IPv6 address (its /64 is meant), or an IPv6 /64.
    pub source: String,
    /// For how long, 1 to 31,536,000; an hour by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Why, at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event that was given up on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadEvent {
    /// The event's own id.
    pub id: String,
    /// The call it tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// `Microsoft.Communication.…`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Where it did not arrive.
    pub endpoint: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last try met.
    pub last_error: String,
    /// When it happened.
    pub created_at: String,
    /// When it was given up.
    pub dead_at: String,
    /// What was to be delivered.
    #[schema(value_type = Object)]
    pub body: Value,
}
