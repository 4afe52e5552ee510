//! sipvicious, the scanner that most attackers run: under its own name nothing answers it; under another it learns nothing
//! of who exists, and is shut out before it has guessed a password.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::Engine;

/// The address that it scans from.
const SOURCE: &str = "127.0.0.1";

/// An engine with one user, whose telephone rings for everybody who calls; MD5 is all that the scanner knows.
async fn engine() -> Engine {
    let engine = Engine::start(&["--digest-algorithms", "md5"]);
    let user = json!({"name": "1001", "password": "8273"});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    engine.rule(json!({"name": "all", "priority": 1, "action": {"forward": {"to": "1001"}}})).await;
    engine
}

/// Runs one of its tools; what it said.
async fn scan(engine: &Engine, tool: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(root.join("target/peers/python/bin/python"));
    command.arg(root.join("tests/peers/python/scanner.py")).args(tool);
    command.args(["-p", &engine.address("sipUdp").port().to_string(), "127.0.0.1"]);
    // It keeps its sessions at home.
    command.env("HOME", folder.path()).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread that waits");
    let output = output.expect("sipvicious, which tests/run.sh installs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains("Traceback"), "{said}");
    said
}

async fn banned_for(engine: &Engine) -> Option<String> {
    let (_, bans) = engine.request("GET", "/v1/bans", None).await;
    let of_it = |ban: &&serde_json::Value| ban["source"] == SOURCE;
    bans["value"].as_array()?.iter().find(of_it)?["reason"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn under_its_own_name_it_finds_nobody_at_home() {
    let engine = engine().await;
    for tool in [
        &["svmap"][..],
        &["svwar", "-m", "REGISTER", "-e", "1000-1002"],
        &["svwar", "-m", "INVITE", "-e", "1000-1002"],
        &["svcrack", "-u", "1001", "-r", "8272-8274"],
    ] {
        let said = scan(&engine, tool).await;
        assert!(said.contains("found nothing"), "{tool:?}: {said}");
    }
    assert!(engine.metric("strowger_sip_total{kind=\"dropped_by_guard\"}").await > 0.0);
}

#[tokio::test]
async fn under_another_name_it_does_not_learn_who_exists() {
    let engine = engine().await;
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let said = scan(&engine, &["--hidden", "svwar", "--force", "-m", method, "-e", "1000-1002"]).await;
        // It tells of answers that it cannot make anything of, but lists no extension.
        assert!(said.contains("found nothing") && !said.contains("| 1001"), "{method}: {said}");
    }
    assert!(engine.metric("strowger_sip_transport{kind=\"datagrams_received\"}").await > 0.0);
}

#[tokio::test]
async fn under_another_name_it_guesses_no_password() {
    let engine = engine().await;
    // The control: the tool can guess, where it is lucky at once.
    let said = scan(&engine, &["--hidden", "svcrack", "-u", "1001", "-r", "8272-8274"]).await;
    assert!(said.contains("| 1001"), "{said}");
    let said = scan(&engine, &["--hidden", "svcrack", "-u", "1001", "-r", "8200-8400"]).await;
    assert!(said.contains("found nothing"), "{said}");
    assert_eq!(banned_for(&engine).await.as_deref(), Some("failed authentications"));
}
