//! The official Azure SDKs, unmodified, against the engine over https with its connection string.
//!
//! A story is an application in the SDK's language (`python/NAME.py`, `node/NAME.mjs`) with a webhook of its own; it
//! runs as a process and judges what it sees. The far end of its calls are phones here, which it works by lines of
//! JSON: `far_end`. A story fails if its process does, or if it did not make the requests that it is there for.

mod far_end;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Engine, PATIENCE};
use far_end::FarEnd;

/// Each story, with the requests that both SDKs must make in it.
const STORIES: &[(&str, &[&str])] = &[
    (
        "outgoing",
        &[
            "POST /calling/callConnections",
            "GET /calling/callConnections/{callConnectionId}",
            "GET /calling/callConnections/{callConnectionId}/participants",
            "GET /calling/callConnections/{callConnectionId}/participants/{participantRawId}",
            "POST /calling/callConnections/{callConnectionId}:terminate",
            "DELETE /calling/callConnections/{callConnectionId}",
        ],
    ),
    (
        "play",
        &[
            "POST /calling/callConnections/{callConnectionId}:play",
            "POST /calling/callConnections/{callConnectionId}:cancelAllMediaOperations",
        ],
    ),
    ("recognize", &["POST /calling/callConnections/{callConnectionId}:recognize"]),
    (
        "tones",
        &[
            "POST /calling/callConnections/{callConnectionId}:startContinuousDtmfRecognition",
            "POST /calling/callConnections/{callConnectionId}:stopContinuousDtmfRecognition",
            "POST /calling/callConnections/{callConnectionId}:sendDtmfTones",
        ],
    ),
    (
        "incoming",
        &[
            "POST /calling/callConnections:answer",
            "POST /calling/callConnections:redirect",
            "POST /calling/callConnections:reject",
        ],
    ),
    (
        "refusals",
        &[
            "POST /calling/callConnections:connect",
            "POST /calling/callConnections/{callConnectionId}/participants:add",
            "POST /calling/callConnections/{callConnectionId}/participants:remove",
            "POST /calling/callConnections/{callConnectionId}/participants:mute",
            "POST /calling/callConnections/{callConnectionId}/participants:cancelAddParticipant",
            "POST /calling/callConnections/{callConnectionId}/participants:moveHere",
            "POST /calling/callConnections/{callConnectionId}:hold",
            "POST /calling/callConnections/{callConnectionId}:unhold",
            "POST /calling/callConnections/{callConnectionId}:startMediaStreaming",
            "POST /calling/callConnections/{callConnectionId}:stopMediaStreaming",
            "POST /calling/callConnections/{callConnectionId}:startTranscription",
            "POST /calling/callConnections/{callConnectionId}:stopTranscription",
            "POST /calling/callConnections/{callConnectionId}:updateTranscription",
            "POST /calling/recordings",
            "GET /calling/recordings/{recordingId}",
            "DELETE /calling/recordings/{recordingId}",
            "POST /calling/recordings/{recordingId}:pause",
            "POST /calling/recordings/{recordingId}:resume",
        ],
    ),
    ("repeated", &["POST /calling/callConnections"]),
    ("transfer", &["POST /calling/callConnections/{callConnectionId}:transferToParticipant"]),
];

macro_rules! stories {
    ($($story:ident)*) => {
        mod python {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::tell(super::Sdk::Python, stringify!($story)).await;
            })*
        }

        mod javascript {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::tell(super::Sdk::JavaScript, stringify!($story)).await;
            })*
        }

        #[test]
        fn every_story_is_told() {
            assert_eq!(STORIES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [$(stringify!($story)),*]);
        }
    };
}

stories! { outgoing play recognize tones incoming refusals repeated transfer }

/// Every operation of the automation API is in some story.
#[test]
fn no_operation_is_left_out() {
    let document = std::fs::read_to_string(root().join("tests/data/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut served = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|_| path.starts_with("/calling/")) {
            served.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let told: BTreeSet<_> = STORIES.iter().flat_map(|(_, requests)| *requests).map(|one| (*one).to_owned()).collect();
    assert_eq!(told, served);
}

#[derive(Clone, Copy, Debug)]
enum Sdk {
    Python,
    JavaScript,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Sdk {
    /// The command that tells a story.
    fn command(self, story: &str) -> Command {
        let (program, installed, script) = match self {
            Sdk::Python => {
                let python = root().join("target/peers/python/bin/python");
                (python.clone(), python, format!("tests/peers/python/{story}.py"))
            }
            Sdk::JavaScript => {
                let sdk = root().join("tests/peers/node/node_modules/@azure/communication-call-automation");
                (PathBuf::from("node"), sdk, format!("tests/peers/node/{story}.mjs"))
            }
        };
        assert!(installed.exists(), "{} is missing: tests/run.sh installs it", installed.display());
        let mut command = Command::new(program);
        command.arg(root().join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

async fn tell(sdk: Sdk, story: &str) {
    // The applications serve prompts themselves, on loopback.
    let engine = Engine::start(&["--prompt-allow-private", "true"]);
    let mut application = Application::start(sdk, story, &engine);
    let mut far_end = FarEnd::new(&engine);
    let mut requests = BTreeSet::new();
    while let Some(line) = application.line().await {
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            println!("{line}");
            continue;
        };
        if let Some(request) = said["request"].as_str() {
            requests.insert(template(request));
        } else {
            let answer = match far_end.carry_out(&said).await {
                Ok(answer) => json!({ "ok": answer }),
                Err(problem) => json!({ "error": problem }),
            };
            application.answer(&answer);
        }
    }
    if !application.process.wait().expect("an exit status").success() {
        show_timelines(&engine).await;
        panic!("{sdk:?} {story}: see its words above");
    }
    let wanted = STORIES.iter().find(|(name, _)| *name == story).expect("a known story").1;
    let missing: Vec<_> = wanted.iter().filter(|one| !requests.contains(**one)).collect();
    assert!(missing.is_empty(), "{sdk:?} {story} never asked for {missing:?}; it asked for {requests:#?}");
}

/// What the engine knows of its calls, for whoever looks into a failure.
async fn show_timelines(engine: &Engine) {
    let (_, calls) = engine.request("GET", "/v1/calls", None).await;
    for call in calls["value"].as_array().into_iter().flatten() {
        println!("{} {} {}", call["id"], call["from"], call["to"]);
        let path = format!("/v1/calls/{}/timeline", call["id"].as_str().unwrap_or_default());
        let (_, timeline) = engine.request("GET", &path, None).await;
        for entry in timeline["entries"].as_array().into_iter().flatten() {
            println!("  {} {} {}", entry["at"], entry["kind"], entry["text"]);
        }
    }
}

/// A request line with the names of its parameters in the place of their values.
fn template(request: &str) -> String {
    let mut line = request.to_owned();
    for (before, name) in [
        ("/calling/callConnections/", "{callConnectionId}"),
        ("/participants/", "{participantRawId}"),
        ("/calling/recordings/", "{recordingId}"),
    ] {
        if let Some(start) = line.find(before).map(|at| at + before.len()) {
            // A raw id may hold colons, and has nothing behind it.
            let ends = |c: char| c == '/' || (c == ':' && before != "/participants/");
            let end = line[start..].find(ends).map_or(line.len(), |length| start + length);
            line.replace_range(start..end, name);
        }
    }
    line
}

#[test]
fn requests_are_known_by_their_templates() {
    assert_eq!(template("POST /calling/callConnections"), "POST /calling/callConnections");
    assert_eq!(
        template("POST /calling/callConnections/0-1:play"),
        "POST /calling/callConnections/{callConnectionId}:play"
    );
    assert_eq!(
        template("GET /calling/callConnections/0-1/participants/sip:a@b:5060"),
        "GET /calling/callConnections/{callConnectionId}/participants/{participantRawId}"
    );
    assert_eq!(
        template("POST /calling/callConnections/0-1/participants:add"),
        "POST /calling/callConnections/{callConnectionId}/participants:add"
    );
}

/// A story's process.
struct Application {
    process: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Application {
    fn start(sdk: Sdk, story: &str, engine: &Engine) -> Application {
        let file = |name: &str| engine.data().join(name);
        let read = |name: &str| std::fs::read_to_string(file(name)).expect(name);
        let mut command = sdk.command(story);
        command
            .env("CONNECTION_STRING", read("connection-string").trim())
            .env("SECOND_KEY", read("access-key").lines().nth(1).expect("two keys"))
            .env("HTTP_ENDPOINT", format!("http://{}", engine.address("http")))
            .env("CHECKOUT", root())
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, file("ca.pem"));
        }
        let mut process = command.spawn().expect("the SDK's interpreter; tests/run.sh installs it");
        let output = process.stdout.take().expect("its standard output");
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Application { process, lines }
    }

    /// What it says next; none: it is done.
    async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("the application says something in time")
    }

    /// Answers what it asked. One that is gone has said why.
    fn answer(&mut self, answer: &Value) {
        let input = self.process.stdin.as_mut().expect("its standard input");
        let _ = writeln!(input, "{answer}");
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
