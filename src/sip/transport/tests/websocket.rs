//! SIP over WebSocket on loopback: by a real client, and by bytes that no client sends.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::secure::{Authority, dial, secure};
use super::*;

fn plain() -> TransportConfig {
    TransportConfig { ws_listen: vec!["127.0.0.1:0".parse().unwrap()], ..config() }
}

async fn open(transports: &Transports) -> TcpStream {
    TcpStream::connect(transports.address(Transport::Ws).unwrap()).await.unwrap()
}

async fn browser(transports: &Transports, headers: &[(&'static str, &str)]) -> Result<WebSocketStream<TcpStream>, u16> {
    let mut request = "ws://pbx.example/".into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match timeout(NEVER, client_async(request, open(transports).await)).await.unwrap() {
        Ok((socket, response)) => {
            assert_eq!(response.headers().get("sec-websocket-protocol").unwrap(), "sip");
            Ok(socket)
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

const SIP: (&str, &str) = ("sec-websocket-protocol", "sip");

/// As a browser writes it: no Content-Length, a host that leads nowhere (RFC 7118 §5).
const REGISTER: &str = "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1\r\n\
     From: <sip:a@pbx.example>;tag=1\r\nTo: <sip:a@pbx.example>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
     Contact: <sip:a@df7jal23ls0d.invalid;transport=ws>\r\n\r\n";

async fn said(socket: &mut WebSocketStream<TcpStream>) -> Frame {
    timeout(NEVER, socket.next()).await.expect("nothing came").expect("closed").unwrap()
}

#[tokio::test]
async fn one_message_is_one_frame() {
    let (transports, mut inbound) = start(plain()).await;
    let mut page = browser(&transports, &[("sec-websocket-protocol", "chat, sip")]).await.unwrap();
    page.send(Frame::text(REGISTER)).await.unwrap();
    let (peer, bytes) = message(&mut inbound).await;
    assert_eq!((peer.transport, &bytes[..]), (Transport::Ws, REGISTER.as_bytes()));
    assert!(crate::sip::message::Message::parse(&bytes).is_ok(), "Content-Length may be left out");
    page.send(Frame::binary(Bytes::from_static(b"\xff\x00binary"))).await.unwrap();
    assert_eq!(&message(&mut inbound).await.1[..], b"\xff\x00binary");
    transports.send(&peer, Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n")).unwrap();
    assert_eq!(said(&mut page).await, Frame::text("SIP/2.0 200 OK\r\n\r\n"));
    transports.send(&peer, Bytes::from_static(b"\xff\xfe")).unwrap();
    assert_eq!(said(&mut page).await, Frame::binary(Bytes::from_static(b"\xff\xfe")));
    // Keep-alives of both kinds.
    page.send(Frame::text("\r\n\r\n")).await.unwrap();
    assert_eq!(said(&mut page).await, Frame::text("\r\n"));
    page.send(Frame::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(said(&mut page).await, Frame::Pong(Bytes::from_static(b"there?")));
    assert_eq!(transports.counts().get(Counted::WsReceived), 2);
    page.close(None).await.unwrap();
    assert_eq!(lost(&mut inbound).await, peer);
}

#[tokio::test]
async fn who_does_not_speak_sip_or_comes_from_elsewhere_is_refused() {
    let (transports, _inbound) = start(plain()).await;
    assert_eq!(browser(&transports, &[]).await.err(), Some(400));
    assert_eq!(browser(&transports, &[("sec-websocket-protocol", "chat")]).await.err(), Some(400));
    let origins = vec!["https://phone.example".to_owned()];
    let (transports, _inbound) = start(TransportConfig { origins, ..plain() }).await;
    assert_eq!(browser(&transports, &[SIP, ("origin", "https://evil.example")]).await.err(), Some(403));
    assert_eq!(browser(&transports, &[SIP]).await.err(), Some(403));
    assert!(browser(&transports, &[SIP, ("origin", "https://Phone.example")]).await.is_ok());
}

#[tokio::test]
async fn bad_frames_end_the_connection_and_nothing_else() {
    let (transports, mut inbound) = start(plain()).await;
    let frames: &[(&str, Vec<u8>)] = &[
        ("not masked", b"\x81\x02hi".to_vec()),
        ("reserved bits", b"\xf1\x80\0\0\0\0".to_vec()),
        ("a reserved opcode", b"\x83\x80\0\0\0\0".to_vec()),
        ("a fragmented ping", b"\x09\x80\0\0\0\0".to_vec()),
        ("a continuation of nothing", b"\x80\x80\0\0\0\0".to_vec()),
        ("text that is no UTF-8", b"\x81\x81\0\0\0\0\xff".to_vec()),
        ("longer than anybody may say", b"\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0".to_vec()),
        ("longer than there is memory", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec()),
    ];
    for (what, bytes) in frames {
        let mut socket = browser(&transports, &[SIP]).await.unwrap();
        socket.get_mut().write_all(bytes).await.unwrap();
        drained(socket.get_mut()).await;
        assert_eq!(lost(&mut inbound).await.transport, Transport::Ws, "{what}");
    }
    for noise in [&b"OPTIONS sip:a SIP/2.0\r\n\r\n"[..], &[b'x'; 100_000], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = open(&transports).await;
        let _ = socket.write_all(noise).await; // it may be closed before all is written
        drained(&mut socket).await;
        lost(&mut inbound).await;
    }
    let mut page = browser(&transports, &[SIP]).await.unwrap();
    page.send(Frame::text(REGISTER)).await.unwrap();
    message(&mut inbound).await;
}

#[tokio::test]
async fn a_frame_that_dribbles_in_is_given_up() {
    let short = Duration::from_millis(100);
    let (transports, mut inbound) = start(TransportConfig { message_timeout: short, ..plain() }).await;
    let mut page = browser(&transports, &[SIP]).await.unwrap();
    page.send(Frame::text(REGISTER)).await.unwrap();
    message(&mut inbound).await;
    // The head of a frame of 100 bytes, and never its content.
    page.get_mut().write_all(b"\x81\xe4\0\0\0\0INV").await.unwrap();
    drained(page.get_mut()).await;
    lost(&mut inbound).await;
    assert_eq!(transports.counts().get(Counted::SlowPeers), 1);
}

#[tokio::test]
async fn secure_websocket() {
    let authority = Authority::new();
    let (a, mut at_a) = start(secure(authority.settings("a", &["a.example"]))).await;
    let stream = dial(&a, Transport::Wss, authority.client(None), "a.example").await.unwrap();
    let mut request = "wss://a.example/".into_client_request().unwrap();
    request.headers_mut().insert(SIP.0, SIP.1.parse().unwrap());
    let (mut page, _) = client_async(request, stream).await.unwrap();
    page.send(Frame::text(REGISTER)).await.unwrap();
    assert_eq!(message(&mut at_a).await.0.transport, Transport::Wss);
    // Our own side of it, towards another engine.
    let (b, mut at_b) = start(secure(authority.settings("b", &["b.example"]))).await;
    let remote = a.address(Transport::Wss).unwrap();
    let connection = Some(b.destinations().number(Transport::Wss, remote, "a.example"));
    let peer = Peer { transport: Transport::Wss, remote, local: b.address(Transport::Wss).unwrap(), connection };
    b.send(&peer, Bytes::from(options("1", ""))).unwrap();
    let (back, _) = message(&mut at_a).await;
    a.send(&back, Bytes::from(options("2", ""))).unwrap();
    assert_eq!(message(&mut at_b).await.0.connection, connection);
}
