//! The handshake of an Event Grid subscription: an endpoint gets events only after it has proved that it wants them,
//! by giving the code back at once, or by somebody visiting the validation URL. Keeping the subscription is `store`'s,
//! the URL's handler `api`'s.

use std::time::Duration;

use serde_json::{Value, json};

use super::delivery::{chain, clip};
use crate::time::Time;

/// The whole handshake, from connecting to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of the answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// What is sent to the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationRequest {
    /// The subscription's name.
    pub subscription: String,
    /// The endpoint.
    pub endpoint: String,
    /// The secret that is to be given back.
    pub code: String,
    /// Where a GET validates the subscription too, within some minutes.
    pub validation_url: String,
    /// The event's id.
    pub event_id: String,
}

/// How far the handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The endpoint gave the code back.
    Validated,
    /// The endpoint took the event and did not give the code back: somebody has to visit the validation URL.
    Pending,
}

/// Why an endpoint was not accepted, with what came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No answer.
    #[error("the endpoint did not answer the subscription validation event: {0}")]
    Unreachable(String),
    /// Not a 2xx.
    #[error("the endpoint answered the subscription validation event with status {status}, 200 is needed: {body}")]
    Status {
        /// What it answered.
        status: u16,
        /// How its answer begins.
        body: String,
    },
    /// Another code.
    #[error(
        "the endpoint answered the subscription validation event with `{found}`; \
         {{\"validationResponse\": \"<the event's validationCode>\"}} is needed"
    )]
    WrongCode {
        /// How its answer begins.
        found: String,
    },
}

/// Posts the validation event and judges the answer.
pub async fn validate(
    client: &reqwest::Client,
    request: &ValidationRequest,
    now: Time,
) -> Result<Handshake, HandshakeError> {
    match tokio::time::timeout(TIMEOUT, exchange(client, request, now)).await {
        Ok(answer) => answer,
        Err(_) => Err(HandshakeError::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

async fn exchange(
    client: &reqwest::Client,
    request: &ValidationRequest,
    now: Time,
) -> Result<Handshake, HandshakeError> {
    let unreachable = |error: reqwest::Error| HandshakeError::Unreachable(clip(&chain(&error.without_url())));
    let body = json!([{
        "id": request.event_id,
        "topic": "/subscriptions/local/resourceGroups/local/providers/microsoft.communication/communicationservices/local",
        "subject": "",
        "data": { "validationCode": request.code, "validationUrl": request.validation_url },
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": now.to_rfc3339(),
        "metadataVersion": "1",
        "dataVersion": "1",
    }]);
    let mut response = client
        .post(&request.endpoint)
        .header("content-type", "application/json; charset=utf-8")
        .header("aeg-event-type", "SubscriptionValidation")
        .header("aeg-subscription-name", request.subscription.to_ascii_uppercase())
        .body(body.to_string())
        .send()
        .await
        .map_err(unreachable)?;
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        answer.extend(chunk.iter().take(MAX_ANSWER.saturating_sub(answer.len())));
        if answer.len() >= MAX_ANSWER {
            break;
        }
    }
    judge(response.status().as_u16(), &answer, &request.code)
}

fn judge(status: u16, answer: &[u8], code: &str) -> Result<Handshake, HandshakeError> {
    let shown = || clip(String::from_utf8_lossy(answer).trim());
    if !(200..300).contains(&status) {
        return Err(HandshakeError::Status { status, body: shown() });
    }
    let parsed = serde_json::from_slice::<Value>(answer).ok();
    let member = parsed.as_ref().and_then(Value::as_object).and_then(|map| {
        map.iter().find(|(name, _)| name.eq_ignore_ascii_case("validationResponse")).map(|(_, value)| value)
    });
    match member {
        Some(Value::String(found)) if found.trim() == code => Ok(Handshake::Validated),
        Some(_) => Err(HandshakeError::WrongCode { found: shown() }),
        None => Ok(Handshake::Pending),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_validates_and_errors_say_what_came_back() {
        assert_eq!(judge(200, br#"{"validationResponse":"abc"}"#, "abc"), Ok(Handshake::Validated));
        assert_eq!(judge(201, br#" {"ValidationResponse":"abc"}"#, "abc"), Ok(Handshake::Validated));
        assert_eq!(judge(200, b"", "abc"), Ok(Handshake::Pending));
        assert_eq!(judge(202, b"<html>", "abc"), Ok(Handshake::Pending));
        let wrong = judge(200, br#"{"validationResponse":"abd"}"#, "abc").unwrap_err().to_string();
        assert!(wrong.contains("abd") && wrong.contains("validationResponse"), "{wrong}");
        let refused = judge(404, b"nothing here", "abc").unwrap_err().to_string();
        assert!(refused.contains("404") && refused.contains("nothing here"), "{refused}");
        assert!(judge(302, b"", "abc").is_err());
        assert!(judge(200, br#"{"validationResponse":null}"#, "abc").is_err());
    }
}
