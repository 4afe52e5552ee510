//! The transport layer on loopback, port 0. Times are limits of the layer under test, set short where one is to
//! strike; nothing is slept for.

mod families;
mod secure;
mod websocket;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;

/// Nothing on loopback takes so long, unless it does not come at all.
const NEVER: Duration = Duration::from_secs(20);

fn config() -> TransportConfig {
    TransportConfig::new("127.0.0.1:0".parse().unwrap())
}

async fn start(config: TransportConfig) -> (Transports, Receiver<Inbound>) {
    Transports::bind(config).await.unwrap()
}

async fn next(inbound: &mut Receiver<Inbound>) -> Inbound {
    timeout(NEVER, inbound.recv()).await.expect("nothing came").expect("closed")
}

async fn message(inbound: &mut Receiver<Inbound>) -> (Peer, Bytes) {
    match next(inbound).await {
        Inbound::Message { peer, bytes } => (peer, bytes),
        lost => panic!("{lost:?}"),
    }
}

async fn lost(inbound: &mut Receiver<Inbound>) -> Peer {
    match next(inbound).await {
        Inbound::Lost { peer } => peer,
        other => panic!("{other:?}"),
    }
}

async fn connect(transports: &Transports) -> TcpStream {
    TcpStream::connect(transports.tcp_address()).await.unwrap()
}

/// Reads exactly these bytes.
async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    timeout(NEVER, stream.read_exact(&mut got)).await.expect("nothing came").unwrap();
    assert_eq!(got.escape_ascii().to_string(), bytes.escape_ascii().to_string());
}

/// Reads until the other side closes.
async fn drained(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    // A reset is a close as well.
    let _ = timeout(NEVER, stream.read_to_end(&mut got)).await.expect("not closed");
    got
}

fn options(call_id: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:b@example.net SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.net>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn datagrams_both_ways_and_one_port() {
    let (transports, mut inbound) = start(config()).await;
    assert_eq!(transports.udp_address(), transports.tcp_address());
    assert_ne!(transports.udp_address().port(), 0);
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    phone.send_to(b"\r\n\r\n", transports.udp_address()).await.unwrap(); // a keep-alive is nobody's business
    phone.send_to(b"not SIP, but not ours to judge", transports.udp_address()).await.unwrap();
    let (peer, bytes) = message(&mut inbound).await;
    assert_eq!(&bytes[..], b"not SIP, but not ours to judge");
    assert_eq!(peer.remote, phone.local_addr().unwrap());
    assert_eq!((peer.transport, peer.local, peer.connection), (Transport::Udp, transports.udp_address(), None));
    transports.send(&peer, Bytes::from_static(b"answer")).unwrap();
    let mut buffer = [0; 100];
    let (length, from) = timeout(NEVER, phone.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], transports.udp_address()));
    assert_eq!(transports.counts().get(Counted::KeepAlives), 1);
    assert_eq!(transports.counts().get(Counted::DatagramsReceived), 2);
    assert_eq!(transports.send(&peer, Bytes::from(vec![0; 65_508])), Err(SendError::TooLong));
    let tls = Peer { transport: Transport::Tls, ..peer };
    assert_eq!(transports.send(&tls, Bytes::new()), Err(SendError::Unsupported(Transport::Tls)));
}

#[tokio::test]
async fn datagrams_that_nobody_takes_are_dropped_and_counted() {
    let (transports, mut inbound) = start(TransportConfig { inbound_queue: 2, ..config() }).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..10 {
        phone.send_to(b"x", transports.udp_address()).await.unwrap();
    }
    let counts = transports.counts();
    timeout(NEVER, async {
        while counts.get(Counted::DatagramsReceived) < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(counts.get(Counted::DatagramsDropped), 8);
    message(&mut inbound).await;
    message(&mut inbound).await;
    // It goes on.
    phone.send_to(b"y", transports.udp_address()).await.unwrap();
    assert_eq!(&message(&mut inbound).await.1[..], b"y");
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_setting() {
    let (transports, _inbound) = start(config()).await;
    let error = Transports::bind(TransportConfig::new(transports.tcp_address())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("sip") && text.contains(&transports.tcp_address().to_string()), "{text}");
    let udp_only = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let error = Transports::bind(TransportConfig::new(udp_only.local_addr().unwrap())).await.unwrap_err();
    assert_eq!(error.transport, Transport::Udp);
}

#[tokio::test]
async fn streams_are_framed_answered_and_reported_lost() {
    let (transports, mut inbound) = start(config()).await;
    let mut phone = connect(&transports).await;
    let (one, two) = (options("1", "body"), options("2", ""));
    phone.write_all(format!("\r\n\r\n{one}{}", &two[..50]).as_bytes()).await.unwrap();
    expect(&mut phone, b"\r\n").await; // pong
    let (peer, bytes) = message(&mut inbound).await;
    assert_eq!(&bytes[..], one.as_bytes());
    assert_eq!((peer.transport, peer.remote), (Transport::Tcp, phone.local_addr().unwrap()));
    assert!(peer.connection.is_some());
    phone.write_all(&two.as_bytes()[50..]).await.unwrap();
    assert_eq!(message(&mut inbound).await, (peer, Bytes::from(two)));
    // By its number, and by its address alone, it is the same connection.
    transports.send(&peer, Bytes::from_static(b"first ")).unwrap();
    transports.send(&Peer { connection: None, ..peer }, Bytes::from_static(b"second")).unwrap();
    expect(&mut phone, b"first second").await;
    drop(phone);
    assert_eq!(lost(&mut inbound).await, peer);
    // That connection is meant and no other.
    transports.send(&peer, Bytes::from_static(b"late")).unwrap();
    assert_eq!(lost(&mut inbound).await, peer);
    assert_eq!(transports.counts().get(Counted::ConnectionsOpened), 0);
    assert_eq!(transports.counts().get(Counted::ConnectionsClosed), 1);
}

#[tokio::test]
async fn connections_are_opened_on_demand_and_shared() {
    let (transports, mut inbound) = start(config()).await;
    let carrier = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer {
        transport: Transport::Tcp,
        remote: carrier.local_addr().unwrap(),
        local: transports.tcp_address(),
        connection: None,
    };
    // All three go by one connection, in order, though it is not open yet.
    for part in ["one ", "two ", "three"] {
        transports.send(&peer, Bytes::from(part)).unwrap();
    }
    let (mut accepted, _) = timeout(NEVER, carrier.accept()).await.unwrap().unwrap();
    expect(&mut accepted, b"one two three").await;
    accepted.write_all(options("back", "").as_bytes()).await.unwrap();
    let (from, _) = message(&mut inbound).await;
    assert_eq!(from.remote, peer.remote);
    assert_eq!(from.local, accepted.peer_addr().unwrap());
    assert_eq!(transports.counts().get(Counted::ConnectionsOpened), 1);
    drop(accepted);
    assert_eq!(lost(&mut inbound).await, from);
    // A new one after the loss.
    transports.send(&peer, Bytes::from_static(b"again")).unwrap();
    let (mut accepted, _) = timeout(NEVER, carrier.accept()).await.unwrap().unwrap();
    expect(&mut accepted, b"again").await;
    drop((accepted, carrier));
    assert_eq!(lost(&mut inbound).await.remote, peer.remote);
    // Nobody listens there any more.
    transports.send(&peer, Bytes::from_static(b"refused")).unwrap();
    assert_eq!(lost(&mut inbound).await, peer);
    assert_eq!(transports.counts().get(Counted::ConnectionsFailed), 1);
}

#[tokio::test]
async fn a_broken_stream_is_answered_and_closed() {
    let (transports, mut inbound) = start(config()).await;
    let mut phone = connect(&transports).await;
    phone.write_all(options("1", "").replace("Content-Length: 0\r\n", "").as_bytes()).await.unwrap();
    let answer = String::from_utf8(drained(&mut phone).await).unwrap();
    assert!(answer.starts_with("SIP/2.0 400 Content-Length is missing on a stream\r\n"), "{answer}");
    assert!(answer.contains(";received=127.0.0.1") && answer.contains("To: <sip:b@example.net>;tag="), "{answer}");
    lost(&mut inbound).await;
    // What cannot be answered is only closed.
    let mut noise = connect(&transports).await;
    noise.write_all(&[b'x'; crate::sip::message::MAX_MESSAGE]).await.unwrap();
    assert!(drained(&mut noise).await.is_empty());
    lost(&mut inbound).await;
    assert_eq!(transports.counts().get(Counted::BrokenStreams), 2);
}

#[tokio::test]
async fn slow_and_silent_peers_are_closed() {
    let short = Duration::from_millis(100);
    let (transports, mut inbound) = start(TransportConfig { message_timeout: short, ..config() }).await;
    // Silent from the start.
    let mut silent = connect(&transports).await;
    assert!(drained(&mut silent).await.is_empty());
    lost(&mut inbound).await;
    // A message that never ends, however it dribbles in: a byte, a look whether we have been closed, a byte.
    let mut slow = connect(&transports).await;
    slow.write_all(options("1", "").as_bytes()).await.unwrap();
    message(&mut inbound).await;
    timeout(NEVER, async {
        while slow.write_all(b"X").await.is_ok() {
            if timeout(Duration::from_millis(5), slow.read(&mut [0; 8])).await.is_ok() {
                break;
            }
        }
    })
    .await
    .unwrap();
    lost(&mut inbound).await;
    assert_eq!(transports.counts().get(Counted::SlowPeers), 2);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let config = TransportConfig { idle_timeout: Duration::from_millis(50), ..config() };
    let (transports, mut inbound) = start(config).await;
    let mut phone = connect(&transports).await;
    phone.write_all(options("1", "").as_bytes()).await.unwrap();
    let (peer, _) = message(&mut inbound).await;
    assert!(drained(&mut phone).await.is_empty());
    assert_eq!(lost(&mut inbound).await, peer);
    assert_eq!(transports.counts().get(Counted::SlowPeers), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed() {
    let config = TransportConfig { connection_queue: 2, write_timeout: Duration::from_millis(200), ..config() };
    let (transports, mut inbound) = start(config).await;
    let mut phone = connect(&transports).await;
    phone.write_all(options("1", "").as_bytes()).await.unwrap();
    let (peer, _) = message(&mut inbound).await;
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..64 {
        // Far more than socket buffers hold. Full is fine: the table has not come round to it.
        let _ = transports.send(&peer, big.clone());
        tokio::task::yield_now().await;
    }
    assert_eq!(lost(&mut inbound).await, peer);
    assert!(transports.counts().get(Counted::SlowPeers) >= 1);
}

#[tokio::test]
async fn connections_are_bounded_by_source_and_in_all() {
    let (transports, mut inbound) = start(TransportConfig { max_connections_per_source: 2, ..config() }).await;
    let mut first = connect(&transports).await;
    let mut second = connect(&transports).await;
    for (phone, id) in [(&mut first, "1"), (&mut second, "2")] {
        phone.write_all(options(id, "").as_bytes()).await.unwrap();
        message(&mut inbound).await;
    }
    let mut third = connect(&transports).await;
    assert!(drained(&mut third).await.is_empty());
    assert_eq!(transports.counts().get(Counted::ConnectionsRefused), 1);
    // One goes, one may come.
    drop(first);
    lost(&mut inbound).await;
    let mut fourth = connect(&transports).await;
    fourth.write_all(options("4", "").as_bytes()).await.unwrap();
    message(&mut inbound).await;

    let (transports, mut inbound) = start(TransportConfig { max_connections: 1, ..config() }).await;
    let mut only = connect(&transports).await;
    only.write_all(options("1", "").as_bytes()).await.unwrap();
    let (peer, _) = message(&mut inbound).await;
    let elsewhere = Peer { remote: "127.0.0.1:9".parse().unwrap(), connection: None, ..peer };
    transports.send(&elsewhere, Bytes::from_static(b"x")).unwrap();
    assert_eq!(lost(&mut inbound).await, elsewhere);
}

#[tokio::test]
async fn when_the_handle_goes_what_was_sent_still_goes_out() {
    let (transports, mut inbound) = start(config()).await;
    let mut phone = connect(&transports).await;
    phone.write_all(options("1", "").as_bytes()).await.unwrap();
    let (peer, _) = message(&mut inbound).await;
    let (tcp, udp) = (transports.tcp_address(), transports.udp_address());
    transports.send(&peer, Bytes::from_static(b"BYE")).unwrap();
    drop(transports);
    assert_eq!(drained(&mut phone).await, b"BYE");
    assert_eq!(lost(&mut inbound).await, peer);
    assert!(timeout(NEVER, inbound.recv()).await.unwrap().is_none(), "the queue ends");
    // Both ports are free again.
    start(TransportConfig::new(tcp)).await;
    assert_eq!(tcp, udp);
}
