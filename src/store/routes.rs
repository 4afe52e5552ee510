//! Outbound routes, as operators write them; what they mean is `trunk::route`'s.

use super::error::{StoreError, document, json, taken};
use super::open::Store;
use crate::trunk::Route;

impl Store {
    /// All routes, by name.
    pub async fn routes(&self) -> Result<Vec<Route>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, document FROM routes ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(|(name, text)| document("route", name, text)).collect()
    }

    /// One route.
    pub async fn route(&self, name: &str) -> Result<Option<Route>, StoreError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM routes WHERE name = $1").bind(name).fetch_optional(&self.read).await?;
        row.map(|(text,)| document("route", name, &text)).transpose()
    }

    /// Adds a route.
    pub async fn create_route(&self, route: &Route) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO routes (name, document) VALUES ($1, $2)")
            .bind(&route.name)
            .bind(json(route))
            .execute(&self.write)
            .await
            .map_err(taken("route", &route.name))?;
        Ok(())
    }

    /// Replaces the route of that name; false: there is none.
    pub async fn replace_route(&self, route: &Route) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE routes SET document = $2 WHERE name = $1")
            .bind(&route.name)
            .bind(json(route))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a route; false: there is none.
    pub async fn delete_route(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM routes WHERE name = $1").bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}
