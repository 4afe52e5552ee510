//! Requests that a datagram should not carry.

use super::*;
use crate::sip::message::Name;

fn large() -> OutgoingInvite {
    OutgoingInvite { headers: vec![("X-Long".into(), "x".repeat(1300))], ..invite(Transport::Udp) }
}

fn via(request: &Request) -> String {
    request.headers.text(&Name::Via).unwrap().into_owned()
}

#[test]
fn a_large_request_goes_by_tcp_and_says_so() {
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, large(), bench.now);
    let done = bench.done();
    let (peer, request) = &done.requests[0];
    assert_eq!((peer.transport, peer.remote, peer.connection), (Transport::Tcp, address(B), None));
    assert!(via(request).starts_with("SIP/2.0/TCP "), "{}", via(request));
    assert!(bench.wait(Duration::from_secs(10)).requests.is_empty(), "TCP sees to delivery");
    // A small one does not.
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    assert_eq!(bench.done().requests[0].0.transport, Transport::Udp);
}

#[test]
fn where_tcp_is_refused_it_is_a_datagram_after_all() {
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, large(), bench.now);
    let (tcp, by_tcp) = bench.done().requests[0].clone();
    bench.agent.transport_lost(&tcp, bench.now);
    let done = bench.done();
    let (udp, by_udp) = &done.requests[0];
    assert!(done.events.is_empty());
    assert_eq!((udp.transport, udp.remote), (Transport::Udp, address(B)));
    assert_eq!(via(by_udp), via(&by_tcp).replace("/TCP", "/UDP"), "the same transaction");
    assert_eq!(bench.wait(Duration::from_millis(600)).methods(), ["INVITE"], "it is repeated now");
    // The call comes about, and is cancelled the way that it went.
    let by_udp = by_udp.clone();
    bench.reply(&by_udp, 180, "t", "Contact: <sip:bob@192.0.2.2>", "");
    let done = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(done.requests[0].0.transport, Transport::Udp);
    // For a while nobody tries again there.
    let second = bench.agent.new_leg();
    bench.agent.place(second, large(), bench.now);
    assert_eq!(bench.done().requests[0].0.transport, Transport::Udp);
    bench.wait(Duration::from_secs(601));
    let third = bench.agent.new_leg();
    bench.agent.place(third, large(), bench.now);
    assert_eq!(bench.done().requests[0].0.transport, Transport::Tcp);
}

#[test]
fn without_a_tcp_listener_or_a_limit_everything_is_a_datagram() {
    let mut only_udp = config(A);
    only_udp.contacts.retain(|contact| contact.transport == Transport::Udp);
    let mut unlimited = config(A);
    unlimited.limits.datagram = 0;
    for config in [only_udp, unlimited] {
        let mut bench = Bench::with(config);
        let leg = bench.agent.new_leg();
        bench.agent.place(leg, large(), bench.now);
        assert_eq!(bench.done().requests[0].0.transport, Transport::Udp);
    }
}
