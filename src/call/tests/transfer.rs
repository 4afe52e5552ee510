//! Transfers: the other party is sent on by us, sends us on, or changes under its leg.

use super::super::*;
use super::world::*;
use crate::session::Direction;
use crate::sip::access::Identity;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Party as SipParty, ReferProgress, Referral, Side};

use crate::time::Time;

fn target() -> Party {
    Party::Phone("+15550177".to_owned())
}

fn transfer() -> Command {
    Command::Transfer(Transfer {
        target: target(),
        transferee: Some(caller()),
        caller_id: None,
        headers: vec![("X-Ticket".to_owned(), "7".to_owned())],
        context: Some("t".to_owned()),
        callback: None,
    })
}

fn progress(world: &mut World, progress: ReferProgress) {
    world.leg_event(LegEvent::Refer(progress));
}

fn accepted() -> ReferProgress {
    ReferProgress::Accepted { subscribed: true }
}

fn done(status: u16, phrase: &str) -> ReferProgress {
    ReferProgress::Done { status, phrase: phrase.to_owned() }
}

fn sip(uri: &str) -> SipParty {
    SipParty { display: None, uri: uri.to_owned() }
}

fn bye() -> LegEvent {
    LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None }
}

#[test]
fn a_party_that_is_sent_on_leaves() {
    let mut world = World::connected();
    world.command(transfer()).unwrap();
    let Some(LegCommand::Refer(refer)) = world.leg_commands.last() else { panic!("{:?}", world.leg_commands) };
    assert_eq!((refer.target.as_str(), refer.subscribe), ("tel:+15550177", true));
    assert_eq!(refer.headers, [("X-Ticket".to_owned(), "7".to_owned())]);
    assert!(matches!(world.command(transfer()), Err(Refusal::WrongState { .. })), "one at a time");
    progress(&mut world, accepted());
    progress(&mut world, ReferProgress::Progress { status: 180, phrase: "Ringing".to_owned() });
    assert!(world.told().is_empty());
    progress(&mut world, done(200, "OK"));
    let (_, event) = world.events.last().unwrap();
    assert_eq!(event.kind, EventKind::CallTransferAccepted { target: target(), transferee: caller() });
    assert_eq!(world.told(), ["0 CallTransferAccepted 200/0 t"]);
    world.run(1000);
    world.leg_event(bye());
    assert_eq!(world.told(), ["1000 CallDisconnected 200/7000 call"]);
    world.must_be_over();

    // One that does not leave is let go.
    let mut world = World::connected();
    world.command(transfer()).unwrap();
    progress(&mut world, accepted());
    progress(&mut world, done(200, "OK"));
    world.run(10_000);
    assert_eq!(world.told(), ["0 CallTransferAccepted 200/0 t", "5000 CallDisconnected 200/7000 call"]);
    assert!(
        world
            .leg_commands
            .iter()
            .any(|c| matches!(c, LegCommand::Hangup { reason: Some(r) } if r.contains("cause=16")))
    );
    assert_eq!(world.must_be_over().outcome.message, "The call was transferred.");

    // One that tells nothing, and one that leaves with its outcome still to come.
    let mut world = World::connected();
    world.command(transfer()).unwrap();
    progress(&mut world, ReferProgress::Accepted { subscribed: false });
    assert_eq!(world.told(), ["0 CallTransferAccepted 200/0 t"]);
    let mut world = World::connected();
    world.command(transfer()).unwrap();
    progress(&mut world, accepted());
    world.leg_event(bye());
    assert_eq!(world.told(), ["0 CallTransferAccepted 200/0 t", "0 CallDisconnected 200/7000 call"]);
    world.must_be_over();
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut world = World::connected();
    for (how, told) in [
        (ReferProgress::Refused { status: 603, phrase: "Decline".to_owned() }, "0 CallTransferFailed 603/8538 t"),
        (done(486, "Busy Here"), "0 CallTransferFailed 486/8539 t"),
        (ReferProgress::Lost, "0 CallTransferFailed 408/560408 t"),
    ] {
        world.command(transfer()).unwrap();
        progress(&mut world, how);
        assert_eq!(world.told(), [told]);
        assert_eq!((world.call.state(), world.call.operations_under_way()), (CallState::Connected, 0));
    }
    // The leg does not take it.
    world.command(transfer()).unwrap();
    world.call.leg_refused(LEG, &CommandError::BadValue { what: "the target" }, world.now);
    world.run(0);
    assert_eq!(world.told(), ["0 CallTransferFailed 500/560500 t"]);
    // The end comes first.
    world.command(transfer()).unwrap();
    world.command(Command::Terminate).unwrap();
    world.run(0);
    assert_eq!(world.told(), ["0 CallTransferFailed 400/8528 t", "0 CallDisconnected 200/7000 call"]);
    world.must_be_over();

    let mut world = World::connected();
    let Command::Transfer(wish) = transfer() else { unreachable!() };
    let other = Transfer { transferee: Some(stranger()), ..wish.clone() };
    assert!(matches!(world.command(Command::Transfer(other)), Err(Refusal::NoSuchParty(_))));
    let nobody = Transfer { target: Party::User("8:acs:x".to_owned()), ..wish };
    assert!(matches!(world.command(Command::Transfer(nobody)), Err(Refusal::BadArgument { .. })));
    assert!(matches!(World::incoming().command(transfer()), Err(Refusal::WrongState { .. })));
}

fn referral() -> LegEvent {
    LegEvent::Referred(Referral {
        target: sip("sip:premium@fraud.example"),
        headers: Vec::new(),
        replaces: None,
        referred_by: None,
    })
}

#[test]
fn nobody_sends_us_on_who_may_not() {
    let mut world = World::connected();
    world.leg_event(referral());
    assert_eq!(world.leg_commands.last(), Some(&LegCommand::RefuseReferral { status: 603 }));
    assert!(world.followed.is_empty() && world.noted("may not refer us to sip:premium@fraud.example"));

    let mut world =
        World::new(Call::incoming(incoming(), CallSettings { follow_referrals: true, ..settings() }, Time::EPOCH));
    world.run(0);
    world.leg_event(referral());
    assert_eq!(
        world.leg_commands.last(),
        Some(&LegCommand::RefuseReferral { status: 603 }),
        "not before it is answered"
    );
    world.command(Command::Answer { context: None }).unwrap();
    world.run(0);
    world.leg_event(referral());
    assert_eq!(world.followed.len(), 1);
}

#[test]
fn a_call_goes_on_with_who_took_the_leg_over() {
    let mut world = World::connected();
    world.command(Command::Play(play(&["prompt:3000"], "p"))).unwrap();
    world.run(0);
    world.events.clear();
    world.leg_event(LegEvent::Replaced { by: sip("sip:+15550177@pbx.example"), identity: Identity::Stranger });
    world.leg_event(LegEvent::MediaChanged { media: negotiated(Direction::SendRecv) });
    let (_, event) = &world.events[0];
    let EventKind::ParticipantsUpdated { participants, sequence_number: 2 } = &event.kind else { panic!("{event:?}") };
    assert_eq!(participants.iter().map(|one| &one.party).collect::<Vec<_>>(), [&target()]);
    world.events.clear();
    assert_eq!(world.call.remote_party(), &target());
    world.run(5000);
    assert_eq!(world.told(), ["3000 PlayCompleted 200/0 p"], "what runs goes on");
    let listen = Recognize { party: target(), ..dtmf(&[], 1, "", "r") };
    world.command(Command::Recognize(listen)).unwrap();
    world.press("5");
    assert_eq!(world.told(), ["5000 RecognizeCompleted 200/8531 [5] r"]);
    assert!(matches!(world.command(Command::Recognize(dtmf(&[], 1, "", "r"))), Err(Refusal::NoSuchParty(_))));
}
