//! The entrance: who comes in as whom, and who must prove it.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::random::Random;
use crate::sip::digest::{Authenticator, Rounds, Secret, challenges};
use crate::sip::leg::Credentials;
use crate::sip::message::{Host, Message, Name, Request};
use crate::sip::peer::{Peer, Transport};
use crate::time::Time;

fn policy() -> Policy {
    let user = |name: &str, disabled| {
        let secret = Secret::of_password(name, "strowger", "wonder");
        (name.to_owned(), UserAccess { name: name.into(), secret, disabled, max_contacts: 5, ..UserAccess::default() })
    };
    let digest =
        TrunkDigest { username: "gateway".into(), secret: Secret::of_password("gateway", "strowger", "wonder") };
    Policy {
        hosts: vec![Host::Domain("pbx.example".into()), Host::V4([192, 0, 2, 1].into())],
        ports: vec![5060],
        users: HashMap::from([user("alice", false), user("bob", false), user("eve", true)]),
        aliases: HashMap::from([("+15551230001".to_owned(), "alice".to_owned())]),
        trunks: vec![
            TrunkAccess { name: "net".into(), networks: vec!["203.0.113.0/24".parse().unwrap()], ..Default::default() },
            TrunkAccess {
                name: "cert".into(),
                certificate_names: vec!["SIP.carrier.example".into()],
                ..Default::default()
            },
            TrunkAccess { name: "digest".into(), digest: Some(digest), ..Default::default() },
        ],
        ..Policy::default()
    }
}

fn peer(ip: &str) -> Peer {
    Peer {
        transport: Transport::Udp,
        remote: std::net::SocketAddr::new(ip.parse().unwrap(), 5060),
        local: "192.0.2.1:5060".parse().unwrap(),
        connection: None,
    }
}

fn request(method: &str, uri: &str, from: &str) -> Request {
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\nFrom: <{from}>;tag=1\r\n\
         To: <{uri}>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\r\n"
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!(),
    }
}

struct Door {
    entrance: Entrance,
    policy: Policy,
    /// Whose registration came on the flow.
    registered: Option<&'static str>,
    now: Time,
}

impl Door {
    fn new() -> Self {
        let now = Time::EPOCH + Duration::from_secs(5_000);
        Door { entrance: Entrance::new(&mut Random::from_number(1)), policy: policy(), registered: None, now }
    }

    fn admit(&mut self, request: &Request, ip: &str) -> Admission {
        let registered = self.registered.and_then(|name| self.policy.users.get(name));
        self.entrance.admit(&self.policy, request, &peer(ip), &[], registered, self.now)
    }

    /// Answers the challenge as this user, with this password.
    fn admit_as(&mut self, mut request: Request, ip: &str, user: &str, password: &str) -> Admission {
        let Admission::Challenge { challenges: asked, proxy, .. } = self.admit(&request, ip) else {
            panic!("no challenge");
        };
        let texts: Vec<String> = asked.iter().map(ToString::to_string).collect();
        let mut authenticator = Authenticator::default();
        let read = challenges(texts.iter().map(String::as_bytes), proxy);
        authenticator.challenged(read, &mut Rounds::default(), &mut Random::from_number(2)).unwrap();
        let credentials = Credentials { user: user.into(), password: password.into() };
        let uri = request.uri.to_string();
        let answer = authenticator.authorizations(&credentials, request.method.as_str(), &uri).remove(0);
        let name = if proxy { Name::ProxyAuthorization } else { Name::Authorization };
        request.headers.push(name, answer.value).unwrap();
        self.admit(&request, ip)
    }
}

const STRANGE: &str = "198.51.100.7";

fn is_challenge(admission: &Admission) -> bool {
    matches!(admission, Admission::Challenge { failed: None, .. })
}

#[test]
fn strangers_stay_strangers_unless_everybody_is_asked() {
    let mut door = Door::new();
    let invite = request("INVITE", "sip:ivr@pbx.example", "sip:carol@elsewhere.example");
    assert_eq!(door.admit(&invite, STRANGE), Admission::As(Identity::Stranger));
    // Our address with another's port is another program on this machine.
    let beside = request("INVITE", "sip:ivr@pbx.example", "sip:alice@192.0.2.1:5099");
    assert_eq!(door.admit(&beside, STRANGE), Admission::As(Identity::Stranger));
    door.policy.authenticate = Authenticate::All;
    assert!(is_challenge(&door.admit(&invite, STRANGE)));
    assert_eq!(door.admit(&invite, "203.0.113.9"), Admission::As(Identity::Trunk("net".into())), "but trunks are not");
}

#[test]
fn who_writes_an_address_of_ours_must_prove_it_whether_there_is_such_a_user_or_not() {
    let mut door = Door::new();
    for from in ["sip:alice@pbx.example", "sip:nobody@pbx.example", "sip:alice@192.0.2.1:5060", "sip:eve@192.0.2.1"] {
        let admission = door.admit(&request("INVITE", "sip:ivr@pbx.example", from), STRANGE);
        assert!(is_challenge(&admission), "{from}: {admission:?}");
    }
    let invite = || request("INVITE", "sip:ivr@pbx.example", "sip:alice@pbx.example");
    assert_eq!(door.admit_as(invite(), STRANGE, "alice", "wonder"), Admission::As(Identity::User("alice".into())));
    let failed = |admission| match admission {
        Admission::Challenge { failed, .. } => failed.map(|failure| (failure.known, failure.proven)),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(door.admit_as(invite(), STRANGE, "alice", "guess")), Some((true, true)));
    assert_eq!(failed(door.admit_as(invite(), STRANGE, "nobody", "guess")), Some((false, true)));
    assert_eq!(failed(door.admit_as(invite(), STRANGE, "eve", "wonder")), Some((false, true)), "disabled");
    assert!(matches!(door.admit_as(invite(), STRANGE, "bob", "wonder"), Admission::Refuse(403, _)), "bob is not alice");
}

#[test]
fn anybody_elses_address_is_a_strangers_whatever_it_is_called() {
    let mut door = Door::new();
    for method in ["INVITE", "OPTIONS"] {
        for from in
            ["tel:+1-555-123-0001", "tel:+15551239999", "sip:alice@far.example", "sip:nobody@far.example", "urn:alice"]
        {
            let admission = door.admit(&request(method, "sip:ivr@pbx.example", from), STRANGE);
            assert_eq!(admission, Admission::As(Identity::Stranger), "{method} {from}");
        }
    }
    // A carrier's account, in an INVITE alone; and that is told.
    let from = "sip:gateway@far.example";
    let options = request("OPTIONS", "sip:ivr@pbx.example", from);
    assert_eq!(door.admit(&options, STRANGE), Admission::As(Identity::Stranger));
    let probe = |admission| match admission {
        Admission::Challenge { probe, .. } => probe,
        other => panic!("{other:?}"),
    };
    assert!(probe(door.admit(&request("INVITE", "sip:ivr@pbx.example", from), STRANGE)));
    for (from, authenticate) in [("sip:gateway@pbx.example", Authenticate::Users), (from, Authenticate::All)] {
        door.policy.authenticate = authenticate;
        let admission = door.admit(&request("INVITE", "sip:ivr@pbx.example", from), STRANGE);
        assert!(!probe(admission), "asked whatever the name is");
    }
}

#[test]
fn on_the_flow_of_a_registration_a_users_name_is_his_claim_whatever_the_domain() {
    let mut door = Door::new();
    door.registered = Some("alice");
    for from in ["sip:alice@far.example", "tel:+15551230001"] {
        let invite = || request("INVITE", "sip:ivr@pbx.example", from);
        assert!(is_challenge(&door.admit(&invite(), STRANGE)), "{from}");
        assert_eq!(door.admit_as(invite(), STRANGE, "alice", "wonder"), Admission::As(Identity::User("alice".into())));
        assert!(matches!(door.admit_as(invite(), STRANGE, "bob", "wonder"), Admission::Refuse(403, _)));
        let options = request("OPTIONS", "sip:ivr@pbx.example", from);
        assert_eq!(door.admit(&options, STRANGE), Admission::As(Identity::Stranger));
    }
}

#[test]
fn without_users_nobody_is_asked() {
    let mut door = Door::new();
    door.policy.users.clear();
    door.policy.trunks.clear();
    let invite = request("INVITE", "sip:ivr@pbx.example", "sip:alice@pbx.example");
    assert_eq!(door.admit(&invite, STRANGE), Admission::As(Identity::Stranger));
    assert!(is_challenge(&door.admit(&request("REGISTER", "sip:pbx.example", "sip:alice@pbx.example"), STRANGE)));
}

#[test]
fn trunks_are_known_by_network_certificate_or_digest() {
    let mut door = Door::new();
    let invite = |from| request("INVITE", "sip:+15551230001@pbx.example", from);
    // From a trunk, an address of ours proves nothing and is not asked for: it is the trunk that calls.
    for from in ["sip:+1@carrier.example", "sip:alice@pbx.example"] {
        assert_eq!(door.admit(&invite(from), "203.0.113.9"), Admission::As(Identity::Trunk("net".into())), "{from}");
        assert_eq!(door.admit(&invite(from), "::ffff:203.0.113.9"), Admission::As(Identity::Trunk("net".into())));
    }
    let names = ["other".to_owned(), "sip.carrier.example".to_owned()];
    let on = Peer { transport: Transport::Tls, connection: Some(7), ..peer(STRANGE) };
    let certified = door.entrance.admit(&door.policy, &invite("sip:+1@c.example"), &on, &names, None, door.now);
    assert_eq!(certified, Admission::As(Identity::Trunk("cert".into())));
    let gone = door.entrance.admit(&door.policy, &invite("sip:+1@c.example"), &on, &[], None, door.now);
    assert_eq!(gone, Admission::As(Identity::Stranger));
    let by_digest = door.admit_as(invite("sip:gateway@c.example"), STRANGE, "gateway", "wonder");
    assert_eq!(by_digest, Admission::As(Identity::Trunk("digest".into())));
    assert!(Identity::Trunk("digest".into()).is_trusted() && !Identity::User("alice".into()).is_trusted());
}

#[test]
fn for_others_we_ask_as_a_proxy_does() {
    let mut door = Door::new();
    let proxied = |door: &mut Door, uri| match door.admit(&request("INVITE", uri, "sip:alice@pbx.example"), STRANGE) {
        Admission::Challenge { proxy, .. } => proxy,
        other => panic!("{other:?}"),
    };
    assert!(!proxied(&mut door, "sip:ivr@pbx.example") && proxied(&mut door, "sip:x@elsewhere.example"));
    let away = request("INVITE", "sip:x@elsewhere.example", "sip:alice@pbx.example");
    assert_eq!(door.admit_as(away, STRANGE, "alice", "wonder"), Admission::As(Identity::User("alice".into())));
}

#[test]
fn credentials_must_be_for_what_is_asked_but_proxies_may_dress_it() {
    let policy = policy();
    let asked: crate::sip::message::Uri = "sip:ivr@192.0.2.1;transport=tcp".parse().unwrap();
    let meant = |written: &str| super::entrance::is_meant(written, &asked, &policy);
    assert!(meant("sip:ivr@192.0.2.1;transport=tcp") && meant("sip:ivr@192.0.2.1") && meant("sip:ivr@pbx.example"));
    assert!(!meant("sip:bob@192.0.2.1") && !meant("sip:ivr@elsewhere.example") && !meant("") && !meant("*"));
}

#[test]
fn broken_credentials_are_said_to_be() {
    let mut door = Door::new();
    let mut invite = request("INVITE", "sip:ivr@pbx.example", "sip:alice@pbx.example");
    invite.headers.push(Name::Authorization, "Digest realm=\"strowger\"").unwrap();
    assert!(matches!(door.admit(&invite, STRANGE), Admission::Refuse(400, _)));
    let mut invite = request("INVITE", "sip:ivr@pbx.example", "sip:alice@pbx.example");
    invite.headers.push(Name::Authorization, "Digest realm=\"strow").unwrap();
    assert!(matches!(door.admit(&invite, STRANGE), Admission::Refuse(400, _)));
}
