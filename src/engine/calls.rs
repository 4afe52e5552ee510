//! The automation API's wishes about calls, carried to the calls' tasks.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::metrics::count;
use super::running_call::{About, Application, Beginning, CallMessage, INBOX, Terms, spawn};
use super::signalling::Signal;
use super::{Engine, Hub, incoming, outgoing};
use crate::api::service::{
    AnswerCall, CallError, CallProperties, Calls, Claim, ConnectionState, CreateCall, Pending, Recorded, StoreError,
};
use crate::call::{Call, CallId, Command, OutgoingCall, Participant, Party, RejectReason, Reply};
use crate::sip::access::Identity;
use crate::store;
use crate::time::Time;
use crate::trunk::route::Asker;

impl Calls for Engine {
    fn create_call(&self, wish: CreateCall) -> Pending<'_, CallProperties, CallError> {
        let hub = Arc::clone(&self.hub);
        Box::pin(async move {
            // In a task of its own: what a client that hangs up began is then finished all the same.
            let work = tokio::spawn(async move { create(&hub, wish).await });
            work.await.unwrap_or_else(|error| Err(CallError::Internal(error.to_string())))
        })
    }

    fn answer(&self, wish: AnswerCall) -> Pending<'_, CallProperties, CallError> {
        Box::pin(async move {
            let inbox = self.inbox_of_token(&wish.token)?;
            let terms = Terms {
                callback: wish.callback.to_string(),
                context: wish.context,
                answered_by: wish.answered_by,
                api_version: wish.api_version,
                capture_rtp: wish.capture_rtp,
            };
            ask(&inbox, |reply| CallMessage::Take(Box::new(terms), reply)).await?
        })
    }

    fn redirect(&self, token: String, to: Party) -> Pending<'_, (), CallError> {
        Box::pin(async move {
            let inbox = self.inbox_of_token(&token)?;
            let command = match to {
                // Whoever calls finds his way to an address; to users and numbers only we know it.
                Party::Sip(to) if outgoing::user_named(&self.hub, &Party::Sip(to.clone())).is_none() => {
                    Command::Redirect { to }
                }
                to => {
                    outgoing::check(&self.hub, &to, &Asker::Application)?;
                    Command::Forward { to }
                }
            };
            self.decide(&inbox, command).await
        })
    }

    fn reject(&self, token: String, reason: RejectReason) -> Pending<'_, (), CallError> {
        Box::pin(async move {
            let inbox = self.inbox_of_token(&token)?;
            self.decide(&inbox, Command::Reject { reason }).await
        })
    }

    fn properties<'a>(&'a self, call: &'a str) -> Pending<'a, CallProperties, CallError> {
        Box::pin(async move { ask(&self.inbox(call)?, CallMessage::Properties).await })
    }

    fn participants<'a>(&'a self, call: &'a str) -> Pending<'a, Vec<Participant>, CallError> {
        Box::pin(async move { ask(&self.inbox(call)?, CallMessage::Participants).await })
    }

    fn command<'a>(&'a self, call: &'a str, command: Command) -> Pending<'a, Reply, CallError> {
        Box::pin(async move { ask(&self.inbox(call)?, |reply| CallMessage::Command(command, reply)).await? })
    }

    fn claim<'a>(&'a self, key: &'a str, fingerprint: &'a str, expires: Time) -> Pending<'a, Claim, StoreError> {
        Box::pin(async move {
            let now = self.hub.clock.now();
            let claim = self.hub.store.claim_request(key, fingerprint, now, expires).await.map_err(store_error)?;
            Ok(match claim {
                store::Claim::New => Claim::New,
                store::Claim::InProgress => Claim::InProgress,
                store::Claim::Different => Claim::Different,
                store::Claim::Answered(first) => Claim::Answered(Recorded { status: first.status, body: first.body }),
            })
        })
    }

    fn record<'a>(&'a self, key: &'a str, answer: Recorded) -> Pending<'a, (), StoreError> {
        Box::pin(async move {
            let answer = store::RecordedResponse { status: answer.status, headers: Vec::new(), body: answer.body };
            self.hub.store.record_response(key, &answer).await.map_err(store_error)
        })
    }

    fn release<'a>(&'a self, key: &'a str) -> Pending<'a, (), StoreError> {
        Box::pin(async move { self.hub.store.release_claim(key).await.map_err(store_error) })
    }
}

fn store_error(error: store::StoreError) -> StoreError {
    StoreError(error.to_string())
}

/// Puts a question to a call and waits for the answer.
async fn ask<T>(
    inbox: &mpsc::Sender<CallMessage>,
    question: impl FnOnce(oneshot::Sender<T>) -> CallMessage,
) -> Result<T, CallError> {
    let (reply, answer) = oneshot::channel();
    inbox.send(question(reply)).await.map_err(|_| CallError::Ended)?;
    answer.await.map_err(|_| CallError::Ended)
}

impl Engine {
    fn inbox(&self, call: &str) -> Result<mpsc::Sender<CallMessage>, CallError> {
        self.hub.calls.get(call).ok_or(CallError::NoSuchCall)
    }

    fn inbox_of_token(&self, token: &str) -> Result<mpsc::Sender<CallMessage>, CallError> {
        let id = self.hub.tokens.verify(token, self.hub.clock.now()).map_err(|e| CallError::BadToken(e.to_string()))?;
        self.inbox(&id)
    }

    /// Rejects or redirects; a call that is past that has used its token up.
    async fn decide(&self, inbox: &mpsc::Sender<CallMessage>, command: Command) -> Result<(), CallError> {
        ask(inbox, |reply| CallMessage::Command(command, reply)).await?.map(|_| ())
    }
}

async fn create(hub: &Arc<Hub>, wish: CreateCall) -> Result<CallProperties, CallError> {
    let target = match wish.targets.as_slice() {
        [target] => target.clone(),
        [] => {
            let problem = "at least one target is needed".to_owned();
            return Err(CallError::BadArgument { field: "targets".into(), problem });
        }
        _ => return Err(CallError::NotImplemented("group calls come with a later release: name one target".into())),
    };
    if hub.is_draining() {
        return Err(CallError::Unavailable("the engine is stopping".into()));
    }
    if hub.is_overloaded() {
        count(&hub.metrics.calls_refused, "overloaded");
        return Err(CallError::Overloaded { retry_after: incoming::RETRY_AFTER });
    }
    let route = outgoing::route(hub, &target, &Asker::Application).await?;
    let trunk = route.leads.first().and_then(|lead| lead.trunk.as_ref());
    let callee = match (&route.user, trunk) {
        (Some(user), _) => Identity::User(user.clone()),
        (None, Some(known)) => Identity::Trunk(known.trunk.name.clone()),
        (None, None) => Identity::Stranger,
    };
    let id = hub.random_uuid();
    let (sender, inbox) = mpsc::channel(INBOX);
    if !hub.calls.insert(&id.to_string(), sender.clone(), hub.config.max_calls) {
        count(&hub.metrics.calls_refused, "too many calls");
        return Err(CallError::Unavailable(format!("{} calls are running, the most allowed", hub.config.max_calls)));
    }
    let (reply, leg) = oneshot::channel();
    hub.signal(Signal::NewLeg(id.to_string(), sender, reply));
    let Ok(leg) = leg.await else {
        hub.calls.remove(&id.to_string());
        return Err(CallError::Unavailable("signalling is too busy".into()));
    };
    hub.metrics.calls_active.inc();
    count(&hub.metrics.calls_started, "outbound");

    let now = hub.clock.now();
    let caller_id = wish.caller_id.clone().map(Party::Phone);
    let setup = OutgoingCall {
        id: CallId(id),
        leg,
        target: target.clone(),
        source: wish.source.clone(),
        caller_id: caller_id.clone(),
        source_display: wish.display_name.clone().unwrap_or_default(),
        context: wish.context.clone(),
        correlation_id: hub.uuid(),
        server_call_id: super::server_call_id(id),
    };
    let may_refer = super::referral::may_refer(hub, &callee);
    let about = About {
        id: id.to_string(),
        direction: "outbound",
        leg,
        from: caller_id.or_else(|| wish.source.clone()).unwrap_or_else(|| Party::User("anonymous".into())),
        to: target.clone(),
        server_call_id: setup.server_call_id.clone(),
        correlation_id: setup.correlation_id.clone(),
        caller_id: wish.caller_id.clone(),
        display_name: wish.display_name.clone(),
        source: wish.source.clone(),
        rule: None,
        started: now,
        route: Some(route),
        headers: wish.headers,
        private: false,
        hops: 0,
        peer: callee,
    };
    let properties = CallProperties {
        id: about.id.clone(),
        server_call_id: about.server_call_id.clone(),
        correlation_id: about.correlation_id.clone(),
        targets: vec![target],
        state: ConnectionState::Connecting,
        callback: wish.callback.to_string(),
        caller_id: wish.caller_id,
        display_name: wish.display_name,
        source: wish.source,
        answered_by: None,
        answered_for: None,
    };
    tracing::info!(id = %about.id, to = about.to.as_str(), "outgoing call");
    let terms = Terms {
        callback: wish.callback.to_string(),
        context: wish.context,
        answered_by: None,
        api_version: wish.api_version,
        capture_rtp: wish.capture_rtp,
    };
    let beginning = Beginning {
        application: Application::Remote(terms),
        first: Vec::new(),
        notes: Vec::new(),
        fallback: None,
        permit: None,
    };
    let first = about.route.as_ref().and_then(|route| route.leads.first()?.round.branches.first());
    let mut settings =
        first.map_or_else(|| hub.call_settings.clone(), |branch| hub.settings_towards(branch.destination.ip()));
    settings.follow_referrals = may_refer;
    let call = Call::outgoing(setup, settings, now);
    spawn(Arc::clone(hub), call, about, beginning, inbox);
    Ok(properties)
}
