//! Where an outgoing call goes: a SIP address directly, a phone number by the first trunk that takes it.

use std::net::{IpAddr, SocketAddr};

use super::Hub;
use super::running_call::{About, CallMessage};
use super::signalling::Signal;
use crate::api::service::CallError;
use crate::call::{Party, Place, TimelineEntry, Topic};
use crate::session::LegId;
use crate::sip::agent::Way;
use crate::sip::leg::{Credentials, LegEvent, OutgoingInvite, Party as SipParty};
use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;
use crate::sip::transport::locate::Hop;
use crate::store::Trunk;

/// The way to a callee, found before the call is born.
#[derive(Clone, Debug)]
pub struct Route {
    /// The Request-URI.
    pub target: String,
    /// The next hop.
    pub hop: Hop,
    /// For a carrier that asks.
    pub credentials: Option<Credentials>,
    /// The trunk's name, where it goes by one.
    pub trunk: Option<String>,
    /// The host of our identity in From.
    pub from_host: String,
}

/// Trunks as calls use them: in the order they are tried, with the addresses they are known by.
#[derive(Debug, Default)]
pub struct Trunks(Vec<KnownTrunk>);

#[derive(Debug)]
struct KnownTrunk {
    trunk: Trunk,
    addresses: Vec<IpAddr>,
}

impl Trunks {
    /// Looks up each trunk's host. One that cannot be found has no addresses and recognises no caller.
    pub async fn resolve(trunks: Vec<Trunk>) -> Trunks {
        let mut known = Vec::new();
        for trunk in trunks {
            let addresses = match Uri::parse(trunk.uri.as_bytes()) {
                Ok(uri) => resolve(&uri).await.map(|a| a.into_iter().map(|a| a.ip()).collect()).unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            known.push(KnownTrunk { trunk, addresses });
        }
        Trunks(known)
    }

    /// Each trunk with the addresses of its host, which are where its calls come from.
    pub fn known(&self) -> impl Iterator<Item = (&Trunk, &[IpAddr])> {
        self.0.iter().map(|known| (&known.trunk, known.addresses.as_slice()))
    }

    fn for_number(&self, number: &str) -> Option<Trunk> {
        self.0.iter().find(|known| known.trunk.takes(number)).map(|known| known.trunk.clone())
    }
}

/// Finds the way to a callee, or says why there is none.
pub async fn route(hub: &Hub, target: &Party) -> Result<Route, CallError> {
    let bad = |problem: String| CallError::BadArgument { field: "targets".into(), problem };
    match target {
        Party::Sip(address) => {
            let uri = Uri::parse(address.as_bytes()).map_err(|error| {
                bad(format!("{address:?} is not a SIP address ({error}); write sip:user@host:port"))
            })?;
            let hop = next_hop(hub, &uri, address).await?;
            let from_host = hub.advertised.to_string();
            Ok(Route { target: address.clone(), hop, credentials: None, trunk: None, from_host })
        }
        Party::Phone(number) => {
            let trunk = hub.trunks.load().for_number(number).ok_or_else(|| {
                bad(format!("no trunk takes {number}: add one under /v1/trunks, with a prefix that fits or none"))
            })?;
            let carrier = Uri::parse(trunk.uri.as_bytes())
                .map_err(|error| CallError::Internal(format!("trunk {}: {}: {error}", trunk.name, trunk.uri)))?;
            let hop = next_hop(hub, &carrier, &trunk.uri).await?;
            let host = carrier.host().cloned().unwrap_or(Host::from(hop.address.ip()));
            let mut target = Uri::sip(Some(number), host.clone(), carrier.port());
            if hop.transport != Transport::Udp {
                target = target.with_param("transport", Some(hop.transport.uri_name()));
            }
            let credentials = trunk
                .username
                .clone()
                .map(|user| Credentials { user, password: trunk.password.clone().unwrap_or_default() });
            Ok(Route {
                target: target.to_string(),
                hop,
                credentials,
                trunk: Some(trunk.name),
                from_host: host.to_string(),
            })
        }
        Party::User(name) => Err(CallError::NotImplemented(format!(
            "{name} cannot be called: users come with a later release; call sip:user@host or a phone number"
        ))),
    }
}

async fn next_hop(hub: &Hub, uri: &Uri, written: &str) -> Result<Hop, CallError> {
    let bad = |problem: String| CallError::BadArgument { field: "targets".into(), problem };
    let hops = hub.locator.locate(uri).await.map_err(|error| bad(format!("{written}: {error}")))?;
    hops.into_iter().next().ok_or_else(|| bad(format!("{written}: it leads nowhere")))
}

async fn resolve(uri: &Uri) -> Result<Vec<SocketAddr>, String> {
    let host = uri.host().ok_or("there is no host in it")?;
    let port = uri.port().unwrap_or(5060);
    if let Some(ip) = host.ip() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((host.to_string(), port)).await;
    found.map(Iterator::collect).map_err(|error| format!("{host} cannot be found: {error}"))
}

/// Sends the INVITE of a call that has its port; which way it goes is for the timeline.
pub fn place(hub: &Hub, about: &About, place: Place) -> TimelineEntry {
    let leg: LegId = place.leg;
    let now = hub.clock.now();
    let Some(route) = &about.route else {
        let event = LegEvent::Failed { status: 500, phrase: "No Route".into(), reason: None, local: true };
        hub.calls.tell(hub, &about.id, CallMessage::Leg(event));
        return TimelineEntry::new(now, Topic::Signalling, "there is no route to the target");
    };
    let user = match &place.from {
        Some(Party::Phone(number)) => number.clone(),
        Some(Party::Sip(address)) => Uri::parse(address.as_bytes())
            .ok()
            .and_then(|uri| uri.user().map(|user| user.into_owned()))
            .unwrap_or_else(|| "strowger".to_owned()),
        _ => "anonymous".to_owned(),
    };
    let host = Host::parse(route.from_host.as_bytes()).unwrap_or(Host::from(hub.advertised));
    let from = SipParty {
        display: Some(place.display.clone()).filter(|d| !d.is_empty()),
        uri: Uri::sip(Some(&user), host, None).to_string(),
    };
    hub.signal(Signal::Place(
        leg,
        Box::new(OutgoingInvite {
            target: route.target.clone(),
            from,
            to: None,
            destination: route.hop.address,
            transport: route.hop.transport,
            credentials: route.credentials.clone(),
            media: place.media,
            headers: Vec::new(),
            ring_timeout: place.ring_timeout,
        }),
        Way { connection: route.hop.connection, ..Way::default() },
    ));
    let way = route.trunk.as_ref().map_or_else(|| "directly".to_owned(), |trunk| format!("by trunk {trunk}"));
    TimelineEntry::new(now, Topic::Signalling, format!("called {way}, {} {}", route.hop.transport, route.hop.address))
}
