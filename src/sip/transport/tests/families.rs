//! IPv4 and IPv6 beside each other, and keep-alive.

use super::*;

#[tokio::test]
async fn both_families_at_once() {
    let listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let (a, mut at_a) = start(TransportConfig { listen, ..config() }).await;
    assert_eq!(a.listening().len(), 4);
    for (transport, address) in a.listening().to_vec() {
        let any = SocketAddr::new(address.ip(), 0);
        let (from, back) = match transport {
            Transport::Udp => {
                let phone = UdpSocket::bind(any).await.unwrap();
                phone.send_to(options("1", "").as_bytes(), address).await.unwrap();
                let (peer, _) = message(&mut at_a).await;
                a.send(&peer, Bytes::from_static(b"answer")).unwrap();
                let mut back = [0; 16];
                let (length, _) = timeout(NEVER, phone.recv_from(&mut back)).await.unwrap().unwrap();
                (peer, back[..length].to_vec())
            }
            _ => {
                let mut phone = TcpStream::connect(address).await.unwrap();
                phone.write_all(options("1", "").as_bytes()).await.unwrap();
                let (peer, _) = message(&mut at_a).await;
                a.send(&peer, Bytes::from_static(b"answer")).unwrap();
                let mut back = vec![0; 6];
                timeout(NEVER, phone.read_exact(&mut back)).await.unwrap().unwrap();
                drop(phone);
                lost(&mut at_a).await;
                (peer, back)
            }
        };
        assert_eq!(
            (from.transport, from.local, from.remote.ip(), &back[..]),
            (transport, address, address.ip(), &b"answer"[..])
        );
    }
}

#[tokio::test]
async fn a_datagram_leaves_by_the_socket_of_its_family() {
    let (a, mut at_a) = start(config()).await;
    let peer = |remote: &str| Peer {
        transport: Transport::Udp,
        remote: remote.parse().unwrap(),
        local: a.udp_address(),
        connection: None,
    };
    assert_eq!(a.send(&peer("[::1]:9"), Bytes::from_static(b"x")), Err(SendError::Unsupported(Transport::Udp)));
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    phone.send_to(options("1", "").as_bytes(), a.udp_address()).await.unwrap();
    message(&mut at_a).await; // from now on the socket is known to be writable
    let mapped = format!("[::ffff:127.0.0.1]:{}", phone.local_addr().unwrap().port());
    a.send(&peer(&mapped), Bytes::from_static(b"x")).unwrap();
    timeout(NEVER, phone.recv_from(&mut [0; 4])).await.unwrap().unwrap();
}

#[tokio::test]
async fn pings_keep_a_connection_and_a_silent_peer_loses_it() {
    let (a, mut at_a) = start(TransportConfig { pong_timeout: Duration::from_millis(500), ..config() }).await;
    let mut phone = connect(&a).await;
    phone.write_all(options("1", "").as_bytes()).await.unwrap();
    let (peer, _) = message(&mut at_a).await;
    a.keep_alive(peer.connection.unwrap(), Duration::from_millis(1)).unwrap();
    expect(&mut phone, b"\r\n\r\n").await;
    phone.write_all(b"\r\n").await.unwrap();
    expect(&mut phone, b"\r\n\r\n").await;
    assert_eq!(next(&mut at_a).await, Inbound::Lost { peer });
    assert!(drained(&mut phone).await.is_empty(), "one ping unanswered is enough");
}
