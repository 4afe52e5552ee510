//! SIPp as a process: found on PATH, on free ports, with its traces in a folder of its own and shown where it fails.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::support::{Engine, PATIENCE};

/// How often SIPp's state is looked at: it tells nobody of it.
const LOOK: Duration = Duration::from_millis(20);

/// The user part that callers dial.
const SERVICE: &str = "100";

/// What carries the signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// What the engine calls its listener.
    pub fn listener(self) -> &'static str {
        match self {
            Transport::Udp => "sipUdp",
            Transport::Tcp => "sipTcp",
        }
    }

    /// The parameter of a SIP URI that asks for it.
    pub fn parameter(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        }
    }
}

/// A running SIPp.
pub struct Sipp {
    name: String,
    process: Option<Child>,
    folder: tempfile::TempDir,
    address: SocketAddr,
    transport: Transport,
}

impl Sipp {
    /// Calls this engine by a scenario: the name of one of ours (`answer` is `answer.xml`), or `-sn uac`.
    pub fn call(engine: &Engine, scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        Sipp::call_at(engine.address(transport.listener()), scenario, transport, flags)
    }

    /// The same by the half of a controller that begins when its other half (`-3pcc`, the last flag's address) tells it
    /// to; returns once it can be told.
    pub async fn listen_tcp(scenario: &str, engine: &Engine, flags: &[&str]) -> Sipp {
        let between: SocketAddr = flags.last().and_then(|flag| flag.parse().ok()).expect("an address");
        let mut sipp = Sipp::call(engine, scenario, Transport::Udp, flags);
        sipp.meanwhile(listening(Transport::Tcp, between.port())).await;
        sipp
    }

    /// Calls somebody else.
    pub fn call_at(address: SocketAddr, scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        let address = address.to_string();
        let flags: Vec<&str> = [&address, "-s", SERVICE].iter().chain(flags).copied().collect();
        Sipp::start(free_address(), scenario, transport, &flags)
    }

    /// The same, from an address that [`free_address`] gave.
    pub fn call_from(from: SocketAddr, to: SocketAddr, scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        let to = to.to_string();
        let flags: Vec<&str> = [&to, "-s", SERVICE].iter().chain(flags).copied().collect();
        Sipp::start(from, scenario, transport, &flags)
    }

    /// Waits for calls by a scenario; returns once it listens.
    pub async fn listen(scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        Sipp::listen_at(free_address(), scenario, transport, flags).await
    }

    /// The same, on an address that [`free_address`] gave.
    pub async fn listen_at(address: SocketAddr, scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        let mut sipp = Sipp::start(address, scenario, transport, flags);
        let port = sipp.address.port();
        sipp.meanwhile(listening(transport, port)).await;
        sipp
    }

    fn start(address: SocketAddr, scenario: &str, transport: Transport, flags: &[&str]) -> Sipp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program());
        match scenario.strip_prefix("-sn ") {
            Some(built_in) => command.args(["-sn", built_in]),
            None => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/sipp/{scenario}.xml"));
                assert!(path.exists(), "{} is missing", path.display());
                command.arg("-sf").arg(path)
            }
        };
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        let (port, media) = (address.port().to_string(), free_media_port().to_string());
        command.args(["-t", mode, "-i", "127.0.0.1", "-p", &port, "-mp", &media, "-nostdin", "-skip_rlimit"]);
        // What a test sends to it must carry the Call-ID that it knows; %u is the number of the call.
        command.args(["-cid_str", "call-%u@strowger.test", "-timeout", "40", "-timeout_error"]);
        command.args(["-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages"]);
        if !flags.contains(&"-m") {
            command.args(["-m", "1"]);
        }
        let screen = || Stdio::from(std::fs::File::create(folder.path().join("screen")).expect("a file"));
        command.args(flags).current_dir(folder.path()).env("TERM", "dumb");
        command.stdin(Stdio::null()).stdout(screen()).stderr(Stdio::null());
        let process = command.spawn().expect("sipp");
        Sipp { name: format!("sipp {scenario} over {transport:?}"), process: Some(process), folder, address, transport }
    }

    /// Where it listens, as a SIP address.
    pub fn uri(&self) -> String {
        format!("sip:{}{}", self.address, self.transport.parameter())
    }

    /// Lets the first call go on that waits for a MESSAGE (UDP): a scenario cannot see what the application does.
    pub fn go_on(&self) {
        let message = format!(
            "MESSAGE sip:caller@{0} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKgo\r\n\
             From: <sip:test@127.0.0.1>;tag=t\r\nTo: <sip:caller@{0}>\r\nCall-ID: call-1@strowger.test\r\n\
             CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.send_to(message.as_bytes(), self.address).expect("a datagram sent");
    }

    /// Does this while SIPp runs; fails at once where SIPp does.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            status = Self::failure(self.process.as_mut()) => panic!("{}: {status}\n{}", self.name, self.traces()),
        }
    }

    /// The status with which it ends; never returns where it succeeds.
    async fn failure(process: Option<&mut Child>) -> ExitStatus {
        let process = process.expect("a process that nobody waits for yet");
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            match process.try_wait().expect("its state") {
                Some(status) if status.success() => std::future::pending().await,
                Some(status) => return status,
                None => {}
            }
        }
    }

    /// Waits for its end: every message that the scenario expects came, every check held, and nothing else came. All
    /// messages, as SIPp saw them.
    pub async fn succeeds(mut self) -> String {
        let mut process = self.process.take().expect("a process that nobody waits for yet");
        // It ends by itself: it has a time limit.
        let ended = tokio::task::spawn_blocking(move || process.wait());
        let status = ended.await.expect("a thread that waits").expect("an exit status");
        assert!(status.success(), "{}: {status}\n{}", self.name, self.traces());
        self.read("messages")
    }

    fn traces(&self) -> String {
        let [errors, messages, screen] = ["errors", "messages", "screen"].map(|name| self.read(name));
        let hint = if screen.contains("raw IPv4 socket") || errors.contains("raw IPv4 socket") {
            "SIPp may not open raw sockets: tests/run.sh gives it that right\n"
        } else {
            ""
        };
        format!("{hint}errors:\n{errors}\nmessages:\n{messages}\nscreen:\n{screen}")
    }

    /// A file of its folder; empty where there is none.
    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// SIPp on PATH.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("sipp")).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("sipp (Debian: sip-tester) is not installed: tests/run.sh does that"))
}

/// An address that is free for UDP and TCP: SIPp has to be told its ports.
pub fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = udp.local_addr().expect("an address");
        // Its RTP port has to be even, and the next one is taken as well.
        if address.port().is_multiple_of(2) && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// An RTP port with what SIPp takes beside it: the next one, and two more for video.
fn free_media_port() -> u16 {
    loop {
        let port = free_address().port();
        let beside = (1..4).map(|more| port.checked_add(more).map(|port| UdpSocket::bind(("127.0.0.1", port))));
        if beside.flatten().filter(Result::is_ok).count() == 3 {
            return port;
        }
    }
}

/// Waits until somebody listens on this local port.
pub async fn listening(transport: Transport, port: u16) {
    let listens = tokio::time::timeout(PATIENCE, async move {
        let mut look = tokio::time::interval(LOOK);
        while !listens(transport, port) {
            look.tick().await;
        }
    });
    listens.await.unwrap_or_else(|_| panic!("nobody listens on port {port} over {transport:?}"));
}

/// Whether somebody listens on this local port (Linux: the kernel's own table).
fn listens(transport: Transport, port: u16) -> bool {
    let (table, state) = match transport {
        Transport::Udp => ("/proc/net/udp", "07"),
        Transport::Tcp => ("/proc/net/tcp", "0A"),
    };
    let table = std::fs::read_to_string(table).expect("the kernel's table of sockets");
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&wanted)) && fields.nth(1) == Some(state)
    })
}
