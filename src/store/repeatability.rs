//! Repeatable requests (OASIS Repeatable Requests 1.0): the first answer to an id is kept and given again, so that a
//! retried request never places a second call. Ids that were claimed and never answered are forgotten at start.

use serde::{Deserialize, Serialize};

use super::calls::micros;
use super::error::{StoreError, document, json};
use super::open::Store;
use crate::time::Time;

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The first request of this id: do it, then [`Store::record_response`] (or [`Store::release_claim`]).
    New,
    /// The first one is still at work.
    InProgress,
    /// The first one was answered so.
    Answered(RecordedResponse),
    /// The id was used for another request: refuse this one.
    Different,
}

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers worth repeating.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Store {
    /// Claims an id until `expires`. `fingerprint` tells one request from another (a hash of method, path and body).
    pub async fn claim_request(
        &self,
        id: &str,
        fingerprint: &str,
        now: Time,
        expires: Time,
    ) -> Result<Claim, StoreError> {
        sqlx::query("DELETE FROM repeatability WHERE expires <= $1").bind(micros(now)).execute(&self.write).await?;
        let done = sqlx::query(
            "INSERT INTO repeatability (id, fingerprint, expires) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        )
        .bind(id)
        .bind(fingerprint)
        .bind(micros(expires))
        .execute(&self.write)
        .await?;
        if done.rows_affected() > 0 {
            return Ok(Claim::New);
        }
        type Row = (String, Option<i64>, Option<String>, Option<String>);
        let row: Option<Row> =
            sqlx::query_as("SELECT fingerprint, status, headers, body FROM repeatability WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.write)
                .await?;
        Ok(match row {
            Some((first, ..)) if first != fingerprint => Claim::Different,
            Some((_, Some(status), headers, body)) => Claim::Answered(RecordedResponse {
                status: u16::try_from(status).unwrap_or(500),
                headers: headers.map(|text| document("answer", id, &text)).transpose()?.unwrap_or_default(),
                body: body.unwrap_or_default(),
            }),
            // Released in between: the caller's retry will claim it.
            Some((_, None, ..)) | None => Claim::InProgress,
        })
    }

    /// Keeps the answer to a claimed id.
    pub async fn record_response(&self, id: &str, response: &RecordedResponse) -> Result<(), StoreError> {
        sqlx::query("UPDATE repeatability SET status = $2, headers = $3, body = $4 WHERE id = $1")
            .bind(id)
            .bind(i64::from(response.status))
            .bind(json(&response.headers))
            .bind(&response.body)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Gives a claimed id free: nothing was done, a retry may do it.
    pub async fn release_claim(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM repeatability WHERE id = $1 AND status IS NULL").bind(id).execute(&self.write).await?;
        Ok(())
    }

    pub(super) async fn forget_unfinished_requests(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM repeatability WHERE status IS NULL").execute(&self.write).await?;
        Ok(())
    }
}
