//! The phones at the far end of a story's calls, worked by its application: one JSON object a line says what to do
//! (`do`) with which phone (`phone`), and is answered by one line. Words and their fields are in [`FarEnd::carry_out`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use strowger::dtmf::{Digit, Way};
use strowger::phone::{Phone, PhoneEvent, find};
use strowger::prompt::{PromptConfig, Prompts, Source};
use strowger::sip::peer::Transport;
use tokio::net::UdpSocket;

use crate::support::{Engine, PATIENCE};

/// The fewest samples of half a prompt that tell it from others: a bit more than a quarter of a second.
const HALF: usize = 2400;

/// All phones of a story.
pub struct FarEnd {
    engine: SocketAddr,
    phones: HashMap<String, Handset>,
}

struct Handset {
    phone: Phone,
    /// What happened and was not yet asked for.
    seen: Vec<PhoneEvent>,
}

impl FarEnd {
    /// Phones that call this engine.
    pub fn new(engine: &Engine) -> FarEnd {
        FarEnd { engine: engine.address("sipUdp"), phones: HashMap::new() }
    }

    /// Does what one line asks:
    ///
    /// | `do` | with | answer |
    /// |---|---|---|
    /// | `start` | `deaf`: it does not know telephone-event | `uri`, `host`, `port` |
    /// | `dial` | `number` | |
    /// | `press` | `keys`, `way`: `event`, `tone` or `info` | |
    /// | `hangUp` | | |
    /// | `called`, `connected`, `failed` | | `from`; nothing; `status` |
    /// | `pressed` | `keys` that the other end is to press | `ways` |
    /// | `over` | `prompts` that are looked for in what was heard | `byPeer`, `likeness` of each |
    pub async fn carry_out(&mut self, wish: &Value) -> Result<Value, String> {
        let text = |name: &str| wish[name].as_str().ok_or(format!("{name} is missing in {wish}"));
        let name = text("phone")?;
        if wish["do"] == "start" {
            return self.start(name, wish["deaf"] == true).await;
        }
        let engine = self.engine;
        let handset = self.phones.get_mut(name).ok_or(format!("there is no phone {name}"))?;
        match text("do")? {
            "dial" => {
                let uri = format!("sip:{}@{engine}", text("number")?);
                handset.phone.dial(&uri, engine, Transport::Udp).await;
                Ok(json!({}))
            }
            "press" => handset.press(text("keys")?, text("way")?).await,
            "hangUp" => {
                handset.phone.hang_up().await;
                Ok(json!({}))
            }
            "called" => {
                let from = handset.wait("it is called", |event| match event {
                    PhoneEvent::Called { from } => Some(from.clone()),
                    _ => None,
                });
                Ok(json!({ "from": from.await? }))
            }
            "connected" => {
                let connected = |event: &PhoneEvent| (*event == PhoneEvent::Connected).then_some(());
                handset.wait("it is connected", connected).await.map(|()| json!({}))
            }
            "failed" => {
                let status = handset.wait("its call fails", |event| match event {
                    PhoneEvent::Failed(status, _) => Some(*status),
                    _ => None,
                });
                Ok(json!({ "status": status.await? }))
            }
            "pressed" => handset.pressed(text("keys")?).await,
            "over" => handset.over(&wish["prompts"]).await,
            other => Err(format!("{other} is nothing that a phone does")),
        }
    }

    async fn start(&mut self, name: &str, deaf: bool) -> Result<Value, String> {
        let seed = strowger::engine::entropy().map_err(|error| error.to_string())?;
        let phone = Phone::start(IpAddr::V4(Ipv4Addr::LOCALHOST), seed).await.map_err(|error| error.to_string())?;
        let address = if deaf { without_telephone_event(phone.address()).await } else { Ok(phone.address()) };
        let address = address.map_err(|error| error.to_string())?;
        self.phones.insert(name.to_owned(), Handset { phone, seen: Vec::new() });
        let uri = format!("sip:{name}@{address}");
        Ok(json!({ "uri": uri, "host": address.ip().to_string(), "port": address.port() }))
    }
}

impl Handset {
    /// Waits for something that happened since it was last asked for, or happens yet.
    async fn wait<T>(&mut self, what: &str, mut wanted: impl FnMut(&PhoneEvent) -> Option<T>) -> Result<T, String> {
        if let Some((at, found)) = self.seen.iter().enumerate().find_map(|(at, event)| Some((at, wanted(event)?))) {
            self.seen.remove(at);
            return Ok(found);
        }
        let seen = &mut self.seen;
        let found = self.phone.wait(PATIENCE, |event| {
            let found = wanted(&event);
            if found.is_none() {
                seen.push(event);
            }
            found
        });
        let found = found.await;
        found.ok_or_else(|| format!("waited in vain until {what}; the phone saw {} other things", self.seen.len()))
    }

    async fn press(&mut self, keys: &str, way: &str) -> Result<Value, String> {
        let way = match way {
            "event" => Way::TelephoneEvent,
            "tone" => Way::InBand,
            "info" => Way::Info,
            other => return Err(format!("{other} is no way to press a key")),
        };
        for key in keys.chars() {
            let digit = Digit::from_char(key).ok_or(format!("{key} is no key"))?;
            self.phone.press(digit, way).await;
            if way != Way::Info {
                self.wait("a key is sent", |event| (*event == PhoneEvent::Pressed).then_some(())).await?;
            }
        }
        Ok(json!({}))
    }

    async fn pressed(&mut self, keys: &str) -> Result<Value, String> {
        let mut ways = Vec::new();
        for key in keys.chars() {
            let what = format!("{key} is heard");
            let next = self.wait(&what, |event| match event {
                PhoneEvent::Heard(digit, way) => Some((digit.as_char(), *way)),
                _ => None,
            });
            let (heard, way) = next.await?;
            if heard != key {
                return Err(format!("{heard} was heard, not {key}"));
            }
            ways.push(match way {
                Way::TelephoneEvent => "event",
                Way::InBand => "tone",
                Way::Info => "info",
            });
        }
        Ok(json!({ "ways": ways }))
    }

    async fn over(&mut self, prompts: &Value) -> Result<Value, String> {
        let (by_peer, heard) = self
            .wait("its call is over", |event| match event {
                PhoneEvent::Over { by_peer, heard } => Some((*by_peer, heard.clone())),
                _ => None,
            })
            .await?;
        let library = Prompts::new(PromptConfig::default());
        let mut likeness = serde_json::Map::new();
        for prompt in prompts.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let source = Source::parse(prompt).map_err(|error| error.to_string())?;
            let clip = library.load(&source).await.map_err(|error| error.to_string())?;
            // A machine that froze for a moment spoils one half, and not both.
            let samples = clip.samples();
            let size = if samples.len() < 2 * HALF { samples.len() } else { samples.len().div_ceil(2) };
            let likely = samples.chunks(size.max(1)).filter_map(|half| find(half, &heard)).map(|(likely, _)| likely);
            likeness.insert(prompt.to_owned(), likely.fold(0.0, f64::max).into());
        }
        Ok(json!({ "byPeer": by_peer, "likeness": likeness }))
    }
}

/// An address in front of a phone where offers lose their telephone-event: the phone then knows only tones. What
/// belongs to the dialog once it is there goes to the phone directly, by its Contact.
async fn without_telephone_event(phone: SocketAddr) -> std::io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let (mut buffer, mut caller) = (vec![0; 65_535], None);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let message = &mut buffer[..length];
            let to = if from == phone { caller } else { Some(phone) };
            if from != phone {
                caller = Some(from);
                let (name, other) = (b"telephone-event", b"no-such-encoding");
                while let Some(at) = message.windows(name.len()).position(|window| window == name) {
                    message[at..at + name.len()].copy_from_slice(&other[..name.len()]);
                }
            }
            if let Some(to) = to {
                let _ = socket.send_to(message, to).await;
            }
        }
    });
    Ok(address)
}
