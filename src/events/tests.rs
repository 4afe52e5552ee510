//! The outbox against web servers on loopback: order, retries, hangs, restarts, a locked database, bounds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify as Signal, mpsc};

use super::*;
use crate::random::Random;
use crate::store::{Clock, EventState, Store, Writer, WriterSettings};
use crate::time::Time;

/// For what must come; nothing waits for it where all is well.
const LIMIT: Duration = Duration::from_secs(60);

/// What the server does with a request.
enum Reply {
    Status(u16, &'static str, String),
    /// No answer, ever.
    Hang,
    /// The connection is closed at once.
    Close,
    /// 200 with a body that never ends.
    Endless,
}

fn ok() -> Reply {
    Reply::Status(200, "", String::new())
}

#[derive(Clone, Debug)]
struct Received {
    path: String,
    headers: HashMap<String, String>,
    body: Value,
}

impl Received {
    fn n(&self) -> u64 {
        self.body[0]["n"].as_u64().unwrap()
    }
}

/// A web server that answers as it is told and keeps what it got.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    arrived: Arc<Signal>,
}

impl Server {
    async fn start(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Server { address: listener.local_addr().unwrap(), received: Arc::default(), arrived: Arc::default() };
        let (received, arrived, answer) = (server.received.clone(), server.arrived.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (received, arrived, answer) = (received.clone(), arrived.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut stream = stream;
                    while let Some(request) = read_request(&mut stream).await {
                        let before = {
                            let mut all = received.lock().unwrap();
                            let before = all.iter().filter(|r| r.body == request.body).count();
                            all.push(request.clone());
                            before
                        };
                        arrived.notify_waiters();
                        match answer(&request, before) {
                            Reply::Status(status, header, body) => {
                                let head =
                                    format!("HTTP/1.1 {status} X\r\n{header}content-length: {}\r\n\r\n", body.len());
                                if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                                    return;
                                }
                            }
                            Reply::Hang => std::future::pending().await,
                            Reply::Close => return,
                            Reply::Endless => {
                                let _ =
                                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
                                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                                return;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until this holds of what was received.
    async fn until(&self, holds: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        tokio::time::timeout(LIMIT, async {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let all = self.all();
                if holds(&all) {
                    return all;
                }
                arrived.await;
            }
        })
        .await
        .expect("what was waited for never came")
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut raw = Vec::new();
    let head = loop {
        if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(raw[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while raw.len() < head + 4 + length {
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { path, headers, body: serde_json::from_slice(&raw[head + 4..head + 4 + length]).ok()? })
}

fn quick() -> OutboxSettings {
    OutboxSettings {
        timeout: Duration::from_secs(20),
        first_delay: Duration::from_millis(2),
        max_delay: Duration::from_millis(8),
        ..OutboxSettings::default()
    }
}

struct Bench {
    store: Store,
    writer: Writer,
    outbox: Outbox,
    notices: mpsc::UnboundedReceiver<DeliveryNotice>,
}

impl Bench {
    async fn start(path: &Path, settings: OutboxSettings) -> Bench {
        Bench::start_at(path, settings, Time::from_micros(1_000_000_000)).await
    }

    async fn start_at(path: &Path, settings: OutboxSettings, now: Time) -> Bench {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock: Clock = Arc::new(move || now);
        let store = Store::open_with(path, Duration::from_millis(1)).await.unwrap();
        let writer = Writer::start(store.clone(), WriterSettings::new(clock.clone()));
        let (sender, notices) = mpsc::unbounded_channel();
        let notify: Notify = Arc::new(move |notice| drop(sender.send(notice)));
        let client = webhook_client(&[]).unwrap();
        let random = Random::from_number(7);
        let outbox =
            Outbox::start(store.clone(), writer.clone(), client, settings, clock, random, notify).await.unwrap();
        Bench { store, writer, outbox, notices }
    }

    fn post(&self, key: &str, url: String, n: u64) -> i64 {
        self.outbox.post(event(key, url, n)).unwrap()
    }

    async fn notice(&mut self) -> DeliveryNotice {
        tokio::time::timeout(LIMIT, self.notices.recv()).await.expect("no notice came").unwrap()
    }

    /// Waits until nothing is pending any more, and all of that is written.
    async fn settled(&self) {
        tokio::time::timeout(LIMIT, async {
            while self.outbox.pending() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("events stay pending");
        assert!(self.writer.flush(LIMIT).await);
    }
}

fn event(key: &str, url: String, n: u64) -> OutgoingEvent {
    OutgoingEvent::callback(key, format!("id-{n}"), "Microsoft.Communication.CallConnected", url, json!([{"n": n}]))
}

#[tokio::test]
async fn a_callback_arrives_as_posted_and_is_told_about() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| ok()).await;
    let mut bench = Bench::start(&folder.path().join("s.db"), quick()).await;
    let seq = bench.post("call-1", server.url("/cb?code=s3cret"), 1);
    let body = json!([{"n": 2}]);
    let grid = OutgoingEvent::notification("call-1", "id-2", "IncomingCall", "my-app", server.url("/grid"), body);
    bench.outbox.post(grid).unwrap();
    let received = server.until(|all| all.len() == 2).await;
    assert_eq!(received[0].path, "/cb?code=s3cret");
    assert_eq!(received[0].body, json!([{"n": 1}]));
    assert_eq!(received[0].headers["content-type"], "application/json; charset=utf-8");
    assert!(!received[0].headers.contains_key("aeg-event-type"));
    assert_eq!(received[1].headers["aeg-event-type"], "Notification");
    assert_eq!(received[1].headers["aeg-subscription-name"], "MY-APP");
    let notice = bench.notice().await;
    assert_eq!((notice.seq, notice.key.as_str(), notice.event_id.as_str()), (seq, "call-1", "id-1"));
    assert_eq!((notice.attempt, notice.status, &notice.outcome), (1, Some(200), &DeliveryOutcome::Delivered));
    assert_eq!(notice.url, server.url("/cb"));
    bench.settled().await;
    assert_eq!(bench.store.event(seq).await.unwrap().unwrap().state, EventState::Delivered);
}

#[tokio::test]
async fn a_failing_webhook_is_tried_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    // Each event fails in another way, twice, before it is taken.
    let server = Server::start(|request, before| match (before, request.n()) {
        (2.., _) => ok(),
        (_, 1) => Reply::Status(500, "", "out of order".into()),
        (_, 2) => Reply::Close,
        (_, 3) => Reply::Status(429, "retry-after: 0\r\n", String::new()),
        (_, 4) => Reply::Status(404, "", String::new()),
        _ => Reply::Status(408, "", String::new()),
    })
    .await;
    let mut bench = Bench::start(&folder.path().join("s.db"), quick()).await;
    for n in 1..=5 {
        bench.post("call", server.url("/"), n);
    }
    bench.settled().await;
    let order: Vec<u64> = server.all().iter().map(Received::n).collect();
    // A request on a connection that closes may be sent anew by the HTTP client itself: 2 comes three times or more.
    let mut taken = order.clone();
    taken.dedup();
    assert_eq!(taken, [1, 2, 3, 4, 5], "{order:?}");
    assert!(order.iter().filter(|n| **n == 1).count() == 3);
    let first = bench.notice().await;
    match first.outcome {
        DeliveryOutcome::Retry { error, after } => {
            assert!(error.contains("500") && error.contains("out of order"), "{error}");
            assert!(after >= Duration::from_micros(1_500) && after <= Duration::from_micros(2_500), "{after:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(bench.outbox.list_dead(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn order_is_kept_per_key_while_keys_go_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    // Now and then a failure, so that retries mix with first attempts.
    let server = Server::start(|request, before| match before == 0 && request.n() % 7 == 0 {
        true => Reply::Status(503, "", String::new()),
        false => ok(),
    })
    .await;
    let bench = Bench::start(&folder.path().join("s.db"), quick()).await;
    for n in 0..20 {
        for key in 0..25 {
            bench.post(&format!("k{key}"), server.url(&format!("/k{key}")), key * 1_000 + n);
        }
    }
    bench.settled().await;
    let mut of: HashMap<String, Vec<u64>> = HashMap::new();
    for request in server.all() {
        of.entry(request.path.clone()).or_default().push(request.n() % 1_000);
    }
    assert_eq!(of.len(), 25);
    for (key, mut order) in of {
        order.dedup();
        assert_eq!(order, (0..20).collect::<Vec<_>>(), "{key}");
    }
}

#[tokio::test]
async fn a_hung_webhook_is_cut_and_delays_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let hung = Server::start(|_, _| Reply::Hang).await;
    let fine = Server::start(|_, _| ok()).await;
    let path = folder.path().join("s.db");
    // The hung ones would be cut after a minute: what comes before that did not wait for them.
    let patient = OutboxSettings { timeout: LIMIT, concurrency: 16, per_host: 4, ..quick() };
    let bench = Bench::start(&path, patient).await;
    for n in 0..50 {
        bench.post(&format!("hung-{n}"), hung.url("/"), n);
        bench.post(&format!("fine-{n}"), fine.url("/"), n);
    }
    let cb = tokio::time::timeout(LIMIT / 2, fine.until(|all| all.len() == 50)).await;
    assert!(cb.is_ok());
    // No more than its share.
    assert!(hung.all().len() <= 4);
    drop(bench);

    let folder = tempfile::tempdir().unwrap();
    let brisk = OutboxSettings { timeout: Duration::from_millis(20), max_attempts: 2, ..quick() };
    let mut bench = Bench::start(&folder.path().join("s.db"), brisk).await;
    bench.post("call", hung.url("/"), 1);
    match bench.notice().await.outcome {
        DeliveryOutcome::Retry { error, .. } => assert_eq!(error, "no answer within 20 ms"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(bench.notice().await.outcome, DeliveryOutcome::Dead { .. }));
}

#[tokio::test]
async fn an_answer_without_end_is_still_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::Endless).await;
    let mut bench = Bench::start(&folder.path().join("s.db"), quick()).await;
    bench.post("call", server.url("/"), 1);
    assert_eq!(bench.notice().await.outcome, DeliveryOutcome::Delivered);
}

#[tokio::test]
async fn what_is_pending_at_the_end_is_delivered_in_order_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = down.local_addr().unwrap();
    drop(down);
    let slow = OutboxSettings { first_delay: LIMIT, max_delay: LIMIT, ..quick() };
    let mut bench = Bench::start(&path, slow).await;
    for n in 1..=5 {
        bench.post("a", format!("http://{address}/a"), n);
        bench.post("b", format!("http://{address}/b"), 100 + n);
    }
    // Each key's first event has failed; nothing else was tried, and flushing does not wait for the retry.
    for _ in 0..2 {
        let notice = bench.notice().await;
        assert!(matches!(notice.outcome, DeliveryOutcome::Retry { .. }) && notice.status.is_none(), "{notice:?}");
    }
    assert_eq!(bench.outbox.flush(LIMIT).await, 10);
    bench.store.close().await;
    drop(bench);

    let server = Server::start(|_, _| ok()).await;
    let store = Store::open(&path).await.unwrap();
    // The application is back, elsewhere.
    for path in ["a", "b"] {
        sqlx::query("UPDATE events SET url = $1 WHERE key = $2")
            .bind(server.url(&format!("/{path}")))
            .bind(path)
            .execute(&store.write_pool())
            .await
            .unwrap();
    }
    store.close().await;
    let bench = Bench::start(&path, quick()).await;
    bench.post("a", server.url("/a"), 6);
    bench.settled().await;
    let all = server.all();
    let of = |path: &str| all.iter().filter(|r| r.path == path).map(Received::n).collect::<Vec<_>>();
    assert_eq!(of("/a"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(of("/b"), [101, 102, 103, 104, 105]);
    let delivered = bench.store.events(EventState::Delivered, 100).await.unwrap();
    assert_eq!(delivered.len(), 11);
    // The attempt before the restart counts.
    assert_eq!(delivered.iter().find(|e| e.event.id == "id-1").unwrap().attempts, 2);
}

#[tokio::test]
async fn an_event_is_given_up_after_its_bound_and_visible_and_the_next_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let server = Server::start(|request, _| match request.n() {
        1 => Reply::Status(500, "", "broken".into()),
        2 => Reply::Status(410, "", "gone".into()),
        3 => Reply::Status(302, "location: http://127.0.0.1:1/\r\n", String::new()),
        _ => ok(),
    })
    .await;
    let settings = OutboxSettings { max_attempts: 5, max_refused_attempts: 2, ..quick() };
    let bench = Bench::start(&path, settings).await;
    for n in 1..=4 {
        bench.post("call", server.url("/"), n);
    }
    bench.settled().await;
    let order: Vec<u64> = server.all().iter().map(Received::n).collect();
    assert_eq!(order, [1, 1, 1, 1, 1, 2, 2, 3, 3, 4]);
    let dead = bench.outbox.list_dead(10).await.unwrap();
    let told: Vec<_> =
        dead.iter().map(|e| (e.event.id.as_str(), e.attempts, e.last_error.as_deref().unwrap())).collect();
    assert_eq!(
        told.iter().map(|(id, attempts, _)| (*id, *attempts)).collect::<Vec<_>>(),
        [("id-3", 2), ("id-2", 2), ("id-1", 5)]
    );
    assert!(told[1].2.contains("410") && told[1].2.contains("gone"), "{told:?}");
    assert!(told[2].2.contains("500") && told[2].2.contains("broken"), "{told:?}");
    drop(bench);

    // Older than its bound: one more attempt, then it is dead.
    let day_later = Time::from_micros(1_000_000_000) + Duration::from_secs(86_400);
    let store = Store::open(&path).await.unwrap();
    sqlx::query("UPDATE events SET state = 'pending', attempts = 0 WHERE id = 'id-1'")
        .execute(&store.write_pool())
        .await
        .unwrap();
    store.close().await;
    let mut bench = Bench::start_at(&path, quick(), day_later).await;
    let notice = bench.notice().await;
    assert!(matches!(notice.outcome, DeliveryOutcome::Dead { .. }) && notice.attempt == 1, "{notice:?}");
    bench.settled().await;
}

#[tokio::test]
async fn a_locked_database_holds_events_back_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let server = Server::start(|_, _| ok()).await;
    let bench = Bench::start(&path, quick()).await;
    let mut stranger = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut stranger).await.unwrap();
    for n in 1..=100 {
        bench.post("call", server.url("/"), n);
    }
    tokio::time::timeout(LIMIT, async {
        while bench.writer.retries() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    // Nothing is sent that is not kept.
    assert!(server.all().is_empty());
    assert_eq!(bench.outbox.pending(), 100);
    sqlx::query("ROLLBACK").execute(&mut stranger).await.unwrap();
    bench.settled().await;
    assert_eq!(server.all().iter().map(Received::n).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let hung = Server::start(|_, _| Reply::Hang).await;
    let settings = OutboxSettings { max_tracked: 3, ..quick() };
    let bench = Bench::start(&folder.path().join("s.db"), settings).await;
    let large = OutgoingEvent { body: json!("x".repeat(300_000)), ..event("call", hung.url("/"), 1) };
    assert_eq!(bench.outbox.post(large), Err(PostError::TooLarge(300_002)));
    for url in ["", "/cb", "ftp://a/b", "http://", "mailto:a@b"] {
        assert!(matches!(bench.outbox.post(event("call", url.into(), 1)), Err(PostError::Invalid(_))), "{url}");
    }
    let split = OutgoingEvent { headers: vec![("x".into(), "a\r\nb: c".into())], ..event("call", hung.url("/"), 1) };
    assert!(matches!(bench.outbox.post(split), Err(PostError::Invalid(_))));
    for n in 1..=3 {
        bench.post("call", hung.url("/"), n);
    }
    assert_eq!(bench.outbox.post(event("call", hung.url("/"), 4)), Err(PostError::Full));
    assert_eq!(bench.outbox.pending(), 3);
    hung.until(|all| all.len() == 1).await;
    // An event in flight is not waited for beyond the limit.
    assert_eq!(bench.outbox.flush(Duration::from_millis(20)).await, 3);
}

#[tokio::test]
async fn who_is_told_may_panic_and_no_key_stands_still() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| ok()).await;
    let clock: Clock = Arc::new(|| Time::from_micros(1_000_000_000));
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let writer = Writer::start(store.clone(), WriterSettings::new(clock.clone()));
    let first = std::sync::atomic::AtomicBool::new(true);
    let notify: Notify =
        Arc::new(move |_| assert!(!first.swap(false, std::sync::atomic::Ordering::SeqCst), "on purpose"));
    let client = webhook_client(&[]).unwrap();
    let random = Random::from_number(7);
    let outbox = Outbox::start(store, writer, client, quick(), clock, random, notify).await.unwrap();
    outbox.post(event("call", server.url("/"), 1)).unwrap();
    outbox.post(event("call", server.url("/"), 2)).unwrap();
    let all = server.until(|all| all.iter().any(|r| r.n() == 2)).await;
    assert_eq!(all[0].n(), 1);
}

#[tokio::test]
async fn flushing_waits_for_what_can_still_be_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| ok()).await;
    let bench = Bench::start(&folder.path().join("s.db"), quick()).await;
    for n in 0..200 {
        bench.post(&format!("k{}", n % 10), server.url("/"), n);
    }
    assert_eq!(bench.outbox.flush(LIMIT).await, 0);
    assert_eq!(server.all().len(), 200);
    assert_eq!(bench.store.events(EventState::Delivered, 1_000).await.unwrap().len(), 200);
}

#[tokio::test]
async fn the_handshake_is_shaken_with_a_real_endpoint() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start(|request, _| {
        let code = request.body[0]["data"]["validationCode"].as_str().unwrap();
        match request.path.as_str() {
            "/good" => Reply::Status(200, "", json!({"validationResponse": code}).to_string()),
            "/later" => ok(),
            "/wrong" => Reply::Status(200, "", json!({"validationResponse": "x"}).to_string()),
            _ => Reply::Status(401, "", "who are you".into()),
        }
    })
    .await;
    let client = webhook_client(&[]).unwrap();
    let request = |path: &str| ValidationRequest {
        subscription: "my-app".into(),
        endpoint: server.url(path),
        code: "c0de".into(),
        validation_url: "https://localhost/validate?id=1".into(),
        event_id: "e".into(),
    };
    assert_eq!(validate(&client, &request("/good"), Time::EPOCH).await, Ok(Handshake::Validated));
    assert_eq!(validate(&client, &request("/later"), Time::EPOCH).await, Ok(Handshake::Pending));
    assert!(matches!(validate(&client, &request("/wrong"), Time::EPOCH).await, Err(HandshakeError::WrongCode { .. })));
    let refused = validate(&client, &request("/other"), Time::EPOCH).await.unwrap_err().to_string();
    assert!(refused.contains("401") && refused.contains("who are you"), "{refused}");
    let sent = &server.all()[0];
    assert_eq!(sent.headers["aeg-event-type"], "SubscriptionValidation");
    assert_eq!(sent.body[0]["eventType"], "Microsoft.EventGrid.SubscriptionValidationEvent");
    assert_eq!(sent.body[0]["data"]["validationUrl"], "https://localhost/validate?id=1");
    let nobody = ValidationRequest { endpoint: "http://127.0.0.1:1/".into(), ..request("/") };
    let unreachable = validate(&client, &nobody, Time::EPOCH).await.unwrap_err();
    assert!(matches!(unreachable, HandshakeError::Unreachable(_)) && unreachable.to_string().contains("refused"));
}
