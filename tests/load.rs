//! The load generator and a running engine in real time: many calls at once, and what both say of them.

use std::time::Duration;

use serde_json::json;
use strowger::dtmf::{Digit, Way};
use strowger::phone::load::{self, LoadConfig, Outcome, Pressing, Say, faults};
use strowger::random::Random;

use crate::support::Engine;

/// Calls at once. An unoptimised engine on a shared core hears so many callers' tones in time; five hundred are for
/// `benches/load`.
const CALLS: u64 = 12;
/// Keys of each.
const KEYS: usize = 20;

fn config(engine: &Engine, calls: u64) -> LoadConfig {
    LoadConfig {
        target: engine.address("sipUdp"),
        user: "100".to_owned(),
        local: "127.0.0.1".parse().expect("an address"),
        calls,
        rate: 20.0,
        settle: Duration::from_millis(300),
        window: Duration::from_millis(500),
        windows: 2,
        timeout: Duration::from_secs(30),
        say: Say::Nothing,
        pressing: None,
        pids: vec![engine.pid()],
        seed: 7,
        label: "test".to_owned(),
    }
}

async fn place(config: LoadConfig) -> Outcome {
    // No two runs share a seed: their Call-IDs would be the same.
    let random = Random::from_number(u64::from(config.pids[0]));
    tokio::task::spawn_blocking(move || load::place(&config, random)).await.expect("no panic").expect("a run")
}

/// A rule that keeps every caller on the line and listens.
async fn listening_engine() -> Engine {
    let engine = Engine::start(&[]);
    let collect = json!({
        "maxTones": 100, "interToneTimeoutInSeconds": 60, "initialSilenceTimeoutInSeconds": 300, "interruptPrompt": false,
    });
    let action = json!({"answer": {"play": vec!["prompt:demo-menu"; 8], "collect": collect}});
    engine.rule(json!({"name": "listen", "priority": 1, "action": action})).await;
    engine
}

/// Every call is up, is sent its RTP, and is gone afterwards.
#[tokio::test]
async fn calls_at_once_are_answered_and_measured() {
    let engine = listening_engine().await;
    let figures = place(config(&engine, CALLS)).await.figures;
    assert_eq!((figures.answered, figures.failed, figures.held), (CALLS, 0, CALLS), "{figures}");
    assert_eq!((figures.without_rtp, figures.silent, figures.lost), (0, 0, 0), "{figures}");
    assert!(figures.packets > 0 && figures.gap_p99_ms.is_some() && figures.answer_p50_ms.is_some(), "{figures}");
    assert!(figures.cpu_mean.is_some_and(|cpu| cpu > 0.0) && figures.memory_kib.is_some(), "{figures}");
    engine
        .until("all calls end", async |engine| (engine.metric("strowger_calls_active").await == 0.0).then_some(()))
        .await;
}

/// Keys by all three ways, mixed in each call: each arrives once and in order.
#[tokio::test]
async fn digits_of_calls_at_once_arrive_once_and_in_order() {
    let engine = listening_engine().await;
    let pressing = Pressing { count: KEYS, ways: Way::ALL.to_vec(), tone_ms: 100, pause_ms: 200 };
    let outcome = place(LoadConfig { pressing: Some(pressing), ..config(&engine, CALLS) }).await;
    assert_eq!(outcome.presses.len() as u64, CALLS, "{}", outcome.figures);
    let (_, calls) = engine.request("GET", "/v1/calls?top=1000", None).await;
    for call in &outcome.presses {
        assert_eq!(call.pressed.len(), KEYS);
        let wanted = format!("sip:{}@", call.caller);
        let of_it = calls["value"]
            .as_array()
            .expect("calls")
            .iter()
            .find(|c| c["from"].as_str().is_some_and(|from| from.starts_with(&wanted)));
        let id = of_it.expect("the call")["id"].as_str().expect("an id").to_owned();
        let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
        let entries = timeline["entries"].as_array().expect("entries");
        let press = |entry: &serde_json::Value| {
            let (digit, rest) = entry["text"].as_str()?.split_once(' ')?;
            let is_press = entry["kind"] == "dtmf" && rest.starts_with("pressed, by ");
            digit.chars().next().filter(|_| is_press).and_then(Digit::from_char)
        };
        let told: Vec<Digit> = entries.iter().filter_map(press).collect();
        // Keys that the machine tore by standing still are not the engine's fault, and may be heard or not.
        assert_eq!(faults(&call.pressed, &told), 0, "{told:?} for {:?}\n{}", call.pressed, outcome.figures);
    }
}
