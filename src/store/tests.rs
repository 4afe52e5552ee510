//! The store against a SQLite file: aggregates, the writer, a locked database, a schema that does not fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::rules::Rule;
use crate::time::Time;

const LIMIT: Duration = Duration::from_secs(30);

fn clock() -> Clock {
    Arc::new(|| Time::from_micros(1_000_000_000_000))
}

fn event(seq: i64) -> Arc<NewEvent> {
    Arc::new(NewEvent {
        seq,
        id: format!("id-{seq}"),
        key: "call".into(),
        kind: "Microsoft.Communication.CallConnected".into(),
        url: "http://127.0.0.1:1/cb".into(),
        content_type: "application/json".into(),
        headers: vec![("aeg-event-type".into(), "Notification".into())],
        body: "[]".into(),
        created: Time::from_micros(5),
    })
}

fn entry(seq: u32) -> TimelineEntry {
    TimelineEntry {
        seq,
        at: Time::from_micros(u64::from(seq) * 20),
        kind: "sip".into(),
        text: format!("entry {seq}"),
        data: seq.is_multiple_of(2).then(|| json!({"n": seq})),
    }
}

fn record(id: &str, started: u64, ended: Option<u64>) -> CallRecord {
    CallRecord {
        id: id.into(),
        summary: json!({"id": id}),
        started: Time::from_micros(started),
        ended: ended.map(Time::from_micros),
    }
}

fn rule(name: &str, priority: i32) -> Rule {
    Rule::from_json(&json!({"name": name, "priority": priority, "action": {"reject": {"reason": "busy"}}})).unwrap()
}

#[tokio::test]
async fn rules_subscriptions_and_trunks_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strowger.db");
    let store = Store::open(&path).await.unwrap();
    store.ping().await.unwrap();

    store.create_rule(&rule("b", 2)).await.unwrap();
    store.create_rule(&rule("a", 2)).await.unwrap();
    store.create_rule(&rule("z", 1)).await.unwrap();
    let taken = store.create_rule(&rule("a", 9)).await.unwrap_err();
    assert_eq!(taken.to_string(), "rule `a` exists already");
    assert!(store.replace_rule(&rule("b", -7)).await.unwrap());
    assert!(!store.replace_rule(&rule("nobody", 1)).await.unwrap());
    assert!(store.delete_rule("z").await.unwrap() && !store.delete_rule("z").await.unwrap());

    let mut subscription = Subscription {
        name: "my-app".into(),
        endpoint: "https://app.example/events".into(),
        event_types: vec!["Microsoft.Communication.IncomingCall".into()],
        state: SubscriptionState::Pending,
        validation_code: Some("c".into()),
        validation_expires_at: Some(9),
    };
    store.create_subscription(&subscription).await.unwrap();
    assert!(matches!(store.create_subscription(&subscription).await, Err(StoreError::Exists { .. })));
    subscription.state = SubscriptionState::Validated;
    subscription.validation_code = None;
    assert!(store.replace_subscription(&subscription).await.unwrap());

    let trunk: Trunk =
        serde_json::from_value(json!({"name": "carrier-a", "uri": "sip:c.example", "password": "p", "prefix": "+44"}))
            .unwrap();
    store.create_trunk(&trunk).await.unwrap();
    store.create_trunk(&Trunk { name: "first".into(), priority: 1, prefix: None, ..trunk.clone() }).await.unwrap();
    assert!(trunk.takes("+4420") && !trunk.takes("+4520"));
    assert!(!serde_json::to_string(&trunk.clone().for_display()).unwrap().contains("password"));

    #[cfg(unix)]
    for file in std::fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    let names: Vec<String> = store.rules().await.unwrap().into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(store.rule("b").await.unwrap(), Some(rule("b", -7)));
    assert_eq!(store.rule("z").await.unwrap(), None);
    assert_eq!(store.subscriptions().await.unwrap(), std::slice::from_ref(&subscription));
    assert_eq!(store.subscription("my-app").await.unwrap(), Some(subscription));
    assert!(store.delete_subscription("my-app").await.unwrap());
    let names: Vec<String> = store.trunks().await.unwrap().into_iter().map(|trunk| trunk.name).collect();
    assert_eq!(names, ["first", "carrier-a"]);
    assert_eq!(store.trunk("carrier-a").await.unwrap(), Some(trunk.clone()));
    assert!(store.replace_trunk(&Trunk { prefix: None, ..trunk }).await.unwrap());
    assert!(store.delete_trunk("carrier-a").await.unwrap());
    assert_eq!(store.trunk("carrier-a").await.unwrap(), None);
}

#[tokio::test]
async fn calls_keep_their_timeline_within_bounds_and_page_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let writer = Writer::start(store.clone(), WriterSettings::new(clock()));
    writer.save_call(record("one", 10, None), vec![entry(0), entry(1)]).unwrap();
    assert!(writer.flush(LIMIT).await);
    assert_eq!(store.unfinished_calls().await.unwrap(), [record("one", 10, None)]);
    // The same entries again, and far more than are kept.
    writer.save_call(record("one", 10, Some(30)), (0..2_500).map(entry).collect()).unwrap();
    for n in 0..5 {
        writer.save_call(record(&format!("same-{n}"), 20, Some(40)), vec![]).unwrap();
    }
    assert!(writer.flush(LIMIT).await);
    assert_eq!((writer.waiting(), writer.refused(), writer.retries()), (0, 0, 0));
    assert_eq!(store.call("one").await.unwrap(), Some(record("one", 10, Some(30))));
    assert_eq!(store.call("two").await.unwrap(), None);
    let timeline = store.timeline("one").await.unwrap();
    assert_eq!(timeline.len(), MAX_TIMELINE_ENTRIES);
    assert_eq!(timeline[..3], [entry(0), entry(1), entry(2)]);

    let mut seen = Vec::new();
    let mut page = CallPage { limit: 2, after: None };
    loop {
        let calls = store.calls(&page).await.unwrap();
        let Some(last) = calls.last() else { break };
        page.after = Some((last.started, last.id.clone()));
        seen.extend(calls.into_iter().map(|call| call.id));
    }
    assert_eq!(seen, ["same-4", "same-3", "same-2", "same-1", "same-0", "one"]);
}

#[tokio::test]
async fn old_calls_and_settled_events_are_forgotten_running_and_pending_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let patient = Writer::start(store.clone(), WriterSettings::new(clock()));
    for n in 0..10_u64 {
        patient.save_call(record(&format!("c{n}"), n, (n > 0).then_some(n)), vec![entry(0)]).unwrap();
    }
    for seq in 1..=4 {
        patient.try_submit(WriteOp::Event(event(seq)), None).unwrap();
    }
    let settled = |seq, state| WriteOp::Attempt { seq, state, attempts: 1, at: Time::from_micros(9), error: None };
    patient.try_submit(settled(1, EventState::Delivered), None).unwrap();
    patient.try_submit(settled(2, EventState::Dead), None).unwrap();
    patient.try_submit(settled(4, EventState::Delivered), None).unwrap();
    assert!(patient.flush(LIMIT).await);

    let settings =
        WriterSettings { keep_calls: 3, prune_every: Duration::from_millis(5), ..WriterSettings::new(clock()) };
    let _tidy = Writer::start(store.clone(), settings);
    let wanted = (vec!["c9", "c8", "c7", "c0"].into_iter().map(String::from).collect::<Vec<_>>(), vec![3], 4);
    tokio::time::timeout(LIMIT, async {
        loop {
            let calls = store.calls(&CallPage { limit: 100, after: None }).await.unwrap();
            let pending = store.pending_events(0).await.unwrap().into_iter().map(|event| event.seq).collect();
            let found = (calls.into_iter().map(|c| c.id).collect(), pending, store.last_event_seq().await.unwrap());
            let dead = store.events(EventState::Dead, 10).await.unwrap();
            if found == wanted && dead.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert!(store.timeline("c1").await.unwrap().is_empty());
    assert_eq!(store.timeline("c0").await.unwrap().len(), 1);
}

#[tokio::test]
async fn events_are_kept_with_what_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let writer = Writer::start(store.clone(), WriterSettings::new(clock()));
    let told = Arc::new(AtomicBool::new(false));
    let teller = told.clone();
    let done: Done = Box::new(move |result| teller.store(result.is_ok(), Ordering::SeqCst));
    writer.try_submit(WriteOp::Event(event(7)), Some(done)).unwrap();
    let error = Some("503".to_owned());
    let at = Time::from_micros(77);
    writer.try_submit(WriteOp::Attempt { seq: 7, state: EventState::Pending, attempts: 1, at, error }, None).unwrap();
    assert!(writer.flush(LIMIT).await && told.load(Ordering::SeqCst));
    let stored = store.event(7).await.unwrap().unwrap();
    assert_eq!(stored.event, *event(7));
    assert_eq!((stored.state, stored.attempts, stored.next_attempt_at), (EventState::Pending, 1, at));
    assert_eq!((stored.last_error.as_deref(), stored.settled), (Some("503"), None));
    assert_eq!(store.pending_events(6).await.unwrap()[0].attempts, 1);
    assert!(store.pending_events(7).await.unwrap().is_empty());

    // A row that the database refuses for good takes nobody along.
    let failed = Arc::new(AtomicBool::new(false));
    let teller = failed.clone();
    let done: Done = Box::new(move |result| teller.store(result.is_err(), Ordering::SeqCst));
    writer.try_submit(WriteOp::Event(event(8)), None).unwrap();
    writer.try_submit(WriteOp::Event(event(7)), Some(done)).unwrap();
    writer.try_submit(WriteOp::Event(event(9)), None).unwrap();
    assert!(writer.flush(LIMIT).await && failed.load(Ordering::SeqCst));
    assert_eq!(store.pending_events(7).await.unwrap().len(), 2);
    assert_eq!(writer.waiting(), 0);
}

#[tokio::test]
async fn a_locked_database_delays_writes_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = Store::open_with(&path, Duration::from_millis(1)).await.unwrap();
    let settings = WriterSettings { queue: 8, ..WriterSettings::new(clock()) };
    let writer = Writer::start(store.clone(), settings);
    let mut stranger = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut stranger).await.unwrap();

    // Taken without waiting; then the queue is full, and says so.
    let mut taken = 0;
    let mut refused = false;
    for seq in 1..=400 {
        match writer.try_submit(WriteOp::Event(event(seq)), None) {
            Ok(()) => taken += 1,
            Err(QueueFull) => refused = true,
        }
    }
    assert!(taken >= 8 && refused && writer.refused() > 0);
    assert!(!writer.flush(Duration::from_millis(50)).await);
    // Reading goes on, and an operator's request is told to come again.
    assert!(store.rules().await.unwrap().is_empty());
    let busy = store.create_rule(&rule("a", 1)).await.unwrap_err();
    assert!(busy.is_transient(), "{busy:?}");

    tokio::time::timeout(LIMIT, async {
        while writer.retries() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    sqlx::query("ROLLBACK").execute(&mut stranger).await.unwrap();
    assert!(writer.flush(LIMIT).await);
    assert_eq!(store.pending_events(0).await.unwrap().len(), taken);
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = Store::open(&path).await.unwrap();
    let (now, later) = (Time::from_micros(10), Time::from_micros(20));
    let claim = |id: &'static str, print: &'static str, now: Time| {
        let store = store.clone();
        async move { store.claim_request(id, print, now, later).await.unwrap() }
    };
    assert_eq!(claim("r", "f", now).await, Claim::New);
    assert_eq!(claim("r", "f", now).await, Claim::InProgress);
    assert_eq!(claim("r", "g", now).await, Claim::Different);
    store.release_claim("r").await.unwrap();
    assert_eq!(claim("r", "f", now).await, Claim::New);
    let answer =
        RecordedResponse { status: 201, headers: vec![("location".into(), "/x".into())], body: "{\"a\":1}".into() };
    store.record_response("r", &answer).await.unwrap();
    store.release_claim("r").await.unwrap();
    assert_eq!(claim("r", "f", now).await, Claim::Answered(answer.clone()));
    assert_eq!(claim("unanswered", "f", now).await, Claim::New);
    // One of many that come at once is the first.
    let many = (0..8).map(|_| tokio::spawn(claim("many", "f", now))).collect::<Vec<_>>();
    let mut first = 0;
    for claim in many {
        first += usize::from(claim.await.unwrap() == Claim::New);
    }
    assert_eq!(first, 1);

    store.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.claim_request("r", "f", now, later).await.unwrap(), Claim::Answered(answer));
    assert_eq!(store.claim_request("unanswered", "f", now, later).await.unwrap(), Claim::New);
    assert_eq!(store.claim_request("r", "g", later, Time::from_micros(30)).await.unwrap(), Claim::New);
}

#[tokio::test]
async fn a_database_that_does_not_fit_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = Store::open(&path).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&store.write)
    .await
    .unwrap();
    store.close().await;
    let newer = Store::open(&path).await.unwrap_err().to_string();
    assert!(newer.contains("9999") && newer.contains("newer version"), "{newer}");

    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "this is a letter to my aunt, and no database at all".repeat(100)).unwrap();
    let refused = Store::open(&garbage).await.unwrap_err().to_string();
    assert!(refused.contains("garbage.db") && refused.contains("not a database"), "{refused}");
    let nowhere = Store::open(&folder.path().join("no/such/folder/s.db")).await.unwrap_err().to_string();
    assert!(nowhere.contains("no/such/folder"), "{nowhere}");
}
