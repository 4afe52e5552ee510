//! OASIS Repeatable Requests: the first answer to a `Repeatability-Request-ID` is given again, so that a retried
//! request never acts twice. Requests in flight are followed here; answers are kept by the store, through [`Calls`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::endpoint::Answer;
use super::problem::Problem;
use super::service::{Calls, Claim, Recorded};
use crate::time::Time;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The most repeatable requests in flight; one more is told 503.
const MAX_FLIGHTS: usize = 4096;

/// The longest id in bytes.
const MAX_ID: usize = 200;

const REQUEST_ID: &str = "repeatability-request-id";
const RESULT: HeaderName = HeaderName::from_static("repeatability-result");

/// The requests that are at work now.
#[derive(Debug, Default)]
pub(super) struct Repeatability(Mutex<HashMap<String, Flight>>);

#[derive(Debug)]
struct Flight {
    fingerprint: String,
    landed: watch::Receiver<Option<Answer>>,
}

/// What makes two requests one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    key: String,
    fingerprint: String,
}

impl Identity {
    /// From a request's headers; none where it did not ask to be repeatable. The id counts within one method and path.
    pub fn of(method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Option<Identity>, Problem> {
        let Some(id) = headers.get(REQUEST_ID) else { return Ok(None) };
        let id = id.to_str().ok().map(str::trim).filter(|id| !id.is_empty() && id.len() <= MAX_ID);
        let id = id.ok_or_else(|| Problem::bad("Repeatability-Request-ID", "is a text of 1 to 200 bytes"))?;
        let key = hash(&[method.as_bytes(), path.as_bytes(), id.as_bytes()]);
        Ok(Some(Identity { key, fingerprint: hash(&[body]) }))
    }
}

fn hash(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

enum Role {
    Lead(watch::Sender<Option<Answer>>),
    Follow(watch::Receiver<Option<Answer>>),
}

impl Repeatability {
    /// Acts once for all requests of this identity, and answers each of them alike. An answer of 503 says that nothing
    /// has happened, and is not kept: whoever comes next acts.
    pub async fn once(
        &self,
        calls: &dyn Calls,
        identity: Identity,
        now: Time,
        act: impl Future<Output = Answer>,
    ) -> Result<Answer, Problem> {
        loop {
            let landed = match self.role(&identity)? {
                Role::Lead(landed) => landed,
                Role::Follow(mut landed) => match landed.wait_for(Option::is_some).await {
                    Ok(answer) => return Ok(answer.clone().unwrap_or_else(|| lost().into())),
                    Err(_nothing_happened) => continue,
                },
            };
            let _landing = Landing { flights: self, key: &identity.key };
            let claim = calls.claim(&identity.key, &identity.fingerprint, now + KEPT).await?;
            let answer = match claim {
                Claim::New => act.await,
                Claim::Answered(recorded) => return Ok(accepted(recorded.into())),
                Claim::Different => return Err(different()),
                Claim::InProgress => return Err(lost()),
            };
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                if let Err(error) = calls.release(&identity.key).await {
                    tracing::warn!(%error, "the id of a request that did nothing stays claimed");
                }
                return Ok(answer);
            }
            let answer = accepted(answer);
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            // Not kept is not lost: the id stays claimed, so that a repetition is told 500 and does not act again.
            if let Err(error) = calls.record(&identity.key, Recorded { status: answer.status.as_u16(), body }).await {
                tracing::warn!(%error, "the answer to a repeatable request could not be kept");
            }
            landed.send_replace(Some(answer.clone()));
            return Ok(answer);
        }
    }

    fn role(&self, identity: &Identity) -> Result<Role, Problem> {
        let mut flights = self.flights();
        match flights.get(&identity.key) {
            Some(flight) if flight.fingerprint != identity.fingerprint => Err(different()),
            Some(flight) => Ok(Role::Follow(flight.landed.clone())),
            None if flights.len() >= MAX_FLIGHTS => Err(Problem::unavailable("too many requests are in flight")),
            None => {
                let (sender, landed) = watch::channel(None);
                let flight = Flight { fingerprint: identity.fingerprint.clone(), landed };
                flights.insert(identity.key.clone(), flight);
                Ok(Role::Lead(sender))
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        // A map of whole values is sound whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are in flight now.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.flights().len()
    }
}

/// Takes a flight off the map, however it ends.
struct Landing<'f> {
    flights: &'f Repeatability,
    key: &'f str,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.flights.flights().remove(self.key);
    }
}

fn accepted(mut answer: Answer) -> Answer {
    answer.headers.insert(RESULT, HeaderValue::from_static("accepted"));
    answer
}

fn different() -> Problem {
    let problem = "this id was used for another request before; give each request an id of its own";
    Problem::bad("Repeatability-Request-ID", problem).header(RESULT, "rejected")
}

fn lost() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "the first request of this id did not come to an answer; whether it was carried out is not known",
    )
}

impl From<Recorded> for Answer {
    fn from(recorded: Recorded) -> Answer {
        let status = StatusCode::from_u16(recorded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if recorded.body.is_empty() {
            Answer::empty(status)
        } else {
            Answer::bytes(status, "application/json", recorded.body.into())
        }
    }
}
