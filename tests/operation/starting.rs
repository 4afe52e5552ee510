//! First start, second start, settings from three places, and what is said when one is wrong.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Engine, http_client};

const PORTS: [&str; 8] =
    ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--sip", "127.0.0.1:0", "--rtp-ports", "0"];

/// A program in that folder, with nothing of this process's environment that it would heed.
fn strowger(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    for setting in strowger::config::SETTINGS {
        command.env_remove(setting.environment_name());
    }
    command.env_remove("STROWGER_CONFIG").current_dir(folder).stdin(Stdio::null());
    command
}

/// What a program says that ends by itself.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Settings come from flag, environment and file, in that order: seen by which data directory is made. A port that is
/// taken ends each start, after the directory has been made.
#[test]
fn a_setting_comes_from_the_first_place_that_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let start = |change: &dyn Fn(&mut Command)| {
        let mut command = strowger(folder.path());
        command.args(["--http", &address, "--https", "127.0.0.1:0", "--sip", "127.0.0.1:0"]);
        change(&mut command);
        let output = command.output().expect("the program");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let there = |name: &str| folder.path().join(name).join("access-key").exists();
        (there("from-flag"), there("from-environment"), there("from-file"), there("from-other-file"))
    };
    std::fs::write(folder.path().join("strowger.toml"), "data-dir = \"from-file\"").expect("a file");
    std::fs::write(folder.path().join("other.toml"), "data_dir = \"from-other-file\"").expect("a file");
    let environment = ("STROWGER_DATA_DIR", "from-environment");
    let both: &dyn Fn(&mut Command) = &|c| {
        c.env(environment.0, environment.1).args(["--data-dir", "from-flag"]);
    };
    assert_eq!(start(both), (true, false, false, false));
    assert_eq!(
        start(&|c| {
            c.env(environment.0, environment.1);
        }),
        (true, true, false, false)
    );
    assert_eq!(start(&|_| ()), (true, true, true, false));
    assert_eq!(
        start(&|c| {
            c.args(["--config", "other.toml"]);
        }),
        (true, true, true, true)
    );
}

#[test]
fn a_wrong_setting_is_refused_with_name_value_and_what_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |output: Output, parts: &[&str]| {
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!folder.path().join("strowger-data").exists(), "nothing is made");
    };
    let run = |change: &dyn Fn(&mut Command)| {
        let mut command = strowger(folder.path());
        change(&mut command);
        command.output().expect("the program")
    };
    check(
        run(&|c| {
            c.args(["--max-calls", "0"]);
        }),
        &["max-calls", "\"0\"", "1 to 100000", "flag"],
    );
    check(
        run(&|c| {
            c.env("STROWGER_DRAIN_SECONDS", "soon");
        }),
        &["drain-seconds", "\"soon\"", "0 to 3600", "STROWGER_DRAIN_SECONDS"],
    );
    check(
        run(&|c| {
            c.args(["--no-such-flag", "1"]);
        }),
        &["--no-such-flag"],
    );
    check(
        run(&|c| {
            c.args(["--config", "missing.toml"]);
        }),
        &["missing.toml"],
    );
    std::fs::write(folder.path().join("strowger.toml"), "rtp-port = \"20000-20010\"").expect("a file");
    check(run(&|_| ()), &["strowger.toml", "rtp-port", "rtp-ports"]);
    std::fs::write(folder.path().join("strowger.toml"), "codecs = [\"gsm\"]").expect("a file");
    check(run(&|_| ()), &["codecs", "gsm", "pcmu and pcma", "strowger.toml"]);
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp_address = tcp.local_addr().expect("its address").to_string();
    let udp_address = udp.local_addr().expect("its address").to_string();
    for (setting, at, address) in [("http", 1, &tcp_address), ("https", 3, &tcp_address), ("sip", 5, &udp_address)] {
        let mut arguments = PORTS.map(str::to_owned);
        arguments[at].clone_from(address);
        let output = strowger(folder.path()).args(arguments).output().expect("the program");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(setting) && text.contains(address.as_str()), "{setting}, {address}: {text}");
        assert!(!folder.path().join("strowger-data/listeners.json").exists(), "nothing listens");
    }
}

#[tokio::test]
async fn the_first_start_makes_keys_that_the_second_keeps() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let read = |name: &str| std::fs::read_to_string(data.join(name)).expect(name);
    let mode = |name: &str| std::fs::metadata(data.join(name)).expect(name).permissions().mode() & 0o777;

    let mut engine = Engine::start_in(&data, &[]);
    let listeners: Value = serde_json::from_str(&read("listeners.json")).expect("JSON");
    let names: Vec<&String> = listeners.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["http", "https", "sip", "sipTcp", "sipUdp"]);
    let connection = read("connection-string");
    let key = read("access-key");
    let expected = format!("endpoint=https://{}/;accesskey={}\n", engine.address("https"), engine.key());
    assert_eq!(connection, expected);
    assert_eq!(key.lines().count(), 2);
    for secret in ["connection-string", "access-key", "token-key"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    let authority = read("ca.pem");
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"));

    // Whoever trusts ca.pem reaches it by TLS.
    let _ = http_client();
    let certificate = reqwest::Certificate::from_pem(authority.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().expect("a client");
    let url = format!("https://{}/healthz", engine.address("https"));
    assert!(client.get(url).send().await.expect("TLS with our certificate").status().is_success());

    engine.signal("TERM");
    assert!(engine.wait().success());
    assert!(!data.join("listeners.json").exists(), "nothing listens any more");
    let again = Engine::start_in(&data, &[]);
    assert_eq!((read("access-key"), read("ca.pem")), (key, authority));
    assert_eq!(again.request("GET", "/v1/rules", None).await.0, 200);
}

#[tokio::test]
async fn health_is_open_and_v1_wants_a_key() {
    let engine = Engine::start(&[]);
    let base = format!("http://{}", engine.address("http"));
    let client = http_client();
    let get = async |path: &str, key: Option<&str>| {
        let request = client.get(format!("{base}{path}"));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(get(path, None).await.0, 200, "{path}");
    }
    assert!(get("/metrics", None).await.1.contains("# TYPE strowger_"));
    let description: Value = serde_json::from_str(&get("/openapi.json", None).await.1).expect("JSON");
    assert!(description["paths"]["/v1/rules"].is_object());
    for key in [None, Some("d3Jvbmcga2V5IHdyb25nIGtleQ=="), Some("")] {
        let (status, body) = get("/v1/calls", key).await;
        assert_eq!(status, 401, "{body}");
        assert!(body.contains("\"error\""), "{body}");
    }
    let keys = std::fs::read_to_string(engine.data().join("access-key")).expect("the keys");
    for key in keys.lines() {
        assert_eq!(get("/v1/calls", Some(key)).await.0, 200);
    }
}
