//! One row per operation: method, path, who may call it, what it takes and answers, and the function that does it.
//! The router (`door`), the OpenAPI document and the tests all read these rows, so that they cannot differ.
//!
//! Paths are ACS's own: `{id}:verb` in one segment, which axum's matcher does not know. Hence the one here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::Api;
use super::problem::{Problem, code};
use super::service::{Listing, Page};

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Everybody: health, metrics, the OpenAPI document.
    Open,
    /// Whoever has an access key, as `Authorization: Bearer`.
    Bearer,
    /// Whoever signs the request with an access key (ACS SDKs).
    Signature,
}

/// The schemas that the OpenAPI document names.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// What a body looks like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// JSON of a named schema.
    Json(fn(&mut Schemas) -> String),
    /// A page of a list of it: `{"value":[…],"nextLink"?}`.
    List(fn(&mut Schemas) -> String),
    /// JSON, any object.
    Object,
    /// Bytes of a media type.
    Bytes(&'static str),
    /// Nothing.
    Empty,
}

/// The schema of a type, registered with all that it refers to.
pub(super) fn schema<T: ToSchema>(into: &mut Schemas) -> String {
    let name = T::name().into_owned();
    T::schemas(into);
    into.push((name.clone(), T::schema()));
    name
}

/// A boxed operation at work.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// An operation.
pub(super) struct Endpoint {
    pub method: Method,
    /// `{name}` takes a segment (no `:`), `{+name}` any segment, `{name}:verb` what stands before the verb.
    pub path: &'static str,
    pub summary: &'static str,
    pub tag: &'static str,
    pub guard: Guard,
    /// Honours `Repeatability-Request-ID`.
    pub repeatable: bool,
    /// Needs `api-version`.
    pub versioned: bool,
    /// The longest request body in bytes.
    pub body_limit: usize,
    pub takes: Shape,
    pub answers: Vec<(u16, Shape)>,
    pub query: &'static [(&'static str, &'static str)],
    pub run: fn(Arc<Api>, Request) -> Work,
}

/// The longest JSON body in bytes.
pub(super) const MAX_JSON: usize = 1024 * 1024;

/// `rtp` here, on creating or answering a call, keeps its RTP for `/v1/calls/{id}/pcap`.
pub(super) const CAPTURE: &str = "x-strowger-capture";

/// The query parameters of a list.
pub(super) const PAGED: &[(&str, &str)] =
    &[("skip", "How many to leave out; 0 by default."), ("top", "How many at most, 1 to 1000; 100 by default.")];

impl Endpoint {
    fn new(method: Method, path: &'static str, summary: &'static str, run: fn(Arc<Api>, Request) -> Work) -> Self {
        Endpoint {
            method,
            path,
            summary,
            tag: "",
            guard: Guard::Open,
            repeatable: false,
            versioned: false,
            body_limit: MAX_JSON,
            takes: Shape::Empty,
            answers: Vec::new(),
            query: &[],
            run,
        }
    }

    /// An operation of the ACS wire.
    pub fn calling(
        method: Method,
        path: &'static str,
        summary: &'static str,
        run: fn(Arc<Api>, Request) -> Work,
    ) -> Self {
        let new = Endpoint::new(method, path, summary, run);
        Endpoint { tag: "callAutomation", guard: Guard::Signature, versioned: true, ..new }
    }

    /// An operation of an ACS wire that a later release brings.
    pub fn later(method: Method, path: &'static str, summary: &'static str) -> Self {
        let run = |_, request: Request| -> Work { Box::pin(async move { Err(Problem::later("", request.summary)) }) };
        let new = Endpoint::new(method, path, summary, run);
        Endpoint { tag: "later", guard: Guard::Signature, takes: Shape::Object, ..new }
    }

    /// An operation of `/v1`.
    pub fn admin(
        method: Method,
        path: &'static str,
        summary: &'static str,
        run: fn(Arc<Api>, Request) -> Work,
    ) -> Self {
        Endpoint { tag: "administration", guard: Guard::Bearer, ..Endpoint::new(method, path, summary, run) }
    }

    /// An operation for everybody.
    pub fn open(method: Method, path: &'static str, summary: &'static str, run: fn(Arc<Api>, Request) -> Work) -> Self {
        Endpoint { tag: "operations", ..Endpoint::new(method, path, summary, run) }
    }

    pub fn takes(self, takes: Shape) -> Self {
        Endpoint { takes, ..self }
    }

    pub fn answers(mut self, status: u16, shape: Shape) -> Self {
        self.answers.push((status, shape));
        self
    }

    pub fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Endpoint { query, ..self }
    }

    pub fn repeatable(self) -> Self {
        Endpoint { repeatable: true, ..self }
    }

    pub fn body_limit(self, body_limit: usize) -> Self {
        Endpoint { body_limit, ..self }
    }

    /// The path as OpenAPI writes it.
    pub fn template(&self) -> String {
        self.path.replace("{+", "{")
    }

    /// The names in the path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| name.trim_start_matches('+'))
    }

    /// The raw values of the path's parameters, where the path fits.
    fn fit<'p>(&self, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
        let mut found = Vec::new();
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(found),
                (Some(wanted), Some(given)) => match wanted.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                    None if wanted == given => {}
                    None => return None,
                    Some((name, verb)) => {
                        let value = given.strip_suffix(verb)?;
                        let open = name.starts_with('+');
                        if value.is_empty() || (!open && value.contains(':')) {
                            return None;
                        }
                        found.push((name.trim_start_matches('+'), value));
                    }
                },
                _ => return None,
            }
        }
    }
}

/// What a path and method lead to.
pub(super) enum Found<'e> {
    /// Here, with the path's parameters, decoded.
    Endpoint(&'e Endpoint, Vec<(&'static str, String)>),
    /// The path is known, with these methods only.
    WrongMethod(String),
    /// The path is not known.
    Nothing,
}

/// Looks a request up. Of several rows that fit, one with fewer parameters wins (`participants:add` over `{id}`).
pub(super) fn find<'e>(endpoints: &'e [Endpoint], method: &Method, path: &str) -> Result<Found<'e>, Problem> {
    let mut best: Option<(&Endpoint, Vec<(&'static str, &str)>)> = None;
    let mut allowed: Vec<&str> = Vec::new();
    for endpoint in endpoints {
        let Some(values) = endpoint.fit(path) else { continue };
        if endpoint.method != *method {
            allowed.push(endpoint.method.as_str());
        } else if best.as_ref().is_none_or(|(_, others)| values.len() < others.len()) {
            best = Some((endpoint, values));
        }
    }
    let Some((endpoint, values)) = best else {
        allowed.dedup();
        return Ok(if allowed.is_empty() { Found::Nothing } else { Found::WrongMethod(allowed.join(", ")) });
    };
    let decoded = values
        .into_iter()
        .map(|(name, raw)| match decode(raw) {
            Some(value) => Ok((name, value)),
            None => Err(Problem::bad(name, "the path is not percent-encoded UTF-8")),
        })
        .collect::<Result<_, _>>()?;
    Ok(Found::Endpoint(endpoint, decoded))
}

/// RFC 3986 §2.1; a `+` stays one.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A request that has passed the door: known, allowed, and read.
pub(super) struct Request {
    /// What the operation is called.
    pub summary: &'static str,
    /// Path parameters, decoded.
    pub parameters: Vec<(&'static str, String)>,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// `https://authority` as the client sees us, for links back.
    pub base: String,
    /// The path as sent.
    pub path: String,
    /// Empty where the operation needs none.
    pub api_version: String,
}

impl Request {
    /// A path parameter; empty where the row has none of that name.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// The call in the path.
    pub fn call(&self) -> &str {
        self.parameter("callConnectionId")
    }

    /// A query parameter, by name in any case.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; 400 names the field that does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." || error.inner().is_syntax() || error.inner().is_eof() { "" } else { &field };
            Problem::bad(field, format!("the body is not the JSON that is wanted: {}", error.inner()))
        })?;
        reader.end().map_err(|error| Problem::bad("", format!("the body has more than one JSON value: {error}")))?;
        Ok(value)
    }

    /// Whether the call's RTP is to be kept, by a header that ACS does not have ([`CAPTURE`]).
    pub fn wants_rtp_captured(&self) -> Result<bool, Problem> {
        match self.headers.get(CAPTURE).map(HeaderValue::as_bytes) {
            None | Some(b"sip") => Ok(false),
            Some(b"rtp") => Ok(true),
            Some(_) => Err(Problem::bad(CAPTURE, "this header may say sip or rtp")),
        }
    }

    /// Which part of a list is wanted.
    pub fn page(&self) -> Result<Page, Problem> {
        let number = |name: &str, otherwise: usize, least: usize| match self.query(name) {
            None => Ok(otherwise),
            Some(text) => match text.parse::<usize>() {
                Ok(n) if n >= least => Ok(n),
                _ => Err(Problem::bad(name, format!("{text:?} is not a number from {least}"))),
            },
        };
        Ok(Page { skip: number("skip", 0, 0)?, top: number("top", 100, 1)?.min(Page::MOST) })
    }

    /// A page of a list, with a link to the next one.
    pub fn listing<T: Serialize>(&self, listing: Listing<T>, page: Page) -> Answer {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<T> {
            value: Vec<T>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_link: Option<String>,
        }
        let next_link = listing.more.then(|| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &self.query {
                if !name.eq_ignore_ascii_case("skip") && !name.eq_ignore_ascii_case("top") {
                    query.append_pair(name, value);
                }
            }
            query.append_pair("skip", &page.skip.saturating_add(listing.items.len()).to_string());
            query.append_pair("top", &page.top.to_string());
            format!("{}{}?{}", self.base, self.path, query.finish())
        });
        Answer::json(StatusCode::OK, &Body { value: listing.items, next_link })
    }
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A status and nothing else.
    pub fn empty(status: StatusCode) -> Self {
        Answer { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Answer::bytes(status, "application/json", body.into()),
            // Only maps with keys that are no strings, and failing Serialize implementations, come here.
            Err(error) => Problem::internal(&error.to_string()).into(),
        }
    }

    /// The same, to be saved under that name by a browser.
    pub fn named(mut self, file: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{file}\"")) {
            self.headers.insert(header::CONTENT_DISPOSITION, value);
        }
        self
    }

    /// A body of any media type; one that cannot stand in a header becomes `application/octet-stream`.
    pub fn bytes(status: StatusCode, content_type: &str, body: Bytes) -> Self {
        let otherwise = HeaderValue::from_static("application/octet-stream");
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap_or(otherwise));
        Answer { status, headers, body }
    }
}

/// What 404 says of an unknown path.
pub(super) fn unknown_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NotFound", "there is nothing at this path; /openapi.json lists what there is")
}

/// What 405 says.
pub(super) fn wrong_method(allowed: &str) -> Problem {
    let message = format!("this path takes {allowed} only");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).header(header::ALLOW, allowed)
}

/// What 404 says of a participant.
pub(super) fn no_such_participant() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "Participant not found.").target("participantRawId")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &'static str) -> Endpoint {
        Endpoint::later(Method::GET, path, "")
    }

    #[test]
    fn paths_fit_as_acs_writes_them() {
        let play = endpoint("/calling/callConnections/{callConnectionId}:play");
        assert_eq!(play.fit("/calling/callConnections/x:play"), Some(vec![("callConnectionId", "x")]));
        for path in ["x:plays", ":play", "x", "x:play/", "x:y:play", "x/play"] {
            assert_eq!(play.fit(&format!("/calling/callConnections/{path}")), None, "{path}");
        }
        assert_eq!(endpoint("/a/{x}").fit("/a/b:c"), None);
        assert_eq!(endpoint("/a/{+x}").fit("/a/4:+1"), Some(vec![("x", "4:+1")]));
        assert_eq!(endpoint("/a/{+x}").template(), "/a/{x}");
        assert_eq!(endpoint("/a/{+x}/{y}:z").parameters().collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn the_more_literal_row_wins() {
        let rows = [endpoint("/a/{+x}"), endpoint("/a/b:c")];
        let Ok(Found::Endpoint(row, _)) = find(&rows, &Method::GET, "/a/b:c") else { panic!() };
        assert_eq!(row.path, "/a/b:c");
        assert!(matches!(find(&rows, &Method::POST, "/a/q"), Ok(Found::WrongMethod(methods)) if methods == "GET"));
        assert!(matches!(find(&rows, &Method::POST, "/q"), Ok(Found::Nothing)));
        assert!(find(&rows, &Method::GET, "/a/%ff").is_err());
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decode("4%3A%2B1").as_deref(), Some("4:+1"));
        assert_eq!(decode("a+b").as_deref(), Some("a+b"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
