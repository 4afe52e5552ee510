//! The engine as an operator meets it: starting, settings, rules, calls, stopping, what is left behind.

mod applications;
mod callers;
mod calls;
mod carriers;
mod encrypted;
mod pcap;
mod prompts;
mod rules;
mod starting;
mod stopping;
mod transports;
mod trunks;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use strowger::media::Clip;
use strowger::phone::{Phone, PhoneConfig, PhoneEvent};
use strowger::prompt::{PromptConfig, Prompts, Source};
use strowger::sip::peer::Transport;

use crate::support::{Engine, PATIENCE};

/// A telephone on loopback.
async fn phone() -> Phone {
    phone_with(PhoneConfig::default()).await
}

/// The same with other settings.
async fn phone_with(config: PhoneConfig) -> Phone {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // No two telephones of any test share a seed: their Call-IDs would be the same.
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    seed[8..16].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
    Phone::start_with(IpAddr::V4(Ipv4Addr::LOCALHOST), seed, config).await.expect("a telephone")
}

/// Dials an extension of the engine's.
async fn dial(engine: &Engine, phone: &Phone, extension: &str) {
    let sip = engine.address("sipUdp");
    phone.dial(&format!("sip:{extension}@{sip}"), sip, Transport::Udp).await;
}

/// Calls, and is refused with this status.
async fn refused(engine: &Engine, extension: &str) -> u16 {
    let mut phone = phone().await;
    dial(engine, &phone, extension).await;
    failure(&mut phone).await
}

async fn failure(phone: &mut Phone) -> u16 {
    let failed = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Failed(status, _) => Some(status),
        PhoneEvent::Connected => panic!("the call was answered"),
        _ => None,
    });
    failed.await.expect("a refusal")
}

async fn connected(phone: &mut Phone) {
    let answered = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Connected => Some(()),
        PhoneEvent::Failed(status, phrase) => panic!("refused: {status} {phrase}"),
        _ => None,
    });
    answered.await.expect("an answer");
}

/// Waits for the end of the call: whether the engine ended it, and what was heard.
async fn over(phone: &mut Phone) -> (bool, Vec<i16>) {
    let over = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Over { by_peer, heard } => Some((by_peer, heard)),
        _ => None,
    });
    over.await.expect("the end of the call")
}

/// A list under `/v1`.
async fn list(engine: &Engine, path: &str) -> Vec<Value> {
    let (status, answer) = engine.request("GET", path, None).await;
    assert_eq!(status, 200, "{answer}");
    answer["value"].as_array().expect("a list").clone()
}

/// The newest call.
async fn newest_call(engine: &Engine) -> Value {
    list(engine, "/v1/calls").await.first().expect("a call").clone()
}

/// A call's timeline.
async fn timeline(engine: &Engine, call: &Value) -> Vec<Value> {
    let id = call["id"].as_str().expect("an id");
    let (status, answer) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
    assert_eq!(status, 200, "{answer}");
    answer["entries"].as_array().expect("entries").clone()
}

/// The newest call's entry whose text contains this, once it is there.
async fn entry(engine: &Engine, part: &str) -> Value {
    let found = engine.until(part, async |engine: &Engine| {
        let call = list(engine, "/v1/calls").await.first()?.clone();
        timeline(engine, &call).await.into_iter().find(|e| e["text"].as_str().is_some_and(|text| text.contains(part)))
    });
    found.await
}

/// Waits until no call runs any more.
async fn quiet(engine: &Engine) {
    let quiet = engine.until("the end of all calls", async |engine: &Engine| {
        let calls = list(engine, "/v1/calls").await;
        calls.iter().all(|call| call["state"] == "disconnected").then_some(())
    });
    quiet.await;
}

/// A rule that answers and plays.
fn answering(prompts: &[&str]) -> Value {
    json!({"name": "answer", "priority": 100, "action": {"answer": {"play": prompts}}})
}

/// A prompt that ships, as it sounds.
async fn clip(source: &str) -> Arc<Clip> {
    let prompts = Prompts::new(PromptConfig::default());
    prompts.load(&Source::parse(source).expect("a source")).await.expect("a prompt")
}

/// How much of a prompt was heard, by its loud pieces of 50 ms. A busy machine tears it here and there, and the last
/// words are cut off where the call ends with them; so a piece is looked for by itself, and not all are wanted.
fn share_heard(prompt: &[i16], heard: &[i16]) -> f64 {
    const PIECE: usize = 400;
    let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let pieces = prompt.chunks_exact(PIECE).filter(|piece| energy(piece) > 250_000.0 * PIECE as f64);
    let (mut looked_for, mut found) = (0.0, 0.0);
    let mut from = 0;
    for piece in pieces.step_by(3) {
        looked_for += 1.0;
        // Pieces come in order, and not far from where they should be.
        let window = heard.get(from..heard.len().min(from + 16_000)).unwrap_or_default();
        let like = |at: &usize| {
            let there = &window[*at..at + PIECE];
            let dot: f64 = there.iter().zip(piece).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot > 0.9 * (energy(there) * energy(piece)).sqrt() && dot > 0.0
        };
        if let Some(at) = (0..window.len().saturating_sub(PIECE)).find(like) {
            found += 1.0;
            from += at;
        }
    }
    assert!(looked_for > 0.0, "a prompt that can be heard");
    found / looked_for
}
