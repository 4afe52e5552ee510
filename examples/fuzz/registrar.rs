//! REGISTER from anybody: credentials, contact lists, paths. What comes in by the entrance and what the registrar makes
//! of it; whatever comes, its books balance and nobody is let in without the password.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use strowger::random::Random;
use strowger::sip::access::{Admission, Entrance, Forking, Identity, Policy, UserAccess};
use strowger::sip::digest::Secret;
use strowger::sip::message::Message;
use strowger::sip::peer::{Peer, Transport};
use strowger::sip::registrar::{Registrar, rounds};
use strowger::time::Time;

use super::Target;

const SPICE: &[&[u8]] = &[
    b"\"",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b"\\",
    b"*",
    b"\0",
    b"\xff",
    b";expires=",
    b";q=0.",
    b";reg-id=1",
    b"99999999999",
    b"+sip.instance=\"<urn:x>\"",
    b"Digest ",
    b"nc=00000001",
    b"algorithm=MD5",
    b"stale=true",
    b", Digest ",
    b"ob",
];

const REGISTER: &str = "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
    From: <sip:alice@pbx.example>;tag=1\r\nTo: <sip:alice@pbx.example>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n\
    Authorization: Digest username=\"alice\", realm=\"strowger\", nonce=\"00\", uri=\"sip:pbx.example\", \
    response=\"6629fae49393a05397450978507c4ef1\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"\r\n\
    Contact: \"A, B\" <sip:alice@10.0.0.9;ob>;q=0.7;expires=600;+sip.instance=\"<urn:uuid:1>\";reg-id=1, <sip:b@[2001:db8::1]>\r\n\
    Supported: path, outbound, gruu\r\nPath: <sip:edge.example;lr;ob>\r\nExpires: 120\r\nContent-Length: 0\r\n\r\n";

const CLEAR: &str = "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK2\r\n\
    From: <sip:alice@pbx.example>;tag=1\r\nTo: <sip:alice@pbx.example>\r\nCall-ID: r\r\nCSeq: 2 REGISTER\r\n\
    Contact: *\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n";

/// `REGISTER` at the entrance and the registrar.
pub fn registrar() -> Target {
    let user = UserAccess {
        name: "alice".into(),
        secret: Secret::of_password("alice", "strowger", "wonder"),
        max_contacts: 10,
        ..UserAccess::default()
    };
    let policy = Policy { users: HashMap::from([("alice".to_owned(), user.clone())]), ..Policy::default() };
    let remote = SocketAddr::from(([198, 51, 100, 7], 5070));
    let local = SocketAddr::from(([192, 0, 2, 1], 5060));
    let flow = Peer { transport: Transport::Udp, remote, local, connection: None };
    let now = Time::EPOCH + Duration::from_secs(1_000_000);
    let read = move |input: &[u8]| {
        let Ok(Message::Request(request)) = Message::parse(input) else { return false };
        if request.check().is_err() {
            return false;
        }
        let mut entrance = Entrance::new(&mut Random::from_number(1));
        if let Admission::As(Identity::User(name)) = entrance.admit(&policy, &request, &flow, &[], None, now) {
            panic!("{name} came in without the password");
        }
        let mut registrar = Registrar::default();
        let Ok(listing) = registrar.register(&user, &request, flow, now) else {
            assert!(registrar.is_empty(), "all or nothing");
            return false;
        };
        assert_eq!(listing.contacts.len(), registrar.len());
        let bindings = registrar.bindings("alice").to_vec();
        let text = serde_json::to_string(&bindings).expect("bindings can be written");
        assert_eq!(serde_json::from_str::<Vec<_>>(&text).ok().as_ref(), Some(&bindings), "what we write we can read");
        rounds("alice", &bindings, Forking::Sequential, now);
        registrar.timeout(now + Duration::from_secs(3_600));
        assert!(registrar.is_empty() && registrar.deadline().is_none());
        true
    };
    Target { name: "registrar", seeds: vec![REGISTER.into(), CLEAR.into()], spice: SPICE, read: Box::new(read) }
}
