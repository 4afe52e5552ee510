//! Every timer of the four machines, by the tables of RFC 3261 §17 and RFC 6026.

use std::time::Duration;

use super::*;
use crate::time::Time;

const T: TimerConfig = TimerConfig {
    t1: Duration::from_millis(500),
    t2: Duration::from_secs(4),
    t4: Duration::from_secs(5),
    d: Duration::from_secs(32),
    unanswered: Duration::from_secs(180),
    session_expires: 1800,
    min_se: 90,
};

fn ms(n: u64) -> Time {
    Time::from_micros(n * 1000)
}

/// Runs a machine's clock: when it did what, in milliseconds.
fn run(mut deadline: impl FnMut() -> Option<Time>, mut tick: impl FnMut(Time) -> Tick) -> Vec<(u64, Tick)> {
    let mut done = Vec::new();
    while let Some(at) = deadline() {
        done.push((at.as_micros() / 1000, tick(at)));
        assert!(done.len() < 100);
    }
    done
}

macro_rules! clock {
    ($machine:expr) => {{
        let cell = std::cell::RefCell::new(&mut $machine);
        run(|| cell.borrow().deadline(), |at| cell.borrow_mut().timeout(at))
    }};
}

#[test]
fn a_doubles_until_b_ends_it() {
    let mut tx = InviteClient::new(false, &T, ms(0));
    let r = Tick::Retransmit;
    assert_eq!(
        clock!(tx),
        [(500, r), (1500, r), (3500, r), (7500, r), (15500, r), (31500, r), (32000, Tick::TimedOut)]
    );
    let mut tx = InviteClient::new(true, &T, ms(0));
    assert_eq!(clock!(tx), [(32000, Tick::TimedOut)]);
}

#[test]
fn a_provisional_stops_a_and_b() {
    let mut tx = InviteClient::new(false, &T, ms(0));
    assert!(tx.is_unheard());
    assert_eq!(tx.on_response(100, &T, ms(10)), Heard::Pass);
    assert!(!tx.is_unheard() && tx.is_pending());
    assert_eq!(tx.deadline(), None);
    assert_eq!(tx.on_response(486, &T, ms(1000)), Heard::PassAndAcknowledge);
    assert_eq!(tx.on_response(486, &T, ms(1100)), Heard::Acknowledge);
    assert_eq!(tx.on_response(180, &T, ms(1100)), Heard::Ignore);
    assert_eq!(tx.on_response(200, &T, ms(1100)), Heard::Ignore);
    assert_eq!(clock!(tx), [(33000, Tick::Over)], "timer D");
    let mut tx = InviteClient::new(true, &T, ms(0));
    tx.on_response(486, &T, ms(1000));
    assert_eq!(clock!(tx), [(1000, Tick::Over)], "timer D is 0 over TCP");
}

#[test]
fn m_lets_every_2xx_through() {
    for reliable in [false, true] {
        let mut tx = InviteClient::new(reliable, &T, ms(0));
        assert_eq!(tx.on_response(200, &T, ms(100)), Heard::Pass);
        assert_eq!(tx.on_response(200, &T, ms(600)), Heard::Pass);
        assert_eq!(tx.on_response(486, &T, ms(600)), Heard::Ignore);
        assert_eq!(clock!(tx), [(32100, Tick::Over)]);
    }
}

#[test]
fn e_doubles_to_t2_until_f_ends_it() {
    let mut tx = Client::new(false, &T, ms(0));
    let ticks = clock!(tx);
    let times: Vec<_> = ticks.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
    assert_eq!(ticks.last().unwrap().1, Tick::TimedOut);
    let mut tx = Client::new(false, &T, ms(0));
    tx.on_response(100, &T, ms(100));
    let times: Vec<_> = clock!(tx).iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500, 32000], "T2 after a provisional");
}

#[test]
fn k_absorbs_repeated_finals() {
    let mut tx = Client::new(false, &T, ms(0));
    assert_eq!(tx.on_response(200, &T, ms(100)), Heard::Pass);
    assert_eq!(tx.on_response(200, &T, ms(200)), Heard::Ignore);
    assert_eq!(clock!(tx), [(5100, Tick::Over)]);
    let mut tx = Client::new(true, &T, ms(0));
    tx.on_response(200, &T, ms(100));
    assert_eq!(clock!(tx), [(100, Tick::Over)]);
}

#[test]
fn g_repeats_a_refusal_until_h() {
    let mut tx = InviteServer::new(false, &T);
    assert!(tx.on_repetition() && tx.on_respond(180, &T, ms(0)) && tx.on_respond(486, &T, ms(0)));
    assert!(tx.on_repetition() && !tx.on_respond(200, &T, ms(1)));
    let ticks = clock!(tx);
    let times: Vec<_> = ticks.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000]);
    assert_eq!(ticks.last().unwrap().1, Tick::TimedOut);
    let mut tx = InviteServer::new(true, &T);
    tx.on_respond(486, &T, ms(0));
    assert_eq!(clock!(tx), [(32000, Tick::TimedOut)]);
}

#[test]
fn i_absorbs_repeated_acks() {
    let mut tx = InviteServer::new(false, &T);
    tx.on_respond(486, &T, ms(0));
    assert_eq!(tx.on_ack(&T, ms(100)), Acknowledged::Here);
    assert_eq!(tx.on_ack(&T, ms(200)), Acknowledged::Here);
    assert!(!tx.on_repetition());
    assert_eq!(clock!(tx), [(5100, Tick::Over)]);
}

#[test]
fn l_absorbs_repeated_invites_after_a_2xx() {
    let mut tx = InviteServer::new(false, &T);
    tx.on_respond(200, &T, ms(0));
    assert!(!tx.on_repetition());
    assert_eq!(tx.on_ack(&T, ms(100)), Acknowledged::Dialog);
    assert_eq!(clock!(tx), [(32000, Tick::Over)]);
}

#[test]
fn j_answers_repeated_requests() {
    let mut tx = Server::new(false);
    assert!(tx.on_respond(200, &T, ms(0)) && !tx.on_respond(500, &T, ms(1)) && tx.on_repetition());
    assert_eq!(clock!(tx), [(32000, Tick::Over)]);
    let mut tx = Server::new(true);
    tx.on_respond(200, &T, ms(7));
    assert_eq!(clock!(tx), [(7, Tick::Over)]);
}
