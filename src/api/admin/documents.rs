//! `/v1/rules`, `/v1/subscriptions`, `/v1/trunks`, `/v1/routes`, `/v1/users`: named JSON documents that are created,
//! read, replaced, deleted and
//! listed alike. POST of a name that is there is 409; PUT creates or replaces.

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::check_name;
use super::schemas::{Route, Rule, Subscription, Trunk, User};
use crate::api::endpoint::{Answer, Endpoint, PAGED, Request, Shape, Work, schema};
use crate::api::problem::Problem;
use crate::api::service::{Collection, Existing, Listing};

/// The five operations on a kind of document. Functions cannot close over the kind, so each row is written by a macro.
macro_rules! rows {
    ($all:ident, $collection:path, $document:ty, $list:literal, $one:literal, $what:literal) => {
        $all.push(
            Endpoint::admin(Method::GET, $list, concat!("List ", $what, "s"), |api, request| -> Work {
                Box::pin(async move {
                    let page = request.page()?;
                    let Listing { items, more } = api.administration.documents($collection, page).await?;
                    let items = items.into_iter().map(|document| shown($collection, document)).collect();
                    Ok(request.listing(Listing { items, more }, page))
                })
            })
            .query(PAGED)
            .answers(200, Shape::List(schema::<$document>)),
        );
        $all.push(
            Endpoint::admin(Method::POST, $list, concat!("Create a ", $what), |api, request| -> Work {
                Box::pin(async move {
                    let document = document(&request)?;
                    let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                    check_name(&name)?;
                    let stored = api.administration.put($collection, &name, document, Existing::Keep).await?;
                    Ok(Answer::json(StatusCode::CREATED, &shown($collection, stored.document)))
                })
            })
            .takes(Shape::Json(schema::<$document>))
            .answers(201, Shape::Json(schema::<$document>)),
        );
        $all.push(
            Endpoint::admin(Method::GET, $one, concat!("A ", $what), |api, request| -> Work {
                Box::pin(async move {
                    let document = api.administration.document($collection, request.parameter("name")).await?;
                    Ok(Answer::json(StatusCode::OK, &shown($collection, document)))
                })
            })
            .answers(200, Shape::Json(schema::<$document>)),
        );
        $all.push(
            Endpoint::admin(Method::PUT, $one, concat!("Create or replace a ", $what), |api, request| -> Work {
                Box::pin(async move {
                    let name = request.parameter("name");
                    check_name(name)?;
                    let document = named(document(&request)?, name)?;
                    let stored = api.administration.put($collection, name, document, Existing::Replace).await?;
                    let status = if stored.created { StatusCode::CREATED } else { StatusCode::OK };
                    Ok(Answer::json(status, &shown($collection, stored.document)))
                })
            })
            .takes(Shape::Json(schema::<$document>))
            .answers(200, Shape::Json(schema::<$document>))
            .answers(201, Shape::Json(schema::<$document>)),
        );
        $all.push(
            Endpoint::admin(Method::DELETE, $one, concat!("Delete a ", $what), |api, request| -> Work {
                Box::pin(async move {
                    api.administration.delete($collection, request.parameter("name")).await?;
                    Ok(Answer::empty(StatusCode::NO_CONTENT))
                })
            })
            .answers(204, Shape::Empty),
        );
    };
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = Vec::new();
    rows!(all, Collection::Rules, Rule, "/v1/rules", "/v1/rules/{name}", "rule");
    rows!(
        all,
        Collection::Subscriptions,
        Subscription,
        "/v1/subscriptions",
        "/v1/subscriptions/{name}",
        "subscription"
    );
    rows!(all, Collection::Trunks, Trunk, "/v1/trunks", "/v1/trunks/{name}", "trunk");
    rows!(all, Collection::Routes, Route, "/v1/routes", "/v1/routes/{name}", "route");
    rows!(all, Collection::Users, User, "/v1/users", "/v1/users/{name}", "user");
    all
}

fn document(request: &Request) -> Result<Value, Problem> {
    let document: Value = request.json()?;
    if document.is_object() { Ok(document) } else { Err(Problem::bad("", "the body is not a JSON object")) }
}

/// The document with the name of its path, which it may repeat but not contradict.
fn named(mut document: Value, name: &str) -> Result<Value, Problem> {
    match document.get("name") {
        Some(Value::String(given)) if given == name => {}
        None | Some(Value::Null) => document["name"] = name.into(),
        Some(_) => return Err(Problem::bad("name", format!("is not {name:?}, as the path says"))),
    }
    Ok(document)
}

/// What may be shown of a document: passwords never, whatever the store gives.
fn shown(of: Collection, mut document: Value) -> Value {
    if matches!(of, Collection::Trunks | Collection::Users) {
        hide_passwords(&mut document);
    }
    document
}

fn hide_passwords(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let hidden = ["password", "secret", "ha1"];
            members.retain(|name, _| !hidden.iter().any(|hidden| name.eq_ignore_ascii_case(hidden)));
            members.values_mut().for_each(hide_passwords);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_passwords),
        _ => {}
    }
}
