//! Trunks: the carriers that phone numbers are called through.

use super::error::{StoreError, document, json, taken};
use super::open::Store;
pub use crate::trunk::Trunk;

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
