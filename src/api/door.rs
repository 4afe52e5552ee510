//! What every request goes through: its row is looked up, the caller checked, the body read within bounds, repetitions
//! noticed, the row's function run, and the answer dressed. Connections and their limits are `server`'s.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request as HttpRequest;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use super::auth::Signed;
use super::endpoint::{Answer, Endpoint, Found, Request, find, unknown_path, wrong_method};
use super::problem::Problem;
use super::repeatability::Identity;
use super::{Api, Scheme};

/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How long an answer may take. What was begun then goes on; a repetition with the same id waits for it again.
const ANSWER_TIME: Duration = Duration::from_secs(60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");

/// Answers one request, whatever it is.
pub(super) async fn pass(api: Arc<Api>, scheme: Scheme, request: HttpRequest) -> Response {
    let id = Uuid::new_v4();
    let (parts, body) = request.into_parts();
    let span = tracing::info_span!("request", %id, method = %parts.method, path = parts.uri.path());
    let wanted_back = parts.headers.get(RETURN_CLIENT_REQUEST_ID).is_some_and(|value| value == "true");
    let client_id = parts.headers.get(CLIENT_REQUEST_ID).filter(|_| wanted_back).cloned();
    let answer = async {
        let answer = serve(api, scheme, parts, body).await.unwrap_or_else(Answer::from);
        tracing::debug!(status = answer.status.as_u16(), "answered");
        answer
    };
    let answer = answer.instrument(span).await;
    let mut response = (answer.status, Body::from(answer.body)).into_response();
    // The type that axum guesses for bytes goes; ours, if there is one, comes.
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.headers_mut().extend(answer.headers);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(value) = client_id {
        response.headers_mut().insert(CLIENT_REQUEST_ID, value);
    }
    response
}

async fn serve(api: Arc<Api>, scheme: Scheme, parts: Parts, body: Body) -> Result<Answer, Problem> {
    let (endpoint, parameters) = match find(&api.endpoints, &parts.method, parts.uri.path())? {
        Found::Endpoint(endpoint, parameters) => (endpoint, parameters),
        Found::WrongMethod(allowed) => return Err(wrong_method(&allowed)),
        Found::Nothing => return Err(unknown_path()),
    };
    let body = admit(&api, endpoint, &parts, body).await?;
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut request = Request {
        summary: endpoint.summary,
        parameters,
        query,
        base: base(scheme, &parts.headers),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body,
        api_version: String::new(),
    };
    if endpoint.versioned {
        request.api_version = api_version(&request)?;
    }
    let identity = if endpoint.repeatable {
        Identity::of(parts.method.as_str(), &request.path, &request.headers, &request.body)?
    } else {
        None
    };
    let (run, now) = (endpoint.run, (api.clock)());
    let place = Arc::clone(&api.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many requests are at work"))?;
    // A task of its own: a client that hangs up does not leave things half done, and a panic stays in there.
    let work = async move {
        let _place = place;
        let act = async { run(Arc::clone(&api), request).await.unwrap_or_else(Answer::from) };
        match identity {
            Some(identity) => api.repeatability.once(api.calls.as_ref(), identity, now, act).await,
            None => Ok(act.await),
        }
    };
    match tokio::time::timeout(ANSWER_TIME, tokio::spawn(work.in_current_span())).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(crash)) => Err(Problem::internal(&format!("the operation crashed: {crash}"))),
        Err(_) => Err(Problem::unavailable("this takes too long; what was begun goes on")),
    }
}

/// Checks the caller, and reads the body: before the check where the signature covers it, after it otherwise.
async fn admit(api: &Api, endpoint: &Endpoint, parts: &Parts, body: Body) -> Result<bytes::Bytes, Problem> {
    use super::endpoint::Guard;
    if endpoint.guard == Guard::Bearer {
        api.keys.check_bearer(&parts.headers)?;
    }
    let body = read(endpoint, &parts.headers, body).await?;
    if endpoint.guard == Guard::Signature {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed = Signed { method: parts.method.as_str(), target, headers: &parts.headers, body: &body };
        api.keys.check_signature(&signed, (api.clock)())?;
    }
    Ok(body)
}

async fn read(endpoint: &Endpoint, headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Problem> {
    let too_long = || {
        let message = format!("the body is longer than {} bytes", endpoint.body_limit);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", message)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > endpoint.body_limit as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIME, to_bytes(body, endpoint.body_limit)).await {
        Ok(Ok(body)) => Ok(body),
        // Too long, or the client went away in the middle and reads no answer.
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let message = "the body did not arrive within 30 seconds";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message))
        }
    }
}

/// The version that the client speaks. Every one is taken, as long as it can stand in an event.
fn api_version(request: &Request) -> Result<String, Problem> {
    let fits = |text: &&str| (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    request.query("api-version").filter(fits).map(str::to_owned).ok_or_else(|| {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        Problem::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", message).target("api-version")
    })
}

/// Scheme and authority as the client wrote them.
fn base(scheme: Scheme, headers: &HeaderMap) -> String {
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("{scheme}://{host}")
}
