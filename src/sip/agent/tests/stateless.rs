//! What strangers get over UDP: nothing much longer than what they sent, nothing repeated for long, and nothing that
//! tells who we are or whom we know.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::sip::access::{Authenticate, Policy, TrunkAccess, TrunkDigest, UserAccess};
use crate::sip::digest::Secret;
use crate::sip::guard::GuardSettings;
use crate::sip::message::Name;

/// As in `stateless`.
const GROWTH: usize = 100;
const CHALLENGE: usize = 400;

/// A request as short as can be: compact names, nothing beside what must be there.
fn short(method: &str, uri: &str, extra: &str, to_tag: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nv:SIP/2.0/UDP a;branch=z9hG4bKx\nf:<sip:a@b>;tag=1\nt:<sip:c@d>{to_tag}\ni:1\n\
         CSeq:1 {method}\n{extra}\n"
    )
}

fn with_users(authenticate: Authenticate) -> Bench {
    let mut bench = Bench::new();
    let secret = Secret::of_password("alice", "home.example", "wonder");
    let alice = UserAccess { name: "alice".into(), secret, max_contacts: 10, ..UserAccess::default() };
    let policy = Policy {
        realm: "home.example".into(),
        hosts: vec!["home.example".parse().unwrap()],
        authenticate,
        users: HashMap::from([("alice".to_owned(), alice)]),
        ..Policy::default()
    };
    bench.agent.set_policy(Arc::new(policy));
    bench.done();
    bench
}

/// Bytes that left, with the messages.
fn answers(bench: &mut Bench, request: &[u8]) -> Vec<(usize, u16)> {
    let done = bench.receive_bytes(request);
    assert!(done.requests.is_empty());
    done.responses.iter().map(|(_, response)| (response.to_bytes().len(), response.status())).collect()
}

#[test]
fn no_answer_is_much_longer_than_what_is_answered() {
    let mut seen = std::collections::BTreeSet::new();
    let vias: String = (0..200).map(|n| format!("v:SIP/2.0/UDP a{n}\n")).collect();
    let long = "x".repeat(600);
    let offer = |body: &str| format!("m:<sip:a@b>\nc:application/sdp\nl:{}\n\n{body}", body.len());
    let calls = [
        short("OPTIONS", "sip:a@b", "", ""),
        short("OPTIONS", "sip:a@b", &vias, ""),
        short("OPTIONS", "sip:a@b", &format!("u:{long}\n"), ""),
        short("OPTIONS", "urn:a", "", ""),
        short("OPTIONS", "sip:a@b", "Require:a,b,c,d\n", ""),
        short("INVITE", "sip:a@b", "", ""),
        short("INVITE", "sip:a@b", "Require:100rel2\nm:<sip:a@b>\n", ""),
        short("INVITE", "urn:a", "", ""),
        short("INVITE", "sip:a@b", "Accept:text/plain\nm:<sip:a@b>\n", ""),
        short("INVITE", "sip:a@b", "m:<sip:a@b>\nc:text/plain\nl:1\n\nx", "").trim_end_matches('\n').to_owned(),
        short(
            "INVITE",
            "sip:a@b",
            &offer("v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 77\r\n"),
            "",
        ),
        short("INVITE", "sip:a@b", &offer("nonsense"), ""),
        short("MESSAGE", "sip:a@b", "", ""),
        short("SUBSCRIBE", "sip:a@b", &vias, ""),
        short("X", "sip:a", "", ""),
        short("REFER", "sip:a@b", "r:<sip:x>\n", ""),
        short("BYE", "sip:a@b", "", ";tag=2"),
        short("BYE", "sip:a@b", "", ""),
        short("CANCEL", "sip:a@b", "", ""),
        short("INVITE", "sip:a@b", "", ";tag=2"),
        short("REGISTER", "sip:home.example", "", ""),
        short("REGISTER", "sip:home.example", "Authorization:Digest x\n", ""),
        short("REGISTER", "sip:home.example", "Authorization:x\n", ""),
        short("OPTIONS", "sip:a@b", "m:<<<\n", ""),
        short("OPTIONS", "sip:a@b", "Max-Forwards:x\n", ""),
        short("OPTIONS", "sip:a@b", "l:99\n", ""),
        short("OPTIONS", "sip:a@b", "no colon\n", ""),
        short("OPTIONS", "sip:", "", ""),
        short("OPTIONS", "sip:a@b", "", "").replace("SIP/2.0\nv", "SIP/3.0\nv"),
        short("INVITE", "sip:home.example", "", "").replace("<sip:a@b>", "<sip:alice@home.example>"),
    ];
    for authenticate in [Authenticate::Users, Authenticate::All] {
        for full in [false, true] {
            for call in &calls {
                let mut bench = with_users(authenticate);
                bench.agent.set_draining(full);
                for (length, status) in answers(&mut bench, call.as_bytes()) {
                    seen.insert(status);
                    let growth = if matches!(status, 401 | 407) { CHALLENGE } else { GROWTH };
                    assert!(length <= call.len() + growth, "{status}, {length} for {}: {call}", call.len());
                }
            }
        }
    }
    for status in [200, 400, 401, 403, 405, 406, 407, 415, 416, 420, 481, 488, 503, 505] {
        assert!(seen.contains(&status), "{status} is among {seen:?}");
    }
}

#[test]
fn nothing_tells_strangers_our_product_or_whom_we_know() {
    let mut bench = with_users(Authenticate::Users);
    let ask = |bench: &mut Bench, text: String| {
        let done = bench.receive(&text);
        let response = done.responses[0].1.clone();
        assert!(!response.headers.contains(&Name::Server), "{text}");
        let text =
            String::from_utf8_lossy(&response.to_bytes()).replace("alice", "NOBODY").replace("mallory", "NOBODY");
        let nonce = text.find("nonce=\"").map(|at| text[at + 7..].split('"').next().unwrap_or_default().to_owned());
        let tag = response.headers.to().unwrap().tag().unwrap().to_owned();
        (
            response.status(),
            text.replace(&nonce.unwrap_or("-".into()), "NONCE").replace(&tag, "TAG").replace("nonce=\"NONCE\"", ""),
        )
    };
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let request = |user: &str, to: &str| {
            let text = bench_request(method);
            text.replace("<sip:carol@far.example>", &format!("<sip:{user}@home.example>")).replace("TARGET", to)
        };
        let known = ask(&mut bench, request("alice", "alice"));
        let missing = ask(&mut bench, request("mallory", "mallory"));
        assert_eq!(known.0, 401);
        let lines = |text: &str| text.lines().filter(|l| !l.contains("nonce=")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&known.1), lines(&missing.1), "{method}");
    }
}

/// A carrier's account must be asked for whatever the domain, so an INVITE finds it; but not often.
#[test]
fn whose_accounts_there_are_is_told_by_invites_alone_and_a_sweep_is_banned() {
    let mut bench = with_users(Authenticate::Users);
    let secret = Secret::of_password("gateway", "home.example", "wonder");
    let digest = TrunkDigest { username: "gateway".into(), secret };
    let trunk = TrunkAccess { name: "carrier".into(), digest: Some(digest), ..TrunkAccess::default() };
    let policy = Policy { trunks: vec![trunk], ..(*bench.agent.policy).clone() };
    bench.agent.set_policy(Arc::new(policy));
    bench.agent.set_guard(GuardSettings::default());
    let named = |text: String| text.replace("sip:carol@far.example", "sip:gateway@far.example");
    for from in ["sip:gateway@far.example", "sip:alice@far.example", "tel:7001", "sip:nobody@far.example"] {
        let options = bench.request("OPTIONS", from, "", 1, "", "").replace("sip:carol@far.example", from);
        assert_eq!(bench.receive(&options).statuses(), [200], "{from}");
    }
    let mut asked = 0;
    let banned = (0..1_000).find(|n| {
        let invite = named(bench.request("INVITE", &format!("n{n}"), "", 1, "", OFFER));
        let done = bench.receive(&invite);
        assert!(done.incoming.is_empty());
        asked += done.statuses().iter().filter(|status| **status == 407).count();
        done.counters.contains(&Counter::Banned)
    });
    assert!(banned.is_some_and(|n| n < 400), "{banned:?}");
    assert_eq!(banned, Some(asked), "each was answered until then");
}

fn bench_request(method: &str) -> String {
    let bench = Bench::new();
    bench
        .request(method, "same", "", 1, "", if method == "INVITE" { OFFER } else { "" })
        .replace("sip:strowger@192.0.2.1", "sip:TARGET@home.example")
}

/// How often a final answer goes to somebody from whom nothing else ever comes.
fn copies(bench: &mut Bench, command: LegCommand) -> usize {
    let leg = bench.invite("one", "", OFFER).incoming.remove(0).leg;
    let now = bench.command(leg, command);
    let later = bench.wait(Duration::from_secs(300));
    assert!(bench.agent.census() == Census::default());
    now.responses.iter().chain(&later.responses).filter(|(_, r)| r.status() >= 200).count() + later.requests.len()
}

#[test]
fn who_never_shows_that_he_hears_us_gets_a_few_copies_and_no_more() {
    let refuse = || LegCommand::Refuse { status: 486, phrase: None, retry_after: None };
    assert_eq!(copies(&mut Bench::new(), refuse()), 4);
    // Seven 2xx and, after 32 seconds, four BYEs.
    assert_eq!(copies(&mut Bench::new(), LegCommand::Accept { media: media(A) }), 11);
    // Whoever has acknowledged a call before is served by the book: 0, 0.5, 1.5, 3.5, 7.5 … 31.5 s.
    let mut bench = Bench::new();
    let (_, tag) = bench.established("before");
    bench.receive(&bench.request("BYE", "before", &tag, 2, "", ""));
    assert_eq!(copies(&mut bench, refuse()), 11);
    // And so is he who asks again within the time: each time he gets one.
    let mut bench = Bench::new();
    let leg = bench.invite("again", "", OFFER).incoming.remove(0).leg;
    bench.command(leg, refuse());
    bench.wait(Duration::from_secs(20));
    assert_eq!(bench.invite("again", "", OFFER).statuses(), [486]);
}
