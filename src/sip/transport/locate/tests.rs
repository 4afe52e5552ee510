//! The locator against a name server of the test's own, on loopback, over UDP and TCP; the clock is the test's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::time::Time;

/// What is asked for and how it is answered; what is not in it is NXDOMAIN.
type Zone = HashMap<(String, RecordType), Vec<(u32, RData)>>;

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Failing,
    Silent,
    /// Over UDP everything is too long.
    Truncating,
}

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    mood: Arc<Mutex<Mood>>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn answer(zone: &Zone, query: &[u8], mood: Mood, over_udp: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    let question = query.queries.first()?.clone();
    let wanted = question.name().to_utf8().trim_end_matches('.').to_ascii_lowercase();
    match mood {
        Mood::Silent => return None,
        Mood::Failing => response.metadata.response_code = ResponseCode::ServFail,
        Mood::Truncating if over_udp => response.metadata.truncation = true,
        _ => match zone.get(&(wanted.clone(), question.query_type())) {
            Some(records) => {
                for (ttl, data) in records {
                    response.add_answer(Record::from_rdata(question.name().clone(), *ttl, data.clone()));
                }
            }
            None if zone.keys().any(|(known, _)| *known == wanted) => {}
            None => response.metadata.response_code = ResponseCode::NXDomain,
        },
    }
    response.add_query(question);
    response.to_vec().ok()
}

impl Server {
    async fn start(zone: Zone) -> Server {
        // The same port for both, as real ones have it.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (asked, mood) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Mood::Well)));
        let zone = Arc::new(zone);
        let (count, now, known) = (asked.clone(), mood.clone(), zone.clone());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::Relaxed);
                let mood = *now.lock().unwrap();
                if let Some(bytes) = answer(&known, &buffer[..length], mood, true) {
                    let _ = udp.send_to(&bytes, from).await;
                }
            }
        });
        let now = mood.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let (zone, now) = (zone.clone(), now.clone());
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut query = vec![0; usize::from(length)];
                        stream.read_exact(&mut query).await.unwrap();
                        let mood = *now.lock().unwrap();
                        if let Some(bytes) = answer(&zone, &query, mood, false) {
                            stream.write_u16(bytes.len() as u16).await.unwrap();
                            stream.write_all(&bytes).await.unwrap();
                        }
                    }
                });
            }
        });
        Server { address, asked, mood }
    }

    fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

fn naptr(order: u16, service: &str, replacement: &str) -> RData {
    let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    RData::NAPTR(NAPTR::new(order, 10, bytes("s"), bytes(service), bytes(""), name(replacement)))
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    let target = if target.is_empty() { Name::root() } else { name(target) };
    RData::SRV(SRV::new(priority, 10, port, target))
}

fn a(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn aaaa(last: u16) -> RData {
    RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

fn zone() -> Zone {
    let mut zone = Zone::new();
    let mut put = |name: &str, kind, records: Vec<RData>| {
        zone.insert((name.to_owned(), kind), records.into_iter().map(|data| (60, data)).collect());
    };
    // A carrier with everything.
    put(
        "carrier.example",
        RecordType::NAPTR,
        vec![
            naptr(30, "SIP+D2U", "_sip._udp.carrier.example"),
            naptr(10, "SIPS+D2T", "_sips._tcp.carrier.example"),
            naptr(20, "SIP+D2T", "_sip._tcp.carrier.example"),
        ],
    );
    put("_sips._tcp.carrier.example", RecordType::SRV, vec![srv(1, 5061, "one.carrier.example")]);
    put("_sip._tcp.carrier.example", RecordType::SRV, vec![srv(1, 5060, "one.carrier.example")]);
    put(
        "_sip._udp.carrier.example",
        RecordType::SRV,
        vec![srv(20, 5070, "two.carrier.example"), srv(10, 5060, "one.carrier.example")],
    );
    put("one.carrier.example", RecordType::A, vec![a(1)]);
    put("two.carrier.example", RecordType::A, vec![a(2), a(3)]);
    put("two.carrier.example", RecordType::AAAA, vec![aaaa(2)]);
    // One with SRV only, one with addresses only, one that takes no calls.
    put("_sip._tcp.srv.example", RecordType::SRV, vec![srv(1, 5080, "one.carrier.example")]);
    put("host.example", RecordType::A, vec![a(9)]);
    put("six.example", RecordType::AAAA, vec![aaaa(9)]);
    for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
        put(&format!("{service}.none.example"), RecordType::SRV, vec![srv(0, 0, "")]);
    }
    put("none.example", RecordType::A, vec![a(8)]);
    zone
}

struct Bench {
    server: Server,
    locator: Locator,
    destinations: Arc<Destinations>,
    seconds: Arc<AtomicU64>,
}

impl Bench {
    async fn with(spoken: &[(Transport, &str)]) -> Bench {
        let server = Server::start(zone()).await;
        let destinations = Arc::new(Destinations::default());
        let seconds = Arc::new(AtomicU64::new(1000));
        let now = seconds.clone();
        let clock: Clock = Arc::new(move || Time::EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
        let spoken = spoken.iter().map(|(transport, ip)| (*transport, ip.parse().unwrap())).collect();
        let locator = Locator::new(spoken, destinations.clone(), &[server.address], clock, Random::from_number(1));
        Bench { server, locator, destinations, seconds }
    }

    async fn ipv4() -> Bench {
        Bench::with(&[
            (Transport::Udp, "192.0.2.100"),
            (Transport::Tcp, "192.0.2.100"),
            (Transport::Tls, "192.0.2.100"),
        ])
        .await
    }

    async fn find(&self, uri: &str) -> Result<Vec<String>, LocateError> {
        let hops = self.locator.locate(&uri.parse().unwrap()).await?;
        Ok(hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address)).collect())
    }

    fn later(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn every_rule_of_rfc_3263() {
    let bench = Bench::ipv4().await;
    let table: &[(&str, &[&str])] = &[
        // Numbers are not asked for.
        ("sip:a@192.0.2.7", &["UDP 192.0.2.7:5060"]),
        ("sip:a@192.0.2.7:5080;transport=tcp", &["TCP 192.0.2.7:5080"]),
        ("sips:a@192.0.2.7", &["TLS 192.0.2.7:5061"]),
        ("sip:a@[::ffff:192.0.2.7]", &["UDP 192.0.2.7:5060"]),
        ("sip:a@host.example;maddr=192.0.2.7", &["UDP 192.0.2.7:5060"]),
        // A port means a host.
        ("sip:a@host.example:5090", &["UDP 192.0.2.9:5090"]),
        ("sip:a@host.example:5090;transport=tcp", &["TCP 192.0.2.9:5090"]),
        // A transport means its SRV records.
        ("sip:a@carrier.example;transport=udp", &["UDP 192.0.2.1:5060", "UDP 192.0.2.2:5070", "UDP 192.0.2.3:5070"]),
        ("sip:a@srv.example;transport=tcp", &["TCP 192.0.2.1:5080"]),
        // Neither: NAPTR, then SRV, then addresses.
        (
            "sip:a@CARRIER.example",
            &[
                "TLS 192.0.2.1:5061",
                "TCP 192.0.2.1:5060",
                "UDP 192.0.2.1:5060",
                "UDP 192.0.2.2:5070",
                "UDP 192.0.2.3:5070",
            ],
        ),
        ("sips:a@carrier.example", &["TLS 192.0.2.1:5061"]),
        ("sips:a@carrier.example;transport=tcp", &["TLS 192.0.2.1:5061"]),
        ("sip:a@srv.example", &["TCP 192.0.2.1:5080"]),
        ("sip:a@host.example", &["UDP 192.0.2.9:5060"]),
        ("sips:a@host.example", &["TLS 192.0.2.9:5061"]),
        ("sip:a@localhost:5060", &["UDP 127.0.0.1:5060"]),
    ];
    for (uri, hops) in table {
        match bench.find(uri).await {
            Ok(found) => assert_eq!(found, *hops, "{uri}"),
            Err(error) => panic!("{uri}: {error}"),
        }
    }
    assert!(matches!(bench.find("sip:a@nobody.example").await, Err(LocateError::NotFound(_))));
    assert!(matches!(bench.find("sip:a@none.example").await, Err(LocateError::NotFound(_))), "it takes no calls");
    assert!(matches!(bench.find("sip:a@six.example").await, Err(LocateError::NotFound(_))));
    assert!(matches!(bench.find("sip:a@[2001:db8::1]").await, Err(LocateError::OtherFamily(_))));
    assert!(matches!(bench.find("tel:+15550100").await, Err(LocateError::NoHost(_))));
    assert!(matches!(bench.find("sip:a@host.example;transport=sctp").await, Err(LocateError::UnknownTransport(_))));
    assert!(matches!(bench.find("sip:a@host.example;transport=ws").await, Err(LocateError::NotSpoken(_))));
    assert!(matches!(bench.find("sips:a@host.example;transport=udp").await, Err(LocateError::UnknownTransport(_))));
}

#[tokio::test]
async fn families_and_names_that_must_be_proved() {
    let bench =
        Bench::with(&[(Transport::Udp, "::1"), (Transport::Udp, "127.0.0.1"), (Transport::Tls, "127.0.0.1")]).await;
    assert_eq!(
        bench.find("sip:a@two.carrier.example:5060").await.unwrap(),
        ["UDP [2001:db8::2]:5060", "UDP 192.0.2.2:5060", "UDP 192.0.2.3:5060"]
    );
    assert_eq!(bench.find("sip:a@six.example").await.unwrap(), ["UDP [2001:db8::9]:5060"]);
    let hops = bench.locator.locate(&"sips:a@carrier.example".parse().unwrap()).await.unwrap();
    let way = bench.destinations.get(hops[0].connection.unwrap()).unwrap();
    assert_eq!(way.name, "carrier.example", "the domain of the URI, not the target of its SRV record");
    let hops = bench.locator.locate(&"sip:a@192.0.2.7".parse().unwrap()).await.unwrap();
    assert_eq!(hops[0].connection, None);
}

#[tokio::test]
async fn answers_are_kept_as_long_as_they_are_good() {
    let bench = Bench::ipv4().await;
    bench.find("sip:a@host.example:5060").await.unwrap();
    assert_eq!(bench.server.asked(), 1);
    bench.later(59);
    bench.find("sip:b@host.example:5062").await.unwrap();
    assert_eq!(bench.server.asked(), 0);
    bench.later(1);
    bench.find("sip:a@host.example:5060").await.unwrap();
    assert_eq!(bench.server.asked(), 1);
    // That there is nothing is kept as well.
    for _ in 0..2 {
        assert!(bench.find("sip:a@nobody.example:5060").await.is_err());
    }
    assert_eq!(bench.server.asked(), 1);
}

#[tokio::test]
async fn a_name_server_that_fails_is_told_from_one_that_knows_nothing() {
    let bench = Bench::ipv4().await;
    bench.server.feel(Mood::Failing);
    assert!(matches!(bench.find("sip:a@host.example:5060").await, Err(LocateError::NoAnswer(..))));
    bench.server.feel(Mood::Truncating);
    assert_eq!(bench.find("sip:a@host.example:5060").await.unwrap(), ["UDP 192.0.2.9:5060"], "over TCP");
    // What was known a while ago serves while nobody answers.
    bench.later(600);
    bench.server.feel(Mood::Failing);
    assert_eq!(bench.find("sip:a@host.example:5060").await.unwrap(), ["UDP 192.0.2.9:5060"]);
    bench.later(3600);
    assert!(bench.find("sip:a@host.example:5060").await.is_err());
}

#[tokio::test]
async fn a_dead_name_server_is_waited_for_only_so_long() {
    let bench = Bench::ipv4().await;
    bench.server.feel(Mood::Silent);
    let error = tokio::time::timeout(Duration::from_secs(20), bench.find("sip:a@host.example:5060")).await;
    assert!(matches!(error.expect("it takes too long"), Err(LocateError::NoAnswer(..))));
}
