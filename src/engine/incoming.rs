//! An incoming call: the rules name who gets it, and the call is born.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::Hub;
use super::metrics::count;
use super::running_call::{About, Application, Beginning, CallMessage, INBOX, spawn};
use super::trunks::KnownTrunk;
use crate::call::{Call, CallId, Command, IncomingCall, Party, RejectReason, TimelineEntry, Topic};
use crate::flow::AnswerFlow;
use crate::rules::{self, Action, Candidate, Decision};
use crate::sip::leg::{Invitation, LegCommand};

/// Seconds after which a caller that met a full or overloaded engine may try again.
pub const RETRY_AFTER: u32 = 10;

/// Decides about an invitation and starts its call; its id and inbox. An error is what the leg is told instead.
pub fn begin(hub: &Arc<Hub>, invitation: Invitation) -> Result<(String, mpsc::Sender<CallMessage>), LegCommand> {
    let busy = || LegCommand::Refuse { status: 503, phrase: None, retry_after: Some(RETRY_AFTER) };
    if hub.draining.load(Ordering::Relaxed) {
        count(&hub.metrics.calls_refused, "draining");
        return Err(busy());
    }
    if hub.is_overloaded() {
        count(&hub.metrics.calls_refused, "overloaded");
        return Err(busy());
    }
    let trunk = super::trunk_calls::of(hub, &invitation);
    let permit = match trunk.as_ref().map(|known| known.permit_inbound()).transpose() {
        Ok(permit) => permit,
        Err(full) => {
            tracing::info!(trunk = trunk.map(|known| known.trunk.name.clone()), %full, "incoming call refused");
            count(&hub.metrics.calls_refused, "trunk full");
            return Err(busy());
        }
    };
    let id = hub.random_uuid();
    let (sender, inbox) = mpsc::channel(INBOX);
    if !hub.calls.insert(&id.to_string(), sender.clone(), hub.config.max_calls) {
        count(&hub.metrics.calls_refused, "too many calls");
        return Err(busy());
    }
    hub.metrics.calls_active.inc();
    count(&hub.metrics.calls_started, "inbound");

    let now = hub.clock.now();
    let (caller, other) = super::shown::caller(hub, &invitation);
    let decision = hub.rules.load().decide(&candidate(trunk.as_deref(), &invitation, caller), now);
    let from = party(&decision.from);
    let setup = IncomingCall {
        id: CallId(id),
        leg: invitation.leg,
        from: from.clone(),
        to: party(&decision.to),
        from_display: invitation.from.display.clone().unwrap_or_default(),
        correlation_id: hub.uuid(),
        server_call_id: super::server_call_id(id),
    };
    let about = About {
        id: id.to_string(),
        direction: "inbound",
        leg: invitation.leg,
        from,
        to: setup.to.clone(),
        server_call_id: setup.server_call_id.clone(),
        correlation_id: setup.correlation_id.clone(),
        caller_id: None,
        display_name: None,
        source: Some(setup.from.clone()),
        rule: decision.rule.clone(),
        started: now,
        route: None,
        headers: super::deliveries::custom_headers(&invitation).into_iter().collect(),
        private: super::shown::is_private(&invitation),
        hops: super::forwarding::hops(&invitation),
        peer: invitation.identity.clone(),
    };
    tracing::info!(id = %about.id, from = %decision.from, to = %decision.to, rule = decision.rule.as_deref(), "incoming call");
    let mut settings = hub.settings_towards(invitation.peer.remote.ip());
    settings.follow_referrals = super::referral::may_refer(hub, &invitation.identity);
    settings.srtp = super::encryption::of_caller(hub, &invitation.identity, trunk.as_deref()).unwrap_or(settings.srtp);
    let mut beginning = beginning(hub, &about, &setup, &invitation, &decision);
    if other {
        let text = format!("the caller is user {}, whatever {} says", about.from.as_str(), invitation.caller().uri);
        beginning.notes.push(TimelineEntry::new(now, Topic::Signalling, text));
    }
    beginning.permit = permit;
    if let Some((at, _)) = &mut beginning.fallback {
        // The rule's own answer to silence comes first; the call's 480 stands behind it.
        *at = now + hub.config.answer_timeout;
        settings.answer_timeout = hub.config.answer_timeout * 2;
    }
    let call = Call::incoming(setup, settings, now);
    spawn(Arc::clone(hub), call, about, beginning, inbox);
    Ok((id.to_string(), sender))
}

fn candidate(trunk: Option<&KnownTrunk>, invitation: &Invitation, caller: String) -> Candidate {
    Candidate {
        to: trunk.map_or_else(|| invitation.request_uri.clone(), |known| known.called(invitation)),
        from: trunk.map_or_else(|| caller.clone(), |known| known.inward(&caller)),
        trunk: trunk.map(|known| known.trunk.name.clone()),
        user: invitation.identity.user().map(str::to_owned),
        source: invitation.peer.remote.ip(),
        headers: invitation.headers.clone(),
        call_id: invitation.call_id.clone(),
    }
}

/// A party from an address in the rules' normal form.
pub fn party(normal: &str) -> Party {
    let digits = normal.strip_prefix('+').unwrap_or(normal);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b));
    if number || normal == "anonymous" {
        Party::Phone(normal.to_owned())
    } else if normal.starts_with("sip:") || normal.starts_with("sips:") {
        Party::Sip(normal.to_owned())
    } else {
        Party::User(normal.to_owned())
    }
}

fn beginning(
    hub: &Arc<Hub>,
    about: &About,
    setup: &IncomingCall,
    invitation: &Invitation,
    decision: &Decision,
) -> Beginning {
    let now = about.started;
    let by_default = super::forwarding::by_default(hub, &invitation.identity, &about.to);
    let verdict = match (&decision.rule, &decision.action, &by_default) {
        (Some(rule), Some(action), _) => format!("rule {rule} matches: {}", action.kind()),
        (.., Some(to)) => format!("no rule of {} matches: forward to {}", decision.explanation.len(), to.as_str()),
        _ => format!("no rule of {} matches: 404", decision.explanation.len()),
    };
    let detail = serde_json::to_string(decision).unwrap_or_default();
    let mut beginning = Beginning {
        application: Application::Awaited,
        first: Vec::new(),
        notes: vec![TimelineEntry::new(now, Topic::Rule, verdict).with_document(detail)],
        fallback: None,
        permit: None,
    };
    let diverted = super::diverted::in_words(invitation);
    beginning.notes.extend(diverted.map(|words| TimelineEntry::new(now, Topic::Signalling, words)));
    let failure = decision.on_failure.clone();
    let action = match &decision.action {
        None => {
            beginning.first.push(match by_default {
                Some(to) => Command::Forward { to },
                None => Command::Reject { reason: RejectReason::NotFound },
            });
            return beginning;
        }

        Some(Action::Webhook { subscription }) => {
            match super::deliveries::announce(hub, subscription, about, setup, invitation) {
                Ok(()) => {
                    beginning.fallback = failure.map(|action| (now, action));
                    return beginning;
                }
                Err(problem) => {
                    beginning.notes.push(TimelineEntry::new(now, Topic::Rule, problem));
                    failure.unwrap_or(Action::Reject { reason: rules::RejectReason::Unavailable })
                }
            }
        }
        Some(other) => {
            if let Action::Forward { .. } = other {
                beginning.fallback = failure.map(|action| (now, action));
            }
            other.clone()
        }
    };
    match local_application(action, &about.from) {
        Ok((Some(flow), first)) => {
            beginning.application = Application::Local(flow);
            beginning.first = first;
        }
        Ok((None, first)) => beginning.first = first,
        Err(problem) => {
            beginning.notes.push(TimelineEntry::new(now, Topic::Rule, problem));
            beginning.first.push(Command::Reject { reason: RejectReason::Unavailable });
        }
    }
    beginning
}

/// What an action means that needs no remote application: the flow that runs the call, if one does, and the first
/// commands. An error says why it cannot be done.
pub fn local_application(action: Action, caller: &Party) -> Result<(Option<AnswerFlow>, Vec<Command>), String> {
    match action {
        Action::Answer { play, collect } => {
            let flow = AnswerFlow::new(caller.clone(), play, collect);
            let first = vec![flow.start()];
            Ok((Some(flow), first))
        }
        Action::Redirect { to } => {
            // A number as it is is no URI; as a tel: URI the caller's side finds its way to it (RFC 3966).
            let to = if to.starts_with('+') { format!("tel:{to}") } else { to };
            Ok((None, vec![Command::Redirect { to }]))
        }
        Action::Reject { reason } => {
            let reason = match reason {
                rules::RejectReason::None | rules::RejectReason::Declined => RejectReason::None,
                rules::RejectReason::Busy => RejectReason::Busy,
                rules::RejectReason::Forbidden => RejectReason::Forbidden,
                rules::RejectReason::Unavailable => RejectReason::Unavailable,
            };
            Ok((None, vec![Command::Reject { reason }]))
        }
        Action::Webhook { subscription } => Err(format!("webhook {subscription} cannot be asked at this point")),
        Action::Forward { to } => Ok((None, vec![Command::Forward { to: party(&rules::normalise(&to)) }])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_parties() {
        assert_eq!(party("+442079460000"), Party::Phone("+442079460000".into()));
        assert_eq!(party("sip:alice@example.com"), Party::Sip("sip:alice@example.com".into()));
        assert_eq!(party("7042"), Party::Phone("7042".into()));
        assert_eq!(party("anonymous"), Party::Phone("anonymous".into()));
        assert_eq!(party("+"), Party::User("+".into()));
    }
}
