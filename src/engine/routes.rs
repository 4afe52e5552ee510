//! `/v1/trunks` and `/v1/routes`: documents that are checked, kept, made ready and shown with how they fare.

use std::sync::Arc;

use serde_json::Value;

use super::Hub;
use super::administration::{invalid, to_json};
use crate::api::service::{AdminError, Existing, FieldProblem, Stored};
use crate::trunk::route::{Asker, check_route};
use crate::trunk::{Problem, Route, Trunk, check};

/// Routes in all, so that a decision takes no time to speak of.
const MAX_ROUTES: usize = 1_000;

/// A trunk as it is shown: without secrets, with how it fares.
pub fn shown_trunk(hub: &Hub, trunk: Trunk) -> Value {
    let known = hub.trunks.load().named(&trunk.name).cloned();
    let state = known.map(|known| known.state(hub.clock.now()));
    to_json(&Trunk { state, ..trunk.for_display() })
}

/// Keeps a trunk.
pub async fn put_trunk(
    hub: &Arc<Hub>,
    name: &str,
    mut document: Value,
    existing: Existing,
) -> Result<Stored, AdminError> {
    // What was shown may be put back.
    if let Some(members) = document.as_object_mut() {
        members.remove("state");
    }
    let mut trunk: Trunk = serde_json::from_value(document).map_err(|error| invalid("body", error.to_string()))?;
    refuse(check(&trunk))?;
    let before = hub.store.trunk(name).await?;
    trunk.seal(&hub.config.realm, before.as_ref());
    if let Some(inbound) = trunk.inbound.as_ref().filter(|inbound| inbound.secret.is_none()) {
        return Err(invalid("inbound.password", format!("is missing: {} has none yet", inbound.username)));
    }
    match (&before, existing) {
        (Some(_), Existing::Keep) => return Err(AdminError::Exists(format!("trunk {name}"))),
        (Some(_), Existing::Replace) => drop(hub.store.replace_trunk(&trunk).await?),
        (None, _) => hub.store.create_trunk(&trunk).await?,
    }
    hub.reload_trunks().await?;
    Ok(Stored { document: shown_trunk(hub, trunk), created: before.is_none() })
}

/// Deletes a trunk; whether it was there. One that a route names stays.
pub async fn delete_trunk(hub: &Arc<Hub>, name: &str) -> Result<bool, AdminError> {
    if let Some(route) = hub.trunks.load().routes.using(name) {
        return Err(AdminError::Conflict(format!("route {route} goes by trunk {name}: change or delete it first")));
    }
    let there = hub.store.delete_trunk(name).await?;
    hub.reload_trunks().await?;
    Ok(there)
}

/// Keeps a route.
pub async fn put_route(hub: &Arc<Hub>, name: &str, document: Value, existing: Existing) -> Result<Stored, AdminError> {
    let route: Route = serde_json::from_value(document).map_err(|error| invalid("body", error.to_string()))?;
    let trunks = hub.trunks.load_full();
    refuse(check_route(&route, |trunk| trunks.named(trunk).is_some()))?;
    let before = hub.store.route(name).await?;
    match (&before, existing) {
        (Some(_), Existing::Keep) => return Err(AdminError::Exists(format!("route {name}"))),
        (Some(_), Existing::Replace) => drop(hub.store.replace_route(&route).await?),
        (None, _) if hub.store.routes().await?.len() >= MAX_ROUTES => {
            return Err(AdminError::Conflict(format!("there are {MAX_ROUTES} routes, the most allowed")));
        }
        (None, _) => hub.store.create_route(&route).await?,
    }
    hub.reload_trunks().await?;
    Ok(Stored { document: to_json(&route), created: before.is_none() })
}

/// Deletes a route; whether it was there.
pub async fn delete_route(hub: &Arc<Hub>, name: &str) -> Result<bool, AdminError> {
    let there = hub.store.delete_route(name).await?;
    hub.reload_trunks().await?;
    Ok(there)
}

/// Where a number would go: `{"number": "+44…", "caller": "application"}`.
pub fn explain(hub: &Hub, question: &Value) -> Result<Value, AdminError> {
    let text = |field: &str| question.get(field).and_then(Value::as_str);
    let number = text("number").ok_or_else(|| invalid("number", "is missing: write +44 and so on".to_owned()))?;
    let caller = text("caller").unwrap_or("application");
    let asker = Asker::parse(caller).ok_or_else(|| {
        let problem = format!("{caller:?}: write application, user, user:NAME, trunk:NAME or stranger");
        invalid("caller", problem)
    })?;
    let number = crate::rules::address::normalise(number);
    Ok(to_json(&hub.trunks.load().decide(&number, &asker)))
}

fn refuse(problems: Vec<Problem>) -> Result<(), AdminError> {
    if problems.is_empty() {
        return Ok(());
    }
    let told = problems.into_iter().map(|p| FieldProblem { field: p.field, problem: p.problem });
    Err(AdminError::Invalid(told.collect()))
}
