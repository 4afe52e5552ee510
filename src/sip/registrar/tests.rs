//! REGISTER by the letter: each rule of RFC 3261 §10.3, outbound, Path, GRUU, bounds, and time.

use std::time::Duration;

use super::*;
use crate::random::Random;
use crate::sip::access::{Forking, UserAccess};
use crate::sip::message::{Message, Request};
use crate::sip::peer::{Peer, Transport};
use crate::time::Time;

fn start() -> Time {
    Time::EPOCH + Duration::from_secs(1_000)
}

fn flow(port: u16) -> Peer {
    Peer {
        transport: Transport::Udp,
        remote: std::net::SocketAddr::new([203, 0, 113, 5].into(), port),
        local: "192.0.2.1:5060".parse().unwrap(),
        connection: None,
    }
}

fn over(connection: u64) -> Peer {
    Peer { transport: Transport::Tcp, connection: Some(connection), ..flow(40_000) }
}

fn request(call_id: &str, cseq: u32, extra: &str) -> Request {
    let text = format!(
        "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\n\
         From: <sip:alice@pbx.example>;tag=1\r\nTo: <sip:alice@pbx.example;user=phone>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\n{extra}\r\n"
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!(),
    }
}

struct Desk {
    registrar: Registrar,
    user: UserAccess,
    now: Time,
}

impl Desk {
    fn new() -> Self {
        let user = UserAccess { name: "alice".into(), max_contacts: 10, ..UserAccess::default() };
        Desk { registrar: Registrar::default(), user, now: start() }
    }

    fn on(&mut self, flow: Peer, call_id: &str, cseq: u32, extra: &str) -> Result<Listing, RegisterError> {
        self.registrar.register(&self.user, &request(call_id, cseq, extra), flow, self.now)
    }

    fn register(&mut self, call_id: &str, cseq: u32, extra: &str) -> Result<Listing, RegisterError> {
        self.on(flow(5060), call_id, cseq, extra)
    }

    fn contacts(&self) -> Vec<String> {
        self.registrar.bindings("alice").iter().map(|b| b.contact.to_string()).collect()
    }
}

fn listed(listing: &Listing) -> Vec<String> {
    listing.contacts.iter().map(ToString::to_string).collect()
}

#[test]
fn several_contacts_are_added_refreshed_listed_and_removed() {
    let mut desk = Desk::new();
    let both = "Contact: <sip:a@10.0.0.9>;expires=600;q=0.7, <sip:b@10.0.0.9>\r\nExpires: 120\r\n";
    let listing = desk.register("1", 1, both).unwrap();
    assert_eq!(listed(&listing), ["<sip:a@10.0.0.9>;q=0.7;expires=600", "<sip:b@10.0.0.9>;expires=120"]);
    assert!(listing.changed);
    desk.now += Duration::from_millis(60_500);
    let fetched = desk.register("1", 2, "").unwrap();
    assert_eq!(listed(&fetched), ["<sip:a@10.0.0.9>;q=0.7;expires=540", "<sip:b@10.0.0.9>;expires=60"]);
    assert!(!fetched.changed);
    // The same address, written otherwise (RFC 3261 §19.1.4), with another wish.
    let listing = desk.register("1", 3, "Contact: <sip:%61@10.0.0.9>;q=0.1;expires=60\r\n").unwrap();
    assert_eq!(listed(&listing)[0], "<sip:%61@10.0.0.9>;q=0.1;expires=60");
    assert_eq!(listed(&desk.register("1", 4, "Contact: <sip:a@10.0.0.9>;expires=0\r\n").unwrap()).len(), 1);
    assert!(desk.register("1", 5, "Contact: <sip:unknown@10.0.0.9>;expires=0\r\n").is_ok(), "nothing to remove");
    assert!(listed(&desk.register("1", 6, "Contact: *\r\nExpires: 0\r\n").unwrap()).is_empty());
    assert!(desk.registrar.is_empty() && desk.registrar.deadline().is_none());
}

#[test]
fn a_star_wants_expires_0_and_company_of_nobody() {
    let mut desk = Desk::new();
    desk.register("1", 1, "Contact: <sip:a@10.0.0.9>\r\n").unwrap();
    for extra in [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nExpires: soon\r\n",
        "Contact: *, <sip:b@h.example>\r\nExpires: 0\r\n",
    ] {
        let refused = desk.register("1", 2, extra).unwrap_err();
        assert_eq!(refused.status(), 400, "{extra}");
    }
    assert_eq!(desk.contacts().len(), 1);
}

#[test]
fn what_comes_late_changes_nothing_and_nothing_is_done_by_halves() {
    let mut desk = Desk::new();
    desk.register("1", 5, "Contact: <sip:a@10.0.0.9>\r\n").unwrap();
    for (cseq, extra) in [
        (5, "Contact: <sip:a@10.0.0.9>\r\n"),
        (4, "Contact: <sip:a@10.0.0.9>;expires=0\r\n"),
        (4, "Contact: *\r\nExpires: 0\r\n"),
        (4, "Contact: <sip:new@10.0.0.9>, <sip:a@10.0.0.9>\r\n"),
    ] {
        assert_eq!(desk.register("1", cseq, extra), Err(RegisterError::OutOfOrder), "{cseq} {extra}");
    }
    assert_eq!(desk.contacts(), ["sip:a@10.0.0.9"]);
    let broken = "Contact: <sip:new@10.0.0.9>, <tel:+15551230001>\r\n";
    assert_eq!(desk.register("1", 6, broken).unwrap_err().status(), 400);
    assert_eq!(desk.register("1", 6, "Contact: <sip:new@10.0.0.9>, <sip:x@h>;q=2\r\n").unwrap_err().status(), 400);
    assert_eq!(desk.contacts(), ["sip:a@10.0.0.9"], "all or nothing");
    // A phone that has been restarted counts from anew, under another Call-ID.
    assert!(desk.register("2", 1, "Contact: <sip:a@10.0.0.9>\r\n").is_ok());
}

#[test]
fn times_have_a_least_and_a_most() {
    let mut desk = Desk::new();
    let refused = desk.register("1", 1, "Contact: <sip:a@10.0.0.9>;expires=59\r\n").unwrap_err();
    assert_eq!((refused.clone(), refused.status()), (RegisterError::TooBrief { least: 60 }, 423));
    let left = |listing: Listing| listing.contacts[0].params.get("expires").unwrap().to_owned();
    for (extra, wanted) in [
        ("Contact: <sip:a@10.0.0.9>;expires=4294967295\r\n", "3600"),
        ("Contact: <sip:a@10.0.0.9>;expires=99999999999999\r\n", "3600"),
        ("Contact: <sip:a@10.0.0.9>;expires=soon\r\n", "3600"),
        ("Contact: <sip:a@10.0.0.9>\r\n", "3600"),
        ("Contact: <sip:a@10.0.0.9>\r\nExpires: 61\r\n", "61"),
    ] {
        let mut desk = Desk::new();
        assert_eq!(left(desk.register("1", 1, extra).unwrap()), wanted, "{extra}");
    }
}

#[test]
fn bindings_end_with_time() {
    let mut desk = Desk::new();
    desk.register("1", 1, "Contact: <sip:a@10.0.0.9>;expires=60, <sip:b@10.0.0.9>;expires=90\r\n").unwrap();
    assert_eq!(desk.registrar.deadline(), Some(start() + Duration::from_secs(60)));
    assert!(desk.registrar.timeout(start() + Duration::from_secs(59)).is_empty());
    assert_eq!(desk.registrar.timeout(start() + Duration::from_secs(60)), ["alice"]);
    assert_eq!(desk.contacts(), ["sip:b@10.0.0.9"]);
    assert_eq!(desk.registrar.timeout(start() + Duration::from_secs(90)), ["alice"]);
    assert!(desk.registrar.is_empty() && desk.registrar.deadline().is_none());
}

#[test]
fn more_than_ten_devices_are_too_many_and_those_there_stay() {
    let mut desk = Desk::new();
    for n in 0..10 {
        desk.register(&n.to_string(), 1, &format!("Contact: <sip:d{n}@10.0.0.{n}>\r\n")).unwrap();
    }
    let one_more = "Contact: <sip:d10@10.0.0.10>\r\n";
    assert_eq!(desk.register("10", 1, one_more), Err(RegisterError::TooMany));
    assert_eq!((desk.contacts().len(), RegisterError::TooMany.status()), (10, 403));
    assert!(desk.register("3", 2, "Contact: <sip:d3@10.0.0.3>\r\n").is_ok(), "a refresh is no more");
    let swapped = "Contact: <sip:d10@10.0.0.10>, <sip:d4@10.0.0.4>;expires=0\r\n";
    assert!(desk.register("10", 2, swapped).is_ok(), "one for another");
    let many: Vec<String> = (0..60).map(|n| format!("<sip:m{n}@h>")).collect();
    assert_eq!(desk.register("x", 1, &format!("Contact: {}\r\n", many.join(", "))).unwrap_err().status(), 400);
}

#[test]
fn a_device_is_replaced_by_instance_and_reg_id_whatever_its_address() {
    let mut desk = Desk::new();
    let contact = |host: &str, reg_id: u32| {
        format!(
            "Contact: <sip:alice@{host}>;+sip.instance=\"<urn:uuid:0-1>\";reg-id={reg_id}\r\nSupported: path, outbound\r\n"
        )
    };
    let listing = desk.on(over(1), "1", 1, &contact("10.0.0.9", 1)).unwrap();
    assert!(listing.outbound);
    assert_eq!(listed(&listing), ["<sip:alice@10.0.0.9>;expires=3600;+sip.instance=\"<urn:uuid:0-1>\";reg-id=1"]);
    desk.on(over(2), "2", 1, &contact("10.0.0.9", 2)).unwrap();
    assert_eq!(desk.contacts().len(), 2, "two flows of one device");
    desk.now += Duration::from_secs(1);
    desk.on(over(3), "3", 1, &contact("172.16.0.1", 1)).unwrap();
    assert_eq!(desk.contacts(), ["sip:alice@172.16.0.1", "sip:alice@10.0.0.9"], "the first flow moved");
    // One device rings once, by its youngest flow.
    let rounds = rounds("alice", desk.registrar.bindings("alice"), Forking::Parallel, desk.now);
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds[0].branches.iter().map(|b| b.connection).collect::<Vec<_>>(), [Some(3)]);
    assert!(desk.registrar.lost(3).contains(&"alice".to_owned()));
    assert_eq!(desk.contacts(), ["sip:alice@10.0.0.9"]);
    assert!(desk.registrar.lost(99).is_empty());
    // Without Supported: outbound a reg-id is another parameter that nobody knows.
    assert!(!desk.on(over(4), "4", 1, "Contact: <sip:z@h>;+sip.instance=\"<urn:x>\";reg-id=1\r\n").unwrap().outbound);
    let zero = "Contact: <sip:z@h>;+sip.instance=\"<urn:x>\";reg-id=0\r\nSupported: outbound\r\n";
    assert_eq!(desk.on(over(4), "5", 1, zero).unwrap_err().status(), 400);
}

#[test]
fn outbound_needs_a_first_hop_that_knows_it() {
    let mut desk = Desk::new();
    let contact = "Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK0\r\nSupported: outbound, path\r\n\
         Contact: <sip:alice@10.0.0.9>;+sip.instance=\"<urn:uuid:0-1>\";reg-id=1\r\n";
    assert_eq!(desk.register("1", 1, contact).unwrap_err().status(), 439);
    let with = |path: &str| format!("{contact}Path: {path}\r\n");
    assert_eq!(desk.register("1", 1, &with("<sip:edge.example;lr>")).unwrap_err().status(), 439);
    let path = "<sip:core.example;lr>, <sip:edge.example;lr;ob>";
    let listing = desk.register("1", 1, &with(path)).unwrap();
    assert!(listing.outbound && listing.path.len() == 2);
    let branch = desk.registrar.bindings("alice")[0].branch("alice", 1);
    assert_eq!(branch.route, ["<sip:core.example;lr>", "<sip:edge.example;lr;ob>"]);
    assert_eq!(branch.destination, flow(5060).remote, "by the proxy that it came from");
}

#[test]
fn a_gruu_is_given_to_who_understands_it() {
    let mut desk = Desk::new();
    let contact = "Contact: <sip:alice@10.0.0.9>;+sip.instance=\"<urn:uuid:f81d-1>\"\r\n";
    assert_eq!(desk.register("1", 1, contact).unwrap().contacts[0].params.get("pub-gruu"), None);
    let listing = desk.register("1", 2, &format!("{contact}Supported: gruu\r\n")).unwrap();
    let gruu = listing.contacts[0].params.get("pub-gruu").unwrap();
    assert_eq!(gruu, "sip:alice@pbx.example;gr=urn:uuid:f81d-1");
}

#[test]
fn devices_ring_by_the_flow_they_came_on_at_once_or_by_q() {
    let mut desk = Desk::new();
    desk.on(flow(61_000), "1", 1, "Contact: <sip:udp@10.0.0.9:5060>;q=0.5\r\nUser-Agent: Phone/1\r\n").unwrap();
    desk.on(over(9), "2", 1, "Contact: <sip:tcp@10.0.0.8;transport=tcp>;q=0.5\r\n").unwrap();
    desk.on(flow(62_000), "3", 1, "Contact: <sip:most@10.0.0.7>\r\n").unwrap();
    let proxied = "Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK0\r\nContact: <sip:far@198.51.100.3:5080>;q=0\r\n";
    desk.on(flow(63_000), "4", 1, proxied).unwrap();
    let all = rounds("alice", desk.registrar.bindings("alice"), Forking::Parallel, desk.now);
    assert_eq!((all.len(), all[0].branches.len()), (1, 4));
    let by_q = rounds("alice", desk.registrar.bindings("alice"), Forking::Sequential, desk.now);
    let targets: Vec<Vec<&str>> = by_q.iter().map(|r| r.branches.iter().map(|b| b.target.as_str()).collect()).collect();
    assert_eq!(targets[0], ["sip:most@10.0.0.7"]);
    assert_eq!((targets[1].len(), targets[2][0]), (2, "sip:far@198.51.100.3:5080"));
    let of = |target: &str| all[0].branches.iter().find(|b| b.target.starts_with(target)).unwrap();
    assert_eq!((of("sip:udp").destination, of("sip:udp").connection), (flow(61_000).remote, None));
    assert!(of("sip:udp").label.contains("alice's device") && of("sip:udp").label.contains("Phone/1"));
    assert_eq!((of("sip:tcp").transport, of("sip:tcp").connection), (Transport::Tcp, Some(9)));
    assert_eq!(of("sip:far").destination, flow(63_000).remote, "the proxy's, never where a Contact points");
    let ended =
        rounds("alice", desk.registrar.bindings("alice"), Forking::Parallel, desk.now + Duration::from_secs(3_600));
    assert!(ended.is_empty());
}

#[test]
fn what_is_kept_over_a_restart_comes_back_where_it_can_be_reached() {
    let mut desk = Desk::new();
    desk.on(flow(1), "1", 1, "Contact: <sip:udp@10.0.0.9>\r\n").unwrap();
    desk.on(over(1), "2", 1, "Contact: <sip:tcp@10.0.0.9>\r\n").unwrap();
    desk.on(flow(2), "3", 1, "Contact: <sip:short@10.0.0.9>;expires=60\r\n").unwrap();
    let text = serde_json::to_string(desk.registrar.bindings("alice")).unwrap();
    let kept: Vec<Binding> = serde_json::from_str(&text).unwrap();
    assert_eq!(kept, desk.registrar.bindings("alice"));
    let mut after = Desk::new();
    after.registrar.restore(&after.user, kept.clone(), start() + Duration::from_secs(61));
    assert_eq!(after.contacts(), ["sip:udp@10.0.0.9"]);
    // And counts on from where it was.
    assert_eq!(after.register("1", 1, "Contact: <sip:udp@10.0.0.9>\r\n"), Err(RegisterError::OutOfOrder));
    let disabled = UserAccess { disabled: true, ..after.user.clone() };
    let mut none = Registrar::default();
    none.restore(&disabled, kept, start());
    assert!(none.is_empty());
}

#[test]
fn an_operator_removes_one_or_all() {
    let mut desk = Desk::new();
    desk.register("1", 1, "Contact: <sip:a@10.0.0.9>, <sip:b@10.0.0.9>\r\n").unwrap();
    assert!(!desk.registrar.remove("alice", Some("strange")) && !desk.registrar.remove("bob", None));
    let first = desk.registrar.bindings("alice")[0].id();
    assert!(desk.registrar.remove("alice", Some(&first)));
    assert_eq!(desk.contacts(), ["sip:b@10.0.0.9"]);
    assert!(desk.registrar.remove("alice", None) && desk.registrar.is_empty());
}

#[test]
fn q_is_between_0_and_1() {
    for (text, wanted) in
        [("0", Some(0.0)), ("0.", Some(0.0)), ("0.5", Some(0.5)), ("1.000", Some(1.0)), ("0.125", Some(0.125))]
    {
        assert_eq!(Q::parse(text).map(Q::as_f64), wanted, "{text}");
    }
    for text in ["", "1.1", "2", "-1", "0.1234", "0.x", ".5", "1e0", "+1"] {
        assert_eq!(Q::parse(text), None, "{text}");
    }
}

#[test]
fn the_books_balance_whatever_comes() {
    let mut random = Random::from_number(11);
    let mut registrar = Registrar::default();
    let mut now = start();
    for step in 0..5_000_u32 {
        now += Duration::from_secs(random.below(40));
        registrar.timeout(now);
        let name = format!("u{}", random.below(5));
        let user = UserAccess { name: name.clone(), max_contacts: 4, ..UserAccess::default() };
        let expires = [0, 30, 60, 90][random.below(4) as usize];
        let contact = match random.below(8) {
            0 => "Contact: *\r\nExpires: 0\r\n".to_owned(),
            1 => String::new(),
            n => format!("Contact: <sip:c{n}@10.0.0.9>;expires={expires}\r\n"),
        };
        let flow = if random.below(3) == 0 { over(random.below(6)) } else { flow(5060) };
        let _ = registrar.register(&user, &request(&random.below(3).to_string(), step, &contact), flow, now);
        if random.below(20) == 0 {
            registrar.lost(random.below(6));
        }
        let all: Vec<&Binding> = (0..5).flat_map(|n| registrar.bindings(&format!("u{n}"))).collect();
        assert_eq!(all.len(), registrar.len());
        assert!(registrar.bindings(&name).len() <= 4);
        assert_eq!(all.iter().map(|b| b.expires).min(), registrar.deadline());
        assert!(all.iter().all(|b| b.expires > now));
    }
}
