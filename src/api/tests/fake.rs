//! An engine that remembers what it was asked. Calls whose id is a word behave as the word says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::api::service::*;
use crate::call::{Command, Participant, Party, Refusal, RejectReason, Reply};
use crate::time::Time;

/// Answers as the ids say: `missing`, `ended`, `early`, `queue`, `stranger`, `full`, `broken`, `panic`, `crowd`.
#[derive(Default)]
pub struct Fake {
    created: Mutex<Vec<CreateCall>>,
    pub commands: Mutex<Vec<Command>>,
    pub incoming: Mutex<Vec<String>>,
    claims: Mutex<HashMap<String, (String, Option<Recorded>)>>,
    documents: Mutex<BTreeMap<(&'static str, String), Value>>,
    prompts: Mutex<BTreeMap<String, PromptAudio>>,
    draining: AtomicBool,
    /// Calls are created only when somebody notifies.
    pub gate: AtomicBool,
    pub open: Notify,
    /// The next call is not created: 503.
    pub busy: AtomicBool,
    pub store_down: AtomicBool,
}

impl Fake {
    pub fn created(&self) -> Vec<CreateCall> {
        self.created.lock().unwrap().clone()
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// As after a restart: what is stored stays.
    pub fn restarted(&self) -> Fake {
        let claims = Mutex::new(self.claims.lock().unwrap().clone());
        Fake { claims, ..Fake::default() }
    }

    fn look(&self, call: &str) -> Result<(), CallError> {
        match call {
            "missing" => Err(CallError::NoSuchCall),
            "ended" => Err(CallError::Ended),
            "early" => Err(Refusal::WrongState { state: "connecting".into(), wish: "play".into() }.into()),
            "queue" => Err(Refusal::QueueFull.into()),
            "stranger" => Err(Refusal::NoSuchParty("+1".into()).into()),
            "full" => Err(CallError::Unavailable("too many calls".into())),
            "broken" => Err(CallError::Internal("secret".into())),
            "panic" => panic!("the fake was asked to"),
            _ => Ok(()),
        }
    }
}

fn properties(id: &str) -> CallProperties {
    CallProperties {
        id: id.into(),
        server_call_id: "c2VydmVyLWNhbGw".into(),
        correlation_id: "9d635abd-341d-4c37-8be0-584b9d54f897".into(),
        targets: vec![Party::Phone("+15551230001".into())],
        state: ConnectionState::Connecting,
        callback: "https://cb.example/cb".into(),
        caller_id: Some("+15551230000".into()),
        display_name: None,
        source: Some(Party::User("8:acs:1_2".into())),
        answered_by: Some(Party::User("8:acs:1_2".into())),
        answered_for: None,
    }
}

impl Calls for Fake {
    fn create_call(&self, wish: CreateCall) -> Pending<'_, CallProperties, CallError> {
        Box::pin(async move {
            if self.gate.load(Ordering::Relaxed) {
                self.open.notified().await;
            }
            if self.busy.swap(false, Ordering::Relaxed) {
                return Err(CallError::Unavailable("no ports".into()));
            }
            let mut created = self.created.lock().unwrap();
            created.push(wish);
            Ok(properties(&format!("call-{}", created.len())))
        })
    }

    fn answer(&self, wish: AnswerCall) -> Pending<'_, CallProperties, CallError> {
        Box::pin(async move {
            if wish.token == "used" {
                return Err(CallError::BadToken("the incomingCallContext was used already".into()));
            }
            self.incoming.lock().unwrap().push(format!("answer {}", wish.token));
            Ok(properties("answered"))
        })
    }

    fn redirect(&self, token: String, to: Party) -> Pending<'_, (), CallError> {
        Box::pin(async move {
            self.incoming.lock().unwrap().push(format!("redirect {token} to {}", to.as_str()));
            Ok(())
        })
    }

    fn reject(&self, token: String, reason: RejectReason) -> Pending<'_, (), CallError> {
        Box::pin(async move {
            self.incoming.lock().unwrap().push(format!("reject {token} {reason:?}"));
            Ok(())
        })
    }

    fn properties<'a>(&'a self, call: &'a str) -> Pending<'a, CallProperties, CallError> {
        Box::pin(async move { self.look(call).map(|()| properties(call)) })
    }

    fn participants<'a>(&'a self, call: &'a str) -> Pending<'a, Vec<Participant>, CallError> {
        Box::pin(async move {
            self.look(call)?;
            let phone = |n: usize| Party::Phone(format!("+1555123{n:04}"));
            let count = if call == "crowd" { 250 } else { 3 };
            let mut all: Vec<_> =
                (1..count).map(|n| Participant { party: phone(n), muted: n == 2, on_hold: false }).collect();
            let id = "8:acs:11111111-1111-1111-1111-111111111111_22222222-2222-2222-2222-222222222222";
            all.push(Participant { party: Party::User(id.into()), muted: false, on_hold: false });
            Ok(all)
        })
    }

    fn command<'a>(&'a self, call: &'a str, command: Command) -> Pending<'a, Reply, CallError> {
        Box::pin(async move {
            self.look(call)?;
            self.commands.lock().unwrap().push(command);
            Ok(Reply::Accepted)
        })
    }

    fn claim<'a>(&'a self, key: &'a str, fingerprint: &'a str, expires: Time) -> Pending<'a, Claim, StoreError> {
        Box::pin(async move {
            assert!(key.len() <= 100 && expires > super::noon());
            if self.store_down.load(Ordering::Relaxed) {
                return Err(StoreError("secret: locked".into()));
            }
            let mut claims = self.claims.lock().unwrap();
            Ok(match claims.get(key) {
                None => {
                    claims.insert(key.into(), (fingerprint.into(), None));
                    Claim::New
                }
                Some((first, _)) if first != fingerprint => Claim::Different,
                Some((_, None)) => Claim::InProgress,
                Some((_, Some(recorded))) => Claim::Answered(recorded.clone()),
            })
        })
    }

    fn record<'a>(&'a self, key: &'a str, answer: Recorded) -> Pending<'a, (), StoreError> {
        Box::pin(async move {
            if self.store_down.load(Ordering::Relaxed) {
                return Err(StoreError("secret: locked".into()));
            }
            self.claims.lock().unwrap().get_mut(key).unwrap().1 = Some(answer);
            Ok(())
        })
    }

    fn release<'a>(&'a self, key: &'a str) -> Pending<'a, (), StoreError> {
        Box::pin(async move {
            self.claims.lock().unwrap().remove(key);
            Ok(())
        })
    }
}

fn part<T: Clone>(all: &[T], page: Page) -> Listing<T> {
    let items: Vec<T> = all.iter().skip(page.skip).take(page.top).cloned().collect();
    let more = page.skip + items.len() < all.len();
    Listing { items, more }
}

impl Administration for Fake {
    fn documents(&self, of: Collection, page: Page) -> Pending<'_, Listing<Value>, AdminError> {
        Box::pin(async move {
            let documents = self.documents.lock().unwrap();
            let all: Vec<_> =
                documents.iter().filter(|((kind, _), _)| *kind == of.as_str()).map(|(_, one)| one.clone()).collect();
            Ok(part(&all, page))
        })
    }

    fn document<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, Value, AdminError> {
        Box::pin(async move {
            let found = self.documents.lock().unwrap().get(&(of.as_str(), name.to_owned())).cloned();
            found.ok_or_else(|| AdminError::NotFound(format!("document {name}")))
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
            assert_eq!(document["name"], name);
            if document["match"]["to"]["regex"] == "(" {
                let one = |field: &str| FieldProblem { field: field.into(), problem: "is wrong".into() };
                return Err(AdminError::Invalid(vec![one("match.to.regex"), one("action")]));
            }
            let mut documents = self.documents.lock().unwrap();
            let key = (of.as_str(), name.to_owned());
            if existing == Existing::Keep && documents.contains_key(&key) {
                return Err(AdminError::Exists(name.into()));
            }
            let created = documents.insert(key, document.clone()).is_none();
            Ok(Stored { document, created })
        })
    }

    fn delete<'a>(&'a self, of: Collection, name: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            let gone = self.documents.lock().unwrap().remove(&(of.as_str(), name.to_owned()));
            gone.map(|_| ()).ok_or_else(|| AdminError::NotFound(format!("document {name}")))
        })
    }

    fn registrations<'a>(&'a self, _user: &'a str) -> Pending<'a, Vec<Registration>, AdminError> {
        Box::pin(async move { Ok(Vec::new()) })
    }

    fn remove_registrations<'a>(&'a self, user: &'a str, id: Option<String>) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            match id {
                Some(id) if id != "one" => Err(AdminError::NotFound(format!("registration {id} of user {user}"))),
                _ => Ok(()),
            }
        })
    }

    fn explain(&self, would_be_call: Value) -> Pending<'_, Value, AdminError> {
        Box::pin(async move { Ok(json!({ "rule": null, "to": would_be_call["to"] })) })
    }

    fn explain_route(&self, question: Value) -> Pending<'_, Value, AdminError> {
        Box::pin(async move { Ok(json!({ "number": question["number"] })) })
    }

    fn validate_subscription<'a>(&'a self, name: &'a str, code: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            match (name, code) {
                ("my-app", "right") => Ok(()),
                _ => Err(AdminError::NotFound(format!("subscription {name} with this code"))),
            }
        })
    }

    fn prompts(&self, page: Page) -> Pending<'_, Listing<Prompt>, AdminError> {
        Box::pin(async move {
            let all: Vec<_> = self.prompts.lock().unwrap().iter().map(|(name, audio)| prompt(name, audio)).collect();
            Ok(part(&all, page))
        })
    }

    fn prompt<'a>(&'a self, name: &'a str) -> Pending<'a, PromptAudio, AdminError> {
        Box::pin(async move {
            let found = self.prompts.lock().unwrap().get(name).cloned();
            found.ok_or_else(|| AdminError::NotFound(format!("prompt {name}")))
        })
    }

    fn put_prompt<'a>(&'a self, name: &'a str, audio: PromptAudio) -> Pending<'a, PromptStored, AdminError> {
        Box::pin(async move {
            if audio.bytes == Bytes::from_static(b"noise") {
                return Err(AdminError::invalid("body", "is not audio that can be decoded"));
            }
            let prompt = prompt(name, &audio);
            let created = self.prompts.lock().unwrap().insert(name.into(), audio).is_none();
            Ok(PromptStored { prompt, created })
        })
    }

    fn delete_prompt<'a>(&'a self, name: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move {
            let gone = self.prompts.lock().unwrap().remove(name);
            gone.map(|_| ()).ok_or_else(|| AdminError::NotFound(format!("prompt {name}")))
        })
    }

    fn calls(&self, page: Page) -> Pending<'_, Listing<CallRecord>, AdminError> {
        Box::pin(async move { Ok(part(&[record("one"), record("two")], page)) })
    }

    fn call<'a>(&'a self, id: &'a str) -> Pending<'a, CallRecord, AdminError> {
        Box::pin(async move { if id == "missing" { Err(AdminError::NotFound("call".into())) } else { Ok(record(id)) } })
    }

    fn timeline<'a>(&'a self, id: &'a str) -> Pending<'a, Timeline, AdminError> {
        Box::pin(async move {
            let entry = |detail: Value| TimelineEntry {
                at: "2026-11-22T09:26:04.000000Z".into(),
                kind: "sip".into(),
                text: "INVITE".into(),
                detail,
                wire: None,
            };
            let entries = vec![entry(Value::Null), entry(json!({ "a": 1 }))];
            Ok(Timeline { call_id: id.into(), dropped: 0, entries })
        })
    }

    fn pcap<'a>(&'a self, id: &'a str) -> Pending<'a, Bytes, AdminError> {
        Box::pin(async move {
            match id {
                "one" => Ok(Bytes::from_static(b"\x0a\x0d\x0d\x0a")),
                _ => Err(AdminError::NotFound(format!("call {id}"))),
            }
        })
    }

    fn dead_events(&self, page: Page) -> Pending<'_, Listing<DeadEvent>, AdminError> {
        Box::pin(async move { Ok(part(&[], page)) })
    }

    fn bans(&self) -> Pending<'_, Vec<Ban>, AdminError> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn ban(&self, new: NewBan) -> Pending<'_, Ban, AdminError> {
        let NewBan { source, reason, .. } = new;
        let (since, until) = ("1970-01-01T00:00:00Z".to_owned(), "1970-01-01T01:00:00Z".to_owned());
        let reason = reason.unwrap_or_default();
        Box::pin(async { Ok(Ban { source, reason, automatic: false, since, until, count: 1, dropped: 0 }) })
    }

    fn lift_ban<'a>(&'a self, source: &'a str) -> Pending<'a, (), AdminError> {
        Box::pin(async move { Err(AdminError::NotFound(format!("ban of {source}"))) })
    }

    fn metrics(&self) -> String {
        "calls 1\n".into()
    }

    fn ready(&self) -> Pending<'_, (), String> {
        Box::pin(
            async move { if self.draining.load(Ordering::Relaxed) { Err("shutting down".into()) } else { Ok(()) } },
        )
    }
}

fn prompt(name: &str, audio: &PromptAudio) -> Prompt {
    Prompt {
        name: name.into(),
        content_type: audio.content_type.clone(),
        size_bytes: audio.bytes.len() as u64,
        duration_ms: 20,
        built_in: false,
    }
}

fn record(id: &str) -> CallRecord {
    CallRecord {
        id: id.into(),
        direction: "inbound".into(),
        state: ConnectionState::Connected,
        from: "+1".into(),
        to: "+2".into(),
        server_call_id: "s".into(),
        correlation_id: "c".into(),
        rule: None,
        started_at: "2026-11-22T09:26:04.000000Z".into(),
        connected_at: None,
        ended_at: None,
        end_reason: None,
        media: None,
    }
}
