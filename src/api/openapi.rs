//! The OpenAPI document, built from the rows of `endpoint`: what the router serves is what it says.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, Required, ResponseBuilder,
};

use super::endpoint::{Endpoint, Guard, Schemas, Shape};
use super::problem::ErrorResponse;

const BEARER: &str = "accessKey";
const SIGNATURE: &str = "hmacSha256";

/// The document for these rows.
pub(super) fn document(endpoints: &[Endpoint]) -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for endpoint in endpoints {
        let Some(method) = method(endpoint) else { continue };
        paths.add_path_operation(endpoint.template(), vec![method], operation(endpoint, &mut schemas));
    }
    ErrorResponse::schemas(&mut schemas);
    schemas.push((ErrorResponse::name().into_owned(), <ErrorResponse as utoipa::PartialSchema>::schema()));
    let schemas: BTreeMap<_, _> = schemas.into_iter().collect();
    let components = schemas.into_iter().fold(ComponentsBuilder::new(), |all, (name, schema)| all.schema(name, schema));
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("An access key of this engine."));
    let signed = ApiKeyValue::with_description(
        "Authorization",
        "An ACS request signature with an access key: \
         `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=<base64>`.",
    );
    let components = components
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(SIGNATURE, SecurityScheme::ApiKey(ApiKey::Header(signed)))
        .build();
    let info = InfoBuilder::new()
        .title("Strowger")
        .version("v1")
        .description(Some(
            "Call automation. `/calling` speaks the wire of ACS Call Automation (operations under `later` answer 501); \
             `/v1` is for operators.",
        ))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn method(endpoint: &Endpoint) -> Option<HttpMethod> {
    Some(match endpoint.method.as_str() {
        "GET" => HttpMethod::Get,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => return None,
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> utoipa::openapi::path::Operation {
    let parameter = |name: &str, place: ParameterIn, required: bool, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(if required { Required::True } else { Required::False })
            .description(Some(description).filter(|text| !text.is_empty()))
            .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
            .build()
    };
    let mut operation =
        OperationBuilder::new().tag(endpoint.tag).summary(Some(endpoint.summary)).operation_id(Some(id(endpoint)));
    for name in endpoint.parameters() {
        operation = operation.parameter(parameter(name, ParameterIn::Path, true, ""));
    }
    for (name, description) in endpoint.query {
        operation = operation.parameter(parameter(name, ParameterIn::Query, false, description));
    }
    if endpoint.versioned {
        let says = "Any version is taken; it is echoed in the call's events.";
        operation = operation.parameter(parameter("api-version", ParameterIn::Query, true, says));
    }
    if endpoint.repeatable {
        let says = "The same id gets the first answer again, and never acts twice.";
        operation = operation.parameter(parameter("Repeatability-Request-ID", ParameterIn::Header, false, says));
        let says = "When the request was sent first.";
        operation = operation.parameter(parameter("Repeatability-First-Sent", ParameterIn::Header, false, says));
    }
    if let Some((media_type, content)) = content(endpoint.takes, schemas) {
        let required = if endpoint.tag == "later" { Required::False } else { Required::True };
        let body = RequestBodyBuilder::new().content(media_type, content).required(Some(required)).build();
        operation = operation.request_body(Some(body));
    }
    for (status, shape) in &endpoint.answers {
        let mut response = ResponseBuilder::new().description(if *status < 300 { "Done." } else { "Not now." });
        if let Some((media_type, content)) = content(*shape, schemas) {
            response = response.content(media_type, content);
        }
        operation = operation.response(status.to_string(), response.build());
    }
    if endpoint.tag == "later" {
        operation = operation.response("501", error("Comes with a later release."));
    }
    if endpoint.guard != Guard::Open {
        operation = operation.response("default", error("What is wrong."));
    }
    match endpoint.guard {
        Guard::Open => {}
        Guard::Bearer => operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new())),
        Guard::Signature => operation = operation.security(SecurityRequirement::new(SIGNATURE, Vec::<String>::new())),
    }
    operation.build()
}

fn error(description: &str) -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name(ErrorResponse::name())));
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

fn content(shape: Shape, schemas: &mut Schemas) -> Option<(&'static str, Content)> {
    let object = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Object));
    Some(match shape {
        Shape::Empty => return None,
        Shape::Object => ("application/json", Content::new(Some(object()))),
        Shape::Json(schema) => ("application/json", Content::new(Some(Ref::from_schema_name(schema(schemas))))),
        Shape::List(schema) => {
            let items = ArrayBuilder::new().items(Ref::from_schema_name(schema(schemas)));
            let next = ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .description(Some("Where the next page is; left out on the last one."));
            let page = object().property("value", items).required("value").property("nextLink", next);
            ("application/json", Content::new(Some(page)))
        }
        Shape::Bytes(media_type) => {
            let bytes = ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
            (media_type, Content::new(Some(bytes)))
        }
    })
}

/// A name that is unique and says what it is: `post_calling_callConnections_play`.
fn id(endpoint: &Endpoint) -> String {
    let mut id = endpoint.method.as_str().to_ascii_lowercase();
    for word in endpoint.template().split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}
