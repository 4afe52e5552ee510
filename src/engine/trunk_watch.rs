//! Keeps an eye on trunks: one task a trunk that sends OPTIONS to its proxies and REGISTER to its registrar when they are
//! due, and takes leave of the registrar when the trunk goes or the engine stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::Hub;
use super::signalling::Signal;
use super::trunks::KnownTrunk;
use crate::sip::agent::{OutgoingRequest, RequestOutcome, Way};
use crate::sip::leg::Party;
use crate::sip::message::{Host, Method, Uri};
use crate::sip::transport::locate::Hop;
use crate::trunk::health::Standing;
use crate::trunk::registration::Wish;

/// How long taking leave of one registrar may take.
const LEAVE: Duration = Duration::from_secs(2);

/// The tasks, by trunk.
#[derive(Default)]
pub struct Watches(Mutex<HashMap<String, Watch>>);

struct Watch {
    known: Arc<KnownTrunk>,
    /// Told when the task is to take leave and end.
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watches {
    /// One task for each trunk as it is now; those of trunks that are gone or have changed take leave.
    pub fn follow(&self, hub: &Arc<Hub>) {
        let trunks = hub.trunks.load();
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|name, watch| {
            let same = trunks.named(name).is_some_and(|known| Arc::ptr_eq(known, &watch.known));
            if !same {
                watch.stop.send_replace(true);
            }
            same
        });
        for known in trunks.all() {
            let name = &known.trunk.name;
            let watched = known.trunk.health.is_some() || known.trunk.register.is_some();
            if watched && !watches.contains_key(name) {
                let (stop, stopped) = watch::channel(false);
                let task = tokio::spawn(follow(Arc::downgrade(hub), Arc::clone(known), stopped));
                watches.insert(name.clone(), Watch { known: Arc::clone(known), stop, task });
            }
        }
    }

    /// Takes leave everywhere.
    pub async fn stop(&self) {
        let all: Vec<Watch> = {
            let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            watches.drain().map(|(_, watch)| watch).collect()
        };
        for watch in &all {
            watch.stop.send_replace(true);
        }
        for watch in all {
            let _ = watch.task.await;
        }
    }
}

/// What came back, and to what.
enum Back {
    Options(usize, RequestOutcome),
    Register(RequestOutcome),
}

async fn follow(hub: Weak<Hub>, known: Arc<KnownTrunk>, mut stop: watch::Receiver<bool>) {
    // At most one OPTIONS a proxy and one REGISTER.
    let mut asking: JoinSet<Back> = JoinSet::new();
    loop {
        let Some(alive) = hub.upgrade() else { return };
        let clock = alive.clock;
        begin_what_is_due(&alive, &known, &mut asking);
        drop(alive);
        let due = known.deadline();
        let alarm = async move {
            match due {
                Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = alarm => {}
            () = known.fares.sooner.notified() => {}
            Some(back) = asking.join_next(), if !asking.is_empty() => {
                let Some(alive) = hub.upgrade() else { return };
                if let Ok(back) = back {
                    take(&alive, &known, back);
                }
            }
            _ = stop.changed() => break,
        }
    }
    let Some(alive) = hub.upgrade() else { return };
    let now = alive.clock.now();
    if let Some(wish) = known.registration(|registration| registration.leave(now)).flatten() {
        let _ = tokio::time::timeout(LEAVE, register(alive, Arc::clone(&known), wish)).await;
    }
}

fn begin_what_is_due(hub: &Arc<Hub>, known: &Arc<KnownTrunk>, asking: &mut JoinSet<Back>) {
    let now = hub.clock.now();
    for at in 0..known.proxies.len() {
        if known.health(at, |health| health.ask(now)) == Some(true) {
            let (hub, known) = (Arc::clone(hub), Arc::clone(known));
            asking.spawn(async move {
                let patience = known.health(at, |health| health.patience()).unwrap_or(LEAVE);
                let asked = tokio::time::timeout(patience, options(hub, known, at)).await;
                Back::Options(at, asked.unwrap_or_else(|_| nothing(408, "no answer in time")))
            });
        }
    }
    if let Some(wish) = known.registration(|registration| registration.ask(now)).flatten() {
        let (hub, known) = (Arc::clone(hub), Arc::clone(known));
        asking.spawn(async move { Back::Register(register(hub, known, wish).await) });
    }
}

fn take(hub: &Hub, known: &KnownTrunk, back: Back) {
    let now = hub.clock.now();
    let name = &known.trunk.name;
    match back {
        Back::Options(at, outcome) => {
            let told = known.health(at, |health| {
                let before = health.standing(now);
                hub.random(|random| match &outcome.response {
                    Some(_) => health.answered(outcome.status, now, random),
                    None => health.failed(&outcome.problem, now, random),
                });
                (before, health.standing(now))
            });
            let Some((before, after)) = told.filter(|(before, after)| before != after) else { return };
            let proxy = known.proxies.get(at).map(|proxy| proxy.uri.as_str()).unwrap_or_default();
            match after {
                Standing::Down => tracing::warn!(trunk = name, proxy, problem = outcome.problem, "a proxy is down"),
                _ => tracing::info!(trunk = name, proxy, "a proxy is up"),
            }
            if before == Standing::Down {
                // The network was gone, so the registrar may have forgotten us.
                known.registration(|registration| hub.random(|random| registration.lost(now, random)));
            }
        }
        Back::Register(outcome) => {
            known.registration(|registration| {
                let before = registration.standing(now);
                registration.sent(outcome.cseq, outcome.authenticator.clone());
                hub.random(|random| match &outcome.response {
                    Some(response) => registration.answered(response, &known.fares.contact, now, random),
                    None => registration.failed(&outcome.problem, now, random),
                });
                let after = registration.standing(now);
                if before != after {
                    tracing::info!(trunk = name, status = outcome.status, ?after, "registration");
                }
            });
        }
    }
}

fn nothing(status: u16, problem: &str) -> RequestOutcome {
    RequestOutcome { response: None, status, problem: problem.to_owned(), cseq: 0, authenticator: Default::default() }
}

/// Asks one proxy how it is.
async fn options(hub: Arc<Hub>, known: Arc<KnownTrunk>, at: usize) -> RequestOutcome {
    let Some(uri) = known.proxies.get(at).map(|proxy| proxy.uri.clone()) else { return nothing(503, "no such proxy") };
    let from = Party { display: None, uri: Uri::sip(Some("strowger"), Host::from(hub.advertised), None).to_string() };
    send(&hub, &known, &uri, 0, |target, hop| OutgoingRequest {
        method: Method::Options,
        target,
        from,
        to: None,
        destination: hop.address,
        transport: hop.transport,
        way: Way { connection: hop.connection, ..Way::default() },
        call_id: None,
        cseq: 1,
        contact: None,
        headers: vec![("Accept".to_owned(), "application/sdp".to_owned())],
        credentials: known.credentials(),
        authenticator: Default::default(),
    })
    .await
}

/// Registers, refreshes or takes leave.
async fn register(hub: Arc<Hub>, known: Arc<KnownTrunk>, wish: Wish) -> RequestOutcome {
    let Some(register) = &known.trunk.register else { return nothing(503, "nothing is registered") };
    let first = known.proxies.first().map(|proxy| proxy.uri.as_str()).unwrap_or_default();
    let uri = register.registrar.as_deref().unwrap_or(first).to_owned();
    let Ok(parsed) = Uri::parse(uri.as_bytes()) else { return nothing(400, "the registrar's URI cannot be read") };
    let own = register.domain.as_deref().and_then(|domain| Host::parse(domain.as_bytes()));
    let Some(domain) = own.or_else(|| parsed.host().cloned()) else { return nothing(400, "the registrar has no host") };
    let port = if register.domain.is_some() { None } else { parsed.port() };
    let aor = Party { display: None, uri: Uri::sip(Some(&register.user), domain.clone(), port).to_string() };
    let target = Uri::sip(None, domain, port).to_string();
    // With several ways to the registrar, the next after each failure.
    let nth = known.registration(|registration| registration.failures()).unwrap_or_default() as usize;
    let expires = wish.expires.to_string();
    // One registration, one Call-ID (§10.2.4): named after the Contact, which is unguessable.
    let call_id = format!("reg-{}", known.fares.contact);
    send(&hub, &known, &uri, nth, |_, hop| OutgoingRequest {
        method: Method::Register,
        target,
        from: aor.clone(),
        to: Some(aor),
        destination: hop.address,
        transport: hop.transport,
        way: Way { connection: hop.connection, ..Way::default() },
        call_id: Some(call_id),
        cseq: wish.cseq,
        contact: Some((known.fares.contact.clone(), vec![("expires".to_owned(), Some(expires.clone()))])),
        headers: vec![("Expires".to_owned(), expires)],
        credentials: known.credentials(),
        authenticator: wish.authenticator,
    })
    .await
}

/// Sends a request to the `nth` address of a URI and waits for its outcome.
async fn send(
    hub: &Hub,
    known: &KnownTrunk,
    uri: &str,
    nth: usize,
    request: impl FnOnce(String, Hop) -> OutgoingRequest,
) -> RequestOutcome {
    let Ok(parsed) = Uri::parse(uri.as_bytes()) else { return nothing(400, "its URI cannot be read") };
    let found = match super::outgoing::locate(hub, &parsed).await {
        Ok(found) => found,
        Err(problem) => return nothing(503, &problem),
    };
    known.notice(hub, &found);
    let Some(hop) = found.get(nth % found.len().max(1)).copied() else {
        return nothing(503, "it has no address");
    };
    let (reply, outcome) = oneshot::channel();
    hub.signal(Signal::Request(Box::new(request(uri.to_owned(), hop)), reply));
    outcome.await.unwrap_or_else(|_| nothing(503, "signalling is too busy"))
}
