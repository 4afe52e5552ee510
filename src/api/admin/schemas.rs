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

/// Somebody whose telephones register here.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct User {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`; unique. The digest user name, and the user part of his address.
    #[schema(example = "alice")]
    name: String,
    /// Taken, turned into HA1s, never kept or shown. One that is left out when a user is replaced stays as it was.
    #[schema(write_only)]
    password: Option<String>,
    /// In place of the password.
    #[schema(write_only)]
    ha1: Option<Ha1>,
    /// The realm that the password is for: the setting `realm`.
    #[schema(read_only)]
    realm: Option<String>,
    /// The name shown to those whom he calls, at most 256 bytes.
    display_name: Option<String>,
    /// Numbers and extensions that ring him as well; each is one user's only. At most 20.
    #[schema(example = json!(["+15551230001", "7042"]))]
    numbers: Option<Vec<String>>,
    /// Devices that may be registered at once, 1 to 100; 10 by default.
    max_contacts: Option<u32>,
    /// How his devices ring: `parallel` (default), all at once; `sequential`, the most wanted (by q) first.
    forking: Option<String>,
    /// Media encryption in calls from him and to his devices: `off`, `offered` or `required`, whatever the setting
    /// `srtp` says. Default: as that says.
    srtp: Option<String>,
    /// He can neither register nor call; his registrations are removed.
    disabled: Option<bool>,
}

/// A password's HA1s (RFC 7616 §3.4.2), hexadecimal, of `name:realm:password`. Phones that know SHA-256 use that, others
/// MD5: give both.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Ha1 {
    /// 32 digits.
    md5: Option<String>,
    /// 64 digits.
    sha256: Option<String>,
}
