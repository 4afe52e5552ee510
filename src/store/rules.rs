//! The rules table as rows. What a rule means is `crate::rules`'.

use super::error::{StoreError, document, json, taken};
use super::open::Store;
use crate::rules::Rule;

impl Store {
    /// All rules, in the order in which they are looked at.
    pub async fn rules(&self) -> Result<Vec<Rule>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, document FROM rules ORDER BY priority, name").fetch_all(&self.read).await?;
        rows.iter().map(|(name, text)| document("rule", name, text)).collect()
    }

    /// One rule.
    pub async fn rule(&self, name: &str) -> Result<Option<Rule>, StoreError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM rules WHERE name = $1").bind(name).fetch_optional(&self.read).await?;
        row.map(|(text,)| document("rule", name, &text)).transpose()
    }

    /// Adds a rule. It was checked against the others by `Table::new`.
    pub async fn create_rule(&self, rule: &Rule) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO rules (name, priority, enabled, document) VALUES ($1, $2, $3, $4)")
            .bind(&rule.name)
            .bind(i64::from(rule.priority))
            .bind(i64::from(rule.enabled))
            .bind(json(rule))
            .execute(&self.write)
            .await
            .map_err(taken("rule", &rule.name))?;
        Ok(())
    }

    /// Replaces the rule of that name; false: there is none.
    pub async fn replace_rule(&self, rule: &Rule) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE rules SET priority = $2, enabled = $3, document = $4 WHERE name = $1")
            .bind(&rule.name)
            .bind(i64::from(rule.priority))
            .bind(i64::from(rule.enabled))
            .bind(json(rule))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a rule; false: there is none.
    pub async fn delete_rule(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM rules WHERE name = $1").bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}
