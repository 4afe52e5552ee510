//! One attempt to deliver one event: the HTTP request, what its answer means, and when the next attempt is due.
//! Order and concurrency are `outbox`'s.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::outbox::{Notify, OutboxSettings};
use crate::random::Random;
use crate::store::{Clock, EventState, NewEvent, Store, WriteOp, Writer};
use crate::time::Time;

/// Bytes of an answer that are read so that the connection can be used again; a longer one costs its connection.
const MAX_ANSWER: usize = 64 << 10;
/// How long they are waited for.
const DRAIN: Duration = Duration::from_secs(1);
/// Characters of an error or an answer that are kept.
const MAX_ERROR: usize = 300;
/// Pause when an event cannot be read back from the store; such a turn does not count as an attempt.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct ClientError(#[source] reqwest::Error);

/// The client for webhooks: no redirects (an event is not carried to where nobody subscribed), no proxy from the
/// environment, certificates checked against those of the system and `roots` (PEM, may be empty).
///
/// A rustls crypto provider must have been installed. On a system without any certificates only `roots` are trusted.
pub fn webhook_client(roots: &[Vec<u8>]) -> Result<reqwest::Client, ClientError> {
    let mut certificates = Vec::new();
    for pem in roots {
        certificates.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(ClientError)?);
    }
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("strowger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .tcp_nodelay(true)
    };
    match builder().tls_certs_merge(certificates.clone()).build() {
        Ok(client) => Ok(client),
        Err(error) => {
            tracing::warn!(%error, "no certificates of the system; https endpoints need a configured certificate");
            builder().tls_certs_only(certificates).build().map_err(ClientError)
        }
    }
}

/// What came of an attempt, for the call's timeline and for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryNotice {
    /// The event's number, from [`super::Outbox::post`].
    pub seq: i64,
    /// The call.
    pub key: String,
    /// The id inside the body.
    pub event_id: String,
    /// The event's type.
    pub kind: String,
    /// Where it went, without user, query and fragment, which may hold secrets.
    pub url: String,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Time,
    /// What it came to.
    pub outcome: DeliveryOutcome,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// 2xx.
    Delivered,
    /// Tried again after a pause.
    Retry {
        /// Why.
        error: String,
        /// The pause.
        after: Duration,
    },
    /// Given up.
    Dead {
        /// Why.
        error: String,
    },
}

/// What a delivery needs of the outside.
pub(super) struct Courier {
    pub store: Store,
    pub writer: Writer,
    pub client: reqwest::Client,
    pub settings: OutboxSettings,
    pub clock: Clock,
    pub notify: Notify,
}

/// One attempt to be made.
pub(super) struct Job {
    pub key: Arc<str>,
    pub seq: i64,
    /// Attempts made before.
    pub attempts: u32,
    pub created: Time,
    /// None: read it back from the store.
    pub event: Option<Arc<NewEvent>>,
    pub random: Random,
}

/// An attempt that was made.
pub(super) struct Settled {
    pub key: Arc<str>,
    pub attempts: u32,
    /// The pause before the next attempt; none: delivered or dead.
    pub retry_after: Option<Duration>,
    /// Did the endpoint fail (which slows its host down)?
    pub failed: bool,
}

/// Why an attempt failed.
struct Failure {
    error: String,
    status: Option<u16>,
    /// The endpoint said no, rather than being in trouble.
    refused: bool,
    /// Seconds that it asked for.
    wait: Option<Duration>,
}

impl Courier {
    pub(super) async fn deliver(self: Arc<Self>, mut job: Job) -> Settled {
        let event = match job.event.take() {
            Some(event) => event,
            None => match self.store.event(job.seq).await {
                Ok(Some(stored)) if stored.state == EventState::Pending => Arc::new(stored.event),
                Ok(_) => {
                    // Settled or deleted behind our back.
                    return Settled { key: job.key, attempts: job.attempts, retry_after: None, failed: false };
                }
                Err(error) => {
                    tracing::warn!(?error, seq = job.seq, "an event cannot be read back now");
                    let retry_after = Some(STORE_PAUSE);
                    return Settled { key: job.key, attempts: job.attempts, retry_after, failed: false };
                }
            },
        };
        let began = tokio::time::Instant::now();
        let answer = self.attempt(&event).await;
        let took = began.elapsed();
        let now = (self.clock)();
        let attempts = job.attempts.saturating_add(1);
        let (status, outcome) = match answer {
            Ok(status) => (Some(status), DeliveryOutcome::Delivered),
            Err(failure) => {
                let bound =
                    if failure.refused { self.settings.max_refused_attempts } else { self.settings.max_attempts };
                let outcome = if attempts >= bound || now.since(job.created) >= self.settings.max_age {
                    DeliveryOutcome::Dead { error: failure.error }
                } else {
                    let after = pause(&self.settings, attempts, failure.wait, &mut job.random);
                    DeliveryOutcome::Retry { error: failure.error, after }
                };
                (failure.status, outcome)
            }
        };
        let (state, at, error, retry_after) = match &outcome {
            DeliveryOutcome::Delivered => (EventState::Delivered, now, None, None),
            DeliveryOutcome::Retry { error, after } => (EventState::Pending, now + *after, Some(error), Some(*after)),
            DeliveryOutcome::Dead { error } => (EventState::Dead, now, Some(error), None),
        };
        let op = WriteOp::Attempt { seq: event.seq, state, attempts, at, error: error.cloned() };
        // Waits while the queue is full. Where the writer has ended, so do we: the event is sent again at the next start.
        let _ = self.writer.submit(op, None).await;
        let failed = outcome != DeliveryOutcome::Delivered;
        (self.notify)(DeliveryNotice {
            seq: event.seq,
            key: event.key.clone(),
            event_id: event.id.clone(),
            kind: event.kind.clone(),
            url: without_secrets(&event.url),
            attempt: attempts,
            status,
            took,
            at: now,
            outcome,
        });
        Settled { key: job.key, attempts, retry_after, failed }
    }

    async fn attempt(&self, event: &NewEvent) -> Result<u16, Failure> {
        let broken = |error: reqwest::Error| Failure {
            error: clip(&chain(&error.without_url())),
            status: None,
            refused: false,
            wait: None,
        };
        let mut request = self.client.post(&event.url).header("content-type", &event.content_type);
        for (name, value) in &event.headers {
            request = request.header(name, value);
        }
        let sent = tokio::time::timeout(self.settings.timeout, request.body(event.body.clone()).send()).await;
        let mut response = sent
            .map_err(|_| Failure {
                error: format!("no answer within {} ms", self.settings.timeout.as_millis()),
                status: None,
                refused: false,
                wait: None,
            })?
            .map_err(broken)?;
        let status = response.status();
        let wait = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        let mut answer = Vec::new();
        let mut length = 0_usize;
        let drain = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                answer.extend(chunk.iter().take((MAX_ERROR * 4).saturating_sub(answer.len())));
                length = length.saturating_add(chunk.len());
                if length > MAX_ANSWER {
                    break;
                }
            }
        };
        // The status is the answer: that the body breaks off or has no end does not undo it, and costs the connection.
        let _ = tokio::time::timeout(DRAIN, drain).await;
        if status.is_success() {
            return Ok(status.as_u16());
        }
        Err(Failure {
            error: clip(format!("{status} {}", String::from_utf8_lossy(&answer)).trim_end()),
            status: Some(status.as_u16()),
            refused: !status.is_server_error() && !matches!(status.as_u16(), 408 | 429),
            wait,
        })
    }
}

/// Doubles with each failure, ± a quarter by chance; what the endpoint asked for where that is longer; both bounded.
fn pause(settings: &OutboxSettings, attempts: u32, wait: Option<Duration>, random: &mut Random) -> Duration {
    let doubled = settings.first_delay.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(settings.max_delay);
    let spread = u64::try_from(doubled.as_micros() / 2).unwrap_or(u64::MAX);
    let jittered = doubled - doubled / 4 + Duration::from_micros(random.below(spread.saturating_add(1)));
    jittered.max(wait.unwrap_or_default()).min(settings.max_delay.saturating_mul(5) / 4)
}

/// An error with its causes: "error sending request: connection refused".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

pub(super) fn clip(text: &str) -> String {
    text.chars().take(MAX_ERROR).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.into()
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_bound_within_a_quarter() {
        let settings = OutboxSettings::default();
        let mut random = Random::from_number(3);
        for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (4_000_000_000, 300)] {
            let middle = Duration::from_secs(seconds);
            for _ in 0..100 {
                let pause = pause(&settings, attempts, None, &mut random);
                assert!(pause >= middle * 3 / 4 && pause <= middle * 5 / 4, "{attempts}: {pause:?}");
            }
        }
        let asked = pause(&settings, 1, Some(Duration::from_secs(90)), &mut random);
        assert_eq!(asked, Duration::from_secs(90));
        let absurd = pause(&settings, 1, Some(Duration::from_secs(u64::MAX)), &mut random);
        assert_eq!(absurd, Duration::from_secs(375));
    }

    #[test]
    fn a_notice_shows_no_secrets() {
        assert_eq!(without_secrets("https://u:p@app.example/cb/1?code=s3cret#x"), "https://app.example/cb/1");
    }
}
