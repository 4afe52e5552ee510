//! A carrier written out by hand, on UDP and loopback: it answers as it is told and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strowger::sip::message::{Message, Method, Name, Request, Response};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// How the carrier takes calls, OPTIONS and registrations.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// The final status of an INVITE; 200 brings SDP, 0 is silence.
    pub invite: u16,
    /// Rings before that.
    pub rings: bool,
    /// Header lines of that answer.
    pub extra: Vec<(&'static str, String)>,
    /// Nothing at all is answered.
    pub dead: bool,
    /// REGISTER is taken only with credentials.
    pub asks: bool,
    /// Seconds granted to a registration.
    pub grants: u32,
    /// A registration that asks for fewer seconds is refused.
    pub least: u32,
    /// The Service-Route that it names when it takes a registration.
    pub service_route: Option<String>,
}

/// The carrier.
pub struct Carrier {
    pub address: SocketAddr,
    socket: Arc<UdpSocket>,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Request>>>,
    heard: Arc<Mutex<Vec<Response>>>,
    task: JoinHandle<()>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Carrier {
    /// One on a free port.
    pub async fn start(manner: Manner) -> Carrier {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
        let address = socket.local_addr().expect("its address");
        let (manner, seen, heard) = (Arc::new(Mutex::new(manner)), Arc::default(), Arc::default());
        let work = serve(Arc::clone(&socket), Arc::clone(&manner), Arc::clone(&seen), Arc::clone(&heard));
        Carrier { address, socket, manner, seen, heard, task: tokio::spawn(work) }
    }

    /// Its URI.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.address)
    }

    /// Other manners from now on.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// All requests of that method so far, repetitions left out.
    pub fn requests(&self, method: &str) -> Vec<Request> {
        let mut all: Vec<Request> = Vec::new();
        for request in self.seen.lock().unwrap().iter().filter(|r| r.method.as_str() == method) {
            let same = |known: &Request| known.headers.get(&Name::Via) == request.headers.get(&Name::Via);
            if !all.iter().any(same) {
                all.push(request.clone());
            }
        }
        all
    }

    /// Waits for so many requests of that method.
    pub async fn until(&self, method: &str, count: usize) -> Vec<Request> {
        let waiting = async {
            loop {
                let all = self.requests(method);
                if all.len() >= count {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {count} {method} came"))
    }

    /// Sends an INVITE with SDP to the engine, and gives its final status.
    pub async fn call(&self, engine: SocketAddr, target: &str, from: &str, to: &str) -> u16 {
        self.call_with(engine, target, from, to, "").await
    }

    /// The same with further header lines, each with its end.
    pub async fn call_with(&self, engine: SocketAddr, target: &str, from: &str, to: &str, extra: &str) -> u16 {
        let body = sdp(self.address);
        let branch = format!("z9hG4bK{}", self.heard.lock().unwrap().len() + 77);
        let text = format!(
            "INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch={branch}\r\nMax-Forwards: 70\r\n\
             From: <{from}>;tag=carrier{branch}\r\nTo: <{to}>\r\nCall-ID: {branch}@carrier\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:carrier@{me}>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
            me = self.address,
        );
        self.socket.send_to(text.as_bytes(), engine).await.expect("sent");
        let waiting = async {
            loop {
                let found = self.heard.lock().unwrap().iter().find_map(|response| {
                    let ours = response.headers.call_id().is_ok_and(|id| id.starts_with(&branch));
                    (ours && response.status() >= 200).then_some(response.status())
                });
                if let Some(status) = found {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a final answer")
    }
}

fn sdp(address: SocketAddr) -> String {
    format!(
        "v=0\r\no=carrier 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\n",
        ip = address.ip()
    )
}

async fn serve(
    socket: Arc<UdpSocket>,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Request>>>,
    heard: Arc<Mutex<Vec<Response>>>,
) {
    let mut buffer = vec![0; 65_536];
    let address = socket.local_addr().expect("its address");
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let request = match Message::parse(&buffer[..length]) {
            Ok(Message::Request(request)) => request,
            Ok(Message::Response(response)) => {
                heard.lock().unwrap().push(response);
                continue;
            }
            Err(_) => continue,
        };
        let manner = manner.lock().unwrap().clone();
        let answers = if manner.dead { Vec::new() } else { answers(&request, &manner, address) };
        seen.lock().unwrap().push(request);
        for answer in answers {
            socket.send_to(&answer.to_bytes(), peer).await.expect("sent");
        }
    }
}

fn answers(request: &Request, manner: &Manner, address: SocketAddr) -> Vec<Response> {
    let plain = |status| {
        let mut response = Response::for_request(request, status);
        let _ = response.set_to_tag("carrier");
        response
    };
    match request.method {
        Method::Invite if manner.invite == 0 => Vec::new(),
        Method::Invite => {
            let mut all = vec![Response::for_request(request, 100)];
            if manner.rings {
                all.push(plain(180));
            }
            let mut last = plain(manner.invite);
            if manner.invite == 200 {
                last.headers.push(Name::Contact, format!("<sip:callee@{address}>")).expect("a header");
                last.set_body("application/sdp", sdp(address).into_bytes()).expect("a body");
            }
            for (name, value) in &manner.extra {
                last.headers.push(name.parse().expect("a name"), value).expect("a header");
            }
            // A telephone that rings on is answered by CANCEL alone.
            if manner.invite > 100 {
                all.push(last);
            }
            all
        }
        Method::Ack => Vec::new(),
        Method::Register if manner.asks && request.headers.get(&Name::Authorization).is_none() => {
            let mut response = plain(401);
            let challenge = "Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
            response.headers.push(Name::WwwAuthenticate, challenge).expect("a header");
            vec![response]
        }
        Method::Register
            if request.headers.expires().is_ok_and(|asked| asked.is_some_and(|e| e > 0 && e < manner.least)) =>
        {
            let mut response = plain(423);
            response.headers.push(Name::MinExpires, manner.least.to_string()).expect("a header");
            vec![response]
        }
        Method::Register => {
            let mut response = plain(200);
            if let Some(route) = &manner.service_route {
                response.headers.push("Service-Route".parse().expect("a name"), route).expect("a header");
            }
            if let Some(contact) = request.headers.text(&Name::Contact) {
                let bare = contact.split(";expires").next().unwrap_or_default();
                let granted = format!("{bare};expires={}", manner.grants);
                response.headers.push(Name::Contact, granted).expect("a header");
            }
            vec![response]
        }
        _ => vec![plain(200)],
    }
}
