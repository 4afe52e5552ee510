//! Whole calls over SRTP with SDES keys (RFC 4568, RFC 3711, RFC 7714): every suite, every pair of policies, and what
//! attackers on the way and new keys make of it. Sound and digits are looked at as they are heard, decrypted.

use std::net::SocketAddr;

use base64::Engine as _;
use strowger::call::{Command, EventKind};
use strowger::dtmf::{Digit, Way};
use strowger::media::Clip;
use strowger::rtp::statistics::StreamStatistics;
use strowger::session::{Codec, Direction, SrtpKey, SrtpPolicy, SrtpSuite};
use strowger::sip::leg::LegCommand;

use super::network::{Kind, Packet};
use super::side::Encryption;
use super::world::{World, prompt};
use SrtpPolicy::{Off, Offered, Required};

fn end(policy: SrtpPolicy) -> Encryption {
    Encryption { policy, over_insecure: true, ..Encryption::default() }
}

fn only(suite: SrtpSuite) -> Encryption {
    Encryption { suites: vec![suite], ..end(Offered) }
}

/// The suite that our line uses.
fn suite(world: &World) -> Option<SrtpSuite> {
    world.line().media.as_ref().and_then(|media| media.srtp.as_ref()).map(|keys| keys.send.suite())
}

fn ours(world: &World) -> StreamStatistics {
    world.line().stream.statistics()
}

/// Is the prompt in what the telephone heard, frame by frame?
fn heard(world: &World, clip: &Clip) -> bool {
    let coded = clip.encoded(Codec::Pcmu);
    let wanted: Vec<i16> = coded.iter().map(|byte| strowger::media::codec::g711::decode(MU, *byte)).collect();
    let Some(piece) = wanted.get(160 * 5..160 * 15) else { return false };
    world.phone_captured.iter().any(|captured| captured.samples.windows(piece.len()).any(|window| window == piece))
}

const MU: strowger::media::codec::g711::Law = strowger::media::codec::g711::Law::Mu;

/// A call with sound to the telephone, a key from it, and one to it.
fn talk(mut world: World) -> World {
    world.phone_stream(|line| line.stream.capture(3_000));
    let play = world.play(&["prompt:hello/600"], false, false);
    assert_eq!(world.until_end_of(&play).1.kind, EventKind::PlayCompleted);
    world.press(Digit::Seven, Way::TelephoneEvent, 120);
    world.run_ms(600);
    let context = Some("tones".to_owned());
    let party = world.call.as_ref().expect("a call").remote_party().clone();
    world.command(Command::SendTones { tones: vec![Digit::Three], party, context, callback: None });
    assert_eq!(world.until_end_of("tones").1.kind, EventKind::SendTonesCompleted);
    world.run_ms(600);
    assert_eq!(world.presses().len(), 1, "{}", world.story());
    assert_eq!(world.phone_heard, [Digit::Three], "{}", world.story());
    world
}

fn hang_up(mut world: World) -> World {
    world.phone_command(LegCommand::Hangup { reason: None });
    world.finish()
}

#[test]
fn every_suite_carries_sound_and_digits_both_ways_whoever_calls() {
    for (seed, chosen) in (1..).zip(SrtpSuite::ALL) {
        for outgoing in [false, true] {
            let mut world = World::encrypted(seed, [end(Offered), only(chosen)]);
            world.network.tapped = Some(Vec::new());
            if outgoing {
                world.call_out();
                world.until_event("CallConnected");
            } else {
                world.answered_call();
            }
            assert_eq!(suite(&world), Some(chosen), "{}", world.story());
            let mut world = talk(world);
            let statistics = ours(&world);
            assert_eq!((statistics.undecrypted, statistics.replayed, statistics.malformed), (0, 0, 0), "{chosen:?}");
            assert!(statistics.packets_received > 50 && statistics.packets_sent > 50);
            // What was on the way is not the prompt, nor the key in the clear.
            let clip = prompt("prompt:hello/600").expect("a prompt");
            let coded = clip.encoded(Codec::Pcmu);
            let wire = world.network.tapped.take().expect("tapped");
            assert!(wire.iter().any(|packet| packet.kind == Kind::Rtp));
            for packet in wire.iter().filter(|packet| packet.kind == Kind::Rtp) {
                let piece = packet.bytes.get(12..44).unwrap_or_default();
                assert!(piece.is_empty() || !coded.windows(piece.len()).any(|window| window == piece), "in the clear");
            }
            let world = hang_up(world);
            assert!(heard(&world, &clip), "the telephone heard the prompt over {chosen:?}");
        }
    }
}

/// What the one who offers wants, what the other wants: encrypted, plain, or no call.
#[test]
fn each_pair_of_policies_has_its_call_or_none() {
    let table = [
        (Off, Off, Some(false)),
        (Off, Offered, Some(false)),
        (Off, Required, None),
        (Offered, Off, Some(false)),
        (Offered, Offered, Some(true)),
        (Offered, Required, Some(true)),
        (Required, Off, None),
        (Required, Offered, Some(true)),
        (Required, Required, Some(true)),
    ];
    for (offerer, answerer, expected) in table {
        for outgoing in [false, true] {
            let ends = if outgoing { [end(offerer), end(answerer)] } else { [end(answerer), end(offerer)] };
            let name = format!("{offerer:?} offers, {answerer:?} answers, outgoing {outgoing}");
            let mut world = World::encrypted(5, ends);
            if outgoing {
                world.call_out();
            } else {
                world.dial();
            }
            let Some(secure) = expected else {
                world.run_ms(2_000);
                if world.call.is_some() && !outgoing {
                    // Our stack may have refused it by itself.
                    let _ = world.try_command(Command::Answer { context: None });
                }
                world.run_ms(60_000);
                assert!(!world.names().contains(&"CallConnected"), "{name}: {}", world.story());
                let refused = |text: &str| text.contains("488") || text.contains("606");
                assert!(world.notes.iter().any(|note| refused(&note.text)) || refused(&world.story()), "{name}");
                continue;
            };
            if !outgoing {
                world.until("the call arrives", |w| w.call.is_some());
                world.command(Command::Answer { context: Some("the call".into()) });
            }
            world.until_event("CallConnected");
            world.until("the telephone is connected", |w| w.phone_line().is_some_and(|line| line.due.is_some()));
            assert_eq!(suite(&world).is_some(), secure, "{name}: {}", world.story());
            hang_up(talk(world));
        }
    }
}

/// Keys do not go over UDP where that is not allowed, whatever is wanted.
#[test]
fn without_leave_no_key_goes_over_an_insecure_hop() {
    let closed = |policy| Encryption { over_insecure: false, ..end(policy) };
    let inline = |world: &World| world.sip.iter().any(|bytes| bytes.windows(9).any(|window| window == b"a=crypto:"));
    for (us, phone, works) in [(Offered, Offered, true), (Required, Offered, false), (Offered, Required, false)] {
        // We have leave or not, the telephone has none: there are no keys of anybody's that both could use.
        let mut world = World::encrypted(3, [closed(us), closed(phone)]);
        world.dial();
        world.run_ms(2_000);
        if works {
            world.command(Command::Answer { context: Some("the call".into()) });
            world.until_event("CallConnected");
            assert_eq!(suite(&world), None, "{}", world.story());
        } else {
            assert!(world.call.is_none() || !world.names().contains(&"CallConnected"), "{}", world.story());
        }
        assert!(!inline(&world), "{us:?} {phone:?}: a key was sent over UDP");
    }
    // A telephone that does send its keys over UDP gets a plain call from us, and none of ours.
    let mut world = World::encrypted(4, [closed(Offered), end(Offered)]);
    world.answered_call();
    assert_eq!(suite(&world), None, "SRTP over UDP without leave: {}", world.story());
    let answered = |bytes: &Vec<u8>| bytes.starts_with(b"SIP/2.0 200") && bytes.windows(7).any(|w| w == b"m=audio");
    let answers: Vec<_> = world.sip.iter().filter(|bytes| answered(bytes)).collect();
    assert!(!answers.is_empty() && answers.iter().all(|bytes| !bytes.windows(8).any(|w| w == b"a=crypto")));
    hang_up(talk(world));
    // With leave on both sides it is encrypted: the test would see it.
    let mut world = World::encrypted(4, [end(Offered), end(Offered)]);
    world.answered_call();
    assert!(suite(&world).is_some() && inline(&world));
}

#[test]
fn replays_forgeries_and_plain_packets_are_dropped_and_noted() {
    for (seed, chosen) in (20..).zip(SrtpSuite::ALL) {
        let mut world = World::encrypted(seed, [end(Required), only(chosen)]);
        world.answered_call();
        world.network.tapped = Some(Vec::new());
        world.run_ms(2_000);
        let port = world.line().port;
        let wire = world.network.tapped.take().expect("tapped");
        let to_us =
            |packet: &&Packet| packet.kind == Kind::Rtp && packet.to.port() == port && packet.to == wire_to(port);
        let captured: Vec<Packet> = wire.iter().filter(to_us).cloned().collect();
        assert!(captured.len() > 80);
        let before = ours(&world);
        // Again, from the telephone's own address.
        for packet in captured.iter().take(60) {
            world.network.send(packet.clone(), world.now);
        }
        world.run_ms(200);
        let replayed = ours(&world);
        assert_eq!(replayed.replayed, before.replayed + 60, "{chosen:?}");
        // A key press that somebody makes up, plain: he knows all but the key.
        let last = captured.last().expect("packets").bytes.clone();
        for n in 1..=40u16 {
            let sequence = u16::from_be_bytes([last[2], last[3]]).wrapping_add(40 + n);
            let mut forged = last.get(..12).expect("a header").to_vec();
            forged[1] = 101;
            forged[2..4].copy_from_slice(&sequence.to_be_bytes());
            forged.extend([1, if n > 3 { 0x8A } else { 0x0A }, 3, 0xE8]);
            let from = captured[0].from;
            world.network.send(Packet { from, to: wire_to(port), kind: Kind::Rtp, bytes: forged }, world.now);
            // And audio with a tag that is none.
            let mut tampered = captured[usize::from(n)].bytes.clone();
            tampered[2..4].copy_from_slice(&sequence.to_be_bytes());
            world.network.send(Packet { from, to: wire_to(port), kind: Kind::Rtp, bytes: tampered }, world.now);
        }
        world.run_ms(500);
        let after = ours(&world);
        assert!(after.undecrypted >= replayed.undecrypted + 80, "{chosen:?}: {after:?}");
        assert!(world.presses().is_empty(), "a forged key: {}", world.story());
        // The call goes on as if nothing had been.
        assert!(after.packets_received >= replayed.packets_received + 20);
        assert_eq!(after.source.map(|source| source.ip()), Some(captured[0].from.ip()));
        hang_up(talk(world));
    }
}

fn wire_to(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A telephone that sends plain RTP though it agreed on SRTP is not heard, and the timeline says why.
#[test]
fn plain_audio_where_srtp_was_agreed_is_told() {
    let mut world = World::encrypted(31, [end(Required), only(SrtpSuite::AesCm128HmacSha1_80)]);
    world.answered_call();
    let (leg, now) = (world.phone_leg.expect("a leg"), world.now);
    let mut media = world.phone_line().and_then(|line| line.media.clone()).expect("agreed");
    media.srtp = None;
    world.phone.connect(leg, media, now);
    let before = ours(&world).packets_received;
    world.run_ms(3_000);
    let statistics = ours(&world);
    assert!(statistics.packets_received <= before + 2 && statistics.undecrypted > 100, "{statistics:?}");
    let told = world.notes.iter().filter(|note| note.text.starts_with("SRTP: none of the last")).count();
    assert_eq!(told, 1, "{}", world.story());
    assert!(world.story().contains("it sends plain RTP, though SRTP was agreed"), "{}", world.story());
}

/// A new key of the telephone's by re-INVITE (RFC 4568 §7.1.4): what it says before and after is heard.
#[test]
fn the_telephone_changes_its_key_by_re_invite() {
    for (seed, chosen) in (40..).zip(SrtpSuite::ALL) {
        let mut world = World::encrypted(seed, [end(Required), only(chosen)]);
        world.answered_call();
        world.run_ms(1_000);
        let base64 = base64::engine::general_purpose::STANDARD;
        let old = world.phone_line().and_then(|l| l.media.clone()).and_then(|media| media.srtp).expect("keys").send;
        let fresh: Vec<u8> = (0..chosen.material_length()).map(|_| world.random.u32() as u8).collect();
        let key = SrtpKey::new(chosen, &fresh, None).expect("its length");
        world.rekeyed = Some((base64.encode(old.material()), base64.encode(&fresh), key.clone()));
        world.phone_reoffers(Direction::SendRecv);
        world.until("the key changes", |w| {
            w.line().media.as_ref().and_then(|media| media.srtp.as_ref()).is_some_and(|keys| keys.receive == key)
        });
        world.until("the telephone uses it", |w| {
            let media = w.phone_line().and_then(|line| line.media.as_ref());
            media.and_then(|media| media.srtp.as_ref()).is_some_and(|keys| keys.send == key)
        });
        let before = ours(&world);
        let world = talk(world);
        let after = ours(&world);
        assert_eq!(after.undecrypted, before.undecrypted, "{chosen:?}: {}", world.story());
        assert!(before.undecrypted <= 1 && after.packets_received > before.packets_received + 60, "{after:?}");
        let world = hang_up(world);
        assert!(heard(&world, &prompt("prompt:hello/600").expect("a prompt")));
    }
}

/// Twenty-two minutes and more: the sequence numbers of both ends have begun anew, and with them the counter (RFC 3711
/// §3.3.1).
#[test]
fn a_call_outlasts_the_sequence_numbers() {
    let mut world = World::encrypted(51, [end(Required), only(SrtpSuite::AeadAes128Gcm)]);
    world.answered_call();
    world.run_ms(65_600 * 20);
    let before = ours(&world);
    assert!(before.packets_received > 65_536 && before.packets_sent > 65_536, "{before:?}");
    assert_eq!((before.undecrypted, before.replayed, before.packets_lost), (0, 0, 0));
    let world = hang_up(talk(world));
    assert!(heard(&world, &prompt("prompt:hello/600").expect("a prompt")));
}
