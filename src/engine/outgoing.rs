//! Where an outgoing call goes: a SIP address directly, a phone number by the routes and trunks that take it. Which of the
//! places answers is found out by a hunt.

use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::hunting::HuntWish;
use super::metrics::count;
use super::running_call::{About, CallMessage};
use super::shown::Shown;
use super::signalling::Signal;
use super::tolls::TollPermit;
use super::trunks::KnownTrunk;
use crate::api::service::CallError;
use crate::call::{Party, Place, TimelineEntry, Topic};
use crate::session::LegId;
use crate::sip::hunt::{Branch, HuntLimits, Round, Verdict};
use crate::sip::leg::{LegEvent, OutgoingInvite};
use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;
use crate::sip::transport::locate::Hop;
use crate::trunk::caller::{self, Calling};
use crate::trunk::document::{Failover, Redirects};
use crate::trunk::route::{Asker, Way};
use crate::trunk::toll::Destination;

/// Addresses of one name that are tried, at most.
const ADDRESSES: usize = 4;

/// How long the contacts of a redirection may take to be found.
const LOOKUP: Duration = Duration::from_secs(5);

/// The way to a callee, found before the call is born.
#[derive(Clone, Debug)]
pub struct Route {
    /// The first Request-URI.
    pub target: String,
    /// Where to try, one after the other.
    pub leads: Vec<Lead>,
    /// When the next is tried.
    pub next_round: Verdict,
    /// What is done when one fails.
    pub failover: Failover,
    /// How it was decided, for the timeline.
    pub notes: Vec<String>,
    /// The user of ours whose devices these are.
    pub user: Option<String>,
    /// The caller's place among his calls to numbers, held as long as somebody holds the route.
    pub toll: Option<Arc<TollPermit>>,
}

/// One round of a route.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Who is called at the same time.
    pub round: Round,
    /// The trunk that it goes by, which says how the caller is shown.
    pub trunk: Option<Arc<KnownTrunk>>,
    /// The host of our identity in From.
    pub from_host: Host,
}

/// Where a 3xx of one of a hunt's attempts points.
#[derive(Clone, Debug)]
pub struct Redirection {
    /// URIs, most wanted first.
    pub contacts: Vec<String>,
    /// The attempt that was redirected.
    pub from: Box<Branch>,
    /// Which are followed.
    pub follows: Redirects,
}

/// Finds the way to a callee, or says why there is none.
pub async fn route(hub: &Hub, target: &Party, asker: &Asker) -> Result<Route, CallError> {
    let bad = |problem: String| CallError::BadArgument { field: "targets".into(), problem };
    if let Some(route) = to_user(hub, target).await {
        return Ok(route);
    }
    match target {
        Party::Sip(address) => {
            let uri = Uri::parse(address.as_bytes()).map_err(|error| {
                bad(format!("{address:?} is not a SIP address ({error}); write sip:user@host:port"))
            })?;
            let found = locate(hub, &uri).await.map_err(|problem| bad(format!("{address}: {problem}")))?;
            let toll = by_the_back_door(hub, &uri, &found, asker).map_err(bad)?;
            let lead = |hop| Lead {
                round: vec![to(address.clone(), hop)].into(),
                trunk: None,
                from_host: Host::from(hub.advertised),
            };
            Ok(Route {
                target: address.clone(),
                leads: found.into_iter().take(ADDRESSES).map(lead).collect(),
                next_round: Verdict::Trouble,
                failover: Failover { redirects: Redirects::Anywhere, ..Failover::default() },
                notes: Vec::new(),
                user: None,
                toll,
            })
        }
        Party::Phone(number) => {
            let trunks = hub.trunks.load_full();
            let decision = trunks.decide(number, asker);
            if let Some(problem) = decision.problem {
                return Err(bad(problem));
            }
            let ways = decision.ways.iter().filter_map(|way| Some((trunks.named(&way.trunk)?, &way.number)));
            let judged = ways.fold(Destination::new(number), |to, (known, written)| to.by(&known.plan, written));
            let toll = Some(hub.permit_toll(asker, &judged).map_err(|refusal| bad(refusal.to_string()))?);
            let mut notes = decision.explanation;
            // Proxies that are down come after all that are not, but they come.
            let (mut up, mut down) = (Vec::new(), Vec::new());
            let mut failover = None;
            for way in &decision.ways {
                let Some(known) = trunks.named(&way.trunk) else { continue };
                failover.get_or_insert_with(|| known.trunk.failover.clone().unwrap_or_default());
                by_trunk(hub, known, way, &mut up, &mut down, &mut notes).await;
            }
            up.append(&mut down);
            let first = up.first().and_then(|lead: &Lead| lead.round.branches.first());
            let Some(target) = first.map(|branch| branch.target.clone()) else {
                return Err(bad(format!("{number}: {}", notes.join("; "))));
            };
            let failover = failover.unwrap_or_default();
            Ok(Route { target, leads: up, next_round: Verdict::Trouble, failover, notes, user: None, toll })
        }
        Party::User(name) => Err(bad(nobody(name))),
    }
}

/// Refuses a user that is nobody of ours, and a number that no route or trunk takes.
pub fn check(hub: &Hub, target: &Party, asker: &Asker) -> Result<(), CallError> {
    if user_named(hub, target).is_some() {
        return Ok(());
    }
    let problem = match target {
        Party::Sip(_) => None,
        Party::Phone(number) => hub.trunks.load().decide(number, asker).problem,
        Party::User(name) => Some(nobody(name)),
    };
    problem.map_or(Ok(()), |problem| Err(CallError::BadArgument { field: "targets".into(), problem }))
}

fn nobody(name: &str) -> String {
    format!("there is no user {name}: add one under /v1/users, or call sip:user@host or a phone number")
}

/// The user of ours that somebody is, by name, address or number.
pub fn user_named(hub: &Hub, target: &Party) -> Option<String> {
    let policy = hub.policy.load();
    let user = match target {
        Party::Sip(address) => policy.user_at(&Uri::parse(address.as_bytes()).ok()?)?,
        Party::Phone(number) => policy.user_called(number)?,
        Party::User(name) => policy.users.get(name.strip_prefix("8:acs:").unwrap_or(name))?,
    };
    Some(user.name.clone())
}

/// The way to a user of ours, by name, address or number; none: it is nobody of ours. A user without registered devices
/// has a way that leads to nobody.
async fn to_user(hub: &Hub, target: &Party) -> Option<Route> {
    let policy = hub.policy.load_full();
    let address = match target {
        Party::Sip(address) => Uri::parse(address.as_bytes()).ok(),
        Party::Phone(_) | Party::User(_) => None,
    };
    let user = match (target, &address) {
        (Party::Sip(_), address) => policy.user_at(address.as_ref()?)?,
        (Party::Phone(number), _) => policy.user_called(number)?,
        (Party::User(name), _) => policy.users.get(name.strip_prefix("8:acs:").unwrap_or(name))?,
    };
    let instance = address.as_ref().and_then(|uri| uri.param("gr"));
    let rounds = if user.disabled { Vec::new() } else { hub.rounds_of(user, instance).await };
    let name = &user.name;
    let devices: usize = rounds.iter().map(|round| round.branches.len()).sum();
    let how = if rounds.len() > 1 { ", the most wanted first" } else { "" };
    let note = match devices {
        0 if user.disabled => format!("user {name} is disabled"),
        0 => format!("user {name} has no registered device"),
        _ => format!("user {name} is rung on {devices} registered devices{how}"),
    };
    let first = rounds.first().and_then(|round| round.branches.first()).map(|branch| branch.target.clone());
    let own = Uri::sip(Some(name), Host::from(hub.advertised), None).to_string();
    let lead = |round| Lead { round, trunk: None, from_host: Host::from(hub.advertised) };
    Some(Route {
        target: first.unwrap_or(own),
        leads: rounds.into_iter().map(lead).collect(),
        next_round: Verdict::Any,
        failover: Failover { redirects: Redirects::None, ..Failover::default() },
        notes: vec![note],
        user: Some(name.clone()),
        toll: None,
    })
}

/// A SIP address may lead to a trunk, who takes calls of ours for good money because they come from us. Applications may
/// call it so, which counts as a call to a number; all others reach trunks by numbers and routes alone.
fn by_the_back_door(hub: &Hub, uri: &Uri, found: &[Hop], asker: &Asker) -> Result<Option<Arc<TollPermit>>, String> {
    let trunks = hub.trunks.load();
    let trunk = trunks.all().iter().find(|known| found.iter().any(|hop| known.is_from(hop.address.ip())));
    match (trunk, asker) {
        (None, _) => Ok(None),
        (Some(known), Asker::Application) => {
            let user = uri.as_sip().and_then(|sip| sip.user_without_params()).unwrap_or_default();
            let number = crate::rules::normalise(&user);
            let permit = hub.permit_toll(asker, &Destination::new(&number).by(&known.plan, &number));
            permit.map(Some).map_err(|refusal| refusal.to_string())
        }
        (Some(known), _) => {
            count(&hub.metrics.calls_refused, "toll destination");
            Err(format!("{uri} is trunk {}, which is called by numbers only", known.trunk.name))
        }
    }
}

/// A branch that takes this hop.
fn to(target: String, hop: Hop) -> Branch {
    Branch { connection: hop.connection, ..Branch::to(target, hop.transport, hop.address) }
}

/// The leads of one trunk, in the order of trial.
async fn by_trunk(
    hub: &Hub,
    known: &Arc<KnownTrunk>,
    way: &Way,
    up: &mut Vec<Lead>,
    down: &mut Vec<Lead>,
    notes: &mut Vec<String>,
) {
    let now = hub.clock.now();
    let name = &known.trunk.name;
    let number = known.plan.outward(&way.number);
    let service_route = known.registration(|r| r.route().to_vec()).unwrap_or_default();
    for at in hub.random(|random| known.order(now, random)) {
        let Some(proxy) = known.proxies.get(at) else { continue };
        let Ok(uri) = Uri::parse(proxy.uri.as_bytes()) else { continue };
        let found = match locate(hub, &uri).await {
            Ok(found) => found,
            Err(problem) => {
                notes.push(format!("trunk {name}: {}: {problem}", proxy.uri));
                known.health(at, |health| health.call_failed(&problem, now));
                continue;
            }
        };
        known.notice(hub, &found);
        for hop in found.into_iter().take(ADDRESSES) {
            let host = uri.host().cloned().unwrap_or(Host::from(hop.address.ip()));
            let mut target = Uri::sip(Some(&number), host.clone(), uri.port());
            if hop.transport != Transport::Udp {
                target = target.with_param("transport", Some(hop.transport.uri_name()));
            }
            let several = known.proxies.len() > 1;
            let branch = Branch {
                route: service_route.clone(),
                credentials: known.credentials(),
                srtp: known.trunk.srtp.map(Into::into),
                trunk: Some(name.clone()),
                proxy: at,
                label: if several { format!("trunk {name}, proxy {}", at + 1) } else { format!("trunk {name}") },
                ..to(target.to_string(), hop)
            };
            let lead = Lead { round: vec![branch].into(), trunk: Some(Arc::clone(known)), from_host: host };
            if known.is_down(at, now) { down.push(lead) } else { up.push(lead) }
        }
    }
}

/// The places behind a SIP URI, in the order of trial.
pub async fn locate(hub: &Hub, uri: &Uri) -> Result<Vec<Hop>, String> {
    hub.locator.locate(uri).await.map_err(|error| error.to_string())
}

/// Where a redirection leads, a round for each contact; empty: nowhere that may be called. A number is never called: it
/// would be a call by another trunk, which whoever redirects has no right to.
pub async fn follow(hub: &Hub, redirection: Redirection) -> Vec<Round> {
    let find = async {
        let mut rounds = Vec::new();
        for contact in &redirection.contacts {
            let Ok(uri) = Uri::parse(contact.as_bytes()) else { continue };
            if uri.as_sip().is_none() || redirection.follows == Redirects::None {
                continue;
            }
            let Ok(found) = locate(hub, &uri).await else { continue };
            for hop in found.into_iter().take(ADDRESSES) {
                let trunks = hub.trunks.load();
                let trunk = redirection.from.trunk.as_deref().and_then(|name| trunks.named(name));
                let own = trunk.is_some_and(|known| known.is_from(hop.address.ip()));
                // Another trunk is nobody's to send us to.
                let foreign = !own && trunks.all().iter().any(|known| known.is_from(hop.address.ip()));
                if foreign || redirection.follows == Redirects::Own && !own {
                    continue;
                }
                let here = Branch { label: format!("redirected to {contact}"), ..to(contact.clone(), hop) };
                // What the trunk is told is for nobody else: credentials, who calls, and the way there.
                let branch = if own {
                    let from = redirection.from.as_ref().clone();
                    let Branch { target, destination, transport, connection, label, .. } = here;
                    Branch { target, destination, transport, connection, label, ..from }
                } else {
                    here
                };
                rounds.push(Round::from(vec![branch]));
            }
        }
        rounds
    };
    tokio::time::timeout(LOOKUP, find).await.unwrap_or_default()
}

/// The rounds of these leads, each with the caller as its trunk is to be told of him.
pub fn rounds(leads: Vec<Lead>, shown: &Shown) -> Vec<Round> {
    let dressed = leads.into_iter().map(|lead| {
        let mut round = lead.round;
        if let Some(known) = &lead.trunk {
            let calling = Calling {
                user: shown.number.as_deref().map(|number| known.plan.outward(number)),
                display: shown.display.clone(),
                hidden: shown.hidden,
            };
            let told = caller::told(&known.trunk.caller.clone().unwrap_or_default(), &calling, &lead.from_host);
            for branch in &mut round.branches {
                branch.headers.extend(told.headers.clone());
                branch.from = Some(told.from.clone());
            }
        }
        round
    });
    dressed.collect()
}

/// The bounds of a hunt along a route.
pub fn limits(failover: &Failover, next_round: Verdict, ring_timeout: Duration) -> HuntLimits {
    HuntLimits {
        patience: Some(Duration::from_secs(u64::from(failover.silence_seconds))),
        next_round,
        trouble: failover.statuses.clone(),
        ..HuntLimits::new(ring_timeout)
    }
}

/// Sends the INVITE of a call that has its port; which way it goes is for the timeline.
pub fn place(hub: &Hub, about: &About, route: Option<Route>, place: Place) -> Vec<TimelineEntry> {
    let leg: LegId = place.leg;
    let now = hub.clock.now();
    let note = |text: String| TimelineEntry::new(now, Topic::Signalling, text);
    let Some(route) = route else {
        let event = LegEvent::Failed { status: 500, phrase: "No Route".into(), reason: None, local: true };
        hub.calls.tell(hub, &about.id, CallMessage::Leg(leg, event));
        return vec![note("there is no route to the target".into())];
    };
    let shown = super::shown::to_callee(hub, about, &place);
    let rounds = rounds(route.leads, &shown);
    let from = shown.from(Host::from(hub.advertised));
    let first = rounds.first().and_then(|round| round.branches.first());
    let Some((destination, transport)) = first.map(|branch| (branch.destination, branch.transport)) else {
        let event = LegEvent::Failed { status: 480, phrase: "Nobody to call".into(), reason: None, local: true };
        hub.calls.tell(hub, &about.id, CallMessage::Leg(leg, event));
        return route.notes.into_iter().chain(["there is nobody to call".to_owned()]).map(note).collect();
    };
    let limits = limits(&route.failover, route.next_round, place.ring_timeout);
    let mut headers = about.headers.clone();
    if about.direction == "inbound" {
        headers.push(("Max-Forwards".to_owned(), about.hops.to_string()));
    }
    let invite = OutgoingInvite {
        target: route.target,
        from,
        to: None,
        destination,
        transport,
        credentials: None,
        media: place.media,
        headers,
        ring_timeout: place.ring_timeout,
    };
    let wish = HuntWish { invite, rounds, limits, redirects: route.failover.redirects };
    hub.signal(Signal::Hunt(leg, Box::new(wish)));
    route.notes.into_iter().map(note).collect()
}
