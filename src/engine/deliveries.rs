//! Events on their way out: a call's events to its callback address, incoming calls to a subscription, and what came
//! of each delivery back onto the call's timeline.

use super::Hub;
use super::metrics::count;
use super::registry;
use super::running_call::{About, CallMessage};
use std::collections::BTreeMap;

use crate::api::calling::events::{CallNames, cloud_events, event_type};
use crate::api::eventgrid;
use crate::call::{Event, IncomingCall, TimelineEntry, Topic};
use crate::events::{DeliveryNotice, DeliveryOutcome, OutgoingEvent};
use crate::sip::leg::Invitation;
use crate::store::SubscriptionState;

/// Separates the call from what else makes a delivery queue: an application may answer a call before it has
/// acknowledged the event that told of it, and must hear the call's events meanwhile.
const SEPARATOR: char = '/';

/// The call that a delivery queue belongs to.
pub fn call_of_key(key: &str) -> &str {
    key.split(SEPARATOR).next().unwrap_or(key)
}

/// Puts a call's event on its way. An error is for the timeline; that the event happened is there already.
pub fn post_callback(hub: &Hub, url: String, call: &CallNames<'_>, event: &Event) -> Result<(), TimelineEntry> {
    let (kind, event_id, now) = (event_type(&event.kind), hub.random_uuid(), hub.clock.now());
    let body = cloud_events(event, call, event_id, now);
    let posted = hub.outbox.post(OutgoingEvent::callback(call.call_connection_id, event_id, kind, url, body));
    posted.map(|_| ()).map_err(|error| {
        count(&hub.metrics.failures, "event not taken");
        tracing::error!(%error, kind, "an event was not taken for delivery");
        TimelineEntry::new(now, Topic::Delivery, format!("{kind} was not taken for delivery: {error}"))
    })
}

/// Tells a subscription of an incoming call, or says why that cannot be done.
pub fn announce(
    hub: &Hub,
    subscription: &str,
    about: &About,
    call: &IncomingCall,
    invitation: &Invitation,
) -> Result<(), String> {
    let subscriptions = hub.subscriptions.load();
    let found = subscriptions.get(subscription).ok_or_else(|| format!("there is no subscription {subscription}"))?;
    if found.state != SubscriptionState::Validated {
        return Err(format!("subscription {subscription} is not validated yet"));
    }
    let now = about.started;
    // Good for as long as the caller may ring, and a little longer so that a late answer is told the truth.
    let expires = now + hub.config.answer_timeout * 2;
    let token = hub.sign_token(&about.id, expires);
    let event_id = hub.random_uuid();
    let incoming = eventgrid::IncomingCall {
        to: &about.to,
        from: &about.from,
        caller_display_name: &call.from_display,
        server_call_id: &about.server_call_id,
        correlation_id: &about.correlation_id,
        sip_headers: &custom_headers(invitation),
        diverted_by: &super::diverted::by_whom(invitation),
        alert_info: invitation.header("Alert-Info"),
        incoming_call_context: &token,
    };
    let body = eventgrid::incoming_call(&incoming, event_id, now);
    let event = OutgoingEvent::notification(
        format!("{}{SEPARATOR}incoming", about.id),
        event_id,
        eventgrid::INCOMING_CALL,
        subscription,
        found.endpoint.clone(),
        body,
    );
    hub.outbox.post(event).map(|_| ()).map_err(|error| format!("the event was not taken for delivery: {error}"))
}

/// What applications see of a caller's own headers: User-to-User and X- (ACS custom calling context).
pub(super) fn custom_headers(invitation: &Invitation) -> BTreeMap<String, String> {
    let custom = |name: &str| {
        name.eq_ignore_ascii_case("user-to-user") || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
    };
    invitation.headers.iter().filter(|(name, _)| custom(name)).cloned().collect()
}

/// Writes what came of an attempt onto the call's timeline.
pub fn notice(hub: &Hub, notice: &DeliveryNotice) {
    let short = notice.kind.rsplit('.').next().unwrap_or(&notice.kind);
    let answer = notice.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let took = notice.took.as_millis();
    let what = format!("{short} to {}: {answer} in {took} ms (attempt {})", notice.url, notice.attempt);
    let (kind, text) = match &notice.outcome {
        DeliveryOutcome::Delivered => ("delivered", what),
        DeliveryOutcome::Retry { error, after } => {
            ("retried", format!("{what}: {error}; again in {} ms", after.as_millis()))
        }
        DeliveryOutcome::Dead { error } => {
            tracing::warn!(id = call_of_key(&notice.key), "{what}: {error}; given up");
            ("dead", format!("{what}: {error}; given up"))
        }
    };
    count(&hub.metrics.deliveries, kind);
    let id = call_of_key(&notice.key);
    if kind == "dead" && notice.kind == eventgrid::INCOMING_CALL {
        hub.calls.tell(hub, id, CallMessage::NotAnnounced);
    }
    let entry = TimelineEntry::new(notice.at, Topic::Delivery, text);
    registry::note(hub, id, hub.calls.get(id).as_ref(), entry);
}
