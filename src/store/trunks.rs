//! Trunks: the carriers that phone numbers are called through.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{StoreError, document, json, taken};
use super::open::Store;

/// A carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trunk {
    /// Unique name.
    #[schema(example = "carrier-a")]
    pub name: String,
    /// Where calls are sent: a SIP URI without user.
    #[schema(example = "sip:sip.carrier.example:5060;transport=tcp")]
    pub uri: String,
    /// Digest user (RFC 8760), where the carrier asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Digest password. Taken, never shown: see [`Trunk::for_display`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    /// Only numbers that begin with this go through the trunk; all numbers where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Lower is tried first. Default 100.
    #[serde(default = "hundred")]
    pub priority: i32,
}

fn hundred() -> i32 {
    100
}

impl Trunk {
    /// Without the password.
    pub fn for_display(mut self) -> Self {
        self.password = None;
        self
    }

    /// May `number` (normal form, `+44…`) go through this trunk?
    pub fn takes(&self, number: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| number.starts_with(prefix))
    }
}

impl Store {
    /// All trunks, in the order in which they are tried.
    pub async fn trunks(&self) -> Result<Vec<Trunk>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, document FROM trunks ORDER BY priority, name").fetch_all(&self.read).await?;
        rows.iter().map(|(name, text)| document("trunk", name, text)).collect()
    }

    /// One trunk.
    pub async fn trunk(&self, name: &str) -> Result<Option<Trunk>, StoreError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM trunks WHERE name = $1").bind(name).fetch_optional(&self.read).await?;
        row.map(|(text,)| document("trunk", name, &text)).transpose()
    }

    /// Adds a trunk.
    pub async fn create_trunk(&self, trunk: &Trunk) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO trunks (name, priority, document) VALUES ($1, $2, $3)")
            .bind(&trunk.name)
            .bind(i64::from(trunk.priority))
            .bind(json(trunk))
            .execute(&self.write)
            .await
            .map_err(taken("trunk", &trunk.name))?;
        Ok(())
    }

    /// Replaces the trunk of that name; false: there is none.
    pub async fn replace_trunk(&self, trunk: &Trunk) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE trunks SET priority = $2, document = $3 WHERE name = $1")
            .bind(&trunk.name)
            .bind(i64::from(trunk.priority))
            .bind(json(trunk))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a trunk; false: there is none.
    pub async fn delete_trunk(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM trunks WHERE name = $1").bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}
