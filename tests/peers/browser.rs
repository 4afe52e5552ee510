//! A browser's telephone, by JsSIP over WebSocket and secure WebSocket (RFC 7118): it registers by digest, is called on
//! the connection that it opened, which is the only way to it, and leaves. Audio (WebRTC) is not what is tried here.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::sipp::only_one;
use super::sipp::tool::{Sipp, Transport};
use crate::support::{Engine, PATIENCE};

/// JsSIP in Node.
struct Browser {
    process: Child,
    said: mpsc::UnboundedReceiver<String>,
}

impl Browser {
    fn start(engine: &Engine, url: &str) -> Browser {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/node");
        assert!(folder.join("node_modules/jssip").exists(), "JsSIP is missing: tests/run.sh installs it");
        let mut command = Command::new("node");
        command.arg(folder.join("browser.mjs")).args([url, "sip:alice@127.0.0.1", "wonder"]);
        command.env("NODE_EXTRA_CA_CERTS", engine.data().join("ca.pem"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node");
        let output = process.stdout.take().expect("its output");
        let (sender, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Browser { process, said }
    }

    /// The next thing that it tells, which is this.
    async fn tells(&mut self, what: &str) -> String {
        let line = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing of {what} in time"));
        let told: Value = serde_json::from_str(&line.expect("a browser that lives")).expect("JSON");
        told[what].as_str().unwrap_or_else(|| panic!("{told} instead of {what}")).to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn registrations(engine: &Engine) -> Vec<Value> {
    let (_, listed) = engine.request("GET", "/v1/users/alice/registrations", None).await;
    listed["value"].as_array().cloned().unwrap_or_default()
}

async fn registers_and_is_called(scheme: &str, host: &str) {
    let engine = Engine::start(&["--sip-ws", "0", "--sip-wss", "0"]);
    let user = json!({"name": "alice", "password": "wonder", "numbers": ["7001"]});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    engine.rule(json!({"name": "alice", "priority": 1, "action": {"forward": {"to": "7001"}}})).await;
    let url = format!("{scheme}://{host}:{}", engine.sip_address(scheme).port());
    let mut browser = Browser::start(&engine, &url);
    browser.tells("connected").await;
    browser.tells("registered").await;
    let found = registrations(&engine).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["transport"], scheme, "{found:?}");
    // Its Contact is a host that leads nowhere.
    assert!(found[0]["contact"].as_str().is_some_and(|contact| contact.contains(".invalid")), "{found:?}");

    let caller = Sipp::call(&engine, "busy-caller", Transport::Udp, &[]);
    let called = browser.tells("called").await;
    assert!(called.contains(".invalid"), "{called}");
    assert_eq!(browser.tells("ended").await, "Rejected", "by itself");
    caller.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "486 Busy Here"), ("sip", "is not reached: 486")]);

    let stdin = browser.process.stdin.as_mut().expect("its input");
    stdin.write_all(b"leave\n").expect("a browser that reads");
    browser.tells("unregistered").await;
    assert!(registrations(&engine).await.is_empty());
}

#[tokio::test]
async fn over_websocket() {
    registers_and_is_called("ws", "127.0.0.1").await;
}

#[tokio::test]
async fn over_secure_websocket() {
    registers_and_is_called("wss", "localhost").await;
}
