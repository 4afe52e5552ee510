//! SRTP: keys in SDP (`a=crypto`), and packets of SRTP and SRTCP under a key, alone and in a stream.

use std::net::SocketAddr;
use std::time::Duration;

use strowger::media::stream::{PacketSink, Stream, StreamConfig};
use strowger::media::{DelayBounds, FRAME};
use strowger::random::Random;
use strowger::rtp::packet::Packet;
use strowger::rtp::srtp::{Inbound, MAX_OVERHEAD, MAX_PACKET, Outbound};
use strowger::session::{
    Codec, Direction, LegId, LocalMedia, Mki, NegotiatedMedia, SrtpKey, SrtpKeys, SrtpPolicy, SrtpSuite,
};
use strowger::sip::sdp::{Description, LocalDescription};
use strowger::time::Time;

use super::Target;

const SPICE: &[&[u8]] = &[
    b"a=crypto:",
    b"1 ",
    b" ",
    b"inline:",
    b"|2^48",
    b"|2^999",
    b"|1:4",
    b"|0:1",
    b";",
    b":",
    b"=",
    b"AES_CM_128_HMAC_SHA1_80",
    b"AES_CM_128_HMAC_SHA1_32",
    b"AEAD_AES_128_GCM",
    b"AEAD_AES_256_GCM",
    b"F8_128_HMAC_SHA1_80",
    b" UNENCRYPTED_SRTP",
    b" WSH=64",
    b" KDR=1",
    b"RTP/SAVP",
    b"RTP/AVP",
    b"\r\n",
    b"99999999999999999999",
];

const HEAD: &str =
    "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n";

/// Offers and answers with keys.
pub fn sdp_crypto() -> Target {
    let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let seeds = [
        format!("{HEAD}a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}|2^20|1:4\r\n"),
        format!("{HEAD}a=crypto:2 AES_CM_128_HMAC_SHA1_32 {key} WSH=64\r\na=crypto:1 F8_128_HMAC_SHA1_80 {key}\r\n"),
        format!(
            "{HEAD}a=crypto:1 AEAD_AES_128_GCM inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==\r\nm=audio 4002 RTP/AVP 0\r\n"
        ),
        format!(
            "{HEAD}a=crypto:1 AEAD_AES_256_GCM inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\r\n"
        ),
    ];
    let read = |input: &[u8]| {
        let Ok(description) = Description::parse(input) else { return false };
        let mut sound = false;
        for srtp in [SrtpPolicy::Off, SrtpPolicy::Offered, SrtpPolicy::Required] {
            let mine = LocalMedia {
                address: [192, 0, 2, 1].into(),
                port: 20_000,
                codecs: vec![Codec::Pcmu],
                direction: Direction::SendRecv,
                srtp,
            };
            let session = || {
                let mut local = LocalDescription::new(7);
                local.allow_keys(Random::from_number(1), &SrtpSuite::ALL);
                local
            };
            let mut answering = session();
            if let Ok((body, agreed)) = answering.answer(&description, &mine) {
                sound |= agreed.srtp.is_some();
                assert!(Description::parse(&body).is_ok(), "our answer reads");
                assert!(agreed.srtp.is_some() || srtp != SrtpPolicy::Required, "required is kept");
                assert!(agreed.srtp.is_none() || srtp != SrtpPolicy::Off, "off is kept");
            }
            let mut offering = session();
            offering.offer(&mine);
            if let Ok(agreed) = offering.accept(&description) {
                assert!(agreed.srtp.is_some() || srtp != SrtpPolicy::Required, "required is kept");
            }
        }
        sound
    };
    Target { name: "sdp-crypto", seeds: seeds.map(String::into_bytes).to_vec(), spice: SPICE, read: Box::new(read) }
}

fn keys() -> Vec<SrtpKey> {
    let marks = [None, Some(Mki { value: 7, length: 1 }), None, Some(Mki { value: 0x0102, length: 4 })];
    let made = SrtpSuite::ALL.into_iter().zip(marks);
    made.filter_map(|(suite, mki)| SrtpKey::new(suite, &vec![9; suite.material_length()], mki)).collect()
}

/// A packet and a report of each key's, sealed.
fn sealed() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for key in keys() {
        let Ok(mut outbound) = Outbound::new(&key) else { continue };
        let mut rtp = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        rtp.extend([0xFF; 160]);
        let mut extended = vec![0x91, 0, 0, 2, 0, 0, 0, 160, 0, 0, 0, 7, 0, 0, 0, 9, 0xBE, 0xDE, 0, 1, 0x10, 1, 0, 0];
        extended.extend([0xFF; 160]);
        let rtcp = vec![0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 202, 0, 2, 0, 0, 0, 7, 1, 1, b'x', 0];
        for (mut packet, is_rtcp) in [(rtp, false), (extended, false), (rtcp, true)] {
            let plain = packet.len();
            packet.resize(plain + MAX_OVERHEAD, 0);
            let length = match is_rtcp {
                true => outbound.protect_rtcp(&mut packet, plain),
                false => outbound.protect_rtp(&mut packet, plain),
            };
            packet.truncate(length.unwrap_or(0));
            all.push(packet);
        }
    }
    all
}

/// Where packets go that nobody needs.
struct Nowhere;

impl PacketSink for Nowhere {
    fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
    fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
}

/// SRTP and SRTCP: what opens must be what was sealed.
pub fn srtp() -> Target {
    let peer = SocketAddr::from(([192, 0, 2, 9], 4000));
    let mut now = Time::EPOCH + Duration::from_secs(1000);
    let config = StreamConfig { rtp_timeout: Duration::from_secs(30), in_band: false, delay: DelayBounds::default() };
    let mut legs: Vec<(Stream, SrtpKey)> = Vec::new();
    for key in keys() {
        let mut stream = Stream::new(LegId(1), config, Random::from_number(1), now);
        let srtp = Some(SrtpKeys { send: key.clone(), receive: key.clone() });
        stream.connect(NegotiatedMedia { rtcp_mux: true, srtp, ..NegotiatedMedia::plain(peer) }, now);
        legs.push((stream, key));
    }
    let sound = sealed();
    let good = sound.clone();
    let read = move |input: &[u8]| {
        let mut plain = [0; MAX_PACKET];
        let mut opened = false;
        for (stream, key) in &mut legs {
            // Fresh each time: one that remembers would call everything a replay.
            let Ok(mut inbound) = Inbound::new(key, None) else { continue };
            if let Ok(packet) = inbound.unprotect_rtp(input, &mut plain) {
                opened = true;
                assert!(Packet::parse(packet).is_ok());
                assert!(good.iter().any(|known| known == input), "nothing is opened that was not sealed");
                assert!(inbound.unprotect_rtp(input, &mut [0; MAX_PACKET]).is_err(), "nothing is opened twice");
            }
            if inbound.unprotect_rtcp(input, &mut plain).is_ok() {
                opened = true;
                assert!(good.iter().any(|known| known == input), "nothing is opened that was not sealed");
            }
            stream.receive_rtp(input, peer, now);
            stream.receive_rtcp(input, peer, now);
            stream.tick(now, 1, &mut Nowhere);
            while stream.poll_event().is_some() {}
        }
        now += FRAME;
        opened
    };
    Target { name: "srtp", seeds: sound, spice: &[&[0x80, 0], &[0x80, 201], &[0xFF; 4], &[0; 4]], read: Box::new(read) }
}
