//! The engine as a process of its own, on free ports and a data directory of its own, taken down with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{PATIENCE, http_client};

/// Between two looks at something that is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// A running engine.
pub struct Engine {
    process: Child,
    data: PathBuf,
    listeners: Value,
    key: String,
    http: reqwest::Client,
    /// Removed when the test ends.
    _folder: Option<tempfile::TempDir>,
}

impl Engine {
    /// Starts one with these flags besides the ports and the data directory.
    pub fn start(flags: &[&str]) -> Engine {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let mut engine = Engine::start_in(&data, flags);
        engine._folder = Some(folder);
        engine
    }

    /// Starts one on this data directory, which stays.
    pub fn start_in(data: &Path, flags: &[&str]) -> Engine {
        Engine::begin(data, command(data, flags))
    }

    /// Starts one that may open so many files and no more.
    pub fn start_with_open_files(files: u32, flags: &[&str]) -> Engine {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let plain = command(&data, flags);
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" \"$@\""));
        limited.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut engine = Engine::begin(&data, limited);
        engine._folder = Some(folder);
        engine
    }

    /// Starts one on this data directory, with its log in a file.
    pub fn start_logging(data: &Path, flags: &[&str], log: std::fs::File) -> Engine {
        let mut command = command(data, flags);
        command.stderr(log);
        Engine::begin(data, command)
    }

    fn begin(data: &Path, mut command: Command) -> Engine {
        let mut process = command.spawn().expect("the engine's program");
        // It says that it is running once everything listens: a line to wait for, no clock to watch.
        let output = process.stdout.take().expect("its standard output");
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        while !line.contains("is running") {
            line.clear();
            let read = lines.read_line(&mut line).expect("a line");
            assert!(read > 0, "the engine did not start: see its log above");
        }
        // Nobody reads on, so what it prints later must not block it.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let read = |name: &str| std::fs::read_to_string(data.join(name)).expect(name);
        Engine {
            process,
            data: data.to_owned(),
            listeners: serde_json::from_str(&read("listeners.json")).expect("listeners.json"),
            key: read("access-key").lines().next().expect("a key").to_owned(),
            http: http_client(),
            _folder: None,
        }
    }

    /// An address of it: `http`, `https`, `sipUdp`, `sipTcp`.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.listeners[listener].as_str().expect(listener).parse().expect("an address")
    }

    /// The first address on which it listens for SIP over this transport.
    pub fn sip_address(&self, transport: &str) -> SocketAddr {
        let listeners = self.listeners["sip"].as_array().expect("SIP listeners").iter();
        let speaks = |listener: &&Value| {
            listener["transport"].as_str().is_some_and(|spoken| spoken.eq_ignore_ascii_case(transport))
        };
        let found = listeners.clone().find(speaks).and_then(|listener| listener["address"].as_str());
        found.unwrap_or_else(|| panic!("{transport} is not spoken")).parse().expect("an address")
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The access key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// An operator's request under `/v1` (or any path), with the access key; status and JSON (null where it is none).
    pub async fn request(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address("http"));
        let mut request = self.http.request(method.parse().expect("a method"), url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// What an operator's GET gives, as bytes; it must be there.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let url = format!("http://{}{path}", self.address("http"));
        let response = self.http.get(url).bearer_auth(&self.key).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.expect("a body").to_vec()
    }

    /// Puts a rule, which must be taken.
    pub async fn rule(&self, rule: Value) {
        let name = rule["name"].as_str().expect("a name").to_owned();
        let (status, answer) = self.request("PUT", &format!("/v1/rules/{name}"), Some(rule)).await;
        assert!(matches!(status, 200 | 201), "{status}: {answer}");
    }

    /// The value of a metric line that begins with `name`; 0 where there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.address("http"));
        let text = self.http.get(url).send().await.expect("an answer").text().await.expect("a body");
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until `check` gives something, asking again and again, at most for [`PATIENCE`]; then fails with `what`.
    pub async fn until<T>(&self, what: &str, mut check: impl AsyncFnMut(&Engine) -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = check(self).await {
                    return found;
                }
                // Whoever looks all the time keeps the engine from what is waited for.
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what} did not happen"))
    }

    /// Sends a signal by name (`TERM`, `KILL`…).
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(done.expect("kill").success());
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("an exit status")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that starts an engine on free loopback ports.
pub fn command(data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    command.args(["--http", "127.0.0.1:0", "--https", "127.0.0.1:0"]);
    // A flag may be given once only.
    if !flags.contains(&"--sip") {
        command.args(["--sip", "127.0.0.1:0"]);
    }
    if !flags.contains(&"--rtp-ports") {
        command.args(["--rtp-ports", "0"]);
    }
    command.arg("--data-dir").arg(data).args(flags).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}
