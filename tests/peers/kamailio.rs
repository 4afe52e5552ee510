//! kamailio as a proxy that stays in the dialog (RFC 3261 §16.6, RFC 5658), with SIPp, baresip and linphone on its other
//! side; rtpengine carries the media of some of these calls. Loose routing within the dialog, Record-Route twice where
//! the transport changes, CANCEL and digest on the way, and the proxy's loss.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::baresip::Baresip;
use super::linphone::Linphone;
use super::sipp::tool::{Sipp, Transport, free_address, listening};
use super::sipp::{Ended, assert_steady, ended, flags, key, only_one, place, rule_answer, rule_wait};
use super::softphone::{Caller, converse_narrow};
use crate::support::{Client, Engine, PATIENCE, RtpPort, Webhook};

/// A program that runs in the foreground, with its log in a folder of its own.
struct Server {
    name: &'static str,
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(name: &'static str, folder: tempfile::TempDir, arguments: &[&str]) -> Server {
        let log = std::fs::File::create(folder.path().join("log")).expect("its log");
        // Debian keeps it among the programs of administrators.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(name);
        command.args(arguments).current_dir(folder.path()).env("PATH", path).stdin(Stdio::null());
        command.stderr(log.try_clone().expect("its log")).stdout(log);
        let process = command.spawn();
        let process = process.unwrap_or_else(|error| panic!("{name}, which tests/run.sh installs: {error}"));
        Server { name, process, folder }
    }

    /// Ends it as its administrator would: killed, it would leave its children behind.
    fn stop(&mut self) {
        if self.process.try_wait().ok().flatten().is_none() {
            let _ = Command::new("kill").arg(self.process.id().to_string()).status();
            let _ = self.process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("{}'s log:\n{}", self.name, String::from_utf8_lossy(&log));
        }
    }
}

/// A running rtpengine, in user space.
struct Rtpengine {
    control: SocketAddr,
    _server: Server,
}

impl Rtpengine {
    async fn start() -> Rtpengine {
        let control = free_address();
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Debian's own has it listen on a port that only one can have.
        std::fs::write(folder.path().join("rtpengine.conf"), "[rtpengine]\n").expect("its configuration");
        // Below the ports that the system gives away; tests beside this one, and in this process, have ports of their
        // own.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_add(STARTED.fetch_add(97, Ordering::Relaxed));
        let first = 10_000 + number % 200 * 100;
        let listen = format!("--listen-ng={control}");
        let (first, last) = (format!("--port-min={first}"), format!("--port-max={}", first + 99));
        let configured = ["--config-file=rtpengine.conf", "--foreground", "--log-stderr", "--log-level=6"];
        let relaying = ["--table=-1", "--interface=127.0.0.1"];
        let server =
            Server::start("rtpengine", folder, &[&configured[..], &relaying, &[&listen, &first, &last]].concat());
        listening(Transport::Udp, control.port()).await;
        Rtpengine { control, _server: server }
    }
}

/// A running kamailio.
struct Kamailio {
    address: SocketAddr,
    server: Server,
}

/// What is defined in `proxy.cfg`.
enum With<'a> {
    Nothing,
    Registrar,
    Digest,
    Edge,
    Carrier,
    Media(&'a Rtpengine),
}

impl Kamailio {
    /// Between the engine and a peer, both SIP URIs.
    async fn start(engine: &str, peer: &str, with: With<'_>) -> Kamailio {
        Kamailio::start_at(free_address(), engine, peer, with).await
    }

    /// The same, on an address that [`free_address`] gave.
    async fn start_at(address: SocketAddr, engine: &str, peer: &str, with: With<'_>) -> Kamailio {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/kamailio/proxy.cfg");
        let media = match with {
            With::Media(rtpengine) => rtpengine.control.to_string(),
            _ => String::new(),
        };
        let text = std::fs::read_to_string(path).expect("its configuration");
        let text = text.replace("@PORT@", &address.port().to_string()).replace("@ENGINE@", engine);
        let text = text.replace("@PEER@", peer).replace("@MEDIA@", &media);
        std::fs::write(folder.path().join("proxy.cfg"), text).expect("its configuration");
        let home = folder.path().display().to_string();
        let mut arguments = vec!["-f", "proxy.cfg", "-DD", "-E", "-Y", &home, "-w", &home, "-m", "16", "-M", "4"];
        match with {
            With::Nothing => {}
            With::Registrar => arguments.extend(["-A", "WITH_REGISTRAR"]),
            With::Carrier => arguments.extend(["-A", "WITH_CARRIER"]),
            With::Edge => arguments.extend(["-A", "WITH_EDGE"]),
            With::Digest => arguments.extend(["-A", "WITH_DIGEST"]),
            With::Media(_) => arguments.extend(["-A", "WITH_RTPENGINE"]),
        }
        let server = Server::start("kamailio", folder, &arguments);
        for transport in [Transport::Udp, Transport::Tcp] {
            listening(transport, address.port()).await;
        }
        Kamailio { address, server }
    }

    /// Somebody behind it.
    fn uri(&self, user: &str, transport: Transport) -> String {
        format!("sip:{user}@{}{}", self.address, transport.parameter())
    }
}

/// The engine as a proxy finds it.
fn uri_of(engine: &Engine, transport: Transport) -> String {
    format!("sip:{}{}", engine.address(transport.listener()), transport.parameter())
}

/// Who is not called in a test.
const NOBODY: &str = "sip:127.0.0.1:9";

fn other(transport: Transport) -> Transport {
    if transport == Transport::Udp { Transport::Tcp } else { Transport::Udp }
}

/// So many Record-Route (or Route) entries are in the first such message.
fn entries(call: &Ended, first_line: &str, header: &str) -> usize {
    let messages = call.messages(first_line);
    let message = messages.first().unwrap_or_else(|| panic!("no {first_line} in\n{call}"));
    let lines = message.lines().filter(|line| line.starts_with(&format!("{header}: ")));
    lines.map(|line| line.matches("<sip:").count()).sum()
}

/// SIPp's own scenario `branchc`: it registers without credentials, which our registrar never allows, so another one is
/// in front; then it calls under the same Call-ID.
#[tokio::test]
async fn sipps_branching_caller_registers_there_and_calls_us() {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let proxy = Kamailio::start(&uri_of(&engine, Transport::Udp), NOBODY, With::Registrar).await;
    Sipp::call_at(proxy.address, "-sn branchc", Transport::Udp, &[]).succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(call.record["to"], "sip:ua2@ca.cym.com", "{}", call.record);
    call.assert_order(&[("media", "media agreed: PCMU"), ("state", "connected"), ("sip", "BYE")]);
}

async fn held_through_it(ours: Transport, theirs: Transport) {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let proxy = Kamailio::start(&uri_of(&engine, ours), NOBODY, With::Nothing).await;
    let (mut first, mut second) = (RtpPort::open().await, RtpPort::open().await);
    let keys = [key("rtp_port", first.port()), key("second_port", second.port())];
    let mut sipp = Sipp::call_at(proxy.address, "hold", theirs, &flags(&keys));
    assert_steady(&sipp.meanwhile(first.packets(5)).await, 0);
    assert_steady(&sipp.meanwhile(second.packets(5)).await, 0);
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    let hops = if ours == theirs { 1 } else { 2 };
    assert_eq!(entries(&call, "INVITE sip:", "Record-Route"), hops, "{call}");
    assert_eq!(entries(&call, "200 OK", "Record-Route"), hops, "{call}");
    call.assert_order(&[("state", "connected"), ("media", "RecvOnly"), ("media", "SendRecv"), ("sip", "BYE")]);
}

#[tokio::test]
async fn a_call_through_it_is_held_over_udp() {
    held_through_it(Transport::Udp, Transport::Udp).await;
}

#[tokio::test]
async fn a_call_through_it_is_held_from_udp_to_tcp() {
    held_through_it(Transport::Tcp, Transport::Udp).await;
}

#[tokio::test]
async fn a_call_through_it_is_held_from_tcp_to_udp() {
    held_through_it(Transport::Udp, Transport::Tcp).await;
}

/// The engine hangs up: its BYE takes the route.
async fn hung_up_through_it(ours: Transport) {
    let engine = Engine::start(&[]);
    rule_answer(&engine, json!({"play": ["prompt:thank-you"]})).await;
    let proxy = Kamailio::start(&uri_of(&engine, ours), NOBODY, With::Nothing).await;
    let mut ear = RtpPort::open().await;
    let keys = [key("rtp_port", ear.port())];
    let mut sipp = Sipp::call_at(proxy.address, "answer", other(ours), &flags(&keys));
    sipp.meanwhile(ear.packets(25)).await;
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(entries(&call, "BYE sip:", "Route"), 2, "{call}");
}

#[tokio::test]
async fn a_call_through_it_is_hung_up_from_udp_to_tcp() {
    hung_up_through_it(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_through_it_is_hung_up_from_tcp_to_udp() {
    hung_up_through_it(Transport::Tcp).await;
}

/// It is the carrier: we register, it calls us by that. When it is gone and comes back, and knows nothing of us any
/// more, we register again.
async fn registered_at_it(ours: Transport) {
    let engine = Engine::start(&[]);
    rule_wait(&engine).await;
    let mut carrier = Kamailio::start(NOBODY, NOBODY, With::Carrier).await;
    let trunk = json!({
        "uri": format!("sip:{}{}", carrier.address, ours.parameter()), "username": "4420", "password": "secret",
        "register": {"user": "4420", "expires": 600}, "health": {"optionsIntervalSeconds": 1, "timeoutSeconds": 1, "failures": 1},
    });
    let (status, answer) = engine.request("PUT", "/v1/trunks/carrier", Some(trunk)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    // Who calls again and again until the carrier knows us is answered then.
    for calls in 1..=2 {
        let registered = async |engine: &Engine| {
            let (_, shown) = engine.request("GET", "/v1/trunks/carrier", None).await;
            let state = &shown["state"];
            (state["registration"]["state"] == "registered" && state["proxies"][0]["state"] == "up").then_some(())
        };
        engine.until("the registration", registered).await;
        let callers = async {
            let mut look = tokio::time::interval(std::time::Duration::from_millis(500));
            loop {
                look.tick().await;
                let call = Sipp::call_at(carrier.address, "called-by-contact", Transport::Udp, &["-s", "4420"]);
                if call.succeeds().await.contains("SIP/2.0 200") {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, callers).await.expect("a call by the registered contact");
        let ended = ended(&engine, calls).await;
        assert_eq!(ended[0].record["rule"], "answer", "{}", ended[0].record);
        if calls == 1 {
            let address = carrier.address;
            carrier.server.stop();
            let down = async |engine: &Engine| {
                let (_, shown) = engine.request("GET", "/v1/trunks/carrier", None).await;
                (shown["state"]["proxies"][0]["state"] == "down").then_some(())
            };
            engine.until("the carrier to be missed", down).await;
            carrier = Kamailio::start_at(address, NOBODY, NOBODY, With::Carrier).await;
        }
    }
}

#[tokio::test]
async fn it_is_registered_at_and_again_after_its_loss_over_udp() {
    registered_at_it(Transport::Udp).await;
}

#[tokio::test]
async fn it_is_registered_at_and_again_after_its_loss_over_tcp() {
    registered_at_it(Transport::Tcp).await;
}

/// A phone behind it registers with us, and is called by the path that it registered by (RFC 3327).
#[tokio::test]
async fn a_phone_behind_it_registers_and_is_called_by_its_path() {
    let engine = Engine::start(&["--digest-algorithms", "md5"]);
    let user = json!({"name": "alice", "password": "wonder"});
    assert_eq!(engine.request("POST", "/v1/users", Some(user)).await.0, 201);
    let proxy = Kamailio::start(&uri_of(&engine, Transport::Udp), NOBODY, With::Edge).await;
    let address = free_address();
    Sipp::call_from(address, proxy.address, "register-q", Transport::Udp, &["-key", "q", "0.5"]).succeeds().await;
    let (_, listed) = engine.request("GET", "/v1/users/alice/registrations", None).await;
    let path = listed["value"][0]["path"][0].as_str().expect("a path");
    assert!(path.contains(&proxy.address.to_string()) && path.contains(";lr"), "{listed}");
    let mut phone = Sipp::listen_at(address, "proxied-callee", Transport::Udp, &[]).await;
    let (mut application, _) =
        place(&Client::new(&engine), json!({"kind": "communicationUser", "rawId": "alice"})).await;
    phone.meanwhile(application.expect("CallConnected")).await;
    phone.meanwhile(application.expect("CallDisconnected")).await;
    phone.succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(entries(&call, "INVITE sip:", "Route"), 1, "{call}");
}

async fn calls_through_it(ours: Transport) {
    let engine = Engine::start(&[]);
    let mut sipp = Sipp::listen("proxied-callee", other(ours), &[]).await;
    let proxy = Kamailio::start(NOBODY, &sipp.uri(), With::Nothing).await;
    let target = json!({"kind": "unknown", "rawId": proxy.uri("callee", ours)});
    let (mut application, _) = place(&Client::new(&engine), target).await;
    sipp.meanwhile(application.expect("CallConnected")).await;
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(entries(&call, "ACK sip:", "Route"), 2, "{call}");
    assert_eq!(engine.metric("strowger_calls_ended_total{kind=\"peer\"}").await, 1.0);
}

#[tokio::test]
async fn a_callee_behind_it_is_called_from_udp_to_tcp() {
    calls_through_it(Transport::Udp).await;
}

#[tokio::test]
async fn a_callee_behind_it_is_called_from_tcp_to_udp() {
    calls_through_it(Transport::Tcp).await;
}

#[tokio::test]
async fn a_caller_behind_it_gives_up() {
    let engine = Engine::start(&[]);
    let mut application = Webhook::subscribed(&engine).await;
    let proxy = Kamailio::start(&uri_of(&engine, Transport::Tcp), NOBODY, With::Nothing).await;
    let mut sipp = Sipp::call_at(proxy.address, "cancel", Transport::Udp, &flags(&[key("rtp_port", 9)]));
    sipp.meanwhile(application.expect("IncomingCall")).await;
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    call.assert_order(&[("sip", "180 Ringing"), ("sip", "CANCEL"), ("sip", "487"), ("state", "ended")]);
}

#[tokio::test]
async fn an_application_gives_up_a_call_through_it() {
    let engine = Engine::start(&[]);
    let sipp = Sipp::listen("ring", Transport::Udp, &[]).await;
    let proxy = Kamailio::start(NOBODY, &sipp.uri(), With::Nothing).await;
    let target = json!({"kind": "unknown", "rawId": proxy.uri("callee", Transport::Tcp)});
    let client = Client::new(&engine);
    let (mut application, call) = place(&client, target).await;
    let id = call.rsplit('/').next().expect("an id").to_owned();
    let path = format!("/v1/calls/{id}/timeline");
    let rings = async |engine: &Engine| {
        engine.request("GET", &path, None).await.1.to_string().contains("180 Ringing").then_some(())
    };
    engine.until("180 Ringing", rings).await;
    client.post(&format!("{call}:terminate"), Value::Null).await;
    application.expect("CreateCallFailed").await;
    sipp.succeeds().await;
    only_one(&engine).await.assert_order(&[("sip", "180 Ringing"), ("sip", "CANCEL")]);
}

/// The media goes on, and the call can be ended, though nobody hears our BYE.
async fn is_lost(ours: Transport) {
    let engine = Engine::start(&[]);
    let client = Client::new(&engine);
    let mut application = Webhook::subscribed(&engine).await;
    let mut proxy = Kamailio::start(&uri_of(&engine, ours), NOBODY, With::Nothing).await;
    let mut ear = RtpPort::open().await;
    let keys = [key("rtp_port", ear.port())];
    let mut sipp = Sipp::call_at(proxy.address, "answer", Transport::Udp, &flags(&keys));
    let incoming = sipp.meanwhile(application.expect("IncomingCall")).await;
    let answer = json!({"incomingCallContext": incoming["incomingCallContext"], "callbackUri": application.url});
    let call = client.call("/calling/callConnections:answer", answer).await;
    application.expect("CallConnected").await;
    let heard = ear.packets(5).await.len();
    proxy.server.stop();
    ear.packets(heard + 50).await;
    let (_, properties) = client.request("GET", &call, Value::Null).await;
    assert_eq!(properties["callConnectionState"], "connected", "{properties}");
    client.post(&format!("{call}:terminate"), Value::Null).await;
    tokio::time::timeout(PATIENCE, application.expect("CallDisconnected")).await.expect("the end of the call");
    let call = ended(&engine, 1).await.pop().expect("one call");
    call.assert_order(&[("state", "connected"), ("sip", "BYE"), ("state", "ended")]);
}

#[tokio::test]
async fn a_call_outlives_it_over_udp() {
    is_lost(Transport::Udp).await;
}

#[tokio::test]
async fn a_call_outlives_it_over_tcp() {
    is_lost(Transport::Tcp).await;
}

/// A trunk to it, and a call to a number; the webhook.
async fn through_trunk(engine: &Engine, proxy: &Kamailio, password: &str) -> Webhook {
    let uri = format!("sip:{};transport=tcp", proxy.address);
    let trunk = json!({"name": "proxy", "uri": uri, "username": "engine", "password": password});
    let (status, answer) = engine.request("PUT", "/v1/trunks/proxy", Some(trunk)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
    place(&Client::new(engine), target).await.0
}

#[tokio::test]
async fn it_asks_for_credentials() {
    let engine = Engine::start(&[]);
    let mut sipp = Sipp::listen("proxied-callee", Transport::Udp, &[]).await;
    let proxy = Kamailio::start(NOBODY, &sipp.uri(), With::Digest).await;
    let mut application = through_trunk(&engine, &proxy, "secret").await;
    sipp.meanwhile(application.expect("CallDisconnected")).await;
    sipp.succeeds().await;
    let call = only_one(&engine).await;
    assert_eq!(call.messages("INVITE sip:").len(), 2, "{call}");
    call.assert_order(&[("sip", "407 Proxy Authentication Required"), ("sip", "ACK"), ("state", "connected")]);
}

#[tokio::test]
async fn it_refuses_a_wrong_password() {
    let engine = Engine::start(&[]);
    let proxy = Kamailio::start(NOBODY, NOBODY, With::Digest).await;
    let mut application = through_trunk(&engine, &proxy, "wrong").await;
    let failed = application.expect("CreateCallFailed").await;
    assert_eq!(failed["resultInformation"]["sipDetails"]["code"], 407, "{failed}");
    assert_eq!(only_one(&engine).await.messages("INVITE sip:").len(), 2);
}

/// The media really went through the relay.
fn assert_relayed(lines: &[String]) {
    let agreed = |line: &&String| line.starts_with("media agreed: ");
    let port = lines.iter().find(agreed).and_then(|line| line.split("127.0.0.1:").nth(1)?.split(',').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("an address that was agreed");
    assert!((10_000..30_000).contains(&port), "{lines:#?}");
}

#[tokio::test]
async fn linphone_calls_through_it_and_a_media_relay() {
    let engine = Engine::start(&["--codecs", "pcmu,pcma"]);
    let relay = Rtpengine::start().await;
    let proxy = Kamailio::start(&uri_of(&engine, Transport::Tcp), NOBODY, With::Media(&relay)).await;
    let caller = Caller::Softphone(proxy.uri("100", Transport::Udp));
    let heard = converse_narrow(&engine, Linphone::start(), caller).await;
    assert_relayed(&heard.lines);
}

#[tokio::test]
async fn baresip_is_called_through_it_and_a_media_relay() {
    let engine = Engine::start(&[]);
    let phone = Baresip::start("PCMA/8000/1");
    let relay = Rtpengine::start().await;
    let peer = phone.uri(Transport::Tcp).await;
    let proxy = Kamailio::start(NOBODY, &peer, With::Media(&relay)).await;
    let caller = Caller::Engine(proxy.uri("baresip", Transport::Udp));
    let heard = converse_narrow(&engine, phone, caller).await;
    assert_relayed(&heard.lines);
}
