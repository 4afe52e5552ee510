//! Tests of the room's front: one load for many, the cache, uploads.

use super::fetch::tests::Server;
use super::*;

fn tone() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/audio/mono-44k.mp3")).unwrap()
}

fn open() -> PromptConfig {
    PromptConfig { fetch: FetchConfig { allow_private: true, ..FetchConfig::default() }, ..PromptConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_cost_one_fetch() {
    let server = Server::start(tone()).await;
    let prompts = Prompts::new(open());
    let source = Source::File(server.url("slow-ok"));
    let mut loads = Vec::new();
    for _ in 0..50 {
        let (prompts, source) = (prompts.clone(), source.clone());
        loads.push(tokio::spawn(async move { prompts.load(&source).await.unwrap() }));
    }
    let mut clips = Vec::new();
    for load in loads {
        clips.push(load.await.unwrap());
    }
    assert!(clips.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])), "all share one clip");
    assert!(Arc::ptr_eq(&clips[0], &prompts.load(&source).await.unwrap()));
    assert_eq!(server.seen(), 1);
    assert_eq!(prompts.loading(), 0);
    assert_eq!(prompts.cached().1, 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_and_not_kept() {
    let server = Server::start(b"this is not audio".to_vec()).await;
    let prompts = Prompts::new(open());
    let source = Source::File(server.url("ok"));
    let (first, second) = tokio::join!(prompts.load(&source), prompts.load(&source));
    assert_eq!(first.as_ref().unwrap_err().failure(), Failure::BadFormat);
    assert_eq!(first.unwrap_err(), second.unwrap_err());
    assert_eq!(server.seen(), 1);
    assert!(prompts.load(&source).await.is_err());
    assert_eq!(server.seen(), 2, "the next play tries again");
    let missing = prompts.load(&Source::File(server.url("missing"))).await.unwrap_err();
    assert_eq!((missing.failure(), missing.sub_code()), (Failure::DownloadFailed, 8536));
    assert_eq!((prompts.loading(), prompts.cached()), (0, (0, 0)));
}

#[tokio::test]
async fn loads_are_bounded_and_go_on_when_nobody_waits() {
    let server = Server::start(tone()).await;
    let prompts = Prompts::new(PromptConfig { loads: 1, ..open() });
    let hanging = Source::File(server.url("hang"));
    // Asked for once and dropped: the load is under way.
    assert!(tokio::time::timeout(Duration::ZERO, prompts.load(&hanging)).await.is_err());
    assert_eq!(prompts.loading(), 1);
    let error = prompts.load(&Source::parse("prompt:welcome").unwrap()).await.unwrap_err();
    assert_eq!(error, PromptError::Busy { limit: 1 });
}

#[tokio::test]
async fn age_makes_a_source_be_read_again() {
    let server = Server::start(tone()).await;
    let prompts = Prompts::new(PromptConfig { cache_age: Duration::ZERO, ..open() });
    let source = Source::File(server.url("ok"));
    prompts.load(&source).await.unwrap();
    prompts.load(&source).await.unwrap();
    assert_eq!(server.seen(), 2);
}

#[tokio::test]
async fn an_upload_is_checked_heard_at_once_and_gone_when_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = Prompts::new(PromptConfig { directory: Some(folder.path().join("prompts")), ..open() });
    let (name, source) = (Name::parse("welcome").unwrap(), Source::parse("prompt:welcome").unwrap());
    let shipped = prompts.load(&source).await.unwrap();
    assert!(Arc::ptr_eq(&shipped, &prompts.load(&Source::parse("prompt:en/welcome").unwrap()).await.unwrap()));

    let error = prompts.put(&name, Bytes::from_static(b"<html>")).await.unwrap_err();
    assert_eq!(error.failure(), Failure::BadFormat);
    assert_eq!(prompts.get(&name).await.unwrap().0.origin, Origin::Shipped, "what is not audio is not stored");

    let info = prompts.put(&name, tone().into()).await.unwrap();
    assert_eq!((info.content_type, info.origin), ("audio/mpeg", Origin::Uploaded));
    assert_eq!(info.duration.unwrap().as_millis(), 500);
    assert_eq!(prompts.get(&name).await.unwrap().1, tone());
    let mine = prompts.load(&source).await.unwrap();
    assert_eq!((mine.units(), mine.rate_hz()), (4000, 48_000));
    assert!(prompts.list().await.unwrap().iter().any(|info| info.name == name && info.origin == Origin::Uploaded));

    prompts.delete(&name).await.unwrap();
    assert_eq!(prompts.load(&source).await.unwrap().samples(), shipped.samples());
    assert_eq!(prompts.delete(&name).await, Err(PromptError::Shipped(name)));
}

#[test]
fn messages_say_what_where_and_what_to_do() {
    let error = Source::parse("ftp://example.com/a.wav").unwrap_err();
    assert_eq!(
        error.to_string(),
        "'ftp://example.com/a.wav' is not a play source: ftp: is not supported. Give an http(s) URL or prompt:name"
    );
    let error = PromptError::NotFound(Name::parse("menu").unwrap());
    assert!(error.to_string().contains("GET /v1/prompts"), "{error}");
}
