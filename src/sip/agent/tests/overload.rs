//! Bounds: a flood of half-open INVITEs is refused past the bound, running calls do not notice, and all is freed.

use super::*;
use crate::sip::message::Name;

#[test]
fn ten_thousand_half_open_invites() {
    let mut config = config(A);
    config.limits.half_open = 500;
    config.limits.half_open_per_source = 500;
    let mut bench = Bench::with(config);
    let (leg, tag) = bench.established("live");
    let (mut taken, mut refused) = (0, 0);
    for n in 0..10_000 {
        bench.peer.remote.set_ip([198, 51, (n / 250) as u8, (n % 250) as u8].into());
        let done = bench.invite(&format!("f{n}"), "", OFFER);
        match done.statuses()[..] {
            [100] => taken += 1,
            [503] => {
                refused += 1;
                assert!(done.response(503).headers.contains(&Name::RetryAfter));
                assert!(done.counters.contains(&Counter::Overloaded));
            }
            _ => panic!("{:?}", done.statuses()),
        }
    }
    assert_eq!((taken, refused), (500, 9_500));
    assert_eq!(bench.agent.census().half_open, 500);
    assert_eq!(bench.agent.census().server_transactions, 501);
    // The call that runs is served as ever, its re-INVITE, too.
    bench.peer.remote = far();
    assert_eq!(bench.receive(&bench.request("INVITE", "live", &tag, 2, "", OFFER)).statuses(), [200]);
    bench.receive(&bench.request("ACK", "live", &tag, 2, "", ""));
    assert_eq!(bench.receive(&bench.request("BYE", "live", &tag, 3, "", "")).statuses(), [200]);
    let done = bench.wait(Duration::from_secs(300));
    assert_eq!(done.gone.len(), 501);
    assert!(done.gone.contains(&leg));
    assert_eq!(bench.agent.census(), Census::default());
    assert_eq!(bench.agent.deadline(), None);
    assert_eq!(bench.invite("after", "", OFFER).statuses(), [100], "open again");
}

#[test]
fn one_source_cannot_take_all() {
    let mut config = config(A);
    config.limits.half_open_per_source = 3;
    let mut bench = Bench::with(config);
    let statuses: Vec<u16> = (0..5).map(|n| bench.invite(&format!("{n}"), "", OFFER).statuses()[0]).collect();
    assert_eq!(statuses, [100, 100, 100, 503, 503]);
    bench.peer.remote.set_ip([203, 0, 113, 1].into());
    assert_eq!(bench.invite("other", "", OFFER).statuses(), [100]);
}

#[test]
fn draining_refuses_new_calls_only() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    bench.agent.set_draining(true);
    assert_eq!(bench.invite("2", "", OFFER).statuses(), [503]);
    assert_eq!(bench.receive(&bench.request("BYE", "1", &tag, 2, "", "")).statuses(), [200]);
}

#[test]
fn a_refusal_for_want_of_room_reads_no_offer() {
    let mut bench = Bench::new();
    bench.agent.set_draining(true);
    assert_eq!(bench.invite("1", "", "nonsense").statuses(), [503]);
    bench.agent.set_draining(false);
    assert_eq!(bench.invite("1", "", "nonsense").statuses(), [400]);
}

#[test]
fn a_thousand_standing_calls_cost_nothing() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        bench.established(&format!("{n}"));
    }
    assert_eq!(bench.agent.census().legs, 1000);
    let quiet = bench.wait(Duration::from_secs(40));
    assert_eq!((quiet.requests.len(), quiet.responses.len()), (0, 0));
    assert_eq!(bench.agent.census().server_transactions, 0);
}
