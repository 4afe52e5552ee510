//! Every message of RFC 4475 and of RFC 5118 (IPv6), each with what a user agent answers over UDP. What the wire layer
//! makes of them is `sip::message`'s to say.

use super::*;

/// What becomes of a message.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Answered with this status, and nothing comes of it.
    Answer(u16),
    /// A call: 100, and the application is asked.
    Call,
    /// No answer at all.
    Silence,
}
use Verdict::*;

macro_rules! torture {
    ($table:ident in $folder:literal: $($name:literal $section:literal $verdict:expr;)*) => {
        const $table: &[(&str, &str, &[u8], Verdict)] = &[$((
            $name,
            $section,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/", $folder, "/", $name, ".sip")),
            $verdict,
        ),)*];
    };
}

torture! { RFC_4475 in "torture":
    "wsinv" "3.1.1.1" Answer(481); // of a dialog that is not ours
    "intmeth" "3.1.1.2" Answer(405);
    "esc01" "3.1.1.3" Call;
    "escnull" "3.1.1.4" Answer(405);
    "esc02" "3.1.1.5" Answer(405);
    "lwsdisp" "3.1.1.6" Answer(200);
    "longreq" "3.1.1.7" Call;
    "dblreq" "3.1.1.8" Answer(405);
    "semiuri" "3.1.1.9" Answer(200);
    "transports" "3.1.1.10" Answer(200);
    "mpart01" "3.1.1.11" Answer(405);
    "unreason" "3.1.1.12" Silence;
    "noreason" "3.1.1.13" Silence;
    "badinv01" "3.1.2.1" Silence; // nobody can tell where an answer belongs
    "clerr" "3.1.2.2" Answer(400);
    "ncl" "3.1.2.3" Answer(400);
    "scalar02" "3.1.2.4" Answer(400);
    "scalarlg" "3.1.2.5" Silence;
    "quotbal" "3.1.2.6" Answer(400);
    "ltgtruri" "3.1.2.7" Answer(400);
    "lwsruri" "3.1.2.8" Answer(400);
    "lwsstart" "3.1.2.9" Answer(400);
    "trws" "3.1.2.10" Answer(400);
    "escruri" "3.1.2.11" Call;
    "baddate" "3.1.2.12" Call;
    "regbadct" "3.1.2.13" Answer(400);
    "badaspec" "3.1.2.14" Answer(400);
    "baddn" "3.1.2.15" Answer(400);
    "badvers" "3.1.2.16" Answer(505);
    "mismatch01" "3.1.2.17" Answer(400);
    "mismatch02" "3.1.2.18" Answer(400);
    "bigcode" "3.1.2.19" Silence;
    "badbranch" "3.2.1" Answer(200);
    "insuf" "3.3.1" Answer(400);
    "unkscm" "3.3.2" Answer(416);
    "novelsc" "3.3.3" Answer(416);
    "unksm2" "3.3.4" Answer(405);
    "bext01" "3.3.5" Answer(420);
    "invut" "3.3.6" Answer(415);
    "regaut01" "3.3.7" Answer(405);
    "multi01" "3.3.8" Answer(400);
    "mcl01" "3.3.9" Answer(400);
    "bcast" "3.3.10" Silence;
    "zeromf" "3.3.11" Answer(200);
    "cparam01" "3.3.12" Answer(405);
    "cparam02" "3.3.13" Answer(405);
    "regescrt" "3.3.14" Answer(405);
    "sdp01" "3.3.15" Answer(406);
    "inv2543" "3.4.1" Answer(400); // without a Contact we could not hang up
}

torture! { RFC_5118 in "torture-ipv6":
    "ipv6-good" "4.1" Answer(405);
    "ipv6-bad" "4.2" Answer(400);
    "port-ambiguous" "4.3" Answer(405);
    "port-unambiguous" "4.4" Answer(405);
    "via-received-param-with-delim" "4.5" Answer(481);
    "via-received-param-no-delim" "4.5" Answer(200);
    "ipv6-in-sdp" "4.6" Answer(488);
    "mult-ip-in-header" "4.7" Answer(481);
    "mult-ip-in-sdp" "4.8" Answer(488);
    "ipv4-mapped-ipv6" "4.9" Answer(488);
    "ipv6-bug-abnf-3-colons" "4.10" Answer(400);
    "ipv6-correct-abnf-2-colons" "4.10" Answer(200);
}

fn far_v6() -> SocketAddr {
    "[2001:db8::9:1]:5060".parse().unwrap()
}

fn near_v6() -> SocketAddr {
    "[2001:db8::10]:5060".parse().unwrap()
}

/// An agent on IPv6, and whoever sends to it there.
fn bench_v6() -> Bench {
    let mut config = config(A);
    for contact in &mut config.contacts {
        contact.local = near_v6();
        contact.host = near_v6().ip().to_string();
    }
    let mut bench = Bench::with(config);
    bench.peer = Peer { transport: Transport::Udp, remote: far_v6(), local: near_v6(), connection: None };
    bench
}

fn verdict(done: &Done) -> Verdict {
    match (&done.statuses()[..], done.incoming.len()) {
        ([], 0) => Silence,
        ([100], 1) => Call,
        ([status], 0) => Answer(*status),
        (statuses, calls) => panic!("answers {statuses:?} and {calls} calls"),
    }
}

fn judge(table: &[(&str, &str, &[u8], Verdict)], bench: fn() -> Bench) {
    let mut wrong = Vec::new();
    for (name, section, bytes, expected) in table {
        let mut bench = bench();
        let done = bench.receive_bytes(bytes);
        let found = verdict(&done);
        if found != *expected {
            wrong.push(format!("{name} (§{section}): {found:?} instead of {expected:?}"));
        }
        // One datagram never brings more than one, and that one to its source (RFC 3261 §18.2.2, RFC 3581).
        for (peer, response) in &done.responses {
            assert_eq!(peer.remote.ip(), bench.peer.remote.ip(), "{name}");
            // What is copied into a refusal may be as broken as it came.
            assert!(response.status() == 400 || response.check().is_ok(), "{name}");
        }
        // What is broken leaves nothing behind.
        if found != Call {
            bench.wait(Duration::from_secs(64));
            assert_eq!(bench.agent.census(), Census::default(), "{name}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn all_49_of_rfc_4475_are_answered() {
    assert_eq!(RFC_4475.len(), 49);
    judge(RFC_4475, Bench::new);
}

#[test]
fn all_12_of_rfc_5118_are_answered() {
    assert_eq!(RFC_5118.len(), 12);
    judge(RFC_5118, bench_v6);
}
