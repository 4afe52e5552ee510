//! Which of our addresses a request leaves from, by transport and family, and who is at the other end of a connection.

use super::*;
use crate::sip::message::Name;

fn dual_stack() -> AgentConfig {
    let mut config = config(A);
    config.contacts.push(ContactAddress {
        transport: Transport::Udp,
        local: "[2001:db8::1]:5060".parse().unwrap(),
        host: "2001:db8::1".into(),
        port: 5060,
    });
    config
}

#[test]
fn a_request_leaves_from_the_address_of_its_family() {
    for (destination, local, host) in [
        ("[2001:db8::2]:5060", "[2001:db8::1]:5060", "[2001:db8::1]:5060"),
        ("192.0.2.2:5060", "192.0.2.1:5060", "192.0.2.1:5060"),
        ("[::ffff:192.0.2.2]:5060", "192.0.2.1:5060", "192.0.2.1:5060"),
    ] {
        let mut bench = Bench::with(dual_stack());
        let leg = bench.agent.new_leg();
        let call = OutgoingInvite { destination: destination.parse().unwrap(), ..invite(Transport::Udp) };
        bench.agent.place(leg, call, bench.now);
        let done = bench.done();
        let (peer, request) = &done.requests[0];
        assert_eq!(peer.local, local.parse().unwrap());
        assert!(request.headers.text(&Name::Via).unwrap().contains(&format!("UDP {host};")));
        assert!(request.headers.text(&Name::Contact).unwrap().contains(&format!("@{host}>")));
    }
}

#[test]
fn where_none_of_ours_reaches_nothing_is_sent() {
    let mut bench = Bench::with(dual_stack());
    let leg = bench.agent.new_leg();
    let call = OutgoingInvite { destination: "[2001:db8::2]:5060".parse().unwrap(), ..invite(Transport::Tcp) };
    bench.agent.place(leg, call, bench.now);
    let done = bench.done();
    assert!(done.requests.is_empty());
    assert!(matches!(done.events[..], [LegEvent::Failed { status: 503, local: true, .. }]));
}

#[test]
fn names_are_known_as_long_as_the_connection_lasts() {
    let mut bench = Bench::new();
    let peer = Peer { transport: Transport::Tls, remote: address(B), local: address(A), connection: Some(7) };
    bench.agent.identified(7, vec!["carrier.example".into()]);
    assert_eq!(bench.agent.certificate_names(peer.connection), ["carrier.example"]);
    assert!(bench.agent.certificate_names(None).is_empty() && bench.agent.certificate_names(Some(8)).is_empty());
    bench.agent.transport_lost(&peer, bench.now);
    assert!(!bench.agent.certificate_names(peer.connection).is_empty(), "one message was not sent: it is still there");
    bench.agent.connection_lost(&peer, bench.now);
    assert!(bench.agent.certificate_names(peer.connection).is_empty());
}
