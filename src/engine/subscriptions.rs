//! Applications that hear of incoming calls: taken in after the Event Grid handshake.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Hub;
use super::administration::{invalid, shown_subscription};
use crate::api::service::{AdminError, Existing, Stored};
use crate::events::{Handshake, ValidationRequest, validate};
use crate::store::{Subscription, SubscriptionState};
use crate::time::Time;

/// How long the validation URL works (Event Grid: ten minutes).
const VALIDATION_TIME: Duration = Duration::from_secs(600);

/// The one event type that exists today.
const INCOMING_CALL: &str = "Microsoft.Communication.IncomingCall";

/// What an operator writes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    name: String,
    endpoint: String,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    /// Shown to operators, so they may send it back; it is ours to say.
    #[serde(default, rename = "state")]
    _state: Option<SubscriptionState>,
}

/// Keeps a subscription once its endpoint has been asked.
pub async fn put(hub: &Hub, name: &str, document: &Value, existing: Existing) -> Result<Stored, AdminError> {
    let wish = Wish::deserialize(document).map_err(|error| invalid("body", error.to_string()))?;
    let endpoint = Url::parse(&wish.endpoint)
        .map_err(|error| invalid("endpoint", format!("{:?} is not a URL: {error}", wish.endpoint)))?;
    if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() {
        return Err(invalid("endpoint", format!("{endpoint} is not an http or https URL")));
    }
    let event_types = wish.event_types.unwrap_or_else(|| vec![INCOMING_CALL.to_owned()]);
    if let Some(odd) = event_types.iter().find(|t| *t != INCOMING_CALL) {
        return Err(invalid(
            "eventTypes",
            format!("{odd:?} is not an event type of this release; use {INCOMING_CALL}"),
        ));
    }
    let before = hub.store.subscription(name).await?;
    if before.is_some() && existing == Existing::Keep {
        return Err(AdminError::Exists(format!("subscription {name}")));
    }
    let code = hub.uuid();
    let request = ValidationRequest {
        subscription: wish.name.clone(),
        endpoint: wish.endpoint.clone(),
        code: code.clone(),
        validation_url: format!("{}/v1/subscriptions/{}:validate?code={code}", hub.own_url(), wish.name),
        event_id: hub.uuid(),
    };
    let now = hub.clock.now();
    let shaken =
        validate(&hub.webhook_client, &request, now).await.map_err(|error| invalid("endpoint", error.to_string()))?;
    let validated = shaken == Handshake::Validated;
    let subscription = Subscription {
        name: wish.name,
        endpoint: wish.endpoint,
        event_types,
        state: if validated { SubscriptionState::Validated } else { SubscriptionState::Pending },
        validation_code: (!validated).then_some(code),
        validation_expires_at: (!validated).then(|| (now + VALIDATION_TIME).as_micros()),
    };
    match before {
        Some(_) => hub.store.replace_subscription(&subscription).await.map(|_| ())?,
        None => hub.store.create_subscription(&subscription).await?,
    }
    hub.reload_subscriptions().await?;
    Ok(Stored { document: shown_subscription(subscription), created: before.is_none() })
}

/// Somebody visited the validation URL.
pub async fn confirm(hub: &Hub, name: &str, code: &str) -> Result<(), AdminError> {
    let found = hub.store.subscription(name).await?;
    let mut subscription = found.ok_or_else(|| AdminError::NotFound(format!("subscription {name}")))?;
    if subscription.state == SubscriptionState::Validated {
        return Ok(());
    }
    let in_time = subscription.validation_expires_at.is_some_and(|at| hub.clock.now() < Time::from_micros(at));
    if !in_time || subscription.validation_code.as_deref() != Some(code) {
        let problem = "it is wrong or has expired: create the subscription again to get another".to_owned();
        return Err(invalid("code", problem));
    }
    subscription.state = SubscriptionState::Validated;
    subscription.validation_code = None;
    subscription.validation_expires_at = None;
    hub.store.replace_subscription(&subscription).await?;
    hub.reload_subscriptions().await?;
    Ok(())
}
