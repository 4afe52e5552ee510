//! What an operator wishes: rules, subscriptions, trunks, prompts, and a look at calls.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use super::running_call::CallMessage;
use super::{Engine, archive};
use crate::api::service::{
    AdminError, Administration, Ban, CallRecord, Collection, DeadEvent, Existing, FieldProblem, Listing, NewBan, Page,
    Pending, Prompt, PromptAudio, PromptStored, Registration, Stored, Timeline,
};
use crate::prompt::{self, Name, Origin, PromptError};
use crate::rules::{ExplainRequest, Rule, RuleErrors};
use crate::store::{CallPage, StoreError, Subscription};

impl Administration for Engine {
    fn documents(&self, of: Collection, page: Page) -> Pending<'_, Listing<Value>, AdminError> {
        Box::pin(async move {
            let all: Vec<Value> = match of {
                Collection::Rules => {
                    let mut rules = self.hub.store.rules().await?;
                    rules.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
                    rules.iter().map(to_json).collect()
                }
                Collection::Subscriptions => {
                    self.hub.store.subscriptions().await?.into_iter().map(shown_subscription).collect()
                }
                Collection::Trunks => {
                    let mut trunks = self.hub.store.trunks().await?;
                    trunks.sort_by(|a, b| a.name.cmp(&b.name));
                    trunks.into_iter().map(|trunk| super::routes::shown_trunk(&self.hub, trunk)).collect()
                }
                Collection::Routes => self.hub.store.routes().await?.iter().map(to_json).collect(),
                Collection::Users => self.hub.store.users().await?.iter().map(super::users::shown).collect(),
            };
            Ok(page_of(all, page))
        })
    }

    fn document<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, Value, AdminError> {
        Box::pin(async move {
            let found = match of {
                Collection::Rules => self.hub.store.rule(name).await?.map(|rule| to_json(&rule)),
                Collection::Subscriptions => self.hub.store.subscription(name).await?.map(shown_subscription),
                Collection::Trunks => {
                    self.hub.store.trunk(name).await?.map(|trunk| super::routes::shown_trunk(&self.hub, trunk))
                }
                Collection::Routes => self.hub.store.route(name).await?.map(|route| to_json(&route)),
                Collection::Users => self.hub.store.user(name).await?.as_ref().map(super::users::shown),
            };
            found.ok_or_else(|| missing(of, name))
        })
    }

    fn put<'a>(
        &'a self,
        of: Collection,
        name: &'a str,
        document: Value,
        existing: Existing,
    ) -> Pending<'a, Stored, AdminError> {
        Box::pin(async move {
            let _one_at_a_time = self.hub.changes.lock().await;
            match of {
                Collection::Rules => self.put_rule(name, &document, existing).await,
                Collection::Subscriptions => super::subscriptions::put(&self.hub, name, &document, existing).await,
                Collection::Trunks => super::routes::put_trunk(&self.hub, name, document, existing).await,
                Collection::Routes => super::routes::put_route(&self.hub, name, document, existing).await,
                Collection::Users => self.put_user(name, document, existing).await,
            }
        })
    }

    fn delete<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            let _one_at_a_time = self.hub.changes.lock().await;
            let there = match of {
                Collection::Rules => {
                    let there = self.hub.store.delete_rule(name).await?;
                    self.hub.reload_rules().await?;
                    there
                }
                Collection::Subscriptions => {
                    let there = self.hub.store.delete_subscription(name).await?;
                    self.hub.reload_subscriptions().await?;
                    there
                }
                Collection::Trunks => super::routes::delete_trunk(&self.hub, name).await?,
                Collection::Routes => super::routes::delete_route(&self.hub, name).await?,
                Collection::Users => {
                    let there = self.hub.store.delete_user(name).await?;
                    self.hub.reload_users().await?;
                    there
                }
            };
            if there { Ok(()) } else { Err(missing(of, name)) }
        })
    }

    fn registrations<'a>(&'a self, user: &'a str) -> Pending<'a, Vec<Registration>, AdminError> {
        Box::pin(async move { self.registrations_of(user).await })
    }

    fn remove_registrations<'a>(&'a self, user: &'a str, id: Option<String>) -> Pending<'a, (), AdminError> {
        Box::pin(async move { self.forget_registrations(user, id).await })
    }

    fn explain(&self, would_be_call: Value) -> Pending<'_, Value, AdminError> {
        Box::pin(async move {
            let request: ExplainRequest =
                serde_json::from_value(would_be_call).map_err(|error| invalid("body", error.to_string()))?;
            let (candidate, at) = request.into_candidate(self.hub.clock.now())?;
            Ok(to_json(&self.hub.rules.load().decide(&candidate, at)))
        })
    }

    fn explain_route(&self, question: Value) -> Pending<'_, Value, AdminError> {
        Box::pin(async move { super::routes::explain(&self.hub, &question) })
    }

    fn validate_subscription<'a>(&'a self, name: &'a str, code: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            let _one_at_a_time = self.hub.changes.lock().await;
            super::subscriptions::confirm(&self.hub, name, code).await
        })
    }

    fn prompts(&self, page: Page) -> Pending<'_, Listing<Prompt>, AdminError> {
        Box::pin(async move {
            let all = self.hub.prompts.list().await?;
            Ok(page_of(all.into_iter().map(shown_prompt).collect(), page))
        })
    }

    fn prompt<'a>(&'a self, name: &'a str) -> Pending<'a, PromptAudio, AdminError> {
        Box::pin(async move {
            let (info, bytes) = self.hub.prompts.get(&Name::parse(name)?).await?;
            Ok(PromptAudio { content_type: shown_prompt(info).content_type, bytes })
        })
    }

    fn put_prompt<'a>(&'a self, name: &'a str, audio: PromptAudio) -> Pending<'a, PromptStored, AdminError> {
        Box::pin(async move {
            let name = Name::parse(name)?;
            let before = self.hub.prompts.list().await?;
            let created = !before.iter().any(|info| info.name == name);
            let info = self.hub.prompts.put(&name, audio.bytes).await?;
            Ok(PromptStored { prompt: shown_prompt(info), created })
        })
    }

    fn delete_prompt<'a>(&'a self, name: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move { Ok(self.hub.prompts.delete(&Name::parse(name)?).await?) })
    }

    fn calls(&self, page: Page) -> Pending<'_, Listing<CallRecord>, AdminError> {
        Box::pin(async move {
            let mut running = Vec::new();
            for inbox in self.hub.calls.all() {
                let (reply, record) = oneshot::channel();
                if inbox.send(CallMessage::Record(reply)).await.is_ok()
                    && let Ok(record) = record.await
                {
                    running.push(record);
                }
            }
            // A call that is no longer running is on its way into the store, and must not be missing meanwhile.
            self.hub.written().await;
            running.sort_by(|a, b| (&b.started_at, &b.id).cmp(&(&a.started_at, &a.id)));
            let mut shown: Vec<CallRecord> = running;
            let wanted = page.skip.saturating_add(page.top).saturating_add(1);
            let mut after = None;
            while shown.len() < wanted {
                let kept = self.hub.store.calls(&CallPage { limit: 1000, after: after.take() }).await?;
                let Some(last) = kept.last() else { break };
                after = Some((last.started, last.id.clone()));
                for call in kept.iter().filter(|call| !shown.iter().any(|s| s.id == call.id)).collect::<Vec<_>>() {
                    shown.extend(archive::kept_record(call));
                }
            }
            Ok(page_of(shown, page))
        })
    }

    fn call<'a>(&'a self, id: &'a str) -> Pending<'a, CallRecord, AdminError> {
        Box::pin(async move {
            if let Some(record) = self.of_running(id, CallMessage::Record).await {
                return Ok(record);
            }
            let kept = self.hub.kept_call(id).await?;
            kept.as_ref().and_then(archive::kept_record).ok_or_else(|| AdminError::NotFound(format!("call {id}")))
        })
    }

    fn timeline<'a>(&'a self, id: &'a str) -> Pending<'a, Timeline, AdminError> {
        Box::pin(async move {
            if let Some(timeline) = self.of_running(id, CallMessage::Timeline).await {
                return Ok(timeline);
            }
            let kept = self.hub.kept_call(id).await?;
            let call = kept.ok_or_else(|| AdminError::NotFound(format!("call {id}")))?;
            Ok(archive::kept_timeline(&call, self.hub.store.timeline(id).await?))
        })
    }

    fn pcap<'a>(&'a self, id: &'a str) -> Pending<'a, Bytes, AdminError> {
        Box::pin(async move {
            let timeline = self.timeline(id).await?;
            super::pcap::of_call(&self.hub, timeline).await
        })
    }

    fn dead_events(&self, page: Page) -> Pending<'_, Listing<DeadEvent>, AdminError> {
        Box::pin(async move {
            let limit = page.skip.saturating_add(page.top).saturating_add(1).min(1000);
            let dead = self.hub.outbox.list_dead(limit as u32).await?;
            let dead = dead.into_iter().map(|stored| DeadEvent {
                id: stored.event.id,
                call_id: Some(super::deliveries::call_of_key(&stored.event.key).to_owned()),
                event_type: stored.event.kind,
                endpoint: stored.event.url,
                attempts: stored.attempts,
                last_error: stored.last_error.unwrap_or_default(),
                created_at: stored.event.created.to_rfc3339(),
                dead_at: stored.settled.unwrap_or(stored.event.created).to_rfc3339(),
                body: serde_json::from_str(&stored.event.body).unwrap_or_default(),
            });
            Ok(page_of(dead.collect(), page))
        })
    }

    fn bans(&self) -> Pending<'_, Vec<Ban>, AdminError> {
        Box::pin(self.hub.bans())
    }

    fn ban(&self, new: NewBan) -> Pending<'_, Ban, AdminError> {
        Box::pin(self.hub.ban(new))
    }

    fn lift_ban<'a>(&'a self, source: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(self.hub.lift_ban(source))
    }

    fn metrics(&self) -> String {
        self.hub.metrics_text()
    }

    fn ready(&self) -> Pending<'_, (), String> {
        Box::pin(async move {
            if self.hub.draining.load(Ordering::Relaxed) {
                return Err("the engine is stopping".to_owned());
            }
            if self.hub.is_overloaded() {
                return Err("the engine is overloaded: media threads run late, new calls are refused".to_owned());
            }
            self.hub.store.ping().await.map_err(|error| error.to_string())
        })
    }
}

impl Engine {
    async fn of_running<T>(&self, id: &str, question: impl FnOnce(oneshot::Sender<T>) -> CallMessage) -> Option<T> {
        let inbox = self.hub.calls.get(id)?;
        let (reply, answer) = oneshot::channel();
        inbox.send(question(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn put_rule(&self, name: &str, document: &Value, existing: Existing) -> Result<Stored, AdminError> {
        let rule = Rule::from_json(document)?;
        let mut rules = self.hub.store.rules().await?;
        let there = rules.iter().position(|other| other.name == name);
        match (there, existing) {
            (Some(_), Existing::Keep) => return Err(AdminError::Exists(format!("rule {name}"))),
            (Some(at), Existing::Replace) => rules[at] = rule.clone(),
            (None, _) => rules.push(rule.clone()),
        }
        let table = crate::rules::Table::new(rules).map_err(|errors| table_error(errors, name))?;
        match there {
            Some(_) => self.hub.store.replace_rule(&rule).await.map(|_| ())?,
            None => self.hub.store.create_rule(&rule).await?,
        }
        self.hub.rules.store(std::sync::Arc::new(table));
        Ok(Stored { document: to_json(&rule), created: there.is_none() })
    }
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

pub(super) fn invalid(field: &str, problem: String) -> AdminError {
    AdminError::Invalid(vec![FieldProblem { field: field.to_owned(), problem }])
}

fn missing(of: Collection, name: &str) -> AdminError {
    let kind = of.as_str().trim_end_matches('s');
    AdminError::NotFound(format!("{kind} {name}"))
}

fn page_of<T>(all: Vec<T>, page: Page) -> Listing<T> {
    let more = all.len() > page.skip.saturating_add(page.top);
    Listing { items: all.into_iter().skip(page.skip).take(page.top).collect(), more }
}

pub(super) fn shown_subscription(subscription: Subscription) -> Value {
    to_json(&Subscription { validation_code: None, validation_expires_at: None, ..subscription })
}

fn shown_prompt(info: prompt::Info) -> Prompt {
    Prompt {
        name: info.name.as_str().to_owned(),
        content_type: info.content_type.to_string(),
        size_bytes: info.bytes,
        duration_ms: info.duration.map_or(0, |duration| duration.as_millis() as u64),
        built_in: matches!(info.origin, Origin::Shipped),
    }
}

/// A table that is refused: the rule that was put is wrong, or cannot be told from another.
fn table_error(errors: RuleErrors, name: &str) -> AdminError {
    let of_rule = |error: &crate::rules::RuleError| error.rule.as_deref().is_none_or(|rule| rule == name);
    match errors.0.iter().find(|error| error.rule.is_none()) {
        Some(clash) => AdminError::Conflict(clash.message.clone()),
        None => AdminError::Invalid(
            errors
                .0
                .into_iter()
                .filter(of_rule)
                .map(|error| FieldProblem { field: error.field, problem: error.message })
                .collect(),
        ),
    }
}

impl From<RuleErrors> for AdminError {
    fn from(errors: RuleErrors) -> Self {
        AdminError::Invalid(
            errors.0.into_iter().map(|error| FieldProblem { field: error.field, problem: error.message }).collect(),
        )
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists { kind, name } => AdminError::Exists(format!("{kind} {name}")),
            StoreError::Busy(_) => AdminError::Unavailable(error.to_string()),
            other => AdminError::Internal(format!("{other:?}")),
        }
    }
}

impl From<PromptError> for AdminError {
    fn from(error: PromptError) -> Self {
        let text = error.to_string();
        match error {
            PromptError::NotFound(name) => AdminError::NotFound(format!("prompt {name}")),
            PromptError::Shipped(_) => AdminError::Conflict(text),
            PromptError::Name { .. } => invalid("name", text),
            _ => invalid("body", text),
        }
    }
}
