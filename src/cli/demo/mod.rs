//! `strowger demo`: shows it all without a phone. An engine starts, a built-in phone calls it over real loopback SIP
//! and RTP, hears a menu and presses keys in all three ways; an application reacts by REST and webhooks, and then has
//! the engine call a second phone. Succeeds only if all of it was seen to happen.

mod application;
mod timeline;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::config::Config;
use crate::dtmf::{Digit, Way};
use crate::engine::Engine;
use crate::phone::{Phone, PhoneEvent, find, write_wav};
use crate::prompt::{PromptConfig, Prompts, Source};
use crate::sip::peer::Transport;
use application::Application;

/// The longest that anything may take before the demo has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How alike what was sent and what was heard must be (1: the same).
const LIKENESS: f64 = 0.95;

const MENU: &str = "prompt:demo-menu";
const THANKS: &str = "prompt:thank-you";

/// What the caller presses, and how.
const PRESSES: [(Digit, Way, &str); 3] = [
    (Digit::One, Way::TelephoneEvent, "RFC 4733 telephone-event"),
    (Digit::Two, Way::InBand, "tones in the audio"),
    (Digit::Zero, Way::Info, "SIP INFO"),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Plays the story; an error says which part did not happen.
pub fn run(mut config: Config) -> Outcome<()> {
    super::serve::start_logging(&Config { log: "error".to_owned(), ..config.clone() });
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    (config.http, config.https, config.sip) = (loopback, loopback, vec![loopback]);
    (config.sip_tls, config.sip_ws, config.sip_wss) = (vec![loopback], Vec::new(), Vec::new());
    config.advertise = Vec::new();
    config.data_dir = config.data_dir.join("demo");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let engine = Engine::start(config).await?;
        let outcome = story(&engine).await;
        engine.stop().await;
        outcome
    });
    match outcome {
        Ok(heard) => {
            println!("\nIt all happened. What the phones heard:");
            heard.iter().for_each(|path| println!("  {}", path.display()));
            println!("\nverdict: PASS");
            Ok(())
        }
        Err(error) => {
            println!("\nverdict: FAIL");
            Err(error)
        }
    }
}

async fn story(engine: &Engine) -> Outcome<Vec<PathBuf>> {
    let sip = engine.listeners().sip_udp;
    let mut application = Application::start(engine).await?;
    let _printer = timeline::print(&application);

    say("An application subscribes to incoming calls, and a rule gives it every call.");
    application.subscribe().await?;

    say("A phone calls the engine.");
    let mut caller = Phone::start(loopback(), seed()?).await?;
    caller.dial(&format!("sip:100@{sip}"), sip, Transport::Udp).await;
    let incoming = application.expect("IncomingCall").await?;
    let context = incoming["incomingCallContext"].clone();

    say("The application answers.");
    let call = application.post("/calling/callConnections:answer", json!({"incomingCallContext": context})).await?;
    let call = application.path_of(&call)?;
    application.expect("CallConnected").await?;
    connected(&mut caller).await?;

    let caller_id = incoming["from"].clone();
    let menu = clip(MENU).await?;
    for (round, (digit, way, words)) in PRESSES.into_iter().enumerate() {
        application
            .post(
                &format!("{call}:recognize"),
                json!({
                    "recognizeInputType": "dtmf",
                    "playPrompts": [{"kind": "file", "file": {"uri": MENU}}],
                    "recognizeOptions": {
                        "targetParticipant": caller_id,
                        "interruptPrompt": true,
                        "dtmfOptions": {"maxTonesToCollect": 1},
                    },
                }),
            )
            .await?;
        application.expect("PlayStarted").await?;
        if round == 0 {
            // The first time the caller hears the menu to its end; then he knows it and presses at once.
            tokio::time::sleep(menu.duration()).await;
        }
        say(&format!("The caller presses {} by {words}.", digit.as_char()));
        caller.press(digit, way).await;
        let completed = application.expect("RecognizeCompleted").await?;
        let heard = &completed["dtmfResult"]["tones"];
        if *heard != json!([digit.tone_name()]) {
            return Err(format!("the application was told {heard}, not {}", digit.tone_name()).into());
        }
    }

    say("The application says goodbye and hangs up.");
    play(&mut application, &call, "prompt:goodbye").await?;
    application.post(&format!("{call}:terminate"), json!(null)).await?;
    application.expect("CallDisconnected").await?;
    let first = over(&mut caller).await?;
    let first = checked(engine, "the caller", "caller.wav", &first, menu.samples())?;

    say("The application has the engine call a second phone.");
    let mut callee = Phone::start(loopback(), seed()?).await?;
    let target = json!([{"kind": "unknown", "rawId": callee.uri()}]);
    let call = application.post("/calling/callConnections", json!({"targets": target})).await?;
    let call = application.path_of(&call)?;
    connected(&mut callee).await?;
    application.expect("CallConnected").await?;
    play(&mut application, &call, THANKS).await?;

    say("The second phone hangs up.");
    callee.hang_up().await;
    application.expect("CallDisconnected").await?;
    let second = over(&mut callee).await?;
    let second = checked(engine, "the callee", "callee.wav", &second, clip(THANKS).await?.samples())?;
    Ok(vec![first, second])
}

fn say(line: &str) {
    println!("\n{line}");
}

fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

fn seed() -> Outcome<[u8; 32]> {
    Ok(crate::engine::entropy()?)
}

async fn clip(source: &str) -> Outcome<std::sync::Arc<crate::media::Clip>> {
    Ok(Prompts::new(PromptConfig::default()).load(&Source::parse(source)?).await?)
}

async fn play(application: &mut Application, call: &str, prompt: &str) -> Outcome<()> {
    let wish = json!({"playSources": [{"kind": "file", "file": {"uri": prompt}}], "playTo": []});
    application.post(&format!("{call}:play"), wish).await?;
    application.expect("PlayCompleted").await?;
    Ok(())
}

async fn connected(phone: &mut Phone) -> Outcome<()> {
    let failed = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Connected => Some(None),
        PhoneEvent::Failed(status, phrase) => Some(Some(format!("the call failed: {status} {phrase}"))),
        _ => None,
    });
    match failed.await {
        Some(None) => Ok(()),
        Some(Some(problem)) => Err(problem.into()),
        None => Err("the phone was not connected in time".into()),
    }
}

async fn over(phone: &mut Phone) -> Outcome<Vec<i16>> {
    let heard = phone.wait(PATIENCE, |event| match event {
        PhoneEvent::Over { heard, .. } => Some(heard),
        _ => None,
    });
    heard.await.ok_or_else(|| "the phone's call did not end in time".into())
}

/// Keeps what a phone heard, and looks for the prompt in it.
fn checked(engine: &Engine, who: &str, file: &str, heard: &[i16], prompt: &[i16]) -> Outcome<PathBuf> {
    let path = engine.data_dir().join(file);
    write_wav(&path, heard)?;
    let (likeness, at) = find(prompt, heard).ok_or("nothing was heard")?;
    println!("{who} heard the prompt after {} ms (likeness {likeness:.3})", at.max(0) / 8);
    if likeness < LIKENESS {
        return Err(format!("what {who} heard is not what was played: see {}", path.display()).into());
    }
    Ok(path)
}
