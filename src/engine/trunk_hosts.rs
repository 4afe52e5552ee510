//! The addresses behind the names of trunks' proxies and registrars, by which their calls are recognised (RFC 3263 leads
//! there): looked up again as time goes on, and at once when somebody finds others. What they are trusted with is
//! `sip::access`'s.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ipnet::IpNet;
use tokio::task::JoinSet;

use super::Hub;
use super::trunks::KnownTrunk;
use crate::sip::message::Uri;
use crate::sip::transport::locate::Hop;

/// How often all names are looked up again, a fifth more or less. What name servers said holds for its time to live.
const INTERVAL: Duration = Duration::from_secs(60);

/// The least time between two looks, however often other addresses are found.
const PAUSE: Duration = Duration::from_secs(1);

/// Trunks whose names are looked up at once.
const AT_ONCE: usize = 16;

/// Where one URI of a trunk's leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub uri: String,
    /// Sorted; at most as many as a URI has places to try.
    pub addresses: Vec<IpNet>,
}

/// The addresses behind these URIs. Where nothing is found, what was found before stays.
pub async fn find(hub: &Hub, uris: Vec<String>, before: &[Found]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::with_capacity(uris.len());
    for uri in uris {
        let Ok(parsed) = Uri::parse(uri.as_bytes()) else { continue };
        let mut addresses: Vec<IpNet> = match super::outgoing::locate(hub, &parsed).await {
            Ok(found) => found.iter().map(address).collect(),
            Err(_) => before.iter().filter(|old| old.uri == uri).flat_map(|old| old.addresses.clone()).collect(),
        };
        addresses.sort_unstable();
        addresses.dedup();
        all.push(Found { uri, addresses });
    }
    all
}

fn address(hop: &Hop) -> IpNet {
    IpNet::from(hop.address.ip().to_canonical())
}

/// Looks all names up once more; tells the stack if that changed anything.
pub async fn look_again(hub: &Arc<Hub>) {
    let mut looking: JoinSet<bool> = JoinSet::new();
    let mut changed = false;
    for known in hub.trunks.load_full().all() {
        if looking.len() >= AT_ONCE
            && let Some(one) = looking.join_next().await
        {
            changed |= one.unwrap_or_default();
        }
        let (hub, known) = (Arc::clone(hub), Arc::clone(known));
        looking.spawn(async move { known.look_again(&hub).await });
    }
    while let Some(one) = looking.join_next().await {
        changed |= one.unwrap_or_default();
    }
    if changed {
        hub.tell_policy();
    }
}

/// Looks again and again, for as long as the engine lives.
pub async fn follow(hub: Weak<Hub>) {
    loop {
        let Some(alive) = hub.upgrade() else { return };
        let interval = u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let wait = alive.random(|random| interval * 4 / 5 + random.below(interval * 2 / 5 + 1));
        let others = Arc::clone(&alive.other_addresses);
        drop(alive);
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            () = others.notified() => {}
        }
        let Some(alive) = hub.upgrade() else { return };
        look_again(&alive).await;
    }
}

impl KnownTrunk {
    async fn look_again(&self, hub: &Hub) -> bool {
        let before = self.found.load_full();
        let now = find(hub, self.uris(), &before).await;
        let changed = *before != now;
        if changed {
            let addresses: Vec<&IpNet> = now.iter().flat_map(|found| &found.addresses).collect();
            tracing::info!(trunk = self.trunk.name, ?addresses, "its hosts have other addresses");
            self.found.store(Arc::new(now));
        }
        changed
    }

    /// A call or a request of ours was led here: if that is news, its names are looked up again at once.
    pub fn notice(&self, hub: &Hub, found: &[Hop]) {
        if found.iter().any(|hop| !self.is_from(hop.address.ip())) {
            hub.other_addresses.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Mutex;

    use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use serde_json::{Value, json};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::api::service::{Administration, Collection, Existing};
    use crate::config::{Config, Values};
    use crate::engine::Engine;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// What every name's address is, without a time to live; none: the server fails.
    type Zone = Arc<Mutex<Option<Ipv4Addr>>>;

    /// A name server on loopback.
    async fn name_server(zone: Zone) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
                let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
                let question = query.queries[0].clone();
                match *zone.lock().unwrap() {
                    None => response.metadata.response_code = ResponseCode::ServFail,
                    Some(ip) if question.query_type() == RecordType::A => {
                        response.add_answer(Record::from_rdata(question.name().clone(), 0, RData::A(A(ip))));
                    }
                    Some(_) => {}
                }
                response.add_query(question);
                let _ = socket.send_to(&response.to_vec().unwrap(), from).await;
            }
        });
        address
    }

    async fn engine(folder: &std::path::Path, servers: SocketAddr) -> Arc<Engine> {
        let mut values = Values::default();
        let (data, servers) = (folder.display().to_string(), servers.to_string());
        for (name, value) in [
            ("http", "0"),
            ("https", "0"),
            ("sip", "127.0.0.1:0"),
            ("rtp-ports", "0"),
            ("data-dir", &data),
            ("drain-seconds", "0"),
            ("name-servers", &servers),
        ] {
            values.offer(name, value.to_owned(), "test");
        }
        Engine::start(Config::from_values(&values).unwrap()).await.unwrap()
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn recognised(hub: &Hub, last: u8) -> bool {
        hub.policy.load().trunk_from(ip(last)).is_some()
    }

    async fn put(engine: &Engine, mut document: Value) {
        document["name"] = "carrier".into();
        engine.put(Collection::Trunks, "carrier", document, Existing::Replace).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_carrier_is_recognised_at_the_addresses_that_its_names_have_now() {
        let folder = tempfile::tempdir().unwrap();
        let zone: Zone = Arc::default();
        let engine = engine(folder.path(), name_server(Arc::clone(&zone)).await).await;
        let hub = Arc::clone(&engine.hub);
        put(&engine, json!({"uri": "sip:carrier.test:9", "networks": ["127.0.0.77"]})).await;
        assert!(recognised(&hub, 77) && !recognised(&hub, 11), "no name server answers");

        *zone.lock().unwrap() = Some(Ipv4Addr::new(127, 0, 0, 11));
        look_again(&hub).await;
        assert!(recognised(&hub, 77) && recognised(&hub, 11));
        *zone.lock().unwrap() = None;
        look_again(&hub).await;
        assert!(recognised(&hub, 11), "what fails changes nothing");
        put(&engine, json!({"uri": "sip:carrier.test:9", "priority": 7})).await;
        assert!(recognised(&hub, 11) && !recognised(&hub, 77), "nor does a changed document lose what was found");

        let secret = json!({"username": "carrier", "password": "hidden"});
        let proved = json!({"uri": "sip:carrier.test:9", "networks": ["127.0.0.77"], "inbound": secret,
            "inboundProof": "required"});
        put(&engine, proved).await;
        assert!(!recognised(&hub, 11) && !recognised(&hub, 77), "where it comes from proves nothing");
        assert_eq!(hub.policy.load().trunks.iter().filter(|trunk| trunk.digest.is_some()).count(), 1);

        // An OPTIONS is led elsewhere: that is enough.
        put(&engine, json!({"uri": "sip:carrier.test:9", "health": {"optionsIntervalSeconds": 1}})).await;
        *zone.lock().unwrap() = Some(Ipv4Addr::new(127, 0, 0, 12));
        let soon = async {
            while !recognised(&hub, 12) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Long before all names are looked up again by themselves.
        tokio::time::timeout(INTERVAL / 2, soon).await.expect("the new address is known");
        assert!(!recognised(&hub, 11), "the old one is nobody's");
        let guarded = |last| hub.trunks.load().all().iter().any(|known| known.is_from(ip(last)));
        assert!(guarded(12) && !guarded(11));
        let stopped = tokio::time::timeout(PATIENCE, engine.stop()).await;
        assert!(stopped.is_ok());
    }
}
