//! The network between both ends: it delays, loses, doubles and reorders what it carries, by the seed's random numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use strowger::random::Random;
use strowger::time::Time;

/// How bad the network is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// The shortest way, in milliseconds.
    pub latency_ms: u64,
    /// How much longer it may be; above 20, RTP packets overtake each other.
    pub jitter_ms: u64,
    /// SIP messages lost, in thousandths.
    pub sip_loss: u64,
    /// RTP packets lost, in thousandths.
    pub rtp_loss: u64,
    /// Packets that arrive twice, in thousandths.
    pub duplicate: u64,
}

impl Weather {
    /// A local network: 5 ms, and nothing goes wrong.
    pub fn clear() -> Weather {
        Weather { latency_ms: 5, ..Weather::default() }
    }

    /// The internet on some day.
    pub fn some(random: &mut Random) -> Weather {
        Weather {
            latency_ms: 5 + random.below(80),
            jitter_ms: random.below(60),
            sip_loss: random.below(150),
            rtp_loss: random.below(25),
            duplicate: random.below(50),
        }
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where it came from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SIP datagram.
    Sip,
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// The network.
pub struct Network {
    pub weather: Weather,
    /// Nothing passes any more.
    pub cut: bool,
    /// All RTP that was sent, where somebody listens on the way.
    pub tapped: Option<Vec<Packet>>,
    random: Random,
    on_the_way: BTreeMap<(Time, u64), Packet>,
    count: u64,
}

impl Network {
    /// In this weather.
    pub fn new(weather: Weather, random: Random) -> Network {
        Network { weather, cut: false, tapped: None, random, on_the_way: BTreeMap::new(), count: 0 }
    }

    /// Takes a packet; when and how often it arrives is the weather's.
    pub fn send(&mut self, packet: Packet, now: Time) {
        if self.cut {
            return;
        }
        if let Some(tapped) = self.tapped.as_mut().filter(|_| packet.kind != Kind::Sip) {
            tapped.push(packet.clone());
        }
        let loss = if packet.kind == Kind::Sip { self.weather.sip_loss } else { self.weather.rtp_loss };
        if self.random.below(1000) < loss {
            return;
        }
        let copies = 1 + u64::from(self.random.below(1000) < self.weather.duplicate);
        for _ in 0..copies {
            let way = self.weather.latency_ms + self.random.below(self.weather.jitter_ms + 1);
            self.count += 1;
            let copy = Packet { bytes: packet.bytes.clone(), ..packet };
            self.on_the_way.insert((now + Duration::from_millis(way), self.count), copy);
        }
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Time> {
        self.on_the_way.keys().next().map(|(at, _)| *at)
    }

    /// A packet that has arrived by now.
    pub fn arrived(&mut self, now: Time) -> Option<Packet> {
        let entry = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
