//! The documents of `/v1` as the OpenAPI document describes them. Parsing and checking is their rooms' business; rules
//! bring their schema along, subscriptions and trunks are described here as they are taken and shown.

use serde::Serialize;
use utoipa::ToSchema;

pub(in crate::api) use crate::rules::{Decision, ExplainRequest, Rule};
pub(in crate::api) use crate::trunk::Trunk;
pub(in crate::api) use crate::trunk::route::{Route, RouteDecision};

/// An application that hears of incoming calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct Subscription {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`; unique.
    #[schema(example = "my-app")]
    name: String,
    /// The http or https URL that events are posted to. It must pass Event Grid's validation handshake.
    #[schema(example = "https://app.example/api/incoming")]
    endpoint: String,
    /// The events that are wanted.
    #[schema(example = json!(["Microsoft.Communication.IncomingCall"]))]
    event_types: Vec<String>,
    /// `pending` until the handshake is done, then `validated`.
    #[schema(read_only)]
    state: Option<String>,
}

/// A would-be call to a number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct RouteQuestion {
    /// The number.
    #[schema(example = "+442079460000")]
    number: String,
    /// `application` (the default), `user`, `user:NAME`, `trunk:NAME` or `stranger`.
    caller: Option<String>,
}
