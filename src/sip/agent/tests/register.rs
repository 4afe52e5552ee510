//! Phones at the agent's door: REGISTER with digest, INVITEs that claim to be a user's, and what they find there.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sip::access::{Identity, Policy, TrunkAccess, UserAccess};
use crate::sip::digest::{Authenticator, Rounds, Secret, challenges};
use crate::sip::leg::Credentials;
use crate::sip::message::Name;

fn policy() -> Policy {
    let user = |name: &str| UserAccess {
        name: name.to_owned(),
        secret: Secret::of_password(name, "strowger", "wonder"),
        max_contacts: 3,
        ..UserAccess::default()
    };
    Policy {
        hosts: vec!["192.0.2.1".parse().unwrap()],
        users: ["alice", "bob"].into_iter().map(|name| (name.to_owned(), user(name))).collect(),
        ..Policy::default()
    }
}

/// A telephone of alice's at the hand-written peer's place.
struct Phone {
    bench: Bench,
    authenticator: Authenticator,
    user: &'static str,
    password: &'static str,
    cseq: u32,
}

impl Phone {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.agent.set_policy(Arc::new(policy()));
        Phone { bench, authenticator: Authenticator::default(), user: "alice", password: "wonder", cseq: 0 }
    }

    fn text(&mut self, method: &str, extra: &str, body: &str) -> String {
        self.cseq += 1;
        let credentials = Credentials { user: self.user.into(), password: self.password.into() };
        let uri = "sip:192.0.2.1";
        let answers = self.authenticator.authorizations(&credentials, method, uri);
        let authorization: String = answers.iter().map(|a| format!("Authorization: {}\r\n", a.value)).collect();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{} 10.0.0.9:5070;rport;branch=z9hG4bK{method}{}\r\n\
             From: <sip:{user}@192.0.2.1>;tag=f\r\nTo: <sip:{user}@192.0.2.1>\r\nCall-ID: reg\r\n\
             CSeq: {} {method}\r\n{authorization}{kind}{extra}Content-Length: {}\r\n\r\n{body}",
            self.bench.peer.transport,
            self.cseq,
            self.cseq,
            body.len(),
            user = self.user,
        )
    }

    fn send(&mut self, method: &str, extra: &str, body: &str) -> Done {
        let text = self.text(method, extra, body);
        let done = self.bench.receive(&text);
        if let Some((_, response)) = done.responses.iter().find(|(_, r)| r.status() == 401) {
            let read = challenges(response.headers.get_all(&Name::WwwAuthenticate), false);
            assert_eq!(read.len(), 2, "SHA-256 and MD5");
            self.authenticator.challenged(read, &mut Rounds::default(), &mut Random::from_number(9)).unwrap();
        }
        done
    }

    /// With the challenge answered, if one comes.
    fn through(&mut self, method: &str, extra: &str, body: &str) -> Done {
        let done = self.send(method, extra, body);
        if done.statuses() == [401] { self.send(method, extra, body) } else { done }
    }
}

const CONTACT: &str = "Contact: <sip:alice@10.0.0.9:5070>\r\n";

#[test]
fn a_phone_registers_is_listed_and_ends() {
    let mut phone = Phone::new();
    let asked = phone.send("REGISTER", CONTACT, "");
    assert_eq!(asked.statuses(), [401]);
    assert!(asked.registrations.is_empty() && asked.counters.contains(&Counter::Challenged));
    let done = phone.send("REGISTER", CONTACT, "");
    let ok = done.response(200);
    assert_eq!(ok.headers.text(&Name::Contact).unwrap(), "<sip:alice@10.0.0.9:5070>;expires=3600");
    assert!(ok.headers.to().unwrap().tag().is_some());
    let (user, bindings) = &done.registrations[0];
    assert_eq!((user.as_str(), bindings.len()), ("alice", 1));
    assert_eq!(bindings[0].flow.remote, far(), "the flow, not what Contact says");
    // The next goes through at once, on the same nonce.
    assert_eq!(phone.send("REGISTER", CONTACT, "").statuses(), [200]);
    let ended = phone.bench.wait(Duration::from_secs(3_601));
    assert_eq!(ended.statuses(), [0; 0]);
    assert_eq!(phone.bench.agent.census(), Census::default());
    assert!(phone.bench.agent.deadline().is_none());
}

#[test]
fn a_repetition_gets_the_same_answer_and_is_no_replay() {
    let mut phone = Phone::new();
    phone.send("REGISTER", CONTACT, "");
    let text = phone.text("REGISTER", CONTACT, "");
    let first = phone.bench.receive(&text);
    let again = phone.bench.receive(&text);
    assert_eq!((first.statuses(), again.statuses()), (vec![200], vec![200]));
    assert_eq!(first.responses[0].1, again.responses[0].1);
    assert!(again.registrations.is_empty());
    phone.bench.wait(Duration::from_secs(33));
    let late = phone.bench.receive(&text);
    assert_eq!(late.statuses(), [401], "by now it is a replay");
    assert!(late.response(401).headers.text(&Name::WwwAuthenticate).unwrap().contains("stale=true"));
}

#[test]
fn guesses_and_names_that_are_not_there_look_alike_from_outside() {
    let challenge = |user, password| {
        let mut phone = Phone { user, password, ..Phone::new() };
        let first = phone.send("REGISTER", CONTACT, "");
        let second = phone.send("REGISTER", CONTACT, "");
        assert_eq!((first.statuses(), second.statuses()), (vec![401], vec![401]), "{user}");
        assert!(second.counters.contains(&Counter::AuthenticationFailed));
        let response = second.response(401);
        let names: Vec<String> = response.headers.iter().map(|h| h.name().to_string()).collect();
        (names, response.to_bytes().len() - user.len() * 2)
    };
    assert_eq!(challenge("alice", "guess"), challenge("nobody", "guess"));
}

#[test]
fn nobody_registers_for_somebody_else() {
    let mut phone = Phone::new();
    phone.send("REGISTER", CONTACT, "");
    let text = phone.text("REGISTER", CONTACT, "").replace("To: <sip:alice", "To: <sip:bob");
    assert_eq!(phone.bench.receive(&text).statuses(), [403]);
    let text = phone.text("REGISTER", "Require: gruu, telepathy\r\n", "");
    let refused = phone.bench.receive(&text);
    assert_eq!(refused.response(420).headers.text(&Name::Unsupported).unwrap(), "telepathy");
    let brief = phone.through("REGISTER", "Contact: <sip:a@10.0.0.9>;expires=5\r\n", "");
    assert_eq!(brief.response(423).headers.text(&Name::MinExpires).unwrap(), "60");
}

#[test]
fn a_connection_that_is_lost_takes_its_bindings_along_and_so_does_a_user_who_is_gone() {
    let mut phone = Phone::new();
    phone.bench.peer = Peer { transport: Transport::Tcp, connection: Some(5), ..phone.bench.peer };
    let outbound = "Supported: outbound, path\r\n\
         Contact: <sip:alice@10.0.0.9;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n";
    let done = phone.through("REGISTER", outbound, "");
    let ok = done.response(200);
    assert_eq!(ok.headers.text(&Name::Require).unwrap(), "outbound");
    assert_eq!(ok.headers.text(&"Flow-Timer".parse().unwrap()).unwrap(), "120");
    assert_eq!(done.registrations[0].1[0].flow.connection, Some(5));
    let peer = phone.bench.peer;
    phone.bench.agent.connection_lost(&peer, phone.bench.now);
    assert_eq!(phone.bench.done().registrations, [("alice".to_owned(), vec![])]);
    phone.bench.peer.connection = Some(6);
    phone.cseq = 50;
    assert_eq!(phone.through("REGISTER", CONTACT, "").statuses(), [200]);
    let mut without = policy();
    without.users.remove("alice");
    phone.bench.agent.set_policy(Arc::new(without));
    assert_eq!(phone.bench.done().registrations, [("alice".to_owned(), vec![])]);
}

#[test]
fn a_user_calls_as_himself_and_a_stranger_as_nobody() {
    let mut phone = Phone::new();
    let done = phone.send("INVITE", CONTACT, OFFER);
    assert_eq!((done.statuses(), done.incoming.len()), (vec![401], 0), "no leg before it is proved");
    assert_eq!(phone.bench.agent.census(), Census::default());
    let done = phone.send("INVITE", CONTACT, OFFER);
    assert_eq!(done.incoming[0].identity, Identity::User("alice".into()));
    let mut bench = Bench::new();
    bench.agent.set_policy(Arc::new(policy()));
    assert_eq!(bench.invite("1", "", OFFER).incoming[0].identity, Identity::Stranger);
    let network = "198.51.100.0/24".parse().unwrap();
    let trunk = TrunkAccess { name: "carrier".into(), networks: vec![network], ..TrunkAccess::default() };
    bench.agent.set_policy(Arc::new(Policy { trunks: vec![trunk], ..policy() }));
    let asserted = bench.invite("2", "P-Asserted-Identity: <tel:+15551230009>\r\n", OFFER).incoming.remove(0);
    assert_eq!(asserted.identity, Identity::Trunk("carrier".into()));
    assert_eq!(asserted.caller().uri, "tel:+15551230009", "a trunk is believed");
}

/// Phones are set to domains that we do not know: they register, and what they call with is theirs all the same.
#[test]
fn who_registered_for_an_unknown_domain_is_asked_on_that_flow_and_on_no_other() {
    let unknown = |text: String| text.replace(">;tag=f", "x>;tag=f").replace("@192.0.2.1x>", "@pbx.example>");
    for connection in [None, Some(5)] {
        let mut phone = Phone::new();
        if connection.is_some() {
            phone.bench.peer = Peer { transport: Transport::Tcp, connection, ..phone.bench.peer };
        }
        let before = unknown(phone.text("INVITE", CONTACT, OFFER)).replace("Call-ID: reg", "Call-ID: before");
        assert_eq!(phone.bench.receive(&before).incoming[0].identity, Identity::Stranger);
        phone.send("REGISTER", CONTACT, "");
        let register = unknown(phone.text("REGISTER", CONTACT, ""))
            .replace("To: <sip:alice@192.0.2.1>", "To: <sip:alice@pbx.example>");
        assert_eq!(phone.bench.receive(&register).statuses(), [200]);
        let here = phone.bench.peer;
        phone.authenticator = Authenticator::default();
        phone.cseq = 10;
        let asked = unknown(phone.text("INVITE", CONTACT, OFFER));
        assert!(asked.contains("From: <sip:alice@pbx.example>;tag=f"), "{asked}");
        let done = phone.bench.receive(&asked);
        assert_eq!((done.statuses(), done.incoming.len()), (vec![401], 0));
        let read = challenges(done.responses[0].1.headers.get_all(&Name::WwwAuthenticate), false);
        phone.authenticator.challenged(read, &mut Rounds::default(), &mut Random::from_number(9)).unwrap();
        let proved = unknown(phone.text("INVITE", CONTACT, OFFER));
        assert_eq!(phone.bench.receive(&proved).incoming[0].identity, Identity::User("alice".into()));
        // From elsewhere it is a stranger's.
        phone.authenticator = Authenticator::default();
        phone.bench.peer = match connection {
            Some(_) => Peer { connection: Some(6), ..here },
            None => Peer { remote: SocketAddr::new(here.remote.ip(), 5071), ..here },
        };
        let elsewhere = unknown(phone.text("INVITE", CONTACT, OFFER)).replace("Call-ID: reg", "Call-ID: else");
        assert_eq!(phone.bench.receive(&elsewhere).incoming[0].identity, Identity::Stranger);
        // And what has ended counts no more.
        phone.bench.peer = here;
        phone.bench.agent.remove_registrations("alice", None);
        let after = unknown(phone.text("INVITE", CONTACT, OFFER)).replace("Call-ID: reg", "Call-ID: after");
        assert_eq!(phone.bench.receive(&after).incoming[0].identity, Identity::Stranger);
    }
}

#[test]
fn bindings_come_back_after_a_restart() {
    let mut phone = Phone::new();
    let bindings = phone.through("REGISTER", CONTACT, "").registrations.remove(0).1;
    let mut after = Bench::new();
    after.agent.set_policy(Arc::new(policy()));
    after.agent.restore_registrations("alice", bindings.clone(), after.now);
    assert_eq!(after.done().registrations, [("alice".to_owned(), bindings)]);
    assert!(after.agent.remove_registrations("alice", None));
    assert_eq!(after.done().registrations, [("alice".to_owned(), vec![])]);
}

#[test]
fn where_nobody_is_known_nobody_registers() {
    let mut phone = Phone::new();
    let options = phone.bench.request("OPTIONS", "7", "", 1, "", "");
    let serves = |done: Done| done.responses[0].1.headers.text(&Name::Allow).unwrap().contains("REGISTER");
    assert!(serves(phone.bench.receive(&options)), "users may register");
    phone.bench.agent.set_policy(Arc::default());
    let refused = phone.send("REGISTER", CONTACT, "");
    assert_eq!(refused.statuses(), [405]);
    assert!(!serves(refused));
    assert_eq!(phone.send("INVITE", CONTACT, OFFER).incoming.len(), 1, "and nobody is asked");
}
