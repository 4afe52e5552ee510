//! Subscriptions: which application gets which Event Grid events, and whether it has shaken hands.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{StoreError, document, json, taken};
use super::open::Store;

/// An application that gets events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Unique name.
    pub name: String,
    /// The `http(s)` URL that events are posted to.
    pub endpoint: String,
    /// Event types wanted, such as `Microsoft.Communication.IncomingCall`.
    pub event_types: Vec<String>,
    /// Has the endpoint proved that it wants them?
    pub state: SubscriptionState,
    /// The code that the endpoint must give back; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_code: Option<String>,
    /// When the code expires, microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_expires_at: Option<u64>,
}

/// Without its code, and without an endpoint's query, which often holds a key.
impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("name", &self.name).field("state", &self.state).finish_non_exhaustive()
    }
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubscriptionState {
    /// Events are not delivered until the validation URL was visited.
    Pending,
    /// Events are delivered.
    Validated,
}

impl Store {
    /// All subscriptions by name.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, document FROM subscriptions ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(|(name, text)| document("subscription", name, text)).collect()
    }

    /// One subscription.
    pub async fn subscription(&self, name: &str) -> Result<Option<Subscription>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT document FROM subscriptions WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.read)
            .await?;
        row.map(|(text,)| document("subscription", name, &text)).transpose()
    }

    /// Adds a subscription.
    pub async fn create_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO subscriptions (name, document) VALUES ($1, $2)")
            .bind(&subscription.name)
            .bind(json(subscription))
            .execute(&self.write)
            .await
            .map_err(taken("subscription", &subscription.name))?;
        Ok(())
    }

    /// Replaces the subscription of that name; false: there is none.
    pub async fn replace_subscription(&self, subscription: &Subscription) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE subscriptions SET document = $2 WHERE name = $1")
            .bind(&subscription.name)
            .bind(json(subscription))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a subscription; false: there is none.
    pub async fn delete_subscription(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM subscriptions WHERE name = $1").bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}
