//! What a client is told when something is wrong: a status and the ACS error body
//! `{"error":{"code","message","target"?,"details"?}}`. Internal causes go to the log, never into the body.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::Answer;
use super::service::{AdminError, CallError, FieldProblem, StoreError};
use crate::call::Refusal;

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What is wrong.
    pub error: ErrorBody,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// For programs: an ACS sub-code such as `8522`, or a word such as `NotImplemented`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Each field, where several are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub details: Vec<ErrorBody>,
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// What the body says. Boxed: errors travel in every `Result` of this room.
    pub body: Box<ErrorBody>,
    /// `Allow`, `Retry-After`, `WWW-Authenticate`.
    pub headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// ACS sub-codes that the door itself gives.
pub(super) mod code {
    /// The signature is missing, wrong or too old.
    pub const SIGNATURE: &str = "7509";
    /// The call is not in a state for it.
    pub const NOT_ESTABLISHED: &str = "8501";
    /// Something else is going on.
    pub const CONFLICT: &str = "8519";
    /// No such call or participant.
    pub const NOT_FOUND: &str = "8522";
    /// A value is wrong.
    pub const BAD_ARGUMENT: &str = "8523";
    /// The call is over.
    pub const TERMINATED: &str = "8528";
}

impl Problem {
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        let body = ErrorBody { code: code.into(), message: message.into(), target: None, details: Vec::new() };
        Problem { status, body: Box::new(body), headers: Vec::new() }
    }

    pub fn target(mut self, field: impl Into<String>) -> Self {
        self.body.target = Some(field.into()).filter(|field| !field.is_empty());
        self
    }

    pub fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// 400 because of a value; the message begins with the field's name, so that clients which show only the
    /// message show it too.
    pub fn bad(field: &str, problem: impl AsRef<str>) -> Self {
        let message = if field.is_empty() { problem.as_ref().into() } else { format!("{field}: {}", problem.as_ref()) };
        Problem::new(StatusCode::BAD_REQUEST, code::BAD_ARGUMENT, message).target(field)
    }

    /// 501 for what a later release brings.
    pub fn later(field: &str, what: &str) -> Self {
        let message = format!("{what}: not implemented yet; it comes with a later release");
        Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message).target(field)
    }

    /// 503: nothing has happened, a repetition may work.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Problem::unavailable_for(1, message)
    }

    /// 503 with the seconds after which a repetition makes sense.
    pub fn unavailable_for(seconds: u32, message: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            .header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// 500; the cause goes to the log.
    pub fn internal(cause: &str) -> Self {
        tracing::error!(cause, "a request failed for an internal reason");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "an internal error; the log of the engine says more under this request's x-ms-request-id",
        )
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let mut answer = Answer::json(problem.status, &ErrorResponse { error: *problem.body });
        let mut headers = HeaderMap::new();
        for (name, value) in problem.headers {
            headers.append(name, value);
        }
        answer.headers.extend(headers);
        answer
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Problem {
        let message = error.to_string();
        let bad = |code: &str| Problem::new(StatusCode::BAD_REQUEST, code, message.clone());
        match error {
            CallError::NoSuchCall => Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "Call not found."),
            CallError::Ended => bad(code::TERMINATED),
            CallError::BadToken(_) => bad(code::BAD_ARGUMENT).target("incomingCallContext"),
            CallError::BadArgument { field, .. } => bad(code::BAD_ARGUMENT).target(field),
            CallError::Refused(Refusal::WrongState { .. }) => bad(code::NOT_ESTABLISHED),
            CallError::Refused(Refusal::NoSuchParty(_)) => bad(code::BAD_ARGUMENT).target("targetParticipant"),
            CallError::Refused(Refusal::BadArgument { field, .. }) => bad(code::BAD_ARGUMENT).target(field),
            CallError::Refused(Refusal::QueueFull) => Problem::new(StatusCode::CONFLICT, code::CONFLICT, message),
            CallError::NotImplemented(what) => Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", what),
            CallError::Unavailable(_) => Problem::unavailable(message),
            CallError::Overloaded { retry_after } => Problem::unavailable_for(retry_after, message),
            CallError::Internal(cause) => Problem::internal(&cause),
        }
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Problem {
        let message = error.to_string();
        match error {
            AdminError::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, "NotFound", message),
            AdminError::Exists(_) => Problem::new(StatusCode::CONFLICT, "AlreadyExists", message),
            AdminError::Conflict(_) => Problem::new(StatusCode::CONFLICT, "Conflict", message),
            AdminError::Invalid(problems) => {
                let mut answer = Problem::new(StatusCode::BAD_REQUEST, "InvalidDocument", message);
                answer.body.target = problems.first().map(|one| one.field.clone()).filter(|field| !field.is_empty());
                if problems.len() > 1 {
                    answer.body.details = problems.into_iter().map(ErrorBody::from).collect();
                }
                answer
            }
            AdminError::NotImplemented(what) => Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", what),
            AdminError::Unavailable(_) => Problem::unavailable(message),
            AdminError::Internal(cause) => Problem::internal(&cause),
        }
    }
}

impl From<FieldProblem> for ErrorBody {
    fn from(one: FieldProblem) -> ErrorBody {
        let target = Some(one.field).filter(|field| !field.is_empty());
        ErrorBody { code: "InvalidField".into(), message: one.problem, target, details: Vec::new() }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::warn!(cause = %error, "the store did not answer a request");
        Problem::unavailable("the store is not available at the moment; nothing has been done")
    }
}
